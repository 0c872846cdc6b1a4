//! The ten players and fifteen rules of the sample, with figures calculated by hand.

use crate::support::{catalogue, d, evaluate_player, moment, sample_player, sample_rule, sample_set};
use domain::evaluate::{Evaluation, Verdict};
use domain::facts::Facts;
use domain::money::Asset;
use domain::settings::Settings;
use rust_decimal::Decimal;
use serde_json::json;

fn evaluation(player_id: &str) -> Evaluation {
    evaluate_player(&sample_player(player_id), &sample_set(), &Settings::default())
}

/// The cost and revenue that the profit gate used.
fn profit_figures(evaluation: &Evaluation, index: usize) -> serde_json::Value {
    let decision = serde_json::to_value(&evaluation.decisions[index]).unwrap();
    let gates = decision["gates"].as_array().unwrap();
    gates.iter().find(|gate| gate["name"] == "profit").unwrap()["figures"].clone()
}

#[test]
fn every_player_of_the_sample_gets_what_was_worked_by_hand() {
    // P001 15000 staked × 0.02 · P003, P009 50000 × 0.03 · P005 80000 × 0.03 · P007 25000 × 0.02 ·
    // P006 1000 and 800 cost 784.50 and 603.52, more than 450 and 540; 600 is capped at 500 ·
    // P008 deposited 300: 25, expected to earn 800 × 2.0 × 0.05 = 80.
    let expected = [
        ("P001", "WAGER_MILESTONE_10K", Asset::Lp, "300", "3.00"),
        ("P002", "LOSS_CASHBACK", Asset::Bonus, "480.00", "362.11"),
        ("P003", "WAGER_MILESTONE_50K", Asset::Lp, "1500", "15.00"),
        ("P004", "WELCOME_BONUS", Asset::Bonus, "25.00", "22.52"),
        ("P005", "WAGER_MILESTONE_50K", Asset::Lp, "2400", "24.00"),
        ("P006", "LOSS_CASHBACK", Asset::Bonus, "500.00", "377.20"),
        ("P007", "WAGER_MILESTONE_10K", Asset::Lp, "500", "5.00"),
        ("P008", "WELCOME_BONUS", Asset::Bonus, "25.00", "22.52"),
        ("P009", "WAGER_MILESTONE_50K", Asset::Lp, "1500", "15.00"),
        ("P010", "BREAKEVEN_POINTS", Asset::Lp, "150", "1.50"),
    ];
    for (player_id, rule_id, asset, amount, cost) in expected {
        let evaluation = evaluation(player_id);
        let [grant] = evaluation.grants.as_slice() else {
            panic!("{player_id}: {:#?}", evaluation.decisions)
        };
        assert_eq!(
            (grant.rule_id.as_str(), grant.asset, grant.amount),
            (rule_id, asset, d(amount)),
            "{player_id}"
        );
        assert_eq!(grant.cost, d(cost), "{player_id}");
        assert_eq!(evaluation.decisions.last().unwrap().amount, grant.amount, "{player_id}");
    }
}

#[test]
fn p002_is_refused_two_rewards_and_granted_the_third() {
    let evaluation = evaluation("P002");
    let decided: Vec<_> = evaluation
        .decisions
        .iter()
        .map(|d| (d.rule_id.as_str(), d.verdict, d.reward_amount))
        .collect();
    assert_eq!(
        decided,
        [
            ("BIG_LOSS_CASHBACK", Verdict::Refused, d("960.00")),
            ("STEADY_LOSER", Verdict::Refused, d("770.00")),
            ("LOSS_CASHBACK", Verdict::Granted, d("480.00")),
        ]
    );
    for (index, revenue, cost) in [
        (0, "375.00", "753.12"),
        (1, "450.00", "580.89"),
        (2, "450.00", "362.11"),
    ] {
        let figures = profit_figures(&evaluation, index);
        assert_eq!(
            (figures["revenue"].to_string(), figures["cost"].to_string()),
            (revenue.to_owned(), cost.to_owned())
        );
    }
    let grant = &evaluation.grants[0];
    assert_eq!(grant.wagering_required, d("4800.00"));
    assert_eq!(grant.expected_revenue, d("450.00"));
    assert_eq!(grant.claim.period_key, "ONCE");
    assert_eq!(grant.expires_at.unwrap().to_string(), "2026-11-25T12:00:00Z");
}

#[test]
fn p004_and_p010_pay_more_than_they_cost() {
    assert_eq!(profit_figures(&evaluation("P004"), 0)["revenue"].to_string(), "50.00");
    assert_eq!(profit_figures(&evaluation("P004"), 0)["cost"].to_string(), "22.52");
    assert_eq!(profit_figures(&evaluation("P010"), 0)["cost"].to_string(), "1.50");
}

#[test]
fn a_decision_is_stored_with_its_amounts_at_their_scale() {
    let decision = serde_json::to_value(&evaluation("P002").decisions[0]).unwrap();
    assert_eq!(decision["verdict"], "REFUSED");
    assert_eq!(decision["reason"], "refused by the profit gate");
    assert_eq!(decision["reward_amount"].to_string(), "960.00");
    let names: Vec<_> = decision["gates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gate| gate["name"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["eligibility", "fraud", "profit"]);
    assert_eq!(decision["gates"][2]["verdict"], "REFUSE");
    assert_eq!(
        decision["gates"][2]["figures"].to_string(),
        concat!(
            r#"{"base_wager":5000.00,"cost":753.12,"edge":0.05,"min_roi":0,"multiplier":1.5,"#,
            r#""profit":-378.12,"revenue":375.00,"roi":-0.5021}"#
        )
    );
}

#[test]
fn the_facts_that_the_decided_rules_read_are_kept() {
    let (catalogue, moment, player) = (catalogue(), moment(), sample_player("P002"));
    let facts = Facts::of(&player, &catalogue, &moment, None);
    let kept = facts.to_json(evaluation("P002").facts_read);
    assert_eq!(
        serde_json::Value::Object(kept.clone()),
        json!({
            "cashback_multiplier": 1,
            "net_loss": 4800,
            "segment": "LOSING",
            "session_count": 10,
            "total_wagered": 5000,
        })
    );
    let again = Facts::from_json(&kept, &catalogue);
    let rule = crate::support::parse_rule(&sample_rule("STEADY_LOSER"));
    assert!(rule.matches(&again));
    assert_eq!(rule.reward.formula.eval(&again), Ok(d("770.00")));
}

/// The result of a formula within its limits, before any gate.
fn amount(player_id: &str, tier: &str, formula: &str, max_amount: &str) -> Decimal {
    let mut player = sample_player(player_id);
    player.tier = tier.to_owned();
    let mut rule = sample_rule("LOSS_CASHBACK");
    rule["reward_config"]["formula"] = json!(formula);
    rule["reward_config"]["max_amount"] = json!(max_amount);
    let evaluation = evaluate_player(
        &player,
        &crate::support::rule_set(vec![crate::support::parse_rule(&rule)]),
        &Settings::default(),
    );
    evaluation.decisions[0].reward_amount
}

#[test]
fn the_worked_amounts_of_the_domain() {
    assert_eq!(amount("P002", "BRONZE", "net_loss * 0.10", "500"), d("480.00"));
    assert_eq!(amount("P003", "BRONZE", "net_loss * 0.10", "500"), d("500.00"));
    assert_eq!(
        amount("P002", "GOLD", "net_loss * 0.10 * cashback_multiplier", "5000"),
        d("720.00")
    );
    assert_eq!(
        amount("P003", "BRONZE", "net_loss * 0.15 + total_wagered * 0.01", "800"),
        d("800.00")
    );
    assert_eq!(
        amount("P003", "BRONZE", "net_loss * 0.15 + total_wagered * 0.01", "5000"),
        d("1250.00")
    );
}
