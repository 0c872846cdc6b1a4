//! Settings: one row per key that differs from its default.

use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::statement;
use jiff::Timestamp;
use serde_json::{Map, Value};

const LOAD: &str = "
SELECT key, value
FROM settings";

// Keys without a row cannot be locked one by one; readers are not kept waiting.
const LOCK: &str = "
LOCK TABLE settings IN SHARE ROW EXCLUSIVE MODE";

const SAVE: &str = "
INSERT INTO settings (key, value, updated_at, updated_by)
SELECT key, value, $3, $4
FROM unnest($1::text[], $2::jsonb[]) AS n (key, value)
ON CONFLICT (key) DO UPDATE
SET value = EXCLUDED.value,
  updated_at = EXCLUDED.updated_at,
  updated_by = EXCLUDED.updated_by";

/// Every statement of this file, for the test that prepares each. `LOCK` cannot be prepared.
pub const STATEMENTS: &[&str] = &[LOAD, SAVE];

/// The stored keys.
pub async fn load(executor: &impl Executor) -> Result<Map<String, Value>> {
    let rows = statement::rows(executor, LOAD, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("key")?, row.try_get("value")?)))
        .collect()
}

/// Keeps other writers out until the transaction ends.
pub async fn lock(tx: &Tx<'_>) -> Result<()> {
    Ok(tx.batch_execute(LOCK).await?)
}

pub async fn save(tx: &Tx<'_>, values: &Map<String, Value>, actor: &str, now: Timestamp) -> Result<()> {
    let (keys, values): (Vec<&String>, Vec<&Value>) = values.iter().unzip();
    statement::execute(tx, SAVE, &[&keys, &values, &now, &actor]).await?;
    Ok(())
}
