//! Bonuses by hand: granted, forfeited, taken back and expired.

use super::*;

#[tokio::test]
async fn a_bonus_is_granted_with_its_terms() {
    let program = program().await;
    let body = json!({
        "player_id": "P001", "amount": 100, "wagering_requirement": 1000, "expiry_hours": 48, "max_bet": "5.00",
        "eligible_games": ["slots"], "description": "welcome back",
    });
    let receipt = program.post("/api/wallet/add-bonus", body).await.expect(200);
    assert_eq!(receipt["new_balance"].to_string(), "100.00");
    let wallet = wallet_of(&program).await;
    let grant = &wallet["grants"][0];
    assert_eq!(grant["id"], receipt["grant_id"]);
    assert_eq!(
        [
            &grant["amount"],
            &grant["balance"],
            &grant["wagering_required"],
            &grant["wagering_completed"]
        ]
        .map(Value::to_string),
        ["100.00", "100.00", "1000.00", "0.00"]
    );
    assert_eq!((&grant["status"], &grant["rule_id"]), (&json!("ACTIVE"), &Value::Null));
    assert_eq!(
        program.text("SELECT terms -> 'eligible_games' FROM grants").await,
        "[\"slots\"]"
    );
    assert_eq!(
        program.text("SELECT expires_at - issued_at FROM grants").await,
        "2 days"
    );
    program.audit().await;
}

fn bonus(amount: i64) -> Value {
    json!({ "player_id": "P001", "amount": amount, "wagering_requirement": 1000, "expiry_hours": 48 })
}

#[tokio::test]
async fn a_bonus_is_forfeited_with_a_reason_and_its_history_says_so() {
    let program = program().await;
    let grant_id = program.post("/api/wallet/add-bonus", bonus(100)).await.expect(200)["grant_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/grants/{grant_id}/forfeit");
    assert_eq!(
        program.post(&path, json!({})).await.expect(422)["errors"][0]["pointer"],
        "/reason"
    );
    let receipt = program
        .keyed(&path, "f1", json!({ "reason": "abuse" }))
        .await
        .expect(200);
    assert_eq!(
        (&receipt["status"], receipt["new_balance"].to_string()),
        (&json!("FORFEITED"), "0.00".into())
    );
    assert_eq!(
        program
            .keyed(&path, "f1", json!({ "reason": "abuse" }))
            .await
            .expect(200),
        receipt
    );
    assert_eq!(
        program.post(&path, json!({ "reason": "abuse" })).await.expect(409)["type"],
        "urn:loyalty:problem:grant_closed"
    );

    let grant = program.get(&format!("/api/grants/{grant_id}")).await;
    assert_eq!(
        (&grant["status"], &grant["status_reason"], &grant["player_id"]),
        (&json!("FORFEITED"), &json!("abuse"), &json!("P001"))
    );
    let step = &grant["history"][0];
    assert_eq!(
        (&step["from"], &step["to"], &step["reason"]),
        (&json!("ACTIVE"), &json!("FORFEITED"), &json!("abuse"))
    );
    let unknown = "/api/grants/01900000-0000-7000-8000-000000000000";
    program.send("GET", unknown, None).await.expect(404);
    program
        .post(&format!("{unknown}/forfeit"), json!({ "reason": "x" }))
        .await
        .expect(404);
    program.audit().await;
}

#[tokio::test]
async fn only_what_waits_is_activated_and_no_body_is_needed() {
    let program = program().await;
    let grant_id = program.post("/api/wallet/add-bonus", bonus(100)).await.expect(200)["grant_id"]
        .as_str()
        .unwrap()
        .to_owned();
    let path = format!("/api/grants/{grant_id}/activate");
    let problem = program.send("POST", &path, None).await.expect(409);
    assert_eq!(problem["type"], "urn:loyalty:problem:grant_not_pending");
}

#[tokio::test]
async fn an_unplayed_bonus_is_taken_back_and_a_played_one_is_not() {
    let program = program().await;
    let first = program.post("/api/wallet/add-bonus", bonus(100)).await.expect(200);
    let second = program.post("/api/wallet/add-bonus", bonus(50)).await.expect(200);
    // Ten of the first are deducted manually.
    program
        .post("/api/wallet/deduct", deduct("BONUS", json!(10)))
        .await
        .expect(200);
    let reverse = |receipt: &Value| json!({ "transaction_id": receipt["transaction_id"], "reason": "mistake" });
    let problem = program.post("/api/wallet/reverse", reverse(&first)).await.expect(409);
    assert_eq!(problem["type"], "urn:loyalty:problem:not_reversible");
    assert_eq!(
        program.post("/api/wallet/reverse", reverse(&second)).await.expect(200)["new_balance"].to_string(),
        "90.00"
    );
    let statuses = "SELECT string_agg(status || ' ' || round(balance), ', ' ORDER BY grant_id) FROM grants";
    assert_eq!(program.text(statuses).await, "ACTIVE 90, CANCELLED 0");
    program.audit().await;
}

#[tokio::test]
async fn bonus_money_is_deducted_from_the_bonuses_that_stakes_feed_first() {
    let program = program().await;
    program.post("/api/wallet/add-bonus", bonus(100)).await.expect(200);
    let sooner = json!({ "player_id": "P001", "amount": 50, "wagering_requirement": 10, "expiry_hours": 1 });
    program.post("/api/wallet/add-bonus", sooner).await.expect(200);
    let receipt = program
        .post("/api/wallet/deduct", deduct("BONUS", json!(60)))
        .await
        .expect(200);
    assert_eq!(receipt["new_balance"].to_string(), "90.00");
    let statuses = "SELECT string_agg(status || ' ' || round(balance), ', ' ORDER BY grant_id) FROM grants";
    assert_eq!(program.text(statuses).await, "ACTIVE 90, DEPLETED 0");
    program.audit().await;
}

#[tokio::test]
async fn a_bonus_is_expired_when_its_hours_are_over() {
    let program = program().await;
    program.clock().set("2026-07-01T12:00:00Z".parse().unwrap());
    let bonus = json!({ "player_id": "P001", "amount": 100, "wagering_requirement": 1000, "expiry_hours": 48 });
    program.post("/api/wallet/add-bonus", bonus).await.expect(200);
    let grant_id = program.text("SELECT grant_id FROM grants").await;
    let forfeit = format!("/api/grants/{grant_id}/forfeit");

    program.clock().set("2026-07-03T11:59:00Z".parse().unwrap());
    let deduction = json!({ "player_id": "P001", "currency": "BONUS", "amount": 1 });
    let receipt = program.post("/api/wallet/deduct", deduction.clone()).await.expect(200);
    assert_eq!(receipt["new_balance"].to_string(), "99.00");

    program.clock().set("2026-07-03T12:01:00Z".parse().unwrap());
    program.post("/api/wallet/deduct", deduction).await.expect(409);
    program.post(&forfeit, json!({ "reason": "late" })).await.expect(409);
    program.audit().await;
}
