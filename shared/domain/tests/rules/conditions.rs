//! Conditions: the conformance table, and malformed JSON.

use crate::support::{d, ladder, rule_json, sample_player};
use domain::facts::{Catalogue, Facts};
use domain::rule::Rule;
use domain::settings::Settings;
use domain::tier::Ladder;
use proptest::prelude::*;
use serde_json::{Map, Value, json};

/// The sample ladder with two more benefits: `spins_min` looks like a comparison of `spins`.
fn catalogue_with_spins() -> Catalogue {
    let mut tiers = ladder().tiers().to_vec();
    tiers[0].benefits.insert("spins".into(), json!(10));
    tiers[0].benefits.insert("spins_min".into(), json!(1));
    Catalogue::new(&Ladder::new(tiers).unwrap())
}

fn with_conditions(conditions: Value, catalogue: &Catalogue) -> Result<Rule, String> {
    let rule = Rule::parse(
        &rule_json("R", json!({"conditions": conditions})),
        catalogue,
        &Settings::default(),
    );
    rule.map_err(|errors| {
        errors
            .iter()
            .map(|error| format!("{} {}", error.pointer, error.code))
            .collect::<Vec<_>>()
            .join(", ")
    })
}

#[test]
fn conditions_hold_as_the_conformance_table_says() {
    let catalogue = catalogue_with_spins();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/conditions.csv");
    let mut rows = csv::ReaderBuilder::new()
        .delimiter(b'|')
        .quoting(false)
        .flexible(true)
        .comment(Some(b'#'))
        .from_path(path)
        .unwrap();
    let (mut wrong, mut cases) = (Vec::new(), 0);
    for row in rows.records() {
        let row = row.unwrap();
        let (source, kept, expected) = (&row[0], &row[1], &row[2]);
        let conditions = serde_json::from_str(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let kept: Map<String, Value> = serde_json::from_str(kept).unwrap();
        assert!(kept.keys().all(|name| catalogue.id(name).is_some()), "{kept:?}");
        let facts = Facts::from_json(&kept, &catalogue);
        let found = match with_conditions(conditions, &catalogue) {
            Ok(rule) => rule
                .condition
                .hold(&facts)
                .map_or_else(|error| error.to_string(), |held| held.to_string()),
            Err(errors) => errors,
        };
        cases += 1;
        if found != expected {
            wrong.push(format!(
                "{source} with {}\n  expected {expected}\n  found    {found}",
                &row[1]
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases > 125, "{cases} cases");
}

#[test]
fn an_unknown_fact_is_answered_with_the_nearest() {
    let rule = rule_json("R", json!({"conditions": {"net_los_min": 1}}));
    let errors = Rule::parse(&rule, &catalogue_with_spins(), &Settings::default()).unwrap_err();
    assert_eq!(errors[0].detail, "unknown fact net_los; did you mean net_loss?");
}

#[test]
fn deep_and_long_conditions_are_refused() {
    let catalogue = catalogue_with_spins();
    let deep = (0..100).fold(json!({"net_loss": 1}), |inner, _| json!({"not": inner}));
    assert!(with_conditions(deep, &catalogue).unwrap_err().ends_with(" range"));
    let long: Vec<Value> = (0..1_000).map(|number| json!({"net_loss": number})).collect();
    assert_eq!(
        with_conditions(json!({"any": long}), &catalogue).unwrap_err(),
        "/conditions/any/200/net_loss range"
    );
}

#[test]
fn an_explanation_shows_every_condition_with_what_it_met() {
    let (catalogue, moment, player) = (catalogue_with_spins(), crate::support::moment(), sample_player("P002"));
    let facts = Facts::of(&player, &catalogue, &moment, None);
    let conditions = json!({
        "segment": ["VIP", "NEW"],
        "net_loss": {"min": 100, "max": 1000},
        "any": [{"total_bets_min": 5}, {"session_count_min": 3}],
        "when": "net_loss > total_bets",
    });
    let rule = with_conditions(conditions, &catalogue).unwrap();
    let mut explained = Vec::new();
    for result in rule.condition.explain(&facts) {
        explained.push(format!(
            "{} {} {} {}",
            result.pointer, result.expected, result.actual, result.met
        ));
    }
    assert_eq!(
        explained,
        [
            r#"/conditions/any "at least one holds" "1 of 2 hold" true"#,
            "/conditions/any/0/total_bets_min 5 null false",
            "/conditions/any/1/session_count_min 3 10 true",
            "/conditions/net_loss/max 1000 4800 false",
            "/conditions/net_loss/min 100 4800 true",
            r#"/conditions/segment ["VIP","NEW"] "LOSING" false"#,
            r#"/conditions/when "net_loss > total_bets" "total_bets is not known for this player" false"#,
        ]
    );
    assert_eq!(player.totals.net_loss(), d("4800"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let keys = [
        "net_loss",
        "net_loss_min",
        "segment",
        "kyc_completed",
        "any",
        "all",
        "not",
        "when",
        "min",
        "in",
        "exists",
        "\u{7f}",
        "",
    ];
    let key = prop_oneof![4 => prop::sample::select(keys.to_vec()).prop_map(str::to_owned), 1 => any::<String>()];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("VIP")),
        Just(json!("net_loss > 1")),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        let entries = prop::collection::vec((key.clone(), inner.clone()), 0..6);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Value::Array),
            entries.prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_json_makes_the_reader_panic(conditions in any_json(), whole in any_json()) {
        let catalogue = catalogue_with_spins();
        let (player, moment) = (sample_player("P002"), crate::support::moment());
        let facts = Facts::of(&player, &catalogue, &moment, None);
        if let Ok(rule) = with_conditions(conditions, &catalogue) {
            let met = rule.matches(&facts);
            // Groups are explained as well as their parts, so only the top level has to agree.
            let results = rule.condition.explain(&facts);
            let mut top_level = results.iter().filter(|result| result.pointer.matches('/').count() == 2);
            let all_met = top_level.all(|result| result.met);
            prop_assert!(!met || all_met);
        }
        prop_assert!(Rule::parse(&whole, &catalogue, &Settings::default()).is_err());
    }
}
