//! Simulates a rule over the whole population: how much it would grant, what it would cost, and which gates stop it.
//!
//! Players pass through [`evaluate`] in the order of their ids, as in a real run, but nothing is written.
//!
//! # Choices
//!
//! * The players that a simulation explains show the cost of their bonus by the closed form, which the gate uses, and
//!   exactly, by dynamic programming over flat even-money bets of the same edge. The bet is the size nearest to the
//!   gate's that divides the balance. Where bets × (bets of money + bets) exceeds 5,000,000 there is no exact cost.

mod report;
mod tally;

pub use report::{AllRules, BudgetUse, Difference, Distribution, GateTally, Group, Report, Sample, Stopped};
pub use tally::Outcome;

use crate::evaluate::{BudgetRooms, Candidate, Evaluation, LiveRules, Turns, evaluate};
use crate::facts::{Catalogue, Facts};
use crate::period::Moment;
use crate::player::PlayerSnapshot;
use crate::rule::Rule;
use crate::settings::Settings;
use rust_decimal::Decimal;
use tally::{AllTally, Samples, Tally};

/// The rules that apply, and the budgets that remain.
#[derive(Debug, Clone)]
pub struct Scenario<'a> {
    /// Includes the simulated rule.
    pub rules: LiveRules<'a>,
    pub budgets: BudgetRooms,
    /// The simulated rule and its version.
    pub subject: (&'a Rule, i32),
}

/// The running figures of one scenario.
struct Side<'a> {
    scenario: Scenario<'a>,
    turns: Turns,
    tally: Tally,
    all: AllTally,
}

impl<'a> Side<'a> {
    fn new(scenario: Scenario<'a>) -> Self {
        let rule = scenario.subject.0;
        Self {
            turns: Turns::at(scenario.rules.moment()),
            scenario,
            tally: Tally::none(rule.reward.reward_type.asset()),
            all: AllTally::default(),
        }
    }

    fn add(&mut self, candidate: &Candidate<'_>, settings: &Settings) -> (Outcome, Evaluation) {
        let Scenario {
            rules,
            budgets,
            subject: (rule, _),
        } = &mut self.scenario;
        let evaluation = evaluate(candidate, rules, settings, budgets);
        let outcome = match evaluation
            .decisions
            .iter()
            .find(|decision| decision.rule_id == rule.rule_id)
        {
            Some(decision) => decision.verdict.into(),
            None if !rule.matches(candidate.facts) => Outcome::NoMatch,
            None if self
                .turns
                .of(rule, None)
                .is_some_and(|turn| turn.is_paid(candidate.player, rule, settings)) =>
            {
                Outcome::AlreadyGranted
            }
            None => Outcome::Displaced,
        };
        self.tally.add(outcome, rule, &evaluation);
        self.all.add(&evaluation);
        (outcome, evaluation)
    }
}

/// One pass over the population. Add the players in the order of their ids.
pub struct Simulation<'a> {
    catalogue: &'a Catalogue,
    settings: &'a Settings,
    moment: Moment,
    side: Side<'a>,
    /// The same with the rule's version in force, for comparison.
    current: Option<Side<'a>>,
    players: u64,
    by_segment: tally::Groups,
    by_tier: tally::Groups,
    samples: Samples,
    rooms_before: BudgetRooms,
}

impl<'a> Simulation<'a> {
    pub fn new(
        scenario: Scenario<'a>,
        current: Option<Scenario<'a>>,
        catalogue: &'a Catalogue,
        settings: &'a Settings,
    ) -> Self {
        Self {
            catalogue,
            settings,
            moment: scenario.rules.moment().clone(),
            rooms_before: scenario.budgets.clone(),
            side: Side::new(scenario),
            current: current.map(Side::new),
            players: 0,
            by_segment: tally::Groups::default(),
            by_tier: tally::Groups::default(),
            samples: Samples::default(),
        }
    }

    /// Evaluates one player. Returns the outcome and the amount that the rule would grant.
    pub fn add(&mut self, player: &PlayerSnapshot) -> (Outcome, Decimal) {
        let facts = Facts::of(player, self.catalogue, &self.moment, None);
        let candidate = Candidate {
            player,
            facts: &facts,
            event: None,
        };
        let (outcome, evaluation) = self.side.add(&candidate, self.settings);
        let (rule, _) = self.side.scenario.subject;
        self.players += 1;
        // An empty name stands for players who were never classified.
        let segment = player.segment.map_or("", |segment| segment.as_str());
        self.by_segment.add(segment, outcome, rule, &evaluation);
        self.by_tier.add(&player.tier, outcome, rule, &evaluation);
        if self.samples.wants(outcome) {
            self.samples.push(
                outcome,
                report::draw(&candidate, rule, outcome, &evaluation, self.settings),
            );
        }
        if let Some(current) = &mut self.current {
            current.add(&candidate, self.settings);
        }
        let decision = evaluation
            .decisions
            .iter()
            .find(|decision| decision.rule_id == rule.rule_id);
        (outcome, decision.map_or(Decimal::ZERO, |decision| decision.amount))
    }

    pub fn finish(self) -> Report {
        report::of(self)
    }
}
