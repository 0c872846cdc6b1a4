//! `/api/wallet` through the router, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use testing::{Player, Response, TestDb, api_key, call, send};

struct Program {
    test: TestDb,
    router: Router,
    key: String,
}

impl Program {
    /// With player P001.
    async fn new() -> Self {
        let test = TestDb::new().await;
        let key = api_key(&test.db(), "operator").await;
        Player::new("P001").deposited("100").insert(&test.db()).await;
        Self { router: wallet::router(test.db()), key, test }
    }

    async fn post(&self, path: &str, body: Value) -> Response {
        call(&self.router, "POST", path, Some(&self.key), Some(body)).await
    }

    async fn keyed(&self, path: &str, key: &str, body: Value) -> Response {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_string()))
            .unwrap();
        send(&self.router, request).await
    }

    async fn wallet(&self) -> Value {
        call(&self.router, "GET", "/api/wallet/P001", Some(&self.key), None).await.expect(200)
    }
}

fn lp(amount: Value) -> Value {
    json!({ "player_id": "P001", "amount": amount, "source": "crm", "description": "sorry" })
}

#[tokio::test]
async fn an_empty_wallet_shows_zeros() {
    let program = Program::new().await;
    assert_eq!(
        program.wallet().await.to_string(),
        r#"{"bonus_balance":0.00,"grants":[],"lots":[],"lp_balance":0.00,"player_id":"P001","rp_balance":0.00,"tickets_balance":0}"#
    );
}

#[tokio::test]
async fn points_are_credited_with_their_reason() {
    let program = Program::new().await;
    let receipt = program.post("/api/wallet/add-lp", lp(json!(150.5))).await.expect(200);
    assert_eq!((&receipt["success"], receipt["new_balance"].to_string()), (&json!(true), "150.50".into()));
    assert!(receipt["transaction_id"].is_string() && receipt["message"].is_string());
    let wallet = program.wallet().await;
    assert_eq!(wallet["lp_balance"].to_string(), "150.50");
    assert_eq!((wallet["lots"][0]["asset"].as_str(), wallet["lots"][0]["remaining"].to_string()), (Some("LP"), "150.50".into()));
    assert_eq!(
        program.test.text("SELECT reason || ' ' || kind || ' ' || house FROM postings").await,
        "crm: sorry manual_credit house:issuance"
    );
    testing::audit(&program.test.db()).await;
}

#[tokio::test]
async fn the_same_key_gives_the_first_answer_again() {
    let program = Program::new().await;
    let path = "/api/wallet/add-lp";
    let first = program.keyed(path, "k1", lp(json!(10))).await;
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = program.keyed(path, "k1", lp(json!(10))).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.expect(200), again.expect(200));
    program.keyed(path, "k1", lp(json!(11))).await.expect(422);
    program.keyed(path, "k2", lp(json!(10))).await.expect(200);
    assert_eq!(program.wallet().await["lp_balance"].to_string(), "20.00");
}

#[tokio::test]
async fn zero_points_move_nothing() {
    let program = Program::new().await;
    let receipt = program.post("/api/wallet/add-lp", lp(json!(0))).await.expect(200);
    assert_eq!((&receipt["transaction_id"], receipt["new_balance"].to_string()), (&Value::Null, "0.00".into()));
    assert_eq!(program.test.text("SELECT count(*) FROM postings").await, "0");
}

#[tokio::test]
async fn a_bonus_is_granted_with_its_terms() {
    let program = Program::new().await;
    let body = json!({
        "player_id": "P001", "amount": 100, "wagering_requirement": 1000, "expiry_hours": 48, "max_bet": "5.00",
        "eligible_games": ["slots"], "description": "welcome back",
    });
    let receipt = program.post("/api/wallet/add-bonus", body).await.expect(200);
    assert_eq!(receipt["new_balance"].to_string(), "100.00");
    let wallet = program.wallet().await;
    let grant = &wallet["grants"][0];
    assert_eq!(grant["id"], receipt["grant_id"]);
    assert_eq!(
        [&grant["amount"], &grant["balance"], &grant["wagering_required"], &grant["wagering_completed"]].map(Value::to_string),
        ["100.00", "100.00", "1000.00", "0.00"]
    );
    assert_eq!((&grant["status"], &grant["rule_id"]), (&json!("ACTIVE"), &Value::Null));
    assert_eq!(program.test.text("SELECT terms -> 'eligible_games' FROM grants").await, "[\"slots\"]");
    assert_eq!(program.test.text("SELECT expires_at - issued_at FROM grants").await, "2 days");
    testing::audit(&program.test.db()).await;
}

#[tokio::test]
async fn hostile_amounts_and_texts_are_refused_with_the_place() {
    let program = Program::new().await;
    let raw = |amount: &str| format!("{{\"player_id\": \"P001\", \"amount\": {amount}}}");
    for amount in
        ["-1", "1e400", "9223372036854775808", "0.0000000000000000001", "1.000000000000000000000000000001", "\"NaN\"", "null", "true"]
    {
        let request = Request::post("/api/wallet/add-lp")
            .header("authorization", format!("Bearer {}", program.key))
            .header("content-type", "application/json")
            .body(Body::from(raw(amount)))
            .unwrap();
        let problem = send(&program.router, request).await.expect(422);
        assert_eq!(problem["errors"][0]["pointer"], "/amount", "{amount}");
    }
    let bonus = |field: &str, value: Value| {
        let mut body = json!({ "player_id": "P001", "amount": 10, "wagering_requirement": 0 });
        body[field] = value;
        body
    };
    for (path, body, pointer) in [
        ("add-lp", json!({ "player_id": "P001", "amount": 1, "source": "a\u{0}" }), "/source"),
        ("add-lp", json!({ "player_id": "P001", "amount": 1, "colour": "red" }), "/colour"),
        ("add-lp", json!({ "player_id": "P001" }), "/amount"),
        ("add-bonus", json!({ "player_id": "P001", "amount": 10 }), "/wagering_requirement"),
        ("add-bonus", bonus("amount", json!(0)), "/amount"),
        ("add-bonus", bonus("max_bet", json!(0)), "/max_bet"),
        ("add-bonus", bonus("expiry_hours", json!(0)), "/expiry_hours"),
        ("add-bonus", bonus("expiry_hours", json!(-1)), "/expiry_hours"),
        ("add-bonus", bonus("eligible_games", json!([])), "/eligible_games"),
        ("add-bonus", bonus("eligible_games", json!(["slots", ""])), "/eligible_games/1"),
        ("add-bonus", bonus("description", json!("x".repeat(501))), "/description"),
    ] {
        let problem = program.post(&format!("/api/wallet/{path}"), body.clone()).await.expect(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(program.test.text("SELECT count(*) FROM postings").await, "0");
}

#[tokio::test]
async fn unknown_and_blocked_players_get_nothing() {
    let program = Program::new().await;
    call(&program.router, "GET", "/api/wallet/P404", Some(&program.key), None).await.expect(404);
    program.post("/api/wallet/add-lp", json!({ "player_id": "P404", "amount": 1 })).await.expect(404);
    for (column, code) in [("is_blocked = true", "player_blocked"), ("is_blocked = false, is_active = false", "player_inactive")] {
        program.test.tamper(&format!("UPDATE players SET {column}")).await;
        let problem = program.post("/api/wallet/add-lp", lp(json!(1))).await.expect(409);
        assert_eq!(problem["type"], format!("urn:loyalty:problem:{code}"));
    }
    assert_eq!(program.test.text("SELECT count(*) FROM postings").await, "0");
}

#[tokio::test]
async fn only_operators_credit() {
    let program = Program::new().await;
    for role in ["viewer", "ingest"] {
        let key = api_key(&program.test.db(), role).await;
        call(&program.router, "POST", "/api/wallet/add-lp", Some(&key), Some(lp(json!(1)))).await.expect(403);
        call(&program.router, "POST", "/api/wallet/add-bonus", Some(&key), Some(lp(json!(1)))).await.expect(403);
    }
    call(&program.router, "POST", "/api/wallet/add-lp", None, Some(lp(json!(1)))).await.expect(401);
    call(&program.router, "GET", "/api/wallet/P001", None, None).await.expect(401);
}
