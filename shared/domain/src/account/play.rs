//! What play does to bonuses.

use super::{Account, Result};
use crate::activity::{Action, Event, GrantEffect, Outcome, PastEffect, Payout, Remark, Stake};
use crate::bonus::{EndedGrant, GrantStatus, MaxBetAction, OnWithdrawal, Round};
use crate::id::GrantId;
use crate::ledger::{Act, House, Kind, LedgerError, Operation};
use crate::money::{Asset, STORED_SCALE};
use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};

/// What of an event's past has to be read before it can be applied.
#[derive(Debug, Clone, PartialEq)]
pub enum Past {
    Nothing,
    /// A void of this event came before it.
    Voided,
    /// Of a payout.
    Round(Round),
    /// Of a void: what the voided event did.
    Effects(Vec<PastEffect>),
}

impl Account {
    /// Applies an event that was never applied before.
    ///
    /// # Errors
    /// `InsufficientBalance` when a stake names more bonus money than there is, or a voided payout is played already.
    pub fn apply(&mut self, event: &Event, past: &Past, act: &Act<'_>) -> Result<Outcome> {
        let mut outcome = match (&event.action, past) {
            (_, Past::Voided) => Outcome { remark: Some(Remark::Voided), ..Outcome::default() },
            (Action::Stake(stake), _) => self.stake(stake, event, act)?,
            (Action::Payout(payout), Past::Round(round)) => self.payout(payout, round, event, act)?,
            (Action::Payout(payout), _) => Outcome { real_amount: payout.amount, ..Outcome::default() },
            (Action::Void { .. }, Past::Effects(effects)) => self.void(effects, event, act)?,
            (Action::Void { .. }, _) => Outcome::default(),
            (Action::Withdrawal { .. }, _) => self.withdrawal(act)?,
        };
        for effect in &mut outcome.grants {
            if let Some(grant) = self.grants.iter().find(|grant| grant.grant_id == effect.grant_id) {
                effect.status = grant.status;
            }
        }
        Ok(outcome)
    }

    fn stake(&mut self, stake: &Stake, event: &Event, act: &Act<'_>) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let operation = of(event, Kind::Stake, act);
        for (index, part) in self.bonus_parts(stake.bonus_amount)? {
            self.move_bonus(index, -part, House::Wagering, &operation)?;
            outcome.effect(self.grants[index].grant_id).bonus -= part;
        }
        outcome.remark = self.contribute(stake, event.occurred_at, &mut outcome, act)?;
        Ok(outcome)
    }

    /// Feeds the first active grant; what is more than it requires feeds the next.
    fn contribute(&mut self, stake: &Stake, occurred_at: Timestamp, outcome: &mut Outcome, act: &Act<'_>) -> Result<Option<Remark>> {
        let mut left = stake.amount;
        for index in 0..self.grants.len() {
            let grant = &self.grants[index];
            if !grant.is_fed_at(occurred_at) {
                continue;
            }
            let (grant_id, required) = (grant.grant_id, grant.wagering_left());
            if grant.terms.max_bet.is_some_and(|max_bet| stake.amount > max_bet) {
                if grant.terms.max_bet_action == MaxBetAction::Forfeit {
                    self.end(index, GrantStatus::Forfeited, &Act { reason: Some("max_bet"), ..*act })?;
                    outcome.effect(grant_id);
                }
                return Ok(Some(Remark::AboveMaxBet));
            }
            let game = stake.game.as_deref().unwrap_or_default();
            let weight = grant.terms.game_weight(game);
            if weight.is_zero() {
                let is_unknown = !grant.terms.knows(game);
                return Ok(Some(if is_unknown { Remark::UnknownGame } else { Remark::GameNotEligible }));
            }
            let contribution = round_down(left * weight).min(required);
            self.grants[index].wagering_completed += contribution;
            self.changed[index] = true;
            outcome.effect(grant_id).contribution += contribution;
            if contribution < required {
                return Ok(None);
            }
            self.book.complete(&mut self.grants[index], act)?;
            // What it took of the stake, rounded up, is used; the rest flows on.
            let used = (required / weight).round_dp_with_strategy(STORED_SCALE, RoundingStrategy::AwayFromZero);
            left = (left - used).max(Decimal::ZERO);
            if left.is_zero() {
                return Ok(None);
            }
        }
        Ok(None)
    }

    fn payout(&mut self, payout: &Payout, round: &Round, event: &Event, act: &Act<'_>) -> Result<Outcome> {
        let mut outcome = Outcome { real_amount: payout.amount, ..Outcome::default() };
        let operation = of(event, Kind::Payout, act);
        let parts = round.split(payout.amount)?;
        for (share, part) in round.shares.iter().zip(parts) {
            outcome.real_amount -= part;
            match self.ended(share.grant_id, share.ended.as_ref()) {
                None => self.return_bonus(share.grant_id, part, &operation, &mut outcome)?,
                Some(ended) => outcome.return_late(share.grant_id, part, &ended),
            }
        }
        Ok(outcome)
    }

    /// Takes back what an event did, as far as its grants are open.
    fn void(&mut self, effects: &[PastEffect], event: &Event, act: &Act<'_>) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        let operation = of(event, Kind::Void, act);
        for effect in effects {
            let back = -effect.bonus;
            match self.ended(effect.grant_id, effect.ended.as_ref()) {
                Some(ended) if back > Decimal::ZERO => outcome.return_late(effect.grant_id, back, &ended),
                // What a payout brought is gone with the grant.
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

    /// The grant if it is over: it was when it was read, or has ended since.
    fn ended(&self, grant_id: GrantId, stored: Option<&EndedGrant>) -> Option<EndedGrant> {
        match self.grants.iter().find(|grant| grant.grant_id == grant_id) {
            Some(grant) if grant.status.is_open() => None,
            Some(grant) => Some(EndedGrant {
                status: grant.status,
                amount: grant.amount,
                terms: grant.terms.clone(),
                converted: grant.converted,
                released: Decimal::ZERO,
            }),
            None => stored.cloned(),
        }
    }

    /// Gives bonus money back to an open grant; below 0: takes it.
    fn return_bonus(&mut self, grant_id: GrantId, amount: Decimal, operation: &Operation, outcome: &mut Outcome) -> Result<()> {
        let index = self.open(grant_id)?;
        let available = self.grants[index].balance;
        if available + amount < Decimal::ZERO {
            return Err(LedgerError::InsufficientBalance { asset: Asset::Bonus, available, requested: -amount }.into());
        }
        if !amount.is_zero() {
            self.move_bonus(index, amount, House::Wagering, operation)?;
        }
        outcome.effect(grant_id).bonus += amount;
        Ok(())
    }

    fn withdrawal(&mut self, act: &Act<'_>) -> Result<Outcome> {
        let mut outcome = Outcome::default();
        for index in 0..self.grants.len() {
            let grant = &self.grants[index];
            if grant.status == GrantStatus::Active && grant.terms.on_withdrawal == OnWithdrawal::Forfeit {
                outcome.effect(grant.grant_id);
                self.end(index, GrantStatus::Forfeited, &Act { reason: Some("withdrawal"), ..*act })?;
            }
        }
        Ok(outcome)
    }
}

fn of(event: &Event, kind: Kind, act: &Act<'_>) -> Operation {
    act.operation(kind, event.event_id.as_str())
}

/// To the scale of stored amounts.
fn round_down(contribution: Decimal) -> Decimal {
    contribution.round_dp_with_strategy(STORED_SCALE, RoundingStrategy::ToZero)
}

impl Outcome {
    fn effect(&mut self, grant_id: GrantId) -> &mut GrantEffect {
        let known = self.grants.iter().position(|effect| effect.grant_id == grant_id);
        let index = known.unwrap_or_else(|| {
            let (contribution, bonus, released) = Default::default();
            self.grants.push(GrantEffect { grant_id, contribution, bonus, released, status: GrantStatus::Active });
            self.grants.len() - 1
        });
        &mut self.grants[index]
    }

    /// Money that comes back to a grant that is over: the player's as far as the bonus was wagered, else lost.
    fn return_late(&mut self, grant_id: GrantId, amount: Decimal, ended: &EndedGrant) {
        let released = ended.released_of(amount);
        self.real_amount += released;
        self.forfeited_amount += amount - released;
        let effect = self.effect(grant_id);
        effect.released += released;
        effect.status = ended.status;
    }
}
