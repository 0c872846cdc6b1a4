//! Rules as the API shows them.

use app::rules::Trial;
use app::rules::{RuleVersion, StoredRule};
use domain::evaluate::Verdict;
use domain::gate::GateFigures;
use domain::money::Plain;
use domain::rule::ConditionResult;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value};

/// The definition with its version and timestamps.
#[derive(Serialize)]
pub struct RuleView {
    #[serde(skip)]
    pub rule_id: String,
    #[serde(flatten)]
    definition: Value,
    version: i32,
    created_at: Timestamp,
    updated_at: Timestamp,
    archived_at: Option<Timestamp>,
}

impl From<StoredRule> for RuleView {
    fn from(rule: StoredRule) -> Self {
        Self {
            rule_id: rule.rule_id,
            definition: rule.definition,
            version: rule.version,
            created_at: rule.created_at,
            updated_at: rule.updated_at,
            archived_at: rule.archived_at,
        }
    }
}

#[derive(Serialize)]
pub struct VersionView {
    pub version: i32,
    definition: Value,
    created_at: Timestamp,
    created_by: String,
}

impl From<RuleVersion> for VersionView {
    fn from(version: RuleVersion) -> Self {
        let RuleVersion {
            version,
            definition,
            created_at,
            created_by,
        } = version;
        Self {
            version,
            definition,
            created_at,
            created_by,
        }
    }
}

/// What a rule would do for a player, and why.
#[derive(Serialize)]
pub struct TrialView {
    rule_version: i32,
    /// Whether the rule is active and applies now. The test assumes both.
    is_live: bool,
    /// Whether all conditions hold.
    matches: bool,
    /// Whether the player already has a grant of this rule in this period, in which case the rule would not be
    /// evaluated.
    already_granted: bool,
    /// The formula's value before limits and rounding; null if it has none, see `reason`.
    formula_amount: Option<Decimal>,
    /// The amount within the rule's limits, rounded, before the gates.
    reward_amount: Plain,
    verdict: Verdict,
    /// The amount that would be granted if the conditions held.
    granted_amount: Plain,
    reason: Option<String>,
    player_state: Map<String, Value>,
    conditions: Vec<ConditionResult>,
    /// All gates, including those after a refusal.
    gates: Vec<GateFigures>,
}

impl From<Trial> for TrialView {
    fn from(trial: Trial) -> Self {
        let explanation = trial.explanation;
        let decision = explanation.decision;
        Self {
            rule_version: decision.rule_version,
            is_live: trial.is_live,
            matches: explanation.matches,
            already_granted: explanation.already_granted,
            formula_amount: decision.formula_amount,
            reward_amount: Plain::of(decision.reward_amount),
            verdict: decision.verdict,
            granted_amount: Plain::of(decision.amount),
            reason: decision.reason,
            player_state: trial.facts,
            conditions: explanation.conditions,
            gates: decision.gates,
        }
    }
}
