//! The part of a player's past that new events depend on.
//!
//! # Choices
//!
//! * A void has no place of its own: it removes its target, whichever comes first. Stakes, payouts, deposits and
//!   withdrawals can be voided. Void ids and event ids are unique per player, which keeps the tables distributable.
//! * A payout stands at the later of itself and the first live stake of its round. Without a live stake it waits: it
//!   counts nowhere, and counts when a stake comes. When the last stake is voided, it waits again.

use super::{Action, Event, EventType, GrantEffect, Outcome, Place};
use crate::account::{AccountError, Intervention, Play};
use crate::bonus::{ROUND_OPEN_HOURS, Round};
use crate::id::{EventId, GrantId};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::collections::{BTreeSet, HashMap};
use std::ops::{Bound, RangeBounds};

/// Why an event is rejected. A rejected event changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("event {event_id} was recorded with different content")]
    Reused { event_id: EventId },
    #[error("event {voids} was voided by {by}")]
    AlreadyVoided { voids: EventId, by: EventId },
    #[error("event {voids} is a {event_type}: only stakes, payouts, deposits and withdrawals are voided")]
    NotVoidable { voids: EventId, event_type: EventType },
    #[error("{occurred_at} is more than {minutes_max} minutes ahead")]
    InFuture { occurred_at: Timestamp, minutes_max: u32 },
    #[error("{occurred_at} is more than {days_max} days ago")]
    TooOld { occurred_at: Timestamp, days_max: u32 },
    #[error("amount out of range: the player's {what} would leave its range")]
    OutOfRange { what: &'static str },
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// A recorded event and its effects.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    pub event: Event,
    /// What the event did when it was recorded: the answer to its sender.
    pub outcome: Outcome,
    /// What the event does to bonuses as of now, by root.
    pub effects: Vec<GrantEffect>,
    /// What play did with it in this very operation.
    pub played: Option<Outcome>,
    /// Whether it came within the play window, and changes bonuses.
    pub is_in_play: bool,
    /// The day of play that a stake earns points for.
    pub lp_day: Option<Date>,
}

/// The history of one player, read under the lock: all events of the rounds that new events name, what these void and
/// what voids them; to apply play again, everything since then. New events are added.
#[derive(Debug, Default, Clone)]
pub struct History {
    recorded: HashMap<EventId, Recorded>,
    /// The voiding event by the voided event, and whether it changes bonuses.
    voids: HashMap<EventId, (EventId, bool)>,
    /// Stakes and payouts by round.
    rounds: HashMap<String, BTreeSet<EventId>>,
    pub(super) interventions: Vec<Intervention>,
}

impl History {
    pub fn add_recorded(&mut self, recorded: Recorded) {
        let Recorded { event, is_in_play, .. } = &recorded;
        if let Some(round_id) = event.action.round_id() {
            let round = self.rounds.entry(round_id.to_owned()).or_default();
            round.insert(event.event_id.clone());
        }
        if let Action::Void { voids } = &event.action {
            self.add_void(voids.clone(), event.event_id.clone(), *is_in_play);
        }
        self.recorded.insert(event.event_id.clone(), recorded);
    }

    pub fn add_void(&mut self, voids: EventId, by: EventId, is_in_play: bool) {
        self.voids.insert(voids, (by, is_in_play));
    }

    pub fn add_intervention(&mut self, intervention: Intervention) {
        self.interventions.push(intervention);
    }

    /// The bonuses touched by the events and interventions added so far, by root.
    pub fn roots(&self) -> impl Iterator<Item = GrantId> {
        let effects = self.recorded.values().flat_map(|recorded| &recorded.effects);
        let parts = self.interventions.iter().flat_map(|act| act.parts.keys());
        effects.map(|effect| effect.grant_id).chain(parts.copied())
    }

    pub fn recorded(&self, event_id: &EventId) -> Option<&Recorded> {
        self.recorded.get(event_id)
    }

    pub(super) fn recorded_mut(&mut self, event_id: &EventId) -> Option<&mut Recorded> {
        self.recorded.get_mut(event_id)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Recorded> {
        self.recorded.values()
    }

    /// What voids the event. A void of something that is never voided has no effect, even if it came first.
    pub(super) fn voided_by(&self, event: &Event) -> Option<&EventId> {
        let (by, _) = self.voids.get(&event.event_id)?;
        is_voidable(event.action.event_type()).then_some(by)
    }

    /// Whether a void that came within the play window removes it from play.
    pub(super) fn is_removed(&self, event_id: &EventId) -> bool {
        self.voids.get(event_id).is_some_and(|(_, is_in_play)| *is_in_play)
    }

    /// # Errors
    /// `AlreadyVoided`, `NotVoidable`.
    pub(super) fn check_void(&self, event: &Event) -> Result<(), EventError> {
        let Action::Void { voids } = &event.action else {
            return Ok(());
        };
        if let Some((by, _)) = self.voids.get(voids) {
            return Err(EventError::AlreadyVoided {
                voids: voids.clone(),
                by: by.clone(),
            });
        }
        let target = self.recorded(voids).map(|recorded| recorded.event.action.event_type());
        match target {
            Some(event_type) if !is_voidable(event_type) => Err(EventError::NotVoidable {
                voids: voids.clone(),
                event_type,
            }),
            _ => Ok(()),
        }
    }

    /// The place of the first live stake of a round.
    fn first_stake(&self, round_id: &str) -> Option<Place> {
        self.stakes(round_id).map(|(place, ..)| place).min()
    }

    /// The live stakes of a round.
    fn stakes(&self, round_id: &str) -> impl Iterator<Item = (Place, Decimal, &Recorded)> {
        let members = self.rounds.get(round_id).into_iter().flatten();
        members.filter_map(|event_id| {
            let recorded = self.recorded.get(event_id)?;
            match &recorded.event.action {
                Action::Stake(stake) if !self.is_removed(event_id) => {
                    Some((Place::of(&recorded.event), stake.amount.value(), recorded))
                }
                _ => None,
            }
        })
    }

    /// The payouts of a round that are not voided, with their places; a waiting one has none.
    pub(super) fn payouts(&self, round_id: &str) -> Vec<(Option<Place>, &Recorded)> {
        let members = self.rounds.get(round_id).into_iter().flatten();
        members
            .filter_map(|event_id| self.recorded.get(event_id))
            .filter(|recorded| matches!(recorded.event.action, Action::Payout(_)))
            .filter(|recorded| !self.is_removed(&recorded.event.event_id))
            .map(|recorded| (self.place(&recorded.event), recorded))
            .collect()
    }

    /// Where an event that is not voided stands; `None` for a payout that waits.
    pub(super) fn place(&self, event: &Event) -> Option<Place> {
        let Action::Payout(payout) = &event.action else {
            return Some(Place::of(event));
        };
        let Some(round_id) = &payout.round_id else {
            return Some(Place::of(event));
        };
        let first = self.first_stake(round_id)?;
        let at = event.occurred_at.max(first.at);
        Some(Place::new(at, EventType::Payout, &event.event_id))
    }

    /// The payouts that wait for this stake, the first of its round.
    pub(super) fn waiting_for(&self, stake: &Event) -> Vec<&Event> {
        let Some(round_id) = stake.action.round_id() else {
            return Vec::new();
        };
        let payouts = self.payouts(round_id).into_iter();
        let waiting = payouts.filter(|(place, recorded)| place.is_none() && self.voided_by(&recorded.event).is_none());
        waiting.map(|(_, recorded)| &recorded.event).collect()
    }

    /// The payouts that have to wait when this stake, the last live one of its round, is removed.
    pub(super) fn resting_on(&self, stake: &Event) -> Vec<&Event> {
        let Action::Stake(staked) = &stake.action else {
            return Vec::new();
        };
        let Some(round_id) = &staked.round_id else {
            return Vec::new();
        };
        if self
            .stakes(round_id)
            .any(|(.., other)| other.event.event_id != stake.event_id)
        {
            return Vec::new();
        }
        let payouts = self.payouts(round_id).into_iter();
        let resting = payouts.filter(|(_, recorded)| self.voided_by(&recorded.event).is_none());
        resting.map(|(_, recorded)| &recorded.event).collect()
    }

    /// What a void takes back from bonuses, by root.
    pub(super) fn taken_by(&self, event: &Event) -> Vec<GrantEffect> {
        let Action::Void { voids } = &event.action else {
            return Vec::new();
        };
        let effects = self.recorded(voids).into_iter().flat_map(|target| &target.effects);
        let opposite = |effect: &GrantEffect| GrantEffect {
            contribution: -effect.contribution,
            bonus: -effect.bonus,
            ..GrantEffect::none(effect.grant_id)
        };
        effects.map(opposite).collect()
    }

    /// What the event does to bonuses; `None`: nothing, ever or as long as it waits or is voided.
    pub(super) fn play<'a>(&'a self, recorded: &'a Recorded) -> Option<(Place, Play<'a>)> {
        let event = &recorded.event;
        if !recorded.is_in_play || self.is_removed(&event.event_id) {
            return None;
        }
        let place = self.place(event)?;
        let play = match &event.action {
            Action::Stake(stake) => {
                let round = stake.round_id.iter().flat_map(|round_id| self.stakes(round_id));
                let earlier = round.filter(|(other, ..)| *other < place);
                Play::Stake {
                    stake,
                    earlier: earlier.map(|(other, amount, _)| (other.at, amount)).collect(),
                }
            }
            Action::Payout(payout) => Play::Payout {
                amount: payout.amount.value(),
                round: self.round_at(payout.round_id.as_deref()?, &place),
            },
            Action::Withdrawal { .. } => Play::Withdrawal,
            _ => return None,
        };
        Some((place, play))
    }

    /// The live stakes of a round at or before a place.
    fn round_at(&self, round_id: &str, place: &Place) -> Round {
        let mut round = Round::default();
        for (_, amount, recorded) in self.stakes(round_id).filter(|(stake, ..)| stake <= place) {
            round.staked += amount;
            for effect in recorded.effects.iter().filter(|effect| effect.bonus < Decimal::ZERO) {
                *round.shares.entry(effect.grant_id).or_default() -= effect.bonus;
            }
        }
        round
    }

    /// Whether a round with money of this bonus may still pay at the instant `now`: then the bonus is not depleted.
    pub fn holds(&self, root_id: GrantId, now: Timestamp) -> bool {
        self.may_still_pay(root_id, now, Bound::Unbounded)
    }

    /// Whether a round with money of this bonus may still pay, as far as is known `until` a place: one staked within
    /// [`ROUND_OPEN_HOURS`] before the instant `at`, without a payout since.
    pub(super) fn may_still_pay(&self, root_id: GrantId, at: Timestamp, until: Bound<&Place>) -> bool {
        let since = at - SignedDuration::from_hours(ROUND_OPEN_HOURS.into());
        let is_known = |place: &Place| (Bound::Unbounded, until).contains(place);
        self.rounds.keys().any(|round_id| {
            let staked = self
                .stakes(round_id)
                .filter(|(place, _, recorded)| since < place.at && is_known(place) && is_paid_by(recorded, root_id))
                .map(|(place, ..)| place)
                .max();
            staked.is_some_and(|staked| {
                let mut paid = self.payouts(round_id).into_iter().filter_map(|(place, _)| place);
                !paid.any(|paid| staked < paid && is_known(&paid))
            })
        })
    }
}

fn is_paid_by(stake: &Recorded, root_id: GrantId) -> bool {
    stake
        .effects
        .iter()
        .any(|effect| effect.grant_id == root_id && effect.bonus < Decimal::ZERO)
}

pub(super) const fn is_voidable(event_type: EventType) -> bool {
    matches!(
        event_type,
        EventType::Stake | EventType::Payout | EventType::Deposit | EventType::Withdrawal
    )
}

impl EventError {
    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            EventError::Reused { .. } => "event_id_reused",
            EventError::AlreadyVoided { .. } => "already_voided",
            EventError::NotVoidable { .. } => "not_voidable",
            EventError::InFuture { .. } => "occurred_in_future",
            EventError::TooOld { .. } => "too_old",
            EventError::OutOfRange { .. } => "overflow",
            EventError::Account(error) => error.code(),
        }
    }
}
