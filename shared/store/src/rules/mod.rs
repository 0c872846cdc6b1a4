//! Rules and their versions. A version never changes; a rule points at its current one.

pub mod budgets;
pub mod decisions;
pub mod population;
pub mod simulations;

use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::select::Select;
use crate::statement;
use domain::id::RuleId;
use domain::page::Page;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;

const RULE: &str = "
SELECT r.rule_id, r.current_version, r.created_at, r.updated_at, r.archived_at, v.definition
FROM rules r
JOIN rule_versions v ON v.rule_id = r.rule_id AND v.version = r.current_version";

const GET: &str = "
SELECT r.rule_id, r.current_version, r.created_at, r.updated_at, r.archived_at, v.definition
FROM rules r
JOIN rule_versions v ON v.rule_id = r.rule_id AND v.version = r.current_version
WHERE r.rule_id = $1";

// Archived and inactive rules grant nothing. Every saved definition contains `is_active`.
const LOAD_LIVE: &str = "
SELECT r.rule_id, r.current_version, r.created_at, r.updated_at, r.archived_at, v.definition
FROM rules r
JOIN rule_versions v ON v.rule_id = r.rule_id AND v.version = r.current_version
WHERE r.archived_at IS NULL
  AND (v.definition ->> 'is_active')::boolean
ORDER BY r.rule_id";

const LOAD_UNARCHIVED: &str = "
SELECT r.rule_id, r.current_version, r.created_at, r.updated_at, r.archived_at, v.definition
FROM rules r
JOIN rule_versions v ON v.rule_id = r.rule_id AND v.version = r.current_version
WHERE r.archived_at IS NULL
ORDER BY r.rule_id";

const VERSIONS: &str = "
SELECT version, definition, created_at, created_by
FROM rule_versions
WHERE rule_id = $1
  AND ($2::integer IS NULL OR version < $2)
ORDER BY version DESC
OFFSET $3
LIMIT $4";

const LOCK: &str = "
SELECT 1
FROM rules
WHERE rule_id = $1
FOR UPDATE";

// Conflicts with itself and with saves, not with reads.
const LOCK_ALL: &str = "LOCK TABLE rules IN SHARE ROW EXCLUSIVE MODE";

const INSERT: &str = "
INSERT INTO rules (rule_id, current_version, created_at, updated_at)
VALUES ($1, 1, $2, $2)
ON CONFLICT (rule_id) DO NOTHING";

const ADD_VERSION: &str = "
INSERT INTO rule_versions (rule_id, version, definition, created_at, created_by)
VALUES ($1, $2, $3, $4, $5)";

const SET_VERSION: &str = "
UPDATE rules
SET current_version = $2,
  updated_at = $3
WHERE rule_id = $1";

const ARCHIVE: &str = "
UPDATE rules
SET archived_at = $2,
  updated_at = $2
WHERE rule_id = $1";

/// Every statement of this file with a fixed text, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    RULE,
    GET,
    LOAD_LIVE,
    LOAD_UNARCHIVED,
    VERSIONS,
    LOCK,
    LOCK_ALL,
    INSERT,
    ADD_VERSION,
    SET_VERSION,
    ARCHIVE,
];

/// A rule at its current version.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRule {
    pub rule_id: String,
    pub version: i32,
    pub definition: Value,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    /// Archived rules grant nothing and cannot be changed.
    pub archived_at: Option<Timestamp>,
}

/// One version of a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleVersion {
    pub version: i32,
    pub definition: Value,
    pub created_at: Timestamp,
    pub created_by: String,
}

/// Rules that are not archived, ordered by id.
pub async fn list(executor: &impl Executor, is_active: Option<bool>, page: &Page<String>) -> Result<Vec<StoredRule>> {
    let mut select = Select::new(RULE);
    select.condition("r.archived_at IS NULL".into());
    if let Some(is_active) = is_active {
        select.equals("(v.definition ->> 'is_active')::boolean", is_active);
    }
    if let Some(after) = &page.after {
        let after = select.bind(after.clone());
        select.condition(format!("r.rule_id > {after}"));
    }
    select
        .page(executor, "r.rule_id", page.skip, page.limit)
        .await?
        .iter()
        .map(rule)
        .collect()
}

/// Returns the rule, archived or not.
pub async fn get(executor: &impl Executor, rule_id: &RuleId) -> Result<Option<StoredRule>> {
    statement::optional(executor, GET, &[&rule_id.as_str()], rule).await
}

/// Every rule that can grant: active and not archived.
pub async fn load_live(executor: &impl Executor) -> Result<Vec<StoredRule>> {
    statement::list(executor, LOAD_LIVE, &[], rule).await
}

/// Every rule that is not archived, including inactive rules.
pub async fn load_unarchived(executor: &impl Executor) -> Result<Vec<StoredRule>> {
    statement::list(executor, LOAD_UNARCHIVED, &[], rule).await
}

/// Newest first; `page.after` is a version.
pub async fn versions(executor: &impl Executor, rule_id: &RuleId, page: &Page<i32>) -> Result<Vec<RuleVersion>> {
    statement::list(
        executor,
        VERSIONS,
        &[&rule_id.as_str(), &page.after, &page.skip, &page.limit],
        |row| {
            Ok(RuleVersion {
                version: row.try_get("version")?,
                definition: row.try_get("definition")?,
                created_at: row.try_get("created_at")?,
                created_by: row.try_get("created_by")?,
            })
        },
    )
    .await
}

/// Returns whether the rule exists. If so, it stays locked until the transaction ends.
pub async fn lock(tx: &Tx<'_>, rule_id: &RuleId) -> Result<bool> {
    Ok(statement::optional_row(tx, LOCK, &[&rule_id.as_str()]).await?.is_some())
}

/// Keeps other rules from being saved until the transaction ends, for a rule that must fit them. Read them after this
/// call.
pub async fn lock_all(tx: &Tx<'_>) -> Result<()> {
    statement::execute(tx, LOCK_ALL, &[]).await?;
    Ok(())
}

/// Adds a rule with version 1. Returns false, and adds nothing, when the id is taken, even by an archived rule.
pub async fn insert(tx: &Tx<'_>, rule_id: &RuleId, definition: &Value, actor: &str, now: Timestamp) -> Result<bool> {
    if statement::execute(tx, INSERT, &[&rule_id.as_str(), &now]).await? == 0 {
        return Ok(false);
    }
    statement::execute(tx, ADD_VERSION, &[&rule_id.as_str(), &1_i32, definition, &now, &actor]).await?;
    Ok(true)
}

/// Adds a version and makes it the current one. The caller holds the rule's lock.
pub async fn save(
    tx: &Tx<'_>,
    rule_id: &RuleId,
    version: i32,
    definition: &Value,
    actor: &str,
    now: Timestamp,
) -> Result<()> {
    statement::execute(
        tx,
        ADD_VERSION,
        &[&rule_id.as_str(), &version, definition, &now, &actor],
    )
    .await?;
    statement::execute(tx, SET_VERSION, &[&rule_id.as_str(), &version, &now]).await?;
    Ok(())
}

/// Archives a rule. The caller holds its lock.
pub async fn archive(tx: &Tx<'_>, rule_id: &RuleId, now: Timestamp) -> Result<()> {
    statement::execute(tx, ARCHIVE, &[&rule_id.as_str(), &now]).await?;
    Ok(())
}

fn rule(row: &Row) -> Result<StoredRule> {
    Ok(StoredRule {
        rule_id: row.try_get("rule_id")?,
        version: row.try_get("current_version")?,
        definition: row.try_get("definition")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        archived_at: row.try_get("archived_at")?,
    })
}
