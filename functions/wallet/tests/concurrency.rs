//! Concurrent callers: each response matches what is stored.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt};
use serde_json::{Value, json};
use std::ops::Deref;
use testing::{Player, Response, TestApi};

/// One per Lambda instance: each has connections of its own.
struct Instances(Vec<TestApi>);

impl Deref for Instances {
    type Target = TestApi;

    fn deref(&self) -> &TestApi {
        &self.0[0]
    }
}

impl Instances {
    /// With player P001.
    async fn new() -> Self {
        let first = TestApi::new("operator", wallet::router).await;
        first.subscribe().await;
        Player::new("P001").deposited("100").insert(&first.db()).await;
        let others = [0; 3].map(|_| first.beside(wallet::router));
        Self(std::iter::once(first).chain(others).collect())
    }

    async fn post(&self, instance: usize, path: &str, key: Option<&str>, body: &Value) -> Response {
        let instance = &self.0[instance % self.0.len()];
        let path = format!("/api/wallet/{path}");
        match key {
            Some(key) => instance.keyed(&path, key, body.clone()).await,
            None => instance.post(&path, body.clone()).await,
        }
    }

    async fn add_lp(&self, amount: i64) -> Value {
        self.post(0, "add-lp", None, &json!({ "player_id": "P001", "amount": amount }))
            .await
            .expect(200)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_callers_spend_the_whole_balance_and_one_succeeds() {
    let program = Instances::new().await;
    program.add_lp(500).await;
    let body = json!({ "player_id": "P001", "currency": "LP", "amount": 500 });
    let answers = join_all((0..64).map(|caller| program.post(caller, "deduct", None, &body))).await;
    let (told, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((told.len(), refused.len()), (1, 63));
    for answer in refused {
        let problem = answer.expect(409);
        assert_eq!(problem["type"], "urn:loyalty:problem:insufficient_balance");
        assert_eq!(
            (problem["available"].to_string(), problem["requested"].to_string()),
            ("0.00".into(), "500.00".into())
        );
    }
    assert_eq!(
        program.text("SELECT balance || ' ' || version FROM wallets").await,
        "0.0000 2"
    );
    program.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_thousand_credits_of_one_make_two_thousand() {
    let program = Instances::new().await;
    let body = json!({ "player_id": "P001", "amount": 1 });
    let callers = stream::iter(0..2_000)
        .map(|caller| program.post(caller, "add-lp", None, &body))
        .buffer_unordered(64);
    let mut told: Vec<i64> = callers
        .map(|answer| whole(&answer.expect(200)["new_balance"]))
        .collect()
        .await;
    told.sort_unstable();
    // Every caller got a different balance.
    assert_eq!(told, (1..=2_000).collect::<Vec<i64>>());
    assert_eq!(
        program.text("SELECT balance || ' ' || version FROM wallets").await,
        "2000.0000 2000"
    );
    assert_eq!(
        program
            .text("SELECT count(DISTINCT version) || ' ' || min(version) || ' ' || max(version) FROM postings")
            .await,
        "2000 1 2000"
    );
    program.audit().await;
}

/// `7.00` is 7.
fn whole(amount: &Value) -> i64 {
    amount.to_string().strip_suffix(".00").unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_fifty_times_at_once_has_one_effect_and_fifty_equal_answers() {
    let program = Instances::new().await;
    let body = json!({ "player_id": "P001", "amount": 7 });
    let answers = join_all((0..50).map(|caller| program.post(caller, "add-lp", Some("k"), &body))).await;
    let replayed = answers
        .iter()
        .filter(|answer| answer.header("idempotency-replayed") == Some("true"))
        .count();
    let bodies: Vec<Value> = answers.into_iter().map(|answer| answer.expect(200)).collect();
    assert_eq!(replayed, 49);
    assert!(bodies.iter().all(|body| *body == bodies[0]));
    assert_eq!(
        program.text("SELECT balance || ' ' || version FROM wallets").await,
        "7.0000 1"
    );

    let other = program
        .post(1, "add-lp", Some("k"), &json!({ "player_id": "P001", "amount": 8 }))
        .await
        .expect(422);
    assert_eq!(other["type"], "urn:loyalty:problem:idempotency_key_reused");
    assert_eq!(
        program.text("SELECT balance || ' ' || version FROM wallets").await,
        "7.0000 1"
    );
    program.audit().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_transactions_are_each_reversed_by_one_of_two_callers() {
    let program = Instances::new().await;
    let mut transactions = Vec::new();
    for _ in 0..500 {
        transactions.push(program.add_lp(3).await["transaction_id"].clone());
    }
    let bodies: Vec<Value> = transactions
        .iter()
        .map(|id| json!({ "transaction_id": id, "reason": "mistake" }))
        .collect();
    let reversals = bodies.iter().flat_map(|body| [body, body]).enumerate();
    let callers = stream::iter(reversals)
        .map(|(caller, body)| program.post(caller, "reverse", None, body))
        .buffer_unordered(32);
    let answers: Vec<Response> = callers.collect().await;
    let refused = answers
        .iter()
        .filter(|answer| answer.json["type"] == "urn:loyalty:problem:already_reversed" && answer.status == 409);
    assert_eq!(refused.count(), 500);
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 500);
    assert_eq!(
        program.text("SELECT balance || ' ' || version FROM wallets").await,
        "0.0000 1000"
    );
    assert_eq!(program.text("SELECT count(*) FROM reversals").await, "500");
    program.audit().await;
}

/// 160 points each: the seventh credit reaches SILVER and the 63rd GOLD, in any order.
#[tokio::test(flavor = "multi_thread")]
async fn sixty_four_credits_over_two_thresholds_make_one_step_each() {
    let program = Instances::new().await;
    let body = json!({ "player_id": "P001", "amount": 160 });
    let answers = join_all((0..64).map(|caller| program.post(caller, "add-lp", None, &body))).await;
    assert!(answers.into_iter().all(|answer| answer.status == 200));
    let steps = "string_agg(from_tier || '>' || to_tier, ' ' ORDER BY at)";
    assert_eq!(
        program.text(&format!("SELECT {steps} FROM tier_history")).await,
        "BRONZE>SILVER SILVER>GOLD"
    );
    let told = "string_agg(payload ->> 'from' || '>' || (payload ->> 'to') || ' ' || (payload ->> 'qualifying_lp'), \
        ', ' ORDER BY outbox_id)";
    assert_eq!(
        program
            .text(&format!("SELECT {told} FROM outbox WHERE event_type = 'tier.changed'"))
            .await,
        "BRONZE>SILVER 1120.00, SILVER>GOLD 10080.00"
    );
    assert_eq!(
        program
            .text(
                "SELECT count(*) || ' ' || count(DISTINCT trigger_id) || ' ' || count(DISTINCT batch_id)
            FROM reward_triggers"
            )
            .await,
        "2 2 2"
    );
    assert_eq!(
        program.text("SELECT sum(lp_earned) FROM player_daily").await,
        "10240.0000"
    );
    assert_eq!(program.text("SELECT tier FROM players").await, "GOLD");
    program.audit().await;
}
