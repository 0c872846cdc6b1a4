//! `/api/analytics`: figures, rewards and transactions.

use app::Db;
use app::platform::analytics::{DashboardView, PostedLine, Reward};
use app::platform::analytics::{GrantStatus, RewardFilter};
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use domain::access::Role;
use domain::id::{PlayerId, RuleId};
use lambda::{Api, Auth, Page, Params, Problem, TellsTime};
use serde::Deserialize;

pub fn router(db: Db, clock: impl TellsTime) -> Router {
    api(&db).into_router(db, clock)
}

pub fn api(db: &Db) -> Api<Db> {
    Api::new(Auth::new(app::platform::keys::lookup(db.clone())))
        .get("/api/analytics/dashboard", Role::Viewer, dashboard)
        .get("/api/analytics/rewards", Role::Viewer, rewards)
        .get("/api/analytics/transactions", Role::Viewer, transactions)
}

async fn dashboard(State(db): State<Db>) -> Result<Json<DashboardView>, Problem> {
    Ok(Json(app::platform::analytics::dashboard(&db).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RewardParams {
    player_id: Option<PlayerId>,
    status: Option<GrantStatus>,
    rule_id: Option<RuleId>,
}

async fn rewards(State(db): State<Db>, Params(params): Params<RewardParams>, page: Page) -> Result<Response, Problem> {
    let RewardParams {
        player_id,
        status,
        rule_id,
    } = params;
    let rewards = app::platform::analytics::rewards(
        &db,
        &RewardFilter {
            player_id,
            status,
            rule_id,
        },
        &page.slice()?,
    )
    .await?;
    Ok(page.respond(rewards, |reward: &Reward| reward.grant_id.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransactionParams {
    player_id: Option<PlayerId>,
}

async fn transactions(
    State(db): State<Db>,
    Params(params): Params<TransactionParams>,
    page: Page,
) -> Result<Response, Problem> {
    let postings = app::platform::analytics::transactions(&db, params.player_id.as_ref(), &page.slice()?).await?;
    Ok(page.respond(postings, PostedLine::cursor))
}
