//! Changes to the books: which players they are open to, the lock, and everything that is written with them.
//!
//! # Choices
//!
//! * Blocked and inactive players can neither receive nor spend; self-excluded players cannot receive. Corrections
//!   (reverse, forfeit) and activity stay open to all: the books must be correct and complete.
//! * Expired money and points cannot be used, even before the sweep: every operation first applies due expiries, in its
//!   own transaction. A refused request rolls that back too. GET shows stored values.

use crate::error::{Error, Result};
use crate::players::PlayerError;
use crate::tiers::{self, Earned};
use domain::account::{Account, Journal};
use domain::bonus::ROUND_OPEN_HOURS;
use domain::context::Context;
use domain::event::Event;
use domain::id::{GrantId, PlayerId, TriggerBatchId};
use domain::ledger::{Cause, House, Kind};
use domain::money::Asset;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use store::Tx;
use store::platform::stats::{self, Counter, Slot, Total};
use store::players::Profile;

/// Which players an operation is open to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Giving something: neither blocked, inactive nor self-excluded.
    Give,
    /// Taking something: neither blocked nor inactive.
    Take,
    /// Correcting or recording something: any player.
    Correct,
}

/// Locks a player and everything they own.
///
/// # Errors
/// `NotFound`; [`PlayerError`] for a player who does not fit the purpose.
pub(crate) async fn lock(tx: &Tx<'_>, player_id: &PlayerId, purpose: Purpose, now: Timestamp) -> Result<Profile> {
    let profile = store::players::lock(tx, player_id)
        .await?
        .ok_or_else(|| Error::not_found("player", player_id))?;
    let excluded_until = profile.self_excluded_until.filter(|until| now < *until);
    let player_id = player_id.clone();
    if purpose != Purpose::Correct && profile.is_blocked {
        Err(PlayerError::Blocked { player_id }.into())
    } else if purpose != Purpose::Correct && !profile.is_active {
        Err(PlayerError::Inactive { player_id }.into())
    } else if let (Purpose::Give, Some(until)) = (purpose, excluded_until) {
        Err(PlayerError::SelfExcluded { player_id, until }.into())
    } else {
        Ok(profile)
    }
}

/// The account of a locked player, with due expiries applied.
pub(crate) async fn account(tx: &Tx<'_>, player_id: &PlayerId, cause: &Cause<'_>) -> Result<Account> {
    let mut accounts = store::wallet::accounts::load(tx, &[player_id.as_str()]).await?;
    settle(tx, &mut accounts, cause).await?;
    accounts.pop().ok_or_else(|| Error::not_found("player", player_id))
}

/// Rounds staked before this instant can no longer pay.
pub(crate) fn rounds_since(now: Timestamp) -> Timestamp {
    now - SignedDuration::from_hours(ROUND_OPEN_HOURS.into())
}

/// Ends what is due by now: points and bonuses expire, fulfilled bonuses complete, and those without money are depleted
/// unless an open round may still pay into them. Everything that spends calls this first, so that expired value is gone
/// even if the scheduled sweep has not run, and again where it may have emptied a bonus.
pub(crate) async fn settle(tx: &Tx<'_>, accounts: &mut [Account], cause: &Cause<'_>) -> Result<()> {
    let emptied: Vec<(&PlayerId, GrantId)> = accounts
        .iter()
        .flat_map(|account| {
            let roots = account.emptied().into_iter();
            roots.map(|root_id| (account.player_id(), root_id))
        })
        .collect();
    let now = cause.context.now;
    let held = store::wallet::grants::in_open_rounds(tx, &emptied, rounds_since(now)).await?;
    for account in accounts {
        account.settle_play(now, |root_id| held.contains(&root_id), cause)?;
        account.expire_points(cause)?;
    }
    Ok(())
}

/// Writes a journal with its history, events and figures, and promotes players who earned enough, in a fixed number of
/// statements. `more` are events of the use case. The caller holds the players' locks.
///
/// Returns the batch of triggers it caused. Callers with access to the reward queue send it after the commit; otherwise
/// the scheduler does.
pub(crate) async fn write(
    tx: &Tx<'_>,
    journal: &Journal,
    more: &[Event],
    slot: Slot,
    context: Context,
) -> Result<Option<TriggerBatchId>> {
    write_changed(tx, journal, more, &[], slot, context).await
}

/// Like [`write`]; also promotes those of the locked players `changed` who now meet a tier's requirements beyond
/// points, such as KYC, profile, stakes or deposits.
pub(crate) async fn write_changed(
    tx: &Tx<'_>,
    journal: &Journal,
    more: &[Event],
    changed: &[&str],
    slot: Slot,
    context: Context,
) -> Result<Option<TriggerBatchId>> {
    store::wallet::accounts::write(tx, journal).await?;
    let climbed = tiers::earn_in_tx(tx, &lp_earned(journal), changed, context).await?;
    let granted = journal.new_grants.iter().map(|(new, grant)| Event::granted(new, grant));
    let expired = journal
        .postings
        .iter()
        .filter(|posting| posting.operation.kind == Kind::PointsExpiry)
        .map(Event::points_expired);
    let adjusted = journal.adjustments.iter().map(Event::adjusted);
    let events = granted
        .chain(adjusted)
        .chain(journal.transitions.iter().filter_map(Event::moved))
        .chain(expired)
        .chain(more.iter().cloned())
        .chain(climbed.events());
    store::platform::outbox::add(tx, &events.collect::<Vec<_>>(), context.now).await?;
    let issued = Decimal::from(journal.new_grants.len());
    let rewards = [
        (Counter::Total(Total::RewardsIssued), issued),
        (Counter::Total(Total::RewardCost), journal.cost()),
    ];
    stats::add(
        tx,
        &rewards.into_iter().chain(climbed.counters()).collect::<Vec<_>>(),
        slot,
    )
    .await?;
    Ok(climbed.batch_id)
}

/// LP that count for the tiers: issued less reversed. Points that are spent, expired or deducted manually still count as
/// earned. Those of play are on their own days already, so only who earned or lost them matters.
fn lp_earned(journal: &Journal) -> Earned<'_> {
    let mut earned = Earned::default();
    for posting in journal
        .postings
        .iter()
        .filter(|posting| posting.asset == Asset::Lp && posting.house == House::Issuance)
    {
        match posting.operation.kind {
            Kind::Stake => {
                earned.by_play.insert(&posting.player_id);
            }
            Kind::Void => {
                earned.voided.insert(&posting.player_id);
            }
            _ => {
                let today = earned.today.entry(&posting.player_id).or_default();
                *today += Decimal::from(posting.direction.sign()) * posting.amount;
            }
        }
    }
    earned.today.retain(|_, points| !points.is_zero());
    earned
}
