//! Bonuses: opt-in, forfeiture, cancellation and history.
//!
//! # Choices
//!
//! * An opt-in passes the gates of eligibility and fraud again, by the player's standing and risk score of now. A
//!   refusal leaves the bonus PENDING. A lesser penalty changes nothing: the amount and terms are those of the grant.

use crate::error::{Error, Result};
use crate::platform::idempotent;
use crate::wallet::books::{self, Purpose};
use domain::act::Act;
use domain::bonus::{Grant, GrantStatus};
use domain::gate::Penalty;
use domain::id::{GrantId, PlayerId};
use domain::idempotency::Answer;
use domain::ledger::Cause;
use domain::money::Asset;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use store::platform::stats::Slot;
pub use store::wallet::grants::HistoryStep;
use store::{Db, Tx, transaction};

/// A bonus and its history.
#[derive(Debug, Clone, PartialEq)]
pub struct GrantHistory {
    pub player_id: PlayerId,
    pub grant: Grant,
    /// Transitions since its issue, oldest first.
    pub history: Vec<HistoryStep>,
}

pub async fn get(db: &Db, grant_id: GrantId) -> Result<GrantHistory> {
    let client = db.client().await?;
    let (player_id, grant) = store::wallet::grants::get(&client, grant_id)
        .await?
        .ok_or_else(|| missing(grant_id))?;
    let history = store::wallet::grants::history(&client, &player_id, grant_id).await?;
    Ok(GrantHistory {
        player_id,
        grant,
        history,
    })
}

/// Why a bonus is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    #[error("grant {grant_id} is {status}")]
    Closed { grant_id: GrantId, status: GrantStatus },
    #[error("player {player_id} gets no bonuses: the risk score is {risk_score}")]
    Refused { player_id: PlayerId, risk_score: u8 },
}

impl GrantError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Closed { .. } => "grant_closed",
            Self::Refused { .. } => "risk_too_high",
        }
    }
}

fn missing(grant_id: GrantId) -> Error {
    Error::not_found("bonus grant", grant_id)
}

/// A bonus after a change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrantReceipt {
    pub player_id: PlayerId,
    pub grant_id: GrantId,
    pub status: GrantStatus,
    /// Money the bonus holds.
    pub balance: Decimal,
    /// New balance of the BONUS wallet.
    pub new_balance: Decimal,
}

/// The player opts in: a PENDING bonus becomes ACTIVE and gets its money.
///
/// # Errors
/// `NotFound`; [`GrantError`]; `AccountError::NotPending`; `PlayerError` for blocked, inactive and self-excluded
/// players.
pub async fn activate(db: &Db, grant_id: GrantId, act: &Act) -> Result<Answer<GrantReceipt>> {
    transaction!(db, |tx| idempotent::once(
        tx,
        act,
        change_in_tx(tx, grant_id, Change::Activate, act.because(None))
    ))
}

/// Forfeits an open bonus with the money it holds. Allowed for blocked and inactive players too.
///
/// # Errors
/// `NotFound`; [`GrantError::Closed`].
pub async fn forfeit(db: &Db, grant_id: GrantId, reason: &str, act: &Act) -> Result<Answer<GrantReceipt>> {
    transaction!(db, |tx| idempotent::once(
        tx,
        act,
        change_in_tx(
            tx,
            grant_id,
            Change::End(GrantStatus::Forfeited),
            act.because(Some(reason))
        )
    ))
}

/// Cancels an open bonus, as if it had not been granted; its remaining money returns to issuance.
///
/// # Errors
/// `NotFound`; [`GrantError::Closed`].
pub async fn cancel(db: &Db, grant_id: GrantId, reason: &str, act: &Act) -> Result<GrantReceipt> {
    transaction!(db, |tx| change_in_tx(
        tx,
        grant_id,
        Change::End(GrantStatus::Cancelled),
        act.because(Some(reason))
    ))
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Activate,
    End(GrantStatus),
}

async fn change_in_tx(tx: &Tx<'_>, grant_id: GrantId, change: Change, cause: Cause<'_>) -> Result<GrantReceipt> {
    // The owner never changes; the status is read again under the lock.
    let (player_id, _) = store::wallet::grants::get(tx, grant_id)
        .await?
        .ok_or_else(|| missing(grant_id))?;
    let purpose = match change {
        Change::Activate => Purpose::Give,
        Change::End(_) => Purpose::Correct,
    };
    books::lock(tx, &player_id, purpose, cause.context.now).await?;
    let (_, before) = store::wallet::grants::get(tx, grant_id)
        .await?
        .ok_or_else(|| missing(grant_id))?;
    if !before.status.is_open() {
        let status = before.status;
        return Err(GrantError::Closed { grant_id, status }.into());
    }
    if matches!(change, Change::Activate) {
        let risk_score = store::players::risk_score(tx, &player_id).await?;
        check_risk(&player_id, risk_score)?;
    }
    let mut account = books::account(tx, &player_id, &cause).await?;
    match change {
        Change::Activate => account.activate(grant_id, &cause)?,
        Change::End(to) => account.end_grant(grant_id, to, &cause)?,
    }
    let after = account
        .grants()
        .iter()
        .find(|grant| grant.grant_id == grant_id)
        .ok_or_else(|| missing(grant_id))?;
    let receipt = GrantReceipt {
        player_id: player_id.clone(),
        grant_id,
        status: after.status,
        balance: after.balance,
        new_balance: account.balance(Asset::Bonus),
    };
    let _scheduled = books::write(tx, &account.into_journal(), &[], Slot::of(&player_id), cause.context).await?;
    Ok(receipt)
}

fn check_risk(player_id: &PlayerId, risk_score: u8) -> Result<(), GrantError> {
    if Penalty::of(risk_score) == Penalty::Refusal {
        let player_id = player_id.clone();
        return Err(GrantError::Refused { player_id, risk_score });
    }
    Ok(())
}
