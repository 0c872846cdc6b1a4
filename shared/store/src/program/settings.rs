//! Settings: one row per key that differs from its default.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::statement::{self, text};
use jiff::Timestamp;
use serde_json::{Map, Value};

const LOAD: &str = "
SELECT key, value
FROM settings";

// A key without a row cannot be locked, so the table is. Readers do not wait for this lock.
const LOCK: &str = "
LOCK TABLE settings IN SHARE ROW EXCLUSIVE MODE";

columns! {
    struct SettingRow<'a> => Stored (updated_at, updated_by) {
        key: text = &'a str,
        value: jsonb = &'a Value,
    }
}

const SAVE: &str = text!(
    "INSERT INTO settings (updated_at, updated_by, ",
    Stored::NAMES,
    ")\nSELECT $1, $2, ",
    Stored::NAMES,
    "\nFROM ",
    Stored::UNNEST,
    "
ON CONFLICT (key) DO UPDATE
SET value = EXCLUDED.value,
  updated_at = EXCLUDED.updated_at,
  updated_by = EXCLUDED.updated_by"
);

/// Every statement of this file, for the test that prepares each. `LOCK` cannot be prepared.
pub const STATEMENTS: &[&str] = &[LOAD, SAVE];

/// The settings that differ from their defaults.
pub async fn load(executor: &impl Executor) -> Result<Map<String, Value>> {
    let rows = statement::rows(executor, LOAD, &[]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("key")?, row.try_get("value")?)))
        .collect()
}

/// Locks out other writers until the transaction ends.
pub async fn lock(tx: &Tx<'_>) -> Result<()> {
    Ok(tx.batch_execute(LOCK).await?)
}

pub async fn save(tx: &Tx<'_>, values: &Map<String, Value>, actor: &str, now: Timestamp) -> Result<()> {
    let rows: Stored<'_> = values.iter().map(|(key, value)| SettingRow { key, value }).collect();
    statement::execute(tx, SAVE, &rows.params([&now, &actor])).await?;
    Ok(())
}
