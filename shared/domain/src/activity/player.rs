//! How events change a player: totals, days, points, bonuses. Decided in memory, event by event, so that a batch
//! has the same result as its events one at a time.
//!
//! # Choices
//!
//! * A withdrawal forfeits ACTIVE bonuses; a self-exclusion forfeits PENDING ones too. Withdrawals and deposits cannot
//!   be voided.
//! * An event counts on the day of its `occurred_at` in the program's time zone, and a void takes back on the day of
//!   what it voids. An event more than 24 hours ahead, or older than `activity.event_age_days_max` (30), is refused; one
//!   that was recorded before is a duplicate, however old.
//! * An identity verified again, or a profile of the same depth, calls no rules. Of several profile events the one with
//!   the latest `occurred_at` counts.

use super::{Action, Earning, Event, EventError, History, Outcome, PlayDay, Recorded};
use crate::account::{Account, Past};
use crate::id::PlayerId;
use crate::idempotency::Answer;
use crate::ledger::Cause;
use crate::metrics::Totals;
use crate::money::{INTEGER_DIGITS_MAX, STORED_SCALE};
use crate::period::Moment;
use crate::rule::Trigger;
use crate::settings::Settings;
use crate::tier::Ladder;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::{Decimal, RoundingStrategy};
use std::collections::BTreeMap;

/// Clocks differ, but an event further ahead than this is an error.
const HOURS_AHEAD_MAX: i64 = 24;
const PLAYTIME_HOURS_MAX: i64 = 1_000_000_000;

/// The configuration that a batch of events is judged by.
#[derive(Debug, Clone, Copy)]
pub struct Program<'a> {
    pub settings: &'a Settings,
    pub ladder: &'a Ladder,
    pub moment: &'a Moment,
}

/// What events add to one day of the program's time zone; negative where they reverse something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Day {
    pub deposited: Decimal,
    pub wagered: Decimal,
    pub won: Decimal,
    pub withdrawn: Decimal,
    /// Stakes that earn points.
    pub lp_staked: Decimal,
    /// The points that they earn.
    pub lp: Decimal,
    /// What a unit staked on this day earns; `None` unless stakes of this day were counted.
    pub lp_rate: Option<Decimal>,
}

impl Day {
    pub(super) fn add(&mut self, other: Day) {
        self.deposited += other.deposited;
        self.wagered += other.wagered;
        self.won += other.won;
        self.withdrawn += other.withdrawn;
        self.lp_staked += other.lp_staked;
        self.lp += other.lp;
        self.lp_rate = self.lp_rate.or(other.lp_rate);
    }

    pub fn is_zero(&self) -> bool {
        [self.deposited, self.wagered, self.won, self.withdrawn, self.lp_staked]
            .iter()
            .all(Decimal::is_zero)
            && self.lp_rate.is_none()
    }
}

/// The filled-in share of the profile, and the time of that report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Profile {
    /// 0 to 100 percent.
    pub depth: Decimal,
    pub at: Option<Timestamp>,
}

/// An event that triggers the evaluation of rules.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    pub trigger: Trigger,
    pub event_id: String,
    pub occurred_at: Timestamp,
    pub amount: Option<Decimal>,
}

/// As read under the lock and updated by the events applied since.
#[derive(Debug)]
pub struct Player {
    pub account: Account,
    pub totals: Totals,
    pub earning: Earning,
    /// The days whose points the events may change.
    pub play_days: BTreeMap<Date, PlayDay>,
    pub kyc_completed: bool,
    pub profile: Profile,
    pub last_activity_at: Option<Timestamp>,
    pub history: History,
    pub days: BTreeMap<Date, Day>,
    /// In the order of application.
    pub recorded: Vec<Recorded>,
    pub happened: Vec<Happened>,
}

impl Player {
    pub fn player_id(&self) -> &PlayerId {
        self.account.player_id()
    }

    /// Applies an event, or returns the earlier result if it was recorded before.
    ///
    /// # Errors
    /// A rejected event changes nothing.
    pub fn record(
        &mut self,
        event: Event,
        program: &Program<'_>,
        cause: &Cause<'_>,
    ) -> Result<Answer<Outcome>, EventError> {
        if let Some(before) = self.history.recorded(&event.event_id) {
            return match before.event == event {
                true => Ok(Answer::Replayed(before.outcome.clone())),
                false => Err(EventError::Reused {
                    event_id: event.event_id,
                }),
            };
        }
        check_time(event.occurred_at, program)?;
        let past = self.history.past(&event)?;
        let (totals, day) = self.tally(&event, &past, program)?;
        let points = self.points(&event, &past, program)?;
        let mark = self.account.mark();
        let applied = self.account.apply(&event, &past, cause).and_then(|mut outcome| {
            if let Some(points) = &points {
                points.post(&mut self.account, &event, &mut outcome, program, cause)?;
            }
            Ok(outcome)
        });
        let outcome = match applied {
            Ok(outcome) => outcome,
            Err(error) => {
                self.account.restore(mark);
                return Err(error.into());
            }
        };
        self.totals = totals;
        if let Some((date, day)) = day {
            self.days.entry(date).or_default().add(day);
        }
        let lp_day = points.map(|points| self.count_points(points));
        self.stand(&event);
        let recorded = Recorded {
            event,
            outcome: outcome.clone(),
            lp_day,
        };
        self.history.note(recorded.clone());
        self.recorded.push(recorded);
        let history = &self.history;
        self.account.deplete(|grant_id| history.may_still_pay(grant_id), cause);
        Ok(Answer::First(outcome))
    }

    /// The totals after the event, and what it adds to which day.
    fn tally(
        &self,
        event: &Event,
        past: &Past,
        program: &Program<'_>,
    ) -> Result<(Totals, Option<(Date, Day)>), EventError> {
        let mut totals = self.totals.clone();
        let date = program.moment.day_of(event.occurred_at);
        let day = match &event.action {
            Action::Stake(_) | Action::Payout(_) if *past == Past::Voided => None,
            Action::Deposit { amount } => {
                totals.deposited = raised(totals.deposited, amount.value(), "total_deposited")?;
                totals.last_deposit_date = totals.last_deposit_date.max(Some(date));
                Some(Day {
                    deposited: amount.value(),
                    ..Day::default()
                })
            }
            Action::Withdrawal { amount } => {
                totals.withdrawn = raised(totals.withdrawn, amount.value(), "total_withdrawn")?;
                Some(Day {
                    withdrawn: amount.value(),
                    ..Day::default()
                })
            }
            Action::Stake(stake) => {
                totals.bets = more_bets(&totals);
                totals.wagered = raised(totals.wagered, stake.amount.value(), "total_wagered")?;
                Some(Day {
                    wagered: stake.amount.value(),
                    ..Day::default()
                })
            }
            Action::Payout(payout) => {
                totals.won = raised(totals.won, payout.amount.value(), "total_won")?;
                Some(Day {
                    won: payout.amount.value(),
                    ..Day::default()
                })
            }
            Action::Void { voids } => return Ok(self.untally(self.history.target(voids), totals, program)),
            Action::Session { minutes } => {
                totals.session_count = totals
                    .session_count
                    .checked_add(1)
                    .ok_or(EventError::OutOfRange { what: "session_count" })?;
                totals.playtime_hours = played(totals.playtime_hours, minutes.value())?;
                None
            }
            Action::KycCompleted | Action::Profile { .. } | Action::Login => None,
        };
        Ok((totals, day.map(|day| (date, day))))
    }

    /// Removes a stake or payout from the totals and from its own day. An import may have set a smaller total in
    /// between, so nothing goes below 0.
    fn untally(
        &self,
        voided: Option<&Event>,
        mut totals: Totals,
        program: &Program<'_>,
    ) -> (Totals, Option<(Date, Day)>) {
        let Some(voided) = voided else { return (totals, None) };
        let day = match &voided.action {
            Action::Stake(stake) => {
                let wagered = stake.amount.value().min(totals.wagered);
                totals.wagered -= wagered;
                totals.bets = totals.bets.map(|bets| (bets - 1).max(0));
                Day {
                    wagered: -wagered,
                    ..Day::default()
                }
            }
            Action::Payout(payout) => {
                let won = payout.amount.value().min(totals.won);
                totals.won -= won;
                Day {
                    won: -won,
                    ..Day::default()
                }
            }
            _ => return (totals, None),
        };
        (totals, Some((program.moment.day_of(voided.occurred_at), day)))
    }

    /// Applies what the event says about the player, and collects the rules it triggers.
    fn stand(&mut self, event: &Event) {
        self.last_activity_at = self.last_activity_at.max(Some(event.occurred_at));
        let trigger = match &event.action {
            Action::Deposit { .. } => Trigger::Deposit,
            Action::KycCompleted if !self.kyc_completed => {
                self.kyc_completed = true;
                Trigger::KycCompleted
            }
            // The latest report counts, whatever the order of arrival.
            Action::Profile { depth } if self.profile.at.is_none_or(|at| at <= event.occurred_at) => {
                let before = std::mem::replace(
                    &mut self.profile,
                    Profile {
                        depth: depth.value(),
                        at: Some(event.occurred_at),
                    },
                );
                if before.depth == depth.value() {
                    return;
                }
                Trigger::Profile
            }
            _ => return,
        };
        let (event_id, amount) = (event.event_id.as_str().to_owned(), event.action.amount());
        self.happened.push(Happened {
            trigger,
            event_id,
            occurred_at: event.occurred_at,
            amount,
        });
    }
}

fn check_time(occurred_at: Timestamp, program: &Program<'_>) -> Result<(), EventError> {
    let (now, days_max) = (program.moment.now(), program.settings.activity.event_age_days_max);
    if occurred_at.duration_since(now) > SignedDuration::from_hours(HOURS_AHEAD_MAX) {
        return Err(EventError::InFuture {
            occurred_at,
            hours_max: HOURS_AHEAD_MAX,
        });
    }
    if now.duration_since(occurred_at) > SignedDuration::from_hours(24 * i64::from(days_max)) {
        return Err(EventError::TooOld { occurred_at, days_max });
    }
    Ok(())
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
