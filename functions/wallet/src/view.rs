//! How wallets look from outside.

use app::wallet::OpenGrant;
use app::wallet::OpenLot;
use app::wallet::Receipt;
use domain::id::{GrantId, PlayerId, TransactionId};
use domain::money::{Asset, MONEY_SCALE, shown};
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

#[derive(Serialize)]
pub struct WalletView {
    player_id: PlayerId,
    lp_balance: Decimal,
    rp_balance: Decimal,
    bonus_balance: Decimal,
    tickets_balance: Decimal,
    /// LP and RP, in the order in which spending takes them.
    lots: Vec<LotView>,
    /// Open bonuses, in the order in which stakes feed them.
    grants: Vec<GrantView>,
}

#[derive(Serialize)]
struct LotView {
    asset: Asset,
    earned: Decimal,
    remaining: Decimal,
    earned_at: Timestamp,
    /// Null: never.
    expires_at: Option<Timestamp>,
}

#[derive(Serialize)]
struct GrantView {
    id: GrantId,
    /// Null: given by a person.
    rule_id: Option<String>,
    status: String,
    amount: Decimal,
    balance: Decimal,
    wagering_required: Decimal,
    wagering_completed: Decimal,
    issued_at: Timestamp,
    /// Null: never.
    expires_at: Option<Timestamp>,
}

impl From<app::wallet::WalletView> for WalletView {
    fn from(wallet: app::wallet::WalletView) -> Self {
        Self {
            player_id: wallet.player_id,
            lp_balance: shown(wallet.lp, Asset::Lp.scale()),
            rp_balance: shown(wallet.rp, Asset::Rp.scale()),
            bonus_balance: shown(wallet.bonus, Asset::Bonus.scale()),
            tickets_balance: shown(wallet.tickets, Asset::Tickets.scale()),
            lots: wallet.lots.into_iter().map(LotView::from).collect(),
            grants: wallet.grants.into_iter().map(GrantView::from).collect(),
        }
    }
}

impl From<OpenLot> for LotView {
    fn from(lot: OpenLot) -> Self {
        let scale = lot.asset.scale();
        Self {
            asset: lot.asset,
            earned: shown(lot.earned, scale),
            remaining: shown(lot.remaining, scale),
            earned_at: lot.earned_at,
            expires_at: lot.expires_at,
        }
    }
}

impl From<OpenGrant> for GrantView {
    fn from(grant: OpenGrant) -> Self {
        Self {
            id: grant.grant_id,
            rule_id: grant.rule_id,
            status: grant.status,
            amount: shown(grant.amount, MONEY_SCALE),
            balance: shown(grant.balance, MONEY_SCALE),
            wagering_required: shown(grant.wagering_required, MONEY_SCALE),
            wagering_completed: shown(grant.wagering_completed, MONEY_SCALE),
            issued_at: grant.issued_at,
            expires_at: grant.expires_at,
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
    new_balance: Decimal,
    message: String,
}

impl From<Receipt> for ReceiptView {
    fn from(receipt: Receipt) -> Self {
        let new_balance = shown(receipt.new_balance, receipt.asset.scale());
        let asset = receipt.asset;
        let message = match receipt.transaction_id {
            Some(_) => format!("the {asset} balance is {new_balance}"),
            None => format!("nothing was moved; the {asset} balance is {new_balance}"),
        };
        Self { success: true, transaction_id: receipt.transaction_id, grant_id: receipt.grant_id, new_balance, message }
    }
}
