//! Deliveries: the events that webhooks have received or are still to receive.
//!
//! A player's deliveries to one webhook form a stream, with one row in `webhook_streams` while any is pending. Whoever
//! changes a pending delivery holds that row.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::row::{player_id, word};
use crate::statement::{self, text};
use domain::id::{PlayerId, WebhookId};
use domain::webhook::{Attempt, DeliveryStatus};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

// The head delivery is read by the next statement. This one sees only what was committed before it got the lock.
const CLAIM: &str = "
WITH due AS (
  SELECT player_id
  FROM webhook_streams
  WHERE webhook_id = $1
    AND due_at <= $2
    AND EXISTS (
      SELECT
      FROM webhooks
      WHERE webhook_id = $1
        AND deleted_at IS NULL
    )
  ORDER BY due_at
  LIMIT $3
  FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE webhook_streams AS s
SET claim_id = $4,
  due_at = $5
FROM due
WHERE s.webhook_id = $1
  AND s.player_id = due.player_id
RETURNING s.player_id, s.head";

columns! {
    struct StreamRow<'a> => Streams (webhook_id) {
        player_id: text = &'a PlayerId,
        head: bigint = i64,
    }
}

const HEADS: &str = text!(
    "
SELECT d.player_id, d.delivery_id, d.event_id, d.event_type, d.payload, d.occurred_at, d.attempts
FROM ",
    Streams::UNNEST,
    "
CROSS JOIN LATERAL (
  SELECT player_id, delivery_id, event_id, event_type, payload, occurred_at, attempts
  FROM webhook_deliveries
  WHERE player_id = n.player_id
    AND webhook_id = $1
    AND delivery_id >= n.head
    AND status = 'PENDING'
  ORDER BY delivery_id
  LIMIT 1
) AS d"
);

const HOLD: &str = "
SELECT player_id
FROM webhook_streams
WHERE webhook_id = $1
  AND player_id = ANY($2)
  AND claim_id = $3
ORDER BY player_id
FOR UPDATE";

columns! {
    struct TriedRow<'a> => TriedRows (webhook_id) {
        player_id: text = &'a PlayerId,
        delivery_id: bigint = i64,
        status: text = DeliveryStatus,
        attempted_at: timestamptz = Timestamp,
        status_code: integer = Option<i32>,
        error: text = Option<&'a str>,
        response: text = Option<&'a str>,
        duration_ms: integer = i32,
    }
}

const RECORD: &str = text!(
    "
UPDATE webhook_deliveries AS d
SET status = n.status,
  attempts = d.attempts + 1,
  attempted_at = n.attempted_at,
  status_code = n.status_code,
  error = n.error,
  response = n.response,
  duration_ms = n.duration_ms,
  ended_at = CASE WHEN n.status <> 'PENDING' THEN n.attempted_at END
FROM ",
    TriedRows::UNNEST,
    "
WHERE d.player_id = n.player_id
  AND d.webhook_id = $1
  AND d.delivery_id = n.delivery_id
  AND d.status = 'PENDING'"
);

columns! {
    struct NextRow<'a> => NextRows (webhook_id, now) {
        player_id: text = &'a PlayerId,
        delivery_id: bigint = i64,
        due_at: timestamptz = Timestamp,
    }
}

// The new head is one of three: the same delivery, due later; the next one, due now; or an earlier one that a person
// resent meanwhile, due now.
const ADVANCE: &str = text!(
    "
UPDATE webhook_streams AS s
SET head = m.head,
  due_at = CASE WHEN m.head = m.delivery_id THEN m.due_at ELSE $2 END,
  claim_id = NULL
FROM (
  SELECT n.player_id, n.delivery_id, n.due_at, (
    SELECT min(d.delivery_id)
    FROM webhook_deliveries AS d
    WHERE d.player_id = n.player_id
      AND d.webhook_id = $1
      AND d.delivery_id >= o.head
      AND d.status = 'PENDING'
  ) AS head
  FROM ",
    NextRows::UNNEST,
    "
  JOIN webhook_streams AS o ON o.webhook_id = $1 AND o.player_id = n.player_id
) AS m
WHERE s.webhook_id = $1
  AND s.player_id = m.player_id
  AND m.head IS NOT NULL"
);

// The streams that ADVANCE left claimed have nothing pending.
const FINISH: &str = "
DELETE FROM webhook_streams
WHERE webhook_id = $1
  AND player_id = ANY($2)
  AND claim_id = $3";

const DELIVERIES: &str = "
SELECT d.delivery_id, d.event_id, d.event_type, d.player_id, d.occurred_at, d.payload, d.status, d.attempts,
  d.attempted_at, d.status_code, d.error, d.response, d.duration_ms, d.ended_at, d.next_attempt_at
FROM unnest($2::text[]) AS s (status)
CROSS JOIN LATERAL (
  SELECT delivery_id, event_id, event_type, player_id, occurred_at, payload, status, attempts, attempted_at,
    status_code, error, response, duration_ms, ended_at,
    (
      SELECT due_at
      FROM webhook_streams AS q
      WHERE q.player_id = d.player_id
        AND q.webhook_id = $1
        AND q.head = d.delivery_id
        AND d.status = 'PENDING'
    ) AS next_attempt_at
  FROM webhook_deliveries AS d
  WHERE d.webhook_id = $1
    AND d.status = s.status COLLATE \"C\"
  ORDER BY d.delivery_id DESC
  LIMIT $3::bigint + $4::bigint
) AS d
ORDER BY d.delivery_id DESC
OFFSET $3
LIMIT $4";

const FIND: &str = "
SELECT player_id, status
FROM webhook_deliveries
WHERE webhook_id = $1
  AND status IN ('PENDING', 'DELIVERED', 'PARKED')
  AND delivery_id = $2";

// An attempt under way continues; the resent delivery comes next.
const REOPEN_STREAM: &str = "
INSERT INTO webhook_streams AS s (player_id, webhook_id, head, due_at)
VALUES ($1, $2, $3, $4)
ON CONFLICT (player_id, webhook_id) DO UPDATE
SET head = least(s.head, excluded.head),
  due_at = CASE WHEN s.claim_id IS NULL THEN least(s.due_at, excluded.due_at) ELSE s.due_at END";

const REOPEN: &str = "
UPDATE webhook_deliveries
SET status = 'PENDING',
  attempts = 0,
  ended_at = NULL
WHERE player_id = $1
  AND webhook_id = $2
  AND delivery_id = $3
  AND status = 'PARKED'";

const FORGET_DELIVERED: &str = "
DELETE FROM webhook_deliveries
WHERE (player_id, webhook_id, delivery_id) IN (
  SELECT player_id, webhook_id, delivery_id
  FROM webhook_deliveries
  WHERE status = 'DELIVERED'
    AND ended_at < $1
  ORDER BY ended_at
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)";

const FORGET_DELETED: &str = "
WITH gone AS (
  SELECT d.player_id, d.webhook_id, d.delivery_id
  FROM webhooks AS w
  CROSS JOIN LATERAL (
    SELECT player_id, webhook_id, delivery_id
    FROM webhook_deliveries
    WHERE webhook_id = w.webhook_id
    LIMIT $1
  ) AS d
  WHERE w.deleted_at IS NOT NULL
  LIMIT $1
), streams AS (
  DELETE FROM webhook_streams AS s
  USING gone
  WHERE s.player_id = gone.player_id
    AND s.webhook_id = gone.webhook_id
)
DELETE FROM webhook_deliveries AS d
USING gone
WHERE d.player_id = gone.player_id
  AND d.webhook_id = gone.webhook_id
  AND d.delivery_id = gone.delivery_id";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    CLAIM,
    HEADS,
    HOLD,
    RECORD,
    ADVANCE,
    FINISH,
    DELIVERIES,
    FIND,
    REOPEN_STREAM,
    REOPEN,
    FORGET_DELIVERED,
    FORGET_DELETED,
];

/// Claims due streams of a webhook until `until` and returns them as (player, head). Streams locked by others are
/// skipped.
pub async fn claim(
    executor: &impl Executor,
    webhook_id: WebhookId,
    claim_id: Uuid,
    limit: i64,
    now: Timestamp,
    until: Timestamp,
) -> Result<Vec<(PlayerId, i64)>> {
    statement::list(
        executor,
        CLAIM,
        &[&webhook_id.0, &now, &limit, &claim_id, &until],
        |row| Ok((player_id(row)?, row.try_get("head")?)),
    )
    .await
}

/// The next delivery of a stream.
#[derive(Debug)]
pub struct Due {
    pub player_id: PlayerId,
    pub delivery_id: i64,
    pub event_id: Uuid,
    pub event_type: String,
    pub payload: Box<RawValue>,
    pub occurred_at: Timestamp,
    /// The number of earlier attempts.
    pub attempts: usize,
}

/// The first pending delivery of each of these streams.
pub async fn heads(executor: &impl Executor, webhook_id: WebhookId, streams: &[(PlayerId, i64)]) -> Result<Vec<Due>> {
    let rows: Streams<'_> = streams
        .iter()
        .map(|(player_id, head)| StreamRow { player_id, head: *head })
        .collect();
    statement::list(executor, HEADS, &rows.params([&webhook_id.0]), due).await
}

fn due(row: &Row) -> Result<Due> {
    let attempts: i32 = row.try_get("attempts")?;
    Ok(Due {
        player_id: player_id(row)?,
        delivery_id: row.try_get("delivery_id")?,
        event_id: row.try_get("event_id")?,
        event_type: row.try_get("event_type")?,
        payload: row.try_get::<_, Json<Box<RawValue>>>("payload")?.0,
        occurred_at: row.try_get("occurred_at")?,
        attempts: usize::try_from(attempts).map_err(|source| Error::OutOfRange {
            column: "attempts".into(),
            source,
        })?,
    })
}

/// Locks those of these players' streams that this claim still holds, and returns their players.
pub async fn hold(tx: &Tx<'_>, webhook_id: WebhookId, claim_id: Uuid, players: &[&str]) -> Result<Vec<PlayerId>> {
    statement::list(tx, HOLD, &[&webhook_id.0, &players, &claim_id], player_id).await
}

/// One attempt and the resulting state of its delivery.
pub struct Tried<'a> {
    pub player_id: &'a PlayerId,
    pub delivery_id: i64,
    pub attempt: &'a Attempt,
    pub status: DeliveryStatus,
    /// When it is due again, if it is still pending.
    pub due_at: Timestamp,
}

/// Records one attempt per stream and advances the streams. The caller [`hold`]s them.
pub async fn record(
    tx: &Tx<'_>,
    webhook_id: WebhookId,
    claim_id: Uuid,
    tried: &[Tried<'_>],
    now: Timestamp,
) -> Result<()> {
    let rows: TriedRows<'_> = tried.iter().map(tried_row).collect();
    statement::execute(tx, RECORD, &rows.params([&webhook_id.0])).await?;
    let next: NextRows<'_> = tried
        .iter()
        .map(|one| NextRow {
            player_id: one.player_id,
            delivery_id: one.delivery_id,
            due_at: one.due_at,
        })
        .collect();
    statement::execute(tx, ADVANCE, &next.params([&webhook_id.0, &now])).await?;
    let players: Vec<&str> = tried.iter().map(|one| one.player_id.as_str()).collect();
    statement::execute(tx, FINISH, &[&webhook_id.0, &players, &claim_id]).await?;
    Ok(())
}

fn tried_row<'a>(one: &Tried<'a>) -> TriedRow<'a> {
    TriedRow {
        player_id: one.player_id,
        delivery_id: one.delivery_id,
        status: one.status,
        attempted_at: one.attempt.attempted_at,
        status_code: one.attempt.status_code.map(i32::from),
        error: one.attempt.error.as_deref(),
        response: one.attempt.response.as_deref(),
        duration_ms: i32::try_from(one.attempt.duration_ms).unwrap_or(i32::MAX),
    }
}

/// An event for a webhook, with the state of its delivery.
#[derive(Debug, Serialize)]
pub struct Delivery {
    /// Ascending in time among the deliveries of a player.
    pub delivery_id: i64,
    pub event_id: Uuid,
    pub event_type: String,
    pub player_id: PlayerId,
    pub occurred_at: Timestamp,
    pub data: Box<RawValue>,
    pub status: DeliveryStatus,
    pub attempts: i32,
    /// When the last attempt was made, here and in the fields below. A resend keeps them until the next attempt.
    pub attempted_at: Option<Timestamp>,
    pub status_code: Option<i32>,
    pub error: Option<String>,
    pub response: Option<String>,
    pub duration_ms: Option<i32>,
    /// Only for a pending delivery that is the head of its stream.
    pub next_attempt_at: Option<Timestamp>,
    /// When it was delivered or parked.
    pub ended_at: Option<Timestamp>,
}

/// Newest first.
pub async fn deliveries(
    executor: &impl Executor,
    webhook_id: WebhookId,
    statuses: &[DeliveryStatus],
    skip: i64,
    limit: i64,
) -> Result<Vec<Delivery>> {
    let statuses: Vec<&str> = statuses.iter().map(|status| status.as_str()).collect();
    statement::list(
        executor,
        DELIVERIES,
        &[&webhook_id.0, &statuses, &skip, &limit],
        delivery,
    )
    .await
}

fn delivery(row: &Row) -> Result<Delivery> {
    Ok(Delivery {
        delivery_id: row.try_get("delivery_id")?,
        event_id: row.try_get("event_id")?,
        event_type: row.try_get("event_type")?,
        player_id: player_id(row)?,
        occurred_at: row.try_get("occurred_at")?,
        data: row.try_get::<_, Json<Box<RawValue>>>("payload")?.0,
        status: word(row, "status")?,
        attempts: row.try_get("attempts")?,
        attempted_at: row.try_get("attempted_at")?,
        status_code: row.try_get("status_code")?,
        error: row.try_get("error")?,
        response: row.try_get("response")?,
        duration_ms: row.try_get("duration_ms")?,
        next_attempt_at: row.try_get("next_attempt_at")?,
        ended_at: row.try_get("ended_at")?,
    })
}

/// The player and the status of a delivery.
pub async fn find(
    executor: &impl Executor,
    webhook_id: WebhookId,
    delivery_id: i64,
) -> Result<Option<(PlayerId, DeliveryStatus)>> {
    statement::optional(executor, FIND, &[&webhook_id.0, &delivery_id], |row| {
        Ok((player_id(row)?, word(row, "status")?))
    })
    .await
}

/// Makes a parked delivery pending again and resets its attempts. Returns false when it is not parked.
pub async fn reopen(
    tx: &Tx<'_>,
    webhook_id: WebhookId,
    player_id: &PlayerId,
    delivery_id: i64,
    now: Timestamp,
) -> Result<bool> {
    let player_id = player_id.as_str();
    statement::execute(tx, REOPEN_STREAM, &[&player_id, &webhook_id.0, &delivery_id, &now]).await?;
    Ok(statement::execute(tx, REOPEN, &[&player_id, &webhook_id.0, &delivery_id]).await? == 1)
}

/// Deletes at most `limit` deliveries that succeeded before `before`. Returns how many.
pub async fn forget_delivered(executor: &impl Executor, before: Timestamp, limit: i64) -> Result<u64> {
    statement::execute(executor, FORGET_DELIVERED, &[&before, &limit]).await
}

/// Deletes at most `limit` deliveries of deleted webhooks. Returns how many.
pub async fn forget_deleted(executor: &impl Executor, limit: i64) -> Result<u64> {
    statement::execute(executor, FORGET_DELETED, &[&limit]).await
}
