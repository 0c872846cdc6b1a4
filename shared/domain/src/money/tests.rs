use super::*;

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

#[test]
fn amounts_are_read_exactly() {
    assert_eq!(parse_amount("1234.57", 2), Ok(d("1234.57")));
    assert_eq!(parse_amount("100.00", 0), Ok(d("100")));
    assert_eq!(parse_amount("1.5e3", 2), Ok(d("1500")));
    assert_eq!(parse_amount("-0", 2), Ok(Decimal::ZERO));
    assert_eq!(parse_amount("999999999999999", 2), Ok(d("999999999999999")));
}

#[test]
fn hostile_amounts_are_refused() {
    for text in [
        "",
        "NaN",
        "Infinity",
        "-Infinity",
        "inf",
        "１２",
        "1 000",
        "1,5",
        "0x10",
        "1_000",
        ".",
        "-",
        "1.2.3",
        "1e",
        "e5",
    ] {
        assert_eq!(parse_amount(text, 4), Err(AmountError::NotANumber), "{text:?}");
    }
    for text in ["1e400", "9223372036854775808", "1000000000000000", "1e15"] {
        assert!(parse_amount(text, 4).is_err(), "{text}");
    }
    assert_eq!(parse_amount("-1", 4), Err(AmountError::Negative));
    assert!(matches!(
        parse_amount("0.0000000000000000001", 4),
        Err(AmountError::Scale { .. })
    ));
    assert_eq!(parse_amount("0.005", 2), Err(AmountError::Scale { scale: 2 }));
}

#[test]
fn rewards_round_down_and_requirements_round_up() {
    assert_eq!(round_reward(d("1234.57") * d("0.10"), Asset::Lp), d("123.45"));
    assert_eq!(round_reward(d("7.99"), Asset::Tickets), d("7"));
    assert_eq!(round_requirement(d("33.333") * d("3.1")), d("103.34"));
}

#[test]
fn amounts_are_shown_at_their_scale() {
    assert_eq!(shown(d("480.0000"), 2).to_string(), "480.00");
    assert_eq!(shown(d("0"), 2).to_string(), "0.00");
    assert_eq!(shown(d("12.3450"), 2).to_string(), "12.345");
    assert_eq!(shown(d("3.0000"), 0).to_string(), "3");
}

#[test]
fn amounts_in_json_are_read_from_their_digits() {
    let read = |json: &str| {
        serde_json::from_str::<Money>(json)
            .map(|a| a.to_string())
            .map_err(|e| e.to_string())
    };
    assert_eq!(read("0.10"), Ok("0.10".into()));
    assert_eq!(read("\"25.50\""), Ok("25.50".into()));
    assert_eq!(
        read("1.000000000000000000000000000001"),
        Err("has more than 2 decimal places".into())
    );
    assert_eq!(read("1e400"), Err("has more than 15 integer digits".into()));
    assert_eq!(read("-1"), Err("must not be negative".into()));
    for json in ["true", "null", "[]", "\"NaN\"", "\"\""] {
        assert_eq!(read(json), Err("is not a decimal number".into()), "{json}");
    }
    assert_eq!(
        serde_json::from_str::<Tickets>("1.5").unwrap_err().to_string(),
        "has more than 0 decimal places"
    );
}

#[test]
fn amounts_in_json_are_shown_at_the_scale_of_their_unit() {
    let json = |value: &dyn erased::Json| value.json();
    assert_eq!(json(&Money::of(d("480"))), "480.00");
    assert_eq!(json(&Money::of(d("-12.3450"))), "-12.345");
    assert_eq!(json(&Points::ZERO), "0.00");
    assert_eq!(json(&Tickets::of(d("3.0000"))), "3");
    assert_eq!(json(&Asset::Tickets.quantity(d("7"))), "7");
    assert_eq!(json(&Asset::Lp.quantity(d("7"))), "7.00");
    assert_eq!(
        format!("{:>8}|{:?}", Money::of(d("1.5")), Points::of(d("2"))),
        "    1.50|Points(2.00)"
    );
}

#[test]
fn the_code_of_an_error_is_known_by_its_text() {
    for error in [
        AmountError::Negative,
        AmountError::NotAboveZero,
        AmountError::Scale { scale: 2 },
        AmountError::TooLarge,
        AmountError::AboveMax {
            max: 100,
            value: d("100.01"),
        },
    ] {
        assert_eq!(AmountError::code_of(&error.to_string()), Some(error.code()), "{error}");
    }
    assert_eq!(AmountError::code_of(&AmountError::NotANumber.to_string()), None);
}

#[test]
fn bounded_figures_and_quantities_are_checked() {
    let percent = |text: &str| UpTo::<100>::checked(d(text)).map(UpTo::value);
    assert_eq!(percent("100"), Ok(d("100")));
    assert_eq!(percent("-1"), Err(AmountError::Negative));
    assert!(matches!(percent("100.01"), Err(AmountError::AboveMax { max: 100, .. })));
    assert_eq!(
        Asset::Lp.positive(d("0.5")).map(Positive::get),
        Ok(Asset::Lp.quantity(d("0.5")))
    );
    assert_eq!(Asset::Tickets.positive(d("0.5")), Err(AmountError::Scale { scale: 0 }));
    assert_eq!(Asset::Tickets.positive(d("0")), Err(AmountError::NotAboveZero));
}

#[test]
fn zero_is_not_positive() {
    let read = |json: &str| {
        serde_json::from_str::<Positive<Money>>(json)
            .map(Positive::value)
            .map_err(|e| e.to_string())
    };
    assert_eq!(read("0.01"), Ok(d("0.01")));
    assert_eq!(read("0"), Err("must be above 0".into()));
    assert_eq!(read("-0.00"), Err("must be above 0".into()));
    assert_eq!(read("-1"), Err("must not be negative".into()));
}

mod erased {
    pub(super) trait Json {
        fn json(&self) -> String;
    }

    impl<T: serde::Serialize> Json for T {
        fn json(&self) -> String {
            serde_json::to_string(self).unwrap()
        }
    }
}
