//! Triggers: things that happened to players, for each of which rules are evaluated once. The causing transaction
//! writes them in batches; the reward worker evaluates them.

use crate::error::Result;
use crate::program::Program;
use crate::program::snapshot;
use crate::runs::rewards::Batch;
use domain::context::Context;
use domain::evaluate::{Candidate, LiveRules, RuleSet, evaluate};
use domain::facts::{EventFacts, Facts};
use domain::id::TriggerBatchId;
use domain::rule::Trigger;
use serde::{Deserialize, Serialize};
use store::platform::stats::Slot;
use store::players::segments::SegmentChange;
use store::runs::shards::RewardTotals;
use store::runs::triggers::NewTrigger;
use store::{Db, Tx, transaction};

/// The message on the reward queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TriggerMessage {
    pub batch_id: TriggerBatchId,
}

impl TriggerMessage {
    /// The message body.
    pub fn to_json(self) -> String {
        format!(r#"{{"batch_id":"{}"}}"#, self.batch_id)
    }
}

/// A first classification is not a change and triggers nothing.
pub(crate) fn segment_changed(change: &SegmentChange, context: Context) -> Option<NewTrigger> {
    change.from.map(|_| NewTrigger {
        player_id: change.player_id.clone(),
        trigger: Trigger::SegmentChanged,
        trigger_id: format!("segment:{}", (context.new_id)()),
        occurred_at: context.now,
        amount: None,
        game: None,
    })
}

/// Evaluates the pending triggers of a batch: each transaction takes the next trigger of every player, until none are
/// left. A second delivery finds nothing to do.
pub async fn run_batch(db: &Db, message: TriggerMessage, context: Context) -> Result<RewardTotals> {
    let mut totals = RewardTotals::default();
    loop {
        let wave: Result<RewardTotals> = transaction!(db, |tx| run_wave(tx, message.batch_id, context));
        let wave = wave?;
        if wave.players == 0 {
            return Ok(totals);
        }
        totals.add(&wave);
    }
}

/// Fails a batch that failed at its last delivery: it is not resent, and keeps the error.
pub async fn give_up(db: &Db, message: TriggerMessage, error: &str, context: Context) -> Result<()> {
    transaction!(db, |tx| give_up_in_tx(tx, message.batch_id, error, context))
}

async fn give_up_in_tx(tx: &Tx<'_>, batch_id: TriggerBatchId, error: &str, context: Context) -> Result<()> {
    Ok(store::runs::triggers::fail(tx, batch_id, error, context.now).await?)
}

async fn run_wave(tx: &Tx<'_>, batch_id: TriggerBatchId, context: Context) -> Result<RewardTotals> {
    let waiting = store::runs::triggers::players(tx, batch_id).await?;
    if waiting.is_empty() {
        return Ok(RewardTotals::default());
    }
    let locked = store::players::lock_all(tx, &waiting.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    let ids: Vec<&str> = locked.iter().map(String::as_str).collect();
    // Read under the locks: another delivery may have evaluated them while this one waited.
    let triggers = store::runs::triggers::next(tx, batch_id).await?;
    let program = Program::load(tx, context.now).await?;
    let rules = program.rules(tx).await?;
    let live = Live::of(&rules, &triggers, &program);
    if live.is_empty() {
        // The common case, for which no facts are read: no rule has these triggers.
        store::runs::triggers::evaluated(tx, &triggers, context.now).await?;
        return Ok(RewardTotals {
            players: triggers.len(),
            ..RewardTotals::default()
        });
    }
    let mut batch = Batch::open(tx, &rules, &program, context).await?;
    let event_ids: Vec<&str> = triggers.iter().map(|next| next.trigger_id.as_str()).collect();
    let mut players = snapshot::load_for_events(tx, &ids, &program, &event_ids).await?;
    crate::players::risk::scan_snapshots(tx, &mut players, &program.settings, context).await?;
    let mut books = store::wallet::ledger::books(tx, &ids).await?;
    for next in &triggers {
        let Ok(index) = players.binary_search_by(|player| player.player_id.cmp(&next.player_id)) else {
            continue;
        };
        let Some(book) = books.remove(next.player_id.as_str()) else {
            continue;
        };
        let event = event_facts(next);
        let facts = Facts::of(&players[index], &program.catalogue, &program.moment, Some(&event));
        let candidate = Candidate {
            player: &players[index],
            facts: &facts,
            event: Some(&event),
        };
        let evaluation = evaluate(&candidate, live.rules(next.trigger), &program.settings, batch.budgets());
        batch.add(&candidate, evaluation, book)?;
    }
    store::runs::triggers::evaluated(tx, &triggers, context.now).await?;
    let mut totals = batch.write(tx, None, Slot::of(batch_id), &program).await?;
    totals.players = triggers.len();
    Ok(totals)
}

fn event_facts(next: &NewTrigger) -> EventFacts {
    EventFacts {
        event_id: next.trigger_id.clone(),
        occurred_at: next.occurred_at,
        amount: next.amount,
        game: next.game.clone(),
    }
}

/// Live rules by trigger.
struct Live<'a>(Vec<(Trigger, LiveRules<'a>)>, LiveRules<'a>);

impl<'a> Live<'a> {
    fn of(rules: &'a RuleSet, triggers: &[NewTrigger], program: &Program) -> Self {
        let mut live: Vec<(Trigger, LiveRules<'a>)> = Vec::new();
        for next in triggers {
            if !live.iter().any(|(trigger, _)| *trigger == next.trigger) {
                live.push((next.trigger, rules.live(next.trigger, &program.moment)));
            }
        }
        Self(live, rules.live_where(&program.moment, |_| false))
    }

    fn is_empty(&self) -> bool {
        self.0.iter().all(|(_, rules)| rules.is_empty())
    }

    fn rules(&self, trigger: Trigger) -> &LiveRules<'a> {
        self.0
            .iter()
            .find(|(known, _)| *known == trigger)
            .map_or(&self.1, |(_, rules)| rules)
    }
}
