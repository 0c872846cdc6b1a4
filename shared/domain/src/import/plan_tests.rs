use super::*;
use crate::id::PlayerId;
use jiff::civil::date;
use proptest::prelude::*;

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn now() -> Timestamp {
    at("2026-03-01T12:00:00Z")
}

fn row(deposited: &str, wagered: &str, won: &str) -> PlayerRow {
    PlayerRow {
        line: 3,
        player_id: PlayerId::parse("P002").unwrap(),
        totals: RowTotals {
            deposited: d(deposited),
            wagered: d(wagered),
            won: d(won),
            ..RowTotals::default()
        },
        email: None,
        name: None,
        registered_at: None,
    }
}

fn delta(deposited: &str, wagered: &str, won: &str, withdrawn: &str) -> Day {
    Day {
        deposited: d(deposited),
        wagered: d(wagered),
        won: d(won),
        withdrawn: d(withdrawn),
        ..Day::default()
    }
}

/// The stored player after applying `plan`.
fn stored(before: Option<&Existing>, plan: &RowPlan) -> Existing {
    let before = before.cloned().unwrap_or_default();
    Existing {
        totals: plan.totals.clone(),
        email: plan.profile.email.clone().or(before.email),
        name: plan.profile.name.clone().or(before.name),
        registered_at: plan.profile.registered_at.or(before.registered_at),
    }
}

#[test]
fn a_new_player_brings_the_whole_total_into_the_window() {
    let plan = plan(&row("1000", "5000", "200"), None, now());
    assert_eq!(plan.outcome, Outcome::Created);
    assert_eq!(
        (plan.totals.deposited, plan.totals.wagered, plan.totals.won),
        (d("1000"), d("5000"), d("200"))
    );
    assert_eq!(plan.daily, delta("1000", "5000", "200", "0"));
    assert_eq!(plan.warnings, []);
}

#[test]
fn an_account_older_than_30_days_brings_its_share_of_30_days_rounded_down() {
    // 2026-03-01 12:00 is 90.5 days after 2025-12-01: 90 whole days, a third of everything.
    let mut first = row("1000", "5000", "200");
    first.totals.withdrawn = Some(d("0.0002"));
    first.registered_at = Some(at("2025-12-01T00:00:00Z"));
    let plan = plan(&first, None, now());
    assert_eq!(plan.totals.wagered, d("5000"));
    assert_eq!(plan.daily, delta("333.3333", "1666.6666", "66.6666", "0"));
}

#[test]
fn the_share_begins_on_the_31st_day() {
    let share = |registered_at: &str| {
        let mut first = row("0", "3100", "0");
        first.registered_at = Some(at(registered_at));
        plan(&first, None, now()).daily.wagered
    };
    assert_eq!(share("2026-01-30T12:00:00Z"), d("3100")); // 30 days
    assert_eq!(share("2026-01-29T12:00:01Z"), d("3100")); // a second short of 31
    assert_eq!(share("2026-01-29T12:00:00Z"), d("3000")); // 31 days
    assert_eq!(share("2027-01-01T00:00:00Z"), d("3100")); // in the future
}

#[test]
fn a_player_without_totals_counts_as_new_and_keeps_the_stored_registration() {
    let existing = Existing {
        registered_at: Some(at("2025-12-01T00:00:00Z")),
        ..Existing::default()
    };
    let plan = plan(&row("900", "0", "0"), Some(&existing), now());
    assert_eq!(plan.outcome, Outcome::Updated);
    assert_eq!(plan.daily.deposited, d("300"));
    assert_eq!(plan.profile, ProfileChange::default());
}

#[test]
fn the_difference_to_the_stored_totals_lands_on_the_import_day() {
    let mut first = row("1000", "5000", "200");
    first.registered_at = Some(at("2020-01-01T00:00:00Z"));
    let before = stored(None, &plan(&first, None, now()));
    let mut second = row("1500", "5000.25", "200");
    second.totals.withdrawn = Some(d("40"));
    let plan = plan(&second, Some(&before), now());
    assert_eq!(plan.outcome, Outcome::Updated);
    assert_eq!(plan.daily, delta("500", "0.25", "0", "40"));
}

#[test]
fn a_total_that_went_down_is_a_correction_with_a_warning() {
    let before = stored(None, &plan(&row("1000", "5000", "200"), None, now()));
    let plan = plan(&row("1000", "4000", "300"), Some(&before), now());
    assert_eq!(plan.totals.wagered, d("4000"));
    assert_eq!(plan.daily, delta("0", "-1000", "100", "0"));
    let player_id = PlayerId::parse("P002").unwrap();
    assert_eq!(
        plan.warnings,
        [Warning::TotalWentDown {
            line: 3,
            player_id,
            column: Column::TotalWagered,
            from: d("5000"),
            to: d("4000")
        }]
    );
    assert_eq!(
        plan.warnings[0].to_string(),
        "line 3: total_wagered of player P002 went down from 5000 to 4000; taken as a correction"
    );
}

#[test]
fn trailing_zeros_change_nothing() {
    let before = stored(None, &plan(&row("1000", "5000", "200"), None, now()));
    let plan = plan(&row("1000.00", "5000.0000", "200"), Some(&before), now());
    assert_eq!(plan.outcome, Outcome::Unchanged);
    assert!(plan.daily.is_zero());
}

#[test]
fn what_the_file_does_not_say_stays() {
    let mut full = row("1", "2", "3");
    full.totals = RowTotals {
        withdrawn: Some(d("4")),
        session_count: Some(5),
        playtime_hours: Some(d("6.5")),
        bets: Some(7),
        last_deposit_date: Some(date(2026, 3, 1)),
        ..full.totals
    };
    (full.email, full.name) = (Some("a@b".into()), Some("Ann".into()));
    let before = stored(None, &plan(&full, None, now()));
    let silent = plan(&row("1", "2", "3"), Some(&before), now());
    assert_eq!(silent.outcome, Outcome::Unchanged);
    assert_eq!(silent.totals, before.totals);
}

#[test]
fn a_changed_name_alone_is_an_update_that_writes_only_the_name() {
    let mut named = row("1", "2", "3");
    (named.email, named.name) = (Some("a@b".into()), Some("Ann".into()));
    let before = stored(None, &plan(&named, None, now()));
    named.name = Some("Anne".into());
    let plan = plan(&named, Some(&before), now());
    assert_eq!(plan.outcome, Outcome::Updated);
    assert_eq!(
        plan.profile,
        ProfileChange {
            name: Some("Anne".into()),
            ..ProfileChange::default()
        }
    );
    assert!(plan.daily.is_zero());
}

fn amounts() -> impl Strategy<Value = Decimal> {
    (0_i64..=9_999_999_999_999_999, 0_u32..=4).prop_map(|(units, scale)| Decimal::new(units, scale))
}

prop_compose! {
    fn rows()(
        deposited in amounts(), wagered in amounts(), won in amounts(), withdrawn in proptest::option::of(amounts()),
        session_count in proptest::option::of(0..1000), bets in proptest::option::of(0_i64..1000),
        email in proptest::option::of("[a-z]{1,3}@x"),
        registered_at in proptest::option::of(1_500_000_000_i64..1_800_000_000),
    ) -> PlayerRow {
        let totals = RowTotals { deposited, wagered, won, withdrawn, session_count, bets, ..RowTotals::default() };
        let registered_at = registered_at.map(|second| Timestamp::from_second(second).unwrap());
        PlayerRow { totals, email, registered_at, ..row("0", "0", "0") }
    }
}

proptest! {
    #[test]
    fn the_same_row_again_changes_nothing(history in proptest::collection::vec(rows(), 1..4)) {
        let mut existing: Option<Existing> = None;
        for row in &history {
            existing = Some(stored(existing.as_ref(), &plan(row, existing.as_ref(), now())));
        }
        let again = plan(history.last().unwrap(), existing.as_ref(), now());
        prop_assert_eq!(again.outcome, Outcome::Unchanged);
        prop_assert!(again.daily.is_zero());
        prop_assert_eq!(again.warnings, []);
    }

    /// Without registration dates nothing is spread, so the daily rollup adds up to the totals.
    #[test]
    fn the_differences_add_up_to_the_totals(history in proptest::collection::vec(rows(), 1..5)) {
        let mut existing: Option<Existing> = None;
        let mut sum = delta("0", "0", "0", "0");
        for row in &history {
            let row = PlayerRow { registered_at: None, ..row.clone() };
            let plan = plan(&row, existing.as_ref(), now());
            sum.deposited += plan.daily.deposited;
            sum.wagered += plan.daily.wagered;
            sum.won += plan.daily.won;
            sum.withdrawn += plan.daily.withdrawn;
            existing = Some(stored(existing.as_ref(), &plan));
        }
        let Totals { deposited, wagered, won, withdrawn, .. } = existing.unwrap().totals;
        prop_assert_eq!(sum, Day { deposited, wagered, won, withdrawn, ..Day::default() });
    }

    #[test]
    fn the_share_of_a_first_import_is_never_above_the_total(row in rows()) {
        let plan = plan(&row, None, now());
        prop_assert!(plan.daily.wagered <= plan.totals.wagered && plan.daily.wagered.scale() <= 4);
    }
}
