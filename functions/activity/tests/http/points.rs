//! The points of play: a function of the day, taken back in full, and owed when they are spent.

use crate::{event, program, record, stake, wallet};
use app::{Act, Context};
use serde_json::{Value, json};
use testing::TestApi;

fn at(time: &str, mut event: Value) -> Value {
    event["occurred_at"] = json!(time);
    event
}

fn void(event_id: &str, voids: &str) -> Value {
    event(event_id, json!({ "type": "VOID", "voids": voids }))
}

/// With the clock at noon of 27 November 2026, UTC.
async fn at_noon() -> TestApi {
    let program = program().await;
    program.clock().set("2026-11-27T12:00:00Z".parse().unwrap());
    program
}

async fn set(program: &TestApi, settings: Value) {
    let act = Act::of(
        "test",
        Context {
            now: program.clock().now(),
            ..lambda::context()
        },
    );
    app::program::settings::put(&program.db(), &settings, &act)
        .await
        .unwrap();
}

/// Balance and debt.
async fn lp(program: &TestApi) -> (String, String) {
    let wallet = wallet(program).get("/api/wallet/P001").await;
    (wallet["lp_balance"].to_string(), wallet["lp_debt"].to_string())
}

async fn has(program: &TestApi, balance: &str, debt: &str) {
    assert_eq!(lp(program).await, (balance.to_owned(), debt.to_owned()));
    program.audit().await;
}

async fn spend(program: &TestApi, amount: &str) {
    let body = json!({ "player_id": "P001", "currency": "LP", "amount": amount });
    wallet(program).post("/api/wallet/deduct", body).await.expect(200);
}

async fn add_lp(program: &TestApi, amount: &str) {
    let body = json!({ "player_id": "P001", "amount": amount });
    wallet(program).post("/api/wallet/add-lp", body).await.expect(200);
}

async fn qualifying(program: &TestApi) -> String {
    program
        .text("SELECT coalesce(round(sum(lp_earned), 2), 0.00)::text FROM player_daily")
        .await
}

/// What each event earned.
async fn earned(program: &TestApi, events: Value) -> Vec<String> {
    let results = record(program, events).await;
    results
        .iter()
        .map(|result| result["outcome"]["lp"].to_string())
        .collect()
}

#[tokio::test]
async fn a_stake_whose_points_are_spent_and_that_is_voided_leaves_a_debt_and_no_tier() {
    let program = program().await;
    for round in 1..=3 {
        // 10,000 staked at 0.1 earn 1,000, which are SILVER. They pay what is owed first.
        record(&program, json!([stake(&format!("e{round}"), "10000", "slots")])).await;
        assert_eq!(program.text("SELECT tier FROM players").await, "SILVER");
        assert_eq!(qualifying(&program).await, "1000.00");
        if round == 1 {
            has(&program, "1000.00", "0.00").await;
            spend(&program, "1000").await;
        } else {
            has(&program, "0.00", "0.00").await;
        }
        let results = record(&program, json!([void(&format!("v{round}"), &format!("e{round}"))])).await;
        let outcome = &results[0]["outcome"];
        assert_eq!(
            (outcome["lp"].to_string(), outcome["lp_overspent"].to_string()),
            ("-1000.00".into(), "1000.00".into())
        );
        has(&program, "0.00", "1000.00").await;
        assert_eq!(qualifying(&program).await, "0.00");
        assert_eq!(program.text("SELECT tier FROM players").await, "BRONZE");
    }
    assert_eq!(
        program
            .text(
                "SELECT string_agg(to_tier || ' ' || reason, ', ' ORDER BY at) FROM tier_history WHERE player_id = 'P001'"
            )
            .await,
        "SILVER qualified, BRONZE voided, SILVER qualified, BRONZE voided, SILVER qualified, BRONZE voided"
    );
    // A correction calls no rules.
    let called = "SELECT count(*)::text FROM reward_triggers WHERE trigger = 'TIER_CHANGED'";
    assert_eq!(program.text(called).await, "3");
    // Whatever is credited later pays first: 600 and 650 given by a person.
    add_lp(&program, "600").await;
    has(&program, "0.00", "400.00").await;
    add_lp(&program, "650").await;
    has(&program, "250.00", "0.00").await;
    // Both count for the tier in full.
    assert_eq!(qualifying(&program).await, "1250.00");
    assert_eq!(program.text("SELECT tier FROM players").await, "SILVER");
}

#[tokio::test]
async fn a_deduction_that_is_reversed_pays_the_debt_first() {
    let program = program().await;
    record(&program, json!([stake("e1", "1000", "slots")])).await;
    let body = json!({ "player_id": "P001", "currency": "LP", "amount": 90 });
    let deduction = wallet(&program).post("/api/wallet/deduct", body).await.expect(200);
    record(&program, json!([void("v1", "e1")])).await;
    has(&program, "0.00", "90.00").await;
    let body = json!({ "transaction_id": deduction["transaction_id"], "reason": "a mistake" });
    wallet(&program).post("/api/wallet/reverse", body).await.expect(200);
    has(&program, "0.00", "0.00").await;
}

#[tokio::test]
async fn by_the_policy_signal_nothing_is_owed_and_one_signal_says_how_much_is_missing() {
    let program = program().await;
    set(&program, json!({ "activity": { "lp_void_policy": "SIGNAL" } })).await;
    record(
        &program,
        json!([stake("e1", "1000", "slots"), stake("e2", "500", "slots")]),
    )
    .await;
    spend(&program, "140").await;
    let signal = "SELECT string_agg(concat_ws(' ', type, severity, evidence ->> 'lp', status), ', ') FROM signals";
    // 10 of 100 are left; then none of 50.
    record(&program, json!([void("v1", "e1")])).await;
    has(&program, "0.00", "0.00").await;
    assert_eq!(program.text(signal).await, "POINTS_OVERSPENT 5 90.00 OPEN");
    record(&program, json!([void("v2", "e2")])).await;
    has(&program, "0.00", "0.00").await;
    assert_eq!(program.text(signal).await, "POINTS_OVERSPENT 5 140.00 OPEN");
    assert_eq!(
        program
            .text("SELECT count(*)::text FROM outbox WHERE event_type = 'signal.raised'")
            .await,
        "1"
    );
    assert_eq!(program.text("SELECT risk_score::text FROM players").await, "50");
    assert_eq!(qualifying(&program).await, "0.00");
}

#[tokio::test]
async fn a_thousand_stakes_of_nine_cents_earn_nine_points_and_voids_take_the_fraction_back() {
    let program = program().await;
    for batch in 0..2 {
        let stakes: Vec<Value> = (0..500)
            .map(|n| stake(&format!("e{batch}-{n}"), "0.09", "slots"))
            .collect();
        record(&program, json!(stakes)).await;
    }
    has(&program, "9.00", "0.00").await;
    assert_eq!(
        program
            .text("SELECT round(lp_staked, 2) || ' ' || round(lp_play, 2) FROM player_daily WHERE lp_rate = 0.1")
            .await,
        "90.00 9.00"
    );
    // 89.91 are worth 8.99; then, until 89.90 are undercut, nothing more.
    assert_eq!(earned(&program, json!([void("v1", "e0-0")])).await, ["-0.01"]);
    has(&program, "8.99", "0.00").await;
    assert_eq!(earned(&program, json!([void("v2", "e0-1")])).await, ["-0.01"]);
    has(&program, "8.98", "0.00").await;
    // 89.82 and 0.08 are 89.90.
    assert_eq!(earned(&program, json!([stake("e9", "0.08", "slots")])).await, ["0.01"]);
    has(&program, "8.99", "0.00").await;
}

#[tokio::test]
async fn points_count_for_the_day_of_the_stake_at_the_rate_of_the_tier_at_its_start() {
    let program = at_noon().await;
    // On 26 November, in time: 1,000 points, SILVER.
    program.clock().set("2026-11-26T12:00:00Z".parse().unwrap());
    assert_eq!(
        earned(
            &program,
            json!([at("2026-11-26T11:00:00Z", stake("e1", "10000", "slots"))])
        )
        .await,
        ["1000.00"]
    );
    assert_eq!(program.text("SELECT tier FROM players").await, "SILVER");
    // The day began in BRONZE, so the rest of it earns at 0.1; the next at 0.11.
    program.clock().set("2026-11-27T12:00:00Z".parse().unwrap());
    let late = json!([
        at("2026-11-27T01:00:00Z", stake("e2", "100", "slots")),
        at("2026-11-26T23:00:00Z", stake("e3", "100", "slots")),
        at("2026-11-24T23:00:00Z", stake("e4", "100", "slots"))
    ]);
    assert_eq!(earned(&program, late).await, ["11.00", "10.00", "10.00"]);
    assert_eq!(
        program
            .text(
                "SELECT string_agg(concat_ws(' ', to_char(day, 'DD'), round(lp_earned, 2), trim_scale(lp_rate)), ', '
                   ORDER BY day) FROM player_daily WHERE lp_earned <> 0"
            )
            .await,
        "24 10.00 0.1, 26 1010.00 0.1, 27 11.00 0.11"
    );
    // A day that is priced stays so.
    set(&program, json!({ "activity": { "lp_per_unit_staked": 1 } })).await;
    assert_eq!(
        earned(
            &program,
            json!([at("2026-11-27T02:00:00Z", stake("e5", "10", "slots"))])
        )
        .await,
        ["1.10"]
    );
    program.audit().await;
}

#[tokio::test]
async fn the_order_of_stakes_and_voids_changes_nothing() {
    let events = [
        at("2026-11-25T10:00:00Z", stake("a", "33.33", "slots")),
        at("2026-11-26T10:00:00Z", stake("b", "0.07", "slots")),
        at("2026-11-25T20:00:00Z", stake("c", "10000.05", "slots")),
        at("2026-11-26T11:00:00Z", void("vc", "c")),
        at("2026-11-26T12:00:00Z", void("va", "a")),
        at("2026-11-26T13:00:00Z", stake("d", "0.06", "slots")),
    ];
    let orders = [
        [0, 1, 2, 3, 4, 5],
        [5, 4, 3, 2, 1, 0],
        [3, 2, 0, 5, 1, 4],
        [2, 5, 0, 4, 1, 3],
    ];
    for order in orders {
        let program = at_noon().await;
        for place in order {
            record(&program, json!([events[place]])).await;
        }
        // 0.13 staked on the 26th, the rest is void.
        has(&program, "0.01", "0.00").await;
        let day = "SELECT concat_ws(' ', day, lp_staked, lp_earned) FROM player_daily WHERE lp_play <> 0";
        assert_eq!(program.text(day).await, "2026-11-26 0.1300 0.0100", "{order:?}");
        assert_eq!(program.text("SELECT tier FROM players").await, "BRONZE", "{order:?}");
    }
}

#[tokio::test]
async fn two_voids_take_back_two_tiers_in_either_order() {
    for voids in [["v1", "v2"], ["v2", "v1"]] {
        let program = program().await;
        // 1,000 points are SILVER, 10,000 GOLD.
        record(&program, json!([stake("e1", "10000", "slots")])).await;
        record(&program, json!([stake("e2", "90000", "slots")])).await;
        assert_eq!(program.text("SELECT tier FROM players").await, "GOLD");
        for id in voids {
            record(&program, json!([void(id, &id.replace('v', "e"))])).await;
        }
        assert_eq!(program.text("SELECT tier FROM players").await, "BRONZE", "{voids:?}");
        program.audit().await;
    }
}

#[tokio::test]
async fn a_tier_that_was_earned_before_survives_a_void() {
    let program = program().await;
    add_lp(&program, "1000").await;
    record(&program, json!([stake("e1", "100", "slots"), void("v1", "e1")])).await;
    record(&program, json!([stake("e2", "100", "slots")])).await;
    record(&program, json!([void("v2", "e2")])).await;
    assert_eq!(program.text("SELECT tier FROM players").await, "SILVER");
    has(&program, "1000.00", "0.00").await;
}

#[tokio::test]
async fn points_that_expired_are_not_owed() {
    let program = at_noon().await;
    set(&program, json!({ "activity": { "lp_expiry_days": 5 } })).await;
    // 30 points of the 27th expire at midnight to 3 December; 12 of them are spent before.
    let stakes = ["e1", "e2", "e3"].map(|id| at("2026-11-27T10:00:00Z", stake(id, "100", "slots")));
    record(&program, json!(stakes)).await;
    spend(&program, "12").await;
    program.clock().set("2026-12-04T12:00:00Z".parse().unwrap());
    let void = |id: &str| at("2026-12-04T11:00:00Z", void(id, &id.replace('v', "e")));
    // 18 have expired. Of the 20 that two stakes earned, 12 would be spent and 8 expired; then 10 earned, 12 spent.
    record(&program, json!([void("v1")])).await;
    has(&program, "0.00", "0.00").await;
    record(&program, json!([void("v2")])).await;
    has(&program, "0.00", "2.00").await;
    record(&program, json!([void("v3")])).await;
    has(&program, "0.00", "12.00").await;
    // A stake of a day whose points have expired qualifies and pays the debt; the rest expires at once.
    let late = ["e4", "e5"].map(|id| at("2026-11-27T11:00:00Z", stake(id, "100", "slots")));
    record(&program, json!(late)).await;
    has(&program, "0.00", "0.00").await;
    assert_eq!(qualifying(&program).await, "20.00");
    let house = "SELECT string_agg(concat_ws(' ', house, -sum), ', ' ORDER BY house) FROM (
      SELECT house, round(sum(direction * amount), 2) AS sum FROM postings WHERE asset = 'LP' GROUP BY house) AS h";
    // Of 20 that were earned 12 were spent and 8 have expired.
    assert_eq!(
        program.text(house).await,
        "house:adjustment 12.00, house:expiry 8.00, house:issuance -20.00"
    );
}
