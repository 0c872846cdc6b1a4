//! One rule against one player: the response of `POST /rules/{id}/test`.

use crate::support::{catalogue, d, moment, parse_rule, rule, sample_player, sample_rule};
use domain::evaluate::{BudgetRooms, Candidate, Explanation, Verdict, explain};
use domain::facts::Facts;
use domain::player::{Claim, PastGrant, PlayerSnapshot};
use domain::rule::Rule;
use domain::settings::Settings;
use serde_json::json;

fn explanation(player: &PlayerSnapshot, rule: &Rule) -> Explanation {
    let (catalogue, moment) = (catalogue(), moment());
    let facts = Facts::of(player, &catalogue, &moment, None);
    let candidate = Candidate {
        player,
        facts: &facts,
        event: None,
    };
    explain(
        &candidate,
        rule,
        3,
        &moment,
        &Settings::default(),
        &BudgetRooms::default(),
    )
}

fn gate_names(explanation: &Explanation) -> Vec<&'static str> {
    explanation
        .decision
        .gates
        .iter()
        .map(|gate| gate.kind().as_str())
        .collect()
}

const ALL_GATES: [&str; 5] = ["eligibility", "fraud", "profit", "caps", "budget"];

#[test]
fn a_rule_that_grants_is_explained_with_every_gate() {
    let explained = explanation(&sample_player("P002"), &parse_rule(&sample_rule("LOSS_CASHBACK")));
    assert!(explained.matches && !explained.already_granted);
    assert_eq!(
        (explained.decision.verdict, explained.decision.amount),
        (Verdict::Granted, d("480.00"))
    );
    assert_eq!(
        (explained.decision.rule_version, gate_names(&explained)),
        (3, ALL_GATES.to_vec())
    );
    let conditions = serde_json::to_value(&explained.conditions).unwrap();
    assert_eq!(
        conditions,
        json!([
            {"pointer": "/conditions/net_loss_min", "expected": 100, "actual": 4800, "met": true},
            {"pointer": "/conditions/segment", "expected": "LOSING", "actual": "LOSING", "met": true},
            {"pointer": "/conditions/session_count_min", "expected": 3, "actual": 10, "met": true},
        ])
    );
}

#[test]
fn a_rule_that_is_refused_shows_the_gates_behind_too() {
    let explained = explanation(&sample_player("P002"), &parse_rule(&sample_rule("BIG_LOSS_CASHBACK")));
    assert_eq!(
        (explained.decision.verdict, explained.decision.reward_amount),
        (Verdict::Refused, d("960.00"))
    );
    assert_eq!(explained.decision.amount, d("0"));
    assert_eq!(gate_names(&explained), ALL_GATES);
    assert_eq!(explained.decision.gates[3].amount, d("960.00"));
}

#[test]
fn a_rule_that_does_not_match_is_judged_all_the_same() {
    let explained = explanation(&sample_player("P001"), &parse_rule(&sample_rule("WELCOME_BONUS")));
    assert!(!explained.matches);
    assert_eq!(
        explained.conditions.iter().filter(|condition| !condition.met).count(),
        1
    );
    assert_eq!(
        (explained.decision.reward_amount, gate_names(&explained)),
        (d("25.00"), ALL_GATES.to_vec())
    );
}

#[test]
fn a_formula_without_a_value_still_shows_the_gates() {
    let per_bet = rule(
        "R",
        json!({"reward_config": {"type": "BONUS_BALANCE", "formula": "avg_bet_size * 10"}}),
    );
    let explained = explanation(&sample_player("P002"), &per_bet);
    assert!(explained.matches);
    assert_eq!(explained.decision.verdict, Verdict::NotApplicable);
    assert_eq!(
        explained.decision.reason.as_deref(),
        Some("avg_bet_size is not known for this player")
    );
    assert_eq!(
        (explained.decision.formula_amount, gate_names(&explained)),
        (None, ALL_GATES.to_vec())
    );
}

#[test]
fn a_player_who_was_paid_before_is_told_apart() {
    let past_grants = vec![PastGrant {
        rule_id: "LOSS_CASHBACK".into(),
        claim: Claim {
            period_key: "ONCE".into(),
            ..Claim::default()
        },
    }];
    let explained = explanation(
        &PlayerSnapshot {
            past_grants,
            ..sample_player("P002")
        },
        &parse_rule(&sample_rule("LOSS_CASHBACK")),
    );
    assert!(explained.matches && explained.already_granted);
}
