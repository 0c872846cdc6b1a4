//! A history, delivered in order or as drawn.

use crate::audit::{Checked, check};
use crate::history::{Arrival, Happening, Step};
use crate::world::{Casino, World};
use domain::account::What;
use domain::activity::{Action, Day, Event, EventError};
use domain::bonus::{Grant, GrantStatus, NewGrant};
use domain::id::{GrantId, TransactionId};
use domain::metrics::Totals;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// What a delivery leaves that no arrival order may change.
#[derive(Debug, PartialEq)]
pub struct Result {
    pub balance: Decimal,
    pub bonuses: BTreeMap<GrantId, Bonus>,
    pub totals: Totals,
    pub days: BTreeMap<Date, [Decimal; 4]>,
}

#[derive(Debug, PartialEq)]
pub struct Bonus {
    pub status: GrantStatus,
    pub reason: Option<String>,
    pub balance: Decimal,
    pub wagered: Decimal,
    pub flows: BTreeMap<&'static str, Decimal>,
    pub owed: Decimal,
}

enum Item<'a> {
    Grant(&'a NewGrant),
    Event(&'a Event, Option<Arrival>),
    Act {
        index: usize,
        what: &'a What,
        undoes: Option<usize>,
    },
}

/// When everything has arrived.
pub fn end_of(steps: &[Step]) -> Timestamp {
    let arrivals = steps.iter().map(|step| match &step.what {
        Happening::Event { arrival, .. } => arrival.again_at.unwrap_or(arrival.at).max(step.at),
        _ => step.at,
    });
    arrivals.max().unwrap_or_else(crate::world::start) + SignedDuration::from_mins(1)
}

/// Every event arrives when it happens, alone.
pub fn in_order<'a>(casino: &'a Casino, steps: &[Step], end: Timestamp) -> Checked<World<'a>> {
    let mut timeline: Vec<(Timestamp, u8, Item<'_>)> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        timeline.push((step.at, 0, item(index, step, None)));
    }
    deliver(casino, timeline, end)
}

/// Every event arrives as drawn, in batches, some twice.
pub fn as_drawn<'a>(casino: &'a Casino, steps: &[Step], end: Timestamp) -> Checked<World<'a>> {
    let mut timeline: Vec<(Timestamp, u8, Item<'_>)> = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        match &step.what {
            Happening::Event { arrival, .. } => {
                for at in [Some(arrival.at), arrival.again_at].into_iter().flatten() {
                    timeline.push((at, arrival.key, item(index, step, Some(*arrival))));
                }
            }
            _ => timeline.push((step.at, 128, item(index, step, None))),
        }
    }
    timeline.sort_by_key(|(at, key, _)| (*at, *key));
    deliver(casino, timeline, end)
}

fn item(index: usize, step: &Step, arrival: Option<Arrival>) -> Item<'_> {
    match &step.what {
        Happening::Grant(new) => Item::Grant(new),
        Happening::Event { event, .. } => Item::Event(event, arrival),
        Happening::Act { what, undoes } => Item::Act {
            index,
            what,
            undoes: *undoes,
        },
    }
}

fn deliver<'a>(casino: &'a Casino, timeline: Vec<(Timestamp, u8, Item<'_>)>, end: Timestamp) -> Checked<World<'a>> {
    let mut world = World::new(casino);
    let mut acts: HashMap<usize, TransactionId> = HashMap::new();
    let mut timeline = timeline.into_iter().peekable();
    while let Some((at, _, item)) = timeline.next() {
        world.now = at;
        match item {
            Item::Grant(new) => world.issue(new.clone())?,
            Item::Act { index, what, undoes } => {
                let what = match undoes {
                    Some(undone) => What::Restore {
                        deduction: acts[&undone],
                    },
                    None => what.clone(),
                };
                acts.insert(index, world.act(what)?);
            }
            Item::Event(event, arrival) => {
                let mut batch = vec![event.clone()];
                let mut last = arrival;
                while let Some((_, _, Item::Event(next, arrival))) = timeline.next_if(|(next_at, _, next)| {
                    *next_at == at && last.is_some_and(|last| !last.is_cut) && matches!(next, Item::Event(..))
                }) {
                    batch.push(next.clone());
                    last = arrival;
                }
                record(&mut world, batch)?;
                if last.is_some_and(|last| last.is_swept) {
                    world.sweep()?;
                }
            }
        }
    }
    world.now = end;
    world.sweep()?;
    Ok(world)
}

/// Only a void may be refused: what it names was voided before, or is never voided.
fn record(world: &mut World<'_>, batch: Vec<Event>) -> Checked {
    for answer in world.deliver(batch)? {
        match answer {
            Ok(_) | Err(EventError::AlreadyVoided { .. } | EventError::NotVoidable { .. }) => {}
            Err(error) => return Err(format!("refused: {error}")),
        }
    }
    Ok(())
}

pub fn result(world: &World<'_>) -> Result {
    let sums = |day: &Day| [day.deposited, day.wagered, day.won, day.withdrawn];
    Result {
        balance: world.wallet.balance,
        bonuses: world.tails().map(|grant| (grant.root_id, bonus(grant))).collect(),
        totals: Totals {
            // No stake, and a voided one.
            bets: world.totals.bets.or(Some(0)),
            last_deposit_date: None,
            ..world.totals.clone()
        },
        days: world
            .days
            .iter()
            .filter(|(_, day)| !day.is_zero())
            .map(|(date, day)| (*date, sums(day)))
            .collect(),
    }
}

fn bonus(grant: &Grant) -> Bonus {
    Bonus {
        status: grant.status,
        reason: grant.reason.clone(),
        balance: grant.balance,
        wagered: grant.wagering_completed,
        flows: crate::audit::flows(grant),
        owed: grant.cash(),
    }
}

/// What a history holds, to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    TwoVoids,
    RoundOverTwoGrants,
    ExpiryBetweenEvents,
    Conversion,
    Correction,
}

/// Tries both deliveries. Returns what the history holds.
pub fn agree(casino: &Casino, steps: &[Step]) -> Checked<Vec<Feature>> {
    let end = end_of(steps);
    let world = in_order(casino, steps, end).map_err(|error| format!("in order: {error}"))?;
    let right = result(&world);
    let late = as_drawn(casino, steps, end).map_err(|error| format!("as drawn: {error}"))?;
    let drawn = result(&late);
    for (root_id, bonus) in &right.bonuses {
        let drawn = &drawn.bonuses[root_id];
        check!(bonus == drawn, "{root_id} in order: {bonus:?}\nas drawn: {drawn:?}");
    }
    check!(right == drawn, "in order: {right:?}\nas drawn: {drawn:?}");
    let converts = world.tails().any(|grant| grant.cash() > Decimal::ZERO);
    let features = [
        (Feature::TwoVoids, voids(steps) >= 2),
        (Feature::RoundOverTwoGrants, has_round_over_two(&world)),
        (Feature::ExpiryBetweenEvents, has_expiry_between(&world)),
        (Feature::Conversion, converts),
        (Feature::Correction, !late.adjustments.is_empty()),
    ];
    Ok(features
        .into_iter()
        .filter_map(|(feature, holds)| holds.then_some(feature))
        .collect())
}

fn voids(steps: &[Step]) -> usize {
    let is_void = |step: &&Step| matches!(&step.what, Happening::Event { event, .. } if matches!(event.action, Action::Void { .. }));
    steps.iter().filter(is_void).count()
}

/// Whether several bonuses paid the stakes of one round.
fn has_round_over_two(world: &World<'_>) -> bool {
    let mut payers: BTreeMap<&str, BTreeSet<GrantId>> = BTreeMap::new();
    for recorded in world.recorded.values() {
        let (Some(round_id), Action::Stake(_)) = (recorded.event.action.round_id(), &recorded.event.action) else {
            continue;
        };
        let paid = recorded.effects.iter().filter(|effect| effect.bonus < Decimal::ZERO);
        payers
            .entry(round_id)
            .or_default()
            .extend(paid.map(|effect| effect.grant_id));
    }
    payers.values().any(|payers| payers.len() > 1)
}

/// Whether a bonus that had not ended otherwise expired before a later event.
fn has_expiry_between(world: &World<'_>) -> bool {
    let last = world.recorded.values().map(|recorded| recorded.event.occurred_at).max();
    let mut expired = world.tails().filter(|grant| grant.status == GrantStatus::Expired);
    expired.any(|grant| grant.expires_at < last)
}
