//! The effects of play on bonuses.
//!
//! # Choices
//!
//! * A stake feeds one bonus: the first active one. If that one excludes the game, or the stake is above its `max_bet`,
//!   no other is fed. Only what exceeds a requirement flows to the next. The bonus must have been active when the stake
//!   occurred.
//! * Contributions have four decimal places and round down. The part of a stake that completed a bonus rounds up before
//!   the rest flows on.
//! * A payout belongs to the stakes of its `round_id`. The shares of several bonuses round down together, so a round
//!   paid by bonuses alone returns every cent. Without a round, all of it is real money (a jackpot, a tournament). A
//!   round in which nothing was staked is refused (`stake_unknown`): the caller sends the payout again after its stake.
//! * An emptied bonus stays ACTIVE while a round with its money may still pay: until a payout (0 ends a lost round), a
//!   void, or 24 hours. Otherwise the last stake would always lose. A stake without a round empties the bonus for good:
//!   DEPLETED.
//! * Money that returns to a finished bonus is real if the bonus was COMPLETED, within what is left of its conversion
//!   limit; otherwise rounds left open over the completion would escape the limit. In every other case it is forfeited.
//!   The outcome of the event says so; the ledger does not move, since a terminal grant never does.

use super::{Account, Result};
use crate::activity::{Action, Event, GrantEffect, Outcome, Payout, Remark, Stake, TakenBack};
use crate::bonus::{EndedGrant, GrantStatus, MaxBetAction, OnWithdrawal, Round};
use crate::id::GrantId;
use crate::ledger::{Cause, House, Kind, LedgerError, Operation};
use crate::money::{Asset, STORED_SCALE};
use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};

/// The part of an event's past that must be read before it can be applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Past {
    Nothing,
    /// A void of this event arrived before it.
    Voided,
    /// For a payout: its round.
    Round(Round),
    /// For a void: the effects of the voided event.
    TakenBack(TakenBack),
}

impl Account {
    /// Applies an event for the first time, except for its points: see [`Self::earn`].
    ///
    /// # Errors
    /// `InsufficientBalance` when a stake uses more bonus money than there is, or when a voided payout has been
    /// spent.
    pub fn apply(&mut self, event: &Event, past: &Past, cause: &Cause<'_>) -> Result<Outcome> {
        let mut outcome = match (&event.action, past) {
            (_, Past::Voided) => Outcome {
                remark: Some(Remark::Voided),
                ..Outcome::default()
            },
            (Action::Stake(stake), _) => self.stake(stake, event, cause)?,
            (Action::Payout(payout), Past::Round(round)) => self.payout(payout, round, event, cause)?,
            (Action::Payout(payout), _) => Outcome {
                real_amount: payout.amount.value(),
                ..Outcome::default()
            },
            (Action::Void { .. }, Past::TakenBack(taken)) => self.void(taken, event, cause)?,
            (Action::Withdrawal { .. }, _) => self.withdrawal(cause)?,
            _ => Outcome::default(),
        };
        for effect in &mut outcome.grants {
            if let Some(grant) = self.grants.iter().find(|grant| grant.grant_id == effect.grant_id) {
                effect.status = grant.status;
            }
        }
        Ok(outcome)
    }

    fn stake(&mut self, stake: &Stake, event: &Event, cause: &Cause<'_>) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let operation = of(event, Kind::Stake, cause);
        let parts = self.bonus_parts(stake.bonus_amount.value())?;
        for (index, part) in parts {
            self.move_bonus(index, -part, House::Wagering, &operation)?;
            outcome.effect(self.grants[index].grant_id).bonus -= part;
        }
        outcome.remark = self.contribute(stake, event.occurred_at, &mut outcome, cause)?;
        Ok(outcome)
    }

    /// Contributes to the first active grant; what exceeds its requirement contributes to the next.
    fn contribute(
        &mut self,
        stake: &Stake,
        occurred_at: Timestamp,
        outcome: &mut Outcome,
        cause: &Cause<'_>,
    ) -> Result<Option<Remark>> {
        let staked = stake.amount.value();
        let mut left = staked;
        for index in 0..self.grants.len() {
            let grant = &self.grants[index];
            if !grant.is_fed_at(occurred_at) {
                continue;
            }
            let (grant_id, required) = (grant.grant_id, grant.wagering_left());
            if grant.terms.max_bet.is_some_and(|max_bet| staked > max_bet) {
                if grant.terms.max_bet_action == MaxBetAction::Forfeit {
                    self.end(
                        index,
                        GrantStatus::Forfeited,
                        &Cause {
                            reason: Some("max_bet"),
                            ..*cause
                        },
                    )?;
                    outcome.effect(grant_id);
                }
                return Ok(Some(Remark::AboveMaxBet));
            }
            let game = stake.game.as_deref().unwrap_or_default();
            let weight = grant.terms.game_weight(game);
            if weight.is_zero() {
                let is_unknown = !grant.terms.knows(game);
                return Ok(Some(if is_unknown {
                    Remark::UnknownGame
                } else {
                    Remark::GameNotEligible
                }));
            }
            let contribution = round_down(left * weight).min(required);
            self.grants[index].wagering_completed += contribution;
            self.changed[index] = true;
            outcome.effect(grant_id).contribution += contribution;
            if contribution < required {
                return Ok(None);
            }
            self.book.complete(&mut self.grants[index], cause)?;
            // The part of the stake that the grant used, rounded up; the rest goes to the next grant.
            let used = (required / weight).round_dp_with_strategy(STORED_SCALE, RoundingStrategy::AwayFromZero);
            left = (left - used).max(Decimal::ZERO);
            if left.is_zero() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn payout(&mut self, payout: &Payout, round: &Round, event: &Event, cause: &Cause<'_>) -> Result<Outcome> {
        let mut outcome = Outcome {
            real_amount: payout.amount.value(),
            ..Outcome::default()
        };
        let operation = of(event, Kind::Payout, cause);
        let parts = round.split(payout.amount.value())?;
        for (share, part) in round.shares.iter().zip(parts) {
            outcome.real_amount -= part;
            match self.ended(share.grant_id, share.ended.as_ref()) {
                None => self.return_bonus(share.grant_id, part, &operation, &mut outcome)?,
                Some(ended) => self.return_late(share.grant_id, part, &ended, &mut outcome),
            }
        }
        Ok(outcome)
    }

    /// Reverses an event: for bonuses only where they are still open.
    fn void(&mut self, taken: &TakenBack, event: &Event, cause: &Cause<'_>) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let operation = of(event, Kind::Void, cause);
        for effect in &taken.effects {
            let back = -effect.bonus;
            match self.ended(effect.grant_id, effect.ended.as_ref()) {
                Some(ended) if back > Decimal::ZERO => self.return_late(effect.grant_id, back, &ended, &mut outcome),
                // A payout's money is gone with the grant.
                Some(_) => {}
                None => {
                    self.return_bonus(effect.grant_id, back, &operation, &mut outcome)?;
                    let index = self.open(effect.grant_id)?;
                    self.grants[index].wagering_completed -= effect.contribution;
                    self.changed[index] = true;
                    outcome.effect(effect.grant_id).contribution -= effect.contribution;
                }
            }
        }
        Ok(outcome)
    }

    /// Returns the grant if it has ended, either before it was read or since.
    fn ended(&self, grant_id: GrantId, stored: Option<&EndedGrant>) -> Option<EndedGrant> {
        let ended = match self.grants.iter().find(|grant| grant.grant_id == grant_id) {
            Some(grant) if grant.status.is_open() => None,
            Some(grant) => Some(EndedGrant {
                status: grant.status,
                amount: grant.amount,
                terms: grant.terms.clone(),
                converted: grant.converted,
                released: Decimal::ZERO,
            }),
            None => stored.cloned(),
        };
        let released = self.released.get(&grant_id).copied().unwrap_or_default();
        ended.map(|ended| EndedGrant {
            released: ended.released + released,
            ..ended
        })
    }

    /// Handles money that returns to an ended grant: it goes to the player as far as the bonus was wagered; the
    /// rest is lost.
    fn return_late(&mut self, grant_id: GrantId, amount: Decimal, ended: &EndedGrant, outcome: &mut Outcome) {
        let released = ended.released_of(amount);
        *self.released.entry(grant_id).or_default() += released;
        outcome.real_amount += released;
        outcome.forfeited_amount += amount - released;
        let effect = outcome.effect(grant_id);
        effect.released += released;
        effect.status = ended.status;
    }

    /// Returns bonus money to an open grant, or takes it if the amount is negative.
    fn return_bonus(
        &mut self,
        grant_id: GrantId,
        amount: Decimal,
        operation: &Operation,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let index = self.open(grant_id)?;
        let available = self.grants[index].balance;
        if available + amount < Decimal::ZERO {
            return Err(LedgerError::InsufficientBalance {
                asset: Asset::Bonus,
                available,
                requested: -amount,
            }
            .into());
        }
        if !amount.is_zero() {
            self.move_bonus(index, amount, House::Wagering, operation)?;
        }
        outcome.effect(grant_id).bonus += amount;
        Ok(())
    }

    fn withdrawal(&mut self, cause: &Cause<'_>) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        for index in 0..self.grants.len() {
            let grant = &self.grants[index];
            if grant.status == GrantStatus::Active && grant.terms.on_withdrawal == OnWithdrawal::Forfeit {
                outcome.effect(grant.grant_id);
                self.end(
                    index,
                    GrantStatus::Forfeited,
                    &Cause {
                        reason: Some("withdrawal"),
                        ..*cause
                    },
                )?;
            }
        }
        Ok(outcome)
    }
}

fn of(event: &Event, kind: Kind, cause: &Cause<'_>) -> Operation {
    cause.operation(kind, event.event_id.as_str())
}

/// Rounds to the scale of stored amounts.
fn round_down(contribution: Decimal) -> Decimal {
    contribution.round_dp_with_strategy(STORED_SCALE, RoundingStrategy::ToZero)
}

impl Outcome {
    fn effect(&mut self, grant_id: GrantId) -> &mut GrantEffect {
        let known = self.grants.iter().position(|effect| effect.grant_id == grant_id);
        let index = known.unwrap_or_else(|| {
            let (contribution, bonus, released) = Default::default();
            self.grants.push(GrantEffect {
                grant_id,
                contribution,
                bonus,
                released,
                status: GrantStatus::Active,
            });
            self.grants.len() - 1
        });
        &mut self.grants[index]
    }
}
