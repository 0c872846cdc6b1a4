//! The report of a simulation.

use super::tally::{AllTally, Count, Figures, Groups, Outcome};
use super::{Side, Simulation};
use crate::evaluate::{BudgetRoom, Candidate, Decision, Evaluation, bonus};
use crate::gate::GateKind;
use crate::gate::cost::{WageredCost, WageringEstimate};
use crate::id::PlayerId;
use crate::money::{Asset, Money, Quantity};
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
    pub expected_profit: Money,
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
    pub min: Quantity,
    pub p10: Quantity,
    pub p25: Quantity,
    pub median: Quantity,
    pub p75: Quantity,
    pub p90: Quantity,
    pub p99: Quantity,
    pub max: Quantity,
    /// Rounded to the asset's scale.
    pub mean: Quantity,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Group {
    /// Name of the segment or tier; null for players without one.
    pub name: Option<String>,
    pub players: u64,
    #[serde(flatten)]
    pub figures: Figures,
    pub expected_profit: Money,
}

/// Players and amounts that a gate stopped, in the reward's asset.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateTally {
    pub name: GateKind,
    pub refused: Stopped,
    pub reduced: Stopped,
}

pub type Stopped = Count;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BudgetUse {
    #[serde(flatten)]
    pub limits: Budget,
    /// Remaining budget before the simulation; null: no limit.
    pub total_room: Option<Money>,
    pub day_room: Option<Money>,
    /// Amount that the simulated grants reserve.
    pub spent: Money,
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
    pub cost: Money,
    pub expected_revenue: Money,
    pub expected_profit: Money,
}

/// Each figure is that of the simulated version minus that of the version in force.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The version in force.
    pub version: i32,
    pub current: Figures,
    pub granted: i128,
    pub amount: Quantity,
    pub cost: Money,
    pub expected_revenue: Money,
    pub expected_profit: Money,
    /// Cost difference over all rules in the simulated set.
    pub all_rules_cost: Money,
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
    let figures = side.tally.figures.clone();
    let difference = current.map(|current| difference(&side, current));
    let room = rooms_before.room(&rule.rule_id).unwrap_or_default();
    Report {
        players,
        reward_type: rule.reward.reward_type,
        currency_type: asset,
        expected_profit: profit(&figures),
        roi: profit(&figures)
            .value()
            .checked_div(figures.cost.value())
            .map(|roi| roi.round_dp(ROI_SCALE)),
        amounts: distribution(side.tally.amounts, asset),
        by_segment: groups(by_segment),
        by_tier: groups(by_tier),
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

fn profit(figures: &Figures) -> Money {
    figures.expected_revenue - figures.cost
}

fn groups(groups: Groups) -> Vec<Group> {
    let group = |(name, players, figures): (String, _, _)| Group {
        name: Some(name).filter(|name| !name.is_empty()),
        players,
        expected_profit: profit(&figures),
        figures,
    };
    let mut groups: Vec<Group> = groups.0.into_iter().map(group).collect();
    groups.sort_by(|a, b| a.name.cmp(&b.name));
    groups
}

fn gates(tallies: &BTreeMap<GateKind, (Count, Count)>, asset: Asset) -> Vec<GateTally> {
    let none = Count::none(asset);
    let gate = |name: GateKind| {
        let (refused, reduced) = tallies.get(&name).copied().unwrap_or((none, none));
        GateTally { name, refused, reduced }
    };
    GateKind::ALL.map(gate).to_vec()
}

fn budget_use(
    limits: Budget,
    room: BudgetRoom,
    figures: &Figures,
    gates: &BTreeMap<GateKind, (Count, Count)>,
) -> BudgetUse {
    let is_reached = gates
        .get(&GateKind::Budget)
        .is_some_and(|(refused, _)| refused.count > 0);
    BudgetUse {
        limits,
        total_room: room.total.map(Money::of),
        day_room: room.day.map(Money::of),
        spent: figures.cost,
        is_reached,
    }
}

fn all_rules(tally: &AllTally) -> AllRules {
    AllRules {
        granted: tally.granted,
        cost: tally.cost,
        expected_revenue: tally.expected_revenue,
        expected_profit: tally.expected_revenue - tally.cost,
    }
}

fn difference(side: &Side<'_>, current: Side<'_>) -> Difference {
    let (new, old) = (&side.tally.figures, current.tally.figures);
    let cost = new.cost - old.cost;
    let expected_revenue = new.expected_revenue - old.expected_revenue;
    Difference {
        version: current.scenario.subject.1,
        granted: i128::from(new.granted) - i128::from(old.granted),
        amount: new.amount.asset.quantity(new.amount.value - old.amount.value),
        cost,
        expected_revenue,
        expected_profit: expected_revenue - cost,
        all_rules_cost: side.all.cost - current.all.cost,
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
    let quantity = |amount| asset.quantity(amount);
    Some(Distribution {
        min: quantity(first),
        p10: quantity(quantile(10)),
        p25: quantity(quantile(25)),
        median: quantity(quantile(50)),
        p75: quantity(quantile(75)),
        p90: quantity(quantile(90)),
        p99: quantity(quantile(99)),
        max: quantity(last),
        mean: quantity(mean.round_dp_with_strategy(asset.scale(), RoundingStrategy::MidpointAwayFromZero)),
    })
}
