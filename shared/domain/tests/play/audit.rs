//! What holds after every write, as the audit of the database asserts it.

use crate::world::World;
use domain::activity::{Action, Recorded, Remark};
use domain::bonus::{Grant, GrantStatus};
use domain::id::GrantId;
use domain::ledger::House;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

pub type Checked<T = ()> = Result<T, String>;

macro_rules! check {
    ($holds:expr, $($message:tt)+) => {
        if !$holds {
            return Err(format!($($message)+));
        }
    };
}
pub(crate) use check;

#[derive(Debug, Default, Clone, Copy, PartialEq)]
struct Sums {
    contribution: Decimal,
    bonus: Decimal,
    released: Decimal,
}

pub fn books(world: &World<'_>) -> Checked {
    let open: Decimal = world
        .grants
        .values()
        .filter(|grant| grant.status.is_open())
        .map(|grant| grant.balance)
        .sum();
    check!(
        open == world.wallet.balance,
        "the wallet holds {}, the open grants {open}",
        world.wallet.balance
    );
    let mut sums: BTreeMap<GrantId, Sums> = BTreeMap::new();
    for effect in world.recorded.values().flat_map(|recorded| &recorded.effects) {
        let sums = sums.entry(effect.grant_id).or_default();
        sums.contribution += effect.contribution;
        sums.bonus += effect.bonus;
        sums.released += effect.released;
    }
    let mut adjusted: BTreeMap<GrantId, Decimal> = BTreeMap::new();
    for (root_id, part) in world.interventions.iter().flat_map(|act| &act.parts) {
        *adjusted.entry(*root_id).or_default() += part;
    }
    for grant in world.tails() {
        of_grant(world, grant)?;
        let right = Sums {
            contribution: grant.wagering_completed,
            bonus: grant.flows.played,
            released: grant.released,
        };
        let effects = sums.get(&grant.root_id).copied().unwrap_or_default();
        check!(
            right == effects,
            "the events' effects are {effects:?}, not those of {grant:?}"
        );
        let adjusted = adjusted.get(&grant.root_id).copied().unwrap_or_default();
        check!(
            adjusted == grant.flows.adjusted,
            "people adjusted by {adjusted}: {grant:?}"
        );
    }
    Ok(())
}

fn of_grant(world: &World<'_>, grant: &Grant) -> Checked {
    for (house, amount) in flows(grant) {
        let moved = world.moved.get(&(grant.root_id, house)).copied().unwrap_or_default();
        check!(moved == amount, "{moved} moved from {house}, not {amount}: {grant:?}");
    }
    let told = world.told.get(&grant.root_id).copied().unwrap_or_default();
    let cash = grant.cash();
    check!(told == cash, "{told} of cash told, {cash} owed: {grant:?}");
    check!(
        cash.is_zero() || grant.status == GrantStatus::Completed,
        "cash of a lost bonus: {grant:?}"
    );
    check!(
        cash >= Decimal::ZERO && grant.conversion_limit().is_none_or(|limit| cash <= limit),
        "cash beyond the limit: {grant:?}"
    );
    check!(
        grant.wagering_completed >= Decimal::ZERO && grant.wagering_left() >= Decimal::ZERO,
        "wagering out of range: {grant:?}"
    );
    check!(grant.balance >= Decimal::ZERO, "a balance below 0: {grant:?}");
    check!(
        grant.status.is_open() || grant.balance.is_zero(),
        "an ended grant holds money: {grant:?}"
    );
    check!(
        grant.status.is_open() == grant.ended_at.is_none(),
        "an end without an instant: {grant:?}"
    );
    Ok(())
}

/// What came from each house account.
pub fn flows(grant: &Grant) -> BTreeMap<&'static str, Decimal> {
    let funded = if grant.activated_at.is_some() {
        grant.amount
    } else {
        Decimal::ZERO
    };
    let mut flows = BTreeMap::from([
        (House::Issuance.as_str(), funded),
        (House::Wagering.as_str(), grant.flows.played),
        (House::Adjustment.as_str(), grant.flows.adjusted),
        (House::CashOut.as_str(), -grant.flows.converted),
        (House::Expiry.as_str(), Decimal::ZERO),
        (House::Forfeit.as_str(), Decimal::ZERO),
    ]);
    let lost_to = match grant.status {
        GrantStatus::Expired => House::Expiry.as_str(),
        GrantStatus::Cancelled => House::Issuance.as_str(),
        _ => House::Forfeit.as_str(),
    };
    *flows.entry(lost_to).or_default() -= grant.flows.lost;
    flows
}

/// Every cent of a payout goes somewhere.
pub fn payout_is_split(recorded: &Recorded) -> Checked {
    let (Action::Payout(payout), outcome) = (&recorded.event.action, &recorded.outcome) else {
        return Ok(());
    };
    if matches!(outcome.remark, Some(Remark::Waiting | Remark::Voided)) {
        return Ok(());
    }
    let bonus: Decimal = outcome.grants.iter().map(|effect| effect.bonus).sum();
    let told = outcome.real_amount + outcome.forfeited_amount + bonus;
    check!(
        told == payout.amount.value(),
        "a payout is split into {told}: {recorded:?}"
    );
    Ok(())
}
