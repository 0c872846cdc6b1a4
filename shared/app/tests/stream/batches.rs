//! A batch has the same result as its events one at a time, and a second delivery changes nothing.

use crate::program::{TestProgram, at, d, occurrence, read, stake, void};
use app::Act;
use app::activity::{Action, Occurrence, Payout};
use domain::activity::{ProfileDepth, SessionMinutes};
use domain::money::{Money, Positive};
use rust_decimal::Decimal;
use serde_json::json;
use testing::day::{Day, numbered};

/// Deterministic random numbers from a seed.
struct Draw(u64);

impl Draw {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = usize::try_from(self.below(u64::try_from(last).unwrap() + 1)).unwrap();
            items.swap(last, other);
        }
    }
}

fn cents(value: u64) -> Decimal {
    Decimal::new(i64::try_from(value).unwrap(), 2)
}

/// Play with bonus money in few rounds, with voids before and after their events, duplicates and refused events.
fn hostile(seed: u64, count: u64) -> Vec<Occurrence> {
    let mut draw = Draw(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let mut events = Vec::new();
    for number in 0..count {
        let player = ["P1", "P2"][usize::try_from(draw.below(2)).unwrap()];
        let round = format!("r{}", draw.below(8));
        let name = if draw.below(10) == 0 {
            format!("e{}", draw.below(count))
        } else {
            format!("e{number}")
        };
        let amount = cents(1 + draw.below(6_000));
        let positive = Positive::checked(amount).unwrap();
        let action = match draw.below(20) {
            0..=8 => {
                let bonus = if draw.below(2) == 0 {
                    amount
                } else {
                    cents(draw.below(4_000)).min(amount)
                };
                let game = ["slots", "roulette", "ludo"][usize::try_from(draw.below(3)).unwrap()];
                stake(
                    positive,
                    Money::of(bonus),
                    game,
                    (draw.below(4) > 0).then_some(round.as_str()),
                )
            }
            9..=12 => Action::Payout(Payout {
                amount: Money::of(cents(draw.below(5_000))),
                round_id: (draw.below(6) > 0).then_some(round),
            }),
            13..=15 => void(&format!("e{}", draw.below(count))),
            16 if draw.below(4) == 0 => Action::Withdrawal { amount: positive },
            17 => Action::Deposit { amount: positive },
            18 => Action::Profile {
                depth: ProfileDepth::checked(cents(draw.below(10_000))).unwrap(),
            },
            _ => Action::Session {
                minutes: SessionMinutes::checked(cents(draw.below(10_000))).unwrap(),
            },
        };
        let late = i64::try_from(draw.below(50)).unwrap();
        events.push(occurrence(player, &name, action, at(60 - late).now));
    }
    events
}

async fn with_bonuses() -> TestProgram {
    let program = TestProgram::new(&["P1".to_owned(), "P2".to_owned()]).await;
    for player in ["P1", "P2"] {
        // The newest bonuses are wagered first.
        program.give_bonus(player, "300", "9000", None, at(0)).await;
        program.give_bonus(player, "25", "60", Some(72), at(0)).await;
        program.give_bonus(player, "40", "90", Some(48), at(0)).await;
    }
    program
}

/// What play came to, whatever its order: balances, totals, days, and each bonus by its amount. A bonus that was played
/// out is one without money.
const OUTCOME: &str = "
SELECT string_agg(line, E'\\n' ORDER BY line)
FROM (
  SELECT concat_ws(' ', player_id, asset, trim_scale(balance)) FROM wallets
  UNION ALL
  SELECT concat_ws(' ', player_id, trim_scale(total_deposited), trim_scale(total_wagered), trim_scale(total_won),
    trim_scale(total_withdrawn), total_bets, session_count, trim_scale(playtime_hours)) FROM player_totals
  UNION ALL
  SELECT concat_ws(' ', player_id, day, trim_scale(sum(deposited)), trim_scale(sum(wagered)), trim_scale(sum(won)),
    trim_scale(sum(withdrawn))) FROM player_daily GROUP BY player_id, day
    HAVING (sum(abs(deposited)), sum(abs(wagered)), sum(abs(won)), sum(abs(withdrawn))) <> (0, 0, 0, 0)
  UNION ALL
  SELECT concat_ws(' ', player_id, trim_scale(amount), CASE status WHEN 'DEPLETED' THEN 'ACTIVE' ELSE status END,
    trim_scale(balance), trim_scale(wagering_completed), trim_scale(played), trim_scale(lost),
    'cash', trim_scale(converted + released)) FROM grants WHERE corrected_by IS NULL
  UNION ALL
  SELECT concat_ws(' ', player_id, event_id, type) FROM activity_events WHERE type <> 'VOID'
) AS outcome (line)";

/// The same events, once in the order in which they happened, once one at a time as they come, once in any order and
/// batches, some of them twice. `LOYALTY_STREAM_HISTORIES`: how many histories.
#[tokio::test]
async fn play_comes_to_the_same_in_any_order_and_batches() {
    let histories = std::env::var("LOYALTY_STREAM_HISTORIES").map_or(12, |count| count.parse().unwrap());
    let (mut voids, mut corrected) = (0, 0);
    for seed in 1..=histories {
        let events = of_different_ids(hostile(seed, 60));
        voids += events
            .iter()
            .filter(|event| matches!(event.action, Action::Void { .. }))
            .count();
        let mut happened = events.clone();
        happened.sort_by_key(|event| event.at);
        let expected = delivered(vec![happened], seed).await.0;
        let singly: Vec<Vec<Occurrence>> = events.iter().map(|event| vec![event.clone()]).collect();
        let (outcome, successors) = delivered(singly, seed).await;
        assert_eq!(outcome, expected, "seed {seed}, one at a time");
        corrected += successors;
        let mut draw = Draw(seed.wrapping_mul(0xD129_42F0_12A7_51E5) | 1);
        let mut shuffled = events;
        shuffled.extend(shuffled.clone().into_iter().take(10));
        draw.shuffle(&mut shuffled);
        let mut batches = Vec::new();
        while !shuffled.is_empty() {
            let size = 1 + usize::try_from(draw.below(12)).unwrap();
            batches.push(shuffled.split_off(shuffled.len().saturating_sub(size)));
        }
        let (outcome, successors) = delivered(batches, seed).await;
        assert_eq!(outcome, expected, "seed {seed}, shuffled");
        corrected += successors;
    }
    assert!(voids > 0 && corrected > 0, "{voids} {corrected}");
    println!("{histories} histories, {voids} voids, {corrected} bonuses continued after a correction");
}

fn of_different_ids(events: Vec<Occurrence>) -> Vec<Occurrence> {
    let mut known = std::collections::HashSet::new();
    let is_new = |event: &Occurrence| known.insert((event.player_id.clone(), event.event_id.clone()));
    let mut events = events;
    let mut is_new = is_new;
    events.retain(|event| is_new(event));
    events
}

/// Records the batches for new players with bonuses. Returns what it came to, and how many bonuses were continued.
async fn delivered(batches: Vec<Vec<Occurrence>>, seed: u64) -> (String, usize) {
    let program = with_bonuses().await;
    for batch in batches {
        program.record(batch, at(60)).await;
        if seed.is_multiple_of(4) {
            program.audit().await;
        }
    }
    program.audit().await;
    let successors = program
        .text("SELECT count(*)::text FROM grants WHERE corrects IS NOT NULL")
        .await;
    (program.text(OUTCOME).await, successors.parse().unwrap())
}

#[tokio::test]
async fn a_second_delivery_in_any_order_changes_nothing() {
    let program = TestProgram::new(&numbered("P", 6)).await;
    let day = Day::new(7, "2026-11-22".parse().unwrap(), numbered("P", 6), 60);
    let mut events: Vec<Occurrence> = day.events().map(|event| read(&event)).collect();
    for batch in events.chunks(200) {
        let recordings = program.record(batch.to_vec(), at(0)).await.recordings;
        assert!(recordings.iter().all(Result::is_ok), "{recordings:?}");
    }
    let before = program.dump().await;
    for (player, totals) in day.totals() {
        let stored = program
            .text(&format!(
                "SELECT concat_ws(' ', total_deposited, total_withdrawn, total_wagered, total_won, total_bets,
                  session_count)
                 FROM player_totals WHERE player_id = '{player}'"
            ))
            .await;
        let four = |amount: Decimal| format!("{amount:.4}");
        let expected = [totals.deposited, totals.withdrawn, totals.wagered, totals.won]
            .map(four)
            .join(" ");
        assert_eq!(
            stored,
            format!("{expected} {} {}", totals.bets, totals.sessions),
            "{player}"
        );
    }
    let mut draw = Draw(99);
    for _ in 0..2 {
        draw.shuffle(&mut events);
        for batch in events.chunks(170) {
            let recordings = program.record(batch.to_vec(), at(60)).await.recordings;
            assert!(
                recordings
                    .iter()
                    .all(|recording| matches!(recording, Ok(domain::idempotency::Answer::Replayed(_))))
            );
        }
    }
    assert_eq!(program.dump().await, before);
    program.audit().await;
}

#[tokio::test]
async fn a_voided_payout_takes_bonus_money_that_was_staked_since_as_real() {
    let program = with_bonuses().await;
    let payout = Action::Payout(Payout {
        amount: d("600"),
        round_id: Some("r".into()),
    });
    // Of 365 bonus money 300 is staked and won double, and all of it is staked; without the payout there were 65.
    let events = vec![
        occurrence("P1", "s1", stake(d("300"), d("300"), "ludo", Some("r")), at(50).now),
        occurrence("P1", "p1", payout, at(51).now),
        occurrence("P1", "s2", stake(d("665"), d("665"), "ludo", Some("q")), at(52).now),
    ];
    let recordings = program.record(events, at(60)).await.recordings;
    assert!(recordings.iter().all(Result::is_ok), "{recordings:?}");
    let voided = program
        .record(vec![occurrence("P1", "v1", void("p1"), at(60).now)], at(60))
        .await;
    assert!(voided.recordings.iter().all(Result::is_ok));
    let held = "SELECT trim_scale(sum(balance))::text FROM grants WHERE player_id = 'P1'";
    assert_eq!(program.text(held).await, "0");
    let staked = "SELECT trim_scale(sum(w.bonus))::text FROM grant_wagering w WHERE w.event_id = 's2'";
    assert_eq!(program.text(staked).await, "-65");
    program.audit().await;
}

#[tokio::test]
async fn two_bets_and_two_payouts_of_one_round_return_to_the_bonus() {
    let program = TestProgram::new(&["P1".to_owned()]).await;
    program.give_bonus("P1", "100", "9000", None, at(0)).await;
    let bet = |id: &str, minute| occurrence("P1", id, stake(d("50"), d("50"), "slots", Some("r")), at(minute).now);
    let paid = |id: &str, amount: &str, minute| {
        let payout = Action::Payout(Payout {
            amount: d(amount),
            round_id: Some("r".into()),
        });
        occurrence("P1", id, payout, at(minute).now)
    };
    let events = vec![bet("s1", 1), paid("p1", "0", 2), bet("s2", 3), paid("p2", "200", 4)];
    program.record(events, at(60)).await;
    assert_eq!(
        program
            .text("SELECT concat_ws(' ', status, trim_scale(balance)) FROM grants")
            .await,
        "ACTIVE 200"
    );
    program.audit().await;
}

/// In Berlin, Sunday 29 March 2026 has 23 hours, from 23:00 to 22:00 UTC; Sunday 25 October has 25, from 22:00 to
/// 23:00.
#[tokio::test]
async fn play_counts_for_the_days_of_the_program_over_both_clock_changes() {
    for (first, last, day) in [
        ("2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z", "2026-03-29"),
        ("2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z", "2026-10-25"),
    ] {
        let program = TestProgram::new(&["P1".to_owned()]).await;
        let mut settings = domain::settings::Settings {
            time_zone: "Europe/Berlin".into(),
            ..Default::default()
        };
        settings.activity.lp_expiry_days = Some(1);
        app::program::settings::put(&program.db, &json!(settings), &Act::of("test", at(0)))
            .await
            .unwrap();
        let instant = |text: &str| text.parse::<jiff::Timestamp>().unwrap();
        let second = jiff::SignedDuration::from_secs(1);
        let instants = [
            instant(first) - second,
            instant(first),
            instant(last),
            instant(last) + second,
        ];
        for (number, now) in instants.into_iter().enumerate() {
            let name = format!("s{number}");
            let context = app::Context {
                now,
                new_id: uuid::Uuid::now_v7,
            };
            program
                .record(
                    vec![occurrence("P1", &name, stake(d("10"), d("0"), "slots", None), now)],
                    context,
                )
                .await;
        }
        let of_day =
            format!("SELECT round(wagered, 2) || ' ' || round(lp_earned, 2) FROM player_daily WHERE day = '{day}'");
        assert_eq!(program.text(&of_day).await, "20.00 2.00", "{day}");
        // The day's points are one lot, which expires at the end of the next day.
        let lot = format!(
            "SELECT round(remaining, 2) || ' ' || (expires_at AT TIME ZONE 'Europe/Berlin' = '{day}'::date + 2)
              FROM point_lots WHERE play_day = '{day}'"
        );
        assert_eq!(program.text(&lot).await, "2.00 true", "{day}");
        program.audit().await;
    }
}

#[tokio::test]
async fn points_beyond_their_range_refuse_their_stake_alone() {
    // 10^15 is the first number out of range, for a day's total (two stakes) and for one stake.
    for (per_unit, stakes) in [
        ("10", ["60000000000000", "50000000000000", "0.01"]),
        ("1000000", ["0.01", "1000000000", "0.01"]),
    ] {
        let program = TestProgram::new(&["P1".to_owned()]).await;
        let mut settings = domain::settings::Settings::default();
        settings.activity.lp_per_unit_staked = d(per_unit);
        app::program::settings::put(&program.db, &json!(settings), &Act::of("test", at(0)))
            .await
            .unwrap();
        let staked = |(number, amount): (usize, &&str)| {
            occurrence(
                "P1",
                &format!("s{number}"),
                stake(d(amount), d("0"), "slots", None),
                at(0).now,
            )
        };
        let recordings = program
            .record(stakes.iter().enumerate().map(staked).collect(), at(0))
            .await
            .recordings;
        let [Ok(_), Err(refused), Ok(_)] = &recordings[..] else {
            panic!("{recordings:?}")
        };
        assert_eq!(
            refused.to_string(),
            "amount out of range: the player's number of LP would leave its range"
        );
        program.audit().await;
    }
}
