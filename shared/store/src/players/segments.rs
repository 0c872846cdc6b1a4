//! Current segments and their history.

use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::statement;
use domain::id::{PlayerId, RunId};
use domain::metrics::Totals;
use domain::segment::Segment;
use jiff::Timestamp;
use std::collections::HashSet;

const TOTALS: &str = "
SELECT t.player_id, t.total_deposited, t.total_wagered, t.total_won, t.total_withdrawn, t.session_count,
  t.playtime_hours, t.total_bets, t.last_deposit_date, s.segment
FROM player_totals t
LEFT JOIN player_segments s ON s.player_id = t.player_id
WHERE t.player_id = ANY($1)
ORDER BY t.player_id";

const SAVE: &str = "
INSERT INTO player_segments (player_id, segment, since)
SELECT player_id, segment, $3
FROM unnest($1::text[], $2::text[]) AS n (player_id, segment)
ON CONFLICT (player_id) DO UPDATE
SET segment = EXCLUDED.segment,
  since = EXCLUDED.since";

// A caller's clock was read before it waited for the player's lock, so changes need not come in the order of their
// instants; the history has one that is never before the last.
const HISTORY: &str = "
INSERT INTO segment_history (player_id, at, from_segment, to_segment, run_id)
SELECT n.player_id, greatest($4::timestamptz, last.at + interval '1 microsecond'), n.from_segment, n.to_segment, $5
FROM unnest($1::text[], $2::text[], $3::text[]) AS n (player_id, from_segment, to_segment)
CROSS JOIN LATERAL (
  SELECT max(at) AS at
  FROM segment_history
  WHERE player_id = n.player_id
) AS last";

const CHANGED_BY: &str = "
SELECT player_id
FROM segment_history
WHERE player_id BETWEEN $2 AND $3
  AND run_id = $1
  AND from_segment IS NOT NULL";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[TOTALS, SAVE, HISTORY, CHANGED_BY];

/// What classifying a player needs.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    pub player_id: PlayerId,
    pub totals: Totals,
    /// `None`: not classified yet.
    pub segment: Option<Segment>,
}

pub async fn totals(executor: &impl Executor, player_ids: &[&str]) -> Result<Vec<Classified>> {
    let rows = statement::rows(executor, TOTALS, &[&player_ids]).await?;
    rows.iter()
        .map(|row| {
            let text: String = row.try_get("player_id")?;
            let player_id =
                PlayerId::parse(text.clone()).map_err(|error| Error::Row(format!("player id {text:?}: {error}")))?;
            Ok(Classified {
                player_id,
                totals: totals_of(row)?,
                segment: segment_of(row)?,
            })
        })
        .collect()
}

/// A player whose segment is now another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentChange {
    pub player_id: PlayerId,
    pub from: Option<Segment>,
    pub to: Segment,
}

/// Saves the new segments with their history. The caller holds the players' locks.
pub async fn change(tx: &Tx<'_>, changes: &[SegmentChange], run_id: Option<RunId>, now: Timestamp) -> Result<()> {
    if changes.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = changes.iter().map(|change| change.player_id.as_str()).collect();
    let from: Vec<Option<&str>> = changes.iter().map(|change| change.from.map(Segment::as_str)).collect();
    let to: Vec<&str> = changes.iter().map(|change| change.to.as_str()).collect();
    statement::execute(tx, SAVE, &[&ids, &to, &now]).await?;
    statement::execute(tx, HISTORY, &[&ids, &from, &to, &now, &run_id.map(|id| id.0)]).await?;
    Ok(())
}

/// Who, of a range of ids, was moved from one segment to another by a run.
pub async fn changed_by(executor: &impl Executor, run_id: RunId, first: &str, last: &str) -> Result<HashSet<String>> {
    let rows = statement::rows(executor, CHANGED_BY, &[&run_id.0, &first, &last]).await?;
    rows.iter().map(|row| Ok(row.try_get("player_id")?)).collect()
}

/// The columns of `player_totals`.
pub(crate) fn totals_of(row: &tokio_postgres::Row) -> Result<Totals> {
    Ok(Totals {
        deposited: row.try_get("total_deposited")?,
        wagered: row.try_get("total_wagered")?,
        won: row.try_get("total_won")?,
        withdrawn: row.try_get("total_withdrawn")?,
        session_count: row.try_get("session_count")?,
        playtime_hours: row.try_get("playtime_hours")?,
        bets: row.try_get("total_bets")?,
        last_deposit_date: row.try_get("last_deposit_date")?,
    })
}

pub(crate) fn segment_of(row: &tokio_postgres::Row) -> Result<Option<Segment>> {
    let text: Option<&str> = row.try_get("segment")?;
    text.map(|text| Segment::parse(text).ok_or_else(|| Error::Row(format!("segment {text:?}"))))
        .transpose()
}
