//! Accounts: everything that players own, read under their locks and written as one journal.

use crate::db::Tx;
use crate::error::Result;
use crate::wallet::{grants, interventions, ledger};
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
    let mut grants: HashMap<String, (Vec<Grant>, bool)> = HashMap::new();
    for (player_id, grant, is_suspended) in open_grants {
        let of_player = grants.entry(player_id.into()).or_default();
        of_player.0.push(grant);
        of_player.1 = is_suspended;
    }
    let account = |id: &&str| {
        let book = books.remove(*id)?;
        let (grants, is_suspended) = grants.remove(*id).unwrap_or_default();
        let lots = lots.remove(*id).unwrap_or_default();
        Some(Account::new(book, lots, grants).suspended(is_suspended))
    };
    Ok(player_ids.iter().filter_map(account).collect())
}

/// Writes a journal with a fixed number of statements.
pub async fn write(tx: &Tx<'_>, journal: &Journal) -> Result<()> {
    grants::add(tx, &journal.new_grants).await?;
    grants::save(tx, &journal.grants).await?;
    grants::continue_ended(tx, &journal.successors).await?;
    grants::remark(tx, &journal.remarked).await?;
    grants::adjust(tx, &journal.adjustments).await?;
    interventions::write(tx, journal).await?;
    grants::add_history(tx, &journal.transitions).await?;
    ledger::write(tx, journal).await
}
