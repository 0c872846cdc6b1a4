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
mod correction;
mod intervention;
mod play;
mod points;
mod reversal;

pub use book::{Adjustment, Book, Journal};
pub use correction::Since;
pub use intervention::{Intervention, What};
pub use play::Play;
pub use points::{LpVoidPolicy, PlayLot};
pub use reversal::{ReversedPosting, Reversible};

use crate::bonus::{Grant, GrantStatus, NewGrant, feeding_order};
use crate::id::{GrantId, PlayerId, TransactionId};
use crate::ledger::{Cause, Direction, House, Kind, LedgerError, Operation, Wallet};
use crate::lots::{self, Lot};
use crate::money::Asset;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashMap};

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
    /// In the order in which stakes contribute to them: the open ones, and ended ones that play may still reach.
    grants: Vec<Grant>,
    /// Where each grant comes from, by index.
    origins: Vec<Origin>,
    /// Which grants changed, by index.
    changed: Vec<bool>,
    /// Whether the player is blocked or inactive: play completes nothing.
    is_suspended: bool,
    /// What deductions took that may be given back, by their transaction.
    deductions: HashMap<TransactionId, BTreeMap<GrantId, Decimal>>,
}

/// How a grant was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Open,
    Ended,
    /// Made since, to continue an ended one.
    Successor,
}

/// A saved state of an account: see [`Account::mark`].
#[derive(Debug)]
pub struct Mark {
    wallets: Vec<Wallet>,
    lots: Vec<Lot>,
    grants: Vec<Grant>,
    origins: Vec<Origin>,
    changed: Vec<bool>,
    is_suspended: bool,
    /// Of the journal's lists.
    lengths: [usize; 10],
}

impl Account {
    /// `lots` are the non-empty lots, `grants` the open ones and those that play may still reach.
    pub fn new(book: Book, mut lots: Vec<Lot>, grants: Vec<Grant>) -> Self {
        lots.sort_by(lots::spending_order);
        Self {
            book,
            lots,
            grants: Vec::new(),
            origins: Vec::new(),
            changed: Vec::new(),
            is_suspended: false,
            deductions: HashMap::new(),
        }
        .with_grants(grants)
    }

    fn with_grants(mut self, grants: Vec<Grant>) -> Self {
        for grant in grants {
            self.add_grant(grant);
        }
        self
    }

    /// Adds a bonus that play may reach; a known one stays as it is.
    pub fn add_grant(&mut self, grant: Grant) {
        if self.grants.iter().all(|known| known.root_id != grant.root_id) {
            let place = self
                .grants
                .partition_point(|known| feeding_order(known, &grant).is_lt());
            let origin = if grant.status.is_open() {
                Origin::Open
            } else {
                Origin::Ended
            };
            self.grants.insert(place, grant);
            self.origins.insert(place, origin);
            self.changed.insert(place, false);
        }
    }

    /// Of a player who is blocked or inactive.
    pub fn suspended(mut self, is_suspended: bool) -> Self {
        self.is_suspended = is_suspended;
        self
    }

    /// Adds what a deduction took, by the bonus's root, so that it can be given back.
    pub fn add_deduction(&mut self, id: TransactionId, parts: BTreeMap<GrantId, Decimal>) {
        self.deductions.insert(id, parts);
    }

    /// Saves the state, to restore it when one of several operations is refused.
    pub fn mark(&self) -> Mark {
        Mark {
            wallets: self.book.wallets.clone(),
            lots: self.lots.clone(),
            grants: self.grants.clone(),
            origins: self.origins.clone(),
            changed: self.changed.clone(),
            is_suspended: self.is_suspended,
            lengths: self.book.journal.lengths(),
        }
    }

    /// Undoes everything since `mark`.
    pub fn restore(&mut self, mark: Mark) {
        self.book.wallets = mark.wallets;
        self.book.journal.truncate(mark.lengths);
        (self.lots, self.grants) = (mark.lots, mark.grants);
        (self.origins, self.changed, self.is_suspended) = (mark.origins, mark.changed, mark.is_suspended);
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

    /// The bonus's grant now.
    pub fn grant_of(&self, root_id: GrantId) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.root_id == root_id)
    }

    /// Returns everything done so far, to be written.
    pub fn into_journal(mut self) -> Journal {
        for index in 0..self.grants.len() {
            let grant = self.grants[index].clone();
            self.put_away(grant, self.origins[index], self.changed[index]);
        }
        self.book.journal
    }

    fn put_away(&mut self, grant: Grant, origin: Origin, is_changed: bool) {
        let journal = &mut self.book.journal;
        let list = match origin {
            Origin::Successor => &mut journal.successors,
            Origin::Open if is_changed => &mut journal.grants,
            Origin::Ended if is_changed => &mut journal.remarked,
            _ => return,
        };
        list.push((self.book.player_id.clone(), grant));
    }

    /// Continues an ended bonus with a new grant, which holds no money yet: a terminal grant never moves.
    fn succeed(&mut self, index: usize, cause: &Cause<'_>) {
        let ended = self.grants[index].clone();
        let successor = Grant {
            grant_id: GrantId((cause.context.new_id)()),
            corrects: Some(ended.grant_id),
            status: GrantStatus::Active,
            reason: None,
            closed_at: None,
            ended_at: None,
            transitions: 0,
            ..ended.clone()
        };
        self.put_away(ended, self.origins[index], self.changed[index]);
        self.grants[index] = successor;
        (self.origins[index], self.changed[index]) = (Origin::Successor, true);
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

    /// Expires the points that are due.
    pub fn expire_points(&mut self, cause: &Cause<'_>) -> Result<()> {
        let cause = &book::unexplained(cause);
        for index in 0..self.lots.len() {
            if self.lots[index].is_due(cause.context.now) {
                self.expire_lot(index, cause)?;
            }
        }
        Ok(())
    }

    /// Bonuses end at their expiry exactly, however late somebody looks. One that was played out by then is depleted,
    /// whether or not somebody looked in between.
    fn expire_bonuses(&mut self, at: Timestamp, cause: &Cause<'_>) -> Result<()> {
        for index in 0..self.grants.len() {
            let grant = &self.grants[index];
            if let Some(expires_at) = grant
                .expires_at
                .filter(|_| grant.status.is_open() && grant.is_expired_at(at))
            {
                let is_played_out = grant.status == GrantStatus::Active && grant.balance.is_zero();
                let to = if is_played_out {
                    GrantStatus::Depleted
                } else {
                    GrantStatus::Expired
                };
                self.end(index, to, expires_at, cause)?;
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

    /// The bonuses that pay up to `amount` of bonus money at the instant `at`, and how much each pays.
    fn bonus_parts(&self, amount: Decimal, at: Timestamp) -> Vec<(usize, Decimal)> {
        let mut left = amount;
        let mut parts = Vec::new();
        for (index, grant) in self.grants.iter().enumerate() {
            let part = left.min(grant.balance);
            if grant.is_active_at(at) && !part.is_zero() {
                parts.push((index, part));
                left -= part;
            }
        }
        parts
    }

    /// Moves bonus money into a grant, or out of it if `amount` is negative.
    fn move_bonus(&mut self, index: usize, amount: Decimal, house: House, operation: &Operation) -> Result<()> {
        self.post_bonus(index, amount, house, operation)?;
        let grant = &mut self.grants[index];
        grant.balance += amount;
        match house {
            House::Wagering => grant.flows.played += amount,
            _ => grant.flows.adjusted += amount,
        }
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
            operation.at,
            operation.clone(),
        );
        self.changed[index] = true;
        self.book.fund(grant, &operation, cause)
    }

    fn end(&mut self, index: usize, to: GrantStatus, at: Timestamp, cause: &Cause<'_>) -> Result<()> {
        let kind = match to {
            GrantStatus::Expired => Kind::BonusExpiry,
            GrantStatus::Cancelled => Kind::BonusCancellation,
            _ => Kind::BonusForfeiture,
        };
        let operation = cause.operation(kind, self.grants[index].grant_id.to_string());
        self.changed[index] = true;
        let house = correction::lost_to(to);
        self.book.end(&mut self.grants[index], to, house, at, operation)
    }

    /// The bonus with this root, open or not.
    fn bonus(&self, root_id: GrantId) -> Result<usize> {
        let found = self.grants.iter().position(|grant| grant.root_id == root_id);
        found.ok_or(AccountError::NotOpen { grant_id: root_id })
    }

    fn open(&self, grant_id: GrantId) -> Result<usize> {
        let is_it = |grant: &Grant| grant.grant_id == grant_id && grant.status.is_open();
        self.grants
            .iter()
            .position(is_it)
            .ok_or(AccountError::NotOpen { grant_id })
    }
}
