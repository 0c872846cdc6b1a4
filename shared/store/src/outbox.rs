//! Events for the operator's systems, written in the transaction that causes them.

use crate::db::Tx;
use crate::error::Result;
use crate::statement;
use domain::id::PlayerId;
use jiff::Timestamp;
use serde_json::Value;

const ADD: &str = "
INSERT INTO outbox (player_id, event_type, payload, created_at)
SELECT player_id, event_type, payload, $4
FROM unnest($1::text[], $2::text[], $3::json[]) AS n (player_id, event_type, payload)";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[ADD];

#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    pub player_id: PlayerId,
    /// `reward.granted`, `segment.changed`, …
    pub event_type: &'static str,
    pub payload: Value,
}

pub async fn add(tx: &Tx<'_>, events: &[Event], now: Timestamp) -> Result<()> {
    if events.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = events.iter().map(|event| event.player_id.as_str()).collect();
    let types: Vec<&str> = events.iter().map(|event| event.event_type).collect();
    let payloads: Vec<&Value> = events.iter().map(|event| &event.payload).collect();
    statement::execute(tx, ADD, &[&ids, &types, &payloads, &now]).await?;
    Ok(())
}
