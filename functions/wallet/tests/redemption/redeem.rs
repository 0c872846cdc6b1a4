//! Redemptions: what they move and why they are refused.

use super::*;
use app::wallet::redemption::Redeemed;
use domain::money::Asset;
use serde_json::{Value, json};
use testing::Player;

#[tokio::test]
async fn cash_is_paid_by_the_cashier_who_is_told() {
    let program = program().await;
    offer(&program, cash(json!({}))).await;
    give(&program, Asset::Rp, 750, None).await;
    let mut answer = redeem(&program, "CASH_5").await.expect(200);
    let mut taken = |name: &str| answer.as_object_mut().unwrap().remove(name).unwrap();
    let (redemption_id, transaction_id) = (taken("redemption_id"), taken("transaction_id"));
    assert_eq!(
        answer.to_string(),
        concat!(
            r#"{"amount":5.00,"cost":500.00,"cost_currency":"RP","grant_id":null,"#,
            r#""message":"500.00 RP became 5.00 CASH; the RP balance is 250.00","#,
            r#""new_balance":250.00,"rule_id":"CASH_5","success":true,"target":"CASH"}"#
        )
    );
    assert_eq!(balances(&program).await, "250.00 0.00 0 0.00");
    let posted = format!(
        "SELECT string_agg(concat_ws(' ', asset, house, direction, amount, reference), ',') FROM postings
          WHERE transaction_id = '{}'",
        transaction_id.as_str().unwrap()
    );
    assert_eq!(
        program.text(&posted).await,
        format!("RP house:redemption -1 500.0000 {}", redemption_id.as_str().unwrap())
    );
    assert_eq!(
        program
            .text("SELECT string_agg(event_type || ' ' || payload, ',') FROM outbox")
            .await,
        format!(
            concat!(
                r#"redemption.created {{"amount":5.00,"cost":500.00,"cost_currency":"RP","player_id":"P001","#,
                r#""redemption_id":{redemption_id},"rule_id":"CASH_5","target":"CASH"}}"#
            ),
            redemption_id = redemption_id
        )
    );
    program.audit().await;
}

#[tokio::test]
async fn tickets_come_to_the_wallet() {
    let program = program().await;
    offer(
        &program,
        cash(json!({ "target": "TICKETS", "amount": 3, "cost": "99.50" })),
    )
    .await;
    give(&program, Asset::Rp, 100, None).await;
    assert_eq!(
        program.keyed(REDEEM, "k1", order("CASH_5")).await.expect(200)["amount"].to_string(),
        "3"
    );
    assert_eq!(balances(&program).await, "0.50 0.00 3 0.00");
    let posted = "SELECT string_agg(concat_ws(' ', asset, house, direction, amount, reference), ',' ORDER BY asset)
        FROM postings
                  WHERE kind = 'redemption'";
    assert_eq!(
        program.text(posted).await,
        "RP house:redemption -1 99.5000 key:k1,TICKETS house:redemption 1 3.0000 key:k1"
    );
    program.audit().await;
}

#[tokio::test]
async fn a_key_may_equal_the_id_of_an_earlier_redemption() {
    let program = program().await;
    offer(&program, cash(json!({}))).await;
    give(&program, Asset::Rp, 1_000, None).await;
    let first = redeem(&program, "CASH_5").await.expect(200);
    let id = first["redemption_id"].as_str().unwrap();
    let second = program.keyed(REDEEM, id, order("CASH_5")).await.expect(200);
    assert_ne!(second["redemption_id"], first["redemption_id"]);
    assert_eq!(balances(&program).await, "0.00 0.00 0 0.00");
    program.audit().await;
}

#[tokio::test]
async fn a_bonus_is_a_grant_under_the_terms_of_the_entry() {
    let program = program().await;
    let terms = json!({ "target": "BONUS", "amount": 10, "wagering_requirement": 3.1, "expiry_hours": 48,
        "eligible_games": ["slots"] });
    offer(&program, cash(terms)).await;
    give(&program, Asset::Rp, 500, None).await;
    let answer = redeem(&program, "CASH_5").await.expect(200);
    let wallet = wallet_of(&program).await;
    let grant = &wallet["grants"][0];
    assert_eq!(grant["id"], answer["grant_id"]);
    assert_eq!(
        ["status", "amount", "balance", "wagering_required"].map(|name| grant[name].to_string()),
        ["\"ACTIVE\"", "10.00", "10.00", "31.00"]
    );
    assert_eq!(
        program.text("SELECT terms ->> 'eligible_games' FROM grants").await,
        "[\"slots\"]"
    );
    assert_eq!(
        program.text("SELECT expires_at - issued_at FROM grants").await,
        "2 days"
    );
    assert_eq!(
        program
            .text("SELECT reward_type || ' ' || cost || ' ' || (rule_id IS NULL) FROM grants")
            .await,
        "BONUS_BALANCE 10.0000 true"
    );
    assert_eq!(
        program
            .text("SELECT payload ->> 'grant_id' FROM outbox WHERE event_type = 'redemption.created'")
            .await,
        answer["grant_id"]
    );
    program.audit().await;

    // A new price applies to later redemptions; this one keeps its terms.
    program
        .send("PUT", "/api/redemption/rules/CASH_5", Some(json!({ "cost": 1 })))
        .await
        .expect(200);
    assert_eq!(
        program
            .text("SELECT cost || ' ' || target || ' ' || amount FROM redemptions")
            .await,
        "500.0000 BONUS 10.0000"
    );
    assert_eq!(wallet_of(&program).await, wallet);
    program.audit().await;
}

#[tokio::test]
async fn a_bonus_without_wagering_converts_at_once() {
    let program = program().await;
    offer(&program, cash(json!({ "target": "BONUS" }))).await;
    give(&program, Asset::Rp, 500, None).await;
    redeem(&program, "CASH_5").await.expect(200);
    assert_eq!(balances(&program).await, "0.00 0.00 0 0.00");
    assert_eq!(
        program.text("SELECT status || ' ' || balance FROM grants").await,
        "COMPLETED 0.0000"
    );
    assert_eq!(
        program
            .text("SELECT payload ->> 'cash_amount' FROM outbox WHERE event_type = 'bonus.completed'")
            .await,
        "5.00"
    );
    program.audit().await;
}

#[tokio::test]
async fn who_may_not_redeem_is_refused_and_nothing_changes() {
    let program = program().await;
    offer(&program, cash(json!({}))).await;
    give(&program, Asset::Rp, 500, None).await;
    refusal(&program, json!({ "player_id": "P404", "rule_id": "CASH_5" }), 404).await;
    refusal(&program, order("OTHER"), 404).await;
    for (set, code) in [
        ("is_blocked = true", "player_blocked"),
        ("is_blocked = false, is_active = false", "player_inactive"),
        (
            "is_active = true, self_excluded_until = now() + interval '1 hour'",
            "player_self_excluded",
        ),
    ] {
        let count = if set.contains("is_active = false") { 0 } else { 1 };
        let script =
            format!("UPDATE players SET {set}; UPDATE stats SET value = {count} WHERE counter = 'players_active'");
        program.tamper(&script).await;
        assert_eq!(
            refusal(&program, order("CASH_5"), 409).await["type"],
            format!("urn:loyalty:problem:{code}")
        );
    }
    program
        .tamper("UPDATE players SET self_excluded_until = now() - interval '1 hour'")
        .await;
    redeem(&program, "CASH_5").await.expect(200);
}

#[tokio::test]
async fn what_stands_against_a_redemption_is_said_with_its_figures() {
    let program = program().await;
    give(&program, Asset::Rp, 600, None).await;
    for (rule_id, changes) in [
        ("INACTIVE", json!({ "is_active": false })),
        ("GOLD", json!({ "tier_min": "GOLD" })),
        (
            "SILVER",
            json!({ "tier_min": "SILVER", "cost": 100, "monthly_limit": 1 }),
        ),
        ("RICH", json!({ "balance_min": "500.01", "cost": 1 })),
        ("DEAR", json!({ "cost": "500.01" })),
        ("FOR_LP", json!({ "cost": 5, "cost_currency": "LP" })),
    ] {
        let mut rule = cash(changes);
        rule["rule_id"] = json!(rule_id);
        offer(&program, rule).await;
    }
    // The minimum applies to the balance before: 600 is enough, 500 is not.
    redeem(&program, "SILVER").await.expect(200);
    for (rule_id, expected) in [
        (
            "INACTIVE",
            json!({ "type": "urn:loyalty:problem:redemption_rule_inactive" }),
        ),
        (
            "GOLD",
            json!({ "type": "urn:loyalty:problem:tier_too_low", "tier": "SILVER", "tier_min": "GOLD" }),
        ),
        (
            "SILVER",
            json!({ "type": "urn:loyalty:problem:monthly_limit_reached", "used": 1, "limit": 1 }),
        ),
        (
            "RICH",
            json!({ "type": "urn:loyalty:problem:balance_below_minimum", "available": 500, "required": 500.01 }),
        ),
        (
            "DEAR",
            json!({ "type": "urn:loyalty:problem:insufficient_balance", "available": 500, "requested": 500.01 }),
        ),
        (
            "FOR_LP",
            json!({ "type": "urn:loyalty:problem:insufficient_balance", "available": 0, "requested": 5 }),
        ),
    ] {
        let problem = refusal(&program, order(rule_id), 409).await;
        for (name, value) in expected.as_object().unwrap() {
            match value {
                Value::Number(_) => assert_eq!(figure(&problem[name]), figure(value), "{rule_id} {name}"),
                text => assert_eq!(&problem[name], text, "{rule_id} {name}"),
            }
        }
    }
}

#[tokio::test]
async fn a_redemption_under_one_key_happens_once() {
    let program = program().await;
    offer(&program, cash(json!({ "cost": 100 }))).await;
    offer(&program, cash(json!({ "rule_id": "OTHER", "cost": 100 }))).await;
    give(&program, Asset::Rp, 500, None).await;
    let first = program.keyed(REDEEM, "k1", order("CASH_5")).await;
    assert_eq!(first.header("idempotency-replayed"), None);
    let again = program.keyed(REDEEM, "k1", order("CASH_5")).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(first.expect(200), again.expect(200));
    program.keyed(REDEEM, "k1", order("OTHER")).await.expect(422);
    assert_eq!(balances(&program).await, "400.00 0.00 0 0.00");
    assert_eq!(program.text("SELECT count(*) FROM redemptions").await, "1");
    // The key of a refused request can be used again.
    program.keyed(REDEEM, "k2", order("NONE")).await.expect(404);
    program.keyed(REDEEM, "k2", order("CASH_5")).await.expect(200);
    program.audit().await;
}

#[tokio::test]
async fn of_sixteen_at_once_the_one_that_can_be_paid_succeeds() {
    let program = program().await;
    offer(&program, cash(json!({}))).await;
    give(&program, Asset::Rp, 500, None).await;
    let mut refused = 0;
    for answer in redeem_at_once(&program, "CASH_5", 16).await {
        if answer.status != 200 {
            let problem = answer.expect(409);
            assert_eq!(
                (figure(&problem["available"]), figure(&problem["requested"])),
                (0.into(), 500.into())
            );
            refused += 1;
        }
    }
    assert_eq!(refused, 15);
    assert_eq!(balances(&program).await, "0.00 0.00 0 0.00");
    assert_eq!(program.text("SELECT count(*) FROM redemptions").await, "1");
    program.audit().await;
}

#[tokio::test]
async fn a_monthly_limit_holds_for_sixteen_at_once() {
    let program = program().await;
    offer(&program, cash(json!({ "cost": 10, "monthly_limit": 3 }))).await;
    give(&program, Asset::Rp, 500, None).await;
    let mut succeeded = 0;
    for answer in redeem_at_once(&program, "CASH_5", 16).await {
        match answer.status {
            200 => succeeded += 1,
            _ => assert_eq!(answer.expect(409)["limit"], 3),
        }
    }
    assert_eq!(succeeded, 3);
    assert_eq!(balances(&program).await, "470.00 0.00 0 0.00");
    program.audit().await;
}

#[tokio::test]
async fn a_month_is_a_calendar_month_of_the_program_time_zone() {
    let program = program().await;
    program
        .tamper("INSERT INTO settings VALUES ('time_zone', '\"Europe/Berlin\"', now(), 'test')")
        .await;
    offer(&program, cash(json!({ "cost": 10, "monthly_limit": 1 }))).await;
    give(&program, Asset::Rp, 500, None).await;
    let month = |redeemed: Redeemed| redeemed.redemption.month.to_string();
    // Midnight in Berlin is 22:00 UTC in summer and 23:00 UTC in winter.
    assert_eq!(
        month(redeem_at(&program, "CASH_5", "2026-11-30T22:59:59Z").await.unwrap()),
        "2026-11-01"
    );
    let refusal = redeem_at(&program, "CASH_5", "2026-11-30T22:59:59Z").await.unwrap_err();
    assert_eq!(
        (refusal.code, &refusal.data["used"]),
        ("monthly_limit_reached", &json!(1))
    );
    // Still November in UTC, already December for the program.
    assert_eq!(
        month(redeem_at(&program, "CASH_5", "2026-11-30T23:00:00Z").await.unwrap()),
        "2026-12-01"
    );
    redeem_at(&program, "CASH_5", "2026-12-31T22:59:59Z").await.unwrap_err();
    assert_eq!(
        month(redeem_at(&program, "CASH_5", "2026-12-31T23:00:00Z").await.unwrap()),
        "2027-01-01"
    );
    assert_eq!(
        month(redeem_at(&program, "CASH_5", "2027-06-30T22:00:00Z").await.unwrap()),
        "2027-07-01"
    );
    assert_eq!(balances(&program).await, "460.00 0.00 0 0.00");
    program.audit().await;
}

#[tokio::test]
async fn a_monthly_limit_is_of_one_entry_and_one_player() {
    let program = program().await;
    offer(&program, cash(json!({ "cost": 10, "monthly_limit": 1 }))).await;
    offer(
        &program,
        cash(json!({ "rule_id": "OTHER", "cost": 10, "monthly_limit": 1 })),
    )
    .await;
    give(&program, Asset::Rp, 500, None).await;
    Player::new("P002").insert(&program.db()).await;
    redeem(&program, "CASH_5").await.expect(200);
    redeem(&program, "OTHER").await.expect(200);
    redeem(&program, "CASH_5").await.expect(409);
    let of_another = refusal(&program, json!({ "player_id": "P002", "rule_id": "CASH_5" }), 409).await;
    assert_eq!(of_another["type"], "urn:loyalty:problem:insufficient_balance");
}

#[tokio::test]
async fn a_redemption_that_is_taken_back_leaves_room_under_its_limit() {
    let program = program().await;
    offer(
        &program,
        cash(json!({ "target": "TICKETS", "amount": 2, "monthly_limit": 1 })),
    )
    .await;
    give(&program, Asset::Rp, 500, Some("2999-01-01T00:00:00Z")).await;
    let redeemed = redeem(&program, "CASH_5").await.expect(200);
    assert_eq!(redeem(&program, "CASH_5").await.expect(409)["used"], 1);
    let reversal = json!({ "transaction_id": redeemed["transaction_id"], "reason": "the wrong event" });
    program.post("/api/wallet/reverse", reversal.clone()).await.expect(200);
    assert_eq!(balances(&program).await, "500.00 0.00 0 0.00");
    assert_eq!(
        program.text("SELECT reversed_at IS NOT NULL FROM redemptions").await,
        "true"
    );
    program.audit().await;

    redeem(&program, "CASH_5").await.expect(200);
    redeem(&program, "CASH_5").await.expect(409);
    program.post("/api/wallet/reverse", reversal).await.expect(409);
    program.audit().await;
}

#[tokio::test]
async fn a_redeemed_bonus_is_taken_back_while_it_is_unplayed() {
    let program = program().await;
    offer(&program, cash(json!({ "target": "BONUS", "wagering_requirement": 10 }))).await;
    give(&program, Asset::Rp, 500, None).await;
    let redeemed = redeem(&program, "CASH_5").await.expect(200);
    let reversal = json!({ "transaction_id": redeemed["transaction_id"], "reason": "changed their mind" });
    program.post("/api/wallet/reverse", reversal).await.expect(200);
    assert_eq!(balances(&program).await, "500.00 0.00 0 0.00");
    assert_eq!(program.text("SELECT status FROM grants").await, "CANCELLED");
    program.audit().await;
}

#[tokio::test]
async fn spending_loyalty_points_does_not_change_the_tier() {
    let program = program().await;
    offer(
        &program,
        cash(json!({ "cost_currency": "LP", "cost": 1000, "tier_min": "SILVER" })),
    )
    .await;
    program
        .post("/api/wallet/add-lp", json!({ "player_id": "P001", "amount": 1500 }))
        .await
        .expect(200);
    assert_eq!(redeem(&program, "CASH_5").await.expect(200)["cost_currency"], "LP");
    assert_eq!(balances(&program).await, "0.00 500.00 0 0.00");
    assert_eq!(program.text("SELECT tier FROM players").await, "SILVER");
    assert_eq!(program.text("SELECT count(*) FROM tier_history").await, "0");
    program.audit().await;
}

#[tokio::test]
async fn points_are_taken_from_the_lot_that_expires_first() {
    let program = program().await;
    offer(&program, cash(json!({ "cost": 250 }))).await;
    give(&program, Asset::Rp, 100, None).await;
    give(&program, Asset::Rp, 100, Some("2999-01-01T00:00:00Z")).await;
    give(&program, Asset::Rp, 100, Some("2998-01-01T00:00:00Z")).await;
    redeem(&program, "CASH_5").await.expect(200);
    let lots = "SELECT string_agg(version || ':' || trim_scale(remaining), ' ' ORDER BY version) FROM point_lots";
    assert_eq!(program.text(lots).await, "1:50 2:0 3:0");
    program.audit().await;
}

#[tokio::test]
async fn points_that_have_expired_pay_nothing() {
    let program = program().await;
    offer(&program, cash(json!({}))).await;
    give(&program, Asset::Rp, 100, None).await;
    give(&program, Asset::Rp, 500, Some("2999-01-01T00:00:00Z")).await;
    let refusal = redeem_at(&program, "CASH_5", "2999-01-01T00:00:00Z").await.unwrap_err();
    assert_eq!(
        (refusal.code, figure(&refusal.data["available"])),
        ("insufficient_balance", 100.into())
    );
    redeem_at(&program, "CASH_5", "2998-12-31T23:59:59Z").await.unwrap();
    program.audit().await;
}

#[tokio::test]
async fn only_operators_redeem() {
    let program = program().await;
    offer(&program, cash(json!({}))).await;
    give(&program, Asset::Rp, 500, None).await;
    for role in ["viewer", "ingest"] {
        program
            .send_as(role, "POST", REDEEM, Some(order("CASH_5")))
            .await
            .expect(403);
    }
    program
        .send_unknown("POST", REDEEM, Some(order("CASH_5")))
        .await
        .expect(401);
    program
        .send_as("operator", "POST", REDEEM, Some(order("CASH_5")))
        .await
        .expect(200);
    for (body, pointer) in [
        (json!({ "player_id": "P001" }), "/rule_id"),
        (json!({ "player_id": "P001", "rule_id": "a b" }), "/rule_id"),
        (
            json!({ "player_id": "P001", "rule_id": "CASH_5", "amount": 1 }),
            "/amount",
        ),
    ] {
        assert_eq!(refusal(&program, body, 422).await["errors"][0]["pointer"], pointer);
    }
}
