//! What people do to bonuses, and the last place of play, up to which bonuses are as they are.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::row::player_id;
use crate::statement::{self, text};
use crate::wallet::grants::SinceKeys;
use domain::account::{Intervention, Journal, What};
use domain::activity::Place;
use domain::bonus::Grant;
use domain::id::{GrantId, PlayerId, TransactionId};
use jiff::Timestamp;
use rust_decimal::Decimal;
use std::collections::BTreeMap;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

columns! {
    struct InterventionRow<'a> => Interventions () {
        player_id: text = &'a PlayerId,
        at: timestamptz = Timestamp,
        id: uuid = TransactionId,
        what: json = Json<&'a What>,
        parts: json = Json<&'a BTreeMap<GrantId, Decimal>>,
    }
}

const ADD: &str = text!(
    "INSERT INTO interventions (",
    Interventions::NAMES,
    ")\n",
    Interventions::SELECT
);

const REPLAY: &str = text!(
    "
UPDATE interventions i
SET parts = n.parts
FROM ",
    Interventions::UNNEST,
    "
WHERE i.player_id = n.player_id
  AND i.at = n.at
  AND i.id = n.id"
);

const SINCE: &str = text!(
    "
SELECT i.player_id, i.at, i.id, i.what, i.parts
FROM ",
    SinceKeys::UNNEST,
    "
JOIN interventions i ON i.player_id = n.player_id
WHERE i.at >= n.since
   OR i.id IN (
     SELECT (r.what ->> 'deduction')::uuid
     FROM interventions r
     WHERE r.player_id = n.player_id
       AND r.at >= n.since
   )
ORDER BY i.player_id, i.at, i.id"
);

const PARTS: &str = "
SELECT parts
FROM interventions
WHERE player_id = $1
  AND id = $2";

columns! {
    struct PlayedRow<'a> => Played () {
        player_id: text = &'a PlayerId,
        played_at: timestamptz = Timestamp,
        played_rank: text = &'a str,
    }
}

const PLAYED: &str = text!(
    "
UPDATE players p
SET played_at = n.played_at,
  played_rank = n.played_rank
FROM ",
    Played::UNNEST,
    "
WHERE p.player_id = n.player_id
  AND (p.played_at IS NULL OR (p.played_at, p.played_rank) < (n.played_at, n.played_rank))"
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[ADD, REPLAY, SINCE, PARTS, PLAYED];

/// Writes what people did, and how far play is settled by it and by what ended.
pub(super) async fn write(tx: &Tx<'_>, journal: &Journal) -> Result<()> {
    let added: Interventions<'_> = journal.interventions.iter().map(row).collect();
    if !added.is_empty() {
        statement::execute(tx, ADD, &added.params([])).await?;
    }
    let replayed: Interventions<'_> = journal.replayed.iter().map(row).collect();
    if !replayed.is_empty() {
        statement::execute(tx, REPLAY, &replayed.params([])).await?;
    }
    let acts = journal.interventions.iter().map(|(player_id, act)| (player_id, act.at));
    let ended = journal.grants.iter().chain(&journal.successors).filter_map(end);
    let mut settled: BTreeMap<&PlayerId, Timestamp> = BTreeMap::new();
    for (player_id, at) in acts.chain(ended) {
        let last = settled.entry(player_id).or_insert(at);
        *last = at.max(*last);
    }
    let places: Vec<(&PlayerId, Place)> = settled.into_iter().map(|(id, at)| (id, Place::last_at(at))).collect();
    played(tx, &places).await
}

fn end((player_id, grant): &(PlayerId, Grant)) -> Option<(&PlayerId, Timestamp)> {
    Some((player_id, grant.ended_at?))
}

fn row((player_id, act): &(PlayerId, Intervention)) -> InterventionRow<'_> {
    InterventionRow {
        player_id,
        at: act.at,
        id: act.id,
        what: Json(&act.what),
        parts: Json(&act.parts),
    }
}

/// Moves the last places of play forward.
pub async fn played(tx: &Tx<'_>, places: &[(&PlayerId, Place)]) -> Result<()> {
    let rows: Played<'_> = places
        .iter()
        .map(|(player_id, place)| PlayedRow {
            player_id,
            played_at: place.at,
            played_rank: &place.rank,
        })
        .collect();
    if !rows.is_empty() {
        statement::execute(tx, PLAYED, &rows.params([])).await?;
    }
    Ok(())
}

/// What people did at or after the player's instant, in order, and the deductions that they gave back.
pub async fn since(executor: &impl Executor, keys: &SinceKeys<'_>) -> Result<Vec<(PlayerId, Intervention)>> {
    statement::list(executor, SINCE, &keys.params([]), |row| {
        Ok((player_id(row)?, intervention(row)?))
    })
    .await
}

fn intervention(row: &Row) -> Result<Intervention> {
    let (Json(what), Json(parts)) = (row.try_get("what")?, row.try_get("parts")?);
    Ok(Intervention {
        id: TransactionId(row.try_get("id")?),
        at: row.try_get("at")?,
        what,
        parts,
    })
}

/// What a deduction took, by the bonus's first grant.
pub async fn parts(
    executor: &impl Executor,
    player_id: &PlayerId,
    deduction: TransactionId,
) -> Result<Option<BTreeMap<GrantId, Decimal>>> {
    let row = statement::optional_row(executor, PARTS, &[&player_id.as_str(), &deduction.0]).await?;
    let parts: Option<Json<BTreeMap<GrantId, Decimal>>> = row.map(|row| row.try_get("parts")).transpose()?;
    Ok(parts.map(|Json(parts)| parts))
}
