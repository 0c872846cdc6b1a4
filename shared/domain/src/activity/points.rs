//! What stakes earn: loyalty points, which count for the tier.
//!
//! # Choices
//!
//! * The points of play are a function of the day: `lp_play = ⌊lp_staked · rate⌋` at two decimal places, where
//!   `lp_staked` is the sum of the day's live stakes that earn. A stake or a void posts the difference, which may be 0:
//!   the fraction waits for the next one. So neither order nor batches change what a day earns.
//! * The day is that of the stake's `occurred_at` in the program's time zone, and is kept with the event: a void takes
//!   back from the same day even if the time zone has changed.
//! * The rate is `lp_per_unit_staked · lp_multiplier`, to eight decimal places, of the tier in force at the start of the
//!   day: the last move of the player's history until then, or the first tier. A tier that has left the ladder counts as
//!   the lowest. The day's first stake fixes the rate, and nothing prices it again.
//! * Blocked, inactive and self-excluded players earn no points by play, and do not get them later.
//! * Points of play count for the tier on their own day.

use super::tally::raised;
use super::{Action, Day, Event, EventError, Outcome, Player, Program};
use crate::account::{Account, AccountError, PlayLot};
use crate::ledger::Cause;
use crate::money::{Asset, round_reward};
use crate::tier::Rank;
use jiff::Span;
use jiff::civil::Date;
use rust_decimal::{Decimal, RoundingStrategy};

const POINTS: &str = "number of LP";
/// Decimal places of a rate. With amounts of 4 and points below 10^15, a day's product is exact.
const RATE_SCALE: u32 = 8;

/// Whether stakes earn points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earning {
    Earns,
    /// Blocked, inactive or self-excluded.
    Nothing,
}

/// A day of play, as read under the lock and changed by the events since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayDay {
    /// The live stakes that earn.
    pub staked: Decimal,
    /// What a unit staked earns; `None` before the first stake.
    pub rate: Option<Decimal>,
    /// What the stakes have earned.
    pub points: Decimal,
    /// The tier in force at the start of the day.
    pub rank: Rank,
    /// What of the day's lot has expired.
    pub expired: Decimal,
}

impl PlayDay {
    /// A day without stakes.
    pub const fn new(rank: Rank) -> Self {
        Self {
            staked: Decimal::ZERO,
            rate: None,
            points: Decimal::ZERO,
            rank,
            expired: Decimal::ZERO,
        }
    }

    /// The day after a stake of this amount, or after its void if the amount is negative.
    ///
    /// # Errors
    /// `OutOfRange`.
    fn with(self, amount: Decimal, program: &Program<'_>) -> Result<Self, EventError> {
        let out_of_range = || EventError::OutOfRange { what: POINTS };
        let rate = match self.rate {
            Some(rate) => rate,
            None => rate(self.rank, program).ok_or_else(out_of_range)?,
        };
        let staked = self.staked + amount;
        let points = staked.checked_mul(rate).ok_or_else(out_of_range)?;
        Ok(Self {
            staked,
            rate: Some(rate),
            points: raised(Decimal::ZERO, round_reward(points, Asset::Lp), POINTS)?,
            ..self
        })
    }
}

fn rate(rank: Rank, program: &Program<'_>) -> Option<Decimal> {
    let multiplier = program.ladder.lp_multiplier(rank);
    let rate = program.settings.activity.lp_per_unit_staked.checked_mul(multiplier)?;
    Some(rate.round_dp_with_strategy(RATE_SCALE, RoundingStrategy::ToZero))
}

/// What an event changes about a day of play.
#[derive(Debug, Clone, Copy)]
pub(super) struct DayChange {
    date: Date,
    before: PlayDay,
    after: PlayDay,
}

impl DayChange {
    /// The points to post: negative for those to take back. Normalized, so that a batch says what its events say alone.
    fn points(&self) -> Decimal {
        (self.after.points - self.before.points).normalize()
    }

    pub(super) fn post(
        &self,
        account: &mut Account,
        event: &Event,
        outcome: &mut Outcome,
        program: &Program<'_>,
        cause: &Cause<'_>,
    ) -> Result<(), AccountError> {
        let settings = &program.settings.activity;
        let after = |days: u32| self.date.saturating_add(Span::new().days(i64::from(days) + 1));
        let lot = PlayLot {
            day: self.date,
            expires_at: settings.lp_expiry_days.map(|days| program.moment.start_of(after(days))),
            expired: self.before.expired,
        };
        outcome.lp = self.points();
        if outcome.lp > Decimal::ZERO {
            account.earn(outcome.lp, &lot, &event.event_id, cause)?;
        }
        if outcome.lp < Decimal::ZERO {
            let policy = settings.lp_void_policy;
            outcome.lp_overspent = account
                .unearn(-outcome.lp, &lot, policy, &event.event_id, cause)?
                .normalize();
        }
        Ok(())
    }
}

impl Player {
    /// What the event changes about a day of play; `None` for an event that has to do with no points.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub(super) fn points(&self, event: &Event, program: &Program<'_>) -> Result<Option<DayChange>, EventError> {
        let is_voided = self.history.voided_by(event).is_some();
        let counted = match &event.action {
            Action::Stake(stake) if !is_voided && self.earning == Earning::Earns => {
                Some((program.moment.day_of(event.occurred_at), stake.amount.value()))
            }
            Action::Void { voids } => self.history.recorded(voids).and_then(|voided| {
                let staked = voided.event.action.amount()?;
                Some((voided.lp_day?, -staked))
            }),
            _ => None,
        };
        let Some((date, amount)) = counted else {
            return Ok(None);
        };
        let before = self.play_days.get(&date).copied();
        let before = before.unwrap_or(PlayDay::new(Rank(0)));
        let after = before.with(amount, program)?;
        Ok(Some(DayChange { date, before, after }))
    }

    /// Counts the change for the day. Returns the day.
    pub(super) fn count_points(&mut self, change: DayChange) -> Date {
        let DayChange { date, before, after } = change;
        self.play_days.insert(date, after);
        self.days.entry(date).or_default().add(Day {
            lp_staked: after.staked - before.staked,
            lp: change.points(),
            lp_rate: after.rate,
            ..Day::default()
        });
        date
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::period::Moment;
    use crate::settings::Settings;
    use crate::tier::{Ladder, Tier};
    use jiff::Timestamp;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    /// What a day has earned after each of these stakes and voids, at 0.1 a unit.
    fn earned(amounts: &[&str]) -> Vec<String> {
        let settings = Settings::default();
        let bronze: Tier = serde_json::from_value(serde_json::json!({ "tier_level": "BRONZE", "lp_min": 0 })).unwrap();
        let ladder = Ladder::new(vec![bronze]).unwrap();
        let moment = Moment::new(Timestamp::UNIX_EPOCH, &settings).unwrap();
        let program = Program {
            settings: &settings,
            ladder: &ladder,
            moment: &moment,
        };
        let mut day = PlayDay::new(Rank(0));
        let step = |amount: &&str| {
            day = day.with(d(amount), &program).unwrap();
            day.points.to_string()
        };
        amounts.iter().map(step).collect()
    }

    #[test]
    fn fractions_add_up_within_the_day_and_voids_take_them_back() {
        // 0.09 is worth 0.009, 0.18 is worth 0.018, 0.27 is worth 0.027.
        assert_eq!(
            earned(&["0.09", "0.09", "0.09", "-0.09", "-0.09", "-0.09"]),
            ["0.00", "0.01", "0.02", "0.01", "0.00", "0.00"]
        );
        let thousand = earned(&["0.09"; 1_000]);
        assert_eq!(thousand[999], "9.00");
    }

    #[test]
    fn the_sum_of_a_day_does_not_depend_on_the_order() {
        assert_eq!(earned(&["33.33", "0.07", "-33.33", "0.06"])[3], "0.01");
        assert_eq!(earned(&["0.06", "33.33", "0.07", "-33.33"])[3], "0.01");
    }
}
