//! `/api/rules/{rule_id}/evaluate` and `/revoke`: runs of one rule over all players, through the queues.

use crate::Rules;
use app::runs::rule_runs;
use app::runs::{self, RunStarted};
use axum::extract::State;
use axum::response::Response;
use domain::id::RuleId;
use lambda::{Acting, Clock, JsonBody, PathParams, Problem};
use serde::Deserialize;

pub async fn evaluate(
    State(rules): State<Rules>,
    clock: Clock,
    PathParams(rule_id): PathParams<RuleId>,
    Acting(act): Acting,
) -> Result<Response, Problem> {
    let started = rule_runs::start_evaluation(&rules.db, &rule_id, &act).await?;
    send(&rules, started, &clock).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Revoke {
    reason: String,
}

pub async fn revoke(
    State(rules): State<Rules>,
    clock: Clock,
    PathParams(rule_id): PathParams<RuleId>,
    Acting(act): Acting,
    JsonBody(body): JsonBody<Revoke>,
) -> Result<Response, Problem> {
    let started = rule_runs::start_revocation(&rules.db, &rule_id, &body.reason, &act).await?;
    send(&rules, started, &clock).await
}

/// Sends one message per shard; 202 with the run's URL.
pub async fn send(rules: &Rules, started: RunStarted, clock: &Clock) -> Result<Response, Problem> {
    let give_up =
        |error: &'static str| async move { runs::give_up_all(&rules.db, started, error, clock.context()).await };
    lambda::runs::send(&rules.segmentation, started.run_id, started.bodies(), give_up).await
}
