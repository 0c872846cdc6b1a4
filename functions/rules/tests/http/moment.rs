//! Rules judge the moment of the event that called them, and pay once for it: events, rules and rewards together.

use crate::play::{Play, deposit, event, rule, stake, void};
use serde_json::{Value, json};

/// Reward points, which move nobody up the tiers.
fn points(formula: &str) -> Value {
    json!({ "type": "REWARD_POINTS", "formula": formula })
}

#[tokio::test]
async fn the_life_of_a_rule_is_judged_at_the_moment_of_the_deposit() {
    let play = Play::at("2026-11-27T17:00:00Z").await;
    let times = json!({ "trigger": ["DEPOSIT"], "cadence": "PER_EVENT",
        "starts_at": "2026-11-27T18:00:00Z", "ends_at": "2026-11-27T20:00:00Z" });
    play.rule("EVENING", times).await;
    play.rule(
        "FRIDAYS",
        json!({ "trigger": ["DEPOSIT"], "cadence": "PER_EVENT", "days_of_week": ["FRI"], "priority": -1 }),
    )
    .await;
    play.travel("2026-11-27T20:00:05Z");
    play.record(json!([
        deposit("before", "10", "2026-11-27T17:59:59Z"),
        deposit("first", "10", "2026-11-27T18:00:00Z"),
        deposit("last", "10", "2026-11-27T19:59:59Z"),
        deposit("after", "10", "2026-11-27T20:00:00Z"),
        // FRIDAYS was made today, and has no beginning of its own.
        deposit("long_ago", "10", "2026-11-06T19:00:00Z"),
    ]))
    .await;
    let paid = "FRIDAYS event:before 10, EVENING event:first 10, EVENING event:last 10, FRIDAYS event:after 10";
    assert_eq!(play.grants().await, paid);
    // Handled on Saturday, and off.
    play.travel("2026-11-28T00:00:10Z");
    play.record(json!([
        deposit("friday", "10", "2026-11-27T23:59:59Z"),
        deposit("saturday", "10", "2026-11-28T00:00:00Z")
    ]))
    .await;
    assert_eq!(play.grants().await, format!("{paid}, FRIDAYS event:friday 10"));
    let off = json!({ "is_active": false });
    play.rules
        .send("PUT", "/api/rules/FRIDAYS", Some(off))
        .await
        .expect(200);
    play.record(json!([deposit("late", "10", "2026-11-27T23:00:00Z")]))
        .await;
    assert_eq!(play.grants().await, format!("{paid}, FRIDAYS event:friday 10"));
    play.end().await;
}

#[tokio::test]
async fn a_rule_that_says_when_it_began_pays_for_what_happened_since() {
    let play = Play::at("2026-11-27T12:00:00Z").await;
    play.rule(
        "BACKDATED",
        json!({ "trigger": ["DEPOSIT"], "cadence": "PER_EVENT", "starts_at": "2026-11-01T00:00:00Z" }),
    )
    .await;
    play.record(json!([
        deposit("d1", "10", "2026-10-31T23:59:59Z"),
        deposit("d2", "10", "2026-11-07T12:00:00Z"),
    ]))
    .await;
    assert_eq!(play.grants().await, "BACKDATED event:d2 10");
    play.end().await;
}

#[tokio::test]
async fn each_of_two_deposits_sees_the_totals_that_it_made() {
    let facts = "total_deposited + 1000 * deposit_count + 100000 * deposited_7d";
    let seen = |first: &str| json!({ "trigger": ["DEPOSIT"], "cadence": "PER_EVENT", "reward_config": points(first) });
    let first = deposit("d1", "50", "2026-11-27T11:58:00Z");
    let second = deposit("d2", "30", "2026-11-27T11:59:00Z");
    for arrival in [
        vec![json!([first, second])],
        vec![json!([second, first])],
        vec![json!([second]), json!([first])],
    ] {
        let play = Play::at("2026-11-27T11:00:00Z").await;
        play.set(json!({ "max_rewards_per_evaluation": 2 })).await;
        play.rule("SEEN", seen(facts)).await;
        play.rule(
            "WELCOME",
            json!({ "trigger": ["DEPOSIT"], "cadence": "PER_EVENT", "conditions": { "is_first_deposit": true }, "priority": -1 }),
        )
        .await;
        play.travel("2026-11-27T12:00:00Z");
        let batches = arrival.len();
        for events in arrival {
            play.record(events).await;
        }
        let grants = "SELECT string_agg(concat_ws(' ', rule_id, period_key, trim_scale(amount)), ', '
            ORDER BY rule_id, period_key) FROM grants";
        // A deposit that comes after another was judged changes nothing of what was granted.
        let expected = match batches {
            1 => "SEEN event:d1 5001050, SEEN event:d2 8002080, WELCOME event:d1 10",
            _ => "SEEN event:d1 5001050, SEEN event:d2 3001030, WELCOME event:d1 10, WELCOME event:d2 10",
        };
        assert_eq!(play.rules.text(grants).await, expected);
        play.end().await;
    }
}

#[tokio::test]
async fn windows_segment_and_tier_are_those_of_the_moment() {
    let play = Play::at("2026-11-20T00:00:00Z").await;
    let conditions = json!({ "segment": "LOSING", "tier": "BRONZE" });
    let formula = points("wagered_7d + net_loss_today * 1000 + total_bets * 1000000000");
    play.rule(
        "THEN",
        json!({ "trigger": ["KYC_COMPLETED"], "cadence": "PER_EVENT", "conditions": conditions,
        "reward_config": formula }),
    )
    .await;
    play.travel("2026-11-27T12:00:00Z");
    play.record(json!([
        stake("s0", "400", "2026-11-19T12:00:00Z"),
        stake("s1", "700", "2026-11-26T12:00:00Z")
    ]))
    .await;
    // What happens on the same day after the event, and makes another segment and tier before it is handled.
    play.record(json!([
        stake("s2", "9", "2026-11-26T12:59:59Z"),
        event("k1", "KYC_COMPLETED", "2026-11-26T13:00:00Z", json!({})),
        stake("s3", "90000", "2026-11-26T14:00:00Z"),
        event("p3", "PAYOUT", "2026-11-26T14:00:01Z", json!({ "amount": "190000" })),
        stake("s4", "5", "2026-11-27T11:00:00Z"),
    ]))
    .await;
    // 19 November is a week before the 26th.
    let now = "SELECT s.segment || ' ' || p.tier FROM players p JOIN player_segments s USING (player_id)";
    assert_eq!(play.rules.text(now).await, "WINNING SILVER");
    assert_eq!(play.grants().await, "THEN event:k1 3000709709");
    play.end().await;
}

#[tokio::test]
async fn weekly_cashback_on_monday_pays_the_loss_of_sunday_once() {
    let play = Play::at("2026-11-20T12:00:00Z").await;
    play.rule(
        "CASHBACK",
        json!({ "trigger": ["RECALCULATION"], "cadence": "WEEKLY", "days_of_week": ["MON"],
        "reward_config": points("net_loss_last_week * 0.1") }),
    )
    .await;
    play.travel("2026-11-22T23:50:00Z");
    play.record(json!([stake("s1", "500", "2026-11-22T23:49:59Z")])).await;
    play.recalculate().await;
    assert_eq!(play.grants().await, "");
    for monday in ["2026-11-23T03:00:00Z", "2026-11-23T15:00:00Z", "2026-11-30T03:00:00Z"] {
        play.travel(monday);
        play.recalculate().await;
    }
    // On the 30th there is no loss of a week before.
    assert_eq!(play.grants().await, "CASHBACK 2026-W48 50");
    play.end().await;
}

#[tokio::test]
async fn going_back_and_forth_between_segments_earns_one_reward() {
    let play = Play::at("2026-11-27T10:00:00Z").await;
    play.rule(
        "LOST",
        json!({ "trigger": ["SEGMENT_CHANGED"], "cadence": "PER_EVENT", "conditions": { "segment": "LOSING" } }),
    )
    .await;
    play.rule(
        "ANY",
        json!({ "trigger": ["SEGMENT_CHANGED"], "cadence": "PER_EVENT", "priority": -1 }),
    )
    .await;
    play.travel("2026-11-27T12:00:00Z");
    play.record(json!([stake("s0", "900", "2026-11-27T11:00:00Z")])).await;
    for turn in 0..6 {
        play.record(json!([stake(&format!("s{turn}a"), "200", "2026-11-27T11:30:00Z")]))
            .await;
        play.record(json!([void(
            &format!("v{turn}"),
            &format!("s{turn}a"),
            "2026-11-27T11:31:00Z"
        )]))
        .await;
    }
    let paid = "SELECT string_agg(rule_id || ' ' || entered, ', ' ORDER BY grant_id) FROM grants";
    // Each rule pays once for LOSING; a correction is no entry.
    assert_eq!(
        play.rules.text(paid).await,
        "LOST SEGMENT_CHANGED:LOSING, ANY SEGMENT_CHANGED:LOSING"
    );
    // 30 days later it is news again.
    play.travel("2026-12-27T12:10:00Z");
    play.record(json!([stake("s9", "200", "2026-12-27T12:05:00Z")])).await;
    assert_eq!(
        play.rules.text(paid).await,
        "LOST SEGMENT_CHANGED:LOSING, ANY SEGMENT_CHANGED:LOSING, LOST SEGMENT_CHANGED:LOSING"
    );
    play.end().await;
}

#[tokio::test]
async fn an_event_that_was_voided_before_its_turn_calls_no_rules() {
    let play = Play::at("2026-11-27T10:00:00Z").await;
    play.rule("DEPOSITED", json!({ "trigger": ["DEPOSIT"], "cadence": "PER_EVENT" }))
        .await;
    let script = "INSERT INTO activity_events (player_id, event_id, type, occurred_at, recorded_at, voids, outcome)
        VALUES ('P1', 'v1', 'VOID', now(), now(), 'd1', '{}')";
    let body =
        json!({ "events": [deposit("d1", "10", "2026-11-27T10:00:01Z"), deposit("d2", "10", "2026-11-27T10:00:01Z")] });
    play.travel("2026-11-27T11:00:00Z");
    play.activity.post("/api/activity", body).await.expect(200);
    play.rules.tamper(script).await;
    play.deliver().await;
    assert_eq!(play.grants().await, "DEPOSITED event:d2 10");
}

#[tokio::test]
async fn a_bonus_beyond_all_amounts_is_refused_at_save_or_not_applicable() {
    let play = Play::at("2026-11-27T12:00:00Z").await;
    let bonus = |amount: Value| {
        let mut reward = json!({ "type": "BONUS_BALANCE", "wagering_requirement": 1000 });
        reward
            .as_object_mut()
            .unwrap()
            .extend(amount.as_object().unwrap().clone());
        json!({ "reward_config": reward })
    };
    let refused = |amount| rule("R", bonus(amount));
    for (amount, expected) in [
        (
            json!({ "amount": "900000000000000" }),
            "/reward_config/wagering_requirement range",
        ),
        (
            json!({ "formula": "900000000000000" }),
            "/reward_config/wagering_requirement range",
        ),
        (
            json!({ "formula": "net_loss", "min_amount": "900000000000000" }),
            "/reward_config/wagering_requirement range",
        ),
        (
            json!({ "formula": "900000000000000 * 1000" }),
            "/reward_config/formula range",
        ),
    ] {
        assert_eq!(
            play.rules.errors("POST", "/api/rules", Some(refused(amount))).await,
            [expected]
        );
    }
    play.rule("R", bonus(json!({ "formula": "900000000000000 + net_loss" })))
        .await;
    let test = play
        .rules
        .post("/api/rules/R/test", json!({ "player_id": "P1" }))
        .await
        .expect(200);
    assert_eq!(
        (&test["verdict"], &test["reason"]),
        (
            &json!("NOT_APPLICABLE"),
            &json!("the wagering requirement is too large")
        )
    );
    play.recalculate().await;
    let decided = "SELECT decisions -> 0 ->> 'verdict' || ': ' || (decisions -> 0 ->> 'reason') FROM reward_decisions";
    assert_eq!(
        play.rules.text(decided).await,
        "NOT_APPLICABLE: the wagering requirement is too large"
    );
    assert_eq!(play.grants().await, "");
    assert_eq!(
        play.rules.text("SELECT string_agg(status, ' ') FROM runs").await,
        "COMPLETED"
    );
    play.end().await;
}

#[tokio::test]
async fn a_bonus_has_a_ceiling_whatever_it_is_expected_to_cost() {
    let play = Play::at("2026-11-27T12:00:00Z").await;
    play.set(json!({ "bonus_max_amount": 2500 })).await;
    // Wagered a thousand times, it costs the house nothing in expectation.
    let reward = json!({ "type": "BONUS_BALANCE", "amount": 1_000_000, "wagering_requirement": 1000 });
    play.rule("HUGE", json!({ "reward_config": reward })).await;
    let test = play
        .rules
        .post("/api/rules/HUGE/test", json!({ "player_id": "P1" }))
        .await
        .expect(200);
    let caps = &test["gates"][3];
    assert_eq!(
        (
            &caps["name"],
            &caps["verdict"],
            caps["figures"]["bonus_max_amount"].to_string(),
            test["granted_amount"].to_string()
        ),
        (&json!("caps"), &json!("REDUCE"), "2500.00".into(), "2500.00".into())
    );
    play.recalculate().await;
    assert_eq!(play.grants().await, "HUGE ONCE 2500");
    let kept = "SELECT decisions::jsonb #>> '{0,gates,1,figures,bonus_max_amount}' FROM reward_decisions";
    assert_eq!(play.rules.text(kept).await, "2500.00");
    play.end().await;
}

#[tokio::test]
async fn an_event_named_like_a_day_does_not_occupy_the_day() {
    let play = Play::at("2026-11-27T12:00:00Z").await;
    play.rule(
        "R",
        json!({ "trigger": ["DEPOSIT", "RECALCULATION"], "cadence": "PER_EVENT", "exclusive_group": "g" }),
    )
    .await;
    play.travel("2026-11-27T13:00:00Z");
    play.record(json!([deposit("2026-11-27", "10", "2026-11-27T12:30:00Z")]))
        .await;
    let daily = json!({ "cadence": "DAILY" });
    play.rules.send("PUT", "/api/rules/R", Some(daily)).await.expect(200);
    play.recalculate().await;
    assert_eq!(play.grants().await, "R event:2026-11-27 10, R 2026-11-27 10");
    play.end().await;
}

#[tokio::test]
async fn an_opt_in_passes_the_gates_of_eligibility_and_fraud_again() {
    let play = Play::at("2026-11-27T12:00:00Z").await;
    let reward = json!({ "type": "BONUS_BALANCE", "amount": 10, "requires_opt_in": true, "wagering_requirement": 5 });
    play.rule("OFFER", json!({ "reward_config": reward })).await;
    play.recalculate().await;
    let grant_id = play.rules.text("SELECT grant_id FROM grants").await;
    let path = format!("/api/grants/{grant_id}/activate");
    for (state, back, problem) in [
        ("risk_score = 81", "risk_score = 80", "risk_too_high"),
        ("is_blocked = true", "is_blocked = false", "player_blocked"),
        ("is_active = false", "is_active = true", "player_inactive"),
        (
            "self_excluded_until = '2027-11-27'",
            "self_excluded_until = NULL",
            "player_self_excluded",
        ),
    ] {
        play.rules.tamper(&format!("UPDATE players SET {state}")).await;
        let refused = play.wallet.keyed(&path, problem, json!({})).await.expect(409);
        assert_eq!(refused["type"], format!("urn:loyalty:problem:{problem}"), "{refused}");
        play.rules.tamper(&format!("UPDATE players SET {back}")).await;
        assert_eq!(play.rules.text("SELECT status FROM grants").await, "PENDING");
    }
    play.wallet.keyed(&path, "again", json!({})).await.expect(200);
    assert_eq!(play.rules.text("SELECT status FROM grants").await, "ACTIVE");
}

#[tokio::test]
async fn a_change_of_the_time_zone_gives_nobody_a_second_period() {
    let play = Play::at("2026-11-29T20:00:00Z").await;
    for cadence in ["DAILY", "WEEKLY"] {
        play.rule(cadence, json!({ "trigger": ["RECALCULATION"], "cadence": cadence }))
            .await;
    }
    play.set(json!({ "max_rewards_per_evaluation": 9 })).await;
    play.travel("2026-11-29T23:30:00Z");
    play.recalculate().await;
    let sunday = "DAILY 2026-11-29 10, WEEKLY 2026-W48 10";
    assert_eq!(play.grants().await, sunday);
    // In Berlin it is half past midnight, on Monday.
    play.set(json!({ "time_zone": "Europe/Berlin" })).await;
    play.recalculate().await;
    play.travel("2026-11-29T23:55:00Z");
    play.recalculate().await;
    assert_eq!(play.grants().await, sunday);
    play.travel("2026-11-30T00:00:00Z");
    play.recalculate().await;
    let monday = format!("{sunday}, DAILY 2026-11-30 10, WEEKLY 2026-W49 10");
    assert_eq!(play.grants().await, monday);
    // And back, to the west: it is Sunday again in New York.
    play.set(json!({ "time_zone": "America/New_York" })).await;
    for now in ["2026-11-30T03:00:00Z", "2026-11-30T22:00:00Z", "2026-12-01T04:55:00Z"] {
        play.travel(now);
        play.recalculate().await;
    }
    assert_eq!(play.grants().await, monday);
    play.travel("2026-12-01T05:00:00Z");
    play.recalculate().await;
    assert_eq!(play.grants().await, format!("{monday}, DAILY 2026-12-01 10"));
    play.end().await;
}

#[tokio::test]
async fn an_exclusive_group_pays_a_player_once_per_period() {
    let play = Play::at("2026-11-27T03:00:00Z").await;
    let in_group = |priority: i32, cadence: &str| json!({ "exclusive_group": "welcome", "priority": priority, "cadence": cadence });
    for (rule_id, priority) in [("A", 3), ("B", 2), ("C", 1)] {
        play.rule(rule_id, in_group(priority, "ONCE")).await;
    }
    for night in ["2026-11-27T04:00:00Z", "2026-11-28T04:00:00Z", "2026-11-29T04:00:00Z"] {
        play.travel(night);
        play.recalculate().await;
    }
    assert_eq!(play.grants().await, "A ONCE 10");
    let test = play
        .rules
        .post("/api/rules/B/test", json!({ "player_id": "P1" }))
        .await
        .expect(200);
    assert_eq!(test["already_granted"], true);
    let simulated = play
        .rules
        .post("/api/rules/simulate", json!({ "rule_id": "B" }))
        .await
        .expect(200);
    assert_eq!(
        (&simulated["granted"], &simulated["already_granted"]),
        (&json!(0), &json!(1)),
        "{simulated}"
    );
    play.end().await;
}

#[tokio::test]
async fn the_active_rules_of_a_group_have_one_cadence() {
    let play = Play::at("2026-11-27T03:00:00Z").await;
    let daily = json!({ "exclusive_group": "g", "cadence": "DAILY" });
    play.rule("A", daily.clone()).await;
    play.rule("B", daily).await;
    let weekly = json!({ "cadence": "WEEKLY" });
    let other = rule("C", json!({ "exclusive_group": "g", "cadence": "WEEKLY" }));
    assert_eq!(
        play.rules.errors("POST", "/api/rules", Some(other)).await,
        ["/cadence group"]
    );
    assert_eq!(
        play.rules.errors("PUT", "/api/rules/A", Some(weekly.clone())).await,
        ["/cadence group"]
    );
    let off = json!({ "is_active": false });
    play.rules.send("PUT", "/api/rules/B", Some(off)).await.expect(200);
    play.rules.send("PUT", "/api/rules/A", Some(weekly)).await.expect(200);
}
