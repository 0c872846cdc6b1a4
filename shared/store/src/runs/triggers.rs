//! Triggers: events of a player that cause rules to be evaluated. The causing transaction writes them; the reward
//! worker evaluates them.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::row::{player_id, word};
use crate::statement::{self, text};
use domain::id::{PlayerId, TriggerBatchId};
use domain::rule::Trigger;
use jiff::Timestamp;
use rust_decimal::Decimal;

columns! {
    struct TriggerRow<'a> => Triggers (batch_id, created_at) {
        player_id: text = &'a PlayerId,
        trigger: text = Trigger,
        trigger_id: text = &'a str,
        occurred_at: timestamptz = Timestamp,
        amount: numeric = Option<Decimal>,
        game: text = Option<&'a str>,
        entered: text = Option<&'a str>,
    }
}

const ADD: &str = text!(
    "INSERT INTO reward_triggers (batch_id, created_at, ",
    Triggers::NAMES,
    ")\nSELECT $1, $2, ",
    Triggers::NAMES,
    "\nFROM ",
    Triggers::UNNEST
);

// Locks no trigger rows: the lock on the players keeps other workers off the batch.
const PLAYERS: &str = "
SELECT DISTINCT player_id
FROM reward_triggers
WHERE batch_id = $1
  AND evaluated_at IS NULL
  AND failed_at IS NULL
ORDER BY player_id";

// One trigger per player, oldest first, so that the next one is evaluated after the grants of this one. At one instant
// deposits are first, as in the order of events.
const NEXT: &str = "
SELECT DISTINCT ON (t.player_id) t.player_id, t.trigger, t.trigger_id, t.occurred_at, t.amount, t.game, t.entered,
  EXISTS (
    SELECT
    FROM activity_events v
    WHERE v.player_id = t.player_id
      AND v.voids = t.trigger_id
  ) AS voided
FROM reward_triggers t
WHERE t.batch_id = $1
  AND t.evaluated_at IS NULL
  AND t.failed_at IS NULL
ORDER BY t.player_id, t.occurred_at, t.trigger, t.trigger_id";

columns! {
    struct TriggerKey<'a> => TriggerKeys (evaluated_at) {
        player_id: text = &'a PlayerId,
        trigger: text = Trigger,
        trigger_id: text = &'a str,
    }
}

const EVALUATED: &str = text!(
    "
UPDATE reward_triggers t
SET evaluated_at = $1
FROM ",
    TriggerKeys::UNNEST,
    "
WHERE t.player_id = n.player_id
  AND t.trigger = n.trigger
  AND t.trigger_id = n.trigger_id"
);

const FAIL: &str = "
UPDATE reward_triggers
SET failed_at = $2,
  error = $3
WHERE batch_id = $1
  AND evaluated_at IS NULL
  AND failed_at IS NULL";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[ADD, PLAYERS, NEXT, EVALUATED, FAIL];

/// A request to evaluate the rules with this trigger, once.
#[derive(Debug, Clone, PartialEq)]
pub struct NewTrigger {
    pub player_id: PlayerId,
    /// Never IMPORT or RECALCULATION: those are runs.
    pub trigger: Trigger,
    /// The event's id, or an id of its own. It is the period of a rule that pays per event.
    pub trigger_id: String,
    pub occurred_at: Timestamp,
    pub amount: Option<Decimal>,
    pub game: Option<String>,
    /// The segment or tier that the player now has, if it changed.
    pub entered: Option<String>,
}

/// A trigger whose turn it is.
#[derive(Debug, Clone, PartialEq)]
pub struct NextTrigger {
    pub trigger: NewTrigger,
    pub standing: Standing,
}

/// Whether the event of a trigger still counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    Counts,
    Voided,
}

/// Adds a batch. After the commit, the caller sends one message for it to the reward queue.
pub async fn add(tx: &Tx<'_>, batch_id: TriggerBatchId, triggers: &[NewTrigger], now: Timestamp) -> Result<()> {
    if triggers.is_empty() {
        return Ok(());
    }
    let rows: Triggers<'_> = triggers
        .iter()
        .map(|new| TriggerRow {
            player_id: &new.player_id,
            trigger: new.trigger,
            trigger_id: &new.trigger_id,
            occurred_at: new.occurred_at,
            amount: new.amount,
            game: new.game.as_deref(),
            entered: new.entered.as_deref(),
        })
        .collect();
    statement::execute(tx, ADD, &rows.params([&batch_id.0, &now])).await?;
    Ok(())
}

/// The players with open triggers in a batch, ordered by id.
pub async fn players(executor: &impl Executor, batch_id: TriggerBatchId) -> Result<Vec<String>> {
    statement::list(executor, PLAYERS, &[&batch_id.0], |row| Ok(row.try_get("player_id")?)).await
}

/// The next trigger of each player in a batch, ordered by player id. The caller holds the players' locks.
pub async fn next(tx: &Tx<'_>, batch_id: TriggerBatchId) -> Result<Vec<NextTrigger>> {
    statement::list(tx, NEXT, &[&batch_id.0], |row| {
        let trigger = NewTrigger {
            player_id: player_id(row)?,
            trigger: word(row, "trigger")?,
            trigger_id: row.try_get("trigger_id")?,
            occurred_at: row.try_get("occurred_at")?,
            amount: row.try_get("amount")?,
            game: row.try_get("game")?,
            entered: row.try_get("entered")?,
        };
        let standing = if row.try_get("voided")? {
            Standing::Voided
        } else {
            Standing::Counts
        };
        Ok(NextTrigger { trigger, standing })
    })
    .await
}

/// Marks triggers as evaluated. Belongs in the transaction of the grants.
pub async fn evaluated(tx: &Tx<'_>, triggers: &[NextTrigger], now: Timestamp) -> Result<()> {
    let keys: TriggerKeys<'_> = triggers
        .iter()
        .map(|next| &next.trigger)
        .map(|done| TriggerKey {
            player_id: &done.player_id,
            trigger: done.trigger,
            trigger_id: &done.trigger_id,
        })
        .collect();
    statement::execute(tx, EVALUATED, &keys.params([&now])).await?;
    Ok(())
}

/// Marks the open triggers of a batch as failed.
pub async fn fail(tx: &Tx<'_>, batch_id: TriggerBatchId, error: &str, now: Timestamp) -> Result<()> {
    statement::execute(tx, FAIL, &[&batch_id.0, &now, &error]).await?;
    Ok(())
}
