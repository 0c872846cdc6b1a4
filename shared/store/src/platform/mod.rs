//! API keys, webhooks and their outbox, the audit log, idempotency keys, dashboard counters, and analytics.

pub mod analytics;
pub mod audit_log;
pub mod deliveries;
pub mod idempotency;
pub mod keys;
pub mod outbox;
pub mod stats;
pub mod webhooks;
