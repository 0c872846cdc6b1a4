//! The effects of play on bonuses.
//!
//! # Choices
//!
//! * A stake feeds one bonus: the first active one. If that one excludes the game, no other is fed. Only what exceeds a
//!   requirement flows to the next. The bonus must have been active when the stake occurred.
//! * `max_bet` bounds what the stakes of one round contribute together, counted from the bonus's activation; a stake
//!   without a round is a round of its own. What exceeds it contributes to no bonus.
//! * Contributions have four decimal places and round down. The part of a stake that completed a bonus rounds up before
//!   the rest flows on.
//! * A stake that names more bonus money than there is counts the rest as real.
//! * A payout belongs to the stakes of its `round_id` at or before it. The shares of several bonuses round down
//!   together, so a round paid by bonuses alone returns every cent. Without a round, all of it is real money (a jackpot,
//!   a tournament).
//! * An emptied bonus stays ACTIVE while a round with its money may still pay: until a payout (0 ends a lost round), a
//!   void, or 24 hours. Otherwise the last stake would always lose. Then it is DEPLETED. Money that comes back to it
//!   before it expires revives it: a round may pay more than once.
//! * Money that returns to a finished bonus is real if the bonus was COMPLETED, within what is left of its conversion
//!   limit; otherwise rounds left open over the completion would escape the limit. In every other case it is forfeited.
//!   The outcome of the event says so; the ledger does not move, since a terminal grant never does.
//! * While a player is blocked or inactive, play is recorded and contributes, but completes nothing. What was fulfilled
//!   then completes when the player is unblocked, unless it has expired by then.

use super::book::unexplained;
use super::{Account, Result};
use crate::activity::{GrantEffect, Outcome, Remark, Stake};
use crate::bonus::{GrantStatus, MaxBetAction, OnWithdrawal, Round};
use crate::id::{EventId, GrantId};
use crate::ledger::{Cause, House, Kind, Operation};
use crate::money::STORED_SCALE;
use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};

/// What an event does to bonuses.
#[derive(Debug)]
pub enum Play<'a> {
    Stake {
        stake: &'a Stake,
        /// The live stakes of its round before it, each with its instant.
        earlier: Vec<(Timestamp, Decimal)>,
    },
    Payout {
        amount: Decimal,
        /// The live stakes at or before the payout.
        round: Round,
    },
    Withdrawal,
}

impl Account {
    /// Applies play that stands at the instant `at`, after everything applied before. The effects name bonuses by
    /// their roots.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn play(&mut self, play: &Play<'_>, event_id: &EventId, at: Timestamp, cause: &Cause<'_>) -> Result<Outcome> {
        let mut outcome = match play {
            Play::Stake { stake, earlier } => self.stake(stake, earlier, event_id, at, cause)?,
            Play::Payout { amount, round } => self.payout(*amount, round, event_id, at, cause)?,
            Play::Withdrawal => self.withdrawal(at, cause)?,
        };
        for effect in &mut outcome.grants {
            if let Some(grant) = self.grants.iter().find(|grant| grant.root_id == effect.grant_id) {
                effect.status = grant.status;
            }
        }
        Ok(outcome)
    }

    fn stake(
        &mut self,
        stake: &Stake,
        earlier: &[(Timestamp, Decimal)],
        event_id: &EventId,
        at: Timestamp,
        cause: &Cause<'_>,
    ) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let operation = cause.operation(Kind::Stake, event_id.as_str());
        let mut overdrawn = stake.bonus_amount.value();
        for (index, part) in self.bonus_parts(overdrawn, at) {
            self.move_bonus(index, -part, House::Wagering, &operation)?;
            outcome.effect(self.grants[index].root_id).bonus -= part;
            overdrawn -= part;
        }
        outcome.overdrawn = overdrawn;
        outcome.remark = self.contribute(stake, earlier, at, &mut outcome, cause)?;
        Ok(outcome)
    }

    /// Contributes to the first active bonus; what exceeds its requirement contributes to the next.
    fn contribute(
        &mut self,
        stake: &Stake,
        earlier: &[(Timestamp, Decimal)],
        at: Timestamp,
        outcome: &mut Outcome,
        cause: &Cause<'_>,
    ) -> Result<Option<Remark>> {
        let game = stake.game.as_deref().unwrap_or_default();
        let (mut left, mut remark) = (stake.amount.value(), None);
        for index in 0..self.grants.len() {
            let grant = &self.grants[index];
            let (root_id, required) = (grant.root_id, grant.wagering_left());
            if !grant.is_active_at(at) || required.is_zero() {
                continue;
            }
            if let Some(room) = bet_room(grant, earlier).filter(|room| left > *room) {
                remark = Some(Remark::AboveMaxBet);
                if grant.terms.max_bet_action == MaxBetAction::Forfeit {
                    self.end(index, GrantStatus::Forfeited, at, &cause.with_reason("max_bet"))?;
                    outcome.effect(root_id);
                    return Ok(remark);
                }
                left = room;
                if left.is_zero() {
                    return Ok(remark);
                }
            }
            let grant = &self.grants[index];
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
            outcome.effect(root_id).contribution += contribution;
            if contribution < required {
                return Ok(remark);
            }
            self.complete_fulfilled(at, cause)?;
            // The part of the stake that the grant used, rounded up; the rest goes to the next grant.
            let used = (required / weight).round_dp_with_strategy(STORED_SCALE, RoundingStrategy::AwayFromZero);
            left = (left - used).max(Decimal::ZERO);
            if left.is_zero() {
                return Ok(remark);
            }
        }
        Ok(remark)
    }

    fn payout(
        &mut self,
        amount: Decimal,
        round: &Round,
        event_id: &EventId,
        at: Timestamp,
        cause: &Cause<'_>,
    ) -> Result<Outcome> {
        let mut outcome = Outcome {
            real_amount: amount,
            ..Outcome::default()
        };
        let operation = cause.operation(Kind::Payout, event_id.as_str());
        for (root_id, part) in round.split(amount)? {
            outcome.real_amount -= part;
            let index = self.bonus(root_id)?;
            if part > Decimal::ZERO && self.grants[index].is_revived_at(at) {
                self.succeed(index, cause);
            }
            if self.grants[index].status == GrantStatus::Active {
                if !part.is_zero() {
                    self.move_bonus(index, part, House::Wagering, &operation)?;
                }
                outcome.effect(root_id).bonus += part;
            } else {
                self.return_late(index, part, &mut outcome);
            }
        }
        Ok(outcome)
    }

    /// Handles money that returns to an ended grant: it goes to the player as far as the bonus was wagered; the
    /// rest is lost.
    fn return_late(&mut self, index: usize, amount: Decimal, outcome: &mut Outcome) {
        let released = self.grants[index].released_of(amount);
        self.grants[index].released += released;
        self.changed[index] |= !released.is_zero();
        outcome.real_amount += released;
        outcome.forfeited_amount += amount - released;
        outcome.effect(self.grants[index].root_id).released += released;
    }

    fn withdrawal(&mut self, at: Timestamp, cause: &Cause<'_>) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        for index in 0..self.grants.len() {
            let grant = &self.grants[index];
            if grant.is_active_at(at) && grant.terms.on_withdrawal == OnWithdrawal::Forfeit {
                outcome.effect(grant.root_id);
                self.end(index, GrantStatus::Forfeited, at, &cause.with_reason("withdrawal"))?;
            }
        }
        Ok(outcome)
    }

    /// Ends what is due by the instant `at`: bonuses expire, at their expiry; emptied ones are depleted unless `is_held`:
    /// a round that may still pay holds their money; fulfilled ones complete.
    pub fn settle_play(&mut self, at: Timestamp, is_held: impl Fn(GrantId) -> bool, cause: &Cause<'_>) -> Result<()> {
        let cause = &unexplained(cause);
        self.expire_bonuses(at, cause)?;
        // First: a fulfilled bonus that was depleted while its player was blocked stays so after the unblocking.
        self.deplete(at, is_held, cause);
        self.complete_fulfilled(at, cause)
    }

    /// Completes bonuses whose requirement is fulfilled, unless the player's play completes nothing now.
    pub(super) fn complete_fulfilled(&mut self, at: Timestamp, cause: &Cause<'_>) -> Result<()> {
        if self.is_suspended {
            return Ok(());
        }
        for index in 0..self.grants.len() {
            let grant = &mut self.grants[index];
            if grant.is_active_at(at) && grant.wagering_left().is_zero() {
                self.changed[index] = true;
                self.book.complete(grant, at, cause)?;
            }
        }
        Ok(())
    }

    /// Active grants without money, which become DEPLETED once no round can return any to them, by root.
    pub fn emptied(&self) -> Vec<GrantId> {
        let is_emptied = |grant: &&super::Grant| grant.status == GrantStatus::Active && grant.balance.is_zero();
        self.grants
            .iter()
            .filter(is_emptied)
            .map(|grant| grant.root_id)
            .collect()
    }

    /// Ends the grants of [`Self::emptied`], except those held by a round that may still return money. The act's
    /// reason explains what emptied them, so it is not recorded here.
    fn deplete(&mut self, at: Timestamp, is_held: impl Fn(GrantId) -> bool, cause: &Cause<'_>) {
        let cause = unexplained(cause);
        for index in 0..self.grants.len() {
            let grant = &mut self.grants[index];
            if grant.is_active_at(at) && grant.balance.is_zero() && !is_held(grant.root_id) {
                let operation = cause.operation(Kind::BonusForfeiture, grant.grant_id.to_string());
                self.changed[index] = true;
                self.book.step(
                    grant,
                    GrantStatus::Depleted,
                    (Decimal::ZERO, Decimal::ZERO),
                    at,
                    operation,
                );
            }
        }
    }
}

/// What stakes of the round may still contribute under the bonus's `max_bet`; `None`: no limit.
fn bet_room(grant: &super::Grant, earlier: &[(Timestamp, Decimal)]) -> Option<Decimal> {
    let counted = earlier
        .iter()
        .filter(|(at, _)| grant.activated_at.is_some_and(|activated_at| activated_at <= *at));
    let staked: Decimal = counted.map(|(_, amount)| amount).sum();
    Some((grant.terms.max_bet? - staked).max(Decimal::ZERO))
}

/// Rounds to the scale of stored amounts.
fn round_down(contribution: Decimal) -> Decimal {
    contribution.round_dp_with_strategy(STORED_SCALE, RoundingStrategy::ToZero)
}

impl Outcome {
    pub(crate) fn effect(&mut self, root_id: GrantId) -> &mut GrantEffect {
        let known = self.grants.iter().position(|effect| effect.grant_id == root_id);
        let index = known.unwrap_or_else(|| {
            self.grants.push(GrantEffect::none(root_id));
            self.grants.len() - 1
        });
        &mut self.grants[index]
    }
}

impl Operation {
    /// The operation of a correction that an event made necessary.
    pub(super) fn correction(event_id: &EventId, cause: &Cause<'_>) -> Self {
        cause.operation(Kind::BonusCorrection, event_id.as_str())
    }
}
