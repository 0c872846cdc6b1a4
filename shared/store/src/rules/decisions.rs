//! The decisions of evaluations, for each player.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::statement::{self, text};
use domain::id::{EvaluationId, PlayerId, RunId};
use domain::page::Page;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use uuid::Uuid;

columns! {
    struct DecisionRow<'a> => Decisions (run_id, evaluated_at) {
        player_id: text = &'a PlayerId,
        evaluation_id: uuid = EvaluationId,
        facts: json = Json<&'a RawValue>,
        decisions: json = Json<&'a RawValue>,
    }
}

const ADD: &str = text!(
    "INSERT INTO reward_decisions (run_id, evaluated_at, ",
    Decisions::NAMES,
    ")\nSELECT $1, $2, ",
    Decisions::NAMES,
    "\nFROM ",
    Decisions::UNNEST
);

const LIST: &str = "
SELECT evaluation_id, run_id, evaluated_at, facts, decisions
FROM reward_decisions
WHERE player_id = $1
  AND ($2::uuid IS NULL OR evaluation_id < $2)
ORDER BY evaluation_id DESC
OFFSET $3
LIMIT $4";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[ADD, LIST];

/// The decisions of one evaluation of a player, serialised as JSON.
#[derive(Debug)]
pub struct NewDecision {
    pub player_id: PlayerId,
    pub evaluation_id: EvaluationId,
    pub facts: Box<RawValue>,
    pub decisions: Box<RawValue>,
}

pub async fn add(tx: &Tx<'_>, decisions: &[NewDecision], run_id: Option<RunId>, now: Timestamp) -> Result<()> {
    if decisions.is_empty() {
        return Ok(());
    }
    let rows: Decisions<'_> = decisions
        .iter()
        .map(|decision| DecisionRow {
            player_id: &decision.player_id,
            evaluation_id: decision.evaluation_id,
            facts: Json(&decision.facts),
            decisions: Json(&decision.decisions),
        })
        .collect();
    statement::execute(tx, ADD, &rows.params([&run_id.map(|id| id.0), &now])).await?;
    Ok(())
}

/// The decisions of one evaluation of a player for whom at least one rule matched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredDecisions {
    pub evaluation_id: EvaluationId,
    pub run_id: Option<RunId>,
    pub evaluated_at: Timestamp,
    /// The facts that the matching rules read.
    pub facts: Value,
    /// Ordered by priority, including refused rules, each with the figures of its gates.
    pub decisions: Value,
}

/// Newest first.
pub async fn list(executor: &impl Executor, player_id: &PlayerId, page: &Page<Uuid>) -> Result<Vec<StoredDecisions>> {
    let params: statement::Params<'_> = &[&player_id.as_str(), &page.after, &page.skip, &page.limit];
    statement::list(executor, LIST, params, |row| {
        let run_id: Option<Uuid> = row.try_get("run_id")?;
        Ok(StoredDecisions {
            evaluation_id: EvaluationId(row.try_get("evaluation_id")?),
            run_id: run_id.map(RunId),
            evaluated_at: row.try_get("evaluated_at")?,
            facts: row.try_get("facts")?,
            decisions: row.try_get("decisions")?,
        })
    })
    .await
}
