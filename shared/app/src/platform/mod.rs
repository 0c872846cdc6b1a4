//! What every operator's platform has: keys, webhooks, an audit log, idempotency, figures.

pub mod analytics;
pub mod audit_log;
pub mod deployment;
pub mod idempotent;
pub mod keys;
pub mod webhooks;
