//! Wallets that are credited, and what operations write.

use super::{Intervention, Result};
use crate::bonus::{Grant, GrantStatus, NewGrant, Transition};
use crate::id::{EventId, GrantId, PlayerId};
use crate::ledger::{Cause, Direction, House, Kind, Operation, Posting, Wallet};
use crate::lots::{Lot, LotMovement, NewLot};
use crate::money::Asset;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;

/// The result of operations, to be written in one transaction.
#[derive(Debug, Default)]
pub struct Journal {
    pub postings: Vec<Posting>,
    pub new_lots: Vec<NewLot>,
    pub lot_movements: Vec<LotMovement>,
    /// New grants in their current state.
    pub new_grants: Vec<(NewGrant, Grant)>,
    /// Changed grants in their current state.
    pub grants: Vec<(PlayerId, Grant)>,
    pub transitions: Vec<Transition>,
    /// New grants that continue ended ones, in their current state.
    pub successors: Vec<(PlayerId, Grant)>,
    /// Ended grants of which the cash owed, or the instant of play at which they ended, turned out otherwise.
    pub remarked: Vec<(PlayerId, Grant)>,
    pub interventions: Vec<(PlayerId, Intervention)>,
    /// Interventions whose parts turned out otherwise.
    pub replayed: Vec<(PlayerId, Intervention)>,
    pub adjustments: Vec<Adjustment>,
}

/// A correction of a bonus. The cashier pays `cash_delta`, or has paid that much too much.
#[derive(Debug, Clone, PartialEq)]
pub struct Adjustment {
    pub player_id: PlayerId,
    pub root_id: GrantId,
    /// The bonus's grant since the correction.
    pub grant_id: GrantId,
    /// The event that made it necessary.
    pub event_id: EventId,
    pub at: Timestamp,
    pub cash_delta: Decimal,
    /// The money that this bonus became in total.
    pub total_owed: Decimal,
}

impl Journal {
    pub fn append(&mut self, mut other: Journal) {
        self.postings.append(&mut other.postings);
        self.new_lots.append(&mut other.new_lots);
        self.lot_movements.append(&mut other.lot_movements);
        self.new_grants.append(&mut other.new_grants);
        self.grants.append(&mut other.grants);
        self.transitions.append(&mut other.transitions);
        self.successors.append(&mut other.successors);
        self.remarked.append(&mut other.remarked);
        self.interventions.append(&mut other.interventions);
        self.replayed.append(&mut other.replayed);
        self.adjustments.append(&mut other.adjustments);
    }

    /// The lengths of the lists, to shorten them to.
    pub(super) fn lengths(&self) -> [usize; 10] {
        [
            self.postings.len(),
            self.new_lots.len(),
            self.lot_movements.len(),
            self.new_grants.len(),
            self.grants.len(),
            self.transitions.len(),
            self.successors.len(),
            self.remarked.len(),
            self.interventions.len(),
            self.adjustments.len(),
        ]
    }

    pub(super) fn truncate(&mut self, lengths: [usize; 10]) {
        let [
            postings,
            new_lots,
            movements,
            new_grants,
            grants,
            transitions,
            successors,
            remarked,
            acts,
            adjustments,
        ] = lengths;
        self.postings.truncate(postings);
        self.new_lots.truncate(new_lots);
        self.lot_movements.truncate(movements);
        self.new_grants.truncate(new_grants);
        self.grants.truncate(grants);
        self.transitions.truncate(transitions);
        self.successors.truncate(successors);
        self.remarked.truncate(remarked);
        self.interventions.truncate(acts);
        self.adjustments.truncate(adjustments);
    }

    /// Expected cost of the issued rewards, in money.
    pub fn cost(&self) -> Decimal {
        self.new_grants.iter().map(|(grant, _)| grant.cost).sum()
    }
}

/// A cause without its reason, which explains another operation.
pub(super) fn unexplained<'a>(cause: &Cause<'a>) -> Cause<'a> {
    Cause { reason: None, ..*cause }
}

/// A player's wallets, for credits only. Spending and play need the whole [`Account`](super::Account).
#[derive(Debug)]
pub struct Book {
    pub player_id: PlayerId,
    pub(super) wallets: Vec<Wallet>,
    pub(super) journal: Journal,
}

impl Book {
    /// Wallets without postings may be missing.
    pub fn new(player_id: PlayerId, wallets: Vec<Wallet>) -> Self {
        Self {
            player_id,
            wallets,
            journal: Journal::default(),
        }
    }

    pub fn balance(&self, asset: Asset) -> Decimal {
        self.wallets
            .iter()
            .find(|wallet| wallet.asset == asset)
            .map(|wallet| wallet.balance)
            .unwrap_or_default()
    }

    /// The LP that the player owes.
    pub fn lp_debt(&self) -> Decimal {
        self.wallets.iter().map(|wallet| wallet.debt).sum()
    }

    pub fn into_journal(self) -> Journal {
        self.journal
    }

    pub(super) fn wallet(&mut self, asset: Asset) -> &mut Wallet {
        let known = self.wallets.iter().position(|wallet| wallet.asset == asset);
        let index = known.unwrap_or_else(|| {
            self.wallets.push(Wallet::empty(self.player_id.clone(), asset));
            self.wallets.len() - 1
        });
        &mut self.wallets[index]
    }

    pub(super) fn post(
        &mut self,
        direction: Direction,
        house: House,
        (asset, amount): (Asset, Decimal),
        grant_id: Option<GrantId>,
        operation: &Operation,
    ) -> Result<&Posting> {
        let posting = self.wallet(asset).post(direction, house, amount, grant_id, operation)?;
        let index = self.journal.postings.len();
        self.journal.postings.push(posting);
        Ok(&self.journal.postings[index])
    }

    /// Credits points or tickets; points form a lot. Bonus money needs a grant: see [`Book::issue`].
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

    pub(super) fn credit_lot(
        &mut self,
        asset: Asset,
        amount: Decimal,
        house: House,
        (expires_at, play_day): (Option<Timestamp>, Option<Date>),
        operation: &Operation,
        cause: &Cause<'_>,
    ) -> Result<()> {
        let posting = self.post(Direction::Credit, house, (asset, amount), None, operation)?;
        let Some(lot) = Lot::of(posting, expires_at) else {
            return Ok(());
        };
        let version = lot.version;
        let player_id = self.player_id.clone();
        self.journal.new_lots.push(NewLot {
            player_id,
            lot: Lot { play_day, ..lot },
        });
        let repaid = self.repay(asset, amount, cause)?;
        if !repaid.is_zero() {
            self.move_lots(asset, &[(version, -repaid)]);
        }
        Ok(())
    }

    /// Takes what the player owes out of a credit that was just posted. Returns how much that is; the caller takes it
    /// from the lots.
    pub(super) fn repay(&mut self, asset: Asset, credited: Decimal, cause: &Cause<'_>) -> Result<Decimal> {
        let wallet = self.wallet(asset);
        let repaid = wallet.debt.min(credited);
        if !repaid.is_zero() {
            let operation = unexplained(cause).operation(Kind::DebtRepayment, wallet.version.to_string());
            self.post(Direction::Debit, House::Adjustment, (asset, repaid), None, &operation)?;
        }
        Ok(repaid)
    }

    /// Records what the last posting did to lots.
    pub(super) fn move_lots(&mut self, asset: Asset, movements: &[(i64, Decimal)]) {
        let version = self.wallet(asset).version;
        for (lot_version, amount) in movements {
            let player_id = self.player_id.clone();
            self.journal.lot_movements.push(LotMovement {
                player_id,
                asset,
                version,
                lot_version: *lot_version,
                amount: *amount,
            });
        }
    }

    /// Adds a grant and credits its amount, unless the grant waits for activation. A bonus without a wagering
    /// requirement converts at once.
    pub fn issue(
        &mut self,
        new: NewGrant,
        points_expire_at: Option<Timestamp>,
        operation: &Operation,
        cause: &Cause<'_>,
    ) -> Result<()> {
        let mut grant = new.opened();
        match grant.status {
            GrantStatus::Active => self.fund(&mut grant, operation, cause)?,
            GrantStatus::Completed => self.credit(
                new.asset,
                new.amount,
                House::Issuance,
                points_expire_at,
                operation,
                cause,
            )?,
            _ => {}
        }
        self.journal.new_grants.push((new, grant));
        Ok(())
    }

    /// Credits an active grant with its money.
    pub(super) fn fund(&mut self, grant: &mut Grant, operation: &Operation, cause: &Cause<'_>) -> Result<()> {
        self.post(
            Direction::Credit,
            House::Issuance,
            (Asset::Bonus, grant.amount),
            Some(grant.grant_id),
            operation,
        )?;
        grant.balance = grant.amount;
        if grant.wagering_left().is_zero() {
            self.complete(grant, cause.context.now, cause)?;
        }
        Ok(())
    }

    /// Converts the balance to cash, up to the limit; the rest is lost.
    pub(super) fn complete(&mut self, grant: &mut Grant, at: Timestamp, cause: &Cause<'_>) -> Result<()> {
        let operation = cause.operation(Kind::BonusConversion, grant.grant_id.to_string());
        let cash = grant
            .conversion_limit()
            .map_or(grant.balance, |limit| limit.min(grant.balance));
        let lost = grant.balance - cash;
        for (house, amount) in [(House::CashOut, cash), (House::Forfeit, lost)] {
            if !amount.is_zero() {
                self.post(
                    Direction::Debit,
                    house,
                    (Asset::Bonus, amount),
                    Some(grant.grant_id),
                    &operation,
                )?;
            }
        }
        grant.balance = Decimal::ZERO;
        (grant.flows.converted, grant.flows.lost) = (cash, lost);
        self.step(grant, GrantStatus::Completed, (cash, lost), at, operation);
        Ok(())
    }

    /// Ends a grant and moves its money to `house`.
    pub(super) fn end(
        &mut self,
        grant: &mut Grant,
        to: GrantStatus,
        house: House,
        at: Timestamp,
        operation: Operation,
    ) -> Result<()> {
        let lost = grant.balance;
        if !lost.is_zero() {
            self.post(
                Direction::Debit,
                house,
                (Asset::Bonus, lost),
                Some(grant.grant_id),
                &operation,
            )?;
        }
        (grant.balance, grant.flows.lost) = (Decimal::ZERO, lost);
        self.step(grant, to, (Decimal::ZERO, lost), at, operation);
        Ok(())
    }

    /// A step that stands at the instant `at` of play.
    pub(super) fn step(
        &mut self,
        grant: &mut Grant,
        to: GrantStatus,
        (cash, lost): (Decimal, Decimal),
        at: Timestamp,
        operation: Operation,
    ) {
        let from = grant.status;
        grant.transitions += 1;
        grant.status = to;
        match to {
            GrantStatus::Active => grant.activated_at = Some(operation.at),
            _ => (grant.closed_at, grant.ended_at) = (Some(operation.at), Some(at)),
        }
        if !to.is_open() {
            grant.reason = operation.reason.clone();
        }
        self.journal.transitions.push(Transition {
            player_id: self.player_id.clone(),
            grant_id: grant.grant_id,
            rule_id: grant.rule_id.clone(),
            step: grant.transitions,
            from,
            to,
            reason: operation.reason.clone(),
            amount: grant.amount,
            cash,
            lost,
            operation,
        });
    }
}
