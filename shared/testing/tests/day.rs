//! The generated day is consistent and matches its totals.

use jiff::Timestamp;
use jiff::civil::date;
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use testing::day::{Day, Totals, numbered};

const SAMPLE: &str = include_str!("../../../events/sample/day_of_play.json");

fn day(seed: u64, players: usize, rounds: u32) -> Day {
    Day::new(seed, date(2026, 11, 22), numbered("P", players), rounds)
}

/// The committed sample; its players are in `events/sample/players.csv`.
fn sample() -> Day {
    let players = ["P001", "P002", "P003"].map(str::to_owned);
    Day::new(20, date(2026, 11, 22), players.to_vec(), 12)
}

fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_else(|| panic!("{field} of {event}"))
}

fn amount(event: &Value, field: &str) -> Decimal {
    event[field]
        .to_string()
        .parse()
        .unwrap_or_else(|_| panic!("{field} of {event}"))
}

/// One player's account at the operator.
#[derive(Default)]
struct Books {
    balance: Decimal,
    /// Stakes and payouts that were not voided: type and amount by event id.
    played: BTreeMap<String, (String, Decimal)>,
    /// Rounds by id, and whether each has been paid.
    rounds: BTreeMap<String, bool>,
    totals: Totals,
}

impl Books {
    fn read(&mut self, event: &Value) {
        let totals = &mut self.totals;
        match text(event, "type") {
            "DEPOSIT" => {
                self.balance += amount(event, "amount");
                totals.deposited += amount(event, "amount");
            }
            "WITHDRAWAL" => {
                self.balance -= amount(event, "amount");
                totals.withdrawn += amount(event, "amount");
            }
            "STAKE" => {
                let is_new = self.rounds.insert(text(event, "round_id").to_owned(), false).is_none();
                assert!(is_new, "a second stake in a round: {event}");
                assert_eq!(
                    amount(event, "amount") % Decimal::new(1, 1),
                    Decimal::ZERO,
                    "points are not exact: {event}"
                );
                self.play(event);
            }
            "PAYOUT" => {
                let paid = self.rounds.insert(text(event, "round_id").to_owned(), true);
                assert_eq!(
                    paid,
                    Some(false),
                    "a payout without its stake, or a second one: {event}"
                );
                self.play(event);
            }
            "VOID" => self.void(event),
            "LOGIN" => totals.logins += 1,
            "SESSION" => {
                let minutes = event["minutes"].as_u64().expect("whole minutes");
                assert!(minutes.is_multiple_of(3) && (3..=1440).contains(&minutes), "{event}");
                (totals.sessions, totals.minutes) = (totals.sessions + 1, totals.minutes + minutes);
            }
            "KYC_COMPLETED" => totals.kyc_completed = true,
            "PROFILE" => totals.profile_depth = Some(amount(event, "value")),
            other => panic!("{other}"),
        }
        assert!(self.balance >= Decimal::ZERO, "{event} spends what is not there");
    }

    fn play(&mut self, event: &Value) {
        let (what, amount) = (text(event, "type"), amount(event, "amount"));
        self.played
            .insert(text(event, "event_id").to_owned(), (what.to_owned(), amount));
        if what == "STAKE" {
            (self.balance, self.totals.wagered) = (self.balance - amount, self.totals.wagered + amount);
            self.totals.bets += 1;
        } else {
            (self.balance, self.totals.won) = (self.balance + amount, self.totals.won + amount);
        }
    }

    fn void(&mut self, event: &Value) {
        let (what, amount) = self
            .played
            .remove(text(event, "voids"))
            .unwrap_or_else(|| panic!("{event} voids nothing"));
        if what == "STAKE" {
            (self.balance, self.totals.wagered) = (self.balance + amount, self.totals.wagered - amount);
            (self.totals.bets, self.totals.voided_bets) = (self.totals.bets - 1, self.totals.voided_bets + 1);
        } else {
            (self.balance, self.totals.won) = (self.balance - amount, self.totals.won - amount);
        }
    }
}

#[test]
fn a_day_holds_together_and_comes_to_its_totals() {
    let day = day(7, 60, 100);
    let mut books: BTreeMap<String, Books> = BTreeMap::new();
    let (mut last, mut ids) = (Timestamp::MIN, BTreeSet::new());
    for event in day.events() {
        let at = text(&event, "occurred_at");
        assert!(at.starts_with("2026-11-22T"), "{event}");
        let instant: Timestamp = at.parse().unwrap();
        assert!(last <= instant, "{event} is late");
        last = instant;
        assert!(
            ids.insert(text(&event, "event_id").to_owned()),
            "{event} has the id of another"
        );
        books
            .entry(text(&event, "player_id").to_owned())
            .or_default()
            .read(&event);
    }
    let read: BTreeMap<String, Totals> = books
        .into_iter()
        .map(|(player, books)| (player, books.totals))
        .collect();
    let told = day.totals();
    assert_eq!(read, told);

    let sum = |of: fn(&Totals) -> u64| told.values().map(of).sum::<u64>();
    assert!(
        told.values()
            .all(|totals| totals.bets + totals.voided_bets == 100 && totals.deposited > Decimal::ZERO)
    );
    let voided = sum(|totals| totals.voided_bets);
    assert!((30..=90).contains(&voided), "{voided} of 6,000 stakes are voided");
    assert_eq!(
        (
            sum(|totals| totals.kyc_completed.into()),
            sum(|totals| totals.profile_depth.is_some().into())
        ),
        (6, 6)
    );
    assert_eq!(sum(|totals| totals.logins), sum(|totals| totals.sessions));
    assert!(told.values().any(|totals| totals.withdrawn > Decimal::ZERO));
}

#[test]
fn the_house_wins_over_many_rounds() {
    let totals = day(3, 40, 2_000).totals();
    let sum = |of: fn(&Totals) -> Decimal| totals.values().map(of).sum::<Decimal>();
    let hold = Decimal::ONE - sum(|totals| totals.won) / sum(|totals| totals.wagered);
    assert!(Decimal::new(1, 2) < hold && hold < Decimal::new(6, 2), "{hold}");
}

#[test]
fn the_seed_decides() {
    let events = |seed| day(seed, 5, 20).events().collect::<Vec<Value>>();
    assert_eq!(events(1), events(1));
    let (one, two) = (events(1), events(2));
    let ids = |events: &[Value]| {
        events
            .iter()
            .map(|event| text(event, "event_id").to_owned())
            .collect::<BTreeSet<String>>()
    };
    assert!(
        ids(&one).is_disjoint(&ids(&two)),
        "a second day would be taken for a replay of the first"
    );
}

#[test]
fn a_player_does_the_same_whoever_else_plays() {
    let of_second = |day: Day| {
        day.events()
            .filter(|event| event["player_id"] == "P000002")
            .collect::<Vec<Value>>()
    };
    assert_eq!(of_second(day(1, 2, 20)), of_second(day(1, 30, 20)));
}

#[test]
fn very_long_days_stay_within_the_day() {
    let last = day(1, 1, 200_000).events().last().unwrap();
    assert!(text(&last, "occurred_at").starts_with("2026-11-22T"), "{last}");
}

#[test]
fn a_day_without_rounds_is_a_login_a_deposit_and_a_session() {
    let types: Vec<String> = day(1, 3, 0)
        .events()
        .filter(|event| event["player_id"] == "P000003")
        .map(|event| text(&event, "type").to_owned())
        .collect();
    assert_eq!(&types[..3], ["LOGIN", "DEPOSIT", "SESSION"]);
}

#[test]
fn bodies_hold_every_event_once_and_no_more_than_asked() {
    let day = day(5, 10, 30);
    let bodies: Vec<Value> = day.bodies(500).collect();
    let sizes: Vec<usize> = bodies
        .iter()
        .map(|body| body["events"].as_array().unwrap().len())
        .collect();
    let (last, full) = sizes.split_last().unwrap();
    assert!(
        full.iter().all(|size| *size == 500) && (1..=500).contains(last),
        "{sizes:?}"
    );
    let events: Vec<Value> = bodies
        .iter()
        .flat_map(|body| body["events"].as_array().unwrap().clone())
        .collect();
    assert_eq!(events, day.events().collect::<Vec<Value>>());
}

/// Regenerate the sample with
/// `cargo run -p bench --bin day_of_play -- --seed 20 --date 2026-11-22 --players 3 --digits 3 --rounds 12 --body`.
#[test]
fn the_committed_sample_is_what_its_seed_gives() {
    let sampled: Value = serde_json::from_str(SAMPLE).unwrap();
    let events = sampled["events"].as_array().unwrap();
    assert!(sample().events().eq(events.iter().cloned()), "regenerate the sample");
    let types: BTreeSet<&str> = events.iter().map(|event| text(event, "type")).collect();
    assert_eq!(types.len(), 9, "the sample shows each type: {types:?}");
    assert!(events.len() <= 500, "the sample is one request");
}
