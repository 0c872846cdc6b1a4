//! What evaluates rules because it happened to a player: written in the causing transaction, worked on by the reward worker.

use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::statement;
use crate::wallet::ledger::player_id;
use domain::id::{PlayerId, TriggerBatchId};
use domain::rule::Trigger;
use jiff::Timestamp;
use rust_decimal::Decimal;

const ADD: &str = "
INSERT INTO reward_triggers (player_id, trigger, trigger_id, occurred_at, amount, game, batch_id, created_at)
SELECT player_id, trigger, trigger_id, occurred_at, amount, game, $7, $8
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::numeric[], $6::text[])
  AS n (player_id, trigger, trigger_id, occurred_at, amount, game)";

// The players, not the rows: who holds the players works on the batch alone.
const PLAYERS: &str = "
SELECT DISTINCT player_id
FROM reward_triggers
WHERE batch_id = $1
  AND evaluated_at IS NULL
  AND failed_at IS NULL
ORDER BY player_id";

// In the order of time; one of each player, so that the next is evaluated behind what this one granted.
const NEXT: &str = "
SELECT DISTINCT ON (player_id) player_id, trigger, trigger_id, occurred_at, amount, game
FROM reward_triggers
WHERE batch_id = $1
  AND evaluated_at IS NULL
  AND failed_at IS NULL
ORDER BY player_id, occurred_at, trigger, trigger_id";

const EVALUATED: &str = "
UPDATE reward_triggers t
SET evaluated_at = $4
FROM unnest($1::text[], $2::text[], $3::text[]) AS n (player_id, trigger, trigger_id)
WHERE t.player_id = n.player_id
  AND t.trigger = n.trigger
  AND t.trigger_id = n.trigger_id";

const FAIL: &str = "
UPDATE reward_triggers
SET failed_at = $2,
  error = $3
WHERE batch_id = $1
  AND evaluated_at IS NULL
  AND failed_at IS NULL";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[ADD, PLAYERS, NEXT, EVALUATED, FAIL];

/// The rules with this trigger are to be evaluated, once.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTrigger {
    pub player_id: PlayerId,
    /// Neither IMPORT nor RECALCULATION, which are runs.
    pub trigger: Trigger,
    /// The event's id, or one of its own: the period of a rule that pays per event.
    pub trigger_id: String,
    pub occurred_at: Timestamp,
    pub amount: Option<Decimal>,
    pub game: Option<String>,
}

/// Adds a batch: it wants one message on the reward queue, once the transaction is committed.
pub async fn add(tx: &Tx<'_>, batch_id: TriggerBatchId, triggers: &[NewTrigger], now: Timestamp) -> Result<()> {
    if triggers.is_empty() {
        return Ok(());
    }
    statement::execute(
        tx,
        ADD,
        &[
            &triggers.iter().map(|new| new.player_id.as_str()).collect::<Vec<_>>(),
            &triggers.iter().map(|new| new.trigger.as_str()).collect::<Vec<_>>(),
            &triggers.iter().map(|new| new.trigger_id.as_str()).collect::<Vec<_>>(),
            &triggers.iter().map(|new| new.occurred_at).collect::<Vec<_>>(),
            &triggers.iter().map(|new| new.amount).collect::<Vec<_>>(),
            &triggers.iter().map(|new| new.game.as_deref()).collect::<Vec<_>>(),
            &batch_id.0,
            &now,
        ],
    )
    .await?;
    Ok(())
}

/// Who waits in a batch, in the order of their ids.
pub async fn players(executor: &impl Executor, batch_id: TriggerBatchId) -> Result<Vec<String>> {
    statement::rows(executor, PLAYERS, &[&batch_id.0])
        .await?
        .iter()
        .map(|row| Ok(row.try_get("player_id")?))
        .collect()
}

/// The next trigger of each player of a batch, in the order of their ids. The caller holds the players' locks.
pub async fn next(tx: &Tx<'_>, batch_id: TriggerBatchId) -> Result<Vec<NewTrigger>> {
    let rows = statement::rows(tx, NEXT, &[&batch_id.0]).await?;
    rows.iter()
        .map(|row| {
            let trigger: &str = row.try_get("trigger")?;
            Ok(NewTrigger {
                player_id: player_id(row)?,
                trigger: Trigger::parse(trigger).ok_or_else(|| Error::Row(format!("trigger {trigger:?}")))?,
                trigger_id: row.try_get("trigger_id")?,
                occurred_at: row.try_get("occurred_at")?,
                amount: row.try_get("amount")?,
                game: row.try_get("game")?,
            })
        })
        .collect()
}

/// Marks triggers in the transaction of what their evaluation granted.
pub async fn evaluated(tx: &Tx<'_>, triggers: &[NewTrigger], now: Timestamp) -> Result<()> {
    let ids: Vec<&str> = triggers.iter().map(|done| done.player_id.as_str()).collect();
    let kinds: Vec<&str> = triggers.iter().map(|done| done.trigger.as_str()).collect();
    let trigger_ids: Vec<&str> = triggers.iter().map(|done| done.trigger_id.as_str()).collect();
    statement::execute(tx, EVALUATED, &[&ids, &kinds, &trigger_ids, &now]).await?;
    Ok(())
}

/// Gives up what is left of a batch that can never succeed.
pub async fn fail(tx: &Tx<'_>, batch_id: TriggerBatchId, error: &str, now: Timestamp) -> Result<()> {
    statement::execute(tx, FAIL, &[&batch_id.0, &now, &error]).await?;
    Ok(())
}
