//! `/api/wallet` and `/api/grants`: balances, and manual credits, deductions and corrections. `/api/redemption`: the
//! redemption of points.
//!
//! # Choices
//!
//! * Added to the API: `GET /grants/{id}` (a bonus with its terms and history) and `GET /redemption/rules/{id}`.

mod redemption;
mod view;

use app::Db;
use app::wallet::{AddBonus, AddLp, Deduct};
use axum::Json;
use axum::Router;
use axum::extract::State;
use domain::access::Role;
use domain::id::{GrantId, PlayerId, TransactionId};
use domain::money::{Asset, Money, Points, Positive};
use domain::problem::FieldErrors;
use domain::text::TextLimits;
use lambda::{Answered, Api, Auth, Clock, Keyed, PathParams, Problem, TellsTime};
use serde::Deserialize;
use view::{GrantHistoryView, GrantReceiptView, ReceiptView, ReversalView, WalletView};

/// Longest source, description, reason and game name, in characters.
const TEXT: TextLimits = TextLimits::characters(500);
const GAMES_MAX: usize = 100;

pub fn router(db: Db, clock: impl TellsTime) -> Router {
    api(&db).into_router(db, clock)
}

pub fn api(db: &Db) -> Api<Db> {
    redemption::routes(Api::new(Auth::new(app::platform::keys::lookup(db.clone()))))
        .get("/api/wallet/{player_id}", Role::Viewer, get)
        .post("/api/wallet/add-lp", Role::Operator, add_lp)
        .post("/api/wallet/add-bonus", Role::Operator, add_bonus)
        .post("/api/wallet/deduct", Role::Operator, deduct)
        .post("/api/wallet/reverse", Role::Operator, reverse)
        .get("/api/grants/{grant_id}", Role::Viewer, get_grant)
        .post("/api/grants/{grant_id}/activate", Role::Operator, activate)
        .post("/api/grants/{grant_id}/forfeit", Role::Operator, forfeit)
}

async fn get(
    State(db): State<Db>,
    clock: Clock,
    PathParams(player_id): PathParams<PlayerId>,
) -> Result<Json<WalletView>, Problem> {
    Ok(Json(WalletView::of(
        app::wallet::get(&db, &player_id).await?,
        clock.now(),
    )))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddLpBody {
    player_id: PlayerId,
    amount: Points,
    source: Option<String>,
    description: Option<String>,
}

async fn add_lp(
    State(db): State<Db>,
    Keyed { body, act }: Keyed<AddLpBody>,
) -> Result<Answered<Json<ReceiptView>>, Problem> {
    let mut errors = FieldErrors::default();
    check_text("/source", body.source.as_deref(), &mut errors);
    check_text("/description", body.description.as_deref(), &mut errors);
    errors.none_or(())?;
    let reason: Vec<String> = [body.source, body.description]
        .into_iter()
        .flatten()
        .filter(|text| !text.is_empty())
        .collect();
    let reason = (!reason.is_empty()).then(|| reason.join(": "));
    let command = AddLp {
        player_id: body.player_id,
        amount: body.amount,
        reason,
    };
    Ok(Answered::view(app::wallet::add_lp(&db, &command, &act).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddBonusBody {
    player_id: PlayerId,
    amount: Positive<Money>,
    /// The amount to stake, not a multiplier, as the callers of this endpoint expect.
    wagering_requirement: Money,
    expiry_hours: Option<u32>,
    max_bet: Option<Positive<Money>>,
    eligible_games: Option<Vec<String>>,
    description: Option<String>,
}

async fn add_bonus(
    State(db): State<Db>,
    Keyed { body, act }: Keyed<AddBonusBody>,
) -> Result<Answered<Json<ReceiptView>>, Problem> {
    let mut errors = FieldErrors::default();
    check_text("/description", body.description.as_deref(), &mut errors);
    check_games(body.eligible_games.as_deref(), &mut errors);
    errors.none_or(())?;
    let command = AddBonus {
        player_id: body.player_id,
        amount: body.amount,
        wagering_required: body.wagering_requirement,
        expiry_hours: body.expiry_hours,
        max_bet: body.max_bet,
        eligible_games: body.eligible_games,
        reason: body.description,
    };
    Ok(Answered::view(app::wallet::add_bonus(&db, &command, &act).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeductBody {
    player_id: PlayerId,
    currency: Asset,
    /// No currency has more decimal places than money.
    amount: Positive<Money>,
    description: Option<String>,
}

async fn deduct(
    State(db): State<Db>,
    Keyed { body, act }: Keyed<DeductBody>,
) -> Result<Answered<Json<ReceiptView>>, Problem> {
    let mut errors = FieldErrors::default();
    check_text("/description", body.description.as_deref(), &mut errors);
    errors.none_or(())?;
    let amount = body
        .currency
        .positive(body.amount.value())
        .map_err(|error| FieldErrors::one("/amount", error.code(), error.to_string()))?;
    let command = Deduct {
        player_id: body.player_id,
        amount,
        reason: body.description,
    };
    Ok(Answered::view(app::wallet::deduct(&db, &command, &act).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ReverseBody {
    transaction_id: TransactionId,
    reason: String,
}

async fn reverse(
    State(db): State<Db>,
    Keyed { body, act }: Keyed<ReverseBody>,
) -> Result<Answered<Json<ReversalView>>, Problem> {
    check_reason(&body.reason)?;
    Ok(Answered::view(
        app::wallet::reverse(&db, body.transaction_id, &body.reason, &act).await?,
    ))
}

async fn get_grant(
    State(db): State<Db>,
    clock: Clock,
    PathParams(grant_id): PathParams<GrantId>,
) -> Result<Json<GrantHistoryView>, Problem> {
    Ok(Json(GrantHistoryView::of(
        app::wallet::grants::get(&db, grant_id).await?,
        clock.now(),
    )))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivateBody {}

async fn activate(
    State(db): State<Db>,
    PathParams(grant_id): PathParams<GrantId>,
    Keyed {
        body: ActivateBody {},
        act,
    }: Keyed<ActivateBody>,
) -> Result<Answered<Json<GrantReceiptView>>, Problem> {
    Ok(Answered::view(
        app::wallet::grants::activate(&db, grant_id, &act).await?,
    ))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ForfeitBody {
    reason: String,
}

async fn forfeit(
    State(db): State<Db>,
    PathParams(grant_id): PathParams<GrantId>,
    Keyed { body, act }: Keyed<ForfeitBody>,
) -> Result<Answered<Json<GrantReceiptView>>, Problem> {
    check_reason(&body.reason)?;
    Ok(Answered::view(
        app::wallet::grants::forfeit(&db, grant_id, &body.reason, &act).await?,
    ))
}

/// Irreversible operations require a reason.
fn check_reason(reason: &str) -> Result<(), FieldErrors> {
    let mut errors = FieldErrors::default();
    if reason.trim().is_empty() {
        errors.push("/reason", "required", "must give a reason");
    }
    check_text("/reason", Some(reason), &mut errors);
    errors.none_or(())
}

fn check_text(pointer: &str, text: Option<&str>, errors: &mut FieldErrors) {
    if let Some(Err(error)) = text.map(|text| TEXT.check(text)) {
        errors.push(pointer, "format", error.to_string());
    }
}

/// With an empty list no stake would count, and the bonus could never be wagered.
fn check_games(games: Option<&[String]>, errors: &mut FieldErrors) {
    let games = match games {
        None => return,
        Some(games) if games.is_empty() || games.len() > GAMES_MAX => {
            errors.push(
                "/eligible_games",
                "range",
                format!("must name 1 to {GAMES_MAX} games, or be absent"),
            );
            return;
        }
        Some(games) => games,
    };
    for (index, game) in games.iter().enumerate() {
        let pointer = format!("/eligible_games/{index}");
        if game.trim().is_empty() {
            errors.push(pointer, "format", "must not be empty");
        } else {
            check_text(&pointer, Some(game), errors);
        }
    }
}
