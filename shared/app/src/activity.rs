//! Activity: stakes, payouts, voids and withdrawals, each counted once, and what they do to bonuses.

use crate::books::{self, Purpose, above_zero, at_least_zero};
use crate::error::{Error, Result};
pub use crate::risk::Traces;
use domain::account::Past;
pub use domain::activity::{Action, Event, GrantEffect, Outcome, Payout, Remark, Stake};
use domain::context::Context;
use domain::id::{EventId, PlayerId};
use domain::idempotency::Answer;
use domain::ledger::Act;
use domain::money::Asset;
use domain::problem::FieldError;
use jiff::{Timestamp, Unit};
use store::stats::Slot;
use store::{Db, Tx, transaction};

/// Longest name of a game or a round, in characters.
const NAME_CHARACTERS_MAX: usize = 64;

/// What every event says.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// Counts once, for ever.
    pub event_id: EventId,
    pub player_id: PlayerId,
    pub at: Timestamp,
    /// No part of the event's content: of one that comes again, they are not looked at.
    pub traces: Traces,
}

impl Occurrence {
    /// Instants are kept to the microsecond.
    fn of(self, action: Action) -> Result<(Event, Traces)> {
        let Self { event_id, player_id, at, traces } = self;
        traces.check()?;
        let invalid = |_| Error::Validation(vec![FieldError::new("/occurred_at", "range", "is out of range")]);
        let event = Event { event_id, player_id, occurred_at: at.round(Unit::Microsecond).map_err(invalid)?, action };
        Ok((event, traces))
    }
}

/// A stake: its bonus part leaves the bonuses, and it feeds the wagering of the first of them.
///
/// # Errors
/// `NotFound`; `InsufficientBalance` when it names more bonus money than there is; `Conflict` when the event id was used
/// for another event.
pub async fn record_stake(db: &Db, what: Occurrence, stake: Stake, actor: &str, context: Context) -> Result<Answer<Outcome>> {
    above_zero(stake.amount, Asset::Bonus, "/amount")?;
    at_least_zero(stake.bonus_amount, Asset::Bonus, "/bonus_amount")?;
    if stake.bonus_amount > stake.amount {
        let detail = format!("{} is more than the stake of {}", stake.bonus_amount, stake.amount);
        return Err(Error::Validation(vec![FieldError::new("/bonus_amount", "range", detail)]));
    }
    check_name("/game", stake.game.as_deref())?;
    check_name("/round_id", stake.round_id.as_deref())?;
    record(db, what.of(Action::Stake(stake))?, actor, context).await
}

/// What a round paid: the share of bonuses that staked in it returns to them. 0 says that the round was lost.
pub async fn record_payout(db: &Db, what: Occurrence, payout: Payout, actor: &str, context: Context) -> Result<Answer<Outcome>> {
    at_least_zero(payout.amount, Asset::Bonus, "/amount")?;
    check_name("/round_id", payout.round_id.as_deref())?;
    record(db, what.of(Action::Payout(payout))?, actor, context).await
}

/// Takes a stake or a payout back, once. One that has not come yet will do nothing when it comes.
///
/// # Errors
/// `Conflict` when the event was voided before or is none that is voided; `InsufficientBalance` when a voided payout is
/// played already.
pub async fn void(db: &Db, what: Occurrence, voids: EventId, actor: &str, context: Context) -> Result<Answer<Outcome>> {
    record(db, what.of(Action::Void { voids })?, actor, context).await
}

/// A withdrawal forfeits the bonuses whose terms say so.
pub async fn record_withdrawal(
    db: &Db,
    what: Occurrence,
    amount: rust_decimal::Decimal,
    actor: &str,
    context: Context,
) -> Result<Answer<Outcome>> {
    above_zero(amount, Asset::Bonus, "/amount")?;
    record(db, what.of(Action::Withdrawal { amount })?, actor, context).await
}

fn check_name(pointer: &str, name: Option<&str>) -> Result<()> {
    let is_wrong = |name: &str| name.is_empty() || name.chars().any(char::is_control) || name.chars().nth(NAME_CHARACTERS_MAX).is_some();
    if name.is_some_and(is_wrong) {
        let detail = format!("must have 1 to {NAME_CHARACTERS_MAX} characters, none of them a control character");
        return Err(Error::Validation(vec![FieldError::new(pointer, "format", detail)]));
    }
    Ok(())
}

async fn record(db: &Db, (event, traces): (Event, Traces), actor: &str, context: Context) -> Result<Answer<Outcome>> {
    let act = Act { actor, reason: None, context };
    transaction!(db, |tx| record_in_tx(tx, &event, &traces, act))
}

async fn record_in_tx(tx: &Tx<'_>, event: &Event, traces: &Traces, act: Act<'_>) -> Result<Answer<Outcome>> {
    let (player_id, now) = (&event.player_id, act.context.now);
    // Blocked or not: it happened.
    books::lock(tx, player_id, Purpose::Correct, now).await?;
    if let Some((recorded, outcome)) = store::activity::find(tx, player_id, &event.event_id).await? {
        if recorded != *event {
            let detail = format!("event {} was recorded with another content", event.event_id);
            return Err(Error::conflict("event_id_reused", detail));
        }
        return Ok(Answer::Replayed(outcome));
    }
    let past = past(tx, event).await?;
    let mut accounts = [books::account(tx, player_id, &act).await?];
    let outcome = accounts[0].apply(event, &past, &act)?;
    // Before the question which rounds are open: this may be one.
    store::activity::add(tx, event, &outcome, now).await?;
    traces.add_in_tx(tx, player_id, now).await?;
    books::deplete(tx, &mut accounts, &act).await?;
    let [account] = accounts;
    let _scheduled = books::write(tx, &account.into_journal(), &[], Slot::of(player_id), act.context).await?;
    Ok(Answer::First(outcome))
}

/// What of the player's earlier events this one depends on.
async fn past(tx: &Tx<'_>, event: &Event) -> Result<Past> {
    let player_id = &event.player_id;
    match &event.action {
        Action::Stake(_) | Action::Payout(_) if store::activity::voided_by(tx, player_id, &event.event_id).await?.is_some() => {
            Ok(Past::Voided)
        }
        Action::Payout(Payout { round_id: Some(round_id), .. }) => Ok(Past::Round(store::activity::round(tx, player_id, round_id).await?)),
        Action::Void { voids } => {
            if let Some(by) = store::activity::voided_by(tx, player_id, voids).await? {
                return Err(Error::conflict("already_voided", format!("event {voids} was voided by {by}")));
            }
            match store::activity::find(tx, player_id, voids).await? {
                Some((Event { action: Action::Stake(_) | Action::Payout(_), .. }, _)) | None => {
                    Ok(Past::Effects(store::activity::effects(tx, player_id, voids).await?))
                }
                Some((voided, _)) => {
                    let detail = format!("event {voids} is a {}: only stakes and payouts are voided", voided.action.type_name());
                    Err(Error::conflict("not_voidable", detail))
                }
            }
        }
        _ => Ok(Past::Nothing),
    }
}
