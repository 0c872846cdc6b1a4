//! Promotions, in the transaction that earned the points or changed what a tier requires; and what voids take back.
//!
//! # Choices
//!
//! * A batch climbs the ladder in one step, when it is written.

use super::applicants::Applicants;
use crate::error::{Error, Result};
use crate::program::Program;
use domain::context::Context;
use domain::event::{Event, TierChanged};
use domain::id::{PlayerId, TriggerBatchId};
use domain::money::Points;
use domain::rule::Trigger;
use domain::tier::{Climb, MoveReason, Rank, Tier};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::platform::stats::{self, Counter, Slot};
use store::runs::triggers::NewTrigger;
use store::tiers::{Qualification, TierMove};
use store::{Executor, Tx};

/// Moves of a player that a void looks back at. Older ones stand.
const REJUDGED_MAX: i64 = 100;

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

/// What a transaction did to the LP that count for the tiers.
#[derive(Debug, Default)]
pub(crate) struct Earned<'a> {
    /// Earned today, negative for what was taken back, never 0.
    pub today: BTreeMap<&'a PlayerId, Decimal>,
    /// Who earned by play: those points are on the days of the stakes already.
    pub by_play: BTreeSet<&'a PlayerId>,
    /// Who lost the points of voided stakes.
    pub voided: BTreeSet<&'a PlayerId>,
}

impl Earned<'_> {
    fn is_empty(&self) -> bool {
        self.today.is_empty() && self.by_play.is_empty() && self.voided.is_empty()
    }
}

/// Adds earned points to today, promotes those who earned enough and those of `changed` who now meet a tier's
/// requirements, and takes back the tiers that voided stakes had earned. The caller holds the locks of all of them.
pub(crate) async fn earn_in_tx(tx: &Tx<'_>, earned: &Earned<'_>, changed: &[&str], context: Context) -> Result<Moves> {
    if earned.is_empty() && changed.is_empty() {
        return Ok(Moves::default());
    }
    let program = Program::load(tx, context.now).await?;
    let since = program.qualifying_since();
    let mut qualifications = Vec::new();
    if !earned.today.is_empty() {
        let today: Vec<_> = earned
            .today
            .iter()
            .map(|(player_id, points)| (*player_id, *points))
            .collect();
        qualifications = store::tiers::earn(tx, &today, program.moment.today(), since).await?;
        qualifications.retain(|qualification| earned.today[&qualification.player_id] > Decimal::ZERO);
    }
    let known: BTreeSet<&str> = qualifications
        .iter()
        .map(|qualification| qualification.player_id.as_str())
        .collect();
    let played = earned.by_play.union(&earned.voided).map(|player_id| player_id.as_str());
    let meeting = changed.iter().copied().filter(|_| program.ladder.has_requirements());
    let others: BTreeSet<&str> = played
        .chain(meeting)
        .filter(|player_id| !known.contains(player_id))
        .collect();
    if !others.is_empty() {
        let others: Vec<&str> = others.into_iter().collect();
        qualifications.extend(store::tiers::qualifications(tx, &others, since).await?);
    }
    let steps = movers(tx, &qualifications, &earned.voided, &program).await?;
    move_in_tx(tx, steps, context).await
}

/// Promotes those of the players who now meet a tier's requirements beyond points. The players are locked, sorted by
/// id, and their changes are written. Callers that write a journal use `books::write_changed` instead, which does both.
pub async fn promote_in_tx(tx: &Tx<'_>, player_ids: &[&str], context: Context) -> Result<Option<TriggerBatchId>> {
    let moves = earn_in_tx(tx, &Earned::default(), player_ids, context).await?;
    store::platform::outbox::add(tx, &moves.events().collect::<Vec<_>>(), context.now).await?;
    stats::add(tx, &moves.counters().collect::<Vec<_>>(), Slot::of(player_ids.first())).await?;
    Ok(moves.batch_id)
}

/// Decides who moves, on a ladder that cannot change until the commit. Pins it only if somebody moves.
async fn movers(
    tx: &Tx<'_>,
    qualifications: &[Qualification],
    voided: &BTreeSet<&PlayerId>,
    program: &Program,
) -> Result<Vec<TierMove>> {
    let steps = decide(tx, qualifications, voided, program).await?;
    if steps.is_empty() {
        return Ok(steps);
    }
    store::tiers::pin(tx).await?;
    let pinned = Program::load(tx, program.moment.now()).await?;
    if pinned.ladder == program.ladder {
        Ok(steps)
    } else {
        decide(tx, qualifications, voided, &pinned).await
    }
}

async fn decide(
    executor: &impl Executor,
    qualifications: &[Qualification],
    voided: &BTreeSet<&PlayerId>,
    program: &Program,
) -> Result<Vec<TierMove>> {
    let mut steps = climbers(executor, qualifications, program).await?;
    steps.extend(fallers(executor, qualifications, voided, program).await?);
    Ok(steps)
}

/// Who has the points for a higher tier, and what it asks for.
async fn climbers(
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
        step(
            qualification,
            ladder.get(to).filter(|_| to > from)?,
            MoveReason::Qualified,
        )
    });
    Ok(steps.collect())
}

/// Who no longer has the points for the tier because stakes were voided, and climbed to it by those stakes.
async fn fallers(
    executor: &impl Executor,
    qualifications: &[Qualification],
    voided: &BTreeSet<&PlayerId>,
    program: &Program,
) -> Result<Vec<TierMove>> {
    let ladder = &program.ladder;
    let mut lacking = Vec::new();
    for qualification in qualifications.iter().filter(|found| voided.contains(&found.player_id)) {
        let held = rank(program, &qualification.tier)?;
        if ladder.reached(qualification.qualifying_lp) < held {
            lacking.push((qualification, held));
        }
    }
    if lacking.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<&str> = lacking.iter().map(|(found, _)| found.player_id.as_str()).collect();
    let mut climbs = climbs(executor, &ids, program).await?;
    let asked: Vec<&str> = lacking
        .iter()
        .filter(|(_, held)| ladder.asks(Rank(0), *held))
        .map(|(found, _)| found.player_id.as_str())
        .collect();
    let applicants = Applicants::load(executor, &asked, program).await?;
    let steps = lacking.into_iter().filter_map(|(qualification, held)| {
        let meets = |tier: &_| applicants.meets(&qualification.player_id, tier);
        let climbs = climbs.remove(&qualification.player_id).unwrap_or_default();
        let to = ladder.rejudge(held, qualification.qualifying_lp, &climbs, meets);
        step(qualification, ladder.get(to).filter(|_| to < held)?, MoveReason::Voided)
    });
    Ok(steps.collect())
}

/// The moves up since the last step down of a review, newest first.
async fn climbs(
    executor: &impl Executor,
    player_ids: &[&str],
    program: &Program,
) -> Result<HashMap<PlayerId, Vec<Climb>>> {
    let (settings, ladder) = (&program.settings, &program.ladder);
    let moves = store::tiers::last_moves(
        executor,
        player_ids,
        &settings.time_zone,
        settings.tier_qualification_days,
        REJUDGED_MAX,
    )
    .await?;
    let (mut climbs, mut settled) = (HashMap::<PlayerId, Vec<Climb>>::new(), BTreeSet::new());
    for past in moves {
        if past.reason == MoveReason::Downgrade {
            settled.insert(past.player_id);
            continue;
        }
        let (from, to) = (
            past.from.as_deref().and_then(|from| ladder.rank(from)),
            ladder.rank(&past.to),
        );
        if let (MoveReason::Qualified, Some(from), Some(to)) = (past.reason, from, to)
            && !settled.contains(&past.player_id)
        {
            let qualifying_lp = past.qualifying_lp;
            climbs.entry(past.player_id).or_default().push(Climb {
                from,
                to,
                qualifying_lp,
            });
        }
    }
    Ok(climbs)
}

fn step(qualification: &Qualification, to: &Tier, reason: MoveReason) -> Option<TierMove> {
    Some(TierMove {
        player_id: qualification.player_id.clone(),
        from: qualification.tier.clone(),
        to: to.tier_level.clone(),
        reason,
        qualifying_lp: qualification.qualifying_lp,
    })
}

/// The rank of a player's tier.
pub(crate) fn rank(program: &Program, tier: &str) -> Result<Rank> {
    program
        .ladder
        .rank(tier)
        .ok_or_else(|| Error::stored("tier", format!("{tier} is not on the ladder")))
}

/// Writes tier changes and the triggers they cause. A move that corrects what voided stakes had earned calls no rules.
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
    let entered = steps.iter().filter(|step| step.reason != MoveReason::Voided);
    let triggers: Vec<NewTrigger> = entered.map(trigger).collect();
    store::runs::triggers::add(tx, batch_id, &triggers, context.now).await?;
    Ok(Moves {
        batch_id: (!triggers.is_empty()).then_some(batch_id),
        steps,
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
