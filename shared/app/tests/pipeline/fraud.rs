//! Signals detected in stored data, the resulting score, and its effect on rewards.

mod scores;

use crate::program::{TestProgram, context};
use app::activity::{self, Action, Occurrence, Stake, Traces};
use app::players::risk::{self, Judgement, RiskError, ScanTotals, Signal, SignalFilter};
use app::wallet::{self, AddBonus};
use app::{Act, Context};
use domain::id::{EventId, PlayerId};
use domain::money::Money;
use domain::page::Page;
use domain::settings::Settings;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use std::fmt::Debug;
use std::str::FromStr;

const ACTOR: &str = "ann";

fn id(player_id: &str) -> PlayerId {
    PlayerId::parse(player_id).unwrap()
}

fn ids(count: usize) -> Vec<PlayerId> {
    (1..=count).map(|number| id(&format!("P{number:03}"))).collect()
}

fn d<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

/// Hours after noon of a day that is later than every [`context`].
fn at(hours: i64) -> Context {
    let noon: Timestamp = "2026-11-24T12:00:00Z".parse().unwrap();
    Context {
        now: noon + SignedDuration::from_hours(hours),
        ..context()
    }
}

fn at_day(days: i64) -> Context {
    at(24 * days)
}

/// Players from P001 on, who deposited 100 and lost a little.
async fn players(count: usize) -> TestProgram {
    let program = TestProgram::new(&[]).await;
    for player_id in ids(count) {
        testing::Player::new(player_id.as_str())
            .deposited("100")
            .wagered("900")
            .won("800")
            .insert(&program.database.owner())
            .await;
    }
    program
}

impl TestProgram {
    async fn give_bonus(&self, player_id: &PlayerId, context: Context) {
        let command = AddBonus {
            player_id: player_id.clone(),
            amount: "100".parse().unwrap(),
            wagering_required: "1000".parse().unwrap(),
            expiry_hours: None,
            max_bet: None,
            eligible_games: None,
            reason: None,
        };
        wallet::add_bonus(&self.db, &command, &Act::of(ACTOR, context))
            .await
            .unwrap();
    }

    async fn stake_with(
        &self,
        player_id: &PlayerId,
        event_id: &str,
        amount: &str,
        game: &str,
        traces: Traces,
        context: Context,
    ) {
        let stake = Stake {
            amount: d(amount),
            game: Some(game.into()),
            round_id: None,
            bonus_amount: Money::ZERO,
        };
        self.record(player_id, event_id, Action::Stake(stake), traces, context)
            .await;
    }

    async fn play(&self, event_id: &str, amount: &str, game: &str, context: Context) {
        self.stake_with(&id("P001"), event_id, amount, game, Traces::default(), context)
            .await;
    }

    async fn withdraw(&self, event_id: &str, amount: &str, context: Context) {
        self.record(
            &id("P001"),
            event_id,
            Action::Withdrawal { amount: d(amount) },
            Traces::default(),
            context,
        )
        .await;
    }

    async fn record(&self, player_id: &PlayerId, event_id: &str, action: Action, traces: Traces, context: Context) {
        let event_id = EventId::parse(event_id).unwrap();
        let what = Occurrence {
            event_id,
            player_id: player_id.clone(),
            at: context.now,
            action,
            traces,
        };
        activity::record_one(&self.db, what, &Act::of(ACTOR, context))
            .await
            .unwrap();
    }

    async fn scan(&self, player_ids: &[PlayerId], context: Context) -> ScanTotals {
        risk::scan(&self.db, player_ids, context).await.unwrap()
    }

    async fn scan_p001(&self, context: Context) -> String {
        self.scan(&[id("P001")], context).await;
        self.signals("P001").await
    }

    /// `TYPE score` of a player, such as `MULTI_ACCOUNT 80`.
    async fn signals(&self, player_id: &str) -> String {
        let types = format!(
            "SELECT string_agg(type, '+' ORDER BY type) FROM signals WHERE player_id = '{player_id}'
              AND status <> 'RESOLVED'"
        );
        self.text(&format!(
            "SELECT concat_ws(' ', ({types}), risk_score) FROM players WHERE player_id = '{player_id}'"
        ))
        .await
    }

    /// All stored signals and scores.
    async fn risk(&self) -> String {
        let signals = "SELECT string_agg(s::text, '; ' ORDER BY player_id, signal_id) FROM signals s";
        let scores = "SELECT string_agg(player_id || ' ' || risk_score, ', ' ORDER BY player_id) FROM players";
        let events = "SELECT count(*) FROM outbox WHERE event_type = 'signal.raised'";
        self.text(&format!("SELECT concat_ws(' | ', ({signals}), ({scores}), ({events}))"))
            .await
    }

    async fn only_signal(&self) -> Signal {
        let page = Page {
            after: None,
            skip: 0,
            limit: 10,
        };
        let mut signals = risk::list(&self.db, &SignalFilter::default(), &page).await.unwrap();
        assert_eq!(signals.len(), 1);
        signals.pop().unwrap()
    }
}

fn device(device_id: &str) -> Traces {
    Traces {
        device_id: Some(device_id.into()),
        ..Traces::default()
    }
}

/// Gives each player a bonus and lets them play with these traces.
async fn ring(count: usize, traces: &Traces) -> TestProgram {
    let program = players(count).await;
    for player_id in ids(count) {
        program.give_bonus(&player_id, at(0)).await;
        program
            .stake_with(&player_id, "e1", "10", "slots", traces.clone(), at(1))
            .await;
    }
    program
}

async fn flagged(program: &TestProgram) -> String {
    program
        .text("SELECT count(DISTINCT player_id) FROM signals WHERE type = 'MULTI_ACCOUNT'")
        .await
}

#[tokio::test]
async fn a_ring_of_five_on_one_device_is_found_and_found_once() {
    let program = ring(5, &device("phone-1")).await;
    assert_eq!(
        program.scan(&ids(5), at(2)).await,
        ScanTotals {
            players: 5,
            raised: 5,
            renewed: 0,
            scores_changed: 5
        }
    );
    assert_eq!(program.signals("P003").await, "MULTI_ACCOUNT 80");
    let evidence = program
        .text("SELECT evidence -> 'shared' -> 0 FROM signals WHERE player_id = 'P003'")
        .await;
    let evidence: Value = serde_json::from_str(&evidence).unwrap();
    assert_eq!(
        (&evidence["kind"], &evidence["accounts"]),
        (&json!("DEVICE"), &json!(5))
    );
    assert_eq!(evidence["rewarded_players"], json!(["P001", "P002", "P004", "P005"]));
    assert_eq!(
        program
            .text("SELECT count(*) FROM outbox WHERE event_type = 'signal.raised'")
            .await,
        "5"
    );

    let before = program.risk().await;
    for context in [at(2), at(3), at(25)] {
        assert_eq!(
            program.scan(&ids(5), context).await,
            ScanTotals {
                players: 5,
                ..ScanTotals::default()
            }
        );
    }
    assert_eq!(program.risk().await, before, "unchanged facts change nothing");
    program.audit().await;
}

#[tokio::test]
async fn a_shared_payment_method_is_found() {
    let program = ring(
        2,
        &Traces {
            payment_method: Some(" card-tok-9 ".into()),
            ..Traces::default()
        },
    )
    .await;
    program.scan(&ids(2), at(2)).await;
    assert_eq!(program.signals("P001").await, "MULTI_ACCOUNT 80");
    let kept = program
        .text("SELECT string_agg(DISTINCT encode(fingerprint, 'hex'), ',') FROM player_traces")
        .await;
    assert_eq!(
        kept,
        program.text("SELECT encode(sha256('card-tok-9'), 'hex')").await,
        "only a fingerprint is kept"
    );
}

#[tokio::test]
async fn accounts_behind_one_address_are_not_found() {
    let ip = Traces {
        ip: Some("203.0.113.7".into()),
        ..Traces::default()
    };
    // Five are too few for a hub, so it is the kind of trace that finds nothing.
    let five = ring(5, &ip).await;
    five.scan(&ids(5), at(2)).await;
    assert_eq!(five.signals("P001").await, "0");

    let many = players(200).await;
    let rewarded =
        "INSERT INTO grants (player_id, grant_id, reward_type, asset, amount, cost, status, issued_at, closed_at)
        SELECT player_id, gen_random_uuid(), 'LOYALTY_POINTS', 'LP', 1, 0, 'COMPLETED', now(), now() FROM players;
        INSERT INTO player_traces SELECT player_id, 'IP', sha256('203.0.113.7'), now() FROM players";
    many.database.tamper(rewarded).await;
    assert_eq!(
        many.scan(&ids(200), at(2)).await,
        ScanTotals {
            players: 200,
            ..ScanTotals::default()
        }
    );
}

#[tokio::test]
async fn a_device_of_more_than_20_accounts_is_a_hub() {
    let program = ring(21, &device("café")).await;
    program.scan(&ids(21), at(2)).await;
    assert_eq!(flagged(&program).await, "0");
    program
        .database
        .tamper("DELETE FROM player_traces WHERE player_id = 'P021'")
        .await;
    program.scan(&ids(21), at(2)).await;
    assert_eq!(flagged(&program).await, "20");
}

#[tokio::test]
async fn an_account_that_shares_with_nobody_rewarded_is_not_found() {
    let program = players(2).await;
    for player_id in ids(2) {
        program
            .stake_with(&player_id, "e1", "10", "slots", device("phone-1"), at(1))
            .await;
    }
    program.scan(&ids(2), at(2)).await;
    assert_eq!(flagged(&program).await, "0");
    program.give_bonus(&id("P002"), at(3)).await;
    program.scan(&ids(2), at(4)).await;
    assert_eq!(
        [program.signals("P001").await, program.signals("P002").await],
        ["MULTI_ACCOUNT 80", "0"]
    );
}

#[tokio::test]
async fn one_mailbox_in_several_spellings_is_found() {
    for (first, second, same) in [
        ("Ann.Lee+casino@gmail.com", "annlee@googlemail.com", true),
        ("annlee@gmail.com", "a.n.n.l.e.e@GMAIL.com", true),
        ("Ann@Example.com", "ann@example.COM", true),
        ("a.nn@example.com", "ann@example.com", false),
        ("ann+1@example.com", "ann+2@example.com", false),
        ("ann@gmail.com", "bob@gmail.com", false),
        ("ann@notgmail.com", "a.nn@notgmail.com", false),
    ] {
        let program = players(2).await;
        for (player_id, email) in [("P001", first), ("P002", second)] {
            program.give_bonus(&id(player_id), at(0)).await;
            program
                .database
                .tamper(&format!(
                    "UPDATE players SET email = '{email}' WHERE player_id = '{player_id}'"
                ))
                .await;
        }
        program.scan(&ids(2), at(1)).await;
        assert_eq!(
            flagged(&program).await,
            if same { "2" } else { "0" },
            "{first} and {second}"
        );
    }
}

#[tokio::test]
async fn stakes_of_a_bonus_are_looked_at_without_voided_ones() {
    let program = players(1).await;
    program.give_bonus(&id("P001"), at(0)).await;
    for number in 1..=8 {
        program.play(&format!("e{number}"), "1", "slots", at(1)).await;
    }
    program.play("e9", "10.01", "slots", at(2)).await;
    assert_eq!(program.scan_p001(at(3)).await, "0", "nine stakes");
    program.play("e10", "500", "ludo", at(3)).await;
    assert_eq!(
        program.scan_p001(at(3)).await,
        "0",
        "a game that does not feed the bonus"
    );
    program.play("e11", "1", "slots", at(3)).await;
    assert_eq!(program.scan_p001(at(3)).await, "BET_MANIPULATION 80");
    let evidence = program.only_signal().await.evidence;
    assert_eq!(
        (evidence["smallest"].to_string(), evidence["largest"].to_string()),
        ("1.00".to_owned(), "10.01".to_owned())
    );

    let voided = players(1).await;
    voided.give_bonus(&id("P001"), at(0)).await;
    for number in 1..=10 {
        voided.play(&format!("e{number}"), "1", "slots", at(1)).await;
    }
    voided.play("e11", "500", "slots", at(2)).await;
    let voids = EventId::parse("e11").unwrap();
    voided
        .record(&id("P001"), "v1", Action::Void { voids }, Traces::default(), at(2))
        .await;
    assert_eq!(voided.scan_p001(at(3)).await, "0");
    voided.audit().await;
}

#[tokio::test]
async fn only_the_last_twenty_stakes_count() {
    let program = players(1).await;
    program.give_bonus(&id("P001"), at(0)).await;
    program.play("e00", "20", "slots", at(1)).await;
    for number in 1..=20 {
        program.play(&format!("e{number:02}"), "1", "slots", at(2)).await;
    }
    assert_eq!(program.scan_p001(at(3)).await, "0");
}

#[tokio::test]
async fn a_bonus_wagered_at_low_risk_is_found_also_when_it_is_over() {
    let program = players(1).await;
    program.give_bonus(&id("P001"), at(0)).await;
    program.play("e1", "200", "slots", at(1)).await;
    program.play("e2", "800", "blackjack", at(1)).await;
    assert_eq!(program.scan_p001(at(2)).await, "0", "80 % is not over 80 %");
    program.play("e3", "8000", "blackjack", at(3)).await;
    assert_eq!(program.text("SELECT status FROM grants").await, "COMPLETED");
    assert_eq!(program.scan_p001(at(4)).await, "LOW_RISK_WAGERING 60");
    let before = program.risk().await;
    program.scan_p001(at(20)).await;
    assert_eq!(program.risk().await, before);
    program.audit().await;
}

#[tokio::test]
async fn a_withdrawal_on_the_day_of_a_bonus_is_found() {
    for (hours, expected) in [(24, "IMMEDIATE_WITHDRAWAL 70"), (25, "0")] {
        let program = players(1).await;
        program.give_bonus(&id("P001"), at(0)).await;
        program.withdraw("w1", "50", at(hours)).await;
        assert_eq!(program.scan_p001(at(hours + 1)).await, expected, "{hours} hours");
        program.audit().await;
    }
}

#[tokio::test]
async fn deposits_that_go_round_are_found_once_events_tell_of_them() {
    let program = players(1).await;
    for (cycle, day) in [0, 10, 20].into_iter().enumerate() {
        let deposit = Action::Deposit { amount: d("100") };
        program
            .record(
                &id("P001"),
                &format!("d{cycle}"),
                deposit,
                Traces::default(),
                at_day(day),
            )
            .await;
        program.give_bonus(&id("P001"), at(24 * day + 1)).await;
        program.withdraw(&format!("w{cycle}"), "90", at(24 * day + 72)).await;
        let expected = if cycle == 2 { "DEPOSIT_CYCLING 60" } else { "0" };
        assert_eq!(
            program.scan_p001(at(24 * day + 73)).await,
            expected,
            "after cycle {cycle}"
        );
    }
    assert_eq!(
        program.only_signal().await.evidence,
        json!({ "cycles": 3, "withdrawals": ["w0", "w1", "w2"] })
    );
    program.audit().await;
}

const HEADER: &str = "player_id,total_deposited,total_wagered,total_won,total_bets\n";
