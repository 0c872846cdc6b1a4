//! Runs: one operation over many players, split into shards that are ranges of player ids.

pub mod shards;
pub mod triggers;

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::row::{optional_id, word};
use crate::statement::{self, text};
use domain::id::{RuleId, RunId};
use domain::run::{Rewards, RunKind, RunStatus, Scope};
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;

columns! {
    struct RunRow<'a> => Runs () {
        run_id: uuid = RunId,
        kind: text = RunKind,
        scope: text = Scope,
        rewards: boolean = bool,
        status: text = RunStatus,
        shards_total: integer = i32,
        created_at: timestamptz = Timestamp,
        created_by: text = &'a str,
        finished_at: timestamptz = Option<Timestamp>,
        rule_id: text = Option<&'a RuleId>,
        reason: text = Option<&'a str>,
    }
}

const CREATE: &str = text!("INSERT INTO runs (", Runs::NAMES, ")\n", Runs::SELECT);

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

// GROUP BY: a holder may have several open grants of the rule.
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

const COLUMNS: &str = "r.run_id, r.kind, r.scope, r.rewards, r.status, r.shards_total, r.shards_done, r.rule_id, \
                       r.reason, r.created_by, r.created_at, r.finished_at, t.players, t.segments_changed, t.matched, \
                       t.granted, t.reduced, t.refused, t.cost, t.revoked, t.taken_back, t.shards_segmented, \
                       t.shards_failed, t.error";

/// The totals of the shards of the run `r`.
const TOTALS: &str = "
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
) AS t";

const GET: &str = text!(
    "SELECT ",
    COLUMNS,
    "
FROM runs r",
    TOTALS,
    "
WHERE r.run_id = $1"
);

const LIST: &str = text!(
    "SELECT ",
    COLUMNS,
    "
FROM (
  SELECT run_id, kind, scope, rewards, status, shards_total, shards_done, rule_id, reason, created_by, created_at,
    finished_at
  FROM runs
  WHERE $1::text IS NULL OR status = $1
  ORDER BY run_id DESC
  OFFSET $2
  LIMIT $3
) AS r",
    TOTALS,
    "
ORDER BY r.run_id DESC"
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    CREATE,
    CUT_LISTED,
    CUT_ALL,
    CUT_HOLDERS,
    SKIP_SEGMENTS,
    LIST_PLAYERS,
    GET,
    LIST,
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRun {
    pub run_id: RunId,
    pub kind: RunKind,
    pub scope: Scope,
    pub rewards: Rewards,
    pub created_by: String,
    pub created_at: Timestamp,
    /// For an evaluation, a revocation or a simulation: its one rule. The shards of such a run start as segmented, so
    /// segments never change, whichever queue delivers their messages.
    pub rule_id: Option<RuleId>,
    /// The reason, where a person must give one.
    pub reason: Option<String>,
}

/// Inserts the run and splits it into shards of at most `shard_players` players. Returns the number of shards. A run
/// without players is complete at once. The players of a listed run must be in `run_players` already.
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
    let shards = i32::try_from(shards).map_err(Error::ShardsMax)?;
    let (status, finished_at) = match shards {
        0 => (RunStatus::Completed, Some(run.created_at)),
        _ => (RunStatus::Running, None),
    };
    let created = RunRow {
        run_id: run.run_id,
        kind: run.kind,
        scope: run.scope,
        rewards: run.rewards == Rewards::Evaluate,
        status,
        shards_total: shards,
        created_at: run.created_at,
        created_by: &run.created_by,
        finished_at,
        rule_id: run.rule_id.as_ref(),
        reason: run.reason.as_deref(),
    };
    statement::execute(tx, CREATE, &Runs::from_iter([created]).params([])).await?;
    Ok(shards)
}

/// Adds the players of a listed run. `player_ids` names each player once.
pub async fn list_players(tx: &Tx<'_>, run_id: RunId, player_ids: &[&str]) -> Result<()> {
    statement::execute(tx, LIST_PLAYERS, &[&run_id.0, &player_ids]).await?;
    Ok(())
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
    /// The error of a failed shard.
    pub error: Option<String>,
    pub created_by: String,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

pub async fn get(executor: &impl Executor, run_id: RunId) -> Result<Option<Run>> {
    statement::optional(executor, GET, &[&run_id.0], run).await
}

/// Newest first.
pub async fn list(executor: &impl Executor, status: Option<RunStatus>, skip: i64, limit: i64) -> Result<Vec<Run>> {
    let status = status.map(RunStatus::as_str);
    statement::list(executor, LIST, &[&status, &skip, &limit], run).await
}

fn run(row: &Row) -> Result<Run> {
    Ok(Run {
        run_id: RunId(row.try_get("run_id")?),
        kind: word(row, "kind")?,
        scope: word(row, "scope")?,
        rewards: rewards(row)?,
        status: word(row, "status")?,
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
        rule_id: optional_id(row, "rule_id")?,
        reason: row.try_get("reason")?,
        error: row.try_get("error")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
    })
}

fn rewards(row: &Row) -> Result<Rewards> {
    Ok(if row.try_get("rewards")? {
        Rewards::Evaluate
    } else {
        Rewards::Skip
    })
}
