//! What events add to a player's totals and days, and voids take from them.
//!
//! # Choices
//!
//! * A payout that waits for its round's first stake counts with it, on the payout's own day.

use super::{Action, Day, Event, EventError, Player, Program};
use crate::metrics::Totals;
use crate::money::{INTEGER_DIGITS_MAX, STORED_SCALE};
use jiff::civil::Date;
use rust_decimal::{Decimal, RoundingStrategy};

const PLAYTIME_HOURS_MAX: i64 = 1_000_000_000;

/// The totals after an event, and what it adds to which days.
pub(super) struct Tally {
    pub totals: Totals,
    pub days: Vec<(Date, Day)>,
}

impl Tally {
    fn add(&mut self, event: &Event, program: &Program<'_>) -> Result<(), EventError> {
        let (totals, date) = (&mut self.totals, program.moment.day_of(event.occurred_at));
        let mut day = Day::default();
        match &event.action {
            Action::Deposit { amount } => {
                day.deposited = amount.value();
                totals.deposited = raised(totals.deposited, day.deposited, "total_deposited")?;
                totals.last_deposit_date = totals.last_deposit_date.max(Some(date));
            }
            Action::Withdrawal { amount } => {
                day.withdrawn = amount.value();
                totals.withdrawn = raised(totals.withdrawn, day.withdrawn, "total_withdrawn")?;
            }
            Action::Stake(stake) => {
                day.wagered = stake.amount.value();
                totals.bets = more_bets(totals);
                totals.wagered = raised(totals.wagered, day.wagered, "total_wagered")?;
            }
            Action::Payout(payout) => {
                day.won = payout.amount.value();
                totals.won = raised(totals.won, day.won, "total_won")?;
            }
            Action::Session { minutes } => {
                let more = totals.session_count.checked_add(1);
                totals.session_count = more.ok_or(EventError::OutOfRange { what: "session_count" })?;
                totals.playtime_hours = played(totals.playtime_hours, minutes.value())?;
            }
            Action::Void { .. } | Action::KycCompleted | Action::Profile { .. } | Action::Login => {}
        }
        self.note(date, day);
        Ok(())
    }

    /// An import may have set a smaller total in between, so nothing goes below 0.
    fn take(&mut self, event: &Event, program: &Program<'_>) {
        let totals = &mut self.totals;
        let mut day = Day::default();
        let (total, part, amount) = match &event.action {
            Action::Deposit { amount } => (&mut totals.deposited, &mut day.deposited, amount.value()),
            Action::Withdrawal { amount } => (&mut totals.withdrawn, &mut day.withdrawn, amount.value()),
            Action::Stake(stake) => {
                totals.bets = totals.bets.map(|bets| (bets - 1).max(0));
                (&mut totals.wagered, &mut day.wagered, stake.amount.value())
            }
            Action::Payout(payout) => (&mut totals.won, &mut day.won, payout.amount.value()),
            _ => return,
        };
        let taken = amount.min(*total);
        *total -= taken;
        *part = -taken;
        self.note(program.moment.day_of(event.occurred_at), day);
    }

    fn note(&mut self, date: Date, day: Day) {
        if !day.is_zero() {
            self.days.push((date, day));
        }
    }
}

impl Player {
    /// Counts a new event, what it removes, and the payouts that wait for it or have to wait again.
    pub(super) fn tally(&self, event: &Event, is_in_play: bool, program: &Program<'_>) -> Result<Tally, EventError> {
        let mut tally = Tally {
            totals: self.totals.clone(),
            days: Vec::new(),
        };
        if self.history.voided_by(event).is_some() || self.history.place(event).is_none() {
            return Ok(tally);
        }
        tally.add(event, program)?;
        match &event.action {
            Action::Stake(_) => {
                for payout in self.history.waiting_for(event) {
                    tally.add(payout, program)?;
                }
            }
            Action::Void { voids } => {
                let target = self.history.recorded(voids).map(|target| &target.event);
                if let Some(target) = target.filter(|target| self.history.place(target).is_some()) {
                    tally.take(target, program);
                    if is_in_play {
                        for payout in self.history.resting_on(target) {
                            tally.take(payout, program);
                        }
                    }
                }
            }
            _ => {}
        }
        Ok(tally)
    }
}

pub(super) fn raised(total: Decimal, amount: Decimal, what: &'static str) -> Result<Decimal, EventError> {
    let raised = total
        .checked_add(amount)
        .filter(|total| *total < Decimal::from(10_i64.pow(INTEGER_DIGITS_MAX)));
    raised.ok_or(EventError::OutOfRange { what })
}

/// Returns `None` if stakes were so far counted as money only: their number stays unknown.
fn more_bets(totals: &Totals) -> Option<i64> {
    match totals.bets {
        Some(bets) => bets.checked_add(1),
        None => totals.wagered.is_zero().then_some(1),
    }
}

/// Hours, rounded half up to the stored scale.
fn played(hours: Decimal, minutes: Decimal) -> Result<Decimal, EventError> {
    let more =
        (minutes / Decimal::from(60)).round_dp_with_strategy(STORED_SCALE, RoundingStrategy::MidpointAwayFromZero);
    let hours = hours
        .checked_add(more)
        .filter(|hours| *hours < Decimal::from(PLAYTIME_HOURS_MAX));
    hours.ok_or(EventError::OutOfRange {
        what: "total_playtime_hours",
    })
}
