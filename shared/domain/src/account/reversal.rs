//! Reversal of a transaction: as a whole, and only once.

use super::{Account, AccountError, Result};
use crate::bonus::GrantStatus;
use crate::id::{GrantId, TransactionId};
use crate::ledger::{Cause, Direction, House, Kind, Operation};
use crate::lots::LotMovement;
use crate::money::Asset;
use rust_decimal::Decimal;

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
        for posting in transaction.postings.iter().rev() {
            let has_expired = !posting.expired.is_zero() || settled.contains(&(posting.asset, posting.version));
            match (posting.asset, posting.direction) {
                (_, Direction::Credit) if has_expired => return refuse("some of its points have expired"),
                (Asset::Bonus, _) => self.reverse_bonus(posting, transaction.kind, operation)?,
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

    fn reverse_bonus(&mut self, posting: &ReversedPosting, kind: Kind, operation: &Operation) -> Result<()> {
        let Some(grant_id) = posting.grant_id else {
            return Ok(());
        };
        let index = self.open(grant_id)?;
        if posting.direction == Direction::Debit {
            return self.move_bonus(index, posting.amount, posting.house, operation);
        }
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
            operation.clone(),
        )
    }
}
