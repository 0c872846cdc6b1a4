//! `/api/rules/{rule_id}/evaluate` and `/revoke`: a rule for everybody, through the queues.

use crate::Rules;
use app::rule_runs;
use app::runs::{self, RunStarted, ShardMessage};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use domain::id::RuleId;
use domain::problem::{Refusal, RefusalKind};
use lambda::sqs::SqsError;
use lambda::{Caller, JsonBody, PathParams, Problem};
use serde::Deserialize;
use serde_json::json;

pub async fn evaluate(State(rules): State<Rules>, PathParams(rule_id): PathParams<RuleId>, caller: Caller) -> Result<Response, Problem> {
    let started = rule_runs::start_evaluation(&rules.db, &rule_id, &caller.actor(), lambda::context()).await?;
    send(&rules, started).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    reason: String,
}

pub async fn revoke(
    State(rules): State<Rules>,
    PathParams(rule_id): PathParams<RuleId>,
    caller: Caller,
    JsonBody(body): JsonBody<Revoke>,
) -> Result<Response, Problem> {
    let started = rule_runs::start_revocation(&rules.db, &rule_id, &body.reason, &caller.actor(), lambda::context()).await?;
    send(&rules, started).await
}

/// One message for each shard; 202 with where to look.
pub async fn send(rules: &Rules, started: RunStarted) -> Result<Response, Problem> {
    let bodies = started.messages().map(ShardMessage::to_json).collect();
    if let Err(error) = rules.segmentation.send(bodies).await {
        return Err(give_up(rules, started, &error).await);
    }
    let place = format!("/api/runs/{}", started.run_id);
    let body = Json(json!({"run_id": started.run_id, "shards": started.shards, "run_url": place}));
    Ok((StatusCode::ACCEPTED, [(LOCATION, place)], body).into_response())
}

/// A run whose messages could not be sent must not stay open for ever.
async fn give_up(rules: &Rules, started: RunStarted, error: &SqsError) -> Problem {
    let cause = lambda::problem::causes(error);
    tracing::error!(run_id = %started.run_id, cause, "the messages of a run could not be sent");
    if let Err(error) = runs::give_up_all(&rules.db, started, "the segmentation queue could not be reached", lambda::context()).await {
        return error.into();
    }
    let detail = "the queue of runs cannot be reached just now; the run was given up";
    Refusal::new(RefusalKind::Unavailable, "", detail).with("run_id", json!(started.run_id)).into()
}
