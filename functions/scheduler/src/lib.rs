//! Runs the jobs that are due. Something invokes it every minute; it decides by the program's own time zone which
//! jobs are due, so that neither the clock's rate nor a missed tick matters.

use app::jobs::recovery;
use app::jobs::schedules::{self, Claimed, Failure, Job, Page, Progress, RunStatus, ScheduleRunView};
use app::{Act, Db};
use jiff::Timestamp;
use lambda::Clock;
use lambda::problem::causes;
use lambda::sqs::{Queue, SqsError};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Lambda ends an invocation after 15 minutes. Work stops before that, and the next invocation continues it.
const WORK_MAX: Duration = Duration::from_secs(14 * 60);
/// Recorded as the starter of a job that an event names.
const BY_HAND: &str = "by hand";

/// `{}` runs whatever is due. With a job, runs that job, for a given time or now.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub job: Option<Job>,
    pub scheduled_for: Option<Timestamp>,
}

/// What was worked on.
#[derive(Debug, Serialize)]
pub struct Worked {
    pub schedule_runs: Vec<ScheduleRunView>,
}

#[derive(Debug, thiserror::Error)]
pub enum TickError {
    #[error("the schedules could not be run")]
    App(#[from] app::Error),
    #[error("`scheduled_for` needs a `job`")]
    TimeWithoutJob,
}

pub struct Scheduler {
    pub db: Db,
    pub segmentation: Queue,
    pub rewards: Queue,
    pub imports: Queue,
    pub clock: Clock,
}

impl Scheduler {
    pub async fn handle(&self, event: Event) -> Result<Worked, lambda::Error> {
        let worked = match event {
            Event {
                job: Some(job),
                scheduled_for,
            } => self.start(job, scheduled_for).await,
            Event {
                job: None,
                scheduled_for: None,
            } => self.tick().await,
            Event {
                job: None,
                scheduled_for: Some(_),
            } => Err(TickError::TimeWithoutJob),
        };
        let schedule_runs = worked.inspect_err(|error| tracing::error!(cause = causes(error), "tick failed"))?;
        Ok(Worked { schedule_runs })
    }

    /// Runs one job by hand. One already started for this time is returned as it is, or continued.
    async fn start(&self, job: Job, scheduled_for: Option<Timestamp>) -> Result<Vec<ScheduleRunView>, TickError> {
        let id = schedules::start(&self.db, job, scheduled_for, &Act::of(BY_HAND, self.clock.context())).await?;
        if let Some(claimed) = schedules::claim(&self.db, Some(id), self.clock.context()).await? {
            self.work(claimed, Instant::now()).await?;
        }
        Ok(vec![schedules::get(&self.db, id).await?])
    }

    /// Runs everything that is due, and what an earlier tick left.
    async fn tick(&self) -> Result<Vec<ScheduleRunView>, TickError> {
        let started = Instant::now();
        schedules::plan(&self.db, self.clock.context()).await?;
        let mut worked = Vec::new();
        while started.elapsed() < WORK_MAX {
            let Some(claimed) = schedules::claim(&self.db, None, self.clock.context()).await? else {
                break;
            };
            let id = claimed.run.schedule_run_id;
            self.work(claimed, started).await?;
            worked.push(schedules::get(&self.db, id).await?);
        }
        Ok(worked)
    }

    /// Runs page after page until the job is done, fails, or time is up.
    async fn work(&self, claimed: Claimed, started: Instant) -> Result<(), TickError> {
        let (job, scheduled_for) = (claimed.run.job, claimed.run.scheduled_for);
        if claimed.run.status == RunStatus::Failed {
            tracing::error!(%job, %scheduled_for, error = claimed.run.error, "a scheduled job was given up");
            return Ok(());
        }
        let is_time_left = || started.elapsed() < WORK_MAX;
        let page = |claimed| self.page(claimed);
        let (claimed, last) =
            schedules::work_through(&self.db, claimed, || self.clock.context(), is_time_left, page).await?;
        match last {
            Progress::More => {}
            Progress::Started(run) => {
                tracing::info!(%job, %scheduled_for, run_id = %run.run_id, shards = run.shards, "a run was started");
                if let Err(error) = self.segmentation.send(run.bodies()).await {
                    tracing::error!(
                        run_id = %run.run_id, cause = causes(&error), "the recovery will send the messages of a run"
                    );
                }
            }
            Progress::Ended => tell(&claimed),
            Progress::Failed(error) => {
                let given_up = claimed.run.status == RunStatus::Failed;
                tracing::error!(%job, %scheduled_for, cause = causes(&*error), given_up, "a scheduled job failed");
            }
            Progress::Lost => tracing::warn!(%job, %scheduled_for, "another tick has taken over"),
        }
        Ok(())
    }

    async fn page(&self, mut claimed: Claimed) -> Result<(Claimed, Progress), TickError> {
        if claimed.run.job == Job::Recover {
            let page = self.recover().await.map_err(Failure::from);
            let progress = schedules::save(&self.db, &mut claimed, page, self.clock.context()).await?;
            return Ok((claimed, progress));
        }
        let worked = schedules::work(&self.db, &mut claimed, self.clock.context()).await?;
        if let Some(batch) = worked.triggers
            && let Err(error) = self.rewards.send(vec![batch.to_json()]).await
        {
            tracing::error!(
                batch_id = %batch.batch_id, cause = causes(&error), "the recovery will send a batch of triggers"
            );
        }
        Ok((claimed, worked.progress))
    }

    async fn recover(&self) -> Result<Page, RecoverError> {
        let lost = recovery::find(&self.db, self.clock.context()).await?;
        for (queue, bodies) in [
            (&self.segmentation, &lost.to_segment),
            (&self.rewards, &lost.to_reward),
            (&self.imports, &lost.to_import),
        ] {
            if !bodies.is_empty() {
                queue.send(bodies.clone()).await?;
            }
        }
        recovery::sent(&self.db, &lost, self.clock.context()).await?;
        Ok(Page {
            counts: lost.counts(),
            ..Page::default()
        })
    }
}

#[derive(Debug, thiserror::Error)]
enum RecoverError {
    #[error("stalled work could not be searched for")]
    App(#[from] app::Error),
    #[error("lost work could not be sent again")]
    Queue(#[from] SqsError),
}

/// Logs a job that did something. Each broken invariant is an error of its own, so that an alarm can count them.
fn tell(claimed: &Claimed) {
    let run = &claimed.run;
    if run.counts.values().any(|count| *count != 0) {
        tracing::info!(
            job = %run.job, scheduled_for = %run.scheduled_for, counts = ?run.counts, "a scheduled job is done"
        );
    }
    for broken in run.findings.iter().filter_map(|findings| findings.as_array()).flatten() {
        tracing::error!(%broken, "an invariant of the books does not hold");
    }
}
