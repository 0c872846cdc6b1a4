//! API keys. Only their hashes are stored.

use crate::columns;
use crate::db::Executor;
use crate::error::Result;
use crate::row::word;
use crate::statement::{self, text};
use domain::access::{ApiKey, Role};
use domain::page::Page;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

columns! {
    struct KeyRow<'a> => Keys () {
        key_id: uuid = Uuid,
        key_hash: bytea = &'a [u8],
        name: text = &'a str,
        role: text = Role,
        created_at: timestamptz = Timestamp,
        expires_at: timestamptz = Option<Timestamp>,
    }
}

const INSERT: &str = text!("INSERT INTO api_keys (", Keys::NAMES, ")\n", Keys::SELECT);

const FIND: &str = "
SELECT key_id, name, role, created_at, expires_at, revoked_at
FROM api_keys
WHERE key_hash = $1";

const LIST: &str = "
SELECT key_id, name, role, created_at, expires_at, revoked_at
FROM api_keys
WHERE ($1::uuid IS NULL OR key_id > $1)
ORDER BY key_id
OFFSET $2
LIMIT $3";

const LOCK: &str = "
SELECT key_id, name, role, created_at, expires_at, revoked_at
FROM api_keys
WHERE key_id = $1
FOR NO KEY UPDATE";

const REVOKE: &str = "
UPDATE api_keys
SET revoked_at = $2
WHERE key_id = $1";

const LOCK_ALL: &str = "
LOCK TABLE api_keys IN SHARE ROW EXCLUSIVE MODE";

const VALID_ADMIN: &str = "
SELECT key_id, name, role, created_at, expires_at, revoked_at
FROM api_keys
WHERE role = 'admin' AND revoked_at IS NULL AND (expires_at IS NULL OR expires_at > $1)
ORDER BY key_id
LIMIT 1";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[INSERT, FIND, LIST, LOCK, REVOKE, LOCK_ALL, VALID_ADMIN];

pub async fn insert(executor: &impl Executor, key: &ApiKey, hash: &[u8; 32]) -> Result<()> {
    let key = KeyRow {
        key_id: key.key_id,
        key_hash: hash,
        name: &key.name,
        role: key.role,
        created_at: key.created_at,
        expires_at: key.expires_at,
    };
    statement::execute(executor, INSERT, &Keys::from_iter([key]).params([])).await?;
    Ok(())
}

/// The key with this hash, including expired and revoked keys.
pub async fn find(executor: &impl Executor, hash: &[u8; 32]) -> Result<Option<ApiKey>> {
    statement::optional(executor, FIND, &[&hash.as_slice()], key).await
}

/// Oldest first, including expired and revoked keys.
pub async fn list(executor: &impl Executor, page: &Page<Uuid>) -> Result<Vec<ApiKey>> {
    statement::list(executor, LIST, &[&page.after, &page.skip, &page.limit], key).await
}

/// Blocks other transactions that create, change or revoke a key until this one ends.
pub async fn lock_all(executor: &impl Executor) -> Result<()> {
    statement::execute(executor, LOCK_ALL, &[]).await?;
    Ok(())
}

/// The oldest admin key that is neither expired nor revoked.
pub async fn valid_admin(executor: &impl Executor, now: Timestamp) -> Result<Option<ApiKey>> {
    statement::optional(executor, VALID_ADMIN, &[&now], key).await
}

pub async fn lock(executor: &impl Executor, key_id: Uuid) -> Result<Option<ApiKey>> {
    statement::optional(executor, LOCK, &[&key_id], key).await
}

pub async fn revoke(executor: &impl Executor, key_id: Uuid, now: Timestamp) -> Result<()> {
    statement::execute(executor, REVOKE, &[&key_id, &now]).await?;
    Ok(())
}

fn key(row: &Row) -> Result<ApiKey> {
    Ok(ApiKey {
        key_id: row.try_get("key_id")?,
        name: row.try_get("name")?,
        role: word(row, "role")?,
        created_at: row.try_get("created_at")?,
        expires_at: row.try_get("expires_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}
