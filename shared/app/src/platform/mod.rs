//! Platform services: API keys, webhooks, audit log, idempotency, figures, deployment.

pub mod analytics;
pub mod audit_log;
pub mod deployment;
pub mod idempotent;
pub mod keys;
pub mod webhooks;
