//! `/api/rules/{rule_id}/evaluate` and `/revoke`: a rule for everybody, through the queues.

use crate::Rules;
use app::rules::rule_runs;
use app::runs::{self, RunStarted};
use axum::extract::State;
use axum::response::Response;
use domain::id::RuleId;
use lambda::{Caller, JsonBody, PathParams, Problem};
use serde::Deserialize;

pub async fn evaluate(
    State(rules): State<Rules>,
    PathParams(rule_id): PathParams<RuleId>,
    caller: Caller,
) -> Result<Response, Problem> {
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
    let started =
        rule_runs::start_revocation(&rules.db, &rule_id, &body.reason, &caller.actor(), lambda::context()).await?;
    send(&rules, started).await
}

/// One message for each shard; 202 with where to look.
pub async fn send(rules: &Rules, started: RunStarted) -> Result<Response, Problem> {
    let give_up =
        |error: &'static str| async move { runs::give_up_all(&rules.db, started, error, lambda::context()).await };
    lambda::runs::send(&rules.segmentation, started.run_id, started.bodies(), give_up).await
}
