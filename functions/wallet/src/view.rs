//! How wallets look from outside.

use app::wallet::grants::{GrantHistory, GrantReceipt, HistoryStep};
use app::wallet::{Grant, GrantStatus, Lot, Receipt, Reversal};
use domain::id::{GrantId, PlayerId, TransactionId};
use domain::money::{Asset, Money, Points, Quantity, Tickets};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub struct WalletView {
    player_id: PlayerId,
    lp_balance: Points,
    rp_balance: Points,
    bonus_balance: Money,
    tickets_balance: Tickets,
    /// LP and RP, in the order in which spending takes them.
    lots: Vec<LotView>,
    /// Open bonuses, in the order in which stakes feed them.
    grants: Vec<GrantView>,
}

#[derive(Serialize)]
struct LotView {
    asset: Asset,
    earned: Quantity,
    remaining: Quantity,
    earned_at: Timestamp,
    /// Null: never.
    expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct GrantView {
    id: GrantId,
    /// Null: given by a person, or redeemed.
    rule_id: Option<String>,
    status: GrantStatus,
    /// Why it ended so.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
    amount: Money,
    balance: Money,
    wagering_required: Money,
    wagering_completed: Money,
    wagering_left: Money,
    /// Share of the wagering that is done, 0 to 1.
    progress: Decimal,
    issued_at: Timestamp,
    /// Null: never.
    expires_at: Option<Timestamp>,
    /// Null: it does not expire. 0: it is due.
    seconds_left: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<Timestamp>,
    /// Money it became.
    #[serde(skip_serializing_if = "Option::is_none")]
    cash_amount: Option<Money>,
}

/// A bonus and everything that became of it.
#[derive(Serialize)]
pub struct GrantHistoryView {
    player_id: PlayerId,
    #[serde(flatten)]
    grant: GrantView,
    terms: domain::bonus::GrantTerms,
    /// Oldest first, after its issue.
    history: Vec<HistoryStep>,
}

impl GrantHistoryView {
    pub fn of(grant: GrantHistory, now: Timestamp) -> Self {
        let GrantHistory {
            player_id,
            grant,
            history,
        } = grant;
        Self {
            player_id,
            terms: grant.terms.clone(),
            grant: GrantView::of(grant, now),
            history,
        }
    }
}

impl WalletView {
    pub fn of(wallet: app::wallet::WalletView, now: Timestamp) -> Self {
        Self {
            player_id: wallet.player_id,
            lp_balance: Points::of(wallet.lp),
            rp_balance: Points::of(wallet.rp),
            bonus_balance: Money::of(wallet.bonus),
            tickets_balance: Tickets::of(wallet.tickets),
            lots: wallet.lots.into_iter().map(LotView::from).collect(),
            grants: wallet
                .grants
                .into_iter()
                .map(|grant| GrantView::of(grant, now))
                .collect(),
        }
    }
}

impl From<Lot> for LotView {
    fn from(lot: Lot) -> Self {
        Self {
            asset: lot.asset,
            earned: lot.asset.quantity(lot.earned),
            remaining: lot.asset.quantity(lot.remaining),
            earned_at: lot.earned_at,
            expires_at: lot.expires_at,
        }
    }
}

/// Decimal places of a share.
const SHARE_SCALE: u32 = 4;

impl GrantView {
    fn of(grant: Grant, now: Timestamp) -> Self {
        let share = grant
            .wagering_completed
            .checked_div(grant.wagering_required)
            .unwrap_or(Decimal::ONE);
        Self {
            id: grant.grant_id,
            status: grant.status,
            amount: Money::of(grant.amount),
            balance: Money::of(grant.balance),
            wagering_required: Money::of(grant.wagering_required),
            wagering_completed: Money::of(grant.wagering_completed),
            wagering_left: Money::of(grant.wagering_left()),
            // Down, so that 1 is said of what is done only.
            progress: share.trunc_with_scale(SHARE_SCALE),
            issued_at: grant.issued_at,
            expires_at: grant.expires_at,
            seconds_left: grant.expires_at.map(|at| at.duration_since(now).as_secs().max(0)),
            closed_at: grant.closed_at,
            cash_amount: (grant.status == GrantStatus::Completed).then(|| Money::of(grant.converted)),
            rule_id: grant.rule_id,
            status_reason: grant.reason,
        }
    }
}

/// How a bonus stands after a change.
#[derive(Serialize)]
pub struct GrantReceiptView {
    success: bool,
    grant_id: GrantId,
    status: GrantStatus,
    /// What it holds.
    balance: Money,
    /// Of the BONUS wallet.
    new_balance: Money,
    message: String,
}

impl From<GrantReceipt> for GrantReceiptView {
    fn from(receipt: GrantReceipt) -> Self {
        let GrantReceipt {
            grant_id,
            status,
            balance,
            new_balance,
            ..
        } = receipt;
        let (balance, new_balance) = (Money::of(balance), Money::of(new_balance));
        let message = format!("the bonus is {status}; the BONUS balance is {new_balance}");
        Self {
            success: true,
            grant_id,
            status,
            balance,
            new_balance,
            message,
        }
    }
}

/// What taking a transaction back came to.
#[derive(Serialize)]
pub struct ReversalView {
    success: bool,
    /// The one that reverses.
    transaction_id: TransactionId,
    reversed_transaction_id: TransactionId,
    player_id: PlayerId,
    /// Of the first of the assets it moved.
    new_balance: Option<Quantity>,
    /// Of each of them.
    balances: BTreeMap<Asset, Quantity>,
    message: String,
}

impl From<Reversal> for ReversalView {
    fn from(reversal: Reversal) -> Self {
        let Reversal {
            player_id,
            transaction_id,
            reversed_transaction_id,
            balances,
        } = reversal;
        let balances: BTreeMap<Asset, Quantity> = balances
            .into_iter()
            .map(|(asset, balance)| (asset, asset.quantity(balance)))
            .collect();
        let stand: Vec<String> = balances
            .iter()
            .map(|(asset, balance)| format!("the {asset} balance is {balance}"))
            .collect();
        Self {
            success: true,
            transaction_id,
            reversed_transaction_id,
            player_id,
            new_balance: balances.values().next().copied(),
            message: stand.join("; "),
            balances,
        }
    }
}

/// What an operation on a wallet came to.
#[derive(Serialize)]
pub struct ReceiptView {
    success: bool,
    /// Null: nothing was moved.
    transaction_id: Option<TransactionId>,
    /// Of a bonus.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant_id: Option<GrantId>,
    new_balance: Quantity,
    message: String,
}

impl From<Receipt> for ReceiptView {
    fn from(receipt: Receipt) -> Self {
        let new_balance = receipt.asset.quantity(receipt.new_balance);
        let asset = receipt.asset;
        let message = match receipt.transaction_id {
            Some(_) => format!("the {asset} balance is {new_balance}"),
            None => format!("nothing was moved; the {asset} balance is {new_balance}"),
        };
        Self {
            success: true,
            transaction_id: receipt.transaction_id,
            grant_id: receipt.grant_id,
            new_balance,
            message,
        }
    }
}
