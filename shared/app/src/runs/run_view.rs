//! A run as the API shows it.

use crate::runs::{Rewards, Run, RunKind, RunStatus};
use domain::id::{RuleId, RunId};
use domain::money::Money;
use domain::run::Scope;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunView {
    pub run_id: RunId,
    pub kind: RunKind,
    pub status: RunStatus,
    /// `ALL` players, the `LISTED` ones, or the `HOLDERS` of an open grant of the rule.
    pub scope: Scope,
    pub trigger_rewards: bool,
    /// Set for evaluations, revocations and simulations.
    pub rule_id: Option<RuleId>,
    /// Set for revocations.
    pub reason: Option<String>,
    /// Set for completed simulations.
    pub report_url: Option<String>,
    pub shards_total: i32,
    /// Shards that are segmented (and rewarded, if `trigger_rewards`) or failed.
    pub shards_done: i32,
    pub shards_segmented: i64,
    pub shards_failed: i64,
    /// The error of one failed shard.
    pub error: Option<String>,
    pub players: i64,
    pub segments_changed: i64,
    /// Players for whom a rule matched.
    pub players_matched: i64,
    pub rewards_issued: i64,
    /// Issued rewards that a gate reduced.
    pub rewards_reduced: i64,
    /// Matches that a gate refused, possibly several per player.
    pub rewards_refused: i64,
    /// Expected cost, in money.
    pub reward_cost: Decimal,
    /// Grants that a revocation cancelled.
    pub grants_revoked: i64,
    /// Bonus money that the cancelled grants still held.
    pub amount_taken_back: Money,
    pub created_by: String,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

impl From<Run> for RunView {
    fn from(run: Run) -> Self {
        let report_url = report_url(&run);
        Self {
            run_id: run.run_id,
            kind: run.kind,
            status: run.status,
            scope: run.scope,
            trigger_rewards: run.rewards == Rewards::Evaluate,
            rule_id: run.rule_id,
            reason: run.reason,
            report_url,
            shards_total: run.shards_total,
            shards_done: run.shards_done,
            shards_segmented: run.shards_segmented,
            shards_failed: run.shards_failed,
            error: run.error,
            players: run.players,
            segments_changed: run.segments_changed,
            players_matched: run.matched,
            rewards_issued: run.granted,
            rewards_reduced: run.reduced,
            rewards_refused: run.refused,
            reward_cost: run.cost,
            grants_revoked: run.revoked,
            amount_taken_back: Money::of(run.taken_back),
            created_by: run.created_by,
            created_at: run.created_at,
            finished_at: run.finished_at,
        }
    }
}

fn report_url(run: &Run) -> Option<String> {
    let has_report = run.kind == RunKind::Simulation && run.status == RunStatus::Completed;
    has_report.then(|| format!("/api/rules/simulations/{}", run.run_id))
}
