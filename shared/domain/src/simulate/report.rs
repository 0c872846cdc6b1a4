//! The report of a simulation.

use super::tally::{AllTally, Count, Figures, Groups, Outcome};
use super::{Side, Simulation};
use crate::evaluate::{BudgetRoom, Candidate, Decision, Evaluation, bonus};
use crate::gate::cost::{WageredCost, WageringEstimate};
use crate::id::PlayerId;
use crate::money::{Asset, MONEY_SCALE, shown};
use crate::rule::{Budget, ConditionResult, RewardType, Rule};
use crate::segment::Segment;
use crate::settings::Settings;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

const ROI_SCALE: u32 = 4;

/// Figures are those of the simulated rule unless noted. Expected amounts are computed as in the profit gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Size of the whole population.
    pub players: u64,
    pub reward_type: RewardType,
    pub currency_type: Asset,
    #[serde(flatten)]
    pub figures: Figures,
    pub expected_profit: Decimal,
    /// `expected_profit / cost`, to four decimal places; null if the cost is 0.
    pub roi: Option<Decimal>,
    /// Distribution of the granted amounts; null if nothing is granted.
    pub amounts: Option<Distribution>,
    /// One group per segment; players never classified are under null.
    pub by_segment: Vec<Group>,
    pub by_tier: Vec<Group>,
    /// In gate order.
    pub gates: Vec<GateTally>,
    /// Null without a budget.
    pub budget: Option<BudgetUse>,
    /// Up to ten players, covering every outcome that occurred.
    pub samples: Vec<Sample>,
    /// The totals of all rules in the simulated set.
    pub all_rules: AllRules,
    /// The difference to the version in force; null if that is the simulated one or there is none.
    pub difference: Option<Difference>,
}

/// Quantiles are granted amounts (nearest rank): a tenth of the rewarded players get at most `p10`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Distribution {
    pub min: Decimal,
    pub p10: Decimal,
    pub p25: Decimal,
    pub median: Decimal,
    pub p75: Decimal,
    pub p90: Decimal,
    pub p99: Decimal,
    pub max: Decimal,
    /// Rounded to the asset's scale.
    pub mean: Decimal,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// Name of the segment or tier; null for players without one.
    pub name: Option<String>,
    pub players: u64,
    #[serde(flatten)]
    pub figures: Figures,
    pub expected_profit: Decimal,
}

/// Players and amounts that a gate stopped, in the reward's asset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateTally {
    pub name: &'static str,
    pub refused: Stopped,
    pub reduced: Stopped,
}

pub type Stopped = Count;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BudgetUse {
    #[serde(flatten)]
    pub limits: Budget,
    /// Remaining budget before the simulation; null: no limit.
    pub total_room: Option<Decimal>,
    pub day_room: Option<Decimal>,
    /// Amount that the simulated grants reserve.
    pub spent: Decimal,
    /// Whether the budget refused anyone.
    pub is_reached: bool,
}

/// One player with the explanation of the outcome.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Sample {
    pub player_id: PlayerId,
    pub segment: Option<Segment>,
    pub tier: String,
    pub outcome: Outcome,
    /// The facts that the rule reads.
    pub facts: Map<String, Value>,
    pub conditions: Vec<ConditionResult>,
    /// Includes the gates; null if the rule was not tried.
    pub decision: Option<Decision>,
    /// How the cost was estimated, for a bonus that reached the profit gate.
    pub wagering: Option<WageringEstimate>,
}

/// A candidate for the samples. The expensive explanation is computed only for those selected.
#[derive(Debug)]
pub(super) struct Drawn {
    sample: Sample,
    bonus: Option<(Decimal, WageredCost<'static>)>,
}

impl Drawn {
    pub(super) fn player_id(&self) -> &PlayerId {
        &self.sample.player_id
    }

    fn explained(self) -> Sample {
        let wagering = self.bonus.and_then(|(amount, cost)| cost.explain(amount));
        Sample {
            wagering,
            ..self.sample
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AllRules {
    pub granted: u64,
    pub cost: Decimal,
    pub expected_revenue: Decimal,
    pub expected_profit: Decimal,
}

/// Each figure is that of the simulated version minus that of the version in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The version in force.
    pub version: i32,
    pub current: Figures,
    pub granted: i128,
    pub amount: Decimal,
    pub cost: Decimal,
    pub expected_revenue: Decimal,
    pub expected_profit: Decimal,
    /// Cost difference over all rules in the simulated set.
    pub all_rules_cost: Decimal,
}

pub(super) fn draw(
    candidate: &Candidate<'_>,
    rule: &Rule,
    outcome: Outcome,
    evaluation: &Evaluation,
    settings: &Settings,
) -> Drawn {
    let player = candidate.player;
    let decision = evaluation
        .decisions
        .iter()
        .find(|decision| decision.rule_id == rule.rule_id);
    let sample = Sample {
        player_id: player.player_id.clone(),
        segment: player.segment,
        tier: player.tier.clone(),
        outcome,
        facts: candidate.facts.to_json(rule.reads().iter().copied()),
        conditions: rule.condition.explain(candidate.facts),
        decision: decision.cloned(),
        wagering: None,
    };
    Drawn {
        sample,
        bonus: decision.and_then(|decision| bonus(player, rule, decision, settings)),
    }
}

pub(super) fn of(simulation: Simulation<'_>) -> Report {
    let Simulation {
        side,
        current,
        players,
        by_segment,
        by_tier,
        samples,
        rooms_before,
        ..
    } = simulation;
    let (rule, _) = side.scenario.subject;
    let asset = rule.reward.reward_type.asset();
    let figures = rounded(side.tally.figures.clone(), asset);
    let difference = current.map(|current| difference(&side, current, asset));
    let room = rooms_before.room(&rule.rule_id).unwrap_or_default();
    Report {
        players,
        reward_type: rule.reward.reward_type,
        currency_type: asset,
        expected_profit: profit(&figures),
        roi: profit(&figures)
            .checked_div(figures.cost)
            .map(|roi| roi.round_dp(ROI_SCALE)),
        amounts: distribution(side.tally.amounts, asset),
        by_segment: groups(by_segment, asset),
        by_tier: groups(by_tier, asset),
        budget: rule
            .budget
            .map(|limits| budget_use(limits, room, &figures, &side.tally.gates)),
        gates: gates(&side.tally.gates, asset),
        samples: samples.take().into_iter().map(Drawn::explained).collect(),
        all_rules: all_rules(&side.all),
        difference,
        figures,
    }
}

fn rounded(figures: Figures, asset: Asset) -> Figures {
    Figures {
        amount: shown(figures.amount, asset.scale()),
        cost: shown(figures.cost, MONEY_SCALE),
        expected_revenue: shown(figures.expected_revenue, MONEY_SCALE),
        ..figures
    }
}

fn profit(figures: &Figures) -> Decimal {
    shown(figures.expected_revenue - figures.cost, MONEY_SCALE)
}

fn groups(groups: Groups, asset: Asset) -> Vec<Group> {
    let group = |(name, players, figures)| {
        let figures = rounded(figures, asset);
        let name: String = name;
        Group {
            name: Some(name).filter(|name| !name.is_empty()),
            players,
            expected_profit: profit(&figures),
            figures,
        }
    };
    let mut groups: Vec<Group> = groups.0.into_iter().map(group).collect();
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    groups
}

const GATES: [&str; 5] = ["eligibility", "fraud", "profit", "caps", "budget"];

fn gates(tallies: &BTreeMap<&'static str, (Count, Count)>, asset: Asset) -> Vec<GateTally> {
    let stopped = |count: Count| Stopped {
        amount: shown(count.amount, asset.scale()),
        ..count
    };
    let gate = |name: &'static str| {
        let (refused, reduced) = tallies.get(name).copied().unwrap_or_default();
        GateTally {
            name,
            refused: stopped(refused),
            reduced: stopped(reduced),
        }
    };
    GATES.map(gate).to_vec()
}

fn budget_use(
    limits: Budget,
    room: BudgetRoom,
    figures: &Figures,
    gates: &BTreeMap<&'static str, (Count, Count)>,
) -> BudgetUse {
    let shown = |room: Option<Decimal>| room.map(|room| shown(room, MONEY_SCALE));
    let is_reached = gates.get("budget").is_some_and(|(refused, _)| refused.count > 0);
    BudgetUse {
        limits,
        total_room: shown(room.total),
        day_room: shown(room.day),
        spent: figures.cost,
        is_reached,
    }
}

fn all_rules(tally: &AllTally) -> AllRules {
    AllRules {
        granted: tally.granted,
        cost: shown(tally.cost, MONEY_SCALE),
        expected_revenue: shown(tally.expected_revenue, MONEY_SCALE),
        expected_profit: shown(tally.expected_revenue - tally.cost, MONEY_SCALE),
    }
}

fn difference(side: &Side<'_>, current: Side<'_>, asset: Asset) -> Difference {
    let (new, old) = (&side.tally.figures, rounded(current.tally.figures, asset));
    let cost = shown(new.cost - old.cost, MONEY_SCALE);
    let expected_revenue = shown(new.expected_revenue - old.expected_revenue, MONEY_SCALE);
    Difference {
        version: current.scenario.subject.1,
        granted: i128::from(new.granted) - i128::from(old.granted),
        amount: shown(new.amount - old.amount, asset.scale()),
        cost,
        expected_revenue,
        expected_profit: shown(expected_revenue - cost, MONEY_SCALE),
        all_rules_cost: shown(side.all.cost - current.all.cost, MONEY_SCALE),
        current: old,
    }
}

fn distribution(mut amounts: Vec<Decimal>, asset: Asset) -> Option<Distribution> {
    amounts.sort_unstable();
    let (first, last) = (*amounts.first()?, *amounts.last()?);
    // Nearest rank: the smallest amount that at least `per_cent` per cent of the players do not exceed.
    let quantile = |per_cent: usize| amounts[(amounts.len() * per_cent).div_ceil(100).saturating_sub(1)];
    let sum = amounts
        .iter()
        .fold(Decimal::ZERO, |sum, amount| sum.saturating_add(*amount));
    let mean = sum / Decimal::from(amounts.len());
    let shown = |amount: Decimal| shown(amount, asset.scale());
    Some(Distribution {
        min: shown(first),
        p10: shown(quantile(10)),
        p25: shown(quantile(25)),
        median: shown(quantile(50)),
        p75: shown(quantile(75)),
        p90: shown(quantile(90)),
        p99: shown(quantile(99)),
        max: shown(last),
        mean: shown(mean.round_dp_with_strategy(asset.scale(), RoundingStrategy::MidpointAwayFromZero)),
    })
}
