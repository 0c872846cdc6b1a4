//! Shards of runs. A worker locks the shard first, then its players.

use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::row::{optional_id, word};
use crate::statement;
use domain::id::{RuleId, RunId};
use domain::run::{Rewards, RunKind, Scope};
use jiff::Timestamp;
use rust_decimal::Decimal;

const LOCK: &str = "
SELECT s.first_player_id, s.last_player_id, s.segmented_at, s.rewarded_at, s.failed_at, r.scope, r.rewards, r.kind,
  r.rule_id, r.reason, r.created_by
FROM run_shards s
JOIN runs r ON r.run_id = s.run_id
WHERE s.run_id = $1
  AND s.shard = $2
FOR UPDATE OF s";

// The range is given for both tables, because the planner does not infer it across the join. A cached plan would
// otherwise read every player for each shard.
const LOCK_LISTED: &str = "
SELECT p.player_id
FROM run_players l
JOIN players p ON p.player_id = l.player_id
WHERE l.run_id = $1
  AND l.player_id BETWEEN $2 AND $3
  AND p.player_id BETWEEN $2 AND $3
  AND l.changed
ORDER BY l.player_id
FOR NO KEY UPDATE OF p";

const LOCK_RANGE: &str = "
SELECT player_id
FROM players
WHERE player_id BETWEEN $1 AND $2
ORDER BY player_id
FOR NO KEY UPDATE";

// The caller reads again under the lock which of their grants are open.
const LOCK_HOLDERS: &str = "
SELECT p.player_id
FROM players p
WHERE p.player_id BETWEEN $1 AND $2
  AND EXISTS (
    SELECT
    FROM grants g
    WHERE g.player_id = p.player_id
      AND g.player_id BETWEEN $1 AND $2
      AND g.rule_id = $3
      AND g.status IN ('PENDING', 'ACTIVE')
  )
ORDER BY p.player_id
FOR NO KEY UPDATE OF p";

const SEGMENTED: &str = "
UPDATE run_shards
SET segmented_at = $3,
  players = $4,
  segments_changed = $5
WHERE run_id = $1
  AND shard = $2";

const REWARDED: &str = "
UPDATE run_shards
SET rewarded_at = $3,
  matched = $4,
  granted = $5,
  reduced = $6,
  refused = $7,
  cost = $8,
  revoked = $9,
  taken_back = $10,
  players = $11
WHERE run_id = $1
  AND shard = $2";

const FAILED: &str = "
UPDATE run_shards
SET failed_at = $3,
  error = $4
WHERE run_id = $1
  AND shard = $2
  AND failed_at IS NULL
  AND rewarded_at IS NULL";

// The last shard ends the run.
const DONE: &str = "
UPDATE runs
SET shards_done = shards_done + 1,
  status = CASE
    WHEN shards_done + 1 < shards_total THEN status
    WHEN EXISTS (SELECT FROM run_shards s WHERE s.run_id = $1 AND s.failed_at IS NOT NULL) THEN 'COMPLETED_WITH_ERRORS'
    ELSE 'COMPLETED'
  END,
  finished_at = CASE WHEN shards_done + 1 < shards_total THEN NULL ELSE $2::timestamptz END
WHERE run_id = $1";

const OPEN: &str = "
SELECT shard
FROM run_shards
WHERE run_id = $1
  AND segmented_at IS NULL
  AND failed_at IS NULL
ORDER BY shard";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    LOCK,
    LOCK_LISTED,
    LOCK_RANGE,
    LOCK_HOLDERS,
    SEGMENTED,
    REWARDED,
    FAILED,
    DONE,
    OPEN,
];

/// A locked shard with what it needs of its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    pub run_id: RunId,
    pub shard: i32,
    pub kind: RunKind,
    pub scope: Scope,
    pub rewards: Rewards,
    /// The run's one rule, if it has one.
    pub rule_id: Option<RuleId>,
    pub reason: Option<String>,
    pub created_by: String,
    pub first_player_id: String,
    pub last_player_id: String,
    pub segmented: bool,
    pub rewarded: bool,
    pub failed: bool,
}

/// Locks the shard, so that two workers with the same message take turns.
pub async fn lock(tx: &Tx<'_>, run_id: RunId, shard: i32) -> Result<Option<Shard>> {
    let Some(row) = statement::optional_row(tx, LOCK, &[&run_id.0, &shard]).await? else {
        return Ok(None);
    };
    let is_set = |column: &str| row.try_get::<_, Option<Timestamp>>(column).map(|at| at.is_some());
    Ok(Some(Shard {
        run_id,
        shard,
        kind: word(&row, "kind")?,
        scope: word(&row, "scope")?,
        rewards: super::rewards(&row)?,
        rule_id: optional_id(&row, "rule_id")?,
        reason: row.try_get("reason")?,
        created_by: row.try_get("created_by")?,
        first_player_id: row.try_get("first_player_id")?,
        last_player_id: row.try_get("last_player_id")?,
        segmented: is_set("segmented_at")?,
        rewarded: is_set("rewarded_at")?,
        failed: is_set("failed_at")?,
    }))
}

/// Locks the shard's players, ordered by id, and returns their ids.
pub async fn lock_players(tx: &Tx<'_>, shard: &Shard) -> Result<Vec<String>> {
    let (first, last) = (&shard.first_player_id, &shard.last_player_id);
    let rows = match shard.scope {
        Scope::Listed => statement::rows(tx, LOCK_LISTED, &[&shard.run_id.0, first, last]).await?,
        Scope::All => statement::rows(tx, LOCK_RANGE, &[first, last]).await?,
        Scope::Holders => {
            statement::rows(
                tx,
                LOCK_HOLDERS,
                &[first, last, &shard.rule_id.as_ref().map(RuleId::as_str)],
            )
            .await?
        }
    };
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

pub async fn segmented(tx: &Tx<'_>, shard: &Shard, players: usize, changed: usize, now: Timestamp) -> Result<()> {
    statement::execute(
        tx,
        SEGMENTED,
        &[&shard.run_id.0, &shard.shard, &now, &count(players), &count(changed)],
    )
    .await?;
    Ok(())
}

/// The totals of one shard: rewards granted or revoked.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RewardTotals {
    /// Players for whom a rule matched.
    pub matched: usize,
    pub granted: usize,
    /// Granted with a reduced amount; part of `granted`.
    pub reduced: usize,
    /// Refused decisions, which may be several per player.
    pub refused: usize,
    /// The expected cost, in money.
    pub cost: Decimal,
    /// Grants that a revocation cancelled.
    pub revoked: usize,
    /// The bonus money that the revoked grants still held.
    pub taken_back: Decimal,
    /// Players that were evaluated.
    pub players: usize,
}

impl RewardTotals {
    pub fn add(&mut self, other: &RewardTotals) {
        self.matched += other.matched;
        self.granted += other.granted;
        self.reduced += other.reduced;
        self.refused += other.refused;
        self.cost += other.cost;
        self.revoked += other.revoked;
        self.taken_back += other.taken_back;
        self.players += other.players;
    }
}

pub async fn rewarded(tx: &Tx<'_>, shard: &Shard, totals: &RewardTotals, now: Timestamp) -> Result<()> {
    let params: statement::Params<'_> = &[
        &shard.run_id.0,
        &shard.shard,
        &now,
        &count(totals.matched),
        &count(totals.granted),
        &count(totals.reduced),
        &count(totals.refused),
        &totals.cost,
        &count(totals.revoked),
        &totals.taken_back,
        &count(totals.players),
    ];
    statement::execute(tx, REWARDED, params).await?;
    Ok(())
}

/// Marks a shard that can never succeed. Returns whether it was open until now.
pub async fn failed(tx: &Tx<'_>, run_id: RunId, shard: i32, error: &str, now: Timestamp) -> Result<bool> {
    Ok(statement::execute(tx, FAILED, &[&run_id.0, &shard, &now, &error]).await? == 1)
}

/// Counts one shard as done; the last one ends the run. Call it once per shard, last in its transaction: every shard
/// updates this row.
pub async fn done(tx: &Tx<'_>, run_id: RunId, now: Timestamp) -> Result<()> {
    statement::execute(tx, DONE, &[&run_id.0, &now]).await?;
    Ok(())
}

/// The shards that are neither segmented nor failed.
pub async fn open(executor: &impl Executor, run_id: RunId) -> Result<Vec<i32>> {
    statement::list(executor, OPEN, &[&run_id.0], |row| Ok(row.try_get(0)?)).await
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
