//! Promotions, in the transaction that earned the points or changed what a tier requires.
//!
//! # Choices
//!
//! * A batch climbs the ladder in one step. A tier that requires more than points is reached when the batch is written,
//!   so its multiplier counts from the next request on.

use super::applicants::Applicants;
use crate::error::{Error, Result};
use crate::program::Program;
use domain::context::Context;
use domain::event::{Event, TierChanged};
use domain::id::{PlayerId, TriggerBatchId};
use domain::money::Points;
use domain::rule::Trigger;
use domain::tier::{MoveReason, Rank};
use rust_decimal::Decimal;
use std::collections::BTreeSet;
use store::platform::stats::{self, Counter, Slot};
use store::runs::triggers::NewTrigger;
use store::tiers::{Qualification, TierMove};
use store::{Executor, Tx};

/// Tier changes. The caller writes their events and counters together with its own.
#[derive(Debug, Default)]
pub(crate) struct Moves {
    steps: Vec<TierMove>,
    /// To be sent to the reward queue after the commit.
    pub batch_id: Option<TriggerBatchId>,
}

impl Moves {
    pub fn events(&self) -> impl Iterator<Item = Event> {
        self.steps.iter().map(changed)
    }

    pub fn counters(&self) -> impl Iterator<Item = (Counter, Decimal)> {
        let deltas = |step: &TierMove| {
            [
                (Counter::Tier(step.from.clone()), -Decimal::ONE),
                (Counter::Tier(step.to.clone()), Decimal::ONE),
            ]
        };
        self.steps.iter().flat_map(deltas)
    }
}

/// Adds earned points to the players' days and promotes those who earned enough, and those of `changed` who now meet a
/// tier's requirements. `earned` names each player once, sorted by id. The caller holds the locks of all of them.
pub(crate) async fn earn_in_tx(
    tx: &Tx<'_>,
    earned: &[(&PlayerId, Decimal)],
    changed: &[&str],
    context: Context,
) -> Result<Moves> {
    if earned.is_empty() && changed.is_empty() {
        return Ok(Moves::default());
    }
    let program = Program::load(tx, context.now).await?;
    let since = program.qualifying_since();
    let mut qualifications = Vec::new();
    if !earned.is_empty() {
        qualifications = store::tiers::earn(tx, earned, program.moment.today(), since).await?;
        let rose: BTreeSet<&PlayerId> = earned
            .iter()
            .filter(|(_, points)| *points > Decimal::ZERO)
            .map(|(player_id, _)| *player_id)
            .collect();
        qualifications.retain(|qualification| rose.contains(&qualification.player_id));
    }
    if program.ladder.has_requirements() {
        let known: BTreeSet<&str> = qualifications
            .iter()
            .map(|qualification| qualification.player_id.as_str())
            .collect();
        let others: Vec<&str> = changed
            .iter()
            .copied()
            .filter(|player_id| !known.contains(player_id))
            .collect();
        if !others.is_empty() {
            let others = store::tiers::qualifications(tx, &others, since).await?;
            qualifications.extend(others);
        }
    }
    let steps = climbers(tx, &qualifications, &program).await?;
    move_in_tx(tx, steps, context).await
}

/// Promotes those of the players who now meet a tier's requirements beyond points. The players are locked, sorted by
/// id, and their changes are written. Callers that write a journal use `books::write_changed` instead, which does both.
pub async fn promote_in_tx(tx: &Tx<'_>, player_ids: &[&str], context: Context) -> Result<Option<TriggerBatchId>> {
    let moves = earn_in_tx(tx, &[], player_ids, context).await?;
    store::platform::outbox::add(tx, &moves.events().collect::<Vec<_>>(), context.now).await?;
    stats::add(tx, &moves.counters().collect::<Vec<_>>(), Slot::of(player_ids.first())).await?;
    Ok(moves.batch_id)
}

/// Decides who climbs, on a ladder that cannot change until the commit. Pins it only if somebody climbs.
async fn climbers(tx: &Tx<'_>, qualifications: &[Qualification], program: &Program) -> Result<Vec<TierMove>> {
    let steps = decide(tx, qualifications, program).await?;
    if steps.is_empty() {
        return Ok(steps);
    }
    store::tiers::pin(tx).await?;
    let pinned = Program::load(tx, program.moment.now()).await?;
    if pinned.ladder == program.ladder {
        Ok(steps)
    } else {
        decide(tx, qualifications, &pinned).await
    }
}

async fn decide(
    executor: &impl Executor,
    qualifications: &[Qualification],
    program: &Program,
) -> Result<Vec<TierMove>> {
    let ladder = &program.ladder;
    let mut reaching = Vec::new();
    for qualification in qualifications {
        let (from, reached) = (
            rank(program, &qualification.tier)?,
            ladder.reached(qualification.qualifying_lp),
        );
        if reached > from {
            reaching.push((qualification, from, reached));
        }
    }
    let asked = reaching
        .iter()
        .filter(|(_, from, reached)| ladder.asks(*from, *reached));
    let asked: Vec<&str> = asked
        .map(|(qualification, ..)| qualification.player_id.as_str())
        .collect();
    let applicants = Applicants::load(executor, &asked, program).await?;
    let steps = reaching.into_iter().filter_map(|(qualification, from, _)| {
        let meets = |tier: &_| applicants.meets(&qualification.player_id, tier);
        let to = ladder.climb(from, qualification.qualifying_lp, meets);
        let tier = ladder.get(to).filter(|_| to > from)?;
        Some(TierMove {
            player_id: qualification.player_id.clone(),
            from: qualification.tier.clone(),
            to: tier.tier_level.clone(),
            reason: MoveReason::Qualified,
            qualifying_lp: qualification.qualifying_lp,
        })
    });
    Ok(steps.collect())
}

/// The rank of a player's tier.
pub(crate) fn rank(program: &Program, tier: &str) -> Result<Rank> {
    program
        .ladder
        .rank(tier)
        .ok_or_else(|| Error::stored("tier", format!("{tier} is not on the ladder")))
}

/// Writes tier changes and the triggers they cause.
pub(crate) async fn move_in_tx(tx: &Tx<'_>, steps: Vec<TierMove>, context: Context) -> Result<Moves> {
    if steps.is_empty() {
        return Ok(Moves::default());
    }
    store::tiers::change(tx, &steps, context.now).await?;
    let batch_id = TriggerBatchId((context.new_id)());
    let trigger = |step: &TierMove| NewTrigger {
        player_id: step.player_id.clone(),
        trigger: Trigger::TierChanged,
        trigger_id: format!("tier:{}", (context.new_id)()),
        occurred_at: context.now,
        amount: None,
        game: None,
        entered: Some(step.to.clone()),
    };
    store::runs::triggers::add(
        tx,
        batch_id,
        &steps.iter().map(trigger).collect::<Vec<_>>(),
        context.now,
    )
    .await?;
    Ok(Moves {
        steps,
        batch_id: Some(batch_id),
    })
}

fn changed(step: &TierMove) -> Event {
    Event::TierChanged(TierChanged {
        from: step.from.clone(),
        player_id: step.player_id.clone(),
        qualifying_lp: Points::of(step.qualifying_lp),
        reason: step.reason,
        to: step.to.clone(),
    })
}
