//! `/api/redemption`: the catalogue.

use app::Db;
use app::redemption::StoredRedemptionRule;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::access::Role;
use domain::id::RedemptionRuleId;
use jiff::Timestamp;
use lambda::{Api, Caller, JsonBody, Page, Params, PathParams, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Adds the routes.
pub fn routes(api: Api<Db>) -> Api<Db> {
    api.get("/api/redemption/rules", Role::Viewer, list)
        .post("/api/redemption/rules", Role::Admin, create)
        .get("/api/redemption/rules/{rule_id}", Role::Viewer, get)
        .put("/api/redemption/rules/{rule_id}", Role::Admin, update)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    is_active: Option<bool>,
}

async fn list(State(db): State<Db>, Params(params): Params<ListParams>, page: Page) -> Result<Response, Problem> {
    let slice = app::Page { after: page.cursor()?, skip: page.skip, limit: page.limit };
    let rules = app::redemption::list(&db, params.is_active, &slice).await?;
    Ok(page.respond(rules.into_iter().map(RuleView::from).collect(), |rule| rule.rule_id.to_string()))
}

async fn get(State(db): State<Db>, PathParams(rule_id): PathParams<RedemptionRuleId>) -> Result<Json<RuleView>, Problem> {
    Ok(Json(app::redemption::get(&db, &rule_id).await?.into()))
}

async fn create(State(db): State<Db>, caller: Caller, JsonBody(rule): JsonBody<Value>) -> Result<impl IntoResponse, Problem> {
    let rule = app::redemption::create(&db, &rule, &caller.actor(), lambda::context()).await?;
    Ok((StatusCode::CREATED, Json(RuleView::from(rule))))
}

/// The body need not name the entry again.
async fn update(
    State(db): State<Db>,
    PathParams(rule_id): PathParams<RedemptionRuleId>,
    caller: Caller,
    JsonBody(rule): JsonBody<Value>,
) -> Result<Json<RuleView>, Problem> {
    Ok(Json(app::redemption::update(&db, &rule_id, &rule, &caller.actor(), lambda::context()).await?.into()))
}

/// An entry of the catalogue.
#[derive(Serialize)]
struct RuleView {
    #[serde(skip)]
    rule_id: RedemptionRuleId,
    #[serde(flatten)]
    definition: Map<String, Value>,
    created_at: Timestamp,
    updated_at: Timestamp,
}

impl From<StoredRedemptionRule> for RuleView {
    fn from(stored: StoredRedemptionRule) -> Self {
        Self {
            definition: stored.rule.definition(),
            rule_id: stored.rule.rule_id,
            created_at: stored.created_at,
            updated_at: stored.updated_at,
        }
    }
}
