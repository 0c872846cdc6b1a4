//! `/api/wallet`: what a player has, and what people credit by hand.

mod view;

use app::Db;
use app::wallet::{AddBonus, AddLp};
use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::response::Response;
use domain::access::Role;
use domain::id::PlayerId;
use domain::money::Amount;
use domain::problem::{FieldError, Refusal};
use lambda::{Api, Auth, Caller, Keyed, PathParams, Problem};
use serde::Deserialize;
use view::{ReceiptView, WalletView};

/// Longest source, description and name of a game, in characters.
const TEXT_CHARACTERS_MAX: usize = 500;
const GAMES_MAX: usize = 100;

pub fn router(db: Db) -> Router {
    api(&db).into_router(db)
}

pub fn api(db: &Db) -> Api<Db> {
    Api::new(Auth::new(app::keys::lookup(db.clone())))
        .get("/api/wallet/{player_id}", Role::Viewer, get)
        .post("/api/wallet/add-lp", Role::Operator, add_lp)
        .post("/api/wallet/add-bonus", Role::Operator, add_bonus)
}

async fn get(State(db): State<Db>, PathParams(player_id): PathParams<PlayerId>) -> Result<Json<WalletView>, Problem> {
    Ok(Json(app::wallet::get(&db, &player_id).await?.into()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddLpBody {
    player_id: PlayerId,
    amount: Amount<2>,
    source: Option<String>,
    description: Option<String>,
}

async fn add_lp(State(db): State<Db>, caller: Caller, Keyed { body, key }: Keyed<AddLpBody>) -> Result<Response, Problem> {
    let mut errors = Vec::new();
    check_text("/source", body.source.as_deref(), &mut errors);
    check_text("/description", body.description.as_deref(), &mut errors);
    refuse(errors)?;
    let reason: Vec<String> = [body.source, body.description].into_iter().flatten().filter(|text| !text.is_empty()).collect();
    let reason = (!reason.is_empty()).then(|| reason.join(": "));
    let command = AddLp { player_id: body.player_id, amount: body.amount.0, reason };
    let receipt = app::wallet::add_lp(&db, &command, key.as_ref(), &caller.actor(), lambda::context()).await?;
    Ok(lambda::idempotency::respond(receipt, |receipt| Json(ReceiptView::from(receipt))))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AddBonusBody {
    player_id: PlayerId,
    amount: Amount<2>,
    /// Money to stake, as its callers expect; not a multiplier.
    wagering_requirement: Amount<2>,
    expiry_hours: Option<u32>,
    max_bet: Option<Amount<2>>,
    eligible_games: Option<Vec<String>>,
    description: Option<String>,
}

async fn add_bonus(State(db): State<Db>, caller: Caller, Keyed { body, key }: Keyed<AddBonusBody>) -> Result<Response, Problem> {
    let mut errors = Vec::new();
    check_text("/description", body.description.as_deref(), &mut errors);
    check_games(body.eligible_games.as_deref(), &mut errors);
    refuse(errors)?;
    let command = AddBonus {
        player_id: body.player_id,
        amount: body.amount.0,
        wagering_required: body.wagering_requirement.0,
        expiry_hours: body.expiry_hours,
        max_bet: body.max_bet.map(|max_bet| max_bet.0),
        eligible_games: body.eligible_games,
        reason: body.description,
    };
    let receipt = app::wallet::add_bonus(&db, &command, key.as_ref(), &caller.actor(), lambda::context()).await?;
    Ok(lambda::idempotency::respond(receipt, |receipt| Json(ReceiptView::from(receipt))))
}

fn check_text(pointer: &str, text: Option<&str>, errors: &mut Vec<FieldError>) {
    let is_wrong = |text: &str| text.chars().any(char::is_control) || text.chars().nth(TEXT_CHARACTERS_MAX).is_some();
    if text.is_some_and(is_wrong) {
        let detail = format!("must have at most {TEXT_CHARACTERS_MAX} characters, none of them a control character");
        errors.push(FieldError::new(pointer, "format", detail));
    }
}

/// An empty list would let no stake count: the bonus could never be wagered.
fn check_games(games: Option<&[String]>, errors: &mut Vec<FieldError>) {
    let games = match games {
        None => return,
        Some(games) if games.is_empty() || games.len() > GAMES_MAX => {
            errors.push(FieldError::new("/eligible_games", "range", format!("must name 1 to {GAMES_MAX} games, or be absent")));
            return;
        }
        Some(games) => games,
    };
    for (index, game) in games.iter().enumerate() {
        let pointer = format!("/eligible_games/{index}");
        if game.trim().is_empty() {
            errors.push(FieldError::new(pointer, "format", "must not be empty"));
        } else {
            check_text(&pointer, Some(game), errors);
        }
    }
}

fn refuse(errors: Vec<FieldError>) -> Result<(), Problem> {
    if errors.is_empty() { Ok(()) } else { Err(Refusal::invalid(errors).into()) }
}
