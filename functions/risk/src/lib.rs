//! `/api/risk`: fraud signals and their judgement by people.

use app::Db;
use app::players::risk::{self, Judgement, SignalFilter, SignalState, SignalType, SignalView};
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::access::Role;
use domain::act::Act;
use domain::id::{PlayerId, SignalId};
use lambda::{Acting, Api, Auth, Flag, JsonBody, Page, Params, PathParams, Problem, TellsTime};
use serde::Deserialize;

pub fn router(db: Db, clock: impl TellsTime) -> Router {
    api(&db).into_router(db, clock)
}

pub fn api(db: &Db) -> Api<Db> {
    Api::new(Auth::new(app::platform::keys::lookup(db.clone())))
        .get("/api/risk/signals", Role::Viewer, list)
        .post("/api/risk/signals/{signal_id}/resolve", Role::Operator, resolve)
        .post("/api/risk/signals/{signal_id}/confirm", Role::Operator, confirm)
        .post("/api/risk/flag", Role::Operator, flag)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    /// Confirmed signals count as open, because they count in the score.
    open: Option<Flag>,
    #[serde(rename = "type")]
    signal_type: Option<SignalType>,
    player_id: Option<PlayerId>,
}

async fn list(State(db): State<Db>, Params(params): Params<ListParams>, page: Page) -> Result<Response, Problem> {
    let ListParams {
        open,
        signal_type,
        player_id,
    } = params;
    let state = open.map(|Flag(open)| if open { SignalState::Open } else { SignalState::Resolved });
    let signals = risk::list(
        &db,
        &SignalFilter {
            state,
            signal_type,
            player_id,
        },
        &page.slice()?,
    )
    .await?;
    Ok(
        page.respond(signals.into_iter().map(SignalView::from).collect(), |signal| {
            signal.signal_id.to_string()
        }),
    )
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JudgementBody {
    /// The reason, 1 to 1000 characters.
    note: String,
}

async fn resolve(
    State(db): State<Db>,
    PathParams(signal_id): PathParams<SignalId>,
    Acting(act): Acting,
    JsonBody(body): JsonBody<JudgementBody>,
) -> Result<Json<SignalView>, Problem> {
    judge(&db, signal_id, Judgement::Resolve, &body, &act).await
}

async fn confirm(
    State(db): State<Db>,
    PathParams(signal_id): PathParams<SignalId>,
    Acting(act): Acting,
    JsonBody(body): JsonBody<JudgementBody>,
) -> Result<Json<SignalView>, Problem> {
    judge(&db, signal_id, Judgement::Confirm, &body, &act).await
}

async fn judge(
    db: &Db,
    signal_id: SignalId,
    judgement: Judgement,
    body: &JudgementBody,
    act: &Act,
) -> Result<Json<SignalView>, Problem> {
    let signal = risk::judge(db, signal_id, judgement, &body.note, act).await?;
    Ok(Json(signal.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlagBody {
    player_id: PlayerId,
    note: String,
}

async fn flag(
    State(db): State<Db>,
    Acting(act): Acting,
    JsonBody(body): JsonBody<FlagBody>,
) -> Result<impl IntoResponse, Problem> {
    let signal = risk::flag(&db, &body.player_id, &body.note, &act).await?;
    Ok((StatusCode::CREATED, Json(SignalView::from(signal))))
}
