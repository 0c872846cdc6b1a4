//! Scheduled jobs. A tick records which jobs became due since the last one and works on them page by page. Each page is
//! saved with the position of the next, so that another worker resumes after a crash.
//!
//! # Choices
//!
//! * If the messages of a scheduled recalculation cannot be sent, the recovery job resends them. A recalculation that a
//!   person started is given up instead, with a 503.

mod page;
mod view;

pub use page::{Broken, Page};
pub use view::{ScheduleRunView, ScheduleView, get, list};

use crate::error::{Error, Result};
use crate::platform::idempotent;
use crate::runs::triggers::TriggerMessage;
use crate::runs::{self, Rewards, RunStarted};
use domain::act::Act;
use domain::context::Context;
use domain::id::ScheduleRunId;
use domain::idempotency::Answer;
pub use domain::run::RunStatus;
pub use domain::schedule::Job;
use domain::settings::Settings;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use page::page;
use serde_json::json;
use std::collections::BTreeMap;
use store::jobs::schedules::NewScheduleRun;
pub use store::jobs::schedules::ScheduleRun;
use store::{Db, Tx, transaction};
use uuid::Uuid;

/// The actor of scheduled runs.
const SCHEDULE: &str = "schedule";

/// Adds a run for each job that became due since the last call, and returns the new runs. Repeated calls add nothing. A
/// job with an unfinished run waits for its end; of several missed due times only the last is made up for.
///
/// A job seen for the first time has no missed due times.
pub async fn plan(db: &Db, context: Context) -> Result<Vec<ScheduleRunId>> {
    transaction!(db, |tx| plan_in_tx(tx, context))
}

async fn plan_in_tx(tx: &Tx<'_>, context: Context) -> Result<Vec<ScheduleRunId>> {
    let settings = crate::program::settings::load(tx).await?;
    let zone = zone(&settings)?;
    let seen = store::jobs::schedules::lock(tx, &Job::ALL, context.now).await?;
    let open = store::jobs::schedules::open_jobs(tx).await?;
    let mut added = Vec::new();
    let mut looked_at = Vec::new();
    for (job, seen_at) in seen.into_iter().filter(|(job, _)| !open.contains(job)) {
        looked_at.push(job);
        let Some(timing) = settings.schedules.timing(job) else {
            continue;
        };
        let Some(due) = timing.last_due(context.now, &zone).filter(|due| *due > seen_at) else {
            continue;
        };
        let skipped = timing.between(seen_at, due, &zone);
        let new = new_run(job, due, SCHEDULE, skipped, context);
        if store::jobs::schedules::add(tx, &new, context.now).await? {
            added.push(new.schedule_run_id);
        }
    }
    store::jobs::schedules::see(tx, &looked_at, context.now).await?;
    Ok(added)
}

fn new_run(job: Job, scheduled_for: Timestamp, started_by: &str, skipped: u32, context: Context) -> NewScheduleRun {
    let schedule_run_id = ScheduleRunId((context.new_id)());
    NewScheduleRun {
        schedule_run_id,
        job,
        scheduled_for,
        started_by: started_by.to_owned(),
        skipped,
    }
}

/// Why a job is not started or not worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    #[error("a recalculation was started at the same instant")]
    StartedAlready,
    #[error("{job} has no pages")]
    NotPaged { job: Job },
}

impl ScheduleError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::StartedAlready => "started_already",
            Self::NotPaged { .. } => "not_paged",
        }
    }
}

fn zone(settings: &Settings) -> Result<TimeZone> {
    TimeZone::get(&settings.time_zone).map_err(|error| Error::stored("time zone", error))
}

/// Starts a job manually for a time, by default now; the same time twice starts it once. The run can then be claimed by
/// its id.
///
/// # Errors
/// `Validation` if the time is in the future.
pub async fn start(db: &Db, job: Job, scheduled_for: Option<Timestamp>, act: &Act) -> Result<ScheduleRunId> {
    let scheduled_for = scheduled_for.unwrap_or(act.context.now);
    if scheduled_for > act.context.now {
        return Err(Error::invalid("/scheduled_for", "range", "must not be in the future"));
    }
    transaction!(db, |tx| start_in_tx(tx, job, scheduled_for, act))
}

async fn start_in_tx(tx: &Tx<'_>, job: Job, scheduled_for: Timestamp, act: &Act) -> Result<ScheduleRunId> {
    let new = new_run(job, scheduled_for, &act.actor, 0, act.context);
    store::jobs::schedules::add(tx, &new, act.context.now).await?;
    let run = store::jobs::schedules::find(tx, job, scheduled_for).await?;
    run.map(|run| run.schedule_run_id)
        .ok_or_else(|| Error::not_found("scheduled run", job))
}

/// Starts a job now, once per idempotency key.
pub async fn start_once(db: &Db, job: Job, act: &Act) -> Result<Answer<ScheduleRunId>> {
    transaction!(db, |tx| idempotent::once(
        tx,
        act,
        start_in_tx(tx, job, act.context.now, act)
    ))
}

/// Starts a recalculation of all players, once per idempotency key. The caller sends its messages.
pub async fn recalculate_once(db: &Db, act: &Act) -> Result<Answer<RunStarted>> {
    transaction!(db, |tx| idempotent::once(tx, act, recalculate_now(tx, act)))
}

async fn recalculate_now(tx: &Tx<'_>, act: &Act) -> Result<RunStarted> {
    let id = start_in_tx(tx, Job::Recalculate, act.context.now, act).await?;
    let claimed = claim_in_tx(tx, Some(id), act.context).await?;
    if let Some(claimed) = claimed
        && let (Progress::Started(started), _) = recalculate_in_tx(tx, &claimed, act.context).await?
    {
        return Ok(started);
    }
    Err(ScheduleError::StartedAlready.into())
}

/// A scheduled run and the claim on it.
#[derive(Debug, Clone, PartialEq)]
pub struct Claimed {
    pub run: ScheduleRun,
    claim: Uuid,
}

/// Claims the most urgent waiting run, or the run `only`. `None`: there is none, or another worker has claimed it.
///
/// A run that was claimed too often without saving a page is returned as FAILED instead.
pub async fn claim(db: &Db, only: Option<ScheduleRunId>, context: Context) -> Result<Option<Claimed>> {
    transaction!(db, |tx| claim_in_tx(tx, only, context))
}

async fn claim_in_tx(tx: &Tx<'_>, only: Option<ScheduleRunId>, context: Context) -> Result<Option<Claimed>> {
    let claim = (context.new_id)();
    let Some(mut run) = store::jobs::schedules::claim(tx, only, claim, context.now).await? else {
        return Ok(None);
    };
    if run.attempts > attempts_max(run.job) {
        run.attempts -= 1;
        let error = run
            .error
            .take()
            .unwrap_or_else(|| "the worker was stopped before a page was done".to_owned());
        let error = format!("given up after {} attempts: {error}", run.attempts);
        end(&mut run, RunStatus::Failed, Some(error), context);
    } else {
        run.available_at = later(context.now, lease(run.job));
    }
    store::jobs::schedules::save(tx, &run, claim).await?;
    Ok(Some(Claimed { run, claim }))
}

/// How long a claim lasts without saving a page: many times the duration of a page. Then the next tick takes over.
fn lease(job: Job) -> SignedDuration {
    match job {
        Job::Audit => SignedDuration::from_mins(15),
        _ => SignedDuration::from_mins(1),
    }
}

/// Fewer attempts for jobs that are due every few minutes.
fn attempts_max(job: Job) -> i32 {
    match job {
        Job::Recover | Job::Expire => 2,
        _ => 6,
    }
}

/// The delay before the next attempt: 1, 2, 4, 8, then 16 minutes.
fn rest(attempts: i32) -> SignedDuration {
    let doublings = u32::try_from(attempts - 1).unwrap_or_default().min(4);
    SignedDuration::from_mins(1 << doublings)
}

fn later(now: Timestamp, by: SignedDuration) -> Timestamp {
    now.checked_add(by).unwrap_or(Timestamp::MAX)
}

/// Why a page failed. Operators see its message; its sources go to the log.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The state of a run after a page.
#[derive(Debug)]
pub enum Progress {
    /// There is another page.
    More,
    Ended,
    /// A run over players was started, whose messages are to be sent; otherwise the recovery job sends them.
    Started(RunStarted),
    /// The failure is recorded; the run is retried later or given up.
    Failed(Failure),
    /// The claim expired and another worker has taken over.
    Lost,
}

/// Runs one page of a job and saves the result. A failure of the job is recorded and is not an error of this function.
///
/// Not for [`Job::Recover`], which needs queues: see [`crate::jobs::recovery`] and [`save`].
pub async fn work(db: &Db, claimed: &mut Claimed, context: Context) -> Result<Worked> {
    if claimed.run.job != Job::Recalculate {
        let page = page(db, &claimed.run, context).await.map_err(Failure::from);
        let triggers = page.as_ref().ok().and_then(|page| page.triggers);
        return Ok(Worked {
            progress: save(db, claimed, page, context).await?,
            triggers,
        });
    }
    let progress = match recalculate(db, claimed, context).await {
        Ok((progress, run)) => {
            claimed.run = run;
            progress
        }
        Err(error) => save(db, claimed, Err(error.into()), context).await?,
    };
    Ok(Worked {
        progress,
        triggers: None,
    })
}

/// Works on a claimed run page by page until it ends or `is_time_left` says no; then whoever claims it next continues.
/// `page` works on one page; [`work`] is what most do.
pub async fn work_through<E: From<Error>, F: Future<Output = Result<(Claimed, Progress), E>>>(
    db: &Db,
    mut claimed: Claimed,
    clock: impl Fn() -> Context,
    is_time_left: impl Fn() -> bool,
    page: impl Fn(Claimed) -> F,
) -> Result<(Claimed, Progress), E> {
    loop {
        let progress;
        (claimed, progress) = page(claimed).await?;
        match progress {
            Progress::More if is_time_left() => {}
            Progress::More => {
                leave(db, &claimed, clock()).await?;
                return Ok((claimed, progress));
            }
            _ => return Ok((claimed, progress)),
        }
    }
}

/// The result of [`work`].
#[derive(Debug)]
pub struct Worked {
    pub progress: Progress,
    /// To be sent to the reward queue; otherwise the recovery job sends it.
    pub triggers: Option<TriggerMessage>,
}

async fn recalculate(db: &Db, claimed: &Claimed, context: Context) -> Result<(Progress, ScheduleRun)> {
    transaction!(db, |tx| recalculate_in_tx(tx, claimed, context))
}

/// Starts the run in the transaction that ends the scheduled one, so it starts once.
async fn recalculate_in_tx(tx: &Tx<'_>, claimed: &Claimed, context: Context) -> Result<(Progress, ScheduleRun)> {
    let mut run = claimed.run.clone();
    if !store::jobs::schedules::lock_claimed(tx, run.schedule_run_id, claimed.claim).await? {
        return Ok((Progress::Lost, run));
    }
    let started = runs::start_recalculation_in_tx(tx, Rewards::Evaluate, &Act::of(&run.started_by, context)).await?;
    run.run_id = Some(started.run_id);
    add(&mut run.counts, &[("shards", i64::from(started.shards))]);
    end(&mut run, RunStatus::Completed, None, context);
    store::jobs::schedules::save(tx, &run, claimed.claim).await?;
    Ok((Progress::Started(started), run))
}

fn add(counts: &mut BTreeMap<String, i64>, more: &[(&'static str, i64)]) {
    for (name, number) in more {
        let sum = counts.entry((*name).to_owned()).or_default();
        *sum = sum.saturating_add(*number);
    }
}

/// Saves the result of a page of a claimed run, or why it failed.
pub async fn save(db: &Db, claimed: &mut Claimed, page: Result<Page, Failure>, context: Context) -> Result<Progress> {
    let mut run = claimed.run.clone();
    let progress = match page {
        Ok(page) => turn(&mut run, page, context),
        Err(error) => {
            let reason = error.downcast_ref().map_or_else(|| error.to_string(), Error::reason);
            fail(&mut run, reason, context);
            Progress::Failed(error)
        }
    };
    let saved = save_run(db, &run, claimed.claim).await?;
    claimed.run = run;
    Ok(if saved { progress } else { Progress::Lost })
}

async fn save_run(db: &Db, run: &ScheduleRun, claim: Uuid) -> Result<bool> {
    transaction!(db, |tx| save_in_tx(tx, run, claim))
}

async fn save_in_tx(tx: &Tx<'_>, run: &ScheduleRun, claim: Uuid) -> Result<bool> {
    Ok(store::jobs::schedules::save(tx, run, claim).await?)
}

fn turn(run: &mut ScheduleRun, page: Page, context: Context) -> Progress {
    add(&mut run.counts, &page.counts);
    run.attempts = 0;
    run.cursor = page.next;
    run.error = None;
    if run.cursor.is_some() {
        run.available_at = later(context.now, lease(run.job));
        return Progress::More;
    }
    if page.broken.is_empty() {
        end(run, RunStatus::Completed, None, context);
    } else {
        let error = format!("{} invariants are broken", page.broken.len());
        run.findings = Some(json!(page.broken));
        end(run, RunStatus::CompletedWithErrors, Some(error), context);
    }
    Progress::Ended
}

fn fail(run: &mut ScheduleRun, error: String, context: Context) {
    // Saving a page resets the attempts; this failure counts as one.
    run.attempts = run.attempts.max(1);
    if run.attempts >= attempts_max(run.job) {
        end(run, RunStatus::Failed, Some(error), context);
    } else {
        run.available_at = later(context.now, rest(run.attempts));
        run.error = Some(error);
    }
}

fn end(run: &mut ScheduleRun, status: RunStatus, error: Option<String>, context: Context) {
    run.status = status;
    run.error = error;
    run.available_at = context.now;
    run.finished_at = Some(context.now);
}

/// Releases the claim when time is up, so that the next tick continues.
pub async fn leave(db: &Db, claimed: &Claimed, context: Context) -> Result<()> {
    let run = ScheduleRun {
        available_at: context.now,
        ..claimed.run.clone()
    };
    save_run(db, &run, claimed.claim).await?;
    Ok(())
}
