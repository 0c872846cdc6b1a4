//! Idempotency keys, claimed in the transaction that has the effect.

use crate::db::Tx;
use crate::error::Result;
use crate::statement;
use jiff::Timestamp;
use serde_json::Value;

// Waits for a concurrent transaction that holds the same key. After DO NOTHING, FIRST sees its committed row.
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

/// What a key means for this request.
#[derive(Debug, Clone, PartialEq)]
pub enum Claim {
    /// The key is new: have the effect, then [`answer`] in the same transaction.
    First,
    /// The same request already had its effect, with this response.
    Replay { status: u16, response: Value },
    /// The key was used for a different request.
    Reused,
    /// The same request had its effect so long ago that its response has been deleted.
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
