//! Scheduled runs of jobs and their progress. A worker holds a claim on the run it works on. When a claim is not
//! renewed in time, another worker may take the run.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::row::word;
use crate::statement::{self, text};
use domain::id::{RunId, ScheduleRunId};
use domain::run::RunStatus;
use domain::schedule::Job;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

const SEE_FIRST: &str = "
INSERT INTO schedules (job, seen_at)
SELECT job, $2
FROM unnest($1::text[]) AS n (job)
ORDER BY job
ON CONFLICT (job) DO NOTHING";

const LOCK: &str = "
SELECT job, seen_at
FROM schedules
WHERE job = ANY($1)
ORDER BY job
FOR UPDATE";

// `seen_at` never goes back, even when the clock does.
const SEE: &str = "
UPDATE schedules
SET seen_at = $2
WHERE job = ANY($1)
  AND seen_at < $2";

const OPEN_JOBS: &str = "
SELECT DISTINCT job
FROM schedule_runs
WHERE status = 'RUNNING'";

columns! {
    struct AddedRow<'a> => Added (now) {
        job: text = Job,
        scheduled_for: timestamptz = Timestamp,
        schedule_run_id: uuid = ScheduleRunId,
        started_by: text = &'a str,
        skipped: integer = i32,
    }
}

const ADD: &str = text!(
    "INSERT INTO schedule_runs (status, available_at, created_at, ",
    Added::NAMES,
    ")\nSELECT 'RUNNING', $1, $1, ",
    Added::NAMES,
    "\nFROM ",
    Added::UNNEST,
    "\nON CONFLICT (job, scheduled_for) DO NOTHING"
);

const COLUMNS: &str = "schedule_run_id, job, scheduled_for, started_by, skipped, status, available_at, attempts, \
                       cursor, counts, findings, run_id, error, created_at, finished_at";

// The most urgent job first (the order of $3), then the oldest run.
const CLAIM: &str = text!(
    "
UPDATE schedule_runs
SET claim = $2,
  attempts = attempts + 1
WHERE schedule_run_id = (
  SELECT schedule_run_id
  FROM schedule_runs
  WHERE status = 'RUNNING'
    AND available_at <= $1
    AND ($4::uuid IS NULL OR schedule_run_id = $4)
  ORDER BY array_position($3::text[], job), scheduled_for
  LIMIT 1
  FOR UPDATE SKIP LOCKED
)
RETURNING ",
    COLUMNS
);

const LOCK_CLAIMED: &str = "
SELECT 1
FROM schedule_runs
WHERE schedule_run_id = $1
  AND claim = $2
  AND status = 'RUNNING'
FOR UPDATE";

const SAVE: &str = "
UPDATE schedule_runs
SET status = $3,
  cursor = $4,
  counts = $5,
  findings = $6,
  run_id = $7,
  error = $8,
  attempts = $9,
  available_at = $10,
  finished_at = $11
WHERE schedule_run_id = $1
  AND claim = $2
  AND status = 'RUNNING'";

const GET: &str = text!(
    "SELECT ",
    COLUMNS,
    "
FROM schedule_runs
WHERE schedule_run_id = $1"
);

const FIND: &str = text!(
    "SELECT ",
    COLUMNS,
    "
FROM schedule_runs
WHERE job = $1
  AND scheduled_for = $2"
);

const LATEST: &str = text!(
    "SELECT ",
    COLUMNS,
    "
FROM unnest($1::text[]) AS n (name)
CROSS JOIN LATERAL (
  SELECT ",
    COLUMNS,
    "
  FROM schedule_runs
  WHERE job = n.name
  ORDER BY scheduled_for DESC
  LIMIT 1
) AS r"
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    SEE_FIRST,
    LOCK,
    SEE,
    OPEN_JOBS,
    ADD,
    CLAIM,
    LOCK_CLAIMED,
    SAVE,
    GET,
    FIND,
    LATEST,
];

/// One run of a job, scheduled or started by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleRun {
    pub schedule_run_id: ScheduleRunId,
    pub job: Job,
    pub scheduled_for: Timestamp,
    pub started_by: String,
    /// The number of earlier due times that were missed. This run stands for them.
    pub skipped: i32,
    pub status: RunStatus,
    /// While it is running: from when on a worker may claim it.
    pub available_at: Timestamp,
    /// How often it was claimed since the last page was saved.
    pub attempts: i32,
    /// Where the next page starts.
    pub cursor: Option<String>,
    /// The totals of the pages so far.
    pub counts: BTreeMap<String, i64>,
    /// For an audit: the broken invariants.
    pub findings: Option<Value>,
    /// For a recalculation: its run.
    pub run_id: Option<RunId>,
    pub error: Option<String>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewScheduleRun {
    pub schedule_run_id: ScheduleRunId,
    pub job: Job,
    pub scheduled_for: Timestamp,
    pub started_by: String,
    pub skipped: u32,
}

/// Locks these jobs and returns until when their due times were checked. A job that is new counts as checked now.
pub async fn lock(tx: &Tx<'_>, jobs: &[Job], now: Timestamp) -> Result<Vec<(Job, Timestamp)>> {
    let names = names(jobs);
    statement::execute(tx, SEE_FIRST, &[&names, &now]).await?;
    statement::list(tx, LOCK, &[&names], |row| {
        Ok((word(row, "job")?, row.try_get("seen_at")?))
    })
    .await
}

pub async fn see(tx: &Tx<'_>, jobs: &[Job], now: Timestamp) -> Result<()> {
    statement::execute(tx, SEE, &[&names(jobs), &now]).await?;
    Ok(())
}

/// The jobs that have a run which has not ended.
pub async fn open_jobs(executor: &impl Executor) -> Result<BTreeSet<Job>> {
    statement::list(executor, OPEN_JOBS, &[], |row| word(row, "job")).await
}

/// Returns whether the run was added: a job has one run for each scheduled time.
pub async fn add(tx: &Tx<'_>, new: &NewScheduleRun, now: Timestamp) -> Result<bool> {
    let added = AddedRow {
        job: new.job,
        scheduled_for: new.scheduled_for,
        schedule_run_id: new.schedule_run_id,
        started_by: &new.started_by,
        skipped: i32::try_from(new.skipped).unwrap_or(i32::MAX),
    };
    Ok(statement::execute(tx, ADD, &Added::from_iter([added]).params([&now])).await? == 1)
}

/// Claims the most urgent available run, or only the run `only`. The caller must set in the same transaction until
/// when the claim holds ([`save`]).
pub async fn claim(
    tx: &Tx<'_>,
    only: Option<ScheduleRunId>,
    claim: Uuid,
    now: Timestamp,
) -> Result<Option<ScheduleRun>> {
    let params: statement::Params<'_> = &[&now, &claim, &names(&Job::ALL), &only.map(|id| id.0)];
    statement::optional(tx, CLAIM, params, run).await
}

/// Locks a run, so that its progress commits together with this transaction's work. Returns false when another worker
/// has the claim.
pub async fn lock_claimed(tx: &Tx<'_>, id: ScheduleRunId, claim: Uuid) -> Result<bool> {
    Ok(statement::optional_row(tx, LOCK_CLAIMED, &[&id.0, &claim])
        .await?
        .is_some())
}

/// Saves the run. Returns false, and saves nothing, when another worker has the claim.
pub async fn save(tx: &Tx<'_>, run: &ScheduleRun, claim: Uuid) -> Result<bool> {
    let params: statement::Params<'_> = &[
        &run.schedule_run_id.0,
        &claim,
        &run.status.as_str(),
        &run.cursor,
        &Json(&run.counts),
        &run.findings,
        &run.run_id.map(|id| id.0),
        &run.error,
        &run.attempts,
        &run.available_at,
        &run.finished_at,
    ];
    Ok(statement::execute(tx, SAVE, params).await? == 1)
}

pub async fn get(executor: &impl Executor, id: ScheduleRunId) -> Result<Option<ScheduleRun>> {
    statement::optional(executor, GET, &[&id.0], run).await
}

pub async fn find(executor: &impl Executor, job: Job, scheduled_for: Timestamp) -> Result<Option<ScheduleRun>> {
    statement::optional(executor, FIND, &[&job.as_str(), &scheduled_for], run).await
}

/// The last run of each job that has run.
pub async fn latest(executor: &impl Executor) -> Result<Vec<ScheduleRun>> {
    statement::list(executor, LATEST, &[&names(&Job::ALL)], run).await
}

fn names(jobs: &[Job]) -> Vec<&'static str> {
    jobs.iter().map(|job| job.as_str()).collect()
}

fn run(row: &Row) -> Result<ScheduleRun> {
    let Json(counts) = row.try_get("counts")?;
    Ok(ScheduleRun {
        schedule_run_id: ScheduleRunId(row.try_get("schedule_run_id")?),
        job: word(row, "job")?,
        scheduled_for: row.try_get("scheduled_for")?,
        started_by: row.try_get("started_by")?,
        skipped: row.try_get("skipped")?,
        status: word(row, "status")?,
        available_at: row.try_get("available_at")?,
        attempts: row.try_get("attempts")?,
        cursor: row.try_get("cursor")?,
        counts,
        findings: row.try_get("findings")?,
        run_id: row.try_get::<_, Option<Uuid>>("run_id")?.map(RunId),
        error: row.try_get("error")?,
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
    })
}
