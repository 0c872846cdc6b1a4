//! Mistakes in rules, and the place that the error names.

use crate::support::{catalogue, d, rule_json, sample_rules};
use domain::rule::Rule;
use domain::settings::Settings;
use domain::tier::Ladder;
use serde_json::{Value, json};

fn errors_with(value: &Value, settings: &Settings) -> Vec<String> {
    match Rule::parse(value, &catalogue(), settings) {
        Ok(_) => Vec::new(),
        Err(errors) => errors
            .iter()
            .map(|error| format!("{} {}", error.pointer, error.code))
            .collect(),
    }
}

fn errors(changes: Value) -> Vec<String> {
    errors_with(&rule_json("R", changes), &Settings::default())
}

/// A bonus of 10 with `changes` to its `reward_config`.
fn reward_errors(changes: Value) -> Vec<String> {
    let mut config = json!({"type": "BONUS_BALANCE", "amount": 10});
    for (key, value) in changes.as_object().unwrap() {
        config[key] = value.clone();
    }
    errors(json!({"reward_config": config}))
}

#[test]
fn the_rules_of_the_sample_are_read_and_written_back() {
    for definition in sample_rules() {
        let rule = Rule::parse(&definition, &catalogue(), &Settings::default()).unwrap();
        for (key, value) in definition.as_object().unwrap() {
            assert_eq!(&rule.definition()[key], value);
        }
        let again = Rule::parse(rule.definition(), &catalogue(), &Settings::default()).unwrap();
        assert_eq!(again, rule);
    }
}

#[test]
fn a_rule_with_everything_is_read_and_written_back() {
    let definition = json!({
        "rule_id": "ALL", "name": "Everything", "description": "Each field once.", "priority": -3, "is_active": false,
        "conditions": {"any": [{"segment": "VIP"}, {"when": "net_loss > 5"}]},
        "reward_config": {
            "type": "BONUS_BALANCE", "formula": "net_loss * 0.1", "min_amount": 1.50, "max_amount": 20,
            "wagering_requirement": 3, "wagering_basis": "DEPOSIT_PLUS_BONUS", "expiry_hours": 1,
            "eligible_games": ["slots"], "game_weights": {"slots": 0.5}, "max_bet": 5, "max_bet_action": "FORFEIT",
            "max_conversion": 10, "on_withdrawal": "KEEP", "requires_opt_in": true,
        },
        "trigger": ["DEPOSIT"], "cadence": "WEEKLY", "days_of_week": ["MON", "SUN"],
        "starts_at": "2026-11-23T00:00:00Z", "ends_at": "2026-12-23T00:00:00Z",
        "budget": {"total": 1000, "per_day": 100}, "exclusive_group": "weekly",
    });
    let rule = Rule::parse(&definition, &catalogue(), &Settings::default()).unwrap();
    assert_eq!(rule.definition(), &definition);
}

#[test]
fn defaults_are_filled_in_and_texts_of_numbers_become_numbers() {
    let rule = rule_json(
        "R",
        json!({
            "description": null,
            "reward_config": {"type": "LOYALTY_POINTS", "amount": "10.50", "max_amount": null},
        }),
    );
    let rule = Rule::parse(&rule, &catalogue(), &Settings::default()).unwrap();
    let expected = json!({
        "rule_id": "R", "name": "R", "priority": 0, "is_active": true, "cadence": "ONCE", "conditions": {},
        "reward_config": {"type": "LOYALTY_POINTS", "amount": 10.5},
    });
    assert_eq!(rule.definition(), &expected);
}

#[test]
fn all_errors_are_collected() {
    let rule = json!({
        "rule_id": "", "name": "", "conditions": {"net_los": 1}, "reward_config": {"type": "GOLD", "amount": -1},
        "priority": 1.5, "colour": "red",
    });
    let expected = [
        "/colour unknown",
        "/rule_id format",
        "/name format",
        "/conditions/net_los unknown",
        "/reward_config/type unknown",
        "/reward_config/amount range",
        "/priority range",
    ];
    assert_eq!(errors_with(&rule, &Settings::default()), expected);
    assert_eq!(errors_with(&json!([]), &Settings::default()), [" type"]);
    let missing = [
        "/rule_id required",
        "/name required",
        "/conditions required",
        "/reward_config required",
    ];
    assert_eq!(errors_with(&json!({}), &Settings::default()), missing);
}

#[test]
fn errors_of_the_rule_itself() {
    for (changes, expected) in [
        (json!({"rule_id": "a b"}), "/rule_id format"),
        (json!({"rule_id": 5}), "/rule_id type"),
        (json!({"name": "x".repeat(201)}), "/name format"),
        (json!({"name": "a\u{0}b"}), "/name format"),
        (json!({"is_active": "yes"}), "/is_active type"),
        (json!({"priority": 1_000_001}), "/priority range"),
        (json!({"priority": "high"}), "/priority type"),
        (json!({"trigger": "IMPORT"}), "/trigger type"),
        (json!({"trigger": []}), "/trigger range"),
        (json!({"trigger": ["IMPORT", "EXPORT"]}), "/trigger/1 unknown"),
        (json!({"trigger": ["IMPORT", "IMPORT"]}), "/trigger/1 duplicate"),
        (json!({"cadence": "YEARLY"}), "/cadence unknown"),
        (json!({"days_of_week": ["MON", "XYZ"]}), "/days_of_week/1 unknown"),
        (json!({"starts_at": "yesterday"}), "/starts_at format"),
        (
            json!({"starts_at": "2026-11-23T00:00:00Z", "ends_at": "2026-11-22T00:00:00Z"}),
            "/ends_at range",
        ),
        (
            json!({"starts_at": "2026-11-23T00:00:00Z", "ends_at": "2026-11-23T00:00:00Z"}),
            "/ends_at range",
        ),
        (json!({"budget": 5}), "/budget type"),
        (json!({"budget": {}}), "/budget/total required"),
        (json!({"budget": {"total": -1}}), "/budget/total range"),
        (json!({"budget": {"per_day": -0.01}}), "/budget/per_day range"),
        (json!({"budget": {"weekly": 1, "total": 1}}), "/budget/weekly unknown"),
        (json!({"exclusive_group": ""}), "/exclusive_group format"),
        (json!({"conditions": 5}), "/conditions type"),
        (json!({"conditions": null}), "/conditions required"),
        (json!({"reward_config": []}), "/reward_config type"),
    ] {
        assert_eq!(errors(changes.clone()), [expected], "{changes}");
    }
}

#[test]
fn errors_of_the_reward() {
    for (changes, expected) in [
        (json!({"type": null}), "/reward_config/type required"),
        (json!({"amount": null}), "/reward_config/formula required"),
        (json!({"formula": "net_loss"}), "/reward_config/amount duplicate"),
        (
            json!({"amount": null, "formula": "net_los"}),
            "/reward_config/formula formula",
        ),
        (
            json!({"amount": null, "formula": "net_loss > 1"}),
            "/reward_config/formula formula",
        ),
        (json!({"amount": null, "formula": 5}), "/reward_config/formula type"),
        (json!({"amount": -5}), "/reward_config/amount range"),
        (json!({"amount": 0.001}), "/reward_config/amount range"),
        (json!({"amount": "NaN"}), "/reward_config/amount type"),
        (json!({"amount": 1e15}), "/reward_config/amount range"),
        (json!({"amount": true}), "/reward_config/amount type"),
        (json!({"min_amount": -1}), "/reward_config/min_amount range"),
        (json!({"max_amount": -1}), "/reward_config/max_amount range"),
        (json!({"max_bet": -5}), "/reward_config/max_bet range"),
        (json!({"max_conversion": -1}), "/reward_config/max_conversion range"),
        (
            json!({"min_amount": 5, "max_amount": 4}),
            "/reward_config/min_amount range",
        ),
        (
            json!({"wagering_requirement": -1}),
            "/reward_config/wagering_requirement range",
        ),
        (
            json!({"wagering_requirement": 1001}),
            "/reward_config/wagering_requirement range",
        ),
        (
            json!({"wagering_basis": "DEPOSIT"}),
            "/reward_config/wagering_basis unknown",
        ),
        (json!({"expiry_hours": 0}), "/reward_config/expiry_hours range"),
        (json!({"expiry_hours": 1.5}), "/reward_config/expiry_hours range"),
        (json!({"eligible_games": []}), "/reward_config/eligible_games range"),
        (
            json!({"eligible_games": ["slot"]}),
            "/reward_config/eligible_games/0 unknown",
        ),
        (
            json!({"game_weights": {"slots": 1.5}}),
            "/reward_config/game_weights/slots range",
        ),
        (
            json!({"game_weights": {"slotz": 1}}),
            "/reward_config/game_weights/slotz unknown",
        ),
        (json!({"max_bet": 0}), "/reward_config/max_bet range"),
        (
            json!({"max_bet_action": "WARN"}),
            "/reward_config/max_bet_action unknown",
        ),
        (json!({"max_conversion": 0}), "/reward_config/max_conversion range"),
        (json!({"on_withdrawal": "ASK"}), "/reward_config/on_withdrawal unknown"),
        (json!({"requires_opt_in": 1}), "/reward_config/requires_opt_in type"),
        (json!({"lp_expiry_days": 5}), "/reward_config/lp_expiry_days unknown"),
        (
            json!({"wagering_requirment": 5}),
            "/reward_config/wagering_requirment unknown",
        ),
    ] {
        assert_eq!(reward_errors(changes.clone()), [expected], "{changes}");
    }
    let points = json!({"reward_config": {"type": "LOYALTY_POINTS", "amount": 10, "wagering_requirement": 5}});
    assert_eq!(errors(points), ["/reward_config/wagering_requirement unknown"]);
    let half_a_ticket = json!({"reward_config": {"type": "TICKETS", "amount": 0.5}});
    assert_eq!(errors(half_a_ticket), ["/reward_config/amount range"]);
}

/// The message of the first error.
fn detail(changes: Value, settings: &Settings) -> String {
    Rule::parse(&rule_json("R", changes), &catalogue(), settings).unwrap_err()[0]
        .clone()
        .detail
}

#[test]
fn every_slip_is_answered_with_what_was_expected() {
    let uk = Settings {
        max_wagering_multiplier: Some(d("10")),
        ..Settings::default()
    };
    let bonus = |changes: Value| {
        let mut config = json!({"type": "BONUS_BALANCE", "amount": 10});
        config
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        json!({"reward_config": config})
    };
    let formula = |formula: &str| json!({"reward_config": {"type": "LOYALTY_POINTS", "formula": formula}});
    let conditions = |conditions: Value| json!({"conditions": conditions});
    for (changes, expected) in [
        (
            conditions(json!({"net_los_min": 1})),
            "unknown fact net_los; did you mean net_loss?",
        ),
        (conditions(json!({"segment": 5})), "segment is a text; this is a number"),
        (
            conditions(json!({"segment_min": 5})),
            "segment is a text; only numbers have a minimum or a maximum",
        ),
        (
            conditions(json!({"segment": "LOOSING"})),
            "\"LOOSING\" is not a valid segment; expected one of NEW, WINNING, BREAKEVEN, LOSING, VIP",
        ),
        (conditions(json!({"any": []})), "an empty any never holds"),
        (
            conditions(json!({"net_loss": {"min": 5, "max": 4}})),
            "the minimum 5 is above the maximum 4",
        ),
        (
            conditions(json!({"net_loss_min": 5, "net_loss_max": 4})),
            "the minimum 5 is above the maximum 4",
        ),
        (
            conditions(json!({"when": "net_loss > "})),
            "at character 10: expected a value, found the end",
        ),
        (formula("net_loss * (1 + 2"), "at character 12: unmatched parenthesis"),
        (
            formula("net_los * 2"),
            "at character 1: unknown fact net_los; did you mean net_loss?",
        ),
        (
            bonus(json!({"min_amount": 5, "max_amount": 4})),
            "5 is above max_amount 4",
        ),
        (
            bonus(json!({"eligible_games": ["slot"]})),
            "unknown game \"slot\"; did you mean slots?",
        ),
        (
            bonus(json!({"game_weights": {"slot": 1}})),
            "unknown game \"slot\"; did you mean slots?",
        ),
        (
            bonus(json!({"type": "BONUS"})),
            "\"BONUS\" is not one of BONUS_BALANCE, CASHBACK, FREE_PLAY, LOYALTY_POINTS, REWARD_POINTS, TICKETS",
        ),
        (bonus(json!({"amount": -5})), "must be at least 0, is -5"),
        (
            bonus(json!({"wagering_requirement": 11})),
            "11 is above the 10 that the jurisdiction allows",
        ),
        (
            json!({"trigger": ["IMPORTS"]}),
            "\"IMPORTS\" is not one of IMPORT, RECALCULATION, DEPOSIT, KYC_COMPLETED, PROFILE, \
             SEGMENT_CHANGED, TIER_CHANGED",
        ),
        (
            json!({"cadence": "WEEKLI"}),
            "\"WEEKLI\" is not one of ONCE, DAILY, WEEKLY, MONTHLY, PER_EVENT",
        ),
        (json!({"budget": {"total": -1}}), "must be at least 0, is -1"),
        (
            json!({"starts_at": "2026-11-23T00:00:00Z", "ends_at": "2026-11-22T00:00:00Z"}),
            "2026-11-22T00:00:00Z is not after starts_at 2026-11-23T00:00:00Z",
        ),
        (
            json!({"starts_at": "tomorrow"}),
            "must be a time in RFC 3339, such as 2026-11-23T00:00:00Z",
        ),
    ] {
        assert_eq!(detail(changes.clone(), &uk), expected, "{changes}");
    }
}

#[test]
fn hostile_sources_are_refused_at_save_at_once() {
    let parentheses = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
    let minuses = format!("{}1", "-".repeat(20_000));
    let megabyte = "1+".repeat(500_000) + "1";
    for source in [
        parentheses.as_str(),
        &minuses,
        &megabyte,
        "9^9^9^9",
        "net_loss = 1",
        "1; 2",
    ] {
        let rule =
            json!({"conditions": {"when": source}, "reward_config": {"type": "LOYALTY_POINTS", "formula": source}});
        let started = std::time::Instant::now();
        assert_eq!(
            errors(rule),
            ["/conditions/when formula", "/reward_config/formula formula"]
        );
        assert!(started.elapsed().as_millis() < 100, "{:?}", started.elapsed());
    }
}

#[test]
fn a_mistyped_field_is_answered_with_the_nearest() {
    let rule = rule_json(
        "R",
        json!({"reward_config": {"type": "BONUS_BALANCE", "amount": 1, "wagering_requirment": 5}}),
    );
    let errors = Rule::parse(&rule, &catalogue(), &Settings::default()).unwrap_err();
    assert_eq!(errors[0].detail, "unknown field; did you mean wagering_requirement?");
}

#[test]
fn wagering_above_what_the_jurisdiction_allows_is_refused_at_save_and_readable_afterwards() {
    let uk = Settings {
        max_wagering_multiplier: Some(d("10")),
        ..Settings::default()
    };
    let with = |multiplier: i64| {
        rule_json(
            "R",
            json!({"reward_config": {"type": "BONUS_BALANCE", "amount": 1, "wagering_requirement": multiplier}}),
        )
    };
    assert!(errors_with(&with(10), &uk).is_empty());
    assert_eq!(
        errors_with(&with(11), &uk),
        ["/reward_config/wagering_requirement range"]
    );
    assert!(Rule::load(&with(11), &catalogue(), &uk).is_ok());
}

#[test]
fn a_saved_rule_stays_readable_when_its_tier_and_its_games_go() {
    let definition = rule_json(
        "R",
        json!({
            "conditions": {"tier": ["PLATINUM", "GOLD"]},
            "reward_config": {
                "type": "BONUS_BALANCE", "amount": 1, "eligible_games": ["keno"], "game_weights": {"keno": 1},
            },
        }),
    );
    let mut settings = Settings::default();
    settings.profit.game_edge.insert("keno".into(), d("0.2"));
    assert!(Rule::parse(&definition, &catalogue(), &settings).is_ok());
    let bronze_only =
        domain::facts::Catalogue::new(&Ladder::new(crate::support::ladder().tiers()[..1].to_vec()).unwrap());
    assert_eq!(
        Rule::parse(&definition, &bronze_only, &Settings::default())
            .unwrap_err()
            .len(),
        4
    );
    assert!(Rule::load(&definition, &bronze_only, &Settings::default()).is_ok());
}
