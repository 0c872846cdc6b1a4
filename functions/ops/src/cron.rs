//! `/api/cron/…`: scheduled jobs, started manually.

use crate::Ops;
use crate::runs::send;
use app::jobs::schedules::{self, Claimed, Job, Progress};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use domain::idempotency::Answer;
use lambda::problem::causes;
use lambda::{Answered, Clock, Keyed, Problem};
use serde::Deserialize;
use std::time::{Duration, Instant};

/// How long a caller waits before the scheduler continues the job. Below the 30 s after which an HTTP API times out.
const WORK_MAX: Duration = Duration::from_secs(20);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// 200 with the expired amounts, or 202 with a URL while the job continues.
pub async fn expire_points(
    State(ops): State<Ops>,
    clock: Clock,
    Keyed { act, .. }: Keyed<Nothing>,
) -> Result<Answered<Response>, Problem> {
    let started = Instant::now();
    let answer = schedules::start_once(&ops.db, Job::Expire, &act).await?;
    if let Answer::First(id) = answer
        && let Some(claimed) = schedules::claim(&ops.db, Some(id), clock.context()).await?
    {
        work(&ops, claimed, started, &clock).await?;
    }
    let view = schedules::get(&ops.db, answer.clone().into_inner()).await?;
    let place = format!("/api/schedules/{}", view.schedule_run_id);
    let status = if view.finished_at.is_some() {
        StatusCode::OK
    } else {
        StatusCode::ACCEPTED
    };
    let response = (status, [(LOCATION, place)], Json(view)).into_response();
    Ok(Answered(answer.map(|_| response)))
}

async fn work(ops: &Ops, claimed: Claimed, started: Instant, clock: &Clock) -> Result<(), Problem> {
    let is_time_left = || started.elapsed() < WORK_MAX;
    let page = |mut claimed| async move {
        let worked = schedules::work(&ops.db, &mut claimed, clock.context()).await?;
        Ok::<_, Problem>((claimed, worked.progress))
    };
    let (claimed, last) = schedules::work_through(&ops.db, claimed, || clock.context(), is_time_left, page).await?;
    if let Progress::Failed(error) = last {
        tracing::error!(job = %claimed.run.job, cause = causes(&*error), "a manually started job failed");
    }
    Ok(())
}

/// 202 with the run over all players, like `POST /api/runs`.
pub async fn recalculate(
    State(ops): State<Ops>,
    clock: Clock,
    Keyed { act, .. }: Keyed<Nothing>,
) -> Result<Answered<Response>, Problem> {
    match schedules::recalculate_once(&ops.db, &act).await? {
        Answer::First(started) => Ok(Answered(Answer::First(send(&ops, started, &clock).await?))),
        // The first request sent the messages; if that failed, the recovery job does.
        replayed => Ok(Answered(
            replayed.map(|started| lambda::runs::started(started.run_id, started.shards)),
        )),
    }
}
