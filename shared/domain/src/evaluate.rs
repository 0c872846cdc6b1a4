//! The evaluation of a player: rules by priority, each matching one through the gates, until enough was granted.
//!
//! One path serves workers, the test of a rule and the simulator.

use crate::bonus::{GrantTerms, WageringBasis};
use crate::facts::{EventFacts, FactId, Facts};
use crate::gate::cost::{CostModel, mix_edge};
use crate::gate::{self, CapRoom, Figures, GateFigures, GateVerdict, Penalty};
use crate::id::RuleId;
use crate::money::{Asset, INTEGER_DIGITS_MAX, MONEY_SCALE, round_reward, shown};
use crate::period::Moment;
use crate::player::PlayerSnapshot;
use crate::rule::{ConditionResult, RewardType, Rule, Trigger};
use crate::settings::Settings;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::HashMap;

/// The rules of the program in the order in which they are tried, each with the version it has.
#[derive(Debug, Clone, Default)]
pub struct RuleSet(Vec<(Rule, i32)>);

impl RuleSet {
    /// Highest priority first, then by `rule_id`.
    pub fn new(mut rules: Vec<(Rule, i32)>) -> Self {
        rules.sort_by(|(a, _), (b, _)| b.priority.cmp(&a.priority).then_with(|| a.rule_id.cmp(&b.rule_id)));
        Self(rules)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Rule, i32)> {
        self.0.iter().map(|(rule, version)| (rule, *version))
    }

    pub fn get(&self, rule_id: &RuleId) -> Option<(&Rule, i32)> {
        self.iter().find(|(rule, _)| rule.rule_id == *rule_id)
    }

    /// The rules that apply at this moment to players with this trigger. Made once for a batch.
    pub fn live(&self, trigger: Trigger, moment: &Moment) -> LiveRules<'_> {
        let rules = self.iter().filter(|(rule, _)| rule.is_live(trigger, moment));
        let rules = rules.map(|(rule, version)| LiveRule { rule, version, period_key: rule.cadence.period_key(moment, None) }).collect();
        LiveRules { rules, moment: moment.clone() }
    }
}

#[derive(Debug, Clone)]
struct LiveRule<'a> {
    rule: &'a Rule,
    version: i32,
    /// `None` for a rule that pays per event.
    period_key: Option<String>,
}

/// Rules that apply now, in the order in which they are tried.
#[derive(Debug, Clone)]
pub struct LiveRules<'a> {
    rules: Vec<LiveRule<'a>>,
    moment: Moment,
}

impl LiveRules<'_> {
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub fn moment(&self) -> &Moment {
        &self.moment
    }
}

/// What is left of a rule's budget, in money; `None` where it has no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetRoom {
    pub total: Option<Decimal>,
    pub day: Option<Decimal>,
}

/// What is left of the budgets, from which evaluations reserve. A rule with a budget and no room here is
/// refused: what was not read is not spent.
#[derive(Debug, Clone, Default)]
pub struct BudgetRooms(HashMap<RuleId, BudgetRoom>);

impl BudgetRooms {
    /// The room of every rule with a budget: the budget less what `reserved` says was reserved in total and
    /// today.
    pub fn of(rules: &RuleSet, reserved: impl Fn(&RuleId) -> (Decimal, Decimal)) -> Self {
        let rooms = rules.iter().filter_map(|(rule, _)| {
            let budget = rule.budget?;
            let (total, day) = reserved(&rule.rule_id);
            let room = BudgetRoom { total: budget.total.map(|limit| limit - total), day: budget.per_day.map(|limit| limit - day) };
            Some((rule.rule_id.clone(), room))
        });
        Self(rooms.collect())
    }

    pub fn room(&self, rule_id: &RuleId) -> Option<BudgetRoom> {
        self.0.get(rule_id).copied()
    }

    fn reserve(&mut self, rule_id: &RuleId, cost: Decimal) {
        if let Some(room) = self.0.get_mut(rule_id) {
            for limit in [&mut room.total, &mut room.day].into_iter().flatten() {
                *limit -= cost;
            }
        }
    }
}

/// The player of an evaluation. `facts` are of `player` and `event`.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    pub player: &'a PlayerSnapshot,
    pub facts: &'a Facts<'a>,
    pub event: Option<&'a EventFacts>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Verdict {
    Granted,
    /// Granted, but less than the rule gives.
    Reduced,
    /// By a gate.
    Refused,
    /// The rule matches but gives nothing: a null fact, a division by zero, an amount of 0.
    NotApplicable,
}

/// What became of one rule that matched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    pub rule_id: RuleId,
    pub rule_version: i32,
    pub verdict: Verdict,
    /// The formula's value, before limits and rounding; null when it has none.
    pub formula_amount: Option<Decimal>,
    /// Within the rule's limits and rounded: what the rule gives before the gates.
    pub reward_amount: Decimal,
    /// What is granted; 0 unless granted.
    pub amount: Decimal,
    /// Up to the one that refused.
    pub gates: Vec<GateFigures>,
    /// Why nothing, or less, is granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A grant to be made: everything its rows need.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GrantIntent {
    pub rule_id: RuleId,
    pub rule_version: i32,
    pub period_key: String,
    pub reward_type: RewardType,
    pub asset: Asset,
    pub amount: Decimal,
    /// Expected, in money.
    pub cost: Decimal,
    pub expected_revenue: Decimal,
    /// Money to stake; 0 for points and tickets.
    pub wagering_required: Decimal,
    /// Of a grant in BONUS.
    pub terms: Option<GrantTerms>,
    /// Of a grant in BONUS.
    pub expires_at: Option<Timestamp>,
    /// Of points.
    pub lp_expires_at: Option<Timestamp>,
}

/// What an evaluation decided. Empty when no rule matched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// Of the rules that matched, in the order in which they were tried.
    pub decisions: Vec<Decision>,
    pub grants: Vec<GrantIntent>,
    /// Facts that the decided rules name, sorted: those to keep with the decisions.
    pub facts_read: Vec<FactId>,
}

/// Evaluates one player. Does not allocate unless a rule matches.
pub fn evaluate(candidate: &Candidate<'_>, rules: &LiveRules<'_>, settings: &Settings, budgets: &mut BudgetRooms) -> Evaluation {
    let mut evaluation = Evaluation::default();
    let mut room = CapRoom::of(&candidate.player.spend, &settings.caps);
    let mut groups: Vec<&str> = Vec::new();
    let rewards_max = usize::try_from(settings.max_rewards_per_evaluation).unwrap_or(usize::MAX);
    for live in &rules.rules {
        if evaluation.grants.len() >= rewards_max {
            break;
        }
        let rule = live.rule;
        let event_id = candidate.event.map(|event| event.event_id.as_str());
        let Some(period_key) = live.period_key.as_deref().or(event_id) else { continue };
        let group = rule.exclusive_group.as_deref();
        if is_paid(candidate.player, rule, period_key)
            || group.is_some_and(|group| groups.contains(&group))
            || !rule.matches(candidate.facts)
        {
            continue;
        }
        let case = Case { candidate, settings, now: rules.moment.now(), room: &room, budget: budget_room(rule, budgets) };
        let (decision, offer) = case.assess(rule, live.version, Extent::UntilRefused);
        if let Some(offer) = offer {
            room.take(offer.cost);
            budgets.reserve(&rule.rule_id, offer.cost);
            groups.extend(group);
            evaluation.grants.push(offer.intent(rule, live.version, period_key, decision.amount, rules.moment.now()));
        }
        evaluation.facts_read.extend_from_slice(rule.reads());
        evaluation.decisions.push(decision);
    }
    evaluation.facts_read.sort_unstable();
    evaluation.facts_read.dedup();
    evaluation
}

/// Whether the rule paid this player in this period already.
fn is_paid(player: &PlayerSnapshot, rule: &Rule, period_key: &str) -> bool {
    player.past_grants.iter().any(|past| past.period_key == period_key && past.rule_id == rule.rule_id.as_str())
}

fn budget_room(rule: &Rule, budgets: &BudgetRooms) -> BudgetRoom {
    match rule.budget {
        None => BudgetRoom::default(),
        Some(_) => budgets.room(&rule.rule_id).unwrap_or(BudgetRoom { total: Some(Decimal::ZERO), day: Some(Decimal::ZERO) }),
    }
}

/// One rule against one player, with everything that was looked at.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    pub matches: bool,
    /// Whether this rule paid this player in this period already, so that it would not be tried.
    pub already_granted: bool,
    /// Every condition, met or not.
    pub conditions: Vec<ConditionResult>,
    /// As if the rule matched; `gates` holds all gates, also those after a refusal.
    pub decision: Decision,
}

/// What `rule` would do for this player now, alone: the answer of `POST /rules/{id}/test`. Judges the rule also
/// when it does not match, is not active or was granted before.
pub fn explain(
    candidate: &Candidate<'_>,
    rule: &Rule,
    rule_version: i32,
    moment: &Moment,
    settings: &Settings,
    budgets: &BudgetRooms,
) -> Explanation {
    let room = CapRoom::of(&candidate.player.spend, &settings.caps);
    let case = Case { candidate, settings, now: moment.now(), room: &room, budget: budget_room(rule, budgets) };
    let (decision, _) = case.assess(rule, rule_version, Extent::AllGates);
    let period_key = rule.cadence.period_key(moment, candidate.event.map(|event| event.event_id.as_str()));
    Explanation {
        matches: rule.matches(candidate.facts),
        already_granted: period_key.is_some_and(|key| is_paid(candidate.player, rule, &key)),
        conditions: rule.condition.explain(candidate.facts),
        decision,
    }
}

/// How far a rule is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Extent {
    UntilRefused,
    AllGates,
}

/// Why a matching rule gives nothing before any gate was asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
enum NotApplicable {
    #[error("{0}")]
    Formula(#[from] crate::formula::EvalError),
    #[error("the amount is not above 0")]
    NotPositive,
    #[error("the amount rounds down to 0")]
    RoundsToZero,
    #[error("the amount or its cost is too large")]
    Overflow,
    #[error("the wagering requirement counts a deposit and there is none")]
    NoDeposit,
}

/// What passed all gates, besides its amount.
struct Offer {
    cost: Decimal,
    expected_revenue: Decimal,
    wagering_required: Decimal,
    terms: Option<GrantTerms>,
}

impl Offer {
    fn intent(self, rule: &Rule, rule_version: i32, period_key: &str, amount: Decimal, now: Timestamp) -> GrantIntent {
        let after = |hours: u32| now.checked_add(SignedDuration::from_hours(i64::from(hours))).ok();
        GrantIntent {
            rule_id: rule.rule_id.clone(),
            rule_version,
            period_key: period_key.to_owned(),
            reward_type: rule.reward.reward_type,
            asset: rule.reward.reward_type.asset(),
            amount,
            cost: self.cost,
            expected_revenue: self.expected_revenue,
            wagering_required: self.wagering_required,
            expires_at: self.terms.as_ref().and_then(|terms| terms.expiry_hours).and_then(after),
            terms: self.terms,
            lp_expires_at: rule.reward.lp_expiry_days.and_then(|days| after(days.saturating_mul(24))),
        }
    }
}

/// One player in front of one rule.
struct Case<'a> {
    candidate: &'a Candidate<'a>,
    settings: &'a Settings,
    now: Timestamp,
    room: &'a CapRoom,
    budget: BudgetRoom,
}

/// What a rule gives before the gates.
#[derive(Default)]
struct Ask {
    /// Within the rule's limits.
    value: Decimal,
    /// The same, rounded.
    amount: Decimal,
    /// That counts towards the wagering requirement.
    deposit: Decimal,
}

/// An amount on its way through the gates.
struct Passage {
    extent: Extent,
    amount: Decimal,
    gates: Vec<GateFigures>,
}

impl Passage {
    /// Goes through one gate. After a refusal, an explanation goes on with the amount that was refused.
    fn step(&mut self, gate: GateFigures) -> Result<(), Stop> {
        let refused = gate.verdict == GateVerdict::Refuse;
        if !refused {
            self.amount = gate.amount;
        }
        self.gates.push(gate);
        if refused && self.extent == Extent::UntilRefused { Err(Stop::Refused) } else { Ok(()) }
    }
}

/// Why the way through the gates ended.
enum Stop {
    Refused,
    NotApplicable(NotApplicable),
}

impl From<NotApplicable> for Stop {
    fn from(obstacle: NotApplicable) -> Self {
        Stop::NotApplicable(obstacle)
    }
}

impl Case<'_> {
    fn assess(&self, rule: &Rule, rule_version: i32, extent: Extent) -> (Decision, Option<Offer>) {
        let formula_amount = rule.reward.formula.eval(self.candidate.facts);
        let ask = formula_amount.clone().map_err(NotApplicable::from).and_then(|amount| self.ask(rule, amount));
        let reward_amount = ask.as_ref().map_or(Decimal::ZERO, |ask| ask.amount);
        let mut decision = Decision {
            rule_id: rule.rule_id.clone(),
            rule_version,
            verdict: Verdict::NotApplicable,
            formula_amount: formula_amount.ok().map(|amount| amount.normalize()),
            reward_amount,
            amount: Decimal::ZERO,
            gates: Vec::new(),
            reason: None,
        };
        match ask.and_then(|ask| self.pass(rule, &ask, extent)) {
            Ok((passage, offer)) => {
                (decision.verdict, decision.reason) = verdict(&passage.gates);
                decision.gates = passage.gates;
                let offer = offer.filter(|_| matches!(decision.verdict, Verdict::Granted | Verdict::Reduced));
                decision.amount = offer.as_ref().map_or(Decimal::ZERO, |_| passage.amount);
                (decision, offer)
            }
            Err(obstacle) => {
                decision.reason = Some(obstacle.to_string());
                if extent == Extent::AllGates {
                    decision.gates = self.pass(rule, &Ask::default(), extent).map(|(passage, _)| passage.gates).unwrap_or_default();
                }
                (decision, None)
            }
        }
    }

    /// The amount within the rule's limits, and the deposit it is wagered with.
    fn ask(&self, rule: &Rule, amount: Decimal) -> Result<Ask, NotApplicable> {
        let reward = &rule.reward;
        if amount <= Decimal::ZERO {
            return Err(NotApplicable::NotPositive);
        }
        let value = reward.min_amount.map_or(amount, |min| amount.max(min));
        let value = reward.max_amount.map_or(value, |max| value.min(max));
        let asset = reward.reward_type.asset();
        let amount = shown(round_reward(value, asset), asset.scale());
        if amount.is_zero() {
            return Err(NotApplicable::RoundsToZero);
        }
        if amount >= Decimal::from(10_i64.pow(INTEGER_DIGITS_MAX)) {
            return Err(NotApplicable::Overflow);
        }
        let counts_deposit = reward.terms.as_ref().is_some_and(|terms| terms.wagering_basis == WageringBasis::DepositPlusBonus);
        let deposit = match self.candidate.event.and_then(|event| event.amount) {
            _ if !counts_deposit => Decimal::ZERO,
            Some(deposit) => deposit,
            None => return Err(NotApplicable::NoDeposit),
        };
        Ok(Ask { value, amount, deposit })
    }

    /// Through the gates, in their order. The offer is `None` where the way ended early.
    fn pass(&self, rule: &Rule, ask: &Ask, extent: Extent) -> Result<(Passage, Option<Offer>), NotApplicable> {
        let mut passage = Passage { extent, amount: ask.amount, gates: Vec::with_capacity(5) };
        match self.gates(rule, ask, &mut passage) {
            Ok(offer) => Ok((passage, Some(offer))),
            Err(Stop::Refused) => Ok((passage, None)),
            Err(Stop::NotApplicable(obstacle)) => Err(obstacle),
        }
    }

    fn gates(&self, rule: &Rule, ask: &Ask, passage: &mut Passage) -> Result<Offer, Stop> {
        let (player, settings, reward_type) = (self.candidate.player, self.settings, rule.reward.reward_type);
        let asset = reward_type.asset();
        passage.step(gate::eligibility(player.standing.as_ref(), self.now, passage.amount))?;

        let penalty = Penalty::of(player.risk_score);
        let after_penalty = ask.value.checked_mul(penalty.amount_factor()).unwrap_or_default();
        let after_penalty = shown(round_reward(after_penalty, asset), asset.scale());
        passage.step(gate::fraud(player.risk_score, passage.amount, after_penalty))?;

        let terms = self.terms(rule, penalty);
        let model = self.cost_model(terms.as_ref(), ask.deposit, asset).ok_or(NotApplicable::Overflow)?;
        let edge = mix_edge(terms.as_ref().and_then(|terms| terms.eligible_games.as_deref()), &settings.profit);
        let profit = gate::profit(player, reward_type, edge, passage.amount, &model, &settings.profit).ok_or(NotApplicable::Overflow)?;
        let expected_revenue = if let Figures::Profit(figures) = &profit.figures { figures.revenue } else { Decimal::ZERO };
        passage.step(profit)?;

        let caps = gate::caps(self.room, passage.amount, asset.scale(), &model).ok_or(NotApplicable::Overflow)?;
        passage.step(caps)?;

        let cost = model.cost(passage.amount).ok_or(NotApplicable::Overflow)?;
        let wagering_required = match &terms {
            Some(terms) => {
                let required = terms.wagering_required(passage.amount, ask.deposit).ok_or(NotApplicable::Overflow)?;
                shown(required, MONEY_SCALE)
            }
            None => Decimal::ZERO,
        };
        passage.step(gate::budget(self.budget.total, self.budget.day, cost, passage.amount))?;
        Ok(Offer { cost, expected_revenue, wagering_required, terms })
    }

    /// The rule's terms under the player's penalty.
    fn terms(&self, rule: &Rule, penalty: Penalty) -> Option<GrantTerms> {
        let mut terms = rule.reward.terms.clone()?;
        terms.wagering_requirement = penalty.wagering(terms.wagering_requirement, self.settings.max_wagering_multiplier);
        Some(terms)
    }

    fn cost_model(&self, terms: Option<&GrantTerms>, deposit: Decimal, asset: Asset) -> Option<CostModel> {
        match terms {
            Some(terms) => Some(CostModel::bonus(terms, deposit, self.candidate.player.totals.avg_bet_size(), &self.settings.profit)),
            None => CostModel::points(asset, self.settings),
        }
    }
}

/// What the gates decided together, and which of them took something.
fn verdict(gates: &[GateFigures]) -> (Verdict, Option<String>) {
    if let Some(gate) = gates.iter().find(|gate| gate.verdict == GateVerdict::Refuse) {
        return (Verdict::Refused, Some(format!("refused by the {} gate", gate.name())));
    }
    let reducing: Vec<&str> = gates.iter().filter(|gate| gate.verdict == GateVerdict::Reduce).map(GateFigures::name).collect();
    match reducing.as_slice() {
        [] => (Verdict::Granted, None),
        names => (Verdict::Reduced, Some(format!("reduced by the gates: {}", names.join(", ")))),
    }
}
