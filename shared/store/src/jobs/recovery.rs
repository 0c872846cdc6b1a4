//! Runs, imports and triggers that are stuck because their message was lost. After each resend the wait before the
//! next one doubles.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::statement::{self, text};
use domain::id::{ImportId, RunId, TriggerBatchId};
use jiff::{SignedDuration, Timestamp};
use uuid::Uuid;

// The shards show when a run last made progress. Progress since the last resend resets the backoff.
const STUCK_RUNS: &str = "
SELECT run_id, resends
FROM (
  SELECT r.run_id, r.resent_at, progress.at,
    CASE WHEN progress.at > r.resent_at THEN 0::smallint ELSE r.resends END AS resends
  FROM runs r
  CROSS JOIN LATERAL (
    SELECT greatest(r.created_at, max(s.segmented_at), max(s.rewarded_at), max(s.failed_at)) AS at
    FROM run_shards s
    WHERE s.run_id = r.run_id
  ) AS progress
  WHERE r.status = 'RUNNING'
) AS running
WHERE greatest(at, resent_at) + $2::bigint * interval '1 second' * 2 ^ least(resends, 4) <= $1
ORDER BY run_id
LIMIT $3";

// The message of shard 0 drives a simulation, whichever shards are open.
const OPEN_SHARDS: &str = "
SELECT DISTINCT s.run_id, CASE r.kind WHEN 'SIMULATION' THEN 0 ELSE s.shard END AS shard,
  s.segmented_at IS NOT NULL AS segmented
FROM run_shards s
JOIN runs r ON r.run_id = s.run_id
WHERE s.run_id = ANY($1)
  AND s.failed_at IS NULL
  AND s.rewarded_at IS NULL
  AND (s.segmented_at IS NULL OR r.rewards)
ORDER BY run_id, shard";

columns! {
    struct ResentRow => Resent (now) {
        id: uuid = Uuid,
        resends: smallint = i16,
    }
}

const RUNS_RESENT: &str = text!(
    "
UPDATE runs r
SET resent_at = $1,
  resends = n.resends
FROM ",
    Resent::UNNEST,
    "
WHERE r.run_id = n.id"
);

const STUCK_IMPORTS: &str = "
SELECT import_id, resends
FROM (
  SELECT import_id, resent_at, coalesce(advanced_at, created_at) AS at,
    CASE WHEN advanced_at > resent_at THEN 0::smallint ELSE resends END AS resends
  FROM imports
  WHERE status = 'RUNNING'
) AS running
WHERE greatest(at, resent_at) + $2::bigint * interval '1 second' * 2 ^ least(resends, 4) <= $1
ORDER BY import_id
LIMIT $3";

const IMPORTS_RESENT: &str = text!(
    "
UPDATE imports i
SET resent_at = $1,
  resends = n.resends
FROM ",
    Resent::UNNEST,
    "
WHERE i.import_id = n.id"
);

const WAITING_TRIGGERS: &str = "
SELECT batch_id, max(sends) AS resends
FROM reward_triggers
WHERE evaluated_at IS NULL
  AND failed_at IS NULL
  AND coalesce(sent_at, created_at) + $2::bigint * interval '1 second' * 2 ^ least(sends, 6) <= $1
GROUP BY batch_id
ORDER BY min(created_at), batch_id
LIMIT $3";

const TRIGGERS_RESENT: &str = text!(
    "
UPDATE reward_triggers t
SET sent_at = $1,
  sends = n.resends
FROM ",
    Resent::UNNEST,
    "
WHERE t.batch_id = n.id
  AND t.evaluated_at IS NULL
  AND t.failed_at IS NULL"
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    STUCK_RUNS,
    OPEN_SHARDS,
    RUNS_RESENT,
    STUCK_IMPORTS,
    IMPORTS_RESENT,
    WAITING_TRIGGERS,
    TRIGGERS_RESENT,
];

/// Something that is stuck, and how often it was resent since it last made progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stuck<T> {
    pub id: T,
    pub resends: i16,
}

/// A shard that needs a new message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpenShard {
    pub run_id: RunId,
    pub shard: i32,
    /// Its segments are done, and its rewards are not.
    pub segmented: bool,
}

/// Running runs without progress or a resend for `patience`, which doubles with each resend, up to 16 times. At most
/// `limit`.
pub async fn stuck_runs(
    executor: &impl Executor,
    patience: SignedDuration,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Stuck<RunId>>> {
    stuck(executor, STUCK_RUNS, patience, now, limit, RunId).await
}

/// The shards of these runs that are neither done nor failed.
pub async fn open_shards(executor: &impl Executor, runs: &[RunId]) -> Result<Vec<OpenShard>> {
    let ids: Vec<Uuid> = runs.iter().map(|id| id.0).collect();
    let rows = statement::rows(executor, OPEN_SHARDS, &[&ids]).await?;
    let shard = |row: &tokio_postgres::Row| {
        Ok(OpenShard {
            run_id: RunId(row.try_get("run_id")?),
            shard: row.try_get("shard")?,
            segmented: row.try_get("segmented")?,
        })
    };
    rows.iter().map(shard).collect()
}

/// Running imports whose watermark has not moved for `patience`, which doubles as for runs. At most `limit`.
pub async fn stuck_imports(
    executor: &impl Executor,
    patience: SignedDuration,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Stuck<ImportId>>> {
    stuck(executor, STUCK_IMPORTS, patience, now, limit, ImportId).await
}

/// Batches with triggers that are not evaluated, oldest first. `patience` doubles with each resend, up to 64 times. At
/// most `limit`.
pub async fn waiting_triggers(
    executor: &impl Executor,
    patience: SignedDuration,
    now: Timestamp,
    limit: i64,
) -> Result<Vec<Stuck<TriggerBatchId>>> {
    stuck(executor, WAITING_TRIGGERS, patience, now, limit, TriggerBatchId).await
}

async fn stuck<T>(
    executor: &impl Executor,
    sql: &str,
    patience: SignedDuration,
    now: Timestamp,
    limit: i64,
    id: fn(Uuid) -> T,
) -> Result<Vec<Stuck<T>>> {
    statement::list(executor, sql, &[&now, &patience.as_secs(), &limit], |row| {
        Ok(Stuck {
            id: id(row.try_get(0)?),
            resends: row.try_get("resends")?,
        })
    })
    .await
}

/// Records that the messages of these runs were sent again.
pub async fn runs_resent(tx: &Tx<'_>, runs: &[Stuck<RunId>], now: Timestamp) -> Result<()> {
    resent(tx, RUNS_RESENT, runs, |id| id.0, now).await
}

pub async fn imports_resent(tx: &Tx<'_>, imports: &[Stuck<ImportId>], now: Timestamp) -> Result<()> {
    resent(tx, IMPORTS_RESENT, imports, |id| id.0, now).await
}

pub async fn triggers_resent(tx: &Tx<'_>, batches: &[Stuck<TriggerBatchId>], now: Timestamp) -> Result<()> {
    resent(tx, TRIGGERS_RESENT, batches, |id| id.0, now).await
}

async fn resent<T: Copy>(tx: &Tx<'_>, sql: &str, stuck: &[Stuck<T>], id: fn(T) -> Uuid, now: Timestamp) -> Result<()> {
    if stuck.is_empty() {
        return Ok(());
    }
    let rows: Resent = stuck
        .iter()
        .map(|stuck| ResentRow {
            id: id(stuck.id),
            resends: stuck.resends.saturating_add(1),
        })
        .collect();
    statement::execute(tx, sql, &rows.params([&now])).await?;
    Ok(())
}
