//! `/api/wallet` through the router, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod bonuses;
mod keys;
mod walls;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};
use testing::{Player, TestApi, send, snapshot};

/// With player P001.
async fn program() -> TestApi {
    let api = TestApi::new("operator", wallet::router).await;
    api.subscribe().await;
    Player::new("P001").deposited("100").insert(&api.db()).await;
    api
}

async fn wallet_of(api: &TestApi) -> Value {
    api.get("/api/wallet/P001").await
}

fn lp(amount: Value) -> Value {
    json!({ "player_id": "P001", "amount": amount, "source": "crm", "description": "sorry" })
}

#[tokio::test]
async fn an_empty_wallet_shows_zeros() {
    let program = program().await;
    insta::assert_snapshot!("empty_wallet", snapshot(&wallet_of(&program).await));
}

#[tokio::test]
async fn points_are_credited_with_their_reason() {
    let program = program().await;
    let receipt = program.post("/api/wallet/add-lp", lp(json!(150.5))).await.expect(200);
    assert_eq!(
        (&receipt["success"], receipt["new_balance"].to_string()),
        (&json!(true), "150.50".into())
    );
    assert!(receipt["transaction_id"].is_string() && receipt["message"].is_string());
    let wallet = wallet_of(&program).await;
    assert_eq!(wallet["lp_balance"].to_string(), "150.50");
    assert_eq!(
        (
            wallet["lots"][0]["asset"].as_str(),
            wallet["lots"][0]["remaining"].to_string()
        ),
        (Some("LP"), "150.50".into())
    );
    assert_eq!(
        program
            .text("SELECT reason || ' ' || kind || ' ' || house FROM postings")
            .await,
        "crm: sorry manual_credit house:issuance"
    );
    program.audit().await;
}

#[tokio::test]
async fn zero_points_move_nothing() {
    let program = program().await;
    let receipt = program.post("/api/wallet/add-lp", lp(json!(0))).await.expect(200);
    assert_eq!(
        (&receipt["transaction_id"], receipt["new_balance"].to_string()),
        (&Value::Null, "0.00".into())
    );
    assert_eq!(program.text("SELECT count(*) FROM postings").await, "0");
}

#[tokio::test]
async fn hostile_amounts_and_texts_are_refused_with_the_place() {
    let program = program().await;
    let raw = |amount: &str| format!("{{\"player_id\": \"P001\", \"amount\": {amount}}}");
    for amount in [
        "-1",
        "1e400",
        "9223372036854775808",
        "0.0000000000000000001",
        "1.000000000000000000000000000001",
        "NaN",
        "Infinity",
        "-Infinity",
        "\"NaN\"",
        "\"Infinity\"",
        "null",
        "true",
    ] {
        let request = Request::post("/api/wallet/add-lp")
            .header("authorization", format!("Bearer {}", program.key()))
            .header("content-type", "application/json")
            .body(Body::from(raw(amount)))
            .unwrap();
        let problem = send(program.router(), request).await.expect(422);
        assert_eq!(problem["errors"][0]["pointer"], "/amount", "{amount}");
    }
    let bonus = |field: &str, value: Value| {
        let mut body = json!({ "player_id": "P001", "amount": 10, "wagering_requirement": 0 });
        body[field] = value;
        body
    };
    for (path, body, pointer) in [
        (
            "add-lp",
            json!({ "player_id": "P001", "amount": 1, "source": "a\u{0}" }),
            "/source",
        ),
        (
            "add-lp",
            json!({ "player_id": "P001", "amount": 1, "colour": "red" }),
            "/colour",
        ),
        ("add-lp", json!({ "player_id": "P001" }), "/amount"),
        (
            "add-bonus",
            json!({ "player_id": "P001", "amount": 10 }),
            "/wagering_requirement",
        ),
        ("add-bonus", bonus("amount", json!(0)), "/amount"),
        ("add-bonus", bonus("max_bet", json!(0)), "/max_bet"),
        ("add-bonus", bonus("expiry_hours", json!(0)), "/expiry_hours"),
        ("add-bonus", bonus("expiry_hours", json!(-1)), "/expiry_hours"),
        ("add-bonus", bonus("eligible_games", json!([])), "/eligible_games"),
        (
            "add-bonus",
            bonus("eligible_games", json!(["slots", ""])),
            "/eligible_games/1",
        ),
        (
            "add-bonus",
            bonus("description", json!("x".repeat(501))),
            "/description",
        ),
    ] {
        let problem = program
            .post(&format!("/api/wallet/{path}"), body.clone())
            .await
            .expect(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{body}");
    }
    assert_eq!(program.text("SELECT count(*) FROM postings").await, "0");
}

#[tokio::test]
async fn unknown_and_blocked_players_get_nothing() {
    let program = program().await;
    program.send("GET", "/api/wallet/P404", None).await.expect(404);
    program
        .post("/api/wallet/add-lp", json!({ "player_id": "P404", "amount": 1 }))
        .await
        .expect(404);
    for (column, code) in [
        ("is_blocked = true", "player_blocked"),
        ("is_blocked = false, is_active = false", "player_inactive"),
    ] {
        program.tamper(&format!("UPDATE players SET {column}")).await;
        let problem = program.post("/api/wallet/add-lp", lp(json!(1))).await.expect(409);
        assert_eq!(problem["type"], format!("urn:loyalty:problem:{code}"));
    }
    assert_eq!(program.text("SELECT count(*) FROM postings").await, "0");
}

#[tokio::test]
async fn only_operators_credit() {
    let program = program().await;
    for role in ["viewer", "ingest"] {
        program
            .send_as(role, "POST", "/api/wallet/add-lp", Some(lp(json!(1))))
            .await
            .expect(403);
        program
            .send_as(role, "POST", "/api/wallet/add-bonus", Some(lp(json!(1))))
            .await
            .expect(403);
    }
    program
        .send_unknown("POST", "/api/wallet/add-lp", Some(lp(json!(1))))
        .await
        .expect(401);
    program.send_unknown("GET", "/api/wallet/P001", None).await.expect(401);
}

fn deduct(currency: &str, amount: Value) -> Value {
    json!({ "player_id": "P001", "currency": currency, "amount": amount, "description": "correction" })
}

#[tokio::test]
async fn points_are_deducted_from_the_lot_that_expires_first() {
    let program = program().await;
    for (amount, expires) in [
        (100, "NULL"),
        (50, "now() + interval '2 days'"),
        (70, "now() + interval '1 day'"),
    ] {
        program.post("/api/wallet/add-lp", lp(json!(amount))).await.expect(200);
        program
            .tamper(&format!(
                "UPDATE point_lots SET expires_at = {expires} WHERE version = (SELECT max(version) FROM point_lots)"
            ))
            .await;
    }
    let receipt = program
        .post("/api/wallet/deduct", deduct("LP", json!("90.00")))
        .await
        .expect(200);
    assert_eq!(
        (&receipt["success"], receipt["new_balance"].to_string()),
        (&json!(true), "130.00".into())
    );
    let remaining = "SELECT string_agg(version || ': ' || round(remaining), ', ' ORDER BY version) FROM point_lots";
    assert_eq!(program.text(remaining).await, "1: 100, 2: 30, 3: 0");

    let body = json!({ "transaction_id": receipt["transaction_id"], "reason": "was right" });
    let reversal = program.post("/api/wallet/reverse", body.clone()).await.expect(200);
    assert_eq!(reversal["new_balance"].to_string(), "220.00");
    assert_eq!(program.text(remaining).await, "1: 100, 2: 50, 3: 70");
    let again = program.post("/api/wallet/reverse", body).await.expect(409);
    assert_eq!(again["type"], "urn:loyalty:problem:already_reversed");
    program.audit().await;
}

#[tokio::test]
async fn points_that_have_expired_are_gone_whether_or_not_they_were_swept() {
    let program = program().await;
    program.post("/api/wallet/add-lp", lp(json!(100))).await.expect(200);
    program
        .tamper("UPDATE point_lots SET expires_at = now() - interval '1 second'")
        .await;
    program.post("/api/wallet/add-lp", lp(json!(10))).await.expect(200);
    let problem = program
        .post("/api/wallet/deduct", deduct("LP", json!(11)))
        .await
        .expect(409);
    assert_eq!(
        (problem["available"].to_string(), problem["requested"].to_string()),
        ("10.00".into(), "11.00".into())
    );
    // Nor did the refused request expire anything.
    assert_eq!(wallet_of(&program).await["lp_balance"].to_string(), "110.00");
    program
        .post("/api/wallet/deduct", deduct("LP", json!(10)))
        .await
        .expect(200);
    assert_eq!(wallet_of(&program).await["lp_balance"].to_string(), "0.00");
    assert_eq!(
        program
            .text("SELECT count(*) FROM outbox WHERE event_type = 'points.expired'")
            .await,
        "1"
    );
    program.audit().await;
}

#[tokio::test]
async fn what_cannot_be_deducted_is_refused_with_its_figures() {
    let program = program().await;
    program.post("/api/wallet/add-lp", lp(json!(5))).await.expect(200);
    for (body, status, what) in [
        (deduct("LP", json!("5.01")), 409, "insufficient_balance"),
        (deduct("RP", json!(1)), 409, "insufficient_balance"),
        (deduct("BONUS", json!(1)), 409, "insufficient_balance"),
        (deduct("TICKETS", json!(1)), 409, "insufficient_balance"),
        (deduct("LP", json!(0)), 422, "/amount"),
        (deduct("LP", json!(-1)), 422, "/amount"),
        (deduct("LP", json!("0.001")), 422, "/amount"),
        (deduct("TICKETS", json!("0.5")), 422, "/amount"),
        (deduct("LP", json!("Infinity")), 422, "/amount"),
        (deduct("CASH", json!(1)), 422, "/currency"),
        (json!({ "player_id": "P001", "currency": "LP" }), 422, "/amount"),
        (
            json!({ "player_id": "P404", "currency": "LP", "amount": 1 }),
            404,
            "about:blank",
        ),
    ] {
        let problem = program.post("/api/wallet/deduct", body.clone()).await.expect(status);
        let pointer = problem["errors"][0]["pointer"].as_str().unwrap_or_default();
        assert!(
            problem["type"].as_str().unwrap().ends_with(what) || pointer == what,
            "{body} {problem}"
        );
    }
    program.tamper("UPDATE players SET is_blocked = true").await;
    let problem = program
        .post("/api/wallet/deduct", deduct("LP", json!(1)))
        .await
        .expect(409);
    assert_eq!(problem["type"], "urn:loyalty:problem:player_blocked");
    assert_eq!(wallet_of(&program).await["lp_balance"].to_string(), "5.00");
}

#[tokio::test]
async fn a_wrong_credit_is_taken_back_as_long_as_it_is_there() {
    let program = program().await;
    let credit = program.post("/api/wallet/add-lp", lp(json!(30))).await.expect(200);
    program
        .post("/api/wallet/deduct", deduct("LP", json!(1)))
        .await
        .expect(200);
    let body = json!({ "transaction_id": credit["transaction_id"], "reason": "mistake" });
    let problem = program.post("/api/wallet/reverse", body.clone()).await.expect(409);
    assert_eq!(
        (problem["available"].to_string(), problem["requested"].to_string()),
        ("29.00".into(), "30.00".into())
    );
    program.post("/api/wallet/add-lp", lp(json!(5))).await.expect(200);
    // Corrections are possible for blocked players too.
    program.tamper("UPDATE players SET is_blocked = true").await;
    let reversal = program
        .keyed("/api/wallet/reverse", "r1", body.clone())
        .await
        .expect(200);
    assert_eq!(reversal["new_balance"].to_string(), "4.00");
    let replay = program.keyed("/api/wallet/reverse", "r1", body).await;
    assert_eq!(
        (replay.header("idempotency-replayed"), replay.status),
        (Some("true"), 200)
    );

    let reversal_of_reversal = json!({ "transaction_id": reversal["transaction_id"], "reason": "again" });
    let problem = program
        .post("/api/wallet/reverse", reversal_of_reversal)
        .await
        .expect(409);
    assert_eq!(problem["type"], "urn:loyalty:problem:not_reversible");
    let unknown = json!({ "transaction_id": "01900000-0000-7000-8000-000000000000", "reason": "x" });
    program.post("/api/wallet/reverse", unknown).await.expect(404);
    let problem = program
        .post(
            "/api/wallet/reverse",
            json!({ "transaction_id": reversal["transaction_id"], "reason": " " }),
        )
        .await
        .expect(422);
    assert_eq!(problem["errors"][0]["pointer"], "/reason");
    program.audit().await;
}

#[tokio::test]
async fn points_of_which_some_have_expired_are_not_taken_back() {
    let program = program().await;
    let credit = program.post("/api/wallet/add-lp", lp(json!(30))).await.expect(200);
    program
        .tamper("UPDATE point_lots SET expires_at = now() - interval '1 second'")
        .await;
    program.post("/api/wallet/add-lp", lp(json!(100))).await.expect(200);
    program
        .post("/api/wallet/deduct", deduct("LP", json!(1)))
        .await
        .expect(200);
    let body = json!({ "transaction_id": credit["transaction_id"], "reason": "mistake" });
    let problem = program.post("/api/wallet/reverse", body).await.expect(409);
    assert_eq!(problem["type"], "urn:loyalty:problem:not_reversible");
    assert_eq!(wallet_of(&program).await["lp_balance"].to_string(), "99.00");
}

#[tokio::test]
async fn the_runtime_role_can_only_add_postings() {
    let program = program().await;
    program.post("/api/wallet/add-lp", lp(json!(5))).await.expect(200);
    let client = program.db().client().await.unwrap();
    for statement in [
        "UPDATE postings SET amount = 6",
        "DELETE FROM postings",
        "TRUNCATE postings",
    ] {
        let refusal = client.batch_execute(statement).await.unwrap_err();
        assert_eq!(refusal.code().map(|code| code.code()), Some("42501"), "{statement}"); // insufficient privilege
    }
    // Triggers stop the owner.
    let owner = program.owner().client().await.unwrap();
    for statement in [
        "UPDATE postings SET amount = 6",
        "DELETE FROM postings",
        "TRUNCATE postings",
    ] {
        let refusal = owner.batch_execute(statement).await.unwrap_err();
        assert_eq!(refusal.code().map(|code| code.code()), Some("23000"), "{statement}");
    }
    assert_eq!(wallet_of(&program).await["lp_balance"].to_string(), "5.00");
}

#[tokio::test]
async fn a_key_ends_by_the_clock_of_the_router() {
    let program = program().await;
    program.clock().set("2026-07-01T12:00:00Z".parse().unwrap());
    program
        .tamper("UPDATE api_keys SET expires_at = '2026-07-01T13:00:00Z'")
        .await;
    wallet_of(&program).await;
    program.clock().set("2026-07-01T13:00:00Z".parse().unwrap());
    program.send("GET", "/api/wallet/P001", None).await.expect(401);
}
