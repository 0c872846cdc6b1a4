//! `/api/activity` through the router, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod day;
mod points;
mod stream;

use ::activity::Activity;
use lambda::{aws, sqs::Queue};
use serde_json::{Value, json};
use testing::{Player, TestApi, accept_messages, snapshot};

/// With player P001.
pub async fn program() -> TestApi {
    program_with(accept_messages).await
}

pub async fn program_with(queue: impl Fn(&testing::Request) -> (u16, String) + Send + Sync + 'static) -> TestApi {
    let api = TestApi::on_cloud("operator", queue, |db, now, url| {
        let rewards = Queue::with_config(&aws::stand_in(url), format!("{url}/1/rewards"));
        ::activity::router(Activity { db, rewards }, now)
    })
    .await;
    api.subscribe().await;
    Player::new("P001").deposited("100").insert(&api.db()).await;
    api
}

pub fn wallet(program: &TestApi) -> TestApi {
    program.beside(::wallet::router)
}

pub async fn record(program: &TestApi, events: Value) -> Vec<Value> {
    let body = program
        .post("/api/activity", json!({ "events": events }))
        .await
        .expect(200);
    body["results"].as_array().unwrap().clone()
}

pub async fn add_bonus(program: &TestApi, more: Value) -> String {
    let mut body = json!({ "player_id": "P001", "amount": 100, "wagering_requirement": 1000, "expiry_hours": 48 });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let receipt = wallet(program).post("/api/wallet/add-bonus", body).await.expect(200);
    receipt["grant_id"].as_str().unwrap().to_owned()
}

pub async fn grant_of(program: &TestApi, grant_id: &str) -> Value {
    wallet(program).get(&format!("/api/grants/{grant_id}")).await
}

pub async fn balance(program: &TestApi) -> String {
    wallet(program).get("/api/wallet/P001").await["bonus_balance"].to_string()
}

pub fn stake(event_id: &str, amount: &str, game: &str) -> Value {
    event(event_id, json!({ "type": "STAKE", "amount": amount, "game": game }))
}

/// The current time, because a stake before its grant contributes nothing.
pub fn event(event_id: &str, more: Value) -> Value {
    let now = lambda::context().now.to_string();
    let mut event = json!({ "event_id": event_id, "player_id": "P001", "occurred_at": now });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

pub fn statuses(results: &[Value]) -> Vec<&str> {
    results
        .iter()
        .map(|result| result["status"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn the_worked_bonus_completes_to_the_cent() {
    let program = program().await;
    let grant_id = add_bonus(&program, json!({ "eligible_games": ["slots"] })).await;
    let results = record(
        &program,
        json!([stake("e1", "600", "slots"), stake("e2", "500", "roulette")]),
    )
    .await;
    insta::assert_snapshot!("results_of_stakes", snapshot(&json!(results)));
    let grant = grant_of(&program, &grant_id).await;
    assert_eq!(
        (&grant["status"], grant["wagering_completed"].to_string()),
        (&json!("ACTIVE"), "600.00".into())
    );
    assert_eq!(
        (grant["progress"].to_string(), grant["wagering_left"].to_string()),
        ("0.6000".into(), "400.00".into())
    );

    record(&program, json!([stake("e3", "400", "slots")])).await;
    let grant = grant_of(&program, &grant_id).await;
    assert_eq!(
        (&grant["status"], grant["cash_amount"].to_string()),
        (&json!("COMPLETED"), "100.00".into())
    );
    assert_eq!(
        (grant["balance"].to_string(), grant["wagering_completed"].to_string()),
        ("0.00".into(), "1000.00".into())
    );
    assert_eq!(balance(&program).await, "0.00");
    assert_eq!(
        program
            .text("SELECT payload ->> 'cash_amount' FROM outbox WHERE event_type = 'bonus.completed'")
            .await,
        "100.00"
    );
    program.audit().await;
}

#[tokio::test]
async fn the_worked_bonus_without_eligible_games_counts_roulette_at_its_weight() {
    let program = program().await;
    let grant_id = add_bonus(&program, json!({})).await;
    record(
        &program,
        json!([
            stake("e1", "600", "slots"),
            stake("e2", "500", "roulette"),
            stake("e3", "10", "blackjack")
        ]),
    )
    .await;
    assert_eq!(
        grant_of(&program, &grant_id).await["wagering_completed"].to_string(),
        "701.00"
    ); // 600 + 100 + 1
}

#[tokio::test]
async fn an_event_counts_once_and_another_content_under_its_id_is_rejected() {
    let program = program().await;
    let grant_id = add_bonus(&program, json!({})).await;
    let first = stake("e1", "600", "slots");
    let mut other = first.clone();
    other["amount"] = json!("601");
    let results = record(&program, json!([first, first, other])).await;
    assert_eq!(statuses(&results), ["accepted", "duplicate", "rejected"]);
    assert_eq!(results[0]["outcome"], results[1]["outcome"]);
    assert_eq!(results[2]["reason"]["code"], "event_id_reused");
    assert_eq!(
        grant_of(&program, &grant_id).await["wagering_completed"].to_string(),
        "600.00"
    );
}

#[tokio::test]
async fn a_wrong_event_is_rejected_alone_and_named() {
    let program = program().await;
    let grant_id = add_bonus(&program, json!({})).await;
    let cases = [
        (event("e1", json!({ "type": "STAKE", "amount": "1e400" })), "/amount"),
        (event("e1", json!({ "type": "STAKE", "amount": "NaN" })), "/amount"),
        (
            event("e1", json!({ "type": "STAKE", "amount": "0.0000000000000000001" })),
            "/amount",
        ),
        (event("e1", json!({ "type": "STAKE", "amount": 0 })), "/amount"),
        (event("e1", json!({ "type": "STAKE" })), "/amount"),
        (
            event("e1", json!({ "type": "STAKE", "amount": 10, "bonus_amount": 11 })),
            "/bonus_amount",
        ),
        (
            event("e1", json!({ "type": "STAKE", "amount": 10, "voids": "e0" })),
            "/voids",
        ),
        (
            event("e1", json!({ "type": "STAKE", "amount": 10, "round_id": "" })),
            "/round_id",
        ),
        (
            event("e1", json!({ "type": "PAYOUT", "amount": 10, "bonus_amount": 1 })),
            "/bonus_amount",
        ),
        (event("e1", json!({ "type": "VOID" })), "/voids"),
        (event("e1", json!({ "type": "DANCE" })), "/type"),
        (
            event("e1", json!({ "type": "STAKE", "amount": 10, "ip": "300.1.1.1" })),
            "/ip",
        ),
        (
            event("e1", json!({ "type": "STAKE", "amount": 10, "device_id": " " })),
            "/device_id",
        ),
        (
            event("e1", json!({ "type": "STAKE", "amount": 10, "colour": "red" })),
            "/colour",
        ),
        (json!({ "player_id": "P001" }), "/event_id"),
        (json!(7), ""),
    ];
    for (index, (wrong, pointer)) in cases.into_iter().enumerate() {
        let results = record(&program, json!([wrong, stake(&format!("good-{index}"), "1", "slots")])).await;
        assert_eq!(results[0]["status"], "rejected", "{wrong}");
        assert_eq!(
            results[0]["reason"]["errors"][0]["pointer"], pointer,
            "{wrong} {}",
            results[0]
        );
        assert_eq!(results[1]["status"], "accepted");
    }
    let mut unknown = stake("e3", "1", "slots");
    unknown["player_id"] = json!("P404");
    assert_eq!(
        record(&program, json!([unknown])).await[0]["reason"]["code"],
        "not_found"
    );
    assert_eq!(
        grant_of(&program, &grant_id).await["wagering_completed"].to_string(),
        "16.00"
    );
    assert_eq!(program.text("SELECT count(*) FROM activity_events").await, "16");
}

#[tokio::test]
async fn an_unknown_game_contributes_nothing_and_is_reported() {
    let program = program().await;
    let grant_id = add_bonus(&program, json!({})).await;
    let results = record(
        &program,
        json!([
            stake("e1", "10", "ludo"),
            event("e2", json!({ "type": "STAKE", "amount": 10 }))
        ]),
    )
    .await;
    assert_eq!(
        [&results[0]["outcome"]["remark"], &results[1]["outcome"]["remark"]],
        ["UNKNOWN_GAME", "UNKNOWN_GAME"]
    );
    assert_eq!(
        grant_of(&program, &grant_id).await["wagering_completed"].to_string(),
        "0.00"
    );
}

#[tokio::test]
async fn bonus_money_is_staked_paid_back_and_voided() {
    let program = program().await;
    let grant_id = add_bonus(&program, json!({})).await;
    let bet = |id: &str, round: &str, amount: i64, bonus: i64| {
        event(
            id,
            json!({ "type": "STAKE", "amount": amount, "game": "slots", "round_id": round, "bonus_amount": bonus }),
        )
    };
    let payout = |id: &str, round: &str, amount: &str| {
        event(id, json!({ "type": "PAYOUT", "amount": amount, "round_id": round }))
    };
    record(&program, json!([bet("e1", "r1", 40, 10)])).await;
    assert_eq!(balance(&program).await, "90.00");
    let results = record(&program, json!([payout("e2", "r1", "100.00")])).await;
    assert_eq!(results[0]["outcome"]["real_amount"].to_string(), "75.00");
    assert_eq!(balance(&program).await, "115.00");

    record(&program, json!([bet("e3", "r2", 20, 20)])).await;
    let void = event("e4", json!({ "type": "VOID", "voids": "e3" }));
    assert_eq!(
        statuses(&record(&program, json!([void, void])).await),
        ["accepted", "duplicate"]
    );
    let again = record(&program, json!([event("e5", json!({ "type": "VOID", "voids": "e3" }))])).await;
    assert_eq!(again[0]["reason"]["code"], "already_voided");
    let grant = grant_of(&program, &grant_id).await;
    assert_eq!(
        (grant["balance"].to_string(), grant["wagering_completed"].to_string()),
        ("115.00".into(), "40.00".into())
    );

    let greedy = record(&program, json!([bet("e6", "r3", 200, 116)])).await;
    assert_eq!(greedy[0]["outcome"]["overdrawn"].to_string(), "1.00");
    let signal = "SELECT concat_ws(' ', type, severity, evidence ->> 'bonus_amount', status) FROM signals";
    assert_eq!(program.text(signal).await, "BONUS_OVERDRAWN 2 1.00 OPEN");
    assert_eq!(balance(&program).await, "0.00");
    program.audit().await;
}

#[tokio::test]
async fn only_those_who_ingest_may_and_not_too_much_at_once() {
    let program = program().await;
    let many = json!({ "events": vec![json!({}); 501] });
    program.post("/api/activity", many).await.expect(413);
    program
        .send_as("ingest", "POST", "/api/activity", Some(json!({ "events": [] })))
        .await
        .expect(200);
    program
        .send_as("viewer", "POST", "/api/activity", Some(json!({ "events": [] })))
        .await
        .expect(403);
    program
        .send_unknown("POST", "/api/activity", Some(json!({ "events": [] })))
        .await
        .expect(401);
}

#[tokio::test]
async fn what_a_player_was_seen_with_is_kept_as_fingerprints_with_the_event() {
    let program = program().await;
    let seen = json!({ "type": "STAKE", "amount": 10, "device_id": "phone-1", "payment_method": "card-tok-9", "ip": "::ffff:203.0.113.7" });
    let refused = json!({ "type": "STAKE", "amount": 10, "bonus_amount": 11, "device_id": "phone-2" });
    let results = record(
        &program,
        json!([
            event("e1", seen.clone()),
            event("e1", seen.clone()),
            event("e2", seen),
            event("e3", refused)
        ]),
    )
    .await;
    assert_eq!(statuses(&results), ["accepted", "rejected", "accepted", "rejected"]); // e1 again, at another instant
    let kept = "SELECT string_agg(kind || ' ' || encode(fingerprint, 'hex'), ', ' ORDER BY kind) FROM player_traces";
    let expected =
        "SELECT 'DEVICE ' || encode(sha256('phone-1'), 'hex') || ', IP ' || encode(sha256('203.0.113.7'), 'hex')
        || ', PAYMENT_METHOD ' || encode(sha256('card-tok-9'), 'hex')";
    assert_eq!(program.text(kept).await, program.text(expected).await);
    program.audit().await;
}
