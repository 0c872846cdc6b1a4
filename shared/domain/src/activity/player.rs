//! How events change a player: totals, days, points, bonuses. Decided in memory, in the order in which they happened,
//! so that neither arrival nor batches change the result.
//!
//! # Choices
//!
//! * A withdrawal forfeits ACTIVE bonuses; a self-exclusion forfeits PENDING ones too.
//! * An event counts on the day of its `occurred_at` in the program's time zone, and a void takes back on the day of
//!   what it voids.
//! * An event more than `activity.event_ahead_minutes_max` (5) ahead, or older than `activity.event_age_days_max` (30)
//!   days, is rejected; one that was recorded before is a duplicate, however old. One older than
//!   `activity.play_window_days` (7) changes no bonus; a void is as old as what it voids.
//! * An event ahead that was played is not replayed when a grant or an act of people is recorded before its instant.
//! * The void of a deposit takes back totals and days, not the bonus that the deposit called.
//! * An identity verified again, or a profile of the same depth, calls no rules. Of several profile events the one with
//!   the latest `occurred_at` counts.

use super::{Action, Earning, Event, EventError, History, Outcome, Place, PlayDay, Recorded, Remark};
use crate::account::Account;
use crate::id::{EventId, PlayerId};
use crate::idempotency::Answer;
use crate::ledger::Cause;
use crate::metrics::Totals;
use crate::period::Moment;
use crate::rule::Trigger;
use crate::settings::Settings;
use crate::tier::Ladder;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashMap};

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
    /// The last place of play on bonuses so far; `None`: there was none.
    pub played: Option<Place>,
    pub days: BTreeMap<Date, Day>,
    pub happened: Vec<Happened>,
    pub changes: Changes,
}

/// The events that a batch has recorded or changed.
#[derive(Debug, Default)]
pub struct Changes {
    /// New events, in the order in which they happened.
    pub(super) new: Vec<EventId>,
    /// Earlier events whose effects on bonuses turned out otherwise.
    pub(super) refolded: Vec<EventId>,
    /// Payouts that waited for a stake of their round, and now count.
    pub(super) resolved: Vec<EventId>,
}

enum Accepted {
    Before(Outcome),
    /// Where it changes play on bonuses.
    New(Option<Place>),
}

impl Player {
    pub fn player_id(&self) -> &PlayerId {
        self.account.player_id()
    }

    /// Records events. Returns a result for each, in their order; an event that was recorded before gets its earlier
    /// result. A rejected event changes nothing.
    pub fn record(
        &mut self,
        events: Vec<Event>,
        program: &Program<'_>,
        cause: &Cause<'_>,
    ) -> Vec<Result<Answer<Outcome>, EventError>> {
        let mut order: Vec<usize> = (0..events.len()).collect();
        order.sort_by_cached_key(|index| Place::of(&events[*index]));
        let first = first_of_each_id(&events);
        let mut results: Vec<Option<Result<Answer<Outcome>, EventError>>> = vec![None; events.len()];
        let (mut new, mut from): (Vec<EventId>, Option<Place>) = (Vec::new(), None);
        for index in order.into_iter().filter(|index| first[*index] == *index) {
            let event = &events[index];
            match self.accept(event.clone(), program, cause) {
                Ok(Accepted::Before(outcome)) => results[index] = Some(Ok(Answer::Replayed(outcome))),
                Ok(Accepted::New(place)) => {
                    new.push(event.event_id.clone());
                    from = [from, place].into_iter().flatten().min();
                }
                Err(error) => results[index] = Some(Err(error)),
            }
        }
        let refused = self.play(from.as_ref(), &new, cause).err();
        let result = |index: usize| match (&results[first[index]], &refused) {
            (Some(result), _) => result.clone(),
            (None, Some(error)) => Err(error.clone()),
            (None, None) => self.answer(&events[index].event_id),
        };
        let result = |index: usize| match result(index) {
            _ if events[index] != events[first[index]] => Err(EventError::Reused {
                event_id: events[index].event_id.clone(),
            }),
            Ok(Answer::First(outcome)) if first[index] != index => Ok(Answer::Replayed(outcome)),
            result => result,
        };
        (0..events.len()).map(result).collect()
    }

    /// Counts an event in totals, days and points. What it does to bonuses is [played](Self::play) afterwards. Returns
    /// where it changes play.
    fn accept(&mut self, event: Event, program: &Program<'_>, cause: &Cause<'_>) -> Result<Accepted, EventError> {
        if let Some(before) = self.history.recorded(&event.event_id) {
            return match before.event == event {
                true => Ok(Accepted::Before(before.outcome.clone())),
                false => Err(EventError::Reused {
                    event_id: event.event_id,
                }),
            };
        }
        check_time(event.occurred_at, program)?;
        self.history.check_void(&event)?;
        let is_in_play = self.is_in_play(&event, program);
        let counted = self.tally(&event, is_in_play, program)?;
        let points = self.points(&event, program)?;
        let mark = self.account.mark();
        let mut outcome = Outcome::default();
        if let Some(points) = &points
            && let Err(error) = points.post(&mut self.account, &event, &mut outcome, program, cause)
        {
            self.account.restore(mark);
            return Err(error.into());
        }
        self.totals = counted.totals;
        for (date, day) in counted.days {
            self.days.entry(date).or_default().add(day);
        }
        let lp_day = points.map(|points| self.count_points(points));
        let is_voided = self.history.voided_by(&event).is_some();
        if !is_voided {
            self.stand(&event);
        }
        let remark = if is_voided {
            Some(Remark::Voided)
        } else if self.history.place(&event).is_none() {
            Some(Remark::Waiting)
        } else {
            (!is_in_play && event.action.reaches_bonuses()).then_some(Remark::OutsideWindow)
        };
        let before = self.place_of_target(&event);
        let event_id = event.event_id.clone();
        self.history.add_recorded(Recorded {
            outcome: Outcome {
                grants: if is_in_play {
                    self.history.taken_by(&event)
                } else {
                    Vec::new()
                },
                real_amount: self.real_amount(&event, remark),
                remark,
                ..outcome
            },
            effects: Vec::new(),
            played: None,
            is_in_play,
            lp_day,
            event,
        });
        self.changes.new.push(event_id.clone());
        let Some(recorded) = self.history.recorded(&event_id) else {
            return Ok(Accepted::New(None));
        };
        let place = self.history.play(recorded).map(|(place, _)| place);
        Ok(Accepted::New(place.or(before.filter(|_| is_in_play))))
    }

    /// A payout without a round, or outside the play window, is real money.
    fn real_amount(&self, event: &Event, remark: Option<Remark>) -> Decimal {
        match &event.action {
            Action::Payout(payout) if !matches!(remark, Some(Remark::Voided | Remark::Waiting)) => {
                payout.amount.value()
            }
            _ => Decimal::ZERO,
        }
    }

    /// The instant from which these events make play be applied again; `None`: they come after everything so far. What
    /// reaches bonuses since then has to be read before they are recorded.
    pub fn replays_from<'a>(
        &self,
        events: impl Iterator<Item = &'a Event>,
        program: &Program<'_>,
    ) -> Option<Timestamp> {
        let played = self.played.as_ref()?;
        let new = events.filter(|event| self.history.recorded(&event.event_id).is_none());
        let reaching = new.filter(|event| event.action.reaches_bonuses() && self.is_in_play(event, program));
        let instants = reaching.filter_map(|event| match &event.action {
            Action::Void { voids } => Some(self.history.recorded(voids)?.event.occurred_at),
            _ => Some(event.occurred_at),
        });
        instants.min().filter(|instant| *instant <= played.at)
    }

    /// Whether the event, or what it voids, came within the play window.
    fn is_in_play(&self, event: &Event, program: &Program<'_>) -> bool {
        let happened = match &event.action {
            Action::Void { voids } => {
                let target = self.history.recorded(voids);
                if target.is_some_and(|target| !target.is_in_play) {
                    return false;
                }
                target.map_or(event.occurred_at, |target| target.event.occurred_at)
            }
            _ => event.occurred_at,
        };
        let days = program.settings.activity.play_window_days;
        program.moment.now().duration_since(happened) <= SignedDuration::from_hours(24 * i64::from(days))
    }

    /// Where what a void removes stood until now.
    fn place_of_target(&self, event: &Event) -> Option<Place> {
        let Action::Void { voids } = &event.action else {
            return None;
        };
        let (place, _) = self.history.play(self.history.recorded(voids)?)?;
        Some(place)
    }

    /// Plays the accepted events, the first of which stands at `from`. After a refusal nothing is recorded of any of
    /// them.
    fn play(&mut self, from: Option<&Place>, new: &[EventId], cause: &Cause<'_>) -> Result<(), EventError> {
        let Some(from) = from else { return Ok(()) };
        match self.apply(from, new, cause) {
            Ok((last, refolded, resolved)) => {
                self.played = self.played.take().max(last);
                (self.changes.refolded, self.changes.resolved) = (refolded, resolved);
            }
            Err(error) => {
                self.changes = Changes::default();
                self.happened.clear();
                return Err(error);
            }
        }
        for event_id in new.iter().chain(&self.changes.resolved.clone()) {
            self.conclude(event_id);
        }
        Ok(())
    }

    /// Puts what play did with an event into its outcome.
    fn conclude(&mut self, event_id: &EventId) {
        let Some(recorded) = self.history.recorded(event_id) else {
            return;
        };
        let mut outcome = recorded.outcome.clone();
        if let Some(played) = &recorded.played {
            outcome = Outcome {
                lp: outcome.lp,
                lp_overspent: outcome.lp_overspent,
                ..played.clone()
            };
        }
        for effect in &mut outcome.grants {
            if let Some(grant) = self.account.grant_of(effect.grant_id) {
                (effect.grant_id, effect.status) = (grant.grant_id, grant.status);
            }
        }
        if let Some(recorded) = self.history.recorded_mut(event_id) {
            recorded.outcome = outcome;
        }
    }

    fn answer(&self, event_id: &EventId) -> Result<Answer<Outcome>, EventError> {
        let recorded = self.history.recorded(event_id);
        Ok(Answer::First(
            recorded.map(|recorded| recorded.outcome.clone()).unwrap_or_default(),
        ))
    }

    /// The new events.
    pub fn recorded(&self) -> impl Iterator<Item = &Recorded> {
        self.changes
            .new
            .iter()
            .filter_map(|event_id| self.history.recorded(event_id))
    }

    /// Payouts that waited for a stake of their round, and now count.
    pub fn resolved(&self) -> impl Iterator<Item = &Recorded> {
        let resolved = self.changes.resolved.iter();
        resolved.filter_map(|event_id| self.history.recorded(event_id))
    }

    /// Earlier events whose effects turned out otherwise.
    pub fn refolded(&self) -> impl Iterator<Item = &Recorded> {
        self.changes
            .refolded
            .iter()
            .filter_map(|event_id| self.history.recorded(event_id))
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

/// The index of the first event with the same id, for each event.
fn first_of_each_id(events: &[Event]) -> Vec<usize> {
    let mut first: HashMap<&EventId, usize> = HashMap::new();
    let indexed = events.iter().enumerate();
    indexed
        .map(|(index, event)| *first.entry(&event.event_id).or_insert(index))
        .collect()
}

fn check_time(occurred_at: Timestamp, program: &Program<'_>) -> Result<(), EventError> {
    let settings = &program.settings.activity;
    let (now, days_max) = (program.moment.now(), settings.event_age_days_max);
    let minutes_max = settings.event_ahead_minutes_max;
    if occurred_at.duration_since(now) > SignedDuration::from_mins(minutes_max.into()) {
        return Err(EventError::InFuture {
            occurred_at,
            minutes_max,
        });
    }
    if now.duration_since(occurred_at) > SignedDuration::from_hours(24 * i64::from(days_max)) {
        return Err(EventError::TooOld { occurred_at, days_max });
    }
    Ok(())
}
