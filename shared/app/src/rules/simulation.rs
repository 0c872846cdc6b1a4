//! Simulates a rule, draft or saved, over the whole population. Writes nothing.
//!
//! # Choices
//!
//! * A simulation assumes that the rule is active; `is_live` says whether it is. It compares a draft with the current
//!   version of its id, both as if they were active.
//! * Up to 1,000,000 players the report is returned directly. Above that, or with `as_run`, it is a run: 202, and the
//!   same report at `GET /rules/simulations/{run_id}` (409 before it ended and after it failed).

use crate::error::{Error, Result};
use crate::program::Program;
use crate::program::snapshot::period_keys;
use crate::rules;
use domain::evaluate::{BudgetRooms, RuleSet};
use domain::id::{PlayerId, RuleId};
use domain::period::Cadence;
use domain::rule::{Rule, Trigger};
pub use domain::simulate::{Outcome, Report};
use domain::simulate::{Scenario, Simulation};
use domain::text_enum;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap};
use store::rules::population::{Population, Reading};
use store::{Db, Executor};

/// What is simulated.
#[derive(Debug, Clone, PartialEq)]
pub enum Subject {
    /// A rule as it would be saved. With the id of an existing rule it is the next version of that rule.
    Draft(Value),
    /// The current version.
    Saved(RuleId),
}

text_enum! {
    /// Which other rules take part.
    #[derive(Default)]
    pub enum Within as "set of rules" {
        /// None, as in an evaluation run of the rule.
        #[default]
        Alone = "ALONE",
        /// The live rules, as in a recalculation, with the simulated one placed by its priority.
        ActiveSet = "ACTIVE_SET",
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Simulated {
    pub rule_id: RuleId,
    /// For a draft, the version that would be saved.
    pub rule_version: i32,
    pub within: Within,
    /// Whether the rule is active and applies now. The simulation assumes both.
    pub is_live: bool,
    pub evaluated_at: Timestamp,
    #[serde(flatten)]
    pub report: Report,
}

/// Simulates a rule over every player, as if it were active and applied now.
///
/// # Errors
/// `NotFound`; `RuleError::Archived`; `Validation` for an invalid draft and for a rule that pays per event.
pub async fn simulate(db: &Db, subject: &Subject, within: Within, now: Timestamp) -> Result<Simulated> {
    simulate_with(db, subject, within, now, |_, _, _| {}).await
}

/// Like [`simulate`]; also passes each player to `tell`, by id, with the outcome and the amount the rule would grant.
pub async fn simulate_with(
    db: &Db,
    subject: &Subject,
    within: Within,
    now: Timestamp,
    mut tell: impl FnMut(&PlayerId, Outcome, Decimal) + Send,
) -> Result<Simulated> {
    let plan = Plan::load(db, subject, within, now).await?;
    let mut pass = Pass::open(db, &plan).await?;
    while pass.step(&mut tell).await? > 0 {}
    pass.end()
}

/// One pass over a snapshot of the players, taken when it opens.
pub(crate) struct Pass<'a> {
    plan: &'a Plan,
    simulation: Simulation<'a>,
    population: Population,
}

impl<'a> Pass<'a> {
    pub(crate) async fn open(db: &Db, plan: &'a Plan) -> Result<Self> {
        let current = plan.current.as_ref().map(|rules| plan.scenario(rules)).transpose()?;
        let simulation = Simulation::new(
            plan.scenario(&plan.rules)?,
            current,
            &plan.program.catalogue,
            &plan.program.settings,
        );
        Ok(Self {
            plan,
            simulation,
            population: Population::open(db, plan.reading()).await?,
        })
    }

    /// Simulates the next players and returns how many; 0 after the last.
    pub(crate) async fn step(&mut self, mut tell: impl FnMut(&PlayerId, Outcome, Decimal)) -> Result<usize> {
        while let Some(players) = self.population.next().await? {
            for player in &players {
                let (outcome, amount) = self.simulation.add(player);
                tell(&player.player_id, outcome, amount);
            }
            if !players.is_empty() {
                return Ok(players.len());
            }
        }
        Ok(0)
    }

    /// Finishes the report and returns the connections to the pool.
    pub(crate) fn end(self) -> Result<Simulated> {
        let Self { plan, simulation, .. } = self;
        let (rule, rule_version) = plan.subject(&plan.rules)?;
        Ok(Simulated {
            rule_id: plan.rule_id.clone(),
            rule_version,
            within: plan.within,
            is_live: rule.is_on(&plan.program.moment),
            evaluated_at: plan.program.moment.now(),
            report: simulation.finish(),
        })
    }
}

/// The input of a simulation except the players.
pub(crate) struct Plan {
    program: Program,
    within: Within,
    rule_id: RuleId,
    /// The rules, including the simulated one.
    rules: RuleSet,
    /// The rules with the stored version in place of the draft, if there is one.
    current: Option<RuleSet>,
    /// Money reserved in total and today, by rule.
    reserved: HashMap<String, (Decimal, Decimal)>,
}

impl Plan {
    pub(crate) async fn load(db: &Db, subject: &Subject, within: Within, now: Timestamp) -> Result<Self> {
        let mut client = db.client().await?;
        let tx = store::snapshot(&mut client).await?;
        let program = Program::load(&tx, now).await?;
        let (rule, stored) = read(&tx, subject, &program).await?;
        if rule.cadence == Cadence::PerEvent {
            let pointer = if matches!(subject, Subject::Draft(_)) {
                "/rule/cadence"
            } else {
                "/rule_id"
            };
            let detail = "the rule pays per event, and a simulation has none";
            return Err(Error::invalid(pointer, "needs_event", detail));
        }
        let reserved = store::rules::budgets::reserved_of_all(&tx, program.moment.today()).await?;
        let others = match within {
            Within::Alone => Vec::new(),
            Within::ActiveSet => {
                let live = program.rules(&tx).await?;
                live.iter()
                    .filter(|(other, _)| other.rule_id != rule.rule_id)
                    .map(|(other, version)| (other.clone(), version))
                    .collect()
            }
        };
        let with = |rule: Rule, version: i32| RuleSet::new(others.iter().cloned().chain([(rule, version)]).collect());
        let rule_id = rule.rule_id.clone();
        let (rules, current) = match (subject, stored) {
            (Subject::Saved(_), Some((_, version))) => (with(rule, version), None),
            (_, Some((stored, version))) => (with(rule, version + 1), Some(with(stored, version))),
            (_, None) => (with(rule, 1), None),
        };
        Ok(Self {
            program,
            within,
            rule_id,
            rules,
            current,
            reserved,
        })
    }

    pub(crate) fn rule_id(&self) -> &RuleId {
        &self.rule_id
    }

    fn subject<'a>(&self, rules: &'a RuleSet) -> Result<(&'a Rule, i32)> {
        rules
            .get(&self.rule_id)
            .ok_or_else(|| Error::not_found("rule", &self.rule_id))
    }

    fn scenario<'a>(&self, rules: &'a RuleSet) -> Result<Scenario<'a>> {
        let moment = &self.program.moment;
        let applies = |rule: &Rule| rule.rule_id == self.rule_id || rule.is_live(Trigger::Recalculation, moment);
        let reserved = |rule_id: &RuleId| self.reserved.get(rule_id.as_str()).copied().unwrap_or_default();
        let subject = self.subject(rules)?;
        Ok(Scenario {
            rules: rules.live_where(moment, applies),
            budgets: BudgetRooms::of(rules, reserved),
            subject,
        })
    }

    /// Limits reading to what the rules use.
    fn reading(&self) -> Reading {
        let sets = [Some(&self.rules), self.current.as_ref()];
        let rules = || sets.into_iter().flatten().flat_map(RuleSet::iter).map(|(rule, _)| rule);
        let sorted = |names: BTreeSet<String>| names.into_iter().collect();
        Reading {
            sources: rules().flat_map(|rule| rule.sources(&self.program.catalogue)).collect(),
            moment: self.program.moment.clone(),
            period_keys: period_keys([&self.program.moment]),
            rule_ids: sorted(rules().map(|rule| rule.rule_id.to_string()).collect()),
            exclusive_groups: sorted(rules().filter_map(|rule| rule.exclusive_group.clone()).collect()),
        }
    }
}

/// The rule to simulate, and the stored rule of the same id with its version.
async fn read(executor: &impl Executor, subject: &Subject, program: &Program) -> Result<(Rule, Option<(Rule, i32)>)> {
    match subject {
        Subject::Saved(rule_id) => {
            let stored = rules::not_archived(rules::load(executor, rule_id).await?)?;
            let rule = program.rule(&stored)?;
            Ok((rule.clone(), Some((rule, stored.version))))
        }
        Subject::Draft(draft) => {
            let rule = rules::check(draft, program).map_err(|errors| errors.within("/rule"))?;
            let stored = store::rules::get(executor, &rule.rule_id)
                .await?
                .map(rules::not_archived)
                .transpose()?;
            let stored = stored
                .map(|stored| Ok::<_, Error>((program.rule(&stored)?, stored.version)))
                .transpose()?;
            Ok((rule, stored))
        }
    }
}
