//! Evaluates a player: tries the rules by priority and takes each match through the gates, until enough was
//! granted.
//!
//! Workers, rule tests and the simulator share this path.
//!
//! # Choices
//!
//! * A rule that pays per event for a changed segment or tier pays once per segment or tier entered in
//!   `reentry_days` (30), so that going back and forth earns nothing.
//! * A deposit bonus without a deposit amount is NOT_APPLICABLE.
//! * Doubled wagering (risk 61 to 80) stays below the jurisdiction's `max_wagering_multiplier`.

mod judge;

use crate::bonus::GrantTerms;
use crate::facts::{Catalogue, EventFacts, FactId, FactSource, Facts};
use crate::gate::{CapRoom, GateFigures};
use crate::id::RuleId;
use crate::money::Asset;
use crate::period::{Cadence, Moment, Period, is_of_event};
use crate::player::{Claim, Entry, PastGrant, PlayerSnapshot};
use crate::rule::{ConditionResult, RewardType, Rule, Trigger};
use crate::settings::Settings;
use crate::text_enum;
use jiff::{SignedDuration, Timestamp};
pub(crate) use judge::bonus;
use judge::{Case, Extent};
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::HashMap;

/// The rules of the program in evaluation order, each with its version.
#[derive(Debug, Clone, Default)]
pub struct RuleSet(Vec<(Rule, i32)>);

impl RuleSet {
    /// Sorts by priority, highest first, then by `rule_id`.
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

    /// Keeps only the rule with this id, if present.
    pub fn only(mut self, rule_id: &RuleId) -> Self {
        self.0.retain(|(rule, _)| rule.rule_id == *rule_id);
        self
    }

    /// The rules that apply at this moment to players with this trigger. Compute it once per batch.
    pub fn live(&self, trigger: Trigger, moment: &Moment) -> LiveRules<'_> {
        self.live_where(moment, |rule| rule.is_live(trigger, moment))
    }

    /// The rules that an event of this trigger calls, by its moment. Gates and grants are of `now`.
    pub fn called(&self, trigger: Trigger, moment: &Moment, now: Timestamp) -> LiveRules<'_> {
        LiveRules {
            now,
            ..self.live_where(moment, |rule| rule.is_called(trigger, moment))
        }
    }

    /// The rules that are active at this moment, whatever their triggers: for an evaluation that a person
    /// requested.
    pub fn switched_on(&self, moment: &Moment) -> LiveRules<'_> {
        self.live_where(moment, |rule| rule.is_on(moment))
    }

    /// The rules that `applies` selects at this moment.
    pub fn live_where(&self, moment: &Moment, applies: impl Fn(&Rule) -> bool) -> LiveRules<'_> {
        LiveRules {
            rules: self.iter().filter(|(rule, _)| applies(rule)).collect(),
            now: moment.now(),
            turns: Turns::at(moment),
            moment: moment.clone(),
        }
    }
}

/// Rules that apply at a moment, in evaluation order.
#[derive(Debug, Clone)]
pub struct LiveRules<'a> {
    rules: Vec<(&'a Rule, i32)>,
    /// Of the event, or of the evaluation.
    moment: Moment,
    /// Of the evaluation.
    now: Timestamp,
    turns: Turns,
}

impl LiveRules<'_> {
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    pub fn len(&self) -> usize {
        self.rules.len()
    }

    pub fn moment(&self) -> &Moment {
        &self.moment
    }

    /// What has to be loaded for the conditions and the formulas.
    pub fn sources<'s>(&'s self, catalogue: &'s Catalogue) -> impl Iterator<Item = FactSource> + 's {
        self.rules.iter().flat_map(|(rule, _)| rule.sources(catalogue))
    }
}

/// The periods that contain a moment.
#[derive(Debug, Clone)]
pub(crate) struct Turns {
    moment: Timestamp,
    /// By cadence, with the keys of the same cadence that the moment has in any zone.
    calendar: Vec<(Cadence, Period, Vec<String>)>,
}

impl Turns {
    pub(crate) fn at(moment: &Moment) -> Self {
        let calendar = Cadence::ALL.into_iter().filter_map(|cadence| {
            let period = cadence.period(moment)?;
            Some((cadence, period, cadence.keys(moment)))
        });
        Self {
            moment: moment.now(),
            calendar: calendar.collect(),
        }
    }

    /// What this rule would be paid for. `None`: it pays per event, and there is none.
    pub(crate) fn of<'a>(&'a self, rule: &Rule, event: Option<&'a EventFacts>) -> Option<Turn<'a>> {
        match self.calendar.iter().find(|(cadence, ..)| *cadence == rule.cadence) {
            Some((_, period, keys)) => Some(Turn::Calendar {
                period,
                keys,
                at: self.moment,
            }),
            None => event.map(Turn::Event),
        }
    }
}

/// What a rule is paid for, once.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Turn<'a> {
    Calendar {
        period: &'a Period,
        keys: &'a [String],
        at: Timestamp,
    },
    Event(&'a EventFacts),
}

impl Turn<'_> {
    /// Whether the rule, or another one of its group, already paid this player for it.
    pub(crate) fn is_paid(&self, player: &PlayerSnapshot, rule: &Rule, settings: &Settings) -> bool {
        let is_of_rule = |past: &PastGrant| {
            past.rule_id == rule.rule_id.as_str()
                || (rule.exclusive_group.is_some() && past.claim.exclusive_group == rule.exclusive_group)
        };
        let mut past = player.past_grants.iter().filter(|past| is_of_rule(past));
        past.any(|past| self.is_claimed_by(&past.claim, settings))
    }

    fn is_claimed_by(&self, claim: &Claim, settings: &Settings) -> bool {
        match self {
            Turn::Calendar { period, keys, at } => {
                claim.period_key == period.key
                    || (keys.contains(&claim.period_key) && claim.span.is_some_and(|span| span.contains(*at)))
            }
            Turn::Event(event) => {
                let entries = event.entry.as_ref().zip(claim.entry.as_ref());
                is_of_event(&claim.period_key, &event.event_id)
                    || entries.is_some_and(|(entry, before)| is_same(entry, before, settings.reentry_days))
            }
        }
    }

    fn claim(&self, rule: &Rule) -> Claim {
        let (period, entry) = match self {
            Turn::Calendar { period, .. } => ((*period).clone(), None),
            Turn::Event(event) => (Period::of_event(&event.event_id), event.entry.clone()),
        };
        Claim {
            period_key: period.key,
            span: period.span,
            exclusive_group: rule.exclusive_group.clone(),
            entry,
        }
    }
}

/// Whether two entries into the same segment or tier, in whatever order, are less than `days` apart.
fn is_same(a: &Entry, b: &Entry, days: u32) -> bool {
    let limit = SignedDuration::from_hours(24 * i64::from(days));
    a.entered == b.entered && a.at.duration_since(b.at).abs() < limit
}

/// What is left of a rule's budget, in money; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct BudgetRoom {
    pub total: Option<Decimal>,
    pub day: Option<Decimal>,
}

/// What is left of the budgets; evaluations reserve from it. A rule with a budget but without an entry here is
/// refused, so that nothing is spent that was not read.
#[derive(Debug, Clone, Default)]
pub struct BudgetRooms(HashMap<RuleId, BudgetRoom>);

impl BudgetRooms {
    /// The entry of every rule with a budget: the budget less what `reserved` returns, in total and for today.
    pub fn of(rules: &RuleSet, reserved: impl Fn(&RuleId) -> (Decimal, Decimal)) -> Self {
        let rooms = rules.iter().filter_map(|(rule, _)| {
            let budget = rule.budget?;
            let (total, day) = reserved(&rule.rule_id);
            let room = BudgetRoom {
                total: budget.total.map(|limit| limit - total),
                day: budget.per_day.map(|limit| limit - day),
            };
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

    fn release(&mut self, rule_id: &RuleId, cost: Decimal) {
        self.reserve(rule_id, -cost);
    }
}

/// The player to evaluate.
#[derive(Debug, Clone, Copy)]
pub struct Candidate<'a> {
    /// As of now, for the gates.
    pub player: &'a PlayerSnapshot,
    /// Of the moment of the event, or of now without one.
    pub facts: &'a Facts<'a>,
    pub event: Option<&'a EventFacts>,
}

text_enum! {
    pub enum Verdict as "verdict" {
        Granted = "GRANTED",
        /// Granted, but less than the rule gives.
        Reduced = "REDUCED",
        /// Refused by a gate.
        Refused = "REFUSED",
        /// The match cannot be computed, or the rule matches but gives nothing: a null fact, a division by zero, an
        /// amount of 0.
        NotApplicable = "NOT_APPLICABLE",
    }
}

/// The decision on one rule that matched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decision {
    pub rule_id: RuleId,
    pub rule_version: i32,
    pub verdict: Verdict,
    /// The formula's value before limits and rounding; null if it has none.
    pub formula_amount: Option<Decimal>,
    /// What the rule gives before the gates: within its limits, and rounded.
    pub reward_amount: Decimal,
    /// The granted amount; 0 if nothing is granted.
    pub amount: Decimal,
    /// The gates up to the one that refused.
    pub gates: Vec<GateFigures>,
    /// Why nothing, or less, is granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// A grant to be created, with everything its rows need.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GrantIntent {
    pub rule_id: RuleId,
    pub rule_version: i32,
    pub claim: Claim,
    pub reward_type: RewardType,
    pub asset: Asset,
    pub amount: Decimal,
    /// Expected cost, in money.
    pub cost: Decimal,
    pub expected_revenue: Decimal,
    /// Money to stake; 0 for points and tickets.
    pub wagering_required: Decimal,
    /// Only for a grant in BONUS.
    pub terms: Option<GrantTerms>,
    /// Only for a grant in BONUS.
    pub expires_at: Option<Timestamp>,
    /// Only for points.
    pub lp_expires_at: Option<Timestamp>,
}

/// The result of an evaluation. Empty when no rule matched.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evaluation {
    /// Decisions on the rules that matched, or whose conditions could not be computed, in evaluation order.
    pub decisions: Vec<Decision>,
    pub grants: Vec<GrantIntent>,
    /// The facts named by the decided rules, sorted; they are stored with the decisions.
    pub facts_read: Vec<FactId>,
}

impl Evaluation {
    /// Takes back its grants and what they reserved of budgets: nothing is granted, for this reason.
    pub fn withdraw(&mut self, reason: &str, budgets: &mut BudgetRooms) {
        for grant in self.grants.drain(..) {
            budgets.release(&grant.rule_id, grant.cost);
        }
        for decision in &mut self.decisions {
            if matches!(decision.verdict, Verdict::Granted | Verdict::Reduced) {
                decision.verdict = Verdict::NotApplicable;
                decision.amount = Decimal::ZERO;
                decision.reason = Some(reason.to_owned());
            }
        }
    }
}

/// Evaluates one player. Does not allocate unless a rule matches.
pub fn evaluate(
    candidate: &Candidate<'_>,
    rules: &LiveRules<'_>,
    settings: &Settings,
    budgets: &mut BudgetRooms,
) -> Evaluation {
    let mut evaluation = Evaluation::default();
    let mut room = CapRoom::of(&candidate.player.spend, &settings.caps);
    let mut groups: Vec<&str> = Vec::new();
    let rewards_max = usize::try_from(settings.max_rewards_per_evaluation).unwrap_or(usize::MAX);
    for (rule, version) in &rules.rules {
        if evaluation.grants.len() >= rewards_max {
            break;
        }
        let Some(turn) = rules.turns.of(rule, candidate.event) else {
            continue;
        };
        let group = rule.exclusive_group.as_deref();
        if group.is_some_and(|group| groups.contains(&group)) || turn.is_paid(candidate.player, rule, settings) {
            continue;
        }
        let (decision, offer) = match rule.condition.hold(candidate.facts) {
            Ok(false) => continue,
            Ok(true) => {
                let case = Case {
                    candidate,
                    settings,
                    now: rules.now,
                    room: &room,
                    budget: budget_room(rule, budgets),
                };
                case.assess(rule, *version, Extent::UntilRefused)
            }
            Err(obstacle) => (judge::not_applicable(rule, *version, &obstacle), None),
        };
        if let Some(offer) = offer {
            room.take(offer.cost);
            budgets.reserve(&rule.rule_id, offer.cost);
            groups.extend(group);
            evaluation
                .grants
                .push(offer.intent(rule, *version, turn.claim(rule), decision.amount, rules.now));
        }
        evaluation.facts_read.extend_from_slice(rule.reads());
        evaluation.decisions.push(decision);
    }
    evaluation.facts_read.sort_unstable();
    evaluation.facts_read.dedup();
    evaluation
}

fn budget_room(rule: &Rule, budgets: &BudgetRooms) -> BudgetRoom {
    match rule.budget {
        None => BudgetRoom::default(),
        Some(_) => budgets.room(&rule.rule_id).unwrap_or(BudgetRoom {
            total: Some(Decimal::ZERO),
            day: Some(Decimal::ZERO),
        }),
    }
}

/// One rule for one player, with everything that was considered.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    pub matches: bool,
    /// Whether this rule, or its group, already paid this player in this period: an evaluation would skip it.
    pub already_granted: bool,
    /// Every condition, met or not.
    pub conditions: Vec<ConditionResult>,
    /// As if the rule matched. `gates` has all gates, including those after a refusal.
    pub decision: Decision,
}

/// What `rule` alone would do for this player now: the result of `POST /rules/{id}/test`. Judges the rule even if
/// it does not match, is not active or was granted before.
pub fn explain(
    candidate: &Candidate<'_>,
    rule: &Rule,
    rule_version: i32,
    moment: &Moment,
    settings: &Settings,
    budgets: &BudgetRooms,
) -> Explanation {
    let room = CapRoom::of(&candidate.player.spend, &settings.caps);
    let case = Case {
        candidate,
        settings,
        now: moment.now(),
        room: &room,
        budget: budget_room(rule, budgets),
    };
    let (decision, _) = case.assess(rule, rule_version, Extent::AllGates);
    let turns = Turns::at(moment);
    let turn = turns.of(rule, candidate.event);
    Explanation {
        matches: rule.matches(candidate.facts),
        already_granted: turn.is_some_and(|turn| turn.is_paid(candidate.player, rule, settings)),
        conditions: rule.condition.explain(candidate.facts),
        decision,
    }
}
