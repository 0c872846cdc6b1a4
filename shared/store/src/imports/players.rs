//! The players of an import: created, changed or unchanged.

use crate::columns;
use crate::db::Tx;
use crate::error::Result;
use crate::players::totals::{TOTALS, totals_of};
use crate::statement::{self, text};
use domain::id::{PlayerId, RunId};
use domain::import::plan::{Existing, ProfileChange};
use domain::import::row::PlayerRow;
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};

const FIRST_LINES: &str = "
SELECT player_id, line
FROM run_players
WHERE run_id = $1
  AND player_id = ANY($2)";

const EXISTING: &str = text!(
    "
SELECT p.player_id, ",
    TOTALS,
    ", p.email, p.name, p.registered_at
FROM players p
JOIN player_totals t ON t.player_id = p.player_id
WHERE p.player_id = ANY($1)"
);

columns! {
    struct NewPlayerRow<'a> => NewPlayers (tier, created_at) {
        player_id: text = &'a PlayerId,
        email: text = Option<&'a str>,
        name: text = Option<&'a str>,
        registered_at: timestamptz = Option<Timestamp>,
    }
}

const CREATE: &str = text!(
    "INSERT INTO players (tier, created_at, ",
    NewPlayers::NAMES,
    ")\nSELECT $1, $2, ",
    NewPlayers::NAMES,
    "\nFROM ",
    NewPlayers::UNNEST,
    "
ORDER BY player_id
ON CONFLICT (player_id) DO NOTHING
RETURNING player_id"
);

columns! {
    struct ProfileRow<'a> => Profiles () {
        player_id: text = &'a PlayerId,
        email: text = Option<&'a str>,
        name: text = Option<&'a str>,
        registered_at: timestamptz = Option<Timestamp>,
    }
}

const UPDATE_PROFILES: &str = text!(
    "
UPDATE players p
SET email = coalesce(n.email, p.email),
  name = coalesce(n.name, p.name),
  registered_at = coalesce(n.registered_at, p.registered_at)
FROM ",
    Profiles::UNNEST,
    "
WHERE p.player_id = n.player_id"
);

columns! {
    /// A player who appears in an import.
    pub struct MetPlayer<'a> => MetPlayers (run_id) {
        player_id: text = &'a PlayerId,
        line: bigint = i64,
        changed: boolean = bool,
    }
}

const ADD_MET: &str = text!(
    "INSERT INTO run_players (run_id, ",
    MetPlayers::NAMES,
    ")\nSELECT $1, ",
    MetPlayers::NAMES,
    "\nFROM ",
    MetPlayers::UNNEST
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[FIRST_LINES, EXISTING, CREATE, UPDATE_PROFILES, ADD_MET];

/// The lines where this import first met these players.
pub async fn first_lines(tx: &Tx<'_>, run_id: RunId, player_ids: &[&str]) -> Result<HashMap<String, i64>> {
    statement::list(tx, FIRST_LINES, &[&run_id.0, &player_ids], |row| {
        Ok((row.try_get("player_id")?, row.try_get("line")?))
    })
    .await
}

/// What is stored about players whom the caller has locked.
pub async fn existing(tx: &Tx<'_>, player_ids: &[&str]) -> Result<HashMap<String, Existing>> {
    statement::list(tx, EXISTING, &[&player_ids], |row| {
        let existing = Existing {
            totals: totals_of(row, 1)?,
            email: row.try_get("email")?,
            name: row.try_get("name")?,
            registered_at: row.try_get("registered_at")?,
        };
        Ok((row.try_get("player_id")?, existing))
    })
    .await
}

/// Creates the players that do not exist, in the given tier, and returns their ids. Waits for transactions that are
/// creating the same players, so all of them are settled when this returns. `rows` are ordered by id.
pub async fn create(tx: &Tx<'_>, rows: &[&PlayerRow], tier_level: &str, now: Timestamp) -> Result<HashSet<String>> {
    let rows: NewPlayers<'_> = rows
        .iter()
        .map(|row| NewPlayerRow {
            player_id: &row.player_id,
            email: row.email.as_deref(),
            name: row.name.as_deref(),
            registered_at: row.registered_at,
        })
        .collect();
    statement::list(tx, CREATE, &rows.params([&tier_level, &now]), |row| Ok(row.try_get(0)?)).await
}

/// Saves profile changes. The players exist.
pub async fn update_profiles<'a>(
    tx: &Tx<'_>,
    changes: impl IntoIterator<Item = (&'a PlayerId, &'a ProfileChange)>,
) -> Result<()> {
    let rows: Profiles<'_> = changes
        .into_iter()
        .filter(|(_, change)| **change != ProfileChange::default())
        .map(|(player_id, change)| ProfileRow {
            player_id,
            email: change.email.as_deref(),
            name: change.name.as_deref(),
            registered_at: change.registered_at,
        })
        .collect();
    if !rows.is_empty() {
        statement::execute(tx, UPDATE_PROFILES, &rows.params([])).await?;
    }
    Ok(())
}

/// Records on which line the import met each player, and whether the row changed anything.
pub async fn add_met<'a>(tx: &Tx<'_>, run_id: RunId, met: impl IntoIterator<Item = MetPlayer<'a>>) -> Result<()> {
    let rows: MetPlayers<'_> = met.into_iter().collect();
    if !rows.is_empty() {
        statement::execute(tx, ADD_MET, &rows.params([&run_id.0])).await?;
    }
    Ok(())
}
