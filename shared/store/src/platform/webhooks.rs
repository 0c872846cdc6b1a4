//! Webhooks: the operator's endpoints for events.

use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::statement;
use domain::id::WebhookId;
use domain::page::Page;
use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

const INSERT: &str = "
INSERT INTO webhooks (webhook_id, url, description, event_types, secret, created_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)";

// Only one transaction creates a webhook at a time, so the count stays true until it commits.
const LOCK_ALL: &str = "
LOCK TABLE webhooks IN SHARE ROW EXCLUSIVE MODE";

const COUNT: &str = "
SELECT count(*)
FROM webhooks
WHERE deleted_at IS NULL";

const LIST: &str = "
SELECT webhook_id, url, description, event_types, created_at, created_by
FROM webhooks
WHERE deleted_at IS NULL
  AND ($1::uuid IS NULL OR webhook_id > $1)
ORDER BY webhook_id
OFFSET $2
LIMIT $3";

const LOCK: &str = "
SELECT webhook_id, url, description, event_types, created_at, created_by
FROM webhooks
WHERE webhook_id = $1
  AND deleted_at IS NULL
FOR NO KEY UPDATE";

const DELETE: &str = "
UPDATE webhooks
SET deleted_at = $2,
  secret = NULL
WHERE webhook_id = $1";

const ENDPOINTS: &str = "
SELECT webhook_id, url, secret
FROM webhooks
WHERE deleted_at IS NULL
  AND ($1::uuid IS NULL OR webhook_id = $1)
ORDER BY webhook_id";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[INSERT, LOCK_ALL, COUNT, LIST, LOCK, DELETE, ENDPOINTS];

/// A webhook without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Webhook {
    pub webhook_id: WebhookId,
    pub url: String,
    pub description: Option<String>,
    /// `None`: all event types.
    pub event_types: Option<Vec<String>>,
    pub created_at: Timestamp,
    pub created_by: String,
}

/// What is needed to call a webhook. Has no `Debug`, because it holds the secret.
pub struct Endpoint {
    pub webhook_id: WebhookId,
    pub url: String,
    pub secret: String,
}

/// Waits for other transactions that create a webhook, and locks them out.
pub async fn lock_all(tx: &Tx<'_>) -> Result<()> {
    statement::execute(tx, LOCK_ALL, &[]).await?;
    Ok(())
}

pub async fn count(tx: &Tx<'_>) -> Result<i64> {
    Ok(statement::row(tx, COUNT, &[]).await?.try_get(0)?)
}

pub async fn insert(tx: &Tx<'_>, webhook: &Webhook, secret: &str) -> Result<()> {
    let Webhook {
        webhook_id,
        url,
        description,
        event_types,
        created_at,
        created_by,
    } = webhook;
    statement::execute(
        tx,
        INSERT,
        &[
            &webhook_id.0,
            url,
            description,
            event_types,
            &secret,
            created_at,
            created_by,
        ],
    )
    .await?;
    Ok(())
}

/// Oldest first.
pub async fn list(executor: &impl Executor, page: &Page<Uuid>) -> Result<Vec<Webhook>> {
    statement::list(executor, LIST, &[&page.after, &page.skip, &page.limit], webhook).await
}

pub async fn lock(tx: &Tx<'_>, webhook_id: WebhookId) -> Result<Option<Webhook>> {
    statement::optional(tx, LOCK, &[&webhook_id.0], webhook).await
}

/// Marks the webhook as deleted, so that it is no longer called. [`forget_deleted`](super::deliveries::forget_deleted)
/// removes its deliveries.
pub async fn delete(tx: &Tx<'_>, webhook_id: WebhookId, now: Timestamp) -> Result<()> {
    statement::execute(tx, DELETE, &[&webhook_id.0, &now]).await?;
    Ok(())
}

fn webhook(row: &Row) -> Result<Webhook> {
    Ok(Webhook {
        webhook_id: WebhookId(row.try_get("webhook_id")?),
        url: row.try_get("url")?,
        description: row.try_get("description")?,
        event_types: row.try_get("event_types")?,
        created_at: row.try_get("created_at")?,
        created_by: row.try_get("created_by")?,
    })
}

/// The endpoints of all webhooks, or of one.
pub async fn endpoints(executor: &impl Executor, webhook_id: Option<WebhookId>) -> Result<Vec<Endpoint>> {
    let rows = statement::rows(executor, ENDPOINTS, &[&webhook_id.map(|id| id.0)]).await?;
    let endpoint = |row: &Row| {
        let webhook_id = WebhookId(row.try_get("webhook_id")?);
        Ok(Endpoint {
            webhook_id,
            url: row.try_get("url")?,
            secret: row.try_get("secret")?,
        })
    };
    rows.iter().map(endpoint).collect()
}
