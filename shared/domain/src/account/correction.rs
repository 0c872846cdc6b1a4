//! Bonuses whose play turned out otherwise: an event arrived late, or was voided. The bonuses are taken back to the
//! instant of that event, play is applied again from there, and what came out differently is posted.
//!
//! # Choices
//!
//! * An ended grant never moves. A bonus that has ended otherwise, or not at all, is continued by a successor: a grant
//!   with the same terms, expiry and place in the feeding order, without a period and a cost of its own, which holds
//!   what the bonus should hold. Wagering, conversion limit and committed cost are counted over the chain.
//! * Money that the cashier paid is never pulled back. [`Adjustment`] says what the bonus became instead.
//! * Only conversions and releases are told. Nobody is told the real share of an earlier payout that is split otherwise
//!   later.

use super::book::unexplained;
use super::{Account, Adjustment, Book, Result};
use crate::bonus::{Flows, Grant, GrantStatus};
use crate::id::{EventId, GrantId};
use crate::ledger::{Cause, Direction, House, Operation, Wallet};
use crate::money::Asset;
use jiff::Timestamp;
use rust_decimal::Decimal;
use std::collections::HashMap;

/// What happened to a bonus at or after some instant.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Since {
    pub played: Decimal,
    pub adjusted: Decimal,
    pub contribution: Decimal,
    pub released: Decimal,
}

impl Account {
    /// The bonuses as they were just before the instant `from`, in an account of their own. `since`, by root, is what
    /// happened to them from then on.
    pub fn rewound(&self, from: Timestamp, since: &HashMap<GrantId, Since>, is_suspended: bool) -> Account {
        let activated = self.grants.iter().filter(|grant| grant.activated_at.is_some());
        let grants: Vec<Grant> = activated
            .map(|grant| before(grant, from, since.get(&grant.root_id).copied().unwrap_or_default()))
            .collect();
        let wallet = Wallet {
            balance: grants.iter().map(|grant| grant.balance).sum(),
            ..Wallet::empty(self.player_id().clone(), Asset::Bonus)
        };
        let book = Book::new(self.player_id().clone(), vec![wallet]);
        Account::new(book, Vec::new(), grants).suspended(is_suspended)
    }

    /// Posts what came out differently when play was applied again. `told`, by root: money that the answers to new
    /// events give the player.
    ///
    /// # Errors
    /// `OutOfRange`.
    pub fn correct(
        &mut self,
        replayed: &Account,
        event_id: &EventId,
        told: &HashMap<GrantId, Decimal>,
        cause: &Cause<'_>,
    ) -> Result<()> {
        let cause = &unexplained(cause);
        let operation = Operation::correction(event_id, cause);
        for right in &replayed.grants {
            let index = self.bonus(right.root_id)?;
            let (grant_id, owed) = (self.grants[index].grant_id, self.grants[index].cash());
            let was_paid = self.grants[index].status == GrantStatus::Completed;
            let delta = right.cash() - owed - told.get(&right.root_id).copied().unwrap_or_default();
            let is_continued = !is_same(&self.grants[index], right);
            if is_continued {
                let completes = right.status == GrantStatus::Completed && !was_paid;
                self.correct_grant(index, right, (completes, delta), &operation, cause)?;
            }
            self.remark(index, right);
            let is_told = is_continued && right.status == GrantStatus::Completed && !was_paid;
            let is_successor = self.grants[index].grant_id != grant_id;
            if (!delta.is_zero() && !is_told) || is_successor {
                self.adjust(index, event_id, if is_told { Decimal::ZERO } else { delta }, cause);
            }
        }
        Ok(())
    }

    fn correct_grant(
        &mut self,
        index: usize,
        right: &Grant,
        (completes, delta): (bool, Decimal),
        operation: &Operation,
        cause: &Cause<'_>,
    ) -> Result<()> {
        let wrong = self.grants[index].clone();
        if !wrong.status.is_open() {
            self.succeed(index, cause);
        }
        for (house, amount) in differences(&wrong, right) {
            self.post_bonus(index, amount, house, operation)?;
        }
        let grant = &mut self.grants[index];
        (grant.flows, grant.balance) = (right.flows, right.balance);
        grant.wagering_completed = right.wagering_completed;
        self.changed[index] = true;
        if right.status.is_open() {
            return Ok(());
        }
        let mut ending = Operation {
            reason: right.reason.clone(),
            ..operation.clone()
        };
        ending.at = cause.context.now;
        let cash = if completes { delta } else { Decimal::ZERO };
        let at = right.ended_at.unwrap_or(cause.context.now);
        self.book.step(
            &mut self.grants[index],
            right.status,
            (cash, right.flows.lost),
            at,
            ending,
        );
        Ok(())
    }

    /// Posts bonus money into a grant, or out of it if `amount` is negative. Its flows are the caller's.
    pub(super) fn post_bonus(
        &mut self,
        index: usize,
        amount: Decimal,
        house: House,
        operation: &Operation,
    ) -> Result<()> {
        let direction = if amount.is_sign_negative() {
            Direction::Debit
        } else {
            Direction::Credit
        };
        let grant_id = self.grants[index].grant_id;
        self.book.post(
            direction,
            house,
            (Asset::Bonus, amount.abs()),
            Some(grant_id),
            operation,
        )?;
        Ok(())
    }

    /// Facts about an ended grant that are no money of it.
    fn remark(&mut self, index: usize, right: &Grant) {
        let grant = &mut self.grants[index];
        let ended_at = if grant.status.is_open() {
            None
        } else {
            right.ended_at.or(grant.ended_at)
        };
        if grant.released != right.released || grant.ended_at != ended_at {
            (grant.released, grant.ended_at) = (right.released, ended_at);
            self.changed[index] = true;
        }
    }

    fn adjust(&mut self, index: usize, event_id: &EventId, cash_delta: Decimal, cause: &Cause<'_>) {
        let grant = &self.grants[index];
        self.book.journal.adjustments.push(Adjustment {
            player_id: self.book.player_id.clone(),
            root_id: grant.root_id,
            grant_id: grant.grant_id,
            event_id: event_id.clone(),
            at: cause.context.now,
            cash_delta,
            total_owed: grant.cash(),
        });
    }
}

/// The bonus just before `from`.
fn before(grant: &Grant, from: Timestamp, since: Since) -> Grant {
    // A bonus without a requirement converted when it was funded: no play reaches it.
    let is_out_of_reach = grant.wagering_required.is_zero()
        || (!grant.status.is_open() && grant.ended_at.is_some_and(|ended_at| ended_at < from));
    if is_out_of_reach {
        return Grant {
            released: grant.released - since.released,
            ..grant.clone()
        };
    }
    let flows = Flows {
        played: grant.flows.played - since.played,
        adjusted: grant.flows.adjusted - since.adjusted,
        ..Flows::default()
    };
    Grant {
        status: GrantStatus::Active,
        reason: None,
        balance: grant.amount + flows.sum(),
        flows,
        released: Decimal::ZERO,
        wagering_completed: grant.wagering_completed - since.contribution,
        closed_at: None,
        ended_at: None,
        ..grant.clone()
    }
}

/// Whether two states of a bonus differ in nothing that is posted.
fn is_same(wrong: &Grant, right: &Grant) -> bool {
    wrong.status == right.status
        && wrong.reason == right.reason
        && wrong.flows == right.flows
        && wrong.balance == right.balance
        && wrong.wagering_completed == right.wagering_completed
}

/// What has to move into the bonus, or below 0 out of it, by house account: first in, then out.
fn differences(wrong: &Grant, right: &Grant) -> Vec<(House, Decimal)> {
    let mut moved: Vec<(House, Decimal)> = Vec::new();
    let mut add = |house: House, amount: Decimal| match moved.iter_mut().find(|(known, _)| *known == house) {
        Some((_, sum)) => *sum += amount,
        None => moved.push((house, amount)),
    };
    add(House::Wagering, right.flows.played - wrong.flows.played);
    add(House::Adjustment, right.flows.adjusted - wrong.flows.adjusted);
    add(House::CashOut, wrong.flows.converted - right.flows.converted);
    add(lost_to(wrong.status), wrong.flows.lost);
    add(lost_to(right.status), -right.flows.lost);
    moved.retain(|(_, amount)| !amount.is_zero());
    moved.sort_by_key(|(_, amount)| amount.is_sign_negative());
    moved
}

/// The house account that receives what a bonus loses when it ends with this status.
pub(super) fn lost_to(status: GrantStatus) -> House {
    match status {
        GrantStatus::Expired => House::Expiry,
        GrantStatus::Cancelled => House::Issuance,
        _ => House::Forfeit,
    }
}
