//! Formulas: the conformance table, and hostile sources.

use crate::support::{catalogue, moment, sample_player};
use domain::facts::{Catalogue, Facts};
use domain::formula::{EvalError, Formula, FormulaErrorKind, NESTING_MAX, OPERATORS_MAX, Predicate};
use proptest::prelude::*;
use serde_json::{Map, Value};
use std::time::{Duration, Instant};

/// The result of a formula in the notation of the table.
fn result(source: &str, facts: &Facts<'_>, catalogue: &Catalogue) -> String {
    let failed = |error: EvalError| match error {
        EvalError::Null { .. } => format!("null: {error}"),
        EvalError::DivisionByZero => format!("zero: {error}"),
        EvalError::Overflow => format!("overflow: {error}"),
    };
    let formula = Formula::parse(source, catalogue);
    if let Err(FormulaErrorKind::Result { found: "condition", .. }) = formula.as_ref().map_err(|error| &error.kind) {
        return Predicate::parse(source, catalogue)
            .unwrap()
            .eval(facts)
            .map_or_else(failed, |flag| flag.to_string());
    }
    match formula {
        Ok(formula) => formula
            .eval(facts)
            .map_or_else(failed, |number| number.normalize().to_string()),
        Err(error) => format!("refused: {error}"),
    }
}

#[test]
fn formulas_give_what_the_conformance_table_says() {
    let catalogue = catalogue();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/conformance/formula.csv");
    let mut rows = csv::ReaderBuilder::new()
        .delimiter(b';')
        .quoting(false)
        .flexible(true)
        .comment(Some(b'#'))
        .from_path(path)
        .unwrap();
    let (mut wrong, mut cases) = (Vec::new(), 0);
    for row in rows.records() {
        let row = row.unwrap();
        // A result may contain the delimiter.
        let (source, kept, expected) = (&row[0], &row[1], row.iter().skip(2).collect::<Vec<_>>().join(";"));
        let kept: Map<String, Value> = serde_json::from_str(kept).unwrap();
        assert!(kept.keys().all(|name| catalogue.id(name).is_some()), "{kept:?}");
        let found = result(source, &Facts::from_json(&kept, &catalogue), &catalogue);
        cases += 1;
        if found != expected {
            wrong.push(format!("{source}\n  expected {expected}\n  found    {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(cases > 165, "{cases} cases");
}

fn refusal(source: &str) -> FormulaErrorKind {
    Formula::parse(source, &catalogue()).unwrap_err().kind
}

#[test]
fn hostile_formulas_are_refused_at_once() {
    let parentheses = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
    let minuses = format!("{}1", "-".repeat(20_000));
    let megabyte = "1+".repeat(500_000);
    let started = Instant::now();
    for source in [&parentheses, &minuses, &megabyte] {
        assert_eq!(refusal(source), FormulaErrorKind::TooLong);
    }
    // The same within the size limit, so that the other bounds have to hold.
    let open = "(".repeat(NESTING_MAX + 1) + "1" + &")".repeat(NESTING_MAX + 1);
    assert_eq!(refusal(&open), FormulaErrorKind::TooDeep);
    assert_eq!(refusal(&("-".repeat(NESTING_MAX + 1) + "1")), FormulaErrorKind::TooDeep);
    assert_eq!(
        refusal(&("!".repeat(NESTING_MAX + 1) + "true")),
        FormulaErrorKind::TooDeep
    );
    assert_eq!(
        refusal(&("-(".repeat(20) + "1" + &")".repeat(20))),
        FormulaErrorKind::TooDeep
    );
    assert_eq!(
        refusal(&("abs(".repeat(40) + "1" + &")".repeat(40))),
        FormulaErrorKind::TooDeep
    );
    assert_eq!(
        refusal(&("1".to_owned() + &"-1".repeat(OPERATORS_MAX + 1))),
        FormulaErrorKind::TooManyOperators
    );
    assert_eq!(refusal("9^9^9^9"), FormulaErrorKind::ChainedPower);
    assert_eq!(refusal("net_loss = 1"), FormulaErrorKind::Assignment);
    assert_eq!(refusal("1; 2"), FormulaErrorKind::Chain);
    assert!(
        started.elapsed() < Duration::from_millis(100),
        "{:?}",
        started.elapsed()
    );
}

#[test]
fn what_the_bounds_allow_is_evaluated() {
    let (catalogue, moment, player) = (catalogue(), moment(), sample_player("P002"));
    let facts = Facts::of(&player, &catalogue, &moment, None);
    let value = |source: &str| {
        Formula::parse(source, &catalogue)
            .unwrap()
            .eval(&facts)
            .unwrap()
            .to_string()
    };
    assert_eq!(value(&("(".repeat(NESTING_MAX) + "1" + &")".repeat(NESTING_MAX))), "1");
    assert_eq!(value(&("-".repeat(NESTING_MAX) + "1")), "1");
    assert_eq!(value(&("1".to_owned() + &"+1".repeat(OPERATORS_MAX))), "101");
    assert_eq!(value(&format!("({}1)", "(1)-".repeat(OPERATORS_MAX))), "-99");
}

#[test]
fn a_formula_names_the_facts_it_reads() {
    let catalogue = catalogue();
    let formula = Formula::parse(
        "if(kyc_completed && segment == \"VIP\", max(net_loss, lp_balance), -total_won ^ 2)",
        &catalogue,
    )
    .unwrap();
    let mut names = Vec::new();
    formula.visit_facts(&mut |id| names.push(catalogue.def(id).name.clone()));
    assert_eq!(
        names,
        ["kyc_completed", "segment", "net_loss", "lp_balance", "total_won"]
    );
}

/// Fragments of formulas, so that random sources are nearly valid.
fn near_formula() -> impl Strategy<Value = String> {
    let pieces = [
        "1",
        "0",
        "2.5",
        ".5",
        "999999999999999",
        "net_loss",
        "session_count",
        "total_bets",
        "segment",
        "kyc_completed",
        "\"VIP\"",
        "true",
        "+",
        "-",
        "*",
        "/",
        "%",
        "^",
        "==",
        "!=",
        "<",
        ">=",
        "&&",
        "||",
        "!",
        "(",
        ")",
        ",",
        "min(",
        "max(",
        "if(",
        "abs(",
        "round(",
        "=",
        ";",
        " ",
    ];
    prop::collection::vec(prop::sample::select(pieces.to_vec()), 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_makes_the_parser_panic(source in any::<String>()) {
        let catalogue = catalogue();
        let _ = Formula::parse(&source, &catalogue);
        let _ = Predicate::parse(&source, &catalogue);
    }

    #[test]
    fn what_looks_like_a_formula_is_refused_or_evaluated(source in near_formula()) {
        let catalogue = catalogue();
        let player = sample_player("P002");
        let moment = moment();
        let facts = Facts::of(&player, &catalogue, &moment, None);
        match Formula::parse(&source, &catalogue) {
            Ok(formula) => { let _ = formula.eval(&facts); }
            Err(error) => {
                let place = error.position;
                prop_assert!(place >= 1 && place <= source.chars().count().max(1), "{} in {:?}", error, source);
                prop_assert!(error.kind != FormulaErrorKind::Syntax, "our scan let {:?} through", source);
            }
        }
        if let Ok(predicate) = Predicate::parse(&source, &catalogue) {
            let _ = predicate.eval(&facts);
        }
    }

    #[test]
    fn sums_and_products_are_those_of_the_decimals(a in 0i64..1_000_000, b in 0i64..1_000_000, c in 1i64..1_000_000) {
        let catalogue = catalogue();
        let kept = Map::new();
        let facts = Facts::from_json(&kept, &catalogue);
        let value = |source: String| Formula::parse(&source, &catalogue).unwrap().eval(&facts).unwrap();
        let [x, y, z] = [a, b, c].map(|number| rust_decimal::Decimal::new(number, 2));
        prop_assert_eq!(value(format!("{x} + {y} * {z}")), x + y * z);
        prop_assert_eq!(value(format!("({x} - {y}) / {z}")), (x - y) / z);
        prop_assert_eq!(value(format!("{x} - {y} - {z}")), x - y - z);
    }
}
