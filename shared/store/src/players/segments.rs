//! The players' segments and their history.
//!
//! # Choices
//!
//! * The segment has a table of its own (`player_segments`): a first classification is an insert rather than an update
//!   of a row just written, and the index by segment does not slow writes of players.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::players::totals::{TOTALS, totals_of};
use crate::row::{optional_word, player_id};
use crate::statement::{self, text};
use domain::id::{PlayerId, RunId};
use domain::metrics::Totals;
use domain::segment::Segment;
use jiff::Timestamp;
use std::collections::HashSet;

const CLASSIFIED: &str = text!(
    "
SELECT t.player_id, ",
    TOTALS,
    ", s.segment
FROM player_totals t
LEFT JOIN player_segments s ON s.player_id = t.player_id
WHERE t.player_id = ANY($1)
ORDER BY t.player_id"
);

columns! {
    struct SegmentRow<'a> => Segments (since) {
        player_id: text = &'a PlayerId,
        segment: text = Segment,
    }
}

const SAVE: &str = text!(
    "INSERT INTO player_segments (since, ",
    Segments::NAMES,
    ")\nSELECT $1, ",
    Segments::NAMES,
    "\nFROM ",
    Segments::UNNEST,
    "
ON CONFLICT (player_id) DO UPDATE
SET segment = EXCLUDED.segment,
  since = EXCLUDED.since"
);

columns! {
    struct MoveRow<'a> => Moves (at, run_id) {
        player_id: text = &'a PlayerId,
        from_segment: text = Option<Segment>,
        to_segment: text = Segment,
    }
}

// A caller reads its clock before it waits for the player's lock, so its `now` may be earlier than the last change.
// The history must ascend: such a change gets an instant just after the last one.
const HISTORY: &str = text!(
    "
INSERT INTO segment_history (player_id, at, from_segment, to_segment, run_id)
SELECT n.player_id, greatest($1::timestamptz, last.at + interval '1 microsecond'), n.from_segment, n.to_segment, $2
FROM ",
    Moves::UNNEST,
    "
CROSS JOIN LATERAL (
  SELECT max(at) AS at
  FROM segment_history
  WHERE player_id = n.player_id
) AS last"
);

const CHANGED_BY: &str = "
SELECT player_id
FROM segment_history
WHERE player_id BETWEEN $2 AND $3
  AND run_id = $1
  AND from_segment IS NOT NULL";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[CLASSIFIED, SAVE, HISTORY, CHANGED_BY];

/// What the classification of a player reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Classified {
    pub player_id: PlayerId,
    pub totals: Totals,
    /// `None`: not classified yet.
    pub segment: Option<Segment>,
}

pub async fn totals(executor: &impl Executor, player_ids: &[&str]) -> Result<Vec<Classified>> {
    statement::list(executor, CLASSIFIED, &[&player_ids], |row| {
        Ok(Classified {
            player_id: player_id(row)?,
            totals: totals_of(row, 1)?,
            segment: optional_word(row, "segment")?,
        })
    })
    .await
}

/// A change of a player's segment.
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
    let segments: Segments<'_> = changes
        .iter()
        .map(|change| SegmentRow {
            player_id: &change.player_id,
            segment: change.to,
        })
        .collect();
    statement::execute(tx, SAVE, &segments.params([&now])).await?;
    let moves: Moves<'_> = changes
        .iter()
        .map(|change| MoveRow {
            player_id: &change.player_id,
            from_segment: change.from,
            to_segment: change.to,
        })
        .collect();
    statement::execute(tx, HISTORY, &moves.params([&now, &run_id.map(|id| id.0)])).await?;
    Ok(())
}

/// The players in a range of ids whom a run moved from one segment to another. First classifications are left out.
pub async fn changed_by(executor: &impl Executor, run_id: RunId, first: &str, last: &str) -> Result<HashSet<String>> {
    statement::list(executor, CHANGED_BY, &[&run_id.0, &first, &last], |row| {
        Ok(row.try_get("player_id")?)
    })
    .await
}
