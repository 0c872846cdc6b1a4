//! The redemption catalogue: which entries are valid, and who may redeem them.
#![allow(clippy::unwrap_used)] // the helpers of tests are not `#[test]` functions

use domain::bonus::GrantTerms;
use domain::money::{Asset, Points};
use domain::redemption::{Applicant, RedemptionRefusal, RedemptionRule, Target};
use domain::settings::Settings;
use domain::tier::{Ladder, Tier};
use rust_decimal::Decimal;
use serde_json::{Value, json};

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Tiers whose alphabetical order differs from their rank.
fn ladder() -> Ladder {
    let tier = |name: &str, lp_min: i64| Tier {
        tier_level: name.into(),
        lp_min: Points::of(lp_min.into()),
        benefits: Default::default(),
        requirements: None,
    };
    Ladder::new(vec![tier("SILVER", 0), tier("GOLD", 1_000), tier("EMERALD", 10_000)]).unwrap()
}

/// 500 RP for 5.00 in cash, with `changes`.
fn cash(changes: Value) -> Value {
    let mut rule = json!({ "rule_id": "CASH_5", "name": "Five in cash", "cost": 500, "target": "CASH", "amount": 5 });
    for (key, value) in changes.as_object().unwrap() {
        rule[key] = value.clone();
    }
    rule
}

fn bonus(changes: Value) -> Value {
    let mut rule = cash(json!({ "target": "BONUS", "amount": 10 }));
    for (key, value) in changes.as_object().unwrap() {
        rule[key] = value.clone();
    }
    rule
}

fn parse(value: &Value) -> RedemptionRule {
    RedemptionRule::parse(value, &ladder(), &Settings::default()).unwrap_or_else(|errors| panic!("{errors:#?}"))
}

fn errors(value: &Value) -> Vec<String> {
    errors_under(value, &Settings::default())
}

fn errors_under(value: &Value, settings: &Settings) -> Vec<String> {
    let errors = RedemptionRule::parse(value, &ladder(), settings)
        .err()
        .unwrap_or_default();
    errors
        .iter()
        .map(|error| format!("{} {}", error.pointer, error.code))
        .collect()
}

#[test]
fn an_entry_costs_reward_points_and_is_active_unless_it_says_otherwise() {
    let rule = parse(&cash(json!({ "cost": "500.50" })));
    assert_eq!(
        (rule.cost, rule.cost_asset, rule.target, rule.is_active),
        (d("500.50"), Asset::Rp, Target::Cash, true)
    );
    assert_eq!(
        (rule.tier_min, rule.balance_min, rule.monthly_limit, rule.terms),
        (None, None, None, None)
    );
}

#[test]
fn an_entry_with_everything_is_read_and_written_back() {
    // Parsed from text: `json!` would turn the number into a float and lose the trailing zero.
    let definition = r#"{
        "rule_id": "BONUS_10", "name": "Ten to play", "description": "Slots only.", "cost": 1000.50,
        "cost_currency": "LP", "target": "BONUS", "amount": 10.25, "tier_min": "GOLD", "balance_min": 2000.00,
        "monthly_limit": 2, "is_active": false, "wagering_requirement": 10, "expiry_hours": 48,
        "eligible_games": ["slots"], "max_bet": 5.50, "max_conversion": 3
    }"#;
    let definition: Value = serde_json::from_str(definition).unwrap();
    let rule = parse(&definition);
    assert_eq!(Value::Object(rule.definition()), definition);
    assert_eq!(parse(&Value::Object(rule.definition())), rule);
    let terms = GrantTerms {
        wagering_requirement: d("10"),
        expiry_hours: Some(48),
        eligible_games: Some(vec!["slots".into()]),
        max_bet: Some(d("5.50")),
        max_conversion: Some(d("3")),
        ..GrantTerms::default()
    };
    assert_eq!(rule.terms, Some(terms));
}

#[test]
fn a_bonus_without_terms_needs_no_wagering() {
    assert_eq!(parse(&bonus(json!({}))).terms, Some(GrantTerms::default()));
}

#[test]
fn every_wrong_place_is_named_at_once() {
    let wrong = json!({
        "rule_id": "A B", "name": " ", "cost": 0, "cost_currency": "BONUS", "target": "GOODS", "amount": -1,
        "tier_min": "GOLDD", "balance_min": -1, "monthly_limit": 0, "is_active": "yes", "colour": "red",
    });
    assert_eq!(
        errors(&wrong),
        [
            "/colour unknown",
            "/rule_id format",
            "/name format",
            "/cost range",
            "/cost_currency unknown",
            "/target unknown",
            "/amount range",
            "/tier_min unknown",
            "/balance_min range",
            "/monthly_limit range",
            "/is_active type",
        ]
    );
    assert_eq!(
        errors(&json!({})),
        ["/rule_id", "/name", "/cost", "/target", "/amount"].map(|pointer| format!("{pointer} required"))
    );
    assert_eq!(errors(&json!([])), [" type"]);
}

#[test]
fn amounts_have_the_scale_of_what_they_are_of() {
    let tickets = |amount: Value| cash(json!({ "target": "TICKETS", "amount": amount }));
    for (rule, expected) in [
        (cash(json!({ "cost": "0.01", "amount": "0.01" })), None),
        (cash(json!({ "cost": 1.001 })), Some("/cost range")),
        (cash(json!({ "cost": "NaN" })), Some("/cost type")),
        (
            cash(json!({ "cost": serde_json::from_str::<Value>("1e400").unwrap() })),
            Some("/cost range"),
        ),
        (cash(json!({ "amount": 1.001 })), Some("/amount range")),
        (cash(json!({ "amount": "1000000000000000" })), Some("/amount range")),
        (tickets(json!(3)), None),
        (tickets(json!(0.5)), Some("/amount range")),
        (cash(json!({ "monthly_limit": 1.5 })), Some("/monthly_limit range")),
    ] {
        assert_eq!(errors(&rule).first().map(String::as_str), expected, "{rule}");
    }
}

#[test]
fn terms_of_wagering_belong_to_a_bonus() {
    let terms = json!({
        "wagering_requirement": 10, "expiry_hours": 1, "eligible_games": ["slots"], "max_bet": 5, "max_conversion": 3,
    });
    let expected = [
        "wagering_requirement",
        "expiry_hours",
        "eligible_games",
        "max_bet",
        "max_conversion",
    ]
    .map(|name| format!("/{name} unknown"));
    assert_eq!(errors(&cash(terms.clone())), expected);
    assert_eq!(errors(&bonus(terms)), [""; 0]);
    assert_eq!(
        errors(&bonus(json!({ "eligible_games": ["slotz"], "max_bet": 0 }))),
        ["/eligible_games/0 unknown", "/max_bet range"]
    );
}

#[test]
fn a_jurisdiction_limits_the_wagering_requirement() {
    let uk = Settings {
        max_wagering_multiplier: Some(10.into()),
        ..Settings::default()
    };
    assert_eq!(
        errors_under(&bonus(json!({ "wagering_requirement": 10 })), &uk),
        [""; 0]
    );
    assert_eq!(
        errors_under(&bonus(json!({ "wagering_requirement": "10.01" })), &uk),
        ["/wagering_requirement range"]
    );
}

#[test]
fn a_requirement_that_no_row_could_hold_is_refused() {
    let of = |amount: &str| bonus(json!({ "amount": amount, "wagering_requirement": 1000 }));
    assert_eq!(errors(&of("999999999999.99")), [""; 0]); // 999,999,999,999,990.00 to stake
    assert_eq!(errors(&of("1000000000000")), ["/wagering_requirement range"]);
}

#[test]
fn ranks_are_compared_not_names() {
    let rule = parse(&cash(json!({ "tier_min": "GOLD" })));
    let at = |tier| {
        rule.may_redeem(
            &Applicant {
                tier,
                available: d("500"),
                used: 0,
            },
            &ladder(),
        )
    };
    assert_eq!(at("GOLD"), Ok(()));
    assert_eq!(at("EMERALD"), Ok(()));
    for tier in ["SILVER", "UNKNOWN"] {
        assert_eq!(
            at(tier),
            Err(RedemptionRefusal::TierTooLow {
                tier: tier.into(),
                required: "GOLD".into()
            })
        );
    }
}

#[test]
fn the_minimum_is_of_the_balance_before_redeeming() {
    let rule = parse(&cash(json!({ "balance_min": 700 })));
    let with = |available: &str| {
        rule.may_redeem(
            &Applicant {
                tier: "SILVER",
                available: d(available),
                used: 0,
            },
            &ladder(),
        )
    };
    assert_eq!(with("700"), Ok(()));
    let refusal = RedemptionRefusal::BelowMinimum {
        asset: Asset::Rp,
        available: Asset::Rp.quantity(d("699.99")),
        required: Asset::Rp.quantity(d("700")),
    };
    assert_eq!(with("699.99"), Err(refusal));
}

#[test]
fn a_month_has_room_until_its_limit_is_used() {
    let rule = parse(&cash(json!({ "monthly_limit": 2 })));
    let after = |used| {
        rule.may_redeem(
            &Applicant {
                tier: "SILVER",
                available: d("500"),
                used,
            },
            &ladder(),
        )
    };
    assert_eq!(after(1), Ok(()));
    assert_eq!(after(2), Err(RedemptionRefusal::MonthlyLimit { used: 2, limit: 2 }));
    let unlimited = parse(&cash(json!({})));
    assert_eq!(
        unlimited.may_redeem(
            &Applicant {
                tier: "SILVER",
                available: d("500"),
                used: u32::MAX
            },
            &ladder()
        ),
        Ok(())
    );
}

#[test]
fn an_inactive_entry_is_refused_before_anything_else() {
    let rule = parse(&cash(json!({ "is_active": false, "tier_min": "GOLD" })));
    let refusal = rule.may_redeem(
        &Applicant {
            tier: "SILVER",
            available: d("0"),
            used: 0,
        },
        &ladder(),
    );
    assert_eq!(
        refusal,
        Err(RedemptionRefusal::Inactive {
            rule_id: rule.rule_id.clone()
        })
    );
}
