//! `/api/rules` and `/api/tiers`: reward rules and the tier ladder.

mod runs;
mod simulate;
mod view;

use app::Db;
use axum::Json;
use axum::Router;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::access::Role;
use domain::facts::FactDef;
use domain::id::{PlayerId, RuleId};
use domain::money::Points;
use domain::problem::Refusal;
use domain::tier::Tier;
use lambda::sqs::Queue;
use lambda::{Acting, Api, Auth, Clock, Flag, JsonBody, JsonText, Page, Params, PathParams, Problem, TellsTime};
use serde::Deserialize;
use serde_json::{Map, Value};
use view::{RuleView, TrialView, VersionView};

#[derive(Clone)]
pub struct Rules {
    pub db: Db,
    /// Receives the messages of new runs.
    pub segmentation: Queue,
}

impl FromRef<Rules> for Db {
    fn from_ref(rules: &Rules) -> Db {
        rules.db.clone()
    }
}

pub fn router(rules: Rules, clock: impl TellsTime) -> Router {
    api(&rules.db).into_router(rules, clock)
}

pub fn api(db: &Db) -> Api<Rules> {
    Api::new(Auth::new(app::platform::keys::lookup(db.clone())))
        .get("/api/rules", Role::Viewer, list)
        .post("/api/rules", Role::Admin, create)
        .get("/api/rules/facts", Role::Viewer, facts)
        .post("/api/rules/simulate", Role::Operator, simulate::simulate)
        .get("/api/rules/simulations/{run_id}", Role::Viewer, simulate::report)
        .get("/api/rules/{rule_id}", Role::Viewer, get)
        .put("/api/rules/{rule_id}", Role::Admin, update)
        .delete("/api/rules/{rule_id}", Role::Admin, archive)
        .get("/api/rules/{rule_id}/versions", Role::Viewer, versions)
        .post("/api/rules/{rule_id}/test", Role::Viewer, test)
        .post("/api/rules/{rule_id}/evaluate", Role::Operator, runs::evaluate)
        .post("/api/rules/{rule_id}/revoke", Role::Admin, runs::revoke)
        .get("/api/tiers", Role::Viewer, tiers)
        .post("/api/tiers", Role::Admin, create_tier)
        .put("/api/tiers/{tier_level}", Role::Admin, update_tier)
        .delete("/api/tiers/{tier_level}", Role::Admin, delete_tier)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    is_active: Option<Flag>,
}

async fn list(State(db): State<Db>, Params(params): Params<ListParams>, page: Page) -> Result<Response, Problem> {
    let rules = app::rules::list(&db, params.is_active.map(bool::from), &page.slice()?).await?;
    Ok(page.respond(rules.into_iter().map(RuleView::from).collect(), |rule| {
        rule.rule_id.clone()
    }))
}

async fn get(State(db): State<Db>, PathParams(rule_id): PathParams<RuleId>) -> Result<Json<RuleView>, Problem> {
    Ok(Json(app::rules::get(&db, &rule_id).await?.into()))
}

async fn create(
    State(db): State<Db>,
    Acting(act): Acting,
    JsonBody(rule): JsonBody<Value>,
) -> Result<impl IntoResponse, Problem> {
    let rule = app::rules::create(&db, &rule, &act).await?;
    Ok((StatusCode::CREATED, Json(RuleView::from(rule))))
}

/// The body is a JSON merge patch (RFC 7396): fields that it leaves out stay, null clears, objects merge, and lists are
/// replaced. Conditions are an object, so a new one is added to the others unless the body clears them:
/// `{"conditions": {"segment": null, "tier": "GOLD"}}`.
async fn update(
    State(db): State<Db>,
    PathParams(rule_id): PathParams<RuleId>,
    Acting(act): Acting,
    JsonBody(patch): JsonBody<Value>,
) -> Result<Json<RuleView>, Problem> {
    Ok(Json(app::rules::update(&db, &rule_id, &patch, &act).await?.into()))
}

async fn archive(
    State(db): State<Db>,
    PathParams(rule_id): PathParams<RuleId>,
    Acting(act): Acting,
) -> Result<Json<RuleView>, Problem> {
    Ok(Json(app::rules::archive(&db, &rule_id, &act).await?.into()))
}

async fn versions(
    State(db): State<Db>,
    PathParams(rule_id): PathParams<RuleId>,
    page: Page,
) -> Result<Response, Problem> {
    let versions = app::rules::versions(&db, &rule_id, &page.slice()?).await?;
    Ok(
        page.respond(versions.into_iter().map(VersionView::from).collect(), |version| {
            version.version.to_string()
        }),
    )
}

async fn facts(State(db): State<Db>, clock: Clock) -> Result<Json<Vec<FactDef>>, Problem> {
    Ok(Json(app::rules::facts(&db, clock.now()).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TestBody {
    player_id: PlayerId,
}

async fn test(
    State(db): State<Db>,
    clock: Clock,
    PathParams(rule_id): PathParams<RuleId>,
    JsonBody(body): JsonBody<TestBody>,
) -> Result<Json<TrialView>, Problem> {
    Ok(Json(
        app::rules::test(&db, &rule_id, &body.player_id, clock.now())
            .await?
            .into(),
    ))
}

async fn tiers(State(db): State<Db>) -> Result<Json<Vec<Tier>>, Problem> {
    Ok(Json(app::tiers::list(&db).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TierBody {
    tier_level: Option<String>,
    lp_min: Points,
    #[serde(default)]
    benefits: Map<String, Value>,
    requirements: Option<Value>,
    /// Where the tier ends, as the sender has it.
    lp_max: Option<Points>,
}

/// As [`TierBody`], with what is to change only.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it checks names and types; the patch itself is applied")]
struct TierPatch {
    tier_level: Option<String>,
    lp_min: Option<Points>,
    benefits: Option<Map<String, Value>>,
    requirements: Option<Value>,
    lp_max: Option<Points>,
}

async fn create_tier(
    State(db): State<Db>,
    Acting(act): Acting,
    JsonBody(mut body): JsonBody<TierBody>,
) -> Result<impl IntoResponse, Problem> {
    let tier_level = body
        .tier_level
        .take()
        .ok_or_else(|| Refusal::invalid_at("/tier_level", "required", "is required"))?;
    let tier = Tier {
        tier_level,
        lp_min: body.lp_min,
        benefits: body.benefits,
        requirements: body.requirements,
    };
    let tier = app::tiers::create(&db, &tier, body.lp_max, &act).await?;
    Ok((StatusCode::CREATED, Json(tier)))
}

/// A JSON merge patch: `{"benefits": {"gift_value": null}}` removes that benefit and leaves the rest of the tier.
async fn update_tier(
    State(db): State<Db>,
    PathParams(tier_level): PathParams<String>,
    Acting(act): Acting,
    body: JsonText,
) -> Result<Json<Tier>, Problem> {
    let TierPatch { lp_min, lp_max, .. } = body.read()?;
    let mut patch: Map<String, Value> = body.read()?;
    patch.remove("lp_max");
    if lp_min.is_none() && patch.contains_key("lp_min") {
        return Err(Refusal::invalid_at("/lp_min", "required", "is required").into());
    }
    Ok(Json(
        app::tiers::update(&db, &tier_level, &Value::Object(patch), lp_max, &act).await?,
    ))
}

async fn delete_tier(
    State(db): State<Db>,
    PathParams(tier_level): PathParams<String>,
    Acting(act): Acting,
) -> Result<Json<Tier>, Problem> {
    Ok(Json(app::tiers::delete(&db, &tier_level, &act).await?))
}
