//! Runs: one fan-out over players, cut into shards that are ranges of player ids.

pub mod triggers;

use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::statement;
use domain::id::{RuleId, RunId};
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;

const CREATE: &str = "
INSERT INTO runs (run_id, kind, scope, rewards, status, shards_total, created_at, created_by, finished_at, rule_id, reason)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

const CUT_LISTED: &str = "
INSERT INTO run_shards (run_id, shard, first_player_id, last_player_id)
SELECT $1, shard, min(player_id), max(player_id)
FROM (
  SELECT player_id, (row_number() OVER (ORDER BY player_id) - 1) / $2::integer AS shard
  FROM run_players
  WHERE run_id = $1
    AND changed
) AS listed
GROUP BY shard";

const CUT_ALL: &str = "
INSERT INTO run_shards (run_id, shard, first_player_id, last_player_id)
SELECT $1, shard, min(player_id), max(player_id)
FROM (
  SELECT player_id, (row_number() OVER (ORDER BY player_id) - 1) / $2::integer AS shard
  FROM players
) AS everyone
GROUP BY shard";

// Each holder once, however many of the rule's grants are open.
const CUT_HOLDERS: &str = "
INSERT INTO run_shards (run_id, shard, first_player_id, last_player_id)
SELECT $1, shard, min(player_id), max(player_id)
FROM (
  SELECT player_id, (row_number() OVER (ORDER BY player_id) - 1) / $2::integer AS shard
  FROM grants
  WHERE rule_id = $3
    AND status IN ('PENDING', 'ACTIVE')
  GROUP BY player_id
) AS holders
GROUP BY shard";

const SKIP_SEGMENTS: &str = "
UPDATE run_shards
SET segmented_at = $2
WHERE run_id = $1";

const LIST_PLAYERS: &str = "
INSERT INTO run_players (run_id, player_id, changed)
SELECT $1, player_id, true
FROM unnest($2::text[]) AS n (player_id)";

const LOCK_SHARD: &str = "
SELECT s.first_player_id, s.last_player_id, s.segmented_at, s.rewarded_at, s.failed_at, r.scope, r.rewards, r.kind,
  r.rule_id, r.reason, r.created_by
FROM run_shards s
JOIN runs r ON r.run_id = s.run_id
WHERE s.run_id = $1
  AND s.shard = $2
FOR UPDATE OF s";

// The range stands for both tables: from one alone the planner would not know that it bounds the other, and a plan made once
// for all shards would read every player for each.
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

// Which of their grants are open is read again under the lock.
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

const SHARD_FAILED: &str = "
UPDATE run_shards
SET failed_at = $3,
  error = $4
WHERE run_id = $1
  AND shard = $2
  AND failed_at IS NULL
  AND rewarded_at IS NULL";

// The last shard ends the run.
const SHARD_DONE: &str = "
UPDATE runs
SET shards_done = shards_done + 1,
  status = CASE
    WHEN shards_done + 1 < shards_total THEN status
    WHEN EXISTS (SELECT FROM run_shards s WHERE s.run_id = $1 AND s.failed_at IS NOT NULL) THEN 'COMPLETED_WITH_ERRORS'
    ELSE 'COMPLETED'
  END,
  finished_at = CASE WHEN shards_done + 1 < shards_total THEN NULL ELSE $2::timestamptz END
WHERE run_id = $1";

/// What the shards of the run `r` come to.
macro_rules! totals {
    () => {
        "
CROSS JOIN LATERAL (
  SELECT coalesce(sum(players), 0)::bigint AS players,
    coalesce(sum(segments_changed), 0)::bigint AS segments_changed,
    coalesce(sum(matched), 0)::bigint AS matched,
    coalesce(sum(granted), 0)::bigint AS granted,
    coalesce(sum(reduced), 0)::bigint AS reduced,
    coalesce(sum(refused), 0)::bigint AS refused,
    coalesce(sum(cost), 0) AS cost,
    coalesce(sum(revoked), 0)::bigint AS revoked,
    coalesce(sum(taken_back), 0) AS taken_back,
    count(segmented_at) AS shards_segmented,
    count(failed_at) AS shards_failed,
    min(error) AS error
  FROM run_shards s
  WHERE s.run_id = r.run_id
) AS t"
    };
}

const GET: &str = concat!(
    "
SELECT r.*, t.*
FROM runs r",
    totals!(),
    "
WHERE r.run_id = $1"
);

const LIST: &str = concat!(
    "
SELECT r.*, t.*
FROM (
  SELECT *
  FROM runs
  WHERE $1::text IS NULL OR status = $1
  ORDER BY run_id DESC
  OFFSET $2
  LIMIT $3
) AS r",
    totals!(),
    "
ORDER BY r.run_id DESC"
);

const OPEN_SHARDS: &str = "
SELECT shard
FROM run_shards
WHERE run_id = $1
  AND segmented_at IS NULL
  AND failed_at IS NULL
ORDER BY shard";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    CREATE,
    CUT_LISTED,
    CUT_ALL,
    CUT_HOLDERS,
    SKIP_SEGMENTS,
    LIST_PLAYERS,
    LOCK_SHARD,
    LOCK_LISTED,
    LOCK_RANGE,
    LOCK_HOLDERS,
    SEGMENTED,
    REWARDED,
    SHARD_FAILED,
    SHARD_DONE,
    GET,
    LIST,
    OPEN_SHARDS,
];

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($variant),+ }

        impl $name {
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|word| word.as_str() == text)
            }
        }
    };
}

words!(/// What started the run.
RunKind {
    Import = "IMPORT",
    Recalculation = "RECALCULATION",
    Batch = "BATCH",
    Evaluation = "EVALUATION",
    Revocation = "REVOCATION",
    Simulation = "SIMULATION",
});
words!(/// Which players it goes over: everybody, those of a list, or those who hold an open grant of the run's rule.
    Scope { All = "ALL", Listed = "LISTED", Holders = "HOLDERS" });
words!(/// Whether rewards are evaluated after the segments.
    Rewards { Evaluate = "EVALUATE", Skip = "SKIP" });
words!(/// Where it stands.
    RunStatus { Running = "RUNNING", Completed = "COMPLETED", CompletedWithErrors = "COMPLETED_WITH_ERRORS", Failed = "FAILED" });

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    pub run_id: RunId,
    pub kind: RunKind,
    pub scope: Scope,
    pub rewards: Rewards,
    pub created_by: String,
    pub created_at: Timestamp,
    /// Of an evaluation, a revocation or a simulation, which are about one rule. Their shards are born segmented: whatever queue their
    /// messages come through, segments stay as they are.
    pub rule_id: Option<RuleId>,
    /// Why, where a person has to say so.
    pub reason: Option<String>,
}

/// Writes the run and cuts it into shards of at most `shard_players`. Answers the number of shards; a run over nobody
/// is complete at once. For a listed run the players are in `run_players` already.
pub async fn create(tx: &Tx<'_>, run: &NewRun, shard_players: i32) -> Result<i32> {
    let rule_id = run.rule_id.as_ref().map(RuleId::as_str);
    let shards = match run.scope {
        Scope::All => statement::execute(tx, CUT_ALL, &[&run.run_id.0, &shard_players]).await?,
        Scope::Listed => statement::execute(tx, CUT_LISTED, &[&run.run_id.0, &shard_players]).await?,
        Scope::Holders => statement::execute(tx, CUT_HOLDERS, &[&run.run_id.0, &shard_players, &rule_id]).await?,
    };
    if rule_id.is_some() {
        statement::execute(tx, SKIP_SEGMENTS, &[&run.run_id.0, &run.created_at]).await?;
    }
    let shards = i32::try_from(shards).map_err(|_| Error::Row(format!("{shards} shards")))?;
    let rewards = run.rewards == Rewards::Evaluate;
    let (status, finished_at) = match shards {
        0 => (RunStatus::Completed, Some(run.created_at)),
        _ => (RunStatus::Running, None),
    };
    let params: statement::Params<'_> = &[
        &run.run_id.0,
        &run.kind.as_str(),
        &run.scope.as_str(),
        &rewards,
        &status.as_str(),
        &shards,
        &run.created_at,
        &run.created_by,
        &finished_at,
        &rule_id,
        &run.reason,
    ];
    statement::execute(tx, CREATE, params).await?;
    Ok(shards)
}

/// The players of a listed run. `player_ids` holds each once.
pub async fn list_players(tx: &Tx<'_>, run_id: RunId, player_ids: &[&str]) -> Result<()> {
    statement::execute(tx, LIST_PLAYERS, &[&run_id.0, &player_ids]).await?;
    Ok(())
}

/// One range of a run, locked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    pub run_id: RunId,
    pub shard: i32,
    pub kind: RunKind,
    pub scope: Scope,
    pub rewards: Rewards,
    /// Of the run: the one rule that it is about.
    pub rule_id: Option<RuleId>,
    pub reason: Option<String>,
    pub created_by: String,
    pub first_player_id: String,
    pub last_player_id: String,
    pub segmented: bool,
    pub rewarded: bool,
    pub failed: bool,
}

/// Locks the shard, so that the same message in two workers is worked on by one after the other.
pub async fn lock_shard(tx: &Tx<'_>, run_id: RunId, shard: i32) -> Result<Option<Shard>> {
    let Some(row) = statement::optional_row(tx, LOCK_SHARD, &[&run_id.0, &shard]).await? else {
        return Ok(None);
    };
    let is_set = |column: &str| row.try_get::<_, Option<Timestamp>>(column).map(|at| at.is_some());
    Ok(Some(Shard {
        run_id,
        shard,
        kind: word(&row, "kind", RunKind::parse)?,
        scope: word(&row, "scope", Scope::parse)?,
        rewards: if row.try_get("rewards")? {
            Rewards::Evaluate
        } else {
            Rewards::Skip
        },
        rule_id: rule_id(&row)?,
        reason: row.try_get("reason")?,
        created_by: row.try_get("created_by")?,
        first_player_id: row.try_get("first_player_id")?,
        last_player_id: row.try_get("last_player_id")?,
        segmented: is_set("segmented_at")?,
        rewarded: is_set("rewarded_at")?,
        failed: is_set("failed_at")?,
    }))
}

/// Locks the shard's players in order of id and answers their ids.
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

/// What the rewards of one shard came to, given or taken back.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RewardTotals {
    /// Players for whom a rule matched.
    pub matched: usize,
    pub granted: usize,
    /// Of the granted.
    pub reduced: usize,
    /// Decisions, not players.
    pub refused: usize,
    /// Expected, in money.
    pub cost: Decimal,
    /// Grants that a revocation cancelled.
    pub revoked: usize,
    /// Bonus money that they still held.
    pub taken_back: Decimal,
    /// Who were looked at.
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

/// Marks a shard that can never succeed; answers whether it was open until now.
pub async fn shard_failed(tx: &Tx<'_>, run_id: RunId, shard: i32, error: &str, now: Timestamp) -> Result<bool> {
    Ok(statement::execute(tx, SHARD_FAILED, &[&run_id.0, &shard, &now, &error]).await? == 1)
}

/// Counts one shard as done; the last one ends the run. Call it once per shard, last in its transaction: every shard
/// writes this row.
pub async fn shard_done(tx: &Tx<'_>, run_id: RunId, now: Timestamp) -> Result<()> {
    statement::execute(tx, SHARD_DONE, &[&run_id.0, &now]).await?;
    Ok(())
}

/// The shards whose segments are still to be done.
pub async fn open_shards(executor: &impl Executor, run_id: RunId) -> Result<Vec<i32>> {
    let rows = statement::rows(executor, OPEN_SHARDS, &[&run_id.0]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// A run with the totals of its shards.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub run_id: RunId,
    pub kind: RunKind,
    pub scope: Scope,
    pub rewards: Rewards,
    pub status: RunStatus,
    pub shards_total: i32,
    pub shards_done: i32,
    pub shards_segmented: i64,
    pub shards_failed: i64,
    pub players: i64,
    pub segments_changed: i64,
    pub matched: i64,
    pub granted: i64,
    pub reduced: i64,
    pub refused: i64,
    pub cost: Decimal,
    pub revoked: i64,
    pub taken_back: Decimal,
    pub rule_id: Option<RuleId>,
    pub reason: Option<String>,
    /// Of a failed shard.
    pub error: Option<String>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

pub async fn get(executor: &impl Executor, run_id: RunId) -> Result<Option<Run>> {
    statement::optional_row(executor, GET, &[&run_id.0])
        .await?
        .as_ref()
        .map(run)
        .transpose()
}

/// Newest first.
pub async fn list(executor: &impl Executor, status: Option<RunStatus>, skip: i64, limit: i64) -> Result<Vec<Run>> {
    let status = status.map(RunStatus::as_str);
    statement::rows(executor, LIST, &[&status, &skip, &limit])
        .await?
        .iter()
        .map(run)
        .collect()
}

fn run(row: &Row) -> Result<Run> {
    Ok(Run {
        run_id: RunId(row.try_get("run_id")?),
        kind: word(row, "kind", RunKind::parse)?,
        scope: word(row, "scope", Scope::parse)?,
        rewards: if row.try_get("rewards")? {
            Rewards::Evaluate
        } else {
            Rewards::Skip
        },
        status: word(row, "status", RunStatus::parse)?,
        shards_total: row.try_get("shards_total")?,
        shards_done: row.try_get("shards_done")?,
        shards_segmented: row.try_get("shards_segmented")?,
        shards_failed: row.try_get("shards_failed")?,
        players: row.try_get("players")?,
        segments_changed: row.try_get("segments_changed")?,
        matched: row.try_get("matched")?,
        granted: row.try_get("granted")?,
        reduced: row.try_get("reduced")?,
        refused: row.try_get("refused")?,
        cost: row.try_get("cost")?,
        revoked: row.try_get("revoked")?,
        taken_back: row.try_get("taken_back")?,
        rule_id: rule_id(row)?,
        reason: row.try_get("reason")?,
        error: row.try_get("error")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
    })
}

fn rule_id(row: &Row) -> Result<Option<RuleId>> {
    let text: Option<String> = row.try_get("rule_id")?;
    text.map(|text| RuleId::parse(text).map_err(|error| Error::Row(format!("rule id: {error}"))))
        .transpose()
}

fn word<T>(row: &Row, column: &str, parse: fn(&str) -> Option<T>) -> Result<T> {
    let text: &str = row.try_get(column)?;
    parse(text).ok_or_else(|| Error::Row(format!("{column} {text:?}")))
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
