//! The audit log of writes by people: who, what, before, after, why.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::statement::{self, text};
use domain::page::Page;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;
use uuid::Uuid;

columns! {
    struct EntryRow<'a> => Entries () {
        audit_id: uuid = Uuid,
        at: timestamptz = Timestamp,
        actor: text = &'a str,
        action: text = &'a str,
        subject: text = &'a str,
        before: jsonb = Option<&'a Value>,
        after: jsonb = Option<&'a Value>,
        reason: text = Option<&'a str>,
    }
}

const APPEND: &str = text!("INSERT INTO audit_log (", Entries::NAMES, ")\n", Entries::SELECT);

const LIST: &str = "
SELECT audit_id, at, actor, action, subject, before, after, reason
FROM audit_log
WHERE ($1::uuid IS NULL OR audit_id < $1)
  AND ($2::text IS NULL OR subject = $2)
ORDER BY audit_id DESC
OFFSET $3
LIMIT $4";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[APPEND, LIST];

/// One write by a person.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Entry {
    /// A UUIDv7, so ids are in the order of time.
    pub audit_id: Uuid,
    pub at: Timestamp,
    pub actor: String,
    /// The action as `noun.verb`: `player.update`, `rule.archive`.
    pub action: String,
    /// The subject as `noun:id`: `player:P001`.
    pub subject: String,
    /// `None`: the subject did not exist before. `after` is `None` when it no longer exists.
    pub before: Option<Value>,
    pub after: Option<Value>,
    pub reason: Option<String>,
}

/// Belongs in the transaction of the write it records.
pub async fn append(tx: &Tx<'_>, entry: &Entry) -> Result<()> {
    let entry = EntryRow {
        audit_id: entry.audit_id,
        at: entry.at,
        actor: &entry.actor,
        action: &entry.action,
        subject: &entry.subject,
        before: entry.before.as_ref(),
        after: entry.after.as_ref(),
        reason: entry.reason.as_deref(),
    };
    statement::execute(tx, APPEND, &Entries::from_iter([entry]).params([])).await?;
    Ok(())
}

/// Newest first; for one subject, or for all.
pub async fn list(executor: &impl Executor, subject: Option<&str>, page: &Page<Uuid>) -> Result<Vec<Entry>> {
    statement::list(executor, LIST, &[&page.after, &subject, &page.skip, &page.limit], entry).await
}

fn entry(row: &Row) -> Result<Entry> {
    Ok(Entry {
        audit_id: row.try_get("audit_id")?,
        at: row.try_get("at")?,
        actor: row.try_get("actor")?,
        action: row.try_get("action")?,
        subject: row.try_get("subject")?,
        before: row.try_get("before")?,
        after: row.try_get("after")?,
        reason: row.try_get("reason")?,
    })
}
