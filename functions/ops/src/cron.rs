//! `/api/cron/…`: what the schedules do, started by hand.

use crate::Ops;
use crate::runs::send;
use app::jobs::schedules::{self, Claimed, Job, Standing};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::Response;
use domain::id::ScheduleRunId;
use domain::idempotency::Answer;
use lambda::problem::causes;
use lambda::{Caller, Keyed, Problem, idempotency};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// A caller waits so long; then the schedules go on with it. An HTTP API gives up after 30 seconds.
const WORK_MAX: Duration = Duration::from_secs(20);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// 200 with what was expired, or 202 with where to look while it goes on.
pub async fn expire_points(State(ops): State<Ops>, caller: Caller, keyed: Keyed<Nothing>) -> Result<Response, Problem> {
    let started = Instant::now();
    let answer = start(&ops, &caller, &keyed).await?;
    if let Answer::First(id) = answer
        && let Some(claimed) = schedules::claim(&ops.db, Some(id), lambda::context()).await?
    {
        work(&ops, claimed, started).await?;
    }
    let view = schedules::get(&ops.db, answer.clone().into_inner()).await?;
    let place = format!("/api/schedules/{}", view.schedule_run_id);
    let status = if view.finished_at.is_some() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    Ok(idempotency::respond(answer, |_| {
        (status, [(LOCATION, place)], Json(view))
    }))
}

async fn work(ops: &Ops, mut claimed: Claimed, started: Instant) -> Result<(), Problem> {
    loop {
        match schedules::work(&ops.db, &mut claimed, lambda::context())
            .await?
            .standing
        {
            Standing::More if started.elapsed() < WORK_MAX => {}
            Standing::More => return Ok(schedules::leave(&ops.db, &claimed, lambda::context()).await?),
            Standing::Failed(error) => {
                tracing::error!(job = %claimed.run.job, cause = causes(&*error), "a job started by hand failed");
                return Ok(());
            }
            Standing::Ended | Standing::Started(_) | Standing::Lost => return Ok(()),
        }
    }
}

async fn start(ops: &Ops, caller: &Caller, keyed: &Keyed<Nothing>) -> Result<Answer<ScheduleRunId>, Problem> {
    Ok(schedules::start_once(
        &ops.db,
        Job::Expire,
        keyed.key.as_ref(),
        &caller.actor(),
        lambda::context(),
    )
    .await?)
}

/// 202 with the run over all players, as `POST /api/runs` answers.
pub async fn recalculate(State(ops): State<Ops>, caller: Caller, keyed: Keyed<Nothing>) -> Result<Response, Problem> {
    match schedules::recalculate_once(&ops.db, keyed.key.as_ref(), &caller.actor(), lambda::context()).await? {
        Answer::First(started) => send(&ops, started).await,
        // The first request sent its messages, or the recovery does.
        replayed => Ok(idempotency::respond(replayed, |started| {
            lambda::runs::started(started.run_id, started.shards)
        })),
    }
}
