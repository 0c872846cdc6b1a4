//! Expiry: bonuses and points that are due, and bonuses that are used up.

use crate::error::Result;
use crate::wallet::books;
use domain::bonus::GrantStatus;
use domain::context::Context;
use domain::ledger::Cause;
use serde::Serialize;
use store::platform::stats::Slot;
use store::{Db, Tx, transaction};

const ACTOR: &str = "expiry";

/// The result of one sweep.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Expired {
    /// Players with something due. If it equals the limit, there may be more.
    pub players: usize,
    pub bonuses_expired: usize,
    pub bonuses_depleted: usize,
    pub point_lots_expired: usize,
}

/// Expires everything due of at most `players_max` players, in one transaction. Repeat until it finds no player.
pub async fn expire_due(db: &Db, players_max: u16, context: Context) -> Result<Expired> {
    let rounds_since = books::rounds_since(context.now);
    let due =
        store::wallet::grants::due_players(&db.client().await?, context.now, rounds_since, players_max.into()).await?;
    if due.is_empty() {
        return Ok(Expired::default());
    }
    let ids: Vec<&str> = due.iter().map(AsRef::as_ref).collect();
    transaction!(db, |tx| expire_in_tx(tx, &ids, context))
}

async fn expire_in_tx(tx: &Tx<'_>, player_ids: &[&str], context: Context) -> Result<Expired> {
    let cause = Cause {
        actor: ACTOR,
        reason: None,
        context,
    };
    let locked = store::players::lock_all(tx, player_ids).await?;
    let ids: Vec<&str> = locked.iter().map(String::as_str).collect();
    let mut accounts = store::wallet::accounts::load(tx, &ids).await?;
    books::settle(tx, &mut accounts, &cause).await?;
    let mut journal = domain::account::Journal::default();
    for account in accounts {
        journal.append(account.into_journal());
    }
    let _scheduled = books::write(tx, &journal, &[], Slot::of(ids.first()), context).await?;
    let ended = |status| journal.transitions.iter().filter(|step| step.to == status).count();
    Ok(Expired {
        players: ids.len(),
        bonuses_expired: ended(GrantStatus::Expired),
        bonuses_depleted: ended(GrantStatus::Depleted),
        point_lots_expired: journal.lot_movements.len(),
    })
}
