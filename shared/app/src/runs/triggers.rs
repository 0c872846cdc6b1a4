//! Triggers: things that happened to players, for each of which rules are evaluated once. The causing transaction
//! writes them in batches; the reward worker evaluates them.
//!
//! # Choices
//!
//! * Rules judge the moment of the trigger. Of two deposits in one batch, each is judged by the totals that it made.
//! * An event that was voided before its turn calls no rules.

use crate::error::Result;
use crate::program::Program;
use crate::program::snapshot::period_keys;
use crate::runs::rewards::Batch;
use domain::context::Context;
use domain::evaluate::{Candidate, LiveRules, RuleSet, evaluate};
use domain::facts::{EventFacts, Facts};
use domain::id::TriggerBatchId;
use domain::period::Period;
use domain::player::Entry;
use domain::rule::Trigger;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use store::platform::stats::Slot;
use store::players::segments::SegmentChange;
use store::program::earlier::Asked;
use store::program::snapshots::Reading;
use store::runs::shards::RewardTotals;
use store::runs::triggers::{NewTrigger, Standing};
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
        entered: Some(change.to.as_str().to_owned()),
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
    store::players::lock_all(tx, &waiting.iter().map(String::as_str).collect::<Vec<_>>()).await?;
    // Read under the locks: another delivery may have evaluated them while this one waited.
    let triggers = store::runs::triggers::next(tx, batch_id).await?;
    let program = Program::load(tx, context.now).await?;
    let rules = program.rules(tx).await?;
    let calls: Vec<Call<'_>> = triggers
        .iter()
        .filter(|next| next.standing == Standing::Counts)
        .map(|next| Call::of(&next.trigger, &rules, &program))
        .filter(|call| !call.rules.is_empty())
        .collect();
    let mut totals = RewardTotals::default();
    // In the common case no rule has these triggers, and no facts are read.
    if !calls.is_empty() {
        totals = evaluate_calls(tx, batch_id, &calls, (&rules, &program), context).await?;
    }
    store::runs::triggers::evaluated(tx, &triggers, context.now).await?;
    totals.players = triggers.len();
    Ok(totals)
}

/// Evaluates triggers of different players, ordered by player id.
async fn evaluate_calls(
    tx: &Tx<'_>,
    batch_id: TriggerBatchId,
    calls: &[Call<'_>],
    (rules, program): (&RuleSet, &Program),
    context: Context,
) -> Result<RewardTotals> {
    let ids: Vec<&str> = calls.iter().map(|call| call.trigger.player_id.as_str()).collect();
    let mut batch = Batch::open(tx, rules, program, context).await?;
    let reading = reading(calls, program);
    let mut players = store::program::snapshots::load(tx, &ids, &reading).await?;
    crate::players::risk::scan_snapshots(tx, &mut players, &program.settings, context).await?;
    let asked: Vec<Asked<'_>> = calls.iter().map(Call::asked).collect();
    let mut earlier = store::program::earlier::load(tx, &asked, &reading.sources, &program.moment).await?;
    let mut books = store::wallet::ledger::books(tx, &ids).await?;
    for call in calls {
        let player_id = &call.trigger.player_id;
        let Ok(index) = players.binary_search_by(|player| player.player_id.cmp(player_id)) else {
            continue;
        };
        let Some(book) = books.remove(player_id.as_str()) else {
            continue;
        };
        let player = &players[index];
        let earlier = earlier.remove(player_id.as_str()).unwrap_or_default();
        let then = player.at(earlier, &program.settings.segments);
        let candidate = Candidate {
            player,
            facts: &Facts::of(&then, &program.catalogue, call.rules.moment(), Some(&call.event)),
            event: Some(&call.event),
        };
        let evaluation = evaluate(&candidate, &call.rules, &program.settings, batch.budgets());
        batch.add(&candidate, evaluation, book)?;
    }
    batch.write(tx, None, Slot::of(batch_id), program).await
}

/// A trigger and the rules that it calls.
struct Call<'a> {
    trigger: &'a NewTrigger,
    event: EventFacts,
    rules: LiveRules<'a>,
}

impl<'a> Call<'a> {
    fn of(trigger: &'a NewTrigger, rules: &'a RuleSet, program: &Program) -> Self {
        let moment = program.moment.at(trigger.occurred_at);
        Self {
            trigger,
            event: event_facts(trigger),
            rules: rules.called(trigger.trigger, &moment, program.moment.now()),
        }
    }

    fn asked(&self) -> Asked<'_> {
        Asked {
            player_id: &self.trigger.player_id,
            moment: self.rules.moment(),
            trigger: self.trigger.trigger,
            trigger_id: &self.trigger.trigger_id,
        }
    }
}

fn event_facts(trigger: &NewTrigger) -> EventFacts {
    let entry = trigger.entered.as_ref().map(|entered| Entry {
        entered: format!("{}:{entered}", trigger.trigger),
        at: trigger.occurred_at,
    });
    EventFacts {
        trigger: trigger.trigger,
        event_id: trigger.trigger_id.clone(),
        occurred_at: trigger.occurred_at,
        amount: trigger.amount,
        game: trigger.game.clone(),
        entry,
    }
}

/// What the called rules read, and the periods in which they may grant.
fn reading<'a>(calls: &'a [Call<'_>], program: &'a Program) -> Reading<'a> {
    let mut keys = period_keys(calls.iter().map(|call| call.rules.moment()));
    keys.extend(calls.iter().map(|call| Period::of_event(&call.event.event_id).key));
    let entries: BTreeSet<&str> = calls
        .iter()
        .filter_map(|call| Some(call.event.entry.as_ref()?.entered.as_str()))
        .collect();
    Reading {
        moment: &program.moment,
        sources: calls
            .iter()
            .flat_map(|call| call.rules.sources(&program.catalogue))
            .collect(),
        period_keys: keys,
        entered: entries.into_iter().collect(),
    }
}
