//! Postings: how value moves between a wallet and a house account. Decided in memory, under the player's lock,
//! before anything is written, so that a refusal has nothing to undo.
//!
//! # Choices
//!
//! * A conversion goes straight to `house:cash_out`. `house:conversion` is reserved for assets that convert into each
//!   other.

use crate::context::Context;
use crate::id::{GrantId, PlayerId, TransactionId};
use crate::money::{Asset, INTEGER_DIGITS_MAX};
use crate::text_enum;
use jiff::Timestamp;
use rust_decimal::Decimal;

text_enum! {
    /// The counterpart of a posting. House accounts may go below 0; a wallet never does.
    pub enum House as "house account" {
        Issuance = "house:issuance",
        Redemption = "house:redemption",
        Expiry = "house:expiry",
        Conversion = "house:conversion",
        Forfeit = "house:forfeit",
        Wagering = "house:wagering",
        CashOut = "house:cash_out",
        Adjustment = "house:adjustment",
    }
}

/// The direction of a posting, seen from the wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// House to wallet.
    Credit,
    /// Wallet to house.
    Debit,
}

impl Direction {
    /// +1 or -1, as stored.
    pub const fn sign(self) -> i16 {
        match self {
            Direction::Credit => 1,
            Direction::Debit => -1,
        }
    }

    pub const fn opposite(self) -> Self {
        match self {
            Direction::Credit => Direction::Debit,
            Direction::Debit => Direction::Credit,
        }
    }
}

text_enum! {
    /// What an operation does. Each comment gives its reference.
    pub enum Kind as "kind of operation" {
        /// A rule's grant. Reference: the grant.
        RewardGrant = "reward_grant",
        /// A grant given by a person. Reference: the grant.
        ManualBonus = "manual_bonus",
        /// By a person. Reference: `key:` and the idempotency key, or the transaction.
        ManualCredit = "manual_credit",
        /// By a person. Reference: `key:` and the idempotency key, or the transaction.
        ManualDebit = "manual_debit",
        /// Reference: `key:` and the idempotency key, or the redemption.
        Redemption = "redemption",
        /// Reference: the event.
        Stake = "stake",
        /// Reference: the event.
        Payout = "payout",
        /// Reference: the voiding event.
        Void = "void",
        /// Of a bonus whose play turned out otherwise. Reference: the event that showed it.
        BonusCorrection = "bonus_correction",
        /// Reference: the grant.
        BonusActivation = "bonus_activation",
        /// To cash. Reference: the grant.
        BonusConversion = "bonus_conversion",
        /// Reference: the grant.
        BonusExpiry = "bonus_expiry",
        /// Reference: the grant.
        BonusForfeiture = "bonus_forfeiture",
        /// Reference: the grant.
        BonusCancellation = "bonus_cancellation",
        /// Reference: the version of the credit that earned the points, and the version of this posting.
        PointsExpiry = "points_expiry",
        /// Reference: the reversed transaction.
        Reversal = "reversal",
        /// LP lent to a player who no longer has what a void takes back. Reference: the voiding event.
        Debt = "debt",
        /// LP that repay a debt. Reference: the version of the credit that they come from.
        DebtRepayment = "debt_repayment",
    }
}

impl Kind {
    /// Whether a person may reverse it. A VOID event reverses play; the end of a bonus is final.
    pub const fn is_reversible(self) -> bool {
        matches!(
            self,
            Kind::RewardGrant | Kind::ManualBonus | Kind::ManualCredit | Kind::ManualDebit | Kind::Redemption
        )
    }

    /// What a posting of this amount adds to the player's debt.
    pub fn owed(self, amount: Decimal) -> Decimal {
        match self {
            Kind::Debt => amount,
            Kind::DebtRepayment => -amount,
            _ => Decimal::ZERO,
        }
    }
}

/// Who acts, why, and with which clock and ids.
#[derive(Debug, Clone, Copy)]
pub struct Cause<'a> {
    pub actor: &'a str,
    pub reason: Option<&'a str>,
    pub context: Context,
}

impl<'a> Cause<'a> {
    pub fn with_reason<'b>(&self, reason: &'b str) -> Cause<'b>
    where
        'a: 'b,
    {
        Cause {
            reason: Some(reason),
            ..*self
        }
    }

    /// Starts a new transaction.
    pub fn operation(&self, kind: Kind, reference: impl Into<String>) -> Operation {
        self.operation_as(TransactionId((self.context.new_id)()), kind, reference)
    }

    /// Continues the transaction with this id.
    pub fn operation_as(&self, transaction_id: TransactionId, kind: Kind, reference: impl Into<String>) -> Operation {
        Operation {
            transaction_id,
            kind,
            reference: reference.into(),
            actor: self.actor.to_owned(),
            reason: self.reason.map(str::to_owned),
            at: self.context.now,
        }
    }
}

/// What one operation does and for whom; shared by all its postings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    pub transaction_id: TransactionId,
    pub kind: Kind,
    /// The business key: see [`Kind`].
    pub reference: String,
    pub actor: String,
    pub reason: Option<String>,
    pub at: Timestamp,
}

/// One row of the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    pub player_id: PlayerId,
    pub asset: Asset,
    /// The wallet's version, dense from 1.
    pub version: i64,
    pub house: House,
    pub direction: Direction,
    /// Above 0, at most 15 integer digits.
    pub amount: Decimal,
    pub balance_after: Decimal,
    pub grant_id: Option<GrantId>,
    pub operation: Operation,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    #[error("the balance is {} {asset}, but {} were requested", asset.quantity(*available), asset.quantity(*requested))]
    InsufficientBalance {
        asset: Asset,
        available: Decimal,
        requested: Decimal,
    },
    #[error("amount out of range: the balance of {asset} would leave the range of {INTEGER_DIGITS_MAX} integer digits")]
    OutOfRange { asset: Asset },
    #[error("amount out of range: a posting moves an amount above 0, not {amount}")]
    NotPositive { amount: Decimal },
}

impl LedgerError {
    /// Stable, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InsufficientBalance { .. } => "insufficient_balance",
            Self::OutOfRange { .. } | Self::NotPositive { .. } => "overflow",
        }
    }
}

/// A player's balance of one asset, as read under the lock. A wallet without postings has version 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wallet {
    pub player_id: PlayerId,
    pub asset: Asset,
    pub balance: Decimal,
    /// What the player owes, of LP only: the postings of kind [`Kind::Debt`] less those of [`Kind::DebtRepayment`].
    pub debt: Decimal,
    pub version: i64,
}

impl Wallet {
    pub fn empty(player_id: PlayerId, asset: Asset) -> Self {
        Self {
            player_id,
            asset,
            balance: Decimal::ZERO,
            debt: Decimal::ZERO,
            version: 0,
        }
    }

    /// Moves `amount`, updates the wallet, and returns the row to write.
    pub fn post(
        &mut self,
        direction: Direction,
        house: House,
        amount: Decimal,
        grant_id: Option<GrantId>,
        operation: &Operation,
    ) -> Result<Posting, LedgerError> {
        if amount <= Decimal::ZERO {
            return Err(LedgerError::NotPositive { amount });
        }
        let balance_after = match direction {
            Direction::Credit => self.balance.checked_add(amount),
            Direction::Debit => self.balance.checked_sub(amount),
        }
        .filter(|balance| *balance < Decimal::from(10_i64.pow(INTEGER_DIGITS_MAX)))
        .ok_or(LedgerError::OutOfRange { asset: self.asset })?;
        if balance_after.is_sign_negative() {
            return Err(LedgerError::InsufficientBalance {
                asset: self.asset,
                available: self.balance,
                requested: amount,
            });
        }
        self.balance = balance_after;
        self.debt += operation.kind.owed(amount);
        self.version += 1;
        Ok(Posting {
            player_id: self.player_id.clone(),
            asset: self.asset,
            version: self.version,
            house,
            direction,
            amount,
            balance_after,
            grant_id,
            operation: operation.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation() -> Operation {
        Operation {
            transaction_id: TransactionId(uuid::Uuid::nil()),
            kind: Kind::ManualCredit,
            reference: "k".into(),
            actor: "test".into(),
            reason: None,
            at: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn versions_are_dense_and_balances_follow() {
        let mut wallet = Wallet::empty(PlayerId::parse("P").unwrap(), Asset::Lp);
        let credit = wallet
            .post(Direction::Credit, House::Issuance, 10.into(), None, &operation())
            .unwrap();
        let debit = wallet
            .post(Direction::Debit, House::Redemption, 4.into(), None, &operation())
            .unwrap();
        assert_eq!((credit.version, credit.balance_after), (1, 10.into()));
        assert_eq!((debit.version, debit.balance_after), (2, 6.into()));
    }

    #[test]
    fn a_refused_posting_leaves_the_wallet_as_it_was() {
        let mut wallet = Wallet {
            balance: 5.into(),
            version: 3,
            ..Wallet::empty(PlayerId::parse("P").unwrap(), Asset::Bonus)
        };
        let before = wallet.clone();
        let refusal = wallet.post(Direction::Debit, House::Forfeit, 6.into(), None, &operation());
        assert_eq!(
            refusal,
            Err(LedgerError::InsufficientBalance {
                asset: Asset::Bonus,
                available: 5.into(),
                requested: 6.into()
            })
        );
        assert!(
            wallet
                .post(Direction::Credit, House::Issuance, Decimal::ZERO, None, &operation())
                .is_err()
        );
        assert!(
            wallet
                .post(
                    Direction::Credit,
                    House::Issuance,
                    Decimal::from(10_i64.pow(15)),
                    None,
                    &operation()
                )
                .is_err()
        );
        assert_eq!(wallet, before);
    }
}
