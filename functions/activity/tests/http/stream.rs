//! The stream: totals, days, points, and the rules it triggers.

use crate::{event, program, program_with, record, stake, statuses, wallet};
use serde_json::{Value, json};
use testing::{Player, TestApi};

fn of(player_id: &str, mut event: Value) -> Value {
    event["player_id"] = json!(player_id);
    event
}

fn payout(event_id: &str, round: &str, amount: &str) -> Value {
    event(
        event_id,
        json!({ "type": "PAYOUT", "amount": amount, "round_id": round }),
    )
}

fn bet(event_id: &str, round: &str, amount: &str) -> Value {
    event(
        event_id,
        json!({ "type": "STAKE", "amount": amount, "game": "slots", "round_id": round }),
    )
}

/// Hours from now; negative for the past.
fn at(hours: i64, mut event: Value) -> Value {
    event["occurred_at"] = json!((lambda::context().now + jiff::SignedDuration::from_hours(hours)).to_string());
    event
}

async fn totals(program: &TestApi) -> String {
    program.text(
            "SELECT concat_ws(' ', round(total_deposited, 2), round(total_wagered, 2), round(total_won, 2), round(total_withdrawn, 2),
               session_count, playtime_hours, total_bets) FROM player_totals WHERE player_id = 'P001'",
        )
        .await
}

async fn days(program: &TestApi) -> String {
    program.text(
            "SELECT string_agg(concat_ws(' ', round(deposited, 2), round(wagered, 2), round(won, 2), round(withdrawn, 2)), ', ' ORDER BY day)
             FROM player_daily WHERE player_id = 'P001'",
        )
        .await
}

async fn lp(program: &TestApi) -> String {
    wallet(program).get("/api/wallet/P001").await["lp_balance"].to_string()
}

#[tokio::test]
async fn a_player_who_stakes_5000_earns_500_points_and_a_void_takes_them_back_once() {
    let program = program().await;
    let results = record(&program, json!([stake("e1", "5000", "slots")])).await;
    assert_eq!(results[0]["outcome"]["lp"].to_string(), "500.00");
    assert_eq!(lp(&program).await, "500.00");
    let void = event("v1", json!({ "type": "VOID", "voids": "e1" }));
    let results = record(&program, json!([void, void])).await;
    assert_eq!(statuses(&results), ["accepted", "duplicate"]);
    assert_eq!(results[0]["outcome"]["lp"].to_string(), "-500.00");
    assert_eq!(lp(&program).await, "0.00");
    assert_eq!(
        program.text("SELECT sum(lp_earned)::text FROM player_daily").await,
        "0.0000"
    );
    program.audit().await;
}

#[tokio::test]
async fn a_void_takes_back_the_points_that_are_left_and_the_rest_is_owed() {
    let program = program().await;
    record(&program, json!([stake("e1", "5000", "slots")])).await;
    let spend = json!({ "player_id": "P001", "currency": "LP", "amount": 450 });
    wallet(&program).post("/api/wallet/deduct", spend).await.expect(200);
    let results = record(&program, json!([event("v1", json!({ "type": "VOID", "voids": "e1" }))])).await;
    assert_eq!(results[0]["outcome"]["lp"].to_string(), "-500.00");
    assert_eq!(results[0]["outcome"]["lp_overspent"].to_string(), "450.00");
    assert_eq!(lp(&program).await, "0.00");
    program.audit().await;
}

#[tokio::test]
async fn a_tier_reached_in_the_middle_of_a_batch_multiplies_from_the_next_day() {
    let program = program().await;
    // 999.90, then 0.10 reaches SILVER, then 100 at the day's 0.1.
    let results = record(
        &program,
        json!([
            stake("e1", "9999", "slots"),
            stake("e2", "1", "slots"),
            stake("e3", "100", "slots")
        ]),
    )
    .await;
    let lp: Vec<String> = results
        .iter()
        .map(|result| result["outcome"]["lp"].to_string())
        .collect();
    assert_eq!(lp, ["999.90", "0.10", "10.00"]);
    assert_eq!(program.text("SELECT tier FROM players").await, "SILVER");
    assert_eq!(
        program
            .text("SELECT from_tier || ' ' || to_tier FROM tier_history")
            .await,
        "BRONZE SILVER"
    );
    assert_eq!(
        program
            .text("SELECT payload ->> 'to' FROM outbox WHERE event_type = 'tier.changed'")
            .await,
        "SILVER"
    );
    // The points of a day's play are one lot.
    assert_eq!(
        program
            .text("SELECT count(*) || ' ' || round(sum(remaining), 2) FROM point_lots")
            .await,
        "1 1010.00"
    );
    program.audit().await;
}

#[tokio::test]
async fn every_event_moves_the_totals_and_its_day() {
    let program = program().await;
    let results = record(
        &program,
        json!([
            event("d1", json!({ "type": "DEPOSIT", "amount": "250.50" })),
            bet("s1", "r1", "40"),
            bet("s2", "r2", "10"),
            payout("p1", "r1", "75.25"),
            event("v1", json!({ "type": "VOID", "voids": "s2" })),
            event("w1", json!({ "type": "WITHDRAWAL", "amount": 20 })),
            event("x1", json!({ "type": "SESSION", "minutes": 90 })),
            event("x2", json!({ "type": "SESSION", "minutes": 1 })),
            event("l1", json!({ "type": "LOGIN" })),
            event("k1", json!({ "type": "KYC_COMPLETED" })),
            event("q1", json!({ "type": "PROFILE", "value": 80 })),
        ]),
    )
    .await;
    assert_eq!(statuses(&results), ["accepted"; 11], "{results:?}");
    // The player came with 100.00 deposited today. 1.5 hours and a minute.
    assert_eq!(totals(&program).await, "350.50 40.00 75.25 20.00 2 1.5167 1");
    assert_eq!(days(&program).await, "350.50 40.00 75.25 20.00");
    let player = "SELECT concat_ws(' ', kyc_completed, profile_depth, last_activity_at IS NOT NULL) FROM players";
    assert_eq!(program.text(player).await, "t 80.00 t");
    let segment = "SELECT segment FROM player_segments";
    assert_eq!(program.text(segment).await, "NEW");
    program.audit().await;
}

#[tokio::test]
async fn a_void_takes_back_on_the_day_of_what_it_voids() {
    let program = program().await;
    record(&program, json!([at(-72, bet("s1", "r1", "40")), bet("s2", "r2", "5")])).await;
    assert_eq!(days(&program).await, "0.00 40.00 0.00 0.00, 100.00 5.00 0.00 0.00");
    record(&program, json!([event("v1", json!({ "type": "VOID", "voids": "s1" }))])).await;
    assert_eq!(days(&program).await, "0.00 0.00 0.00 0.00, 100.00 5.00 0.00 0.00");
    assert_eq!(totals(&program).await, "100.00 5.00 0.00 0.00 0 0.0000 1");
    program.audit().await;
}

#[tokio::test]
async fn a_void_that_comes_first_waits_for_its_event() {
    let program = program().await;
    let results = record(
        &program,
        json!([
            event("v1", json!({ "type": "VOID", "voids": "s1" })),
            bet("s1", "r1", "40")
        ]),
    )
    .await;
    assert_eq!(statuses(&results), ["accepted", "accepted"]);
    assert_eq!(results[1]["outcome"]["remark"], "VOIDED");
    assert_eq!(totals(&program).await, "100.00 0.00 0.00 0.00 0 0.0000");
    assert_eq!(lp(&program).await, "0.00");
    let again = record(&program, json!([event("v2", json!({ "type": "VOID", "voids": "s1" }))])).await;
    assert_eq!(again[0]["reason"]["code"], "already_voided");
    program.audit().await;
}

#[tokio::test]
async fn what_is_wrong_is_rejected_alone_with_its_reason() {
    let program = program().await;
    let results = record(
        &program,
        json!([
            of("P404", stake("e1", "1", "slots")),
            event("e2", json!({ "type": "DEPOSIT", "amount": -1 })),
            event("e3", json!({ "type": "DEPOSIT" })),
            at(25, stake("e4", "1", "slots")),
            at(-31 * 24, stake("e5", "1", "slots")),
            payout("e6", "nobody staked here", "1"),
            event("e7", json!({ "type": "VOID", "voids": "d1" })),
            event("e8", json!({ "type": "SESSION", "minutes": 1441 })),
            event("e9", json!({ "type": "PROFILE", "value": 100.01 })),
            event("e10", json!({ "type": "LOGIN", "amount": 1 })),
            event("d1", json!({ "type": "DEPOSIT", "amount": 1 })),
            event("d1", json!({ "type": "DEPOSIT", "amount": 2 })),
            event("e11", json!({ "type": "VOID", "voids": "d1" })),
            at(23, stake("e12", "1", "slots")),
        ]),
    )
    .await;
    let reason = |result: &Value| {
        let reason = &result["reason"];
        let at = reason["errors"][0]["pointer"]
            .as_str()
            .map(|pointer| format!("{pointer} {}", reason["errors"][0]["code"].as_str().unwrap()));
        at.or(reason["code"].as_str().map(str::to_owned))
            .unwrap_or_else(|| result["status"].as_str().unwrap().to_owned())
    };
    let expected = [
        "not_found",
        "/amount range",
        "/amount required",
        "/occurred_at occurred_in_future",
        "/occurred_at too_old",
        "accepted",
        "accepted",
        "/minutes range",
        "/value range",
        "/amount unknown",
        "accepted",
        "event_id_reused",
        "already_voided",
        "/occurred_at occurred_in_future",
    ];
    assert_eq!(results.iter().map(reason).collect::<Vec<_>>(), expected, "{results:#?}");
    // The payout waits for a stake, and the deposit was voided before it came.
    assert_eq!(results[5]["outcome"]["remark"], "WAITING");
    assert_eq!(totals(&program).await, "100.00 0.00 0.00 0.00 0 0.0000");
    program.audit().await;
}

#[tokio::test]
async fn deposits_kyc_and_profile_call_rules_through_the_queue_once() {
    let program = program().await;
    let events = json!([
        event("d1", json!({ "type": "DEPOSIT", "amount": 50 })),
        event("k1", json!({ "type": "KYC_COMPLETED" })),
        event("k2", json!({ "type": "KYC_COMPLETED" })),
        event("q1", json!({ "type": "PROFILE", "value": 80 })),
        stake("s1", "10", "slots"),
    ]);
    record(&program, events.clone()).await;
    record(&program, events).await;
    let triggers = "SELECT string_agg(trigger || ' ' || trigger_id || coalesce(' ' || round(amount, 2), ''), ', ' ORDER BY trigger) FROM reward_triggers";
    assert_eq!(
        program.text(triggers).await,
        "DEPOSIT d1 50.00, KYC_COMPLETED k1, PROFILE q1"
    );
    let sent = program.cloud().requests();
    assert_eq!(sent.len(), 1);
    let batch_id = program
        .text("SELECT DISTINCT batch_id::text FROM reward_triggers")
        .await;
    assert!(
        sent[0].text().contains(&format!(r#"{{\"batch_id\":\"{batch_id}\"}}"#)),
        "{}",
        sent[0].text()
    );
}

#[tokio::test]
async fn events_are_recorded_although_the_queue_is_down() {
    let program = program_with(|_| (500, String::new())).await;
    let results = record(
        &program,
        json!([event("d1", json!({ "type": "DEPOSIT", "amount": 50 }))]),
    )
    .await;
    assert_eq!(statuses(&results), ["accepted"]);
    assert_eq!(
        program
            .text("SELECT count(*) FROM reward_triggers WHERE evaluated_at IS NULL")
            .await,
        "1"
    );
}

#[tokio::test]
async fn an_action_is_the_same_event() {
    let program = program().await;
    let kyc = json!({ "player_id": "P001" });
    let result = program.post("/api/actions/kyc", kyc).await.expect(200);
    assert_eq!(result["status"], "accepted");
    let depth = |percent: &str| json!({ "player_id": "P001", "depth_percentage": percent });
    program
        .post("/api/actions/profile-depth", depth("55.5"))
        .await
        .expect(200);
    assert_eq!(
        program
            .text("SELECT kyc_completed || ' ' || profile_depth FROM players")
            .await,
        "true 55.50"
    );
    let problem = program
        .post("/api/actions/profile-depth", depth("101"))
        .await
        .expect(422);
    assert_eq!(problem["errors"][0]["pointer"], "/depth_percentage");
    let unknown = json!({ "player_id": "P404" });
    program.post("/api/actions/kyc", unknown).await.expect(404);
    let types = "SELECT string_agg(type, ' ' ORDER BY type) FROM activity_events";
    assert_eq!(program.text(types).await, "KYC_COMPLETED PROFILE");
}

#[tokio::test]
async fn the_latest_word_on_the_profile_counts_in_whatever_order_it_comes() {
    let program = program().await;
    let said = |id: &str, hours: i64, value: i64| at(hours, event(id, json!({ "type": "PROFILE", "value": value })));
    record(&program, json!([said("q2", -1, 80)])).await;
    record(&program, json!([said("q1", -2, 30)])).await;
    assert_eq!(program.text("SELECT profile_depth::text FROM players").await, "80.00");
}

#[tokio::test]
async fn play_of_the_blocked_counts_and_earns_nothing() {
    let program = program().await;
    program.tamper("UPDATE players SET is_blocked = true").await;
    let results = record(&program, json!([stake("e1", "5000", "slots")])).await;
    assert_eq!(
        (results[0]["status"].as_str(), results[0]["outcome"]["lp"].to_string()),
        (Some("accepted"), "0.00".to_owned())
    );
    assert_eq!(totals(&program).await, "100.00 5000.00 0.00 0.00 0 0.0000 1");
}

#[tokio::test]
async fn a_batch_over_many_players_takes_each_alone() {
    let program = program().await;
    Player::new("P002").insert(&program.db()).await;
    let results = record(
        &program,
        json!([
            of("P002", bet("s1", "r1", "10")),
            bet("s1", "r1", "20"),
            of("P002", payout("p1", "r1", "5")),
            payout("p1", "r1", "7")
        ]),
    )
    .await;
    assert_eq!(statuses(&results), ["accepted"; 4]);
    let totals = "SELECT string_agg(concat_ws(' ', player_id, round(total_wagered, 2), round(total_won, 2)), ', ' ORDER BY player_id) FROM player_totals";
    assert_eq!(program.text(totals).await, "P001 20.00 7.00, P002 10.00 5.00");
    program.audit().await;
}
