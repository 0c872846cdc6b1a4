//! Writes by people: who, what, before, after, why.

use crate::db::Tx;
use crate::error::Result;
use crate::statement;
use jiff::Timestamp;
use serde_json::Value;
use uuid::Uuid;

const APPEND: &str = "
INSERT INTO audit_log (audit_id, at, actor, action, subject, before, after, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[APPEND];

/// One write by a person.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Entry {
    /// UUIDv7: the order of time.
    pub audit_id: Uuid,
    pub at: Timestamp,
    pub actor: String,
    /// What was done, `noun.verb`: `player.update`, `rule.archive`.
    pub action: String,
    /// What it was done to, `noun:id`: `player:P001`.
    pub subject: String,
    /// `None`: it was not there before, or is not there any more.
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<String>,
}

/// In the transaction of the write itself.
pub async fn append(tx: &Tx<'_>, entry: &Entry) -> Result<()> {
    let Entry { audit_id, at, actor, action, subject, before, after, reason } = entry;
    statement::execute(tx, APPEND, &[audit_id, at, actor, action, subject, before, after, reason]).await?;
    Ok(())
}
