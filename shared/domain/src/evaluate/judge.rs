//! Judges one rule for one player: computes its amount and takes it through the gates.

use super::{BudgetRoom, Candidate, Decision, GrantIntent, Verdict};
use crate::bonus::{GrantTerms, WageringBasis};
use crate::formula::EvalError;
use crate::gate::cost::{CostModel, WageredCost, mix_edge};
use crate::gate::{self, CapRoom, GateFigures, GateKind, GateVerdict, Limits, Penalty};
use crate::money::{Asset, is_storable, round_reward};
use crate::player::{Claim, PlayerSnapshot};
use crate::rule::Rule;
use crate::settings::Settings;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::borrow::Cow;

/// How far to judge a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    UntilRefused,
    AllGates,
}

/// Why a matching rule gives nothing before any gate is asked.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
enum NotApplicable {
    #[error("{0}")]
    Formula(#[from] EvalError),
    #[error("the amount is not above 0")]
    NotPositive,
    #[error("the amount rounds down to 0")]
    RoundsToZero,
    #[error("the amount or its cost is too large")]
    Overflow,
    #[error("the wagering requirement is too large")]
    Requirement,
    #[error("the wagering requirement counts a deposit and there is none")]
    NoDeposit,
}

/// What passed all gates, apart from the amount.
pub(super) struct Offer {
    pub(super) cost: Decimal,
    expected_revenue: Decimal,
    wagering_required: Decimal,
    terms: Option<GrantTerms>,
}

impl Offer {
    pub(super) fn intent(
        self,
        rule: &Rule,
        rule_version: i32,
        claim: Claim,
        amount: Decimal,
        now: Timestamp,
    ) -> GrantIntent {
        let after = |hours: u32| now.checked_add(SignedDuration::from_hours(i64::from(hours))).ok();
        GrantIntent {
            rule_id: rule.rule_id.clone(),
            rule_version,
            claim,
            reward_type: rule.reward.reward_type,
            asset: rule.reward.reward_type.asset(),
            amount,
            cost: self.cost,
            expected_revenue: self.expected_revenue,
            wagering_required: self.wagering_required,
            expires_at: self.terms.as_ref().and_then(|terms| terms.expiry_hours).and_then(after),
            terms: self.terms,
            lp_expires_at: rule
                .reward
                .lp_expiry_days
                .and_then(|days| after(days.saturating_mul(24))),
        }
    }
}

/// One player and one rule.
pub(super) struct Case<'a> {
    pub(super) candidate: &'a Candidate<'a>,
    pub(super) settings: &'a Settings,
    pub(super) now: Timestamp,
    pub(super) room: &'a CapRoom,
    pub(super) budget: BudgetRoom,
}

/// What a rule gives before the gates.
#[derive(Default)]
struct Ask {
    /// Within the rule's limits.
    value: Decimal,
    /// `value`, rounded.
    amount: Decimal,
    /// The deposit that counts towards the wagering requirement.
    deposit: Decimal,
}

/// An amount on its way through the gates.
struct Passage {
    extent: Extent,
    amount: Decimal,
    gates: Vec<GateFigures>,
}

impl Passage {
    /// Passes one gate. After a refusal, an explanation continues with the refused amount.
    fn step(&mut self, gate: GateFigures) -> Result<(), Stop> {
        let refused = gate.verdict == GateVerdict::Refuse;
        if !refused {
            self.amount = gate.amount;
        }
        self.gates.push(gate);
        if refused && self.extent == Extent::UntilRefused {
            Err(Stop::Refused)
        } else {
            Ok(())
        }
    }
}

/// Why the gates stopped early.
enum Stop {
    Refused,
    NotApplicable(NotApplicable),
}

impl From<NotApplicable> for Stop {
    fn from(obstacle: NotApplicable) -> Self {
        Stop::NotApplicable(obstacle)
    }
}

/// The decision for a rule whose conditions cannot be computed for the player.
pub(super) fn not_applicable(rule: &Rule, rule_version: i32, obstacle: &EvalError) -> Decision {
    Decision {
        reason: Some(obstacle.to_string()),
        ..undecided(rule, rule_version)
    }
}

fn undecided(rule: &Rule, rule_version: i32) -> Decision {
    Decision {
        rule_id: rule.rule_id.clone(),
        rule_version,
        verdict: Verdict::NotApplicable,
        formula_amount: None,
        reward_amount: Decimal::ZERO,
        amount: Decimal::ZERO,
        gates: Vec::new(),
        reason: None,
    }
}

impl Case<'_> {
    pub(super) fn assess(&self, rule: &Rule, rule_version: i32, extent: Extent) -> (Decision, Option<Offer>) {
        let formula_amount = rule.reward.formula.eval(self.candidate.facts);
        let ask = formula_amount
            .clone()
            .map_err(NotApplicable::from)
            .and_then(|amount| self.ask(rule, amount));
        let reward_amount = ask.as_ref().map_or(Decimal::ZERO, |ask| ask.amount);
        let formula_amount = formula_amount.ok().map(|amount| amount.normalize());
        let mut decision = Decision {
            formula_amount,
            reward_amount,
            ..undecided(rule, rule_version)
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
                    decision.gates = self
                        .pass(rule, &Ask::default(), extent)
                        .map(|(passage, _)| passage.gates)
                        .unwrap_or_default();
                }
                (decision, None)
            }
        }
    }

    /// The amount within the rule's limits, and the deposit that is wagered with it.
    fn ask(&self, rule: &Rule, amount: Decimal) -> Result<Ask, NotApplicable> {
        let reward = &rule.reward;
        if amount <= Decimal::ZERO {
            return Err(NotApplicable::NotPositive);
        }
        let value = reward.min_amount.map_or(amount, |min| amount.max(min));
        let value = reward.max_amount.map_or(value, |max| value.min(max));
        let asset = reward.reward_type.asset();
        let amount = round_reward(value, asset);
        if amount.is_zero() {
            return Err(NotApplicable::RoundsToZero);
        }
        if !is_storable(amount) {
            return Err(NotApplicable::Overflow);
        }
        let counts_deposit = reward
            .terms
            .as_ref()
            .is_some_and(|terms| terms.wagering_basis == WageringBasis::DepositPlusBonus);
        let deposit = match self.candidate.event.and_then(|event| event.amount) {
            _ if !counts_deposit => Decimal::ZERO,
            Some(deposit) => deposit,
            None => return Err(NotApplicable::NoDeposit),
        };
        // Also where the gates would reduce the amount: what the rule says is out of range.
        if let Some(terms) = &reward.terms {
            terms
                .wagering_required(amount, deposit)
                .ok_or(NotApplicable::Requirement)?;
        }
        Ok(Ask { value, amount, deposit })
    }

    /// Takes the amount through the gates in order. The offer is `None` if a gate ended it early.
    fn pass(&self, rule: &Rule, ask: &Ask, extent: Extent) -> Result<(Passage, Option<Offer>), NotApplicable> {
        let mut passage = Passage {
            extent,
            amount: ask.amount,
            gates: Vec::with_capacity(5),
        };
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
        let after_penalty = round_reward(after_penalty, asset);
        passage.step(gate::fraud(player.risk_score, passage.amount, after_penalty))?;

        let terms = terms(rule, penalty, settings);
        let model = self
            .cost_model(terms.as_ref(), ask.deposit, asset)
            .ok_or(NotApplicable::Overflow)?;
        let edge = mix_edge(
            terms.as_ref().and_then(|terms| terms.eligible_games.as_deref()),
            &settings.profit,
        );
        let profit = gate::profit(player, reward_type, edge, passage.amount, &model, &settings.profit)
            .ok_or(NotApplicable::Overflow)?;
        let (expected_revenue, cost) = (profit.revenue, profit.cost);
        passage.step(profit.gate)?;

        let capped =
            gate::caps(self.limits(asset), passage.amount, cost, asset, &model).ok_or(NotApplicable::Overflow)?;
        let cost = capped.cost;
        passage.step(capped.gate)?;

        let wagering_required = match &terms {
            Some(terms) => terms
                .wagering_required(passage.amount, ask.deposit)
                .ok_or(NotApplicable::Requirement)?,
            None => Decimal::ZERO,
        };
        passage.step(gate::budget(self.budget.total, self.budget.day, cost, passage.amount))?;
        if ![cost, expected_revenue].into_iter().all(is_storable) {
            return Err(NotApplicable::Overflow.into());
        }
        Ok(Offer {
            cost,
            expected_revenue,
            wagering_required,
            terms,
        })
    }

    fn limits(&self, asset: Asset) -> Limits<'_> {
        let ceiling = round_reward(self.settings.bonus_max_amount, asset);
        Limits {
            room: self.room,
            ceiling: (asset == Asset::Bonus).then_some(ceiling),
        }
    }

    fn cost_model<'t>(&self, terms: Option<&'t GrantTerms>, deposit: Decimal, asset: Asset) -> Option<CostModel<'t>> {
        match terms {
            Some(terms) => Some(CostModel::bonus(
                terms,
                deposit,
                self.candidate.player.totals.avg_bet_size(),
                &self.settings.profit,
            )),
            None => CostModel::points(asset, self.settings),
        }
    }
}

/// The rule's terms with the player's penalty applied.
fn terms(rule: &Rule, penalty: Penalty, settings: &Settings) -> Option<GrantTerms> {
    let mut terms = rule.reward.terms.clone()?;
    terms.wagering_requirement = penalty.wagering(terms.wagering_requirement, settings.max_wagering_multiplier);
    Some(terms)
}

/// The bonus of a decision without an event, and its cost: the granted amount, otherwise the amount that the profit
/// gate judged. `None` if the rule gives no bonus or the decision did not reach that gate.
pub(crate) fn bonus(
    player: &PlayerSnapshot,
    rule: &Rule,
    decision: &Decision,
    settings: &Settings,
) -> Option<(Decimal, WageredCost<'static>)> {
    let profit = decision.gates.iter().position(|gate| gate.kind() == GateKind::Profit)?;
    let judged = profit.checked_sub(1).and_then(|before| decision.gates.get(before))?;
    let amount = if decision.amount.is_zero() {
        judged.amount
    } else {
        decision.amount
    };
    let terms = terms(rule, Penalty::of(player.risk_score), settings)?;
    let cost = WageredCost::new(
        Cow::Owned(terms),
        Decimal::ZERO,
        player.totals.avg_bet_size(),
        &settings.profit,
    );
    Some((amount, cost))
}

/// The verdict of all gates together, and the reason if one refused or reduced the amount.
fn verdict(gates: &[GateFigures]) -> (Verdict, Option<String>) {
    if let Some(gate) = gates.iter().find(|gate| gate.verdict == GateVerdict::Refuse) {
        return (Verdict::Refused, Some(format!("refused by the {} gate", gate.kind())));
    }
    let reducing: Vec<&str> = gates
        .iter()
        .filter(|gate| gate.verdict == GateVerdict::Reduce)
        .map(|gate| gate.kind().as_str())
        .collect();
    match reducing.as_slice() {
        [] => (Verdict::Granted, None),
        names => (
            Verdict::Reduced,
            Some(format!("reduced by the gates: {}", names.join(", "))),
        ),
    }
}
