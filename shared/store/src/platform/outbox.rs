//! Events for the operator's systems, written in the transaction that causes them.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::statement::{self, text};
use domain::event::{Event, EventType};
use domain::id::PlayerId;
use jiff::Timestamp;
use tokio_postgres::types::Json;
use uuid::Uuid;

columns! {
    struct EventRow<'a> => Events (created_at) {
        player_id: text = &'a PlayerId,
        event_type: text = EventType,
        payload: json = Json<&'a Event>,
    }
}

// An event that no webhook wants is not written: a million grants would otherwise leave a million useless rows.
const ADD: &str = text!(
    "INSERT INTO outbox (created_at, ",
    Events::NAMES,
    ")\nSELECT $1, ",
    Events::NAMES,
    "\nFROM ",
    Events::UNNEST,
    "
WHERE EXISTS (
  SELECT
  FROM webhooks AS w
  WHERE w.deleted_at IS NULL
    AND (w.event_types IS NULL OR n.event_type = ANY(w.event_types))
)"
);

const ANY: &str = "
SELECT EXISTS (
  SELECT
  FROM outbox
)";

// A transaction lock, so it works through a connection pooler. The number is arbitrary; no other lock of ours uses it.
const DISPATCHER: &str = "
SELECT pg_try_advisory_xact_lock(7239471625)";

const FIRST: &str = "
SELECT outbox_id
FROM outbox
ORDER BY outbox_id
LIMIT $1";

// Writes one delivery for each webhook that wants the event. The upsert of the stream also waits for a relay that
// holds the row: a relay that is about to delete the stream as empty commits first.
const FAN_OUT: &str = "
WITH taken AS (
  DELETE FROM outbox AS o
  USING unnest($1::bigint[], $2::uuid[]) AS n (outbox_id, event_id)
  WHERE o.outbox_id = n.outbox_id
  RETURNING o.outbox_id, o.player_id, o.event_type, o.payload, o.created_at, n.event_id
), added AS (
  INSERT INTO webhook_deliveries (player_id, webhook_id, delivery_id, event_id, event_type, payload, occurred_at,
    status)
  SELECT t.player_id, w.webhook_id, t.outbox_id, t.event_id, t.event_type, t.payload, t.created_at, 'PENDING'
  FROM taken AS t
  JOIN webhooks AS w ON w.deleted_at IS NULL AND (w.event_types IS NULL OR t.event_type = ANY(w.event_types))
  RETURNING player_id, webhook_id, delivery_id
)
INSERT INTO webhook_streams AS s (player_id, webhook_id, head, due_at)
SELECT player_id, webhook_id, min(delivery_id), $3
FROM added
GROUP BY player_id, webhook_id
ORDER BY player_id, webhook_id
ON CONFLICT (player_id, webhook_id) DO UPDATE
SET head = least(s.head, excluded.head)";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[ADD, ANY, DISPATCHER, FIRST, FAN_OUT];

/// Call it under the player's lock, so that the ids of a player's events are in the order in which they happened.
pub async fn add(tx: &Tx<'_>, events: &[Event], now: Timestamp) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let rows: Events<'_> = events
        .iter()
        .map(|event| EventRow {
            player_id: event.player_id(),
            event_type: event.event_type(),
            payload: Json(event),
        })
        .collect();
    statement::execute(tx, ADD, &rows.params([&now])).await?;
    Ok(())
}

/// Whether any event waits for dispatch.
pub async fn any(executor: &impl Executor) -> Result<bool> {
    Ok(statement::row(executor, ANY, &[]).await?.try_get(0)?)
}

/// Makes this transaction the only dispatcher; returns false when another one is. Two at once would block each other
/// on the same rows.
pub async fn try_be_dispatcher(tx: &Tx<'_>) -> Result<bool> {
    Ok(statement::row(tx, DISPATCHER, &[]).await?.try_get(0)?)
}

/// The lowest committed outbox ids. A lower id may still appear when its transaction commits. It then belongs to
/// another player, so no player's events change places.
pub async fn first(tx: &Tx<'_>, limit: i64) -> Result<Vec<i64>> {
    statement::list(tx, FIRST, &[&limit], |row| Ok(row.try_get(0)?)).await
}

/// Replaces events by deliveries, one for each webhook that wants the event.
pub async fn fan_out(tx: &Tx<'_>, outbox_ids: &[i64], event_ids: &[Uuid], now: Timestamp) -> Result<()> {
    statement::execute(tx, FAN_OUT, &[&outbox_ids, &event_ids, &now]).await?;
    Ok(())
}
