//! What evaluates rules because it happened to a player: written in the causing transaction, worked on by the reward worker.

use crate::db::Tx;
use crate::error::Result;
use crate::statement;
use domain::id::{PlayerId, TriggerBatchId};
use domain::rule::Trigger;
use jiff::Timestamp;
use rust_decimal::Decimal;

const ADD: &str = "
INSERT INTO reward_triggers (player_id, trigger, trigger_id, occurred_at, amount, game, batch_id, created_at)
SELECT player_id, trigger, trigger_id, occurred_at, amount, game, $7, $8
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::numeric[], $6::text[])
  AS n (player_id, trigger, trigger_id, occurred_at, amount, game)";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[ADD];

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
