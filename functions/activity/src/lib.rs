//! `/api/activity`: what players did, as events that count once, for ever, each answered on its own.

use app::Db;
use app::activity::{self, GrantEffect, Occurrence, Outcome, Payout, Remark, Stake, Traces};
use axum::Json;
use axum::Router;
use axum::extract::State;
use domain::access::Role;
use domain::id::{EventId, PlayerId};
use domain::idempotency::Answer;
use domain::money::{Amount, MONEY_SCALE, shown};
use domain::problem::{FieldError, Refusal, RefusalKind};
use jiff::Timestamp;
use lambda::{Api, Auth, Caller, JsonBody, Problem, read_object};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::IpAddr;

const EVENTS_MAX: usize = 500;

pub fn router(db: Db) -> Router {
    api(&db).into_router(db)
}

pub fn api(db: &Db) -> Api<Db> {
    Api::new(Auth::new(app::keys::lookup(db.clone()))).post("/api/activity", Role::Ingest, record)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivityBody {
    /// Read one by one, so that a wrong one is rejected alone.
    events: Vec<Value>,
}

#[derive(Serialize)]
struct ActivityView {
    results: Vec<ResultView>,
}

/// What became of one event, in the order of the request.
#[derive(Serialize)]
struct ResultView {
    event_id: Option<Value>,
    status: ResultStatus,
    /// What it did to bonuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeView>,
    /// Why it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum ResultStatus {
    Accepted,
    /// It was recorded before; the outcome is the one of then.
    Duplicate,
    Rejected,
}

#[derive(Serialize)]
struct Reason {
    /// Stable, for programs.
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError>,
}

#[derive(Serialize)]
struct OutcomeView {
    grants: Vec<GrantEffect>,
    real_amount: Decimal,
    forfeited_amount: Decimal,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<Remark>,
}

impl From<Outcome> for OutcomeView {
    fn from(outcome: Outcome) -> Self {
        let money = |amount| shown(amount, MONEY_SCALE);
        let effect = |effect: GrantEffect| GrantEffect {
            contribution: money(effect.contribution),
            bonus: money(effect.bonus),
            released: money(effect.released),
            ..effect
        };
        Self {
            grants: outcome.grants.into_iter().map(effect).collect(),
            real_amount: money(outcome.real_amount),
            forfeited_amount: money(outcome.forfeited_amount),
            remark: outcome.remark,
        }
    }
}

impl From<Refusal> for Reason {
    fn from(Refusal { kind, code, detail, errors, .. }: Refusal) -> Self {
        let code = if kind == RefusalKind::NotFound { "not_found" } else { code };
        Self { code, detail, errors }
    }
}

async fn record(State(db): State<Db>, caller: Caller, JsonBody(body): JsonBody<ActivityBody>) -> Result<Json<ActivityView>, Problem> {
    if body.events.len() > EVENTS_MAX {
        let detail = format!("{} events; at most {EVENTS_MAX} are taken at a time", body.events.len());
        return Err(Problem::new(RefusalKind::PayloadTooLarge, detail));
    }
    let actor = caller.actor();
    let mut results = Vec::with_capacity(body.events.len());
    for event in body.events {
        let event_id = event.get("event_id").cloned();
        let result = match record_one(&db, &event, &actor).await {
            Ok(Answer::First(outcome)) => (ResultStatus::Accepted, Some(outcome.into()), None),
            Ok(Answer::Replayed(outcome)) => (ResultStatus::Duplicate, Some(outcome.into()), None),
            // Ours, not the event's: the caller sends the batch again, and what was recorded is a duplicate then.
            Err(problem) if problem.status().is_server_error() => return Err(problem),
            Err(problem) => (ResultStatus::Rejected, None, Some(problem.into_refusal().into())),
        };
        let (status, outcome, reason) = result;
        results.push(ResultView { event_id, status, outcome, reason });
    }
    Ok(Json(ActivityView { results }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct EventBody {
    event_id: EventId,
    player_id: PlayerId,
    #[serde(rename = "type")]
    event_type: EventType,
    occurred_at: Timestamp,
    amount: Option<Amount<2>>,
    game: Option<String>,
    round_id: Option<String>,
    bonus_amount: Option<Amount<2>>,
    voids: Option<EventId>,
    /// What the player was seen with; of any type of event.
    device_id: Option<String>,
    payment_method: Option<String>,
    ip: Option<IpAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum EventType {
    Stake,
    Payout,
    Void,
    Withdrawal,
}

impl EventBody {
    /// What only events of other types say.
    fn check_fields(&self) -> Result<(), Refusal> {
        use EventType::{Payout, Stake, Void};
        let of = |types: &[EventType]| types.contains(&self.event_type);
        let fields = [
            ("/game", self.game.is_some(), of(&[Stake, Payout])),
            ("/round_id", self.round_id.is_some(), of(&[Stake, Payout])),
            ("/bonus_amount", self.bonus_amount.is_some(), of(&[Stake])),
            ("/voids", self.voids.is_some(), of(&[Void])),
            ("/amount", self.amount.is_some(), !of(&[Void])),
        ];
        let wrong = fields.into_iter().filter(|(_, given, fits)| *given && !fits);
        let errors: Vec<_> =
            wrong.map(|(pointer, ..)| FieldError::new(pointer, "unknown", "does not belong to this type of event")).collect();
        if errors.is_empty() { Ok(()) } else { Err(Refusal::invalid(errors)) }
    }
}

fn required(amount: Option<Amount<2>>) -> Result<Decimal, Refusal> {
    amount.map(|amount| amount.0).ok_or_else(|| Refusal::invalid_at("/amount", "required", "is required"))
}

async fn record_one(db: &Db, event: &Value, actor: &str) -> Result<Answer<Outcome>, Problem> {
    let body: EventBody = read_object(event.to_string().as_bytes())?;
    body.check_fields()?;
    let context = lambda::context();
    let traces =
        Traces { device_id: body.device_id, payment_method: body.payment_method, ip: body.ip.map(|ip| ip.to_canonical().to_string()) };
    let what = Occurrence { event_id: body.event_id, player_id: body.player_id, at: body.occurred_at, traces };
    let answer = match body.event_type {
        EventType::Stake => {
            let bonus_amount = body.bonus_amount.map(|amount| amount.0).unwrap_or_default();
            let stake = Stake { amount: required(body.amount)?, game: body.game, round_id: body.round_id, bonus_amount };
            activity::record_stake(db, what, stake, actor, context).await
        }
        EventType::Payout => {
            let payout = Payout { amount: required(body.amount)?, round_id: body.round_id };
            activity::record_payout(db, what, payout, actor, context).await
        }
        EventType::Void => {
            let voids = body.voids.ok_or_else(|| Refusal::invalid_at("/voids", "required", "is required"))?;
            activity::void(db, what, voids, actor, context).await
        }
        EventType::Withdrawal => activity::record_withdrawal(db, what, required(body.amount)?, actor, context).await,
    };
    Ok(answer?)
}
