//! `/api/players`: profiles, standings, and the facts that rules see.
//!
//! # Choices
//!
//! * Added to the API: `GET /players/{id}/decisions`, the decisions about a player, with figures.

mod view;

use app::Db;
use app::players::Filter;
use app::players::{Changes, Registration};
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::access::Role;
use domain::id::PlayerId;
use domain::segment::Segment;
use jiff::Timestamp;
use lambda::{Acting, Api, Auth, Clock, Flag, JsonBody, Page, Params, PathParams, Problem, TellsTime};
use serde::{Deserialize, Deserializer};
use view::PlayerView;

pub fn router(db: Db, clock: impl TellsTime) -> Router {
    api(&db).into_router(db, clock)
}

pub fn api(db: &Db) -> Api<Db> {
    Api::new(Auth::new(app::platform::keys::lookup(db.clone())))
        .get("/api/players", Role::Viewer, list)
        .post("/api/players", Role::Operator, create)
        .get("/api/players/{player_id}", Role::Viewer, get)
        .put("/api/players/{player_id}", Role::Operator, update)
        .delete("/api/players/{player_id}", Role::Operator, deactivate)
        .get("/api/players/{player_id}/facts", Role::Viewer, facts)
        .get("/api/players/{player_id}/segments", Role::Viewer, segments)
        .get("/api/players/{player_id}/tier", Role::Viewer, tier)
        .get("/api/players/{player_id}/grants", Role::Viewer, grants)
        .get("/api/players/{player_id}/decisions", Role::Viewer, decisions)
        .get("/api/players/{player_id}/risk", Role::Viewer, risk)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    segment: Option<Segment>,
    tier: Option<String>,
    is_active: Option<Flag>,
    q: Option<String>,
}

async fn list(State(db): State<Db>, Params(params): Params<ListParams>, page: Page) -> Result<Response, Problem> {
    let ListParams {
        segment,
        tier,
        is_active,
        q,
    } = params;
    let filter = Filter {
        segment,
        tier,
        is_active: is_active.map(bool::from),
        prefix: q.filter(|q| !q.is_empty()),
    };
    let players = app::players::list(&db, &filter, &page.slice()?).await?;
    Ok(
        page.respond(players.into_iter().map(PlayerView::from).collect(), |player| {
            player.player_id.clone()
        }),
    )
}

async fn get(State(db): State<Db>, PathParams(player_id): PathParams<PlayerId>) -> Result<Json<PlayerView>, Problem> {
    Ok(Json(app::players::get(&db, &player_id).await?.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CreateBody {
    player_id: PlayerId,
    email: Option<String>,
    name: Option<String>,
}

async fn create(
    State(db): State<Db>,
    Acting(act): Acting,
    JsonBody(body): JsonBody<CreateBody>,
) -> Result<impl IntoResponse, Problem> {
    let CreateBody { player_id, email, name } = body;
    let player = app::players::create(&db, &Registration { player_id, email, name }, &act).await?;
    Ok((StatusCode::CREATED, Json(PlayerView::from(player))))
}

/// Fields left out stay as they are; null clears.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UpdateBody {
    #[serde(default, deserialize_with = "given")]
    email: Option<Option<String>>,
    #[serde(default, deserialize_with = "given")]
    name: Option<Option<String>>,
    is_active: Option<bool>,
    is_blocked: Option<bool>,
    #[serde(default, deserialize_with = "given")]
    self_excluded_until: Option<Option<Timestamp>>,
}

/// Distinguishes null from absent.
fn given<'de, T: Deserialize<'de>, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

async fn update(
    State(db): State<Db>,
    PathParams(player_id): PathParams<PlayerId>,
    Acting(act): Acting,
    JsonBody(body): JsonBody<UpdateBody>,
) -> Result<Json<PlayerView>, Problem> {
    let UpdateBody {
        email,
        name,
        is_active,
        is_blocked,
        self_excluded_until,
    } = body;
    let changes = Changes {
        email,
        name,
        is_active,
        is_blocked,
        self_excluded_until,
    };
    Ok(Json(
        app::players::update(&db, &player_id, &changes, &act).await?.into(),
    ))
}

async fn deactivate(
    State(db): State<Db>,
    PathParams(player_id): PathParams<PlayerId>,
    Acting(act): Acting,
) -> Result<Json<PlayerView>, Problem> {
    let changes = Changes::deactivation();
    Ok(Json(
        app::players::update(&db, &player_id, &changes, &act).await?.into(),
    ))
}

async fn facts(
    State(db): State<Db>,
    clock: Clock,
    PathParams(player_id): PathParams<PlayerId>,
) -> Result<Json<view::FactsView>, Problem> {
    let facts = app::players::facts(&db, &player_id, clock.now()).await?;
    Ok(Json(view::FactsView { player_id, facts }))
}

async fn risk(
    State(db): State<Db>,
    clock: Clock,
    PathParams(player_id): PathParams<PlayerId>,
) -> Result<Json<view::RiskView>, Problem> {
    Ok(Json(
        app::players::risk::profile(&db, &player_id, clock.now()).await?.into(),
    ))
}

async fn tier(
    State(db): State<Db>,
    clock: Clock,
    PathParams(player_id): PathParams<PlayerId>,
) -> Result<Json<view::TierView>, Problem> {
    Ok(Json(app::tiers::standing(&db, &player_id, clock.now()).await?.into()))
}

async fn segments(
    State(db): State<Db>,
    PathParams(player_id): PathParams<PlayerId>,
    page: Page,
) -> Result<Response, Problem> {
    Ok(page.respond(
        app::players::segments(&db, &player_id, &page.slice()?).await?,
        |change| change.at.to_string(),
    ))
}

async fn grants(
    State(db): State<Db>,
    PathParams(player_id): PathParams<PlayerId>,
    page: Page,
) -> Result<Response, Problem> {
    Ok(
        page.respond(app::players::grants(&db, &player_id, &page.slice()?).await?, |reward| {
            reward.grant_id.to_string()
        }),
    )
}

async fn decisions(
    State(db): State<Db>,
    PathParams(player_id): PathParams<PlayerId>,
    page: Page,
) -> Result<Response, Problem> {
    Ok(page.respond(
        app::players::decisions(&db, &player_id, &page.slice()?).await?,
        |evaluation| evaluation.evaluation_id.to_string(),
    ))
}
