//! The sample data, and helpers that build players, facts and rules.

use domain::evaluate::{BudgetRooms, Candidate, Evaluation, RuleSet, evaluate};
use domain::facts::{Catalogue, EventFacts, Facts};
use domain::id::PlayerId;
use domain::metrics::{Losses, Totals, Windows};
use domain::period::Moment;
use domain::player::{AccountStanding, Balances, PlayerSnapshot, RewardSpend};
use domain::rule::{Rule, Trigger};
use domain::segment::{SegmentThresholds, classify};
use domain::settings::Settings;
use domain::tier::{Ladder, Tier};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::path::PathBuf;

/// Noon on a Monday.
pub const NOW: &str = "2026-11-23T12:00:00Z";

pub fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub fn moment() -> Moment {
    Moment::new(NOW.parse().unwrap(), &Settings::default()).unwrap()
}

fn sample_file(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../../events/sample")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

pub fn ladder() -> Ladder {
    let tiers: Vec<Tier> = serde_json::from_str(&sample_file("tiers.json")).unwrap();
    Ladder::new(tiers).unwrap()
}

pub fn catalogue() -> Catalogue {
    Catalogue::new(&ladder())
}

pub fn sample_rules() -> Vec<Value> {
    serde_json::from_str(&sample_file("rules.json")).unwrap()
}

pub fn sample_rule(rule_id: &str) -> Value {
    sample_rules()
        .into_iter()
        .find(|rule| rule["rule_id"] == rule_id)
        .unwrap()
}

/// A BRONZE player whose whole history is in the last 30 days, as after a first import.
pub fn player(player_id: &str, deposited: &str, wagered: &str, won: &str, session_count: i32) -> PlayerSnapshot {
    let totals = Totals {
        deposited: d(deposited),
        wagered: d(wagered),
        won: d(won),
        session_count,
        playtime_hours: d("10"),
        ..Totals::default()
    };
    let windows = Windows {
        wagered_7d: totals.wagered,
        wagered_30d: totals.wagered,
        won_7d: totals.won,
        won_30d: totals.won,
        deposited_7d: totals.deposited,
        deposited_30d: totals.deposited,
        active_days_30d: 1,
    };
    PlayerSnapshot {
        player_id: PlayerId::parse(player_id).unwrap(),
        standing: Some(AccountStanding {
            is_active: true,
            is_blocked: false,
            self_excluded_until: None,
        }),
        segment: Some(classify(&totals, &SegmentThresholds::default())),
        tier: "BRONZE".to_owned(),
        totals,
        windows,
        losses: Some(Losses::default()),
        deposit_count: Some(0),
        balances: Balances::default(),
        risk_score: 0,
        kyc_completed: false,
        profile_depth: Decimal::ZERO,
        registered_at: None,
        spend: RewardSpend::default(),
        past_grants: Vec::new(),
    }
}

/// A player of `players.csv`.
pub fn sample_player(player_id: &str) -> PlayerSnapshot {
    let file = sample_file("players.csv");
    let line = file
        .lines()
        .find(|line| line.split(',').next() == Some(player_id))
        .unwrap();
    let cells: Vec<&str> = line.split(',').collect();
    player(player_id, cells[1], cells[2], cells[3], cells[4].parse().unwrap())
}

/// A rule that grants 10 LP to everybody, with `changes` applied.
pub fn rule_json(rule_id: &str, changes: Value) -> Value {
    let mut rule = json!({
        "rule_id": rule_id,
        "name": rule_id,
        "conditions": {},
        "reward_config": {"type": "LOYALTY_POINTS", "amount": 10},
    });
    for (key, value) in changes.as_object().unwrap() {
        rule[key] = value.clone();
    }
    rule
}

pub fn parse_rule(value: &Value) -> Rule {
    Rule::parse(value, &catalogue(), &Settings::default()).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

pub fn rule(rule_id: &str, changes: Value) -> Rule {
    parse_rule(&rule_json(rule_id, changes))
}

pub fn rule_set(rules: Vec<Rule>) -> RuleSet {
    RuleSet::new(rules.into_iter().map(|rule| (rule, 1)).collect())
}

pub fn sample_set() -> RuleSet {
    rule_set(sample_rules().iter().map(parse_rule).collect())
}

/// An evaluation after an import, with full budgets.
pub fn evaluate_player(player: &PlayerSnapshot, rules: &RuleSet, settings: &Settings) -> Evaluation {
    let mut budgets = BudgetRooms::of(rules, |_| Default::default());
    evaluate_with(player, rules, settings, None, &mut budgets)
}

pub fn evaluate_with(
    player: &PlayerSnapshot,
    rules: &RuleSet,
    settings: &Settings,
    event: Option<&EventFacts>,
    budgets: &mut BudgetRooms,
) -> Evaluation {
    let (catalogue, moment) = (catalogue(), moment());
    let facts = Facts::of(player, &catalogue, &moment, event);
    let trigger = if event.is_some() {
        Trigger::Deposit
    } else {
        Trigger::Import
    };
    evaluate(
        &Candidate {
            player,
            facts: &facts,
            event,
        },
        &rules.live(trigger, &moment),
        settings,
        budgets,
    )
}

pub fn deposit(event_id: &str, amount: &str) -> EventFacts {
    EventFacts {
        trigger: Trigger::Deposit,
        event_id: event_id.to_owned(),
        occurred_at: NOW.parse().unwrap(),
        amount: Some(d(amount)),
        game: None,
        entry: None,
    }
}
