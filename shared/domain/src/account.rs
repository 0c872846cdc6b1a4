//! Everything a player owns, as read under the player's lock. Operations are decided here in memory and written
//! afterwards.
//!
//! A refused operation may have changed the account: drop it and write nothing, or restore a [`Mark`].
//!
//! # Choices
//!
//! * Reversible: credits, deductions and redemptions by people, unplayed bonuses (they become CANCELLED), and rewards
//!   in points or tickets. Not reversible: play (that is a VOID), expiry, forfeiture, conversion, and a reversal
//!   itself.
//! * Reversing a credit takes from its own lot first, then from the others; a credit of which points have expired is
//!   refused. Reversing a debit returns points to the lots they came from; if such a lot is past its expiry, the points
//!   expire at the next opportunity.

mod book;
mod play;
mod points;
mod reversal;

pub use book::{Book, Journal};
pub use play::Past;
pub use points::{LpVoidPolicy, PlayLot};
pub use reversal::{ReversedPosting, Reversible};

use crate::bonus::{Grant, GrantStatus, NewGrant};
use crate::id::{GrantId, PlayerId};
use crate::ledger::{Cause, Direction, House, Kind, LedgerError, Operation, Wallet};
use crate::lots::{self, Lot};
use crate::money::Asset;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::HashMap;

/// Why an operation on an account is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The grant has ended, or never belonged to this player.
    #[error("grant {grant_id} is not open")]
    NotOpen { grant_id: GrantId },
    #[error("grant {grant_id} is {status}, not PENDING")]
    NotPending { grant_id: GrantId, status: GrantStatus },
    #[error("a transaction of kind {} cannot be reversed: {detail}", kind.as_str())]
    NotReversible { kind: Kind, detail: &'static str },
}

impl AccountError {
    /// Stable, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Ledger(error) => error.code(),
            Self::NotOpen { .. } => "grant_closed",
            Self::NotPending { .. } => "grant_not_pending",
            Self::NotReversible { .. } => "not_reversible",
        }
    }
}

type Result<T, E = AccountError> = std::result::Result<T, E>;

/// The wallets, lots and open bonuses of one player.
#[derive(Debug)]
pub struct Account {
    book: Book,
    /// In the order in which spending uses them.
    lots: Vec<Lot>,
    /// In the order in which stakes contribute to them. Grants that end meanwhile stay until they are written.
    grants: Vec<Grant>,
    /// Which grants changed, by index.
    changed: Vec<bool>,
    /// Money released to the player from ended grants since the account was read.
    released: HashMap<GrantId, Decimal>,
}

/// A saved state of an account: see [`Account::mark`].
#[derive(Debug)]
pub struct Mark {
    wallets: Vec<Wallet>,
    lots: Vec<Lot>,
    grants: Vec<Grant>,
    changed: Vec<bool>,
    released: HashMap<GrantId, Decimal>,
    /// Lengths of the journal's lists: postings, new lots, lot movements, new grants, transitions.
    lengths: [usize; 5],
}

impl Account {
    /// `lots` are the non-empty lots, `grants` the open ones.
    pub fn new(book: Book, mut lots: Vec<Lot>, mut grants: Vec<Grant>) -> Self {
        lots.sort_by(lots::spending_order);
        grants.sort_by(crate::bonus::feeding_order);
        let changed = vec![false; grants.len()];
        Self {
            book,
            lots,
            grants,
            changed,
            released: HashMap::new(),
        }
    }

    /// Saves the state, to restore it when one of several operations is refused.
    pub fn mark(&self) -> Mark {
        let journal = &self.book.journal;
        Mark {
            wallets: self.book.wallets.clone(),
            lots: self.lots.clone(),
            grants: self.grants.clone(),
            changed: self.changed.clone(),
            released: self.released.clone(),
            lengths: [
                journal.postings.len(),
                journal.new_lots.len(),
                journal.lot_movements.len(),
                journal.new_grants.len(),
                journal.transitions.len(),
            ],
        }
    }

    /// Undoes everything since `mark`.
    pub fn restore(&mut self, mark: Mark) {
        let Mark {
            wallets,
            lots,
            grants,
            changed,
            released,
            lengths: [postings, new_lots, lot_movements, new_grants, transitions],
        } = mark;
        self.book.wallets = wallets;
        (self.lots, self.grants, self.changed, self.released) = (lots, grants, changed, released);
        let journal = &mut self.book.journal;
        journal.postings.truncate(postings);
        journal.new_lots.truncate(new_lots);
        journal.lot_movements.truncate(lot_movements);
        journal.new_grants.truncate(new_grants);
        journal.transitions.truncate(transitions);
    }

    /// Adds lots that a reversal or play needs; they may be empty.
    pub fn with_lots(mut self, named: Vec<Lot>) -> Self {
        let is_new = |lot: &Lot, lots: &[Lot]| {
            !lots
                .iter()
                .any(|known| known.asset == lot.asset && known.version == lot.version)
        };
        for lot in named {
            if is_new(&lot, &self.lots) {
                self.lots.push(lot);
            }
        }
        self.lots.sort_by(lots::spending_order);
        self
    }

    pub fn player_id(&self) -> &PlayerId {
        &self.book.player_id
    }

    pub fn balance(&self, asset: Asset) -> Decimal {
        self.book.balance(asset)
    }

    /// The LP that the player owes.
    pub fn lp_debt(&self) -> Decimal {
        self.book.lp_debt()
    }

    pub fn lots(&self) -> &[Lot] {
        &self.lots
    }

    pub fn grants(&self) -> &[Grant] {
        &self.grants
    }

    /// Returns everything done so far, to be written.
    pub fn into_journal(self) -> Journal {
        let mut journal = self.book.journal;
        let changed = self
            .grants
            .into_iter()
            .zip(self.changed)
            .filter(|(_, changed)| *changed);
        journal
            .grants
            .extend(changed.map(|(grant, _)| (self.book.player_id.clone(), grant)));
        journal
    }

    /// See [`Book::credit`].
    pub fn credit(
        &mut self,
        asset: Asset,
        amount: Decimal,
        house: House,
        expires_at: Option<Timestamp>,
        operation: &Operation,
        cause: &Cause<'_>,
    ) -> Result<()> {
        self.credit_lot(asset, amount, house, (expires_at, None), operation, cause)
    }

    fn credit_lot(
        &mut self,
        asset: Asset,
        amount: Decimal,
        house: House,
        life: (Option<Timestamp>, Option<Date>),
        operation: &Operation,
        cause: &Cause<'_>,
    ) -> Result<()> {
        let moved = self.book.journal.lot_movements.len();
        self.book.credit_lot(asset, amount, house, life, operation, cause)?;
        if matches!(asset, Asset::Lp | Asset::Rp) {
            let repaid: Decimal = self.book.journal.lot_movements[moved..]
                .iter()
                .map(|movement| movement.amount)
                .sum();
            let lot = self.book.journal.new_lots.last().map(|new| Lot {
                remaining: new.lot.remaining + repaid,
                ..new.lot.clone()
            });
            self.lots.extend(lot);
            self.lots.sort_by(lots::spending_order);
        }
        Ok(())
    }

    /// See [`Book::issue`].
    pub fn issue(&mut self, new: NewGrant, operation: &Operation, cause: &Cause<'_>) -> Result<()> {
        self.book.issue(new, None, operation, cause)
    }

    /// Ends bonuses and points that are due. Everything that spends or plays calls this first, so that expired
    /// value is gone even if the scheduled sweep has not run. The caller's reason explains another operation, so it
    /// is not recorded here.
    pub fn settle(&mut self, cause: &Cause<'_>) -> Result<()> {
        let cause = &book::unexplained(cause);
        let now = cause.context.now;
        for index in 0..self.grants.len() {
            if self.grants[index].is_due(now) {
                self.end(index, GrantStatus::Expired, cause)?;
            }
        }
        for index in 0..self.lots.len() {
            if self.lots[index].is_due(now) {
                self.expire_lot(index, cause)?;
            }
        }
        Ok(())
    }

    fn expire_lot(&mut self, index: usize, cause: &Cause<'_>) -> Result<()> {
        let Lot {
            asset,
            version,
            remaining,
            ..
        } = self.lots[index];
        let posting_version = self.book.wallet(asset).version + 1;
        let operation = cause.operation(Kind::PointsExpiry, format!("{version}.{posting_version}"));
        self.book
            .post(Direction::Debit, House::Expiry, (asset, remaining), None, &operation)?;
        self.lots[index].remaining = Decimal::ZERO;
        self.move_lots(asset, &[(version, -remaining)]);
        Ok(())
    }

    /// Takes points from their lots, or tickets, to `house`.
    ///
    /// # Errors
    /// `InsufficientBalance`.
    pub fn spend(&mut self, asset: Asset, amount: Decimal, house: House, operation: &Operation) -> Result<()> {
        self.take(asset, amount, house, None, operation)
    }

    fn take(
        &mut self,
        asset: Asset,
        amount: Decimal,
        house: House,
        first: Option<i64>,
        operation: &Operation,
    ) -> Result<()> {
        self.book
            .post(Direction::Debit, house, (asset, amount), None, operation)?;
        self.take_from_lots(asset, amount, first);
        Ok(())
    }

    fn take_from_lots(&mut self, asset: Asset, amount: Decimal, first: Option<i64>) {
        let taken: Vec<_> = lots::take(&mut self.lots, asset, amount, first)
            .into_iter()
            .map(|(lot, part)| (lot, -part))
            .collect();
        self.move_lots(asset, &taken);
    }

    /// Records what the last posting did to lots.
    fn move_lots(&mut self, asset: Asset, movements: &[(i64, Decimal)]) {
        self.book.move_lots(asset, movements);
    }

    /// Takes what the player owes out of a credit that was just put into lots, from the lot `first` if given.
    fn repay(&mut self, asset: Asset, credited: Decimal, first: Option<i64>, cause: &Cause<'_>) -> Result<()> {
        let repaid = self.book.repay(asset, credited, cause)?;
        self.take_from_lots(asset, repaid, first);
        Ok(())
    }

    /// Deducts bonus money from the open bonuses, in the order in which stakes contribute to them.
    ///
    /// # Errors
    /// `InsufficientBalance`.
    pub fn deduct_bonus(&mut self, amount: Decimal, operation: &Operation) -> Result<()> {
        for (index, part) in self.bonus_parts(amount)? {
            self.move_bonus(index, -part, House::Adjustment, operation)?;
        }
        Ok(())
    }

    /// The grants that pay `amount` of bonus money, and how much each pays.
    fn bonus_parts(&self, amount: Decimal) -> Result<Vec<(usize, Decimal)>> {
        let available = self.book.balance(Asset::Bonus);
        if amount > available {
            return Err(LedgerError::InsufficientBalance {
                asset: Asset::Bonus,
                available,
                requested: amount,
            }
            .into());
        }
        let mut left = amount;
        let mut parts = Vec::new();
        for (index, grant) in self
            .grants
            .iter()
            .enumerate()
            .filter(|(_, grant)| grant.status == GrantStatus::Active)
        {
            let part = left.min(grant.balance);
            if !part.is_zero() {
                parts.push((index, part));
                left -= part;
            }
        }
        Ok(parts)
    }

    /// Moves bonus money into a grant, or out of it if `amount` is negative.
    fn move_bonus(&mut self, index: usize, amount: Decimal, house: House, operation: &Operation) -> Result<()> {
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
        self.grants[index].balance += amount;
        self.changed[index] = true;
        Ok(())
    }

    /// Activates a grant after the player's opt-in: it gets its money.
    ///
    /// # Errors
    /// `NotOpen`, `NotPending`.
    pub fn activate(&mut self, grant_id: GrantId, cause: &Cause<'_>) -> Result<()> {
        let index = self.open(grant_id)?;
        let grant = &mut self.grants[index];
        if grant.status != GrantStatus::Pending {
            return Err(AccountError::NotPending {
                grant_id,
                status: grant.status,
            });
        }
        let operation = cause.operation(Kind::BonusActivation, grant_id.to_string());
        self.book.step(
            grant,
            GrantStatus::Active,
            (Decimal::ZERO, Decimal::ZERO),
            operation.clone(),
        );
        self.changed[index] = true;
        self.book.fund(grant, &operation, cause)
    }

    /// Ends an open bonus as FORFEITED, CANCELLED or EXPIRED. Its money is lost. The act's reason is recorded.
    ///
    /// # Errors
    /// `NotOpen`.
    pub fn end_grant(&mut self, grant_id: GrantId, to: GrantStatus, cause: &Cause<'_>) -> Result<()> {
        let index = self.open(grant_id)?;
        self.end(index, to, cause)
    }

    fn end(&mut self, index: usize, to: GrantStatus, cause: &Cause<'_>) -> Result<()> {
        let (kind, house) = match to {
            GrantStatus::Expired => (Kind::BonusExpiry, House::Expiry),
            GrantStatus::Cancelled => (Kind::BonusCancellation, House::Issuance),
            _ => (Kind::BonusForfeiture, House::Forfeit),
        };
        let operation = cause.operation(kind, self.grants[index].grant_id.to_string());
        self.changed[index] = true;
        self.book.end(&mut self.grants[index], to, house, operation)
    }

    /// Ends every open bonus, as a self-exclusion does. The act's reason is recorded.
    pub fn forfeit_all(&mut self, cause: &Cause<'_>) -> Result<()> {
        for index in 0..self.grants.len() {
            if self.grants[index].status.is_open() {
                self.end(index, GrantStatus::Forfeited, cause)?;
            }
        }
        Ok(())
    }

    /// Active grants without money, which become DEPLETED once no round can return any to them.
    pub fn emptied(&self) -> Vec<GrantId> {
        let is_emptied = |grant: &&Grant| grant.status == GrantStatus::Active && grant.balance.is_zero();
        self.grants
            .iter()
            .filter(is_emptied)
            .map(|grant| grant.grant_id)
            .collect()
    }

    /// Ends the grants of [`Self::emptied`], except those held by a round that may still return money. The act's
    /// reason explains what emptied them, so it is not recorded here.
    pub fn deplete(&mut self, is_held: impl Fn(GrantId) -> bool, cause: &Cause<'_>) {
        let cause = book::unexplained(cause);
        for index in 0..self.grants.len() {
            let grant = &mut self.grants[index];
            if grant.status == GrantStatus::Active && grant.balance.is_zero() && !is_held(grant.grant_id) {
                let operation = cause.operation(Kind::BonusForfeiture, grant.grant_id.to_string());
                self.changed[index] = true;
                self.book
                    .step(grant, GrantStatus::Depleted, (Decimal::ZERO, Decimal::ZERO), operation);
            }
        }
    }

    fn open(&self, grant_id: GrantId) -> Result<usize> {
        let is_it = |grant: &Grant| grant.grant_id == grant_id && grant.status.is_open();
        self.grants
            .iter()
            .position(is_it)
            .ok_or(AccountError::NotOpen { grant_id })
    }
}
