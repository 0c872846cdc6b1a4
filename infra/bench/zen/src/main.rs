//! The rules of the sample over the same players by our evaluation and by zen-engine, on one thread of one process.
//!
//! zen-engine holds them as one decision table that collects every row that matches, compiled and indexed beforehand.
//! Beside it stands zen-expression alone, its evaluator of conditions and amounts, without the engine's walk through
//! graph and table.
//!
//! Both sides match every rule and compute the amount of every rule that matches, within its limit and rounded. Gates
//! are ours alone, and a figure of their own. Rates are of processor time, so that other work on the machine does not
//! count.

mod other;
mod players;
mod table;

use std::hint::black_box;

use domain::evaluate::{BudgetRooms, Candidate, RuleSet, evaluate};
use domain::facts::{Catalogue, FactId, Facts};
use domain::money::round_reward;
use domain::period::Moment;
use domain::player::PlayerSnapshot;
use domain::rule::{Rule, Trigger};
use domain::settings::Settings;
use domain::tier::Ladder;
use rust_decimal::Decimal;
use zen_expression::Variable;
use zen_expression::vm::VM;

const ROUNDS: usize = 5;

fn main() {
    let count = std::env::args()
        .nth(1)
        .map_or(100_000, |count| count.parse().expect("a number of players"));
    let settings = Settings::default();
    let moment = Moment::new("2026-11-23T12:00:00Z".parse().expect("a time"), &settings).expect("a time zone");
    let tiers = serde_json::from_str(include_str!("../../../../events/sample/tiers.json")).expect("tiers");
    let catalogue = Catalogue::new(&Ladder::new(tiers).expect("a ladder"));
    let definitions: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../../../../events/sample/rules.json")).expect("rules");
    let parsed = definitions
        .iter()
        .map(|rule| (Rule::parse(rule, &catalogue, &settings).expect("a rule"), 1))
        .collect();
    let set = RuleSet::new(parsed);
    let rules: Vec<&Rule> = set.iter().map(|(rule, _)| rule).collect();
    let mut read: Vec<FactId> = rules.iter().flat_map(|rule| rule.reads().iter().copied()).collect();
    read.sort_unstable();
    read.dedup();
    let players = players::players(count, 1, moment.today());
    let bench = Bench {
        catalogue,
        moment,
        settings,
        set: &set,
        rules,
        read,
        players: &players,
    };
    bench.run();
}

struct Bench<'a> {
    catalogue: Catalogue,
    moment: Moment,
    settings: Settings,
    set: &'a RuleSet,
    /// In the order in which they are tried.
    rules: Vec<&'a Rule>,
    /// The facts that any of them reads.
    read: Vec<FactId>,
    players: &'a [PlayerSnapshot],
}

impl Bench<'_> {
    fn run(&self) {
        let expressions = other::Expressions::new(&self.rules);
        let facts: Vec<Facts<'_>> = self.players.iter().map(|player| self.facts(player)).collect();
        let variables: Vec<Variable> = facts.iter().map(|facts| self.variable(facts)).collect();
        let table = table::Table::new(&self.rules);
        self.check(&facts, &variables, &expressions, &table);

        // The fastest of the rounds, in which all take turns.
        let mut seconds = [f64::INFINITY; 8];
        for _ in 0..ROUNDS {
            let ready = timed(|| facts.iter().for_each(|facts| _ = black_box(self.ours(facts))));
            let built = timed(|| {
                self.players
                    .iter()
                    .for_each(|player| _ = black_box(self.ours(&self.facts(player))))
            });
            let mut vm = VM::new();
            let table_ready = timed(|| variables.iter().for_each(|facts| _ = black_box(table.evaluate(facts))));
            let table_built = timed(|| {
                self.players
                    .iter()
                    .for_each(|player| _ = black_box(table.evaluate(&self.variable(&self.facts(player)))));
            });
            let theirs_ready = timed(|| {
                variables
                    .iter()
                    .for_each(|facts| _ = black_box(expressions.evaluate(facts, &mut vm)))
            });
            let theirs_built = timed(|| {
                self.players.iter().for_each(|player| {
                    _ = black_box(expressions.evaluate(&self.variable(&self.facts(player)), &mut vm))
                });
            });
            let [one, all] = [1, 15].map(|rewards_max| timed(|| _ = self.with_gates(rewards_max)));
            for (best, now) in seconds.iter_mut().zip([
                ready,
                built,
                table_ready,
                table_built,
                theirs_ready,
                theirs_built,
                one,
                all,
            ]) {
                *best = best.min(now);
            }
        }
        self.tell(seconds);
    }

    fn facts<'f>(&'f self, player: &'f PlayerSnapshot) -> Facts<'f> {
        Facts::of(player, &self.catalogue, &self.moment, None)
    }

    fn variable(&self, facts: &Facts<'_>) -> Variable {
        other::variable(facts, &self.read, &self.catalogue)
    }

    /// Places of the rules that match, and their amounts.
    fn ours(&self, facts: &Facts<'_>) -> Vec<(usize, Decimal)> {
        let mut matched = Vec::new();
        for (place, rule) in self.rules.iter().enumerate() {
            if rule.matches(facts)
                && let Ok(amount) = rule.reward.formula.eval(facts)
            {
                let limited = rule.reward.max_amount.map_or(amount, |most| amount.min(most));
                matched.push((place, round_reward(limited, rule.reward.reward_type.asset())));
            }
        }
        matched
    }

    /// The whole evaluation, up to `rewards_max` grants for a player. How many were made.
    fn with_gates(&self, rewards_max: u32) -> usize {
        let settings = Settings {
            max_rewards_per_evaluation: rewards_max,
            ..self.settings.clone()
        };
        let live = self.set.live(Trigger::Import, &self.moment);
        let mut budgets = BudgetRooms::default();
        let grants = self.players.iter().map(|player| {
            let facts = self.facts(player);
            let evaluation = evaluate(
                &Candidate {
                    player,
                    facts: &facts,
                    event: None,
                },
                &live,
                &settings,
                &mut budgets,
            );
            black_box(evaluation).grants.len()
        });
        grants.sum()
    }

    /// # Panics
    /// When they do not agree on a player.
    fn check(
        &self,
        facts: &[Facts<'_>],
        variables: &[Variable],
        expressions: &other::Expressions,
        table: &table::Table,
    ) {
        let mut matches = vec![0_u64; self.rules.len()];
        let mut vm = VM::new();
        for ((player, facts), variable) in self.players.iter().zip(facts).zip(variables) {
            let ours = self.ours(facts);
            assert_eq!(ours, expressions.evaluate(variable, &mut vm), "{player:?}");
            assert_eq!(ours, table.evaluate(variable), "{player:?}");
            ours.iter().for_each(|(place, _)| matches[*place] += 1);
        }
        for (rule, count) in self.rules.iter().zip(&matches) {
            println!("{:<24}{count:>8} players", rule.rule_id.as_str());
        }
        let players = self.players.len();
        println!(
            "all {players} players: the same rules and amounts on all sides, {} in all\n",
            matches.iter().sum::<u64>()
        );
    }

    fn tell(&self, seconds: [f64; 8]) {
        let rates = seconds.map(|seconds| self.players.len() as f64 / seconds);
        let [
            ready,
            built,
            table_ready,
            table_built,
            theirs_ready,
            theirs_built,
            one,
            all,
        ] = rates;
        println!(
            "players a second of processor time, {} rules each, the fastest of {ROUNDS} rounds",
            self.rules.len()
        );
        println!(
            "{:<44}{:>12}{:>12}{:>8}{:>16}{:>8}",
            "", "ours", "zen-engine", "ratio", "zen-expression", "ratio"
        );
        let line = |what: &str, ours: f64, engine: f64, expressions: f64| {
            println!(
                "{what:<44}{ours:>12.0}{engine:>12.0}{:>8.1}{expressions:>16.0}{:>8.1}",
                ours / engine,
                ours / expressions
            );
        };
        line("facts ready", ready, table_ready, theirs_ready);
        line("facts built for the call", built, table_built, theirs_built);
        line(
            "the same, ours with all gates and one grant",
            one,
            table_built,
            theirs_built,
        );
        line(
            "the same, ours with all gates and all grants",
            all,
            table_built,
            theirs_built,
        );
    }
}

fn timed(work: impl FnOnce()) -> f64 {
    let started = processor_seconds();
    work();
    processor_seconds() - started
}

/// Of this thread, as Linux counts it.
fn processor_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux counts processor time");
    let nanoseconds: f64 = stat
        .split_whitespace()
        .next()
        .and_then(|field| field.parse().ok())
        .expect("a number");
    nanoseconds / 1e9
}
