//! The part of a player's past that future events depend on.
//!
//! # Choices
//!
//! * A void that arrives before its event is kept, and the event then has no effect. A payout can be voided like a
//!   stake, unless its money has been played. Void ids and event ids are unique per player, which keeps the tables
//!   distributable.

use super::{Action, Event, EventType, GrantEffect, Outcome, PastEffect, Payout};
use crate::account::{AccountError, Past};
use crate::bonus::{EndedGrant, Round, RoundShare};
use crate::id::{EventId, GrantId};
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::{HashMap, HashSet};

/// Why an event is rejected. A rejected event changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    #[error("event {event_id} was recorded with different content")]
    Reused { event_id: EventId },
    #[error("event {voids} was voided by {by}")]
    AlreadyVoided { voids: EventId, by: EventId },
    #[error("event {voids} is a {event_type}: only stakes and payouts are voided")]
    NotVoidable { voids: EventId, event_type: EventType },
    #[error("nothing was staked in round {round_id} so far; send the payout again after its stake")]
    StakeUnknown { round_id: String },
    #[error("{occurred_at} is more than {hours_max} hours ahead")]
    InFuture { occurred_at: Timestamp, hours_max: i64 },
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
    pub outcome: Outcome,
    /// The day for whose points a stake counts, or a void takes a stake back.
    pub lp_day: Option<Date>,
}

/// What a void reverses.
#[derive(Debug, Clone, PartialEq)]
pub struct TakenBack {
    pub effects: Vec<PastEffect>,
}

/// Bonus money in a round that has no result yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsettledStake {
    pub grant_id: GrantId,
    pub round_id: String,
    pub event_id: EventId,
}

/// The history of one player, read under the lock. Events are added as they are applied.
#[derive(Debug, Default)]
pub struct History {
    recorded: HashMap<EventId, Recorded>,
    /// The voiding event by the voided event.
    voids: HashMap<EventId, EventId>,
    /// Rounds with a stake, voided or not.
    rounds: HashMap<String, Round>,
    /// Rounds with a payout, voided or not.
    paid: HashSet<String>,
    unsettled: Vec<UnsettledStake>,
    /// Ended grants that earlier events touched.
    ended: HashMap<GrantId, EndedGrant>,
}

impl History {
    pub fn add_recorded(&mut self, recorded: Recorded) {
        self.recorded.insert(recorded.event.event_id.clone(), recorded);
    }

    pub fn add_void(&mut self, voids: EventId, by: EventId) {
        self.voids.insert(voids, by);
    }

    /// Sets the stakes of a round, without voided ones.
    pub fn add_round(&mut self, round_id: String, round: Round) {
        self.rounds.insert(round_id, round);
    }

    pub fn add_paid_round(&mut self, round_id: String) {
        self.paid.insert(round_id);
    }

    pub fn add_unsettled(&mut self, stake: UnsettledStake) {
        self.unsettled.push(stake);
    }

    pub fn add_ended(&mut self, grant_id: GrantId, grant: EndedGrant) {
        self.ended.insert(grant_id, grant);
    }

    /// The grants touched by the events and rounds added so far.
    pub fn grants(&self) -> impl Iterator<Item = GrantId> {
        let of_rounds = self
            .rounds
            .values()
            .flat_map(|round| round.shares.iter().map(|share| share.grant_id));
        let of_events = self
            .recorded
            .values()
            .flat_map(|recorded| recorded.outcome.grants.iter().map(|effect| effect.grant_id));
        of_rounds.chain(of_events)
    }

    pub fn recorded(&self, event_id: &EventId) -> Option<&Recorded> {
        self.recorded.get(event_id)
    }

    /// Whether a round with money of this grant may still pay.
    pub fn may_still_pay(&self, grant_id: GrantId) -> bool {
        self.unsettled.iter().any(|stake| stake.grant_id == grant_id)
    }

    /// The part of the history that the event depends on.
    ///
    /// # Errors
    /// `StakeUnknown`, `AlreadyVoided`, `NotVoidable`.
    pub(super) fn past(&self, event: &Event) -> Result<Past, EventError> {
        match &event.action {
            Action::Stake(_) | Action::Payout(_) if self.voids.contains_key(&event.event_id) => Ok(Past::Voided),
            Action::Payout(Payout {
                round_id: Some(round_id),
                ..
            }) => {
                let round = self.rounds.get(round_id).ok_or_else(|| EventError::StakeUnknown {
                    round_id: round_id.clone(),
                })?;
                let share = |share: &RoundShare| RoundShare {
                    ended: self.ended.get(&share.grant_id).cloned(),
                    ..share.clone()
                };
                let shares = round
                    .shares
                    .iter()
                    .filter(|share| share.bonus > Decimal::ZERO)
                    .map(share)
                    .collect();
                Ok(Past::Round(Round {
                    staked: round.staked,
                    shares,
                }))
            }
            Action::Void { voids } => self.voided(voids),
            _ => Ok(Past::Nothing),
        }
    }

    fn voided(&self, voids: &EventId) -> Result<Past, EventError> {
        if let Some(by) = self.voids.get(voids) {
            return Err(EventError::AlreadyVoided {
                voids: voids.clone(),
                by: by.clone(),
            });
        }
        let Some(recorded) = self.recorded.get(voids) else {
            return Ok(Past::Nothing);
        };
        let action = &recorded.event.action;
        if !matches!(action, Action::Stake(_) | Action::Payout(_)) {
            return Err(EventError::NotVoidable {
                voids: voids.clone(),
                event_type: action.event_type(),
            });
        }
        let effect = |effect: &GrantEffect| PastEffect {
            grant_id: effect.grant_id,
            contribution: effect.contribution,
            bonus: effect.bonus,
            ended: self.ended.get(&effect.grant_id).cloned(),
        };
        let mut effects: Vec<PastEffect> = recorded.outcome.grants.iter().map(effect).collect();
        effects.sort_by_key(|effect| effect.grant_id);
        Ok(Past::TakenBack(TakenBack { effects }))
    }

    /// The event that a void names, if it was recorded.
    pub(super) fn target(&self, voids: &EventId) -> Option<&Event> {
        self.recorded.get(voids).map(|recorded| &recorded.event)
    }

    /// Adds an applied event.
    pub(super) fn note(&mut self, recorded: Recorded) {
        let Recorded { event, outcome, .. } = &recorded;
        let is_voided = self.voids.contains_key(&event.event_id);
        match &event.action {
            Action::Stake(stake) => {
                if let Some(round_id) = &stake.round_id {
                    let round = self.rounds.entry(round_id.clone()).or_default();
                    if !is_voided {
                        round.staked += stake.amount.value();
                        share_out(round, outcome, Decimal::NEGATIVE_ONE);
                        if !self.paid.contains(round_id) {
                            self.unsettled.extend(unsettled(round_id, &event.event_id, outcome));
                        }
                    }
                }
            }
            // Voided or not: the round has its result.
            Action::Payout(Payout {
                round_id: Some(round_id),
                ..
            }) => {
                self.paid.insert(round_id.clone());
                self.unsettled.retain(|stake| stake.round_id != *round_id);
            }
            Action::Void { voids } => {
                self.voids.insert(voids.clone(), event.event_id.clone());
                self.unsettled.retain(|stake| stake.event_id != *voids);
                self.take_out_of_round(voids);
            }
            _ => {}
        }
        self.add_recorded(recorded);
    }

    fn take_out_of_round(&mut self, voids: &EventId) {
        let Some(Recorded {
            event: Event {
                action: Action::Stake(stake),
                ..
            },
            outcome,
            ..
        }) = self.recorded.get(voids)
        else {
            return;
        };
        if let Some(round) = stake
            .round_id
            .as_ref()
            .and_then(|round_id| self.rounds.get_mut(round_id))
        {
            round.staked -= stake.amount.value();
            share_out(round, outcome, Decimal::ONE);
        }
    }
}

/// Adds the bonus parts of a stake to its round (`sign` −1) or removes them (`sign` +1): money that left a grant is
/// negative.
fn share_out(round: &mut Round, outcome: &Outcome, sign: Decimal) {
    for effect in outcome.grants.iter().filter(|effect| effect.bonus < Decimal::ZERO) {
        let bonus = effect.bonus * sign;
        match round.shares.iter_mut().find(|share| share.grant_id == effect.grant_id) {
            Some(share) => share.bonus += bonus,
            None => round.shares.push(RoundShare {
                grant_id: effect.grant_id,
                bonus,
                ended: None,
            }),
        }
    }
    // In the order of the database: the batch must not decide which of two grants gets the odd cent.
    round.shares.sort_by_key(|share| share.grant_id);
}

fn unsettled(round_id: &str, event_id: &EventId, outcome: &Outcome) -> Vec<UnsettledStake> {
    let staked = outcome.grants.iter().filter(|effect| effect.bonus < Decimal::ZERO);
    let stake = |effect: &GrantEffect| UnsettledStake {
        grant_id: effect.grant_id,
        round_id: round_id.to_owned(),
        event_id: event_id.clone(),
    };
    staked.map(stake).collect()
}

impl EventError {
    /// Stable, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            EventError::Reused { .. } => "event_id_reused",
            EventError::AlreadyVoided { .. } => "already_voided",
            EventError::NotVoidable { .. } => "not_voidable",
            EventError::StakeUnknown { .. } => "stake_unknown",
            EventError::InFuture { .. } => "occurred_in_future",
            EventError::TooOld { .. } => "too_old",
            EventError::OutOfRange { .. } => "overflow",
            EventError::Account(error) => error.code(),
        }
    }
}
