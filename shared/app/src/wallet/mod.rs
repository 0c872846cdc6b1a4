//! Wallets: a player's balances, and manual credits, deductions and reversals.
//!
//! # Choices
//!
//! * The reference of a manual posting is `key:` and its Idempotency-Key, or its own transaction id without one.
//! * A manual bonus counts its full amount as cost, and may only name games that contribute.

pub(crate) mod books;
pub mod grants;
pub mod redemption;

use crate::error::{Error, Result};
use crate::platform::idempotent;
use books::Purpose;
use domain::act::Act;
pub use domain::bonus::{Grant, GrantStatus};
use domain::bonus::{GrantTerms, NewGrant, default_game_weight};
use domain::context::Context;
use domain::event::{Event, TransactionReversed};
use domain::id::{GrantId, PlayerId, TransactionId};
use domain::idempotency::Answer;
use domain::ledger::{House, Kind};
pub use domain::lots::Lot;
use domain::money::{Asset, Money, Points, Positive, Quantity};
use domain::problem::{FieldError, FieldErrors};
use domain::rule::RewardType;
use jiff::SignedDuration;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use store::platform::stats::Slot;
use store::{Db, Tx, transaction};

/// Longest validity of a bonus, in hours: ten years.
const EXPIRY_HOURS_MAX: u32 = 87_600;

/// Why a transaction is not reversed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WalletError {
    #[error("transaction {transaction_id} was already reversed by {by}")]
    AlreadyReversed {
        transaction_id: TransactionId,
        by: TransactionId,
    },
}

impl WalletError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AlreadyReversed { .. } => "already_reversed",
        }
    }
}

/// A player's balances, point lots and open bonuses.
#[derive(Debug, Clone, PartialEq)]
pub struct WalletView {
    pub player_id: PlayerId,
    pub lp: Decimal,
    /// LP that the player owes: later ones repay them first.
    pub lp_debt: Decimal,
    pub rp: Decimal,
    pub bonus: Decimal,
    pub tickets: Decimal,
    /// Lots of LP and RP, in spending order.
    pub lots: Vec<Lot>,
    /// Open bonuses, in wagering order.
    pub grants: Vec<Grant>,
}

/// Balances, lots and bonuses, all as of one instant.
pub async fn get(db: &Db, player_id: &PlayerId) -> Result<WalletView> {
    let mut client = db.client().await?;
    let tx = store::snapshot(&mut client).await?;
    let missing = || Error::not_found("player", player_id);
    if !store::players::exists(&tx, player_id).await? {
        return Err(missing());
    }
    let account = store::wallet::accounts::load(&tx, &[player_id.as_str()])
        .await?
        .pop()
        .ok_or_else(missing)?;
    Ok(WalletView {
        player_id: player_id.clone(),
        lp: account.balance(Asset::Lp),
        lp_debt: account.lp_debt(),
        rp: account.balance(Asset::Rp),
        bonus: account.balance(Asset::Bonus),
        tickets: account.balance(Asset::Tickets),
        lots: account.lots().to_vec(),
        grants: account.grants().to_vec(),
    })
}

/// The result of a wallet operation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receipt {
    /// `None`: nothing moved.
    pub transaction_id: Option<TransactionId>,
    /// Set for a bonus.
    pub grant_id: Option<GrantId>,
    pub asset: Asset,
    pub new_balance: Decimal,
}

/// A manual credit of loyalty points.
#[derive(Debug, Clone, PartialEq)]
pub struct AddLp {
    pub player_id: PlayerId,
    /// 0 moves nothing.
    pub amount: Points,
    /// Source and reason of the credit.
    pub reason: Option<String>,
}

/// Credits LP. Refuses blocked, inactive and self-excluded players.
pub async fn add_lp(db: &Db, command: &AddLp, act: &Act) -> Result<Answer<Receipt>> {
    transaction!(db, |tx| idempotent::once(tx, act, add_lp_in_tx(tx, command, act)))
}

async fn add_lp_in_tx(tx: &Tx<'_>, command: &AddLp, act: &Act) -> Result<Receipt> {
    let cause = act.because(command.reason.as_deref());
    let AddLp { player_id, amount, .. } = command;
    books::lock(tx, player_id, Purpose::Give, act.context.now).await?;
    let mut book = store::wallet::ledger::books(tx, &[player_id.as_str()])
        .await?
        .remove(player_id.as_str())
        .ok_or_else(|| Error::not_found("player", player_id))?;
    let mut receipt = Receipt {
        transaction_id: None,
        grant_id: None,
        asset: Asset::Lp,
        new_balance: book.balance(Asset::Lp),
    };
    if amount.is_zero() {
        return Ok(receipt);
    }
    let transaction_id = TransactionId((act.context.new_id)());
    let operation = cause.operation_as(transaction_id, Kind::ManualCredit, act.reference(transaction_id));
    book.credit(Asset::Lp, amount.value(), House::Issuance, None, &operation, &cause)?;
    (receipt.transaction_id, receipt.new_balance) = (Some(transaction_id), book.balance(Asset::Lp));
    let _scheduled = books::write(tx, &book.into_journal(), &[], Slot::of(player_id), act.context).await?;
    Ok(receipt)
}

/// A manual deduction.
#[derive(Debug, Clone, PartialEq)]
pub struct Deduct {
    pub player_id: PlayerId,
    pub amount: Positive<Quantity>,
    pub reason: Option<String>,
}

/// Deducts points (from the lots that expire first), tickets, or bonus money (in wagering order).
///
/// # Errors
/// `InsufficientBalance` of the ledger; `PlayerError` for blocked and inactive players.
pub async fn deduct(db: &Db, command: &Deduct, act: &Act) -> Result<Answer<Receipt>> {
    transaction!(db, |tx| idempotent::once(tx, act, deduct_in_tx(tx, command, act)))
}

async fn deduct_in_tx(tx: &Tx<'_>, command: &Deduct, act: &Act) -> Result<Receipt> {
    let cause = act.because(command.reason.as_deref());
    let Deduct { player_id, amount, .. } = command;
    let Quantity { asset, value } = amount.get();
    books::lock(tx, player_id, Purpose::Take, act.context.now).await?;
    let mut accounts = [books::account(tx, player_id, &cause).await?];
    let [account] = &mut accounts;
    let transaction_id = TransactionId((act.context.new_id)());
    let operation = cause.operation_as(transaction_id, Kind::ManualDebit, act.reference(transaction_id));
    match asset {
        Asset::Bonus => account.deduct_bonus(value, &operation, &cause)?,
        asset => account.spend(asset, value, House::Adjustment, &operation)?,
    }
    books::settle(tx, &mut accounts, &cause).await?;
    let [account] = accounts;
    let new_balance = account.balance(asset);
    let _scheduled = books::write(tx, &account.into_journal(), &[], Slot::of(player_id), act.context).await?;
    Ok(Receipt {
        transaction_id: Some(transaction_id),
        grant_id: None,
        asset,
        new_balance,
    })
}

/// A manual bonus.
#[derive(Debug, Clone, PartialEq)]
pub struct AddBonus {
    pub player_id: PlayerId,
    pub amount: Positive<Money>,
    /// Amount to stake before the bonus converts; 0 converts at once.
    pub wagering_required: Money,
    pub expiry_hours: Option<u32>,
    pub max_bet: Option<Positive<Money>>,
    pub eligible_games: Option<Vec<String>>,
    pub reason: Option<String>,
}

/// Grants a bonus manually. Refuses blocked, inactive and self-excluded players.
pub async fn add_bonus(db: &Db, command: &AddBonus, act: &Act) -> Result<Answer<Receipt>> {
    validate(command)?;
    transaction!(db, |tx| idempotent::once(tx, act, add_bonus_in_tx(tx, command, act)))
}

async fn add_bonus_in_tx(tx: &Tx<'_>, command: &AddBonus, act: &Act) -> Result<Receipt> {
    let cause = act.because(command.reason.as_deref());
    let player_id = &command.player_id;
    books::lock(tx, player_id, Purpose::Give, act.context.now).await?;
    let mut account = books::account(tx, player_id, &cause).await?;
    let (transaction_id, grant_id) = (TransactionId((act.context.new_id)()), GrantId((act.context.new_id)()));
    let operation = cause.operation_as(transaction_id, Kind::ManualBonus, grant_id.to_string());
    account.issue(grant(command, grant_id, act.context), &operation, &cause)?;
    let new_balance = account.balance(Asset::Bonus);
    let _scheduled = books::write(tx, &account.into_journal(), &[], Slot::of(player_id), act.context).await?;
    Ok(Receipt {
        transaction_id: Some(transaction_id),
        grant_id: Some(grant_id),
        asset: Asset::Bonus,
        new_balance,
    })
}

fn grant(command: &AddBonus, grant_id: GrantId, context: Context) -> NewGrant {
    let (amount, wagering_required) = (command.amount.value(), command.wagering_required.value());
    let multiplier = wagering_required.checked_div(amount).unwrap_or_default();
    let terms = GrantTerms {
        wagering_requirement: multiplier.round_dp(4),
        expiry_hours: command.expiry_hours,
        eligible_games: command.eligible_games.clone(),
        max_bet: command.max_bet.map(Positive::value),
        ..GrantTerms::default()
    };
    NewGrant {
        player_id: command.player_id.clone(),
        grant_id,
        rule: None,
        reward_type: RewardType::BonusBalance,
        asset: Asset::Bonus,
        amount,
        // No estimate for a manual bonus: its cost is the maximum, its full amount.
        cost: amount,
        expected_revenue: None,
        wagering_required,
        terms: Some(terms),
        issued_at: context.now,
        expires_at: command
            .expiry_hours
            .map(|hours| context.now + SignedDuration::from_hours(hours.into())),
    }
}

fn validate(command: &AddBonus) -> Result<()> {
    // A bonus limited to games that contribute nothing could not be wagered.
    let games = command
        .eligible_games
        .iter()
        .flatten()
        .enumerate()
        .filter(|(_, game)| default_game_weight(game).is_zero());
    let errors: FieldErrors = games
        .map(|(index, game)| {
            FieldError::new(
                format!("/eligible_games/{index}"),
                "unknown",
                format!("{game:?} does not contribute to wagering"),
            )
        })
        .collect();
    errors.none_or(())?;
    match command.expiry_hours {
        Some(hours) if !(1..=EXPIRY_HOURS_MAX).contains(&hours) => {
            let detail = format!("must be between 1 and {EXPIRY_HOURS_MAX} hours");
            Err(Error::invalid("/expiry_hours", "range", detail))
        }
        _ => Ok(()),
    }
}

/// The result of a reversal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reversal {
    pub player_id: PlayerId,
    /// The reversing transaction.
    pub transaction_id: TransactionId,
    pub reversed_transaction_id: TransactionId,
    /// New balances of the assets that moved.
    pub balances: Vec<(Asset, Decimal)>,
}

/// Reverses a transaction, in full and once: a manual credit, deduction, bonus or redemption, or a reward in points or
/// tickets. As a correction it is allowed for blocked and inactive players too.
///
/// # Errors
/// `NotFound`; [`WalletError::AlreadyReversed`]; `AccountError::NotReversible` for other kinds and for a bonus that has
/// been played; `InsufficientBalance` of the ledger if the credited amount is spent.
pub async fn reverse(db: &Db, transaction_id: TransactionId, reason: &str, act: &Act) -> Result<Answer<Reversal>> {
    transaction!(db, |tx| idempotent::once(
        tx,
        act,
        reverse_in_tx(tx, transaction_id, reason, act)
    ))
}

async fn reverse_in_tx(tx: &Tx<'_>, reversed: TransactionId, reason: &str, act: &Act) -> Result<Reversal> {
    let cause = act.because(Some(reason));
    let now = act.context.now;
    // Postings never change, so their owner can be read before taking the lock.
    let player_id = store::wallet::ledger::owner(tx, reversed)
        .await?
        .ok_or_else(|| Error::not_found("transaction", reversed))?;
    books::lock(tx, &player_id, Purpose::Correct, now).await?;
    if let Some(by) = store::wallet::ledger::reversed_by(tx, &player_id, reversed).await? {
        let transaction_id = reversed;
        return Err(WalletError::AlreadyReversed { transaction_id, by }.into());
    }
    let (transaction, lots) = store::wallet::ledger::transaction(tx, reversed).await?;
    let mut accounts = [books::account(tx, &player_id, &cause).await?.with_lots(lots)];
    let [account] = &mut accounts;
    if let Some(parts) = store::wallet::interventions::parts(tx, &player_id, reversed).await? {
        let roots: Vec<_> = parts.keys().map(|root_id| (&player_id, *root_id)).collect();
        for (_, grant) in store::wallet::grants::of_roots(tx, &roots).await? {
            account.add_grant(grant);
        }
        account.add_deduction(reversed, parts);
    }
    let transaction_id = TransactionId((act.context.new_id)());
    account.reverse(
        &transaction,
        &cause.operation_as(transaction_id, Kind::Reversal, reversed.to_string()),
        &cause,
    )?;
    books::settle(tx, &mut accounts, &cause).await?;
    let [account] = accounts;
    let mut balances: Vec<_> = transaction
        .postings
        .iter()
        .map(|posting| (posting.asset, account.balance(posting.asset)))
        .collect();
    balances.dedup();
    store::wallet::ledger::add_reversal(tx, &player_id, reversed, transaction_id, now).await?;
    store::wallet::redemptions::reversed(tx, &player_id, reversed, now).await?;
    let told = Event::TransactionReversed(TransactionReversed {
        kind: transaction.kind,
        player_id: player_id.clone(),
        reversed_transaction_id: reversed,
        transaction_id,
    });
    let _scheduled = books::write(tx, &account.into_journal(), &[told], Slot::of(&player_id), act.context).await?;
    Ok(Reversal {
        player_id,
        transaction_id,
        reversed_transaction_id: reversed,
        balances,
    })
}
