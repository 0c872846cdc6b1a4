//! `POST /api/rules/simulate`: a rule in front of everybody, and nobody is paid.

use app::Db;
use app::simulation::{self, Report, Subject};
use axum::Json;
use axum::extract::State;
use domain::id::RuleId;
use domain::problem::Refusal;
use jiff::Timestamp;
use lambda::{JsonBody, Problem};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulate {
    /// A draft, as it would be saved.
    rule: Option<Value>,
    /// A saved rule.
    rule_id: Option<RuleId>,
    #[serde(default)]
    within: Within,
}

#[derive(Clone, Copy, Default, Deserialize, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Within {
    #[default]
    Alone,
    ActiveSet,
}

impl From<Within> for simulation::Within {
    fn from(within: Within) -> Self {
        match within {
            Within::Alone => Self::Alone,
            Within::ActiveSet => Self::ActiveSet,
        }
    }
}

#[derive(Serialize)]
pub struct SimulationView {
    rule_id: RuleId,
    /// The one that would be saved, for a draft.
    rule_version: i32,
    within: Within,
    /// Whether it would grant now; it was taken to.
    is_live: bool,
    evaluated_at: Timestamp,
    #[serde(flatten)]
    report: Report,
}

pub async fn simulate(State(db): State<Db>, JsonBody(body): JsonBody<Simulate>) -> Result<Json<SimulationView>, Problem> {
    let Simulate { rule, rule_id, within } = body;
    let subject = match (rule, rule_id) {
        (Some(draft), None) => Subject::Draft(draft),
        (None, Some(rule_id)) => Subject::Saved(rule_id),
        _ => return Err(Refusal::invalid_at("/rule", "required", "either rule, a draft, or rule_id is to be given").into()),
    };
    let now = lambda::context().now;
    let simulated = simulation::simulate(&db, &subject, within.into(), now).await?;
    let simulation::Simulated { rule_id, rule_version, is_live, report } = simulated;
    Ok(Json(SimulationView { rule_id, rule_version, within, is_live, evaluated_at: now, report }))
}
