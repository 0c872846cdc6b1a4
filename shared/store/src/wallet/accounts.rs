//! Accounts: everything that players own, read under their locks and written as one journal.

use crate::db::Tx;
use crate::error::Result;
use crate::wallet::{grants, ledger};
use domain::account::{Account, Journal};
use domain::bonus::Grant;
use domain::lots::Lot;
use std::collections::HashMap;

/// Loads the accounts of the players that exist, in the order of `player_ids`: under their locks to change them, or on
/// a snapshot to show them. Three statements, sent together.
pub async fn load(tx: &Tx<'_>, player_ids: &[&str]) -> Result<Vec<Account>> {
    let (mut books, open_lots, open_grants) = tokio::try_join!(
        ledger::books(tx, player_ids),
        ledger::open_lots(tx, player_ids),
        grants::open(tx, player_ids)
    )?;
    let mut lots: HashMap<String, Vec<Lot>> = HashMap::new();
    for open in open_lots {
        lots.entry(open.player_id.into()).or_default().push(open.lot);
    }
    let mut grants: HashMap<String, Vec<Grant>> = HashMap::new();
    for (player_id, grant) in open_grants {
        grants.entry(player_id.into()).or_default().push(grant);
    }
    let account = |id: &&str| {
        let book = books.remove(*id)?;
        Some(Account::new(
            book,
            lots.remove(*id).unwrap_or_default(),
            grants.remove(*id).unwrap_or_default(),
        ))
    };
    Ok(player_ids.iter().filter_map(account).collect())
}

/// Writes a journal with a fixed number of statements.
pub async fn write(tx: &Tx<'_>, journal: &Journal) -> Result<()> {
    grants::add(tx, &journal.new_grants).await?;
    grants::save(tx, &journal.grants).await?;
    grants::add_history(tx, &journal.transitions).await?;
    ledger::write(tx, journal).await
}
