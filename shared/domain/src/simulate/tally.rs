//! Running totals of a simulation.

use super::report::Drawn;
use crate::evaluate::{Decision, Evaluation, Verdict};
use crate::gate::{GateKind, GateVerdict};
use crate::money::{Asset, Money, Quantity};
use crate::rule::Rule;
use crate::text_enum;
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::BTreeMap;

text_enum! {
    /// The result for one player.
    pub enum Outcome as "simulated outcome" {
        Granted = "GRANTED",
        /// Granted, but less than the rule offers.
        Reduced = "REDUCED",
        /// Refused by a gate.
        Refused = "REFUSED",
        /// The rule matches but yields no reward.
        NotApplicable = "NOT_APPLICABLE",
        /// The rule matches, but a rule of higher priority was granted instead.
        Displaced = "DISPLACED",
        /// The rule matches, but has already paid this player in this period.
        AlreadyGranted = "ALREADY_GRANTED",
        NoMatch = "NO_MATCH",
    }
}

impl From<Verdict> for Outcome {
    fn from(verdict: Verdict) -> Self {
        match verdict {
            Verdict::Granted => Outcome::Granted,
            Verdict::Reduced => Outcome::Reduced,
            Verdict::Refused => Outcome::Refused,
            Verdict::NotApplicable => Outcome::NotApplicable,
        }
    }
}

/// Numbers of players, and amounts. `matched = already_granted + displaced + not_applicable + refused + granted`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    pub matched: u64,
    pub already_granted: u64,
    pub displaced: u64,
    pub not_applicable: u64,
    pub refused: u64,
    pub granted: u64,
    /// Part of `granted`.
    pub reduced: u64,
    /// In the reward's asset.
    pub amount: Quantity,
    /// Expected cost; so is the revenue.
    pub cost: Money,
    pub expected_revenue: Money,
}

impl Figures {
    pub(super) const fn none(asset: Asset) -> Self {
        Self {
            matched: 0,
            already_granted: 0,
            displaced: 0,
            not_applicable: 0,
            refused: 0,
            granted: 0,
            reduced: 0,
            amount: asset.quantity(Decimal::ZERO),
            cost: Money::ZERO,
            expected_revenue: Money::ZERO,
        }
    }

    fn add(&mut self, outcome: Outcome, rule: &Rule, evaluation: &Evaluation) {
        self.matched += u64::from(outcome != Outcome::NoMatch);
        match outcome {
            Outcome::Granted => self.granted += 1,
            Outcome::Reduced => (self.granted, self.reduced) = (self.granted + 1, self.reduced + 1),
            Outcome::Refused => self.refused += 1,
            Outcome::NotApplicable => self.not_applicable += 1,
            Outcome::Displaced => self.displaced += 1,
            Outcome::AlreadyGranted => self.already_granted += 1,
            Outcome::NoMatch => {}
        }
        if let Some(grant) = evaluation.grants.iter().find(|grant| grant.rule_id == rule.rule_id) {
            self.amount += grant.amount;
            self.cost += Money::of(grant.cost);
            self.expected_revenue += Money::of(grant.expected_revenue);
        }
    }
}

/// Number of players whom a gate stopped, and the total amount withheld from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Count {
    pub count: u64,
    pub amount: Quantity,
}

impl Count {
    pub(super) const fn none(asset: Asset) -> Self {
        Self {
            count: 0,
            amount: asset.quantity(Decimal::ZERO),
        }
    }

    fn add(&mut self, amount: Decimal) {
        self.count += 1;
        self.amount += amount;
    }
}

/// The totals of the simulated rule.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) figures: Figures,
    pub(super) amounts: Vec<Decimal>,
    /// `(refused, reduced)` by gate.
    pub(super) gates: BTreeMap<GateKind, (Count, Count)>,
}

impl Tally {
    pub(super) const fn none(asset: Asset) -> Self {
        Self {
            figures: Figures::none(asset),
            amounts: Vec::new(),
            gates: BTreeMap::new(),
        }
    }

    pub(super) fn add(&mut self, outcome: Outcome, rule: &Rule, evaluation: &Evaluation) {
        self.figures.add(outcome, rule, evaluation);
        let Some(decision) = evaluation
            .decisions
            .iter()
            .find(|decision| decision.rule_id == rule.rule_id)
        else {
            return;
        };
        if !decision.amount.is_zero() {
            self.amounts.push(decision.amount);
        }
        self.gates(decision);
    }

    fn gates(&mut self, decision: &Decision) {
        let mut asked = decision.reward_amount;
        for gate in decision
            .gates
            .iter()
            .filter(|gate| gate.verdict != GateVerdict::Approve)
        {
            let none = Count::none(self.figures.amount.asset);
            let (refused, reduced) = self.gates.entry(gate.kind()).or_insert((none, none));
            match gate.verdict {
                GateVerdict::Refuse => refused.add(asked),
                _ => reduced.add(asked - gate.amount),
            }
            asked = gate.amount;
        }
    }
}

/// The totals of all rules.
#[derive(Debug, Clone, Default)]
pub(super) struct AllTally {
    pub(super) granted: u64,
    pub(super) cost: Money,
    pub(super) expected_revenue: Money,
}

impl AllTally {
    pub(super) fn add(&mut self, evaluation: &Evaluation) {
        for grant in &evaluation.grants {
            self.granted += 1;
            self.cost += Money::of(grant.cost);
            self.expected_revenue += Money::of(grant.expected_revenue);
        }
    }
}

/// Figures by name. There are few names, so a linear search is enough.
#[derive(Debug, Default)]
pub(super) struct Groups(pub(super) Vec<(String, u64, Figures)>);

impl Groups {
    pub(super) fn add(&mut self, name: &str, outcome: Outcome, rule: &Rule, evaluation: &Evaluation) {
        let known = self.0.iter().position(|(known, ..)| known == name);
        let index = known.unwrap_or_else(|| {
            let none = Figures::none(rule.reward.reward_type.asset());
            self.0.push((name.to_owned(), 0, none));
            self.0.len() - 1
        });
        let (_, players, figures) = &mut self.0[index];
        *players += 1;
        figures.add(outcome, rule, evaluation);
    }
}

/// The first players of each outcome; the report selects from them.
#[derive(Debug, Default)]
pub(super) struct Samples(BTreeMap<Outcome, Vec<Drawn>>);

/// Most players in the report's samples.
const SAMPLES_MAX: usize = 10;

impl Samples {
    pub(super) fn wants(&self, outcome: Outcome) -> bool {
        self.0.get(&outcome).is_none_or(|samples| samples.len() < SAMPLES_MAX)
    }

    pub(super) fn push(&mut self, outcome: Outcome, drawn: Drawn) {
        self.0.entry(outcome).or_default().push(drawn);
    }

    /// Takes one of each outcome in turn until there are [`SAMPLES_MAX`], and sorts them by player id.
    pub(super) fn take(self) -> Vec<Drawn> {
        let mut queues: Vec<_> = self.0.into_values().map(Vec::into_iter).collect();
        let mut taken = Vec::with_capacity(SAMPLES_MAX);
        while taken.len() < SAMPLES_MAX {
            let before = taken.len();
            taken.extend(queues.iter_mut().filter_map(Iterator::next).take(SAMPLES_MAX - before));
            if taken.len() == before {
                break;
            }
        }
        taken.sort_by(|a, b| a.player_id().cmp(b.player_id()));
        taken
    }
}
