//! `/api/batch/process` and `/api/runs`.

use crate::Ops;
use app::runs::run_view::RunView;
use app::runs::{self, Rewards, RunStarted, RunStatus};
use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::id::{PlayerId, RunId};
use domain::problem::Refusal;
use domain::text_enum;
use lambda::{Acting, Clock, JsonBody, Page, Params, PathParams, Problem};
use serde::Deserialize;

const PLAYERS_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Batch {
    player_ids: Vec<PlayerId>,
    #[serde(default = "yes")]
    trigger_rewards: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    kind: Kind,
    #[serde(default = "yes")]
    trigger_rewards: bool,
}

text_enum! {
    /// Runs that can be started without a file or a list.
    enum Kind as "kind of run" {
        Recalculation = "RECALCULATION",
    }
}

fn yes() -> bool {
    true
}

fn rewards(trigger: bool) -> Rewards {
    if trigger { Rewards::Evaluate } else { Rewards::Skip }
}

pub async fn batch(
    State(ops): State<Ops>,
    clock: Clock,
    Acting(act): Acting,
    JsonBody(body): JsonBody<Batch>,
) -> Result<Response, Problem> {
    if !(1..=PLAYERS_MAX).contains(&body.player_ids.len()) {
        let detail = format!("must have 1 to {PLAYERS_MAX} ids, has {}", body.player_ids.len());
        return Err(Refusal::invalid_at("/player_ids", "range", detail).into());
    }
    let started = runs::start_batch(&ops.db, &body.player_ids, rewards(body.trigger_rewards), &act).await?;
    send(&ops, started, &clock).await
}

pub async fn start(
    State(ops): State<Ops>,
    clock: Clock,
    Acting(act): Acting,
    JsonBody(body): JsonBody<Start>,
) -> Result<Response, Problem> {
    let Kind::Recalculation = body.kind;
    let started = runs::start_recalculation(&ops.db, rewards(body.trigger_rewards), &act).await?;
    send(&ops, started, &clock).await
}

pub(crate) async fn send(ops: &Ops, started: RunStarted, clock: &Clock) -> Result<Response, Problem> {
    let give_up =
        |error: &'static str| async move { runs::give_up_all(&ops.db, started, error, clock.context()).await };
    lambda::runs::send(&ops.segmentation, started.run_id, started.bodies(), give_up).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    status: Option<String>,
}

pub async fn list(State(ops): State<Ops>, page: Page, Params(filter): Params<Filter>) -> Result<Response, Problem> {
    let status = filter.status.as_deref().map(known_status).transpose()?;
    let found = runs::list(&ops.db, status, page.skip, page.limit).await?;
    Ok(page.respond_skipping(found.into_iter().map(RunView::from).collect()))
}

fn known_status(text: &str) -> Result<RunStatus, Refusal> {
    let known: Vec<&str> = RunStatus::ALL.iter().map(|status| status.as_str()).collect();
    RunStatus::parse(text).ok_or_else(|| {
        Refusal::invalid_at(
            "?status",
            "unknown",
            format!("{text:?} is not one of {}", known.join(", ")),
        )
    })
}

pub async fn get(State(ops): State<Ops>, PathParams(run_id): PathParams<RunId>) -> Result<Json<RunView>, Problem> {
    Ok(Json(runs::get(&ops.db, run_id).await?.into()))
}
