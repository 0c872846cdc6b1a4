//! Simulations that are runs: the input, the current attempt, and the report.
//!
//! One worker reads all players. The shards of its run only count progress: the message of shard 0 drives the pass,
//! and shard 0 is done when the report is stored. The other shards are done as the pass proceeds.

use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::row::id;
use crate::statement;
use domain::id::{RuleId, RunId};
use jiff::Timestamp;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_postgres::types::Json;

const ADD: &str = "
INSERT INTO simulations (run_id, draft, within)
VALUES ($1, $2, $3)";

const LOCK: &str = "
SELECT s.attempt, s.draft, s.within, s.ended_at IS NOT NULL AS ended, r.rule_id, r.shards_total
FROM simulations s
JOIN runs r ON r.run_id = s.run_id
WHERE s.run_id = $1
FOR UPDATE OF s";

const BEGIN: &str = "
UPDATE simulations
SET attempt = $2
WHERE run_id = $1";

const BEGIN_SHARDS: &str = "
UPDATE run_shards
SET rewarded_at = NULL,
  players = 0
WHERE run_id = $1
  AND (rewarded_at IS NOT NULL OR players > 0)";

const BEGIN_RUN: &str = "
UPDATE runs
SET shards_done = 0
WHERE run_id = $1";

// One statement, so that a connection outside a transaction suffices. A newer attempt holds or has changed the row
// that `mine` locks; then `mine` is empty.
const PROGRESS: &str = "
WITH mine AS (
  SELECT run_id
  FROM simulations
  WHERE run_id = $1
    AND attempt = $2
    AND ended_at IS NULL
  FOR UPDATE
), passed AS (
  UPDATE run_shards AS s
  SET rewarded_at = CASE WHEN s.shard > 0 THEN $4::timestamptz END,
    players = CASE WHEN s.shard > 0 THEN 0 ELSE $5 END
  FROM mine
  WHERE s.run_id = mine.run_id
    AND s.shard <= $3
    AND s.rewarded_at IS NULL
)
UPDATE runs AS r
SET shards_done = $3
FROM mine
WHERE r.run_id = mine.run_id";

const END: &str = "
UPDATE simulations
SET report = $3,
  ended_at = $4
WHERE run_id = $1
  AND attempt = $2
  AND ended_at IS NULL";

const END_SHARDS: &str = "
UPDATE run_shards
SET rewarded_at = $2,
  players = CASE WHEN shard = 0 THEN $3 ELSE players END
WHERE run_id = $1
  AND rewarded_at IS NULL";

const END_RUN: &str = "
UPDATE runs
SET shards_done = shards_total,
  status = 'COMPLETED',
  finished_at = $2
WHERE run_id = $1";

const IS_ONE: &str = "
SELECT EXISTS (SELECT FROM simulations WHERE run_id = $1)";

const FAIL: &str = "
UPDATE simulations
SET ended_at = $2
WHERE run_id = $1
  AND ended_at IS NULL";

const FAIL_SHARD: &str = "
UPDATE run_shards
SET failed_at = $2,
  error = $3
WHERE run_id = $1
  AND shard = 0";

const FAIL_RUN: &str = "
UPDATE runs
SET status = 'FAILED',
  finished_at = $2
WHERE run_id = $1";

const GET: &str = "
SELECT s.report, s.ended_at IS NOT NULL AS ended, f.error
FROM simulations s
JOIN run_shards f ON f.run_id = s.run_id
WHERE s.run_id = $1
  AND f.shard = 0";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    ADD,
    LOCK,
    BEGIN,
    BEGIN_SHARDS,
    BEGIN_RUN,
    PROGRESS,
    END,
    END_SHARDS,
    END_RUN,
    IS_ONE,
    FAIL,
    FAIL_SHARD,
    FAIL_RUN,
    GET,
];

/// Adds the simulation of a run, in the transaction that creates the run. Without a `draft`, the run's saved rule is
/// simulated.
pub async fn add(tx: &Tx<'_>, run_id: RunId, draft: Option<&Value>, within: &str) -> Result<()> {
    statement::execute(tx, ADD, &[&run_id.0, &draft, &within]).await?;
    Ok(())
}

/// A simulation that has not ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Pending {
    pub rule_id: RuleId,
    pub draft: Option<Value>,
    pub within: String,
    /// The number of attempts so far.
    pub attempt: i32,
    pub shards_total: i32,
}

/// Locks the simulation. Returns `None` when it has ended or does not exist.
pub async fn lock(tx: &Tx<'_>, run_id: RunId) -> Result<Option<Pending>> {
    let Some(row) = statement::optional_row(tx, LOCK, &[&run_id.0]).await? else {
        return Ok(None);
    };
    if row.try_get("ended")? {
        return Ok(None);
    }
    Ok(Some(Pending {
        rule_id: id(&row, "rule_id")?,
        draft: row.try_get("draft")?,
        within: row.try_get("within")?,
        attempt: row.try_get("attempt")?,
        shards_total: row.try_get("shards_total")?,
    }))
}

/// Starts a new attempt of a locked simulation. Earlier attempts can no longer save anything.
pub async fn begin(tx: &Tx<'_>, run_id: RunId, attempt: i32) -> Result<()> {
    statement::execute(tx, BEGIN, &[&run_id.0, &attempt]).await?;
    statement::execute(tx, BEGIN_SHARDS, &[&run_id.0]).await?;
    statement::execute(tx, BEGIN_RUN, &[&run_id.0]).await?;
    Ok(())
}

/// Saves an attempt's progress: `shards_done`, fewer than all, and `players`. Returns whether the attempt is still the
/// current one.
pub async fn progress(
    executor: &impl Executor,
    run_id: RunId,
    attempt: i32,
    shards_done: i32,
    players: i32,
    now: Timestamp,
) -> Result<bool> {
    Ok(statement::execute(executor, PROGRESS, &[&run_id.0, &attempt, &shards_done, &now, &players]).await? == 1)
}

/// Stores the report and completes the run. Returns false, and stores nothing, when the attempt is no longer the
/// current one.
pub async fn end(
    tx: &Tx<'_>,
    run_id: RunId,
    attempt: i32,
    report: &RawValue,
    players: i32,
    now: Timestamp,
) -> Result<bool> {
    if statement::execute(tx, END, &[&run_id.0, &attempt, &Json(report), &now]).await? == 0 {
        return Ok(false);
    }
    statement::execute(tx, END_SHARDS, &[&run_id.0, &now, &players]).await?;
    statement::execute(tx, END_RUN, &[&run_id.0, &now]).await?;
    Ok(true)
}

/// Whether the run is a simulation.
pub async fn is_one(executor: &impl Executor, run_id: RunId) -> Result<bool> {
    Ok(statement::row(executor, IS_ONE, &[&run_id.0]).await?.try_get(0)?)
}

/// Fails the simulation and its run, whichever attempt is current. One that has ended is left as it is.
pub async fn fail(tx: &Tx<'_>, run_id: RunId, error: &str, now: Timestamp) -> Result<()> {
    if statement::execute(tx, FAIL, &[&run_id.0, &now]).await? == 1 {
        statement::execute(tx, FAIL_SHARD, &[&run_id.0, &now, &error]).await?;
        statement::execute(tx, FAIL_RUN, &[&run_id.0, &now]).await?;
    }
    Ok(())
}

/// The outcome of a simulation.
#[derive(Debug, Clone)]
pub enum Outcome {
    Pending,
    /// The report as it was stored.
    Reported(Box<RawValue>),
    Failed(String),
}

pub async fn get(executor: &impl Executor, run_id: RunId) -> Result<Option<Outcome>> {
    let Some(row) = statement::optional_row(executor, GET, &[&run_id.0]).await? else {
        return Ok(None);
    };
    let report: Option<Json<Box<RawValue>>> = row.try_get("report")?;
    Ok(Some(match report {
        Some(Json(report)) => Outcome::Reported(report),
        None if row.try_get("ended")? => {
            Outcome::Failed(row.try_get::<_, Option<String>>("error")?.unwrap_or_default())
        }
        None => Outcome::Pending,
    }))
}
