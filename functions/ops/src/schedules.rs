//! `GET /api/schedules`: scheduled jobs and their last runs.

use crate::Ops;
use app::jobs::schedules::{self, ScheduleRunView, ScheduleView};
use axum::Json;
use axum::extract::State;
use domain::id::ScheduleRunId;
use lambda::{Clock, PathParams, Problem};

pub async fn list(State(ops): State<Ops>, clock: Clock) -> Result<Json<Vec<ScheduleView>>, Problem> {
    Ok(Json(schedules::list(&ops.db, clock.now()).await?))
}

pub async fn get(
    State(ops): State<Ops>,
    PathParams(id): PathParams<ScheduleRunId>,
) -> Result<Json<ScheduleRunView>, Problem> {
    Ok(Json(schedules::get(&ops.db, id).await?))
}
