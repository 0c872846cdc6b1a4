use crate::program::{Program, at, context, tier_changed};
use app::Act;
use serde_json::json;

#[tokio::test]
async fn a_thousand_points_make_silver_at_once() {
    let program = Program::new().await;
    program.add_lp("P001", "999.99", context()).await;
    assert_eq!(
        (program.tier("P001").await, program.history("P001").await),
        ("BRONZE".into(), String::new())
    );
    assert_eq!(program.count("reward_triggers").await, 0);
    program.audit().await;

    program.add_lp("P001", "0.01", context()).await;
    assert_eq!(
        (program.tier("P001").await, program.history("P001").await),
        ("SILVER".into(), "BRONZE>SILVER qualified".into())
    );
    assert_eq!(
        program.events("tier.changed").await,
        json!([tier_changed("P001", ("BRONZE", "SILVER"), "qualified", "1000.00")])
    );
    assert_eq!(
        program
            .text("SELECT sum(value) FROM stats WHERE counter = 'tier:SILVER'")
            .await,
        "1"
    );
    assert_eq!(
        program
            .text("SELECT player_id || ' ' || trigger FROM reward_triggers WHERE trigger_id LIKE 'tier:%'")
            .await,
        "P001 TIER_CHANGED"
    );
    assert_eq!(program.tier("P002").await, "BRONZE");
    program.audit().await;

    // The same points do not promote twice.
    program.add_lp("P001", "1", context()).await;
    assert_eq!(program.count("tier_history").await, 1);
    program.audit().await;
}

/// Callers read the clock before they wait for the player's lock, so a later one may have an earlier time.
#[tokio::test]
async fn the_history_is_in_the_order_of_the_moves_not_of_the_clocks() {
    let program = Program::new().await;
    program.add_lp("P001", "1000", at("2026-11-23T14:00:00.000002Z")).await;
    program.add_lp("P001", "9000", at("2026-11-23T14:00:00.000001Z")).await;
    program.add_lp("P001", "40000", at("2026-11-23T14:00:00.000002Z")).await;
    let history = "BRONZE>SILVER qualified, SILVER>GOLD qualified, GOLD>PLATINUM qualified";
    assert_eq!(program.history("P001").await, history);
    program.audit().await;
}

#[tokio::test]
async fn many_points_at_once_pass_over_tiers() {
    let program = Program::new().await;
    program.add_lp("P001", "50000", context()).await;
    assert_eq!(program.history("P001").await, "BRONZE>PLATINUM qualified");
    program.audit().await;
}

#[tokio::test]
async fn what_is_spent_or_deducted_was_earned_all_the_same() {
    let program = Program::new().await;
    program.add_lp("P001", "1000", context()).await;
    let deduction = program.deduct_lp("P001", "900", context()).await;
    assert_eq!(
        (program.tier("P001").await, program.qualifying_lp("P001").await),
        ("SILVER".into(), "1000.0000".into())
    );
    // Nor do points that are refunded count again.
    program.reverse(deduction, context()).await;
    assert_eq!(program.qualifying_lp("P001").await, "1000.0000");
    program.audit().await;
}

#[tokio::test]
async fn a_credit_taken_back_no_longer_counts_and_demotes_nobody_at_once() {
    let program = Program::new().await;
    let credit = program.add_lp("P001", "1000", context()).await;
    program.reverse(credit, at("2026-11-24T14:00:00Z")).await;
    assert_eq!(
        program
            .text("SELECT string_agg(lp_earned::text, ' ' ORDER BY day) FROM player_daily WHERE lp_earned <> 0")
            .await,
        "1000.0000 -1000.0000"
    );
    assert_eq!(
        (program.tier("P001").await, program.count("tier_history").await),
        ("SILVER".into(), 1)
    );
    assert_eq!(program.count("tier_downgrades").await, 0);
    // Reversed points must be earned again.
    program.add_lp("P002", "600", context()).await;
    let mistake = program.add_lp("P002", "300", context()).await;
    program.reverse(mistake, context()).await;
    program.add_lp("P002", "399.99", context()).await;
    assert_eq!(program.tier("P002").await, "BRONZE");
    program.add_lp("P002", "0.01", context()).await;
    assert_eq!(program.tier("P002").await, "SILVER");
    program.audit().await;
}

#[tokio::test]
async fn points_count_on_their_day_in_the_programs_time_zone() {
    let program = Program::new().await;
    program.set(json!({ "time_zone": "Europe/Berlin" })).await;
    // The clocks go back at 01:00 UTC on 25 October, and forward on 28 March: midnight is at 22:00, then at 23:00 UTC.
    for (now, day) in [
        ("2026-10-24T21:59:59Z", "2026-10-24"),
        ("2026-10-24T22:00:00Z", "2026-10-25"),
        ("2026-10-25T22:59:59Z", "2026-10-25"),
        ("2026-10-25T23:00:00Z", "2026-10-26"),
        ("2027-03-27T22:59:59Z", "2027-03-27"),
        ("2027-03-27T23:00:00Z", "2027-03-28"),
        ("2027-03-28T21:59:59Z", "2027-03-28"),
        ("2027-03-28T22:00:00Z", "2027-03-29"),
    ] {
        let before = program
            .text(&format!(
                "SELECT coalesce(sum(lp_earned), 0)::integer FROM player_daily WHERE day = '{day}'"
            ))
            .await;
        program.add_lp("P001", "1", at(now)).await;
        let after = program
            .text(&format!(
                "SELECT sum(lp_earned)::integer FROM player_daily WHERE day = '{day}'"
            ))
            .await;
        assert_eq!(
            after.parse::<i32>().unwrap(),
            before.parse::<i32>().unwrap() + 1,
            "{now}"
        );
    }
    program.audit().await;
}

#[tokio::test]
async fn only_points_of_the_qualification_period_count() {
    let program = Program::new().await;
    program.add_lp("P001", "600", at("2025-11-23T12:00:00Z")).await;
    // 365 days including today: the 600 of a year ago no longer count.
    program.add_lp("P001", "400", at("2026-11-23T12:00:00Z")).await;
    assert_eq!(program.tier("P001").await, "BRONZE");
    program.add_lp("P002", "600", at("2025-11-24T12:00:00Z")).await;
    program.add_lp("P002", "400", at("2026-11-23T12:00:00Z")).await;
    assert_eq!(program.tier("P002").await, "SILVER");
    // Without a period all points count, which takes effect with the next earned point.
    program.set(json!({ "tier_qualification_days": null })).await;
    program.add_lp("P001", "0.01", at("2026-11-23T12:00:00Z")).await;
    assert_eq!(program.tier("P001").await, "SILVER");
    program.audit().await;
}

#[tokio::test]
async fn requirements_hold_a_player_back_until_they_are_met() {
    let program = Program::new().await;
    program.require("SILVER", json!({ "kyc_completed": true })).await;
    program.add_lp("P001", "9999", context()).await;
    program.add_lp("P002", "10000", context()).await;
    // Each tier has its own requirements: GOLD needs only points.
    assert_eq!(
        (program.tier("P001").await, program.tier("P002").await),
        ("BRONZE".into(), "GOLD".into())
    );

    assert!(!program.promote(&["P001", "P002"], context()).await);
    program.test.tamper("UPDATE players SET kyc_completed = true").await;
    assert_eq!(program.tier("P001").await, "BRONZE");
    assert!(program.promote(&["P001", "P002"], context()).await);
    assert_eq!(program.history("P001").await, "BRONZE>SILVER qualified");
    assert_eq!(
        program.events("tier.changed").await[1],
        tier_changed("P001", ("BRONZE", "SILVER"), "qualified", "9999.00")
    );
    assert_eq!(program.count("reward_triggers WHERE player_id = 'P001'").await, 1);
    program.audit().await;
    assert!(!program.promote(&["P001", "P002"], context()).await);
}

#[tokio::test]
async fn a_lower_threshold_is_passed_by_the_next_point_that_is_earned() {
    let program = Program::new().await;
    program.add_lp("P001", "900", context()).await;
    let mistake = program.add_lp("P001", "10", context()).await;
    // After the threshold is lowered, players stay in their tier until they earn or are reviewed.
    program
        .test
        .tamper("UPDATE tiers SET lp_min = 800 WHERE tier_level = 'SILVER'")
        .await;
    assert!(!program.promote(&["P001"], context()).await);
    program.reverse(mistake, context()).await;
    assert_eq!(program.tier("P001").await, "BRONZE");
    program.add_lp("P001", "0.01", context()).await;
    assert_eq!(program.tier("P001").await, "SILVER");
    program.audit().await;
}

#[tokio::test]
async fn a_benefit_that_another_tier_asks_for_stays() {
    let program = Program::new().await;
    program
        .require("PLATINUM", json!({ "cashback_multiplier_min": 1.5 }))
        .await;
    let tiers = app::tiers::list(&program.db).await.unwrap();
    for tier in tiers.iter().rev() {
        let (level, bare) = (&tier.tier_level, json!({ "benefits": null }));
        let changed = app::tiers::update(&program.db, level, &bare, None, &Act::of("test", context())).await;
        // The last tier with the benefit must keep it.
        assert_eq!(changed.is_err(), tier.tier_level == "BRONZE", "{}", tier.tier_level);
    }
    let text = |value: &str| serde_json::from_str::<serde_json::Value>(value).unwrap();
    for (value, is_multiplier) in [
        ("0", true),
        ("1000", true),
        ("1000.1", false),
        ("-0.1", false),
        ("true", false),
    ] {
        let (level, patch) = (
            &tiers[2].tier_level,
            json!({ "benefits": { "lp_multiplier": text(value) } }),
        );
        let changed = app::tiers::update(&program.db, level, &patch, None, &Act::of("test", context())).await;
        assert_eq!(changed.is_ok(), is_multiplier, "{value}");
    }
}

/// Forty players get 1000 or 999.99 points each: one shard, half of whom climb.
#[tokio::test]
async fn rewards_of_a_run_promote_in_the_transaction_that_gives_them() {
    let test = testing::TestDb::new().await;
    test.subscribe().await;
    let db = test.db();
    let plenty = json!({ "prior_wager": { "NEW": 1_000_000 } });
    app::program::settings::put(&db, &json!({ "profit": plenty }), &Act::of("test", context()))
        .await
        .unwrap();
    for number in 0..40 {
        testing::Player::new(&format!("P{number:03}"))
            .deposited(if number % 2 == 0 { "1000" } else { "999.99" })
            .segment("NEW")
            .insert(&db)
            .await;
    }
    let rule = json!({
        "rule_id": "POINTS", "name": "A point for each unit deposited", "conditions": {},
        "reward_config": { "type": "LOYALTY_POINTS", "formula": "total_deposited" },
    });
    app::rules::create(&db, &rule, &Act::of("test", context()))
        .await
        .unwrap();
    let run = app::runs::rule_runs::start_evaluation(
        &db,
        &domain::id::RuleId::parse("POINTS").unwrap(),
        &Act::of("test", context()),
    )
    .await
    .unwrap();
    for _ in 0..2 {
        for message in run.messages() {
            app::runs::rewards::run_shard(&db, message, context()).await.unwrap();
        }
    }
    let count = async |from: &str| test.text(&format!("SELECT count(*) FROM {from}")).await;
    assert_eq!(count("grants").await, "40");
    assert_eq!(count("players WHERE tier = 'SILVER'").await, "20");
    assert_eq!(
        count("tier_history WHERE from_tier = 'BRONZE' AND to_tier = 'SILVER' AND reason = 'qualified'").await,
        "20"
    );
    assert_eq!(count("outbox WHERE event_type = 'tier.changed'").await, "20");
    assert_eq!(
        test.text("SELECT count(*) || ' ' || count(DISTINCT batch_id) FROM reward_triggers")
            .await,
        "20 1"
    );
    assert_eq!(
        test.text("SELECT sum(value)::integer FROM stats WHERE counter = 'tier:SILVER'")
            .await,
        "20"
    );
    testing::audit(&db).await;
}

/// GOLD is removed from the ladder while a player is about to reach it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_climbs_to_a_tier_that_goes_meanwhile() {
    let program = Program::new().await;
    let mut client = program.test.owner().client().await.unwrap();
    let editor = store::begin(&mut client).await.unwrap();
    store::tiers::lock(&editor).await.unwrap();
    let earning = tokio::spawn({
        let db = program.db.clone();
        async move {
            let player_id = domain::id::PlayerId::parse("P001").unwrap();
            let command = app::wallet::AddLp {
                player_id,
                amount: "10000".parse().unwrap(),
                reason: None,
            };
            app::wallet::add_lp(&db, &command, &Act::of("test", context()))
                .await
                .unwrap();
        }
    });
    let waiting = "pg_locks WHERE relation = 'tiers'::regclass AND NOT granted";
    for _ in 0..1_000 {
        if program.count(waiting).await == 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    assert_eq!(program.count(waiting).await, 1);
    assert!(!store::tiers::has_players(&editor, "GOLD").await.unwrap());
    store::tiers::delete(&editor, "GOLD").await.unwrap();
    store::commit(editor).await.unwrap();
    earning.await.unwrap();
    assert_eq!(program.history("P001").await, "BRONZE>SILVER qualified");
    program.audit().await;
}
