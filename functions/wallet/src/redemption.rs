//! `/api/redemption`: the catalogue and redemptions.

use app::Db;
use app::wallet::redemption::{Redeemed, StoredRedemptionRule};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use domain::access::Role;
use domain::id::{GrantId, PlayerId, RedemptionId, RedemptionRuleId, TransactionId};
use domain::money::{Asset, Quantity};
use domain::redemption::{Redemption, Target};
use jiff::Timestamp;
use lambda::{Acting, Answered, Api, Flag, JsonBody, Keyed, Page, Params, PathParams, Problem};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Adds the routes.
pub fn routes(api: Api<Db>) -> Api<Db> {
    api.get("/api/redemption/rules", Role::Viewer, list)
        .post("/api/redemption/rules", Role::Admin, create)
        .get("/api/redemption/rules/{rule_id}", Role::Viewer, get)
        .put("/api/redemption/rules/{rule_id}", Role::Admin, update)
        .post("/api/redemption/redeem", Role::Operator, redeem)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ListParams {
    is_active: Option<Flag>,
}

async fn list(State(db): State<Db>, Params(params): Params<ListParams>, page: Page) -> Result<Response, Problem> {
    let rules = app::wallet::redemption::list(&db, params.is_active.map(bool::from), &page.slice()?).await?;
    Ok(page.respond(rules.into_iter().map(RuleView::from).collect(), |rule| {
        rule.rule_id.to_string()
    }))
}

async fn get(
    State(db): State<Db>,
    PathParams(rule_id): PathParams<RedemptionRuleId>,
) -> Result<Json<RuleView>, Problem> {
    Ok(Json(app::wallet::redemption::get(&db, &rule_id).await?.into()))
}

async fn create(
    State(db): State<Db>,
    Acting(act): Acting,
    JsonBody(rule): JsonBody<Value>,
) -> Result<impl IntoResponse, Problem> {
    let rule = app::wallet::redemption::create(&db, &rule, &act).await?;
    Ok((StatusCode::CREATED, Json(RuleView::from(rule))))
}

/// The body is a JSON merge patch: fields that it leaves out stay, null clears. To make a bonus a cash entry, clear its
/// terms: `{"target": "CASH", "wagering_requirement": null}`.
async fn update(
    State(db): State<Db>,
    PathParams(rule_id): PathParams<RedemptionRuleId>,
    Acting(act): Acting,
    JsonBody(patch): JsonBody<Value>,
) -> Result<Json<RuleView>, Problem> {
    Ok(Json(
        app::wallet::redemption::update(&db, &rule_id, &patch, &act)
            .await?
            .into(),
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RedeemBody {
    player_id: PlayerId,
    rule_id: RedemptionRuleId,
}

async fn redeem(
    State(db): State<Db>,
    Keyed { body, act }: Keyed<RedeemBody>,
) -> Result<Answered<Json<RedeemedView>>, Problem> {
    let RedeemBody { player_id, rule_id } = body;
    Ok(Answered::view(
        app::wallet::redemption::redeem(&db, &player_id, &rule_id, &act).await?,
    ))
}

/// A catalogue entry.
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

/// The result of a redemption.
#[derive(Serialize)]
struct RedeemedView {
    success: bool,
    redemption_id: RedemptionId,
    transaction_id: TransactionId,
    rule_id: RedemptionRuleId,
    cost: Quantity,
    cost_currency: Asset,
    target: Target,
    amount: Quantity,
    /// Null if the target is not BONUS.
    grant_id: Option<GrantId>,
    /// New balance of the currency that was spent.
    new_balance: Quantity,
    message: String,
}

impl From<Redeemed> for RedeemedView {
    fn from(redeemed: Redeemed) -> Self {
        let (cost, amount) = (redeemed.redemption.cost(), redeemed.redemption.amount());
        let new_balance = redeemed.redemption.cost_asset.quantity(redeemed.new_balance);
        let Redemption {
            redemption_id,
            transaction_id,
            rule_id,
            cost_asset,
            target,
            grant_id,
            ..
        } = redeemed.redemption;
        let message =
            format!("{cost} {cost_asset} became {amount} {target}; the {cost_asset} balance is {new_balance}");
        Self {
            success: true,
            redemption_id,
            transaction_id,
            rule_id,
            cost,
            cost_currency: cost_asset,
            target,
            amount,
            grant_id,
            new_balance,
            message,
        }
    }
}
