//! Keys of callers, claimed in the transaction that has the effect.

use crate::db::Tx;
use crate::error::Result;
use crate::statement;
use jiff::Timestamp;
use serde_json::Value;

// Waits for a concurrent transaction that holds the same key; DO NOTHING then sees its committed row.
const CLAIM: &str = "
INSERT INTO idempotency_keys (scope, key, request_hash, status, response, created_at)
VALUES ($1, $2, $3, 0, 'null', $4)
ON CONFLICT (scope, key) DO NOTHING";

const FIRST: &str = "
SELECT request_hash, status, response, forgotten_at
FROM idempotency_keys
WHERE scope = $1
  AND key = $2";

const ANSWER: &str = "
UPDATE idempotency_keys
SET status = $3,
  response = $4
WHERE scope = $1
  AND key = $2";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[CLAIM, FIRST, ANSWER];

/// Whose key it is for this request.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// Ours: have the effect, then [`answer`] in the same transaction.
    First,
    /// It had its effect; this was the answer.
    Replay { status: u16, response: Value },
    /// It was used for another request.
    Reused,
    /// It had its effect so long ago that the answer is no longer there.
    Forgotten,
}

/// Claims `key` for the request with this hash. Blocks while another transaction holds the key.
pub async fn claim(tx: &Tx<'_>, scope: &str, key: &str, request_hash: &[u8], now: Timestamp) -> Result<Claim> {
    if statement::execute(tx, CLAIM, &[&scope, &key, &request_hash, &now]).await? == 1 {
        return Ok(Claim::First);
    }
    let row = statement::row(tx, FIRST, &[&scope, &key]).await?;
    if row.try_get::<_, Vec<u8>>("request_hash")? != request_hash {
        return Ok(Claim::Reused);
    }
    if row.try_get::<_, Option<Timestamp>>("forgotten_at")?.is_some() {
        return Ok(Claim::Forgotten);
    }
    let status: i16 = row.try_get("status")?;
    Ok(Claim::Replay {
        status: status.unsigned_abs(),
        response: row.try_get("response")?,
    })
}

pub async fn answer(tx: &Tx<'_>, scope: &str, key: &str, status: u16, response: &Value) -> Result<()> {
    let status = i16::try_from(status).unwrap_or_default();
    statement::execute(tx, ANSWER, &[&scope, &key, &status, response]).await?;
    Ok(())
}
