//! Jobs and their runs as the API shows them.

use super::zone;
use crate::error::{Error, Result};
use domain::id::{RunId, ScheduleRunId};
use domain::run::RunStatus;
use domain::schedule::{Job, Timing};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use store::Db;
use store::jobs::schedules::ScheduleRun;

/// A scheduled run as the API shows it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleRunView {
    pub schedule_run_id: ScheduleRunId,
    pub job: Job,
    pub scheduled_for: Timestamp,
    /// `schedule`, or who started the run manually.
    pub started_by: String,
    /// Missed due times that this run makes up for.
    pub skipped: i32,
    /// `RUNNING` also while waiting for the next attempt; `COMPLETED_WITH_ERRORS` for an audit with findings.
    pub status: RunStatus,
    /// Figures so far.
    pub counts: BTreeMap<String, i64>,
    /// Broken invariants with their rows, of an audit.
    pub findings: Option<Value>,
    /// The run that a recalculation started.
    pub run_id: Option<RunId>,
    /// Why the last attempt failed.
    pub error: Option<String>,
    /// Set while running: when the next attempt may start if no worker holds the claim.
    pub next_attempt_at: Option<Timestamp>,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

impl From<ScheduleRun> for ScheduleRunView {
    fn from(run: ScheduleRun) -> Self {
        Self {
            schedule_run_id: run.schedule_run_id,
            job: run.job,
            scheduled_for: run.scheduled_for,
            started_by: run.started_by,
            skipped: run.skipped,
            status: run.status,
            counts: run.counts,
            findings: run.findings,
            run_id: run.run_id,
            error: run.error,
            next_attempt_at: (run.status == RunStatus::Running).then_some(run.available_at),
            created_at: run.created_at,
            finished_at: run.finished_at,
        }
    }
}

pub async fn get(db: &Db, id: ScheduleRunId) -> Result<ScheduleRunView> {
    let run = store::jobs::schedules::get(&db.client().await?, id).await?;
    Ok(run.ok_or_else(|| Error::not_found("scheduled run", id))?.into())
}

/// A job, its schedule and its last run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ScheduleView {
    pub job: Job,
    /// `03:00`, in the program's time zone.
    pub daily_at: Option<String>,
    pub every_minutes: Option<u32>,
    /// `null` if the job is switched off.
    pub next_due: Option<Timestamp>,
    pub last_run: Option<ScheduleRunView>,
}

/// All jobs, in order of urgency.
pub async fn list(db: &Db, now: Timestamp) -> Result<Vec<ScheduleView>> {
    let client = db.client().await?;
    let settings = crate::program::settings::load(&client).await?;
    let zone = zone(&settings)?;
    let mut latest: BTreeMap<Job, ScheduleRun> = store::jobs::schedules::latest(&client)
        .await?
        .into_iter()
        .map(|run| (run.job, run))
        .collect();
    let view = |job: Job| {
        let timing = settings.schedules.timing(job);
        let (daily_at, every_minutes) = match timing {
            Some(Timing::Daily(time)) => (Some(time.to_string()), None),
            Some(Timing::Every { minutes }) => (None, Some(minutes)),
            None => (None, None),
        };
        let next_due = timing.and_then(|timing| timing.next_due(now, &zone));
        ScheduleView {
            job,
            daily_at,
            every_minutes,
            next_due,
            last_run: latest.remove(&job).map(Into::into),
        }
    };
    Ok(Job::ALL.into_iter().map(view).collect())
}
