use super::*;
use proptest::prelude::*;

fn columns(header: &str) -> Columns {
    Columns::from_header(&header.split(',').collect::<Vec<_>>()).unwrap().0
}

fn all_columns() -> Columns {
    columns(
        "player_id,total_deposited,total_wagered,total_won,total_withdrawn,sessions,playtime_hours,\
         total_bets,last_deposit_date,registered_at,email,name",
    )
}

fn parse(columns: &Columns, cells: &[&str]) -> Result<Option<PlayerRow>, Vec<RowError>> {
    PlayerRow::parse(columns, 7, cells.iter().map(|cell| Cell::from(*cell)))
}

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// Column, value and reason of every error in a row under `header`.
fn wrong(header: &str, cells: &[&str]) -> Vec<(Option<String>, Option<String>, RowProblem)> {
    let errors = parse(&columns(header), cells).unwrap_err();
    assert!(errors.iter().all(|error| error.line == 7));
    errors
        .into_iter()
        .map(|error| (error.column, error.value, error.reason))
        .collect()
}

/// The only problem of a row that is valid except for `value` under `heading`.
fn problem(heading: &str, value: &str) -> Option<RowProblem> {
    let errors = parse(
        &columns(&format!("player_id,deposit,wagered,won,{heading}")),
        &["P1", "1", "2", "3", value],
    )
    .err()?;
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert_eq!(errors[0].column.as_deref(), Some(heading));
    Some(errors[0].reason.clone())
}

#[test]
fn a_full_row_is_read() {
    let cells = [
        " P001 ",
        "5000",
        "15000.50",
        "2e4",
        "0",
        "25",
        "48.25",
        "1200.0",
        "2026-01-31",
        "2025-12-24T18:30:00+01:00",
        "a@b.example",
        " Zoë  Q ",
    ];
    let row = parse(&all_columns(), &cells).unwrap().unwrap();
    assert_eq!(
        row,
        PlayerRow {
            line: 7,
            player_id: PlayerId::parse("P001").unwrap(),
            totals: RowTotals {
                deposited: d("5000"),
                wagered: d("15000.5"),
                won: d("20000"),
                withdrawn: Some(d("0")),
                session_count: Some(25),
                playtime_hours: Some(d("48.25")),
                bets: Some(1200),
                last_deposit_date: Some(date(2026, 1, 31)),
            },
            email: Some("a@b.example".into()),
            name: Some("Zoë  Q".into()),
            registered_at: Some("2025-12-24T17:30:00Z".parse().unwrap()),
        }
    );
}

#[test]
fn empty_and_missing_optional_cells_say_nothing() {
    let row = parse(&all_columns(), &["P1", "1", "2", "3", " ", ""]).unwrap().unwrap();
    assert_eq!(
        row.totals,
        RowTotals {
            deposited: d("1"),
            wagered: d("2"),
            won: d("3"),
            ..RowTotals::default()
        }
    );
    assert_eq!((row.email, row.name, row.registered_at), (None, None, None));
}

#[test]
fn a_blank_row_does_not_count() {
    assert_eq!(parse(&all_columns(), &["", " ", "\t", "\u{a0}"]), Ok(None));
    assert_eq!(parse(&all_columns(), &[]), Ok(None));
}

#[test]
fn all_errors_of_a_row_are_reported_in_the_order_of_the_row() {
    let found = wrong(
        "Player ID,won,wagered,deposit,sessions,email",
        &["a b", "x", "-1", "", "2.5", "nobody"],
    );
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        found,
        [
            (
                some("Player ID"),
                some("a b"),
                RowProblem::PlayerId(TextIdError::Character)
            ),
            (some("won"), some("x"), RowProblem::Amount(AmountError::NotANumber)),
            (some("wagered"), some("-1"), RowProblem::Amount(AmountError::Negative)),
            (some("sessions"), some("2.5"), RowProblem::NotWhole),
            (some("email"), some("nobody"), RowProblem::Email),
            (some("deposit"), None, RowProblem::Required),
        ]
    );
}

#[test]
fn a_required_amount_that_is_empty_is_an_error() {
    for missing in 0..4 {
        let mut cells = ["P1", "1", "2", "3", "x"];
        cells[missing] = "";
        let found = wrong("player_id,total_deposited,total_wagered,total_won,name", &cells);
        let name = ["player_id", "total_deposited", "total_wagered", "total_won"][missing];
        assert_eq!(found, [(Some(name.to_owned()), None, RowProblem::Required)]);
    }
}

#[test]
fn more_values_than_columns_are_one_error_and_empty_ones_none() {
    let header = "player_id,deposit,wagered,won";
    assert!(parse(&columns(header), &["P1", "1", "2", "3", "", " "]).is_ok());
    assert_eq!(
        wrong(header, &["P1", "1", "2", "3", "", "5", "6"]),
        [(
            None,
            Some("5".to_owned()),
            RowProblem::TooManyCells { column: 6, width: 4 }
        )]
    );
}

#[test]
fn cells_of_unknown_columns_are_ignored_whatever_they_hold() {
    let columns = columns("player_id,deposit,shoe size,wagered,won");
    let refused = Cell::Refused {
        shown: "#N/A".into(),
        reason: RowProblem::SpreadsheetError,
    };
    let cells = [Cell::from("P1"), "1".into(), refused, "2".into(), "3".into()];
    assert!(PlayerRow::parse(&columns, 2, cells).unwrap().is_some());
}

#[test]
fn a_cell_the_reader_refused_is_an_error_of_its_column() {
    let refused = Cell::Refused {
        shown: "#N/A".into(),
        reason: RowProblem::SpreadsheetError,
    };
    let cells = [Cell::from("P1"), "1".into(), refused, "3".into()];
    let errors = PlayerRow::parse(&columns("player_id,deposit,wagered,won"), 2, cells).unwrap_err();
    let [
        RowError {
            line: 2,
            column: Some(column),
            value: Some(value),
            reason: RowProblem::SpreadsheetError,
        },
    ] = errors.as_slice()
    else {
        panic!("{errors:?}");
    };
    assert_eq!((column.as_str(), value.as_str()), ("wagered", "#N/A"));
}

#[test]
fn hostile_amounts_are_refused() {
    for value in [
        "NaN",
        "inf",
        "-Infinity",
        "１２",
        "1 000",
        "0x10",
        "1e400",
        "9223372036854775808",
        "1.0000000000000000001",
        "$5",
        "5€",
        "=1+1",
    ] {
        assert!(
            matches!(problem("total_withdrawn", value), Some(RowProblem::Amount(_))),
            "{value}"
        );
    }
    assert_eq!(
        problem("total_withdrawn", "1.23456"),
        Some(RowProblem::Amount(AmountError::Scale { scale: 4 }))
    );
    for value in ["1,5", "1,234.50", "1.234,50"] {
        assert_eq!(problem("total_withdrawn", value), Some(RowProblem::Comma), "{value}");
    }
    assert_eq!(problem("total_withdrawn", "-0"), None);
    assert_eq!(problem("total_withdrawn", "999999999999999.9999"), None);
}

#[test]
fn counts_are_whole_and_fit_their_columns() {
    assert_eq!(problem("sessions", "2147483647"), None);
    assert_eq!(
        problem("sessions", "2147483648"),
        Some(RowProblem::AboveMax { max: 2_147_483_647 })
    );
    assert_eq!(problem("sessions", "1.5"), Some(RowProblem::NotWhole));
    assert_eq!(problem("total_bets", "999999999999999"), None);
    assert_eq!(problem("playtime_hours", "999999999.99"), None);
    assert_eq!(
        problem("playtime_hours", "1000000000"),
        Some(RowProblem::AboveMax { max: 999_999_999 })
    );
    assert_eq!(
        problem("playtime_hours", "0.125"),
        Some(RowProblem::Amount(AmountError::Scale { scale: 2 }))
    );
}

#[test]
fn dates_are_iso_dates_or_rfc_3339_times() {
    let read = |text: &str| {
        let row = parse(
            &columns("player_id,deposit,wagered,won,last_deposit_date,registered_at"),
            &["P1", "1", "2", "3", text, text],
        );
        row.map(|row| row.unwrap()).map(|row| {
            (
                row.totals.last_deposit_date.unwrap().to_string(),
                row.registered_at.unwrap().to_string(),
            )
        })
    };
    let expect =
        |text: &str, day: &str, at: &str| assert_eq!(read(text), Ok((day.to_owned(), at.to_owned())), "{text}");
    expect("2024-02-29", "2024-02-29", "2024-02-29T00:00:00Z");
    expect("2024-05-01T00:30:00+02:00", "2024-05-01", "2024-04-30T22:30:00Z");
    expect("2024-05-01 10:00:00", "2024-05-01", "2024-05-01T10:00:00Z");
    expect(
        "2024-05-01T10:00:00.123456789Z",
        "2024-05-01",
        "2024-05-01T10:00:00.123456Z",
    );
    for text in [
        "2023-02-29",
        "2024-13-01",
        "20240501",
        "01/05/2024",
        "2024-5-1",
        "yesterday",
        "2024-05-01x",
        "2024-05-01T",
        "２０２４-05-01",
        "45413",
    ] {
        assert_eq!(problem("registered_at", text), Some(RowProblem::Date), "{text}");
    }
    for text in ["1899-12-31", "2200-01-01", "0000-01-01", "9999-12-31"] {
        assert_eq!(
            problem("last_deposit_date", text),
            Some(RowProblem::DateRange),
            "{text}"
        );
    }
}

#[test]
fn emails_are_checked_loosely() {
    for good in ["a@b", "Ann.O'Neil+x@mail.example", "ü@ü.example"] {
        assert_eq!(problem("email", good), None, "{good}");
    }
    assert_eq!(problem("email", &format!("{}@b", "a".repeat(252))), None);
    for bad in ["a", "@b", "a@", "a@b@c", "a b@c", "a@b\u{7}"] {
        assert_eq!(problem("email", bad), Some(RowProblem::Email), "{bad}");
    }
    assert_eq!(
        problem("email", &format!("{}@b", "a".repeat(253))),
        Some(RowProblem::Email)
    );
}

#[test]
fn a_formula_as_a_name_is_text() {
    let text = "=HYPERLINK(\"http://evil.example\")";
    let row = parse(
        &columns("player_id,deposit,wagered,won,name"),
        &["P1", "1", "2", "3", text],
    )
    .unwrap()
    .unwrap();
    assert_eq!(row.name.as_deref(), Some(text));
}

#[test]
fn names_have_200_characters_and_no_control_characters() {
    assert_eq!(problem("name", &"ü".repeat(200)), None);
    assert_eq!(problem("name", &"ü".repeat(201)), Some(RowProblem::NameTooLong));
    assert_eq!(problem("name", "two\nlines"), Some(RowProblem::ControlCharacter));
    assert_eq!(problem("name", "a\0b"), Some(RowProblem::Nul));
}

#[test]
fn values_in_errors_are_short_and_harmless() {
    let found = wrong(
        "player_id,deposit,wagered,won",
        &["P1", &"9".repeat(1000), "2", "\u{1b}[31m"],
    );
    assert_eq!(found[0].1.as_ref().unwrap().chars().count(), 101);
    assert_eq!(found[1].1.as_deref(), Some("\u{fffd}[31m"));
}

proptest! {
    #[test]
    fn any_cells_give_a_row_or_errors_that_can_be_stored(
        cells in proptest::collection::vec("\\PC{0,12}|[0-9eE.+-]{0,30}|\\x00|.{0,5}", 0..16),
    ) {
        let cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        match parse(&all_columns(), &cells) {
            Ok(Some(row)) => prop_assert!(!row.totals.deposited.is_sign_negative()),
            Ok(None) => prop_assert!(cells.iter().all(|cell| cell.trim().is_empty())),
            Err(errors) => {
                prop_assert!(!errors.is_empty());
                for error in errors {
                    prop_assert!(!error.value.unwrap_or_default().contains(char::is_control));
                    prop_assert!(!error.reason.to_string().is_empty());
                }
            }
        }
    }

    #[test]
    fn amounts_come_back_as_written(integer in 0_u64..1_000_000_000_000_000, fraction in 0_u32..10_000) {
        let text = format!("{integer}.{fraction:04}");
        let row = parse(&columns("player_id,deposit,wagered,won"), &["P1", &text, "0", "0"]).unwrap().unwrap();
        prop_assert_eq!(row.totals.deposited, d(&text));
    }
}
