//! `/api/rules/simulate` and `/api/rules/simulations`: what a rule would grant to all players.

use crate::{Rules, runs};
use app::Db;
use app::rules::simulation::{Subject, Within};
use app::runs::simulation_runs::{self, Answer, DIRECT_PLAYERS_MAX, Outcome};
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::id::{RuleId, RunId};
use domain::problem::{Refusal, RefusalKind};
use lambda::{Acting, Clock, JsonBody, PathParams, Problem};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulate {
    /// A draft rule, as it would be saved.
    rule: Option<Value>,
    /// The id of a saved rule.
    rule_id: Option<RuleId>,
    #[serde(default)]
    within: Within,
    /// Start a run even for few players.
    #[serde(default)]
    as_run: bool,
}

/// The report, or 202 with the run that creates it.
pub async fn simulate(
    State(rules): State<Rules>,
    clock: Clock,
    Acting(act): Acting,
    JsonBody(body): JsonBody<Simulate>,
) -> Result<Response, Problem> {
    let Simulate {
        rule,
        rule_id,
        within,
        as_run,
    } = body;
    let subject = match (rule, rule_id) {
        (Some(draft), None) => Subject::Draft(draft),
        (None, Some(rule_id)) => Subject::Saved(rule_id),
        _ => {
            return Err(Refusal::invalid_at("/rule", "required", "give either rule (a draft) or rule_id").into());
        }
    };
    let direct_players_max = if as_run { 0 } else { DIRECT_PLAYERS_MAX };
    match simulation_runs::answer(&rules.db, &subject, within, direct_players_max, &act).await? {
        Answer::Report(simulated) => Ok(Json(simulated).into_response()),
        Answer::Run(started) => runs::send(&rules, started, &clock).await,
    }
}

/// The report of a run, in the form of [`simulate`].
pub async fn report(
    State(db): State<Db>,
    PathParams(run_id): PathParams<RunId>,
) -> Result<Json<Box<RawValue>>, Problem> {
    let conflict = |code, detail: String| {
        let place = format!("/api/runs/{run_id}");
        Problem::from(Refusal::new(RefusalKind::Conflict, code, detail).with("run_url", place))
    };
    match simulation_runs::report(&db, run_id).await? {
        Outcome::Reported(report) => Ok(Json(report)),
        Outcome::Pending => Err(conflict("not_ended", "the simulation has not ended yet".into())),
        Outcome::Failed(reason) => Err(conflict(
            "simulation_failed",
            format!("the simulation failed: {reason}"),
        )),
    }
}
