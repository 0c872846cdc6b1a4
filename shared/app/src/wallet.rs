//! Wallets: what a player has, and what people credit by hand.

use crate::error::{Error, Result};
use crate::idempotent;
use crate::issue::{Act, Issued, credit_points};
use domain::bonus::GrantTerms;
use domain::context::Context;
use domain::id::{GrantId, PlayerId, TransactionId};
use domain::idempotency::{Answer, IdempotencyKey};
use domain::money::{Asset, MONEY_SCALE, check_amount};
use domain::problem::FieldError;
use jiff::SignedDuration;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use store::grants::NewGrant;
pub use store::grants::OpenGrant;
pub use store::ledger::OpenLot;
use store::stats::Slot;
use store::{Db, Tx, transaction};

/// Longest life of a bonus, in hours: ten years.
const EXPIRY_HOURS_MAX: u32 = 87_600;

/// What a player has.
#[derive(Debug, Clone, PartialEq)]
pub struct WalletView {
    pub player_id: PlayerId,
    pub lp: Decimal,
    pub rp: Decimal,
    pub bonus: Decimal,
    pub tickets: Decimal,
    /// LP and RP, in the order in which spending takes them.
    pub lots: Vec<OpenLot>,
    /// In the order in which stakes feed them.
    pub grants: Vec<OpenGrant>,
}

pub async fn get(db: &Db, player_id: &PlayerId) -> Result<WalletView> {
    let client = db.client().await?;
    if !store::players::exists(&client, player_id).await? {
        return Err(Error::not_found("player", player_id));
    }
    let wallets = store::ledger::wallets(&client, &[player_id.as_str()]).await?;
    Ok(WalletView {
        player_id: player_id.clone(),
        lp: wallets.balance(player_id, Asset::Lp),
        rp: wallets.balance(player_id, Asset::Rp),
        bonus: wallets.balance(player_id, Asset::Bonus),
        tickets: wallets.balance(player_id, Asset::Tickets),
        lots: store::ledger::open_lots(&client, player_id).await?,
        grants: store::grants::open_grants(&client, player_id).await?,
    })
}

/// What an operation on a wallet came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// `None`: nothing was moved.
    pub transaction_id: Option<TransactionId>,
    /// Of a bonus.
    pub grant_id: Option<GrantId>,
    pub asset: Asset,
    pub new_balance: Decimal,
}

/// Loyalty points given by a person.
#[derive(Debug, Clone, PartialEq)]
pub struct AddLp {
    pub player_id: PlayerId,
    /// ≥ 0, scale 2; 0 moves nothing.
    pub amount: Decimal,
    /// Where they come from, and why.
    pub reason: Option<String>,
}

/// Credits LP. Blocked and inactive players are refused.
pub async fn add_lp(db: &Db, command: &AddLp, key: Option<&IdempotencyKey>, actor: &str, context: Context) -> Result<Answer<Receipt>> {
    amount(command.amount, "/amount")?;
    transaction!(db, |tx| idempotent::once(tx, key, context.now, add_lp_in_tx(tx, command, key, actor, context)))
}

async fn add_lp_in_tx(tx: &Tx<'_>, command: &AddLp, key: Option<&IdempotencyKey>, actor: &str, context: Context) -> Result<Receipt> {
    lock_in_good_standing(tx, &command.player_id).await?;
    let mut wallets = store::ledger::wallets(tx, &[command.player_id.as_str()]).await?;
    let unmoved = wallets.balance(&command.player_id, Asset::Lp);
    if command.amount.is_zero() {
        return Ok(Receipt { transaction_id: None, grant_id: None, asset: Asset::Lp, new_balance: unmoved });
    }
    let transaction_id = TransactionId((context.new_id)());
    let reference = key.map_or_else(|| transaction_id.to_string(), |key| key.key.clone());
    let act = Act { kind: "manual_credit", actor, reason: command.reason.as_deref(), now: context.now };
    let (posting, lot) = credit_points(&mut wallets, &command.player_id, command.amount, act.operation(transaction_id, reference))?;
    let new_balance = posting.balance_after;
    store::ledger::append(tx, &[posting]).await?;
    store::ledger::add_lots(tx, lot.as_slice()).await?;
    Ok(Receipt { transaction_id: Some(transaction_id), grant_id: None, asset: Asset::Lp, new_balance })
}

/// A bonus given by a person.
#[derive(Debug, Clone, PartialEq)]
pub struct AddBonus {
    pub player_id: PlayerId,
    /// Above 0, scale 2.
    pub amount: Decimal,
    /// Money to stake before it converts; 0 converts at once.
    pub wagering_required: Decimal,
    pub expiry_hours: Option<u32>,
    pub max_bet: Option<Decimal>,
    pub eligible_games: Option<Vec<String>>,
    pub reason: Option<String>,
}

/// Grants a bonus by hand. Blocked and inactive players are refused.
pub async fn add_bonus(
    db: &Db,
    command: &AddBonus,
    key: Option<&IdempotencyKey>,
    actor: &str,
    context: Context,
) -> Result<Answer<Receipt>> {
    validate(command)?;
    transaction!(db, |tx| idempotent::once(tx, key, context.now, add_bonus_in_tx(tx, command, actor, context)))
}

async fn add_bonus_in_tx(tx: &Tx<'_>, command: &AddBonus, actor: &str, context: Context) -> Result<Receipt> {
    lock_in_good_standing(tx, &command.player_id).await?;
    let mut wallets = store::ledger::wallets(tx, &[command.player_id.as_str()]).await?;
    let (transaction_id, grant_id) = (TransactionId((context.new_id)()), GrantId((context.new_id)()));
    let act = Act { kind: "manual_bonus", actor, reason: command.reason.as_deref(), now: context.now };
    let mut issued = Issued::default();
    issued.issue(grant(command, grant_id, context)?, transaction_id, None, &mut wallets, act)?;
    issued.write(tx, Slot::of(&command.player_id), context.now).await?;
    let new_balance = wallets.balance(&command.player_id, Asset::Bonus);
    Ok(Receipt { transaction_id: Some(transaction_id), grant_id: Some(grant_id), asset: Asset::Bonus, new_balance })
}

fn grant(command: &AddBonus, grant_id: GrantId, context: Context) -> Result<NewGrant> {
    let multiplier = command.wagering_required.checked_div(command.amount).unwrap_or_default();
    let terms = GrantTerms {
        wagering_requirement: multiplier.round_dp(4),
        expiry_hours: command.expiry_hours,
        eligible_games: command.eligible_games.clone(),
        max_bet: command.max_bet,
        ..GrantTerms::default()
    };
    let terms = serde_json::to_value(&terms).map_err(|error| Error::Stored { what: "terms", detail: error.to_string() })?;
    Ok(NewGrant {
        player_id: command.player_id.clone(),
        grant_id,
        rule: None,
        reward_type: "BONUS_BALANCE",
        asset: Asset::Bonus,
        amount: command.amount,
        // A person decides; what it may cost at most is what it is.
        cost: command.amount,
        expected_revenue: None,
        status: "ACTIVE",
        balance: command.amount,
        wagering_required: command.wagering_required,
        terms: Some(terms),
        issued_at: context.now,
        expires_at: command.expiry_hours.map(|hours| context.now + SignedDuration::from_hours(hours.into())),
        closed_at: None,
    })
}

/// Locks the player and everything they own.
///
/// # Errors
/// `NotFound`, or `Conflict` for a player who is blocked or not active.
async fn lock_in_good_standing(tx: &Tx<'_>, player_id: &PlayerId) -> Result<()> {
    if !store::players::lock(tx, player_id).await? {
        return Err(Error::not_found("player", player_id));
    }
    let profile = store::players::profile(tx, player_id).await?.ok_or_else(|| Error::not_found("player", player_id))?;
    match (profile.is_blocked, profile.is_active) {
        (true, _) => Err(Error::conflict("player_blocked", format!("player {player_id} is blocked"))),
        (_, false) => Err(Error::conflict("player_inactive", format!("player {player_id} is not active"))),
        _ => Ok(()),
    }
}

fn amount(value: Decimal, pointer: &str) -> Result<Decimal> {
    check_amount(value, MONEY_SCALE).map_err(|error| Error::Validation(vec![FieldError::new(pointer, "range", format!("{value} {error}"))]))
}

fn validate(command: &AddBonus) -> Result<()> {
    if amount(command.amount, "/amount")?.is_zero() {
        return Err(Error::Validation(vec![FieldError::new("/amount", "range", "must be above 0")]));
    }
    amount(command.wagering_required, "/wagering_requirement")?;
    if let Some(max_bet) = command.max_bet
        && amount(max_bet, "/max_bet")?.is_zero()
    {
        return Err(Error::Validation(vec![FieldError::new("/max_bet", "range", "must be above 0")]));
    }
    match command.expiry_hours {
        Some(hours) if !(1..=EXPIRY_HOURS_MAX).contains(&hours) => {
            let detail = format!("must be between 1 and {EXPIRY_HOURS_MAX} hours");
            Err(Error::Validation(vec![FieldError::new("/expiry_hours", "range", detail)]))
        }
        _ => Ok(()),
    }
}
