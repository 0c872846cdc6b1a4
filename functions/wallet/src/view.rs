//! Wallets as the API shows them.

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
    /// LP that were spent before a void took them back. Later LP repay them first.
    lp_debt: Points,
    rp_balance: Points,
    bonus_balance: Money,
    tickets_balance: Tickets,
    /// Lots of LP and RP, in spending order.
    lots: Vec<LotView>,
    /// Open bonuses, in wagering order.
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
    /// Null for a manual or redeemed bonus.
    rule_id: Option<String>,
    status: GrantStatus,
    /// Why it ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    status_reason: Option<String>,
    amount: Money,
    balance: Money,
    wagering_required: Money,
    wagering_completed: Money,
    wagering_left: Money,
    /// Completed share of the wagering, 0 to 1.
    progress: Decimal,
    issued_at: Timestamp,
    /// Null: never.
    expires_at: Option<Timestamp>,
    /// Null: it does not expire; 0: it is due.
    seconds_left: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_at: Option<Timestamp>,
    /// The ended grant that this one continues, because an event came late or was voided.
    #[serde(skip_serializing_if = "Option::is_none")]
    corrects: Option<GrantId>,
    /// Money it was converted into.
    #[serde(skip_serializing_if = "Option::is_none")]
    cash_amount: Option<Money>,
}

/// A bonus and its history.
#[derive(Serialize)]
pub struct GrantHistoryView {
    player_id: PlayerId,
    #[serde(flatten)]
    grant: GrantView,
    terms: domain::bonus::GrantTerms,
    /// Transitions since its issue, oldest first.
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
            lp_debt: Points::of(wallet.lp_debt),
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
            // Rounded down, so that 1 means complete.
            progress: share.trunc_with_scale(SHARE_SCALE),
            issued_at: grant.issued_at,
            expires_at: grant.expires_at,
            seconds_left: grant.expires_at.map(|at| at.duration_since(now).as_secs().max(0)),
            closed_at: grant.closed_at,
            corrects: grant.corrects,
            cash_amount: (grant.status == GrantStatus::Completed).then(|| Money::of(grant.flows.converted)),
            rule_id: grant.rule_id,
            status_reason: grant.reason,
        }
    }
}

/// A bonus after a change.
#[derive(Serialize)]
pub struct GrantReceiptView {
    success: bool,
    grant_id: GrantId,
    status: GrantStatus,
    /// Money the bonus holds.
    balance: Money,
    /// New balance of the BONUS wallet.
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

/// The result of a reversal.
#[derive(Serialize)]
pub struct ReversalView {
    success: bool,
    /// The reversing transaction.
    transaction_id: TransactionId,
    reversed_transaction_id: TransactionId,
    player_id: PlayerId,
    /// New balance of the first asset that moved.
    new_balance: Option<Quantity>,
    /// New balances of all assets that moved.
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

/// The result of a wallet operation.
#[derive(Serialize)]
pub struct ReceiptView {
    success: bool,
    /// Null if nothing moved.
    transaction_id: Option<TransactionId>,
    /// Set for a bonus.
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
