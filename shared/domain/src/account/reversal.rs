//! Reversal of a transaction: as a whole, and only once.

use super::{Account, AccountError, Result, What};
use crate::bonus::GrantStatus;
use crate::id::{GrantId, TransactionId};
use crate::ledger::{Cause, Direction, House, Kind, Operation};
use crate::lots::LotMovement;
use crate::money::Asset;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// A transaction as it was posted.
#[derive(Debug, Clone, PartialEq)]
pub struct Reversible {
    pub transaction_id: TransactionId,
    pub kind: Kind,
    /// In the order of their versions.
    pub postings: Vec<ReversedPosting>,
    /// What the postings took from lots.
    pub lot_movements: Vec<LotMovement>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ReversedPosting {
    pub asset: Asset,
    pub version: i64,
    pub house: House,
    pub direction: Direction,
    pub amount: Decimal,
    pub grant_id: Option<GrantId>,
    /// For the lot it created: the amount that had expired when the lot was read.
    pub expired: Decimal,
}

impl Account {
    /// Posts the opposite of every posting, last first. Spent points return to the lots they came from, and
    /// repay a debt first. Credited
    /// points are taken from their own lot first, then from the others. A bonus can be reversed only while it is
    /// unplayed.
    ///
    /// # Errors
    /// `NotReversible`; `NotOpen` when its bonus has ended; `InsufficientBalance` when its value has been spent.
    pub fn reverse(&mut self, transaction: &Reversible, operation: &Operation, cause: &Cause<'_>) -> Result<()> {
        let refuse = |detail| {
            Err(AccountError::NotReversible {
                kind: transaction.kind,
                detail,
            })
        };
        if !transaction.kind.is_reversible() {
            return refuse("a VOID event reverses play, and the end of a bonus or points is final");
        }
        // Points that were due expired in this very operation, after the transaction was read.
        let settled: Vec<_> = self
            .book
            .journal
            .lot_movements
            .iter()
            .map(|movement| (movement.asset, movement.lot_version))
            .collect();
        if transaction.kind == Kind::ManualDebit && self.deductions.contains_key(&transaction.transaction_id) {
            self.restore_bonus(transaction, operation, cause)?;
        }
        for posting in transaction.postings.iter().rev() {
            let has_expired = !posting.expired.is_zero() || settled.contains(&(posting.asset, posting.version));
            match (posting.asset, posting.direction) {
                (_, Direction::Credit) if has_expired => return refuse("some of its points have expired"),
                (Asset::Bonus, Direction::Debit) => {}
                (Asset::Bonus, Direction::Credit) => self.reverse_bonus(posting, transaction.kind, operation, cause)?,
                (asset, Direction::Credit) => {
                    self.take(asset, posting.amount, posting.house, Some(posting.version), operation)?
                }
                (asset, Direction::Debit) => {
                    self.book.post(
                        Direction::Credit,
                        posting.house,
                        (asset, posting.amount),
                        None,
                        operation,
                    )?;
                    self.put_back(posting, &transaction.lot_movements);
                    self.repay(asset, posting.amount, None, cause)?;
                }
            }
        }
        Ok(())
    }

    fn put_back(&mut self, posting: &ReversedPosting, movements: &[LotMovement]) {
        let mut put_back = Vec::new();
        for movement in movements
            .iter()
            .filter(|movement| movement.asset == posting.asset && movement.version == posting.version)
        {
            let is_it =
                |lot: &&mut crate::lots::Lot| lot.asset == movement.asset && lot.version == movement.lot_version;
            if let Some(lot) = self.lots.iter_mut().find(is_it) {
                lot.remaining -= movement.amount;
                put_back.push((movement.lot_version, -movement.amount));
            }
        }
        self.move_lots(posting.asset, &put_back);
    }

    /// Gives back what a deduction took from bonuses.
    ///
    /// # Errors
    /// `NotOpen` when one of them is over.
    fn restore_bonus(&mut self, transaction: &Reversible, operation: &Operation, cause: &Cause<'_>) -> Result<()> {
        let deduction = transaction.transaction_id;
        for root_id in self.deductions.get(&deduction).into_iter().flat_map(BTreeMap::keys) {
            let grant = &self.grants[self.bonus(*root_id)?];
            if !grant.status.is_open() && !grant.is_revived_at(operation.at) {
                let grant_id = grant.grant_id;
                return Err(AccountError::NotOpen { grant_id });
            }
        }
        self.intervene(What::Restore { deduction }, operation, cause)
    }

    fn reverse_bonus(
        &mut self,
        posting: &ReversedPosting,
        kind: Kind,
        operation: &Operation,
        cause: &Cause<'_>,
    ) -> Result<()> {
        let Some(grant_id) = posting.grant_id else {
            return Ok(());
        };
        let index = self.open(grant_id)?;
        if !self.grants[index].is_untouched() {
            return Err(AccountError::NotReversible {
                kind,
                detail: "its bonus has been played; forfeit the rest",
            });
        }
        self.changed[index] = true;
        self.book.end(
            &mut self.grants[index],
            GrantStatus::Cancelled,
            posting.house,
            operation.at,
            operation.clone(),
        )?;
        let what = What::End {
            root_id: self.grants[index].root_id,
            to: GrantStatus::Cancelled,
            reason: operation.reason.clone(),
        };
        self.intervene(what, operation, cause)
    }
}
