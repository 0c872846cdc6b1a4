//! The outcome of play is that of its events in the order in which they happened, whatever the order of their arrival.
//! Figures are worked by hand.

use crate::play::{Play, event};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use testing::TestApi;

/// The bonus is given at 10:00, and the events are delivered from 12:00 on.
const GIVEN: &str = "2026-11-27T10:00:00Z";
const DELIVERED: &str = "2026-11-27T12:00:00Z";

fn at(minute: u32) -> String {
    format!("2026-11-27T10:{minute:02}:00Z")
}

/// A stake on slots, of which `bonus` is bonus money.
fn stake(id: &str, minute: u32, round: &str, amount: u32, bonus: u32) -> Value {
    let more = json!({ "amount": amount, "bonus_amount": bonus, "game": "slots", "round_id": round });
    event(id, "STAKE", &at(minute), more)
}

fn payout(id: &str, minute: u32, round: &str, amount: u32) -> Value {
    event(
        id,
        "PAYOUT",
        &at(minute),
        json!({ "amount": amount, "round_id": round }),
    )
}

fn withdrawal(id: &str, minute: u32, amount: u32) -> Value {
    event(id, "WITHDRAWAL", &at(minute), json!({ "amount": amount }))
}

fn deposit(id: &str, minute: u32, amount: u32) -> Value {
    event(id, "DEPOSIT", &at(minute), json!({ "amount": amount }))
}

fn void(id: &str, minute: u32, voids: &str) -> Value {
    event(id, "VOID", &at(minute), json!({ "voids": voids }))
}

/// Batches: in order and one at a time, backwards, from the middle on, and all at once.
fn arrivals(events: &[Value]) -> [Vec<Vec<Value>>; 5] {
    let singly = |events: Vec<Value>| events.into_iter().map(|event| vec![event]).collect::<Vec<_>>();
    let (in_order, mut backwards, mut rotated) = (events.to_vec(), events.to_vec(), events.to_vec());
    backwards.reverse();
    rotated.rotate_left(events.len() / 2);
    [
        singly(in_order.clone()),
        singly(backwards.clone()),
        singly(rotated),
        vec![in_order],
        vec![backwards],
    ]
}

fn decimal(text: &str) -> Decimal {
    text.parse().unwrap()
}

/// A player with a bonus of 100.
struct Bonus {
    play: Play,
    players: TestApi,
    first: String,
}

/// A bonus after play: status, balance, what was wagered, and the cash that the operator was told of.
type Expected<'a> = (&'a str, &'a str, &'a str, &'a str);

impl Bonus {
    /// To be wagered this many times.
    async fn given(wagering: u32, terms: Value) -> Self {
        let play = Play::at(GIVEN).await;
        let mut reward = json!({ "type": "BONUS_BALANCE", "amount": 100, "wagering_requirement": wagering,
            "expiry_hours": 48 });
        reward
            .as_object_mut()
            .unwrap()
            .extend(terms.as_object().unwrap().clone());
        play.rule("BONUS", json!({ "reward_config": reward })).await;
        play.recalculate().await;
        let first = play.rules.text("SELECT grant_id FROM grants").await;
        let players = play.rules.beside(::players::router);
        play.travel(DELIVERED);
        Self { play, players, first }
    }

    /// Returns the cash that the responses give the player out of the bonus.
    async fn deliver(&self, events: &[Value]) -> Decimal {
        let body = json!({ "events": events });
        let body = self.play.activity.post("/api/activity", body).await.expect(200);
        let results = body["results"].as_array().unwrap();
        for result in results {
            assert_eq!(result["status"], "accepted", "{result}");
        }
        self.play.deliver().await;
        let effects = results
            .iter()
            .filter_map(|result| result["outcome"]["grants"].as_array());
        effects
            .flatten()
            .map(|effect| decimal(&effect["released"].to_string()))
            .sum()
    }

    async fn text(&self, query: &str) -> String {
        self.play.rules.text(query).await
    }

    async fn grant(&self, grant_id: &str) -> Value {
        self.play.wallet.get(&format!("/api/grants/{grant_id}")).await
    }

    /// The grant that holds the bonus now. Every grant before it has ended.
    async fn current(&self) -> Value {
        let grants = "SELECT string_agg(grant_id::text, ' ' ORDER BY grant_id) FROM grants";
        let mut known: Vec<Value> = Vec::new();
        for grant_id in self.text(grants).await.split(' ') {
            known.push(self.grant(grant_id).await);
        }
        let mut current = known.iter().find(|grant| grant["id"] == *self.first).unwrap();
        assert_eq!(current["corrects"], Value::Null);
        let mut length = 1;
        while let Some(next) = known.iter().find(|grant| grant["corrects"] == current["id"]) {
            assert!(current["closed_at"].is_string(), "{current}");
            assert_eq!(current["balance"].to_string(), "0.00");
            assert_eq!(next["expires_at"], current["expires_at"]);
            assert_eq!(next["rule_id"], Value::Null);
            (current, length) = (next, length + 1);
        }
        assert_eq!(length, known.len(), "one chain");
        current.clone()
    }

    async fn check(&self, (status, balance, wagered, _): Expected<'_>, context: &str) {
        let current = self.current().await;
        let found = (
            current["status"].as_str().unwrap(),
            current["balance"].to_string(),
            current["wagering_completed"].to_string(),
        );
        assert_eq!(found, (status, balance.into(), wagered.into()), "{context}");
        let wallet = self.play.wallet.get("/api/wallet/P1").await;
        assert_eq!(wallet["bonus_balance"].to_string(), balance, "{context}");
        self.play.rules.audit().await;
    }

    /// `cash_delta/total_owed` of each `bonus.adjusted` that moves cash.
    async fn adjusted(&self) -> String {
        let told = "SELECT string_agg(concat_ws('/', payload ->> 'cash_delta', payload ->> 'total_owed'), ' '
            ORDER BY outbox_id) FROM outbox WHERE event_type = 'bonus.adjusted'
            AND (payload ->> 'cash_delta')::numeric <> 0";
        self.text(told).await
    }

    /// Conversions and their adjustments.
    async fn told(&self) -> Decimal {
        let told = "SELECT coalesce(sum(coalesce(payload ->> 'cash_amount', payload ->> 'cash_delta')::numeric), 0)
            FROM outbox WHERE event_type IN ('bonus.completed', 'bonus.adjusted')";
        decimal(&self.text(told).await)
    }

    /// The remark that is stored with an event.
    async fn remark(&self, event_id: &str) -> String {
        let remark = format!("SELECT outcome ->> 'remark' FROM activity_events WHERE event_id = '{event_id}'");
        self.text(&remark).await
    }

    /// Deposited, wagered, won and withdrawn; the days add up to the same.
    async fn totals(&self) -> String {
        let totals = "SELECT concat_ws(' ', total_deposited::numeric(19,2), total_wagered::numeric(19,2),
            total_won::numeric(19,2), total_withdrawn::numeric(19,2)) FROM player_totals WHERE player_id = 'P1'";
        let days = "SELECT concat_ws(' ', sum(deposited)::numeric(19,2), sum(wagered)::numeric(19,2),
            sum(won)::numeric(19,2), sum(withdrawn)::numeric(19,2)) FROM player_daily WHERE player_id = 'P1'";
        let totals = self.text(totals).await;
        assert_eq!(self.text(days).await, totals);
        totals
    }

    async fn update_player(&self, body: Value) {
        self.players
            .send_as("operator", "PUT", "/api/players/P1", Some(body))
            .await
            .expect(200);
    }
}

/// Delivers the events to a bonus in several orders and batches, each time with the same end. Returns the bonuses; the
/// first had its events in order.
async fn in_any_order(
    (wagering, terms): (u32, Value),
    events: &[Value],
    expected: Expected<'_>,
    totals: &str,
) -> Vec<Bonus> {
    let mut bonuses = Vec::new();
    for batches in arrivals(events) {
        let bonus = Bonus::given(wagering, terms.clone()).await;
        let mut cash = Decimal::ZERO;
        for batch in &batches {
            cash += bonus.deliver(batch).await;
        }
        let context = format!("{batches:?}");
        bonus.check(expected, &context).await;
        assert_eq!(cash + bonus.told().await, decimal(expected.3), "cash of {context}");
        assert_eq!(bonus.totals().await, totals, "{context}");
        bonuses.push(bonus);
    }
    bonuses
}

fn kept() -> Value {
    json!({ "on_withdrawal": "KEEP" })
}

/// At most 20 of its 100 become cash.
fn limited() -> Value {
    json!({ "on_withdrawal": "KEEP", "max_conversion": "0.2" })
}

#[tokio::test]
async fn a_payout_waits_when_every_stake_of_its_round_is_void() {
    let (s, v, p) = (
        stake("s", 10, "r", 100, 100),
        void("v", 30, "s"),
        payout("p", 40, "r", 1000),
    );
    let events = [s.clone(), withdrawal("w", 20, 10), v.clone(), p.clone()];
    let expected = ("FORFEITED", "0.00", "0.00", "0.00");
    for bonus in in_any_order((10, json!({})), &events, expected, "0.00 0.00 0.00 10.00").await {
        assert_eq!(bonus.remark("p").await, "WAITING");
    }
    let expected = ("ACTIVE", "100.00", "0.00", "0.00");
    for bonus in in_any_order((10, kept()), &[s, v, p], expected, "0.00 0.00 0.00 0.00").await {
        assert_eq!(bonus.remark("p").await, "WAITING");
    }
}

#[tokio::test]
async fn a_completed_bonus_releases_no_more_than_its_limit_in_total() {
    // The stake of real money completes it: of the 50 that are left 20 are paid; what returns is beyond the limit.
    let events = [
        stake("s", 10, "r", 50, 50),
        stake("t", 20, "q", 50, 0),
        payout("p", 30, "r", 1000),
        void("v", 40, "p"),
    ];
    let expected = ("COMPLETED", "0.00", "100.00", "20.00");
    in_any_order((1, limited()), &events[..3], expected, "0.00 100.00 1000.00 0.00").await;
    in_any_order((1, limited()), &events, expected, "0.00 100.00 0.00 0.00").await;
}

#[tokio::test]
async fn the_void_of_the_stake_that_emptied_a_bonus_brings_it_back() {
    let whole = ("ACTIVE", "100.00", "0.00", "0.00");
    let s = event(
        "s",
        "STAKE",
        &at(10),
        json!({ "amount": 100, "bonus_amount": 100, "game": "slots" }),
    );
    let bonuses = in_any_order((10, kept()), &[s, void("v", 30, "s")], whole, "0.00 0.00 0.00 0.00").await;
    assert_eq!(bonuses[0].current().await["corrects"], *bonuses[0].first);
    assert_eq!(bonuses[0].grant(&bonuses[0].first).await["status"], "DEPLETED");

    let events = [
        stake("s", 10, "r", 100, 100),
        payout("p", 20, "r", 0),
        void("v", 30, "s"),
        void("w", 40, "p"),
    ];
    let bonuses = in_any_order((10, kept()), &events, whole, "0.00 0.00 0.00 0.00").await;
    assert_eq!(bonuses[0].current().await["corrects"], *bonuses[0].first);
}

#[tokio::test]
async fn a_withdrawal_from_before_a_bonus_leaves_it_alone() {
    let withdrawal = event("w", "WITHDRAWAL", "2026-11-27T09:50:00Z", json!({ "amount": 10 }));
    let events = [withdrawal, stake("s", 40, "r", 10, 10)];
    let expected = ("ACTIVE", "90.00", "10.00", "0.00");
    in_any_order((10, json!({})), &events, expected, "0.00 10.00 0.00 10.00").await;
}

#[tokio::test]
async fn two_bets_and_two_payouts_of_one_round_interleave() {
    let events = [
        stake("s1", 10, "r", 50, 50),
        payout("p1", 20, "r", 0),
        stake("s2", 30, "r", 50, 50),
        payout("p2", 40, "r", 200),
    ];
    let expected = ("ACTIVE", "200.00", "100.00", "0.00");
    in_any_order((10, kept()), &events, expected, "0.00 100.00 200.00 0.00").await;
    let others = [[0, 2, 3, 1], [3, 0, 1, 2], [1, 3, 2, 0], [2, 1, 0, 3]];
    for order in others {
        let bonus = Bonus::given(10, kept()).await;
        for index in order {
            bonus.deliver(&events[index..=index]).await;
        }
        bonus.check(expected, &format!("{order:?}")).await;
    }
}

#[tokio::test]
async fn the_void_of_a_late_payout_gives_the_limit_its_room_back() {
    // All of 100 is staked in an open round when it completes; what returns is the player's up to 20.
    let events = [
        stake("s", 10, "r", 100, 100),
        payout("p", 20, "r", 20),
        void("v", 30, "p"),
        payout("q", 40, "r", 15),
    ];
    let bonus = Bonus::given(1, limited()).await;
    for (event, released) in events.iter().zip(["0", "20", "0", "15"]) {
        assert_eq!(bonus.deliver(std::slice::from_ref(event)).await, decimal(released));
    }
    bonus.check(("COMPLETED", "0.00", "100.00", ""), "in order").await;
    assert_eq!(bonus.adjusted().await, "-20.00/0.00");
    assert_eq!(bonus.totals().await, "0.00 100.00 15.00 0.00");
}

#[tokio::test]
async fn the_void_of_the_stake_that_completed_a_bonus_owes_the_conversion_back() {
    let events = [
        stake("s1", 10, "r", 60, 0),
        stake("s2", 20, "q", 40, 0),
        void("v", 30, "s2"),
    ];
    let expected = ("ACTIVE", "100.00", "60.00", "0.00");
    let bonuses = in_any_order((1, kept()), &events, expected, "0.00 60.00 0.00 0.00").await;
    let in_order = &bonuses[0];
    assert_eq!(in_order.adjusted().await, "-100.00/0.00");
    assert_eq!(in_order.current().await["corrects"], *in_order.first);
    assert_eq!(in_order.grant(&in_order.first).await["status"], "COMPLETED");
}

#[tokio::test]
async fn of_a_hundred_stakes_that_are_all_voided_nobody_keeps_cash() {
    let stakes: Vec<Value> = (0..100)
        .map(|n| stake(&format!("s{n}"), 1 + n % 30, &format!("r{n}"), 10, 0))
        .collect();
    let voids: Vec<Value> = (0..100).map(|n| void(&format!("v{n}"), 40, &format!("s{n}"))).collect();
    let expected = ("ACTIVE", "100.00", "0.00", "0.00");
    for (batches, told) in [([&stakes, &voids], "-100.00/0.00"), ([&voids, &stakes], "null")] {
        let bonus = Bonus::given(10, kept()).await;
        for batch in batches {
            for part in batch.chunks(50) {
                bonus.deliver(part).await;
            }
        }
        bonus.check(expected, told).await;
        assert_eq!(bonus.adjusted().await, told);
        assert_eq!(bonus.told().await, Decimal::ZERO);
        assert_eq!(bonus.totals().await, "0.00 0.00 0.00 0.00");
    }
}

#[tokio::test]
async fn a_cancelled_withdrawal_forfeits_nothing() {
    let events = [withdrawal("w", 10, 50), void("v", 20, "w"), stake("s", 30, "r", 10, 10)];
    let expected = ("ACTIVE", "90.00", "10.00", "0.00");
    let bonuses = in_any_order((10, json!({})), &events, expected, "0.00 10.00 0.00 0.00").await;
    let in_order = &bonuses[0];
    assert_eq!(in_order.current().await["corrects"], *in_order.first);
    assert_eq!(in_order.grant(&in_order.first).await["status"], "FORFEITED");
}

#[tokio::test]
async fn a_deposit_that_bounces_leaves_the_totals_and_the_days() {
    let events = [deposit("d", 10, 50), deposit("e", 15, 30), void("v", 20, "d")];
    let expected = ("ACTIVE", "100.00", "0.00", "0.00");
    in_any_order((10, json!({})), &events, expected, "30.00 0.00 0.00 0.00").await;
}

#[tokio::test]
async fn max_bet_bounds_what_a_round_contributes() {
    let stakes: Vec<Value> = (1..=20).map(|n| stake(&format!("s{n:02}"), n, "r", 5, 0)).collect();
    let backwards: Vec<Value> = stakes.iter().rev().cloned().collect();
    for (action, status, balance) in [("IGNORE", "ACTIVE", "100.00"), ("FORFEIT", "FORFEITED", "0.00")] {
        let terms = json!({ "max_bet": 5, "max_bet_action": action });
        for (stakes, size) in [(&stakes, 3), (&stakes, 20), (&backwards, 7)] {
            let bonus = Bonus::given(10, terms.clone()).await;
            for batch in stakes.chunks(size) {
                bonus.deliver(batch).await;
            }
            let context = format!("{action} {size}");
            bonus.check((status, balance, "5.00", ""), &context).await;
        }
    }
    let single = [stake("a", 10, "r", 20, 0), stake("b", 20, "q", 3, 0)];
    let expected = ("ACTIVE", "100.00", "8.00", "0.00");
    in_any_order((10, json!({ "max_bet": 5 })), &single, expected, "0.00 23.00 0.00 0.00").await;
}

#[tokio::test]
async fn play_of_a_blocked_player_completes_nothing_until_they_are_unblocked() {
    let fulfilling = |minute| stake("s", minute, "r", 100, 0);
    let completed = ("COMPLETED", "0.00", "100.00", "");
    for (is_late, unblocked, end) in [
        (false, "2026-11-27T10:40:00Z", completed),
        (true, "2026-11-27T10:40:00Z", completed),
        // After 48 hours it has expired.
        (false, "2026-11-30T10:00:00Z", ("EXPIRED", "0.00", "100.00", "")),
    ] {
        let bonus = Bonus::given(1, kept()).await;
        bonus.play.travel(&at(10));
        bonus.update_player(json!({ "is_blocked": true })).await;
        bonus.play.travel(&at(30));
        if !is_late {
            bonus.deliver(&[fulfilling(20)]).await;
            bonus.check(("ACTIVE", "100.00", "100.00", ""), "blocked").await;
        }
        bonus.play.travel(unblocked);
        bonus.update_player(json!({ "is_blocked": false })).await;
        if is_late {
            bonus.check(("ACTIVE", "100.00", "0.00", ""), "unblocked").await;
            bonus.play.travel(DELIVERED);
            bonus.deliver(&[fulfilling(20)]).await;
        }
        if end.0 == "EXPIRED" {
            app::jobs::expiry::expire_due(&bonus.play.rules.db(), 10, bonus.play.context())
                .await
                .unwrap();
        }
        bonus.check(end, unblocked).await;
        let cash = if end.0 == "COMPLETED" { "100.00" } else { "0" };
        assert_eq!(bonus.told().await, decimal(cash));
    }
    // What was played before the block counts, though it is recorded after it.
    let bonus = Bonus::given(1, kept()).await;
    bonus.play.travel(&at(10));
    bonus.update_player(json!({ "is_blocked": true })).await;
    bonus.play.travel(&at(30));
    bonus.deliver(&[fulfilling(5)]).await;
    bonus.check(completed, "before the block").await;
}

#[tokio::test]
async fn a_deduction_of_all_of_a_bonus_is_reversed_like_one_that_leaves_a_cent() {
    for (amount, left, ended) in [("100", "0.00", "DEPLETED"), ("99.99", "0.01", "ACTIVE")] {
        let bonus = Bonus::given(10, kept()).await;
        let wallet = &bonus.play.wallet;
        let body = json!({ "player_id": "P1", "currency": "BONUS", "amount": amount });
        let deduction = wallet
            .send_as("operator", "POST", "/api/wallet/deduct", Some(body))
            .await
            .expect(200);
        bonus.check((ended, left, "0.00", ""), "deducted").await;
        bonus.play.travel("2026-11-27T13:00:00Z");
        let body = json!({ "transaction_id": deduction["transaction_id"], "reason": "a mistake" });
        wallet
            .send_as("operator", "POST", "/api/wallet/reverse", Some(body))
            .await
            .expect(200);
        bonus.check(("ACTIVE", "100.00", "0.00", ""), "reversed").await;
        // A stake from between the two plays on what was left.
        bonus
            .deliver(&[event(
                "s",
                "STAKE",
                "2026-11-27T12:30:00Z",
                json!({ "amount": 10, "game": "slots" }),
            )])
            .await;
        bonus.play.rules.audit().await;
    }
}
