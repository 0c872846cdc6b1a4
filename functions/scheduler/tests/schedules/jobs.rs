//! How a job is worked on.

use crate::{Program, minutes, only};
use app::Act;
use app::jobs::schedules::{self, Job, Progress, RunStatus};
use serde_json::json;

async fn players(program: &Program, count: u32) {
    let script = format!(
        "INSERT INTO players (player_id, tier, created_at) SELECT 'P' || to_char(n, 'FM00000'), 'BRONZE', now()
         FROM generate_series(1, {count}) AS n;
         INSERT INTO player_totals (player_id, total_deposited, total_wagered, total_won, total_withdrawn,
           session_count, playtime_hours, updated_at)
         SELECT player_id, 0, 0, 0, 0, 0, 0, now() FROM players;
         INSERT INTO stats VALUES ('players_total', 0, {count}), ('players_active', 0, {count}),
           ('tier:BRONZE', 0, {count})"
    );
    program.test.tamper(&script).await;
}

#[tokio::test]
async fn a_job_that_was_killed_in_the_middle_of_its_pages_goes_on_where_it_was() {
    let program = Program::at("2026-11-22T12:00:00Z").await;
    players(&program, 2_500).await;
    program.settings(only(json!({ "risk_scan": "04:00" }))).await;
    program.tick().await;
    program.set("2026-11-23T04:00:00Z");
    let db = program.test.db();
    schedules::plan(&db, program.context()).await.unwrap();
    let mut killed = schedules::claim(&db, None, program.context()).await.unwrap().unwrap();
    assert!(matches!(
        schedules::work(&db, &mut killed, program.context())
            .await
            .unwrap()
            .progress,
        Progress::More
    ));
    assert_eq!(
        program
            .test
            .text("SELECT cursor || counts::text FROM schedule_runs")
            .await
            .split(' ')
            .next()
            .unwrap(),
        "P01000{\"players\":"
    );

    program.wait(jiff::SignedDuration::from_secs(59));
    assert_eq!(program.tick().await, [], "its claim still holds");
    program.wait(jiff::SignedDuration::from_secs(1));
    assert_eq!(program.tick().await, [Job::RiskScan]);
    assert_eq!(program.runs().await, "risk_scan 11-23 04:00 COMPLETED");
    assert_eq!(
        program
            .test
            .text("SELECT counts ->> 'players' FROM schedule_runs")
            .await,
        "2500",
        "each page runs once"
    );
    // The worker was not killed, only slow: it learns that another took over, and saves nothing.
    assert!(matches!(
        schedules::work(&db, &mut killed, program.context())
            .await
            .unwrap()
            .progress,
        Progress::Lost
    ));
    assert_eq!(
        program
            .test
            .text("SELECT counts ->> 'players' FROM schedule_runs")
            .await,
        "2500"
    );
}

#[tokio::test]
async fn who_runs_out_of_time_leaves_the_rest_to_the_next_tick() {
    let program = Program::at("2026-11-23T04:00:00Z").await;
    players(&program, 1_500).await;
    let db = program.test.db();
    let id = schedules::start(&db, Job::RiskScan, None, &Act::of("ann", program.context()))
        .await
        .unwrap();
    let mut claimed = schedules::claim(&db, Some(id), program.context())
        .await
        .unwrap()
        .unwrap();
    schedules::work(&db, &mut claimed, program.context()).await.unwrap();
    assert_eq!(schedules::claim(&db, Some(id), program.context()).await.unwrap(), None);
    schedules::leave(&db, &claimed, program.context()).await.unwrap();
    assert_eq!(program.tick().await, [Job::RiskScan]);
    assert_eq!(
        program
            .test
            .text("SELECT status || (counts ->> 'players') FROM schedule_runs")
            .await,
        "COMPLETED1500"
    );
}

#[tokio::test]
async fn a_job_that_fails_is_tried_again_ever_later_and_then_given_up() {
    let program = Program::at("2026-11-22T12:00:00Z").await;
    program.settings(only(json!({ "risk_scan": "04:00" }))).await;
    program.tick().await;
    program.test.tamper("ALTER TABLE signals RENAME TO mislaid").await;
    program.set("2026-11-23T04:00:00Z");
    let mut tried = Vec::new();
    for minute in 0..120 {
        if program.tick().await == [Job::RiskScan] {
            tried.push(minute);
        }
        program.wait(minutes(1));
    }
    assert_eq!(tried, [0, 1, 3, 7, 15, 31]);
    let failed = &schedules::list(&program.test.db(), program.context().now)
        .await
        .unwrap()[4];
    let run = failed.last_run.as_ref().unwrap();
    assert_eq!(
        (failed.job, run.status, run.error.as_deref()),
        (Job::RiskScan, RunStatus::Failed, Some("the database failed"))
    );
    program.test.tamper("ALTER TABLE mislaid RENAME TO signals").await;
    program.set("2026-11-24T04:00:00Z");
    program.tick().await;
    assert_eq!(
        program.runs().await,
        "risk_scan 11-23 04:00 FAILED\nrisk_scan 11-24 04:00 COMPLETED"
    );
}

#[tokio::test]
async fn a_failure_that_passes_leaves_no_trace_but_the_later_end() {
    let program = Program::at("2026-11-23T04:00:00Z").await;
    program.test.tamper("ALTER TABLE signals RENAME TO mislaid").await;
    let failed = program.start(Job::RiskScan).await;
    assert_eq!(
        (&failed["status"], &failed["error"], &failed["next_attempt_at"]),
        (
            &json!("RUNNING"),
            &json!("the database failed"),
            &json!("2026-11-23T04:01:00Z")
        )
    );
    program.test.tamper("ALTER TABLE mislaid RENAME TO signals").await;
    program.wait(minutes(1));
    program.tick().await;
    assert_eq!(
        program
            .test
            .text("SELECT status || coalesce(error, '') FROM schedule_runs WHERE job = 'risk_scan'")
            .await,
        "COMPLETED"
    );
}

#[tokio::test]
async fn a_job_that_kills_its_worker_each_time_is_given_up() {
    let program = Program::at("2026-11-23T04:00:00Z").await;
    let db = program.test.db();
    let id = schedules::start(&db, Job::RiskScan, None, &Act::of("ann", program.context()))
        .await
        .unwrap();
    for attempt in 1..=6 {
        let claimed = schedules::claim(&db, Some(id), program.context())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            (claimed.run.attempts, claimed.run.status),
            (attempt, RunStatus::Running)
        );
        program.wait(minutes(1));
    }
    assert_eq!(program.tick().await, [Job::RiskScan]);
    let run = schedules::get(&db, id).await.unwrap();
    let error = "given up after 6 attempts: the worker was stopped before a page was done";
    assert_eq!((run.status, run.error.as_deref()), (RunStatus::Failed, Some(error)));
}

#[tokio::test]
async fn a_run_is_made_once_with_the_row_of_its_schedule() {
    let program = Program::at("2026-11-23T03:00:00Z").await;
    players(&program, 10).await;
    let db = program.test.db();
    let id = schedules::start(&db, Job::Recalculate, None, &Act::of("ann", program.context()))
        .await
        .unwrap();
    let mut killed = schedules::claim(&db, Some(id), program.context())
        .await
        .unwrap()
        .unwrap();
    program.wait(minutes(1));
    let mut other = schedules::claim(&db, Some(id), program.context())
        .await
        .unwrap()
        .unwrap();
    assert!(matches!(
        schedules::work(&db, &mut other, program.context())
            .await
            .unwrap()
            .progress,
        Progress::Started(_)
    ));
    assert!(matches!(
        schedules::work(&db, &mut killed, program.context())
            .await
            .unwrap()
            .progress,
        Progress::Lost
    ));
    assert_eq!(program.test.text("SELECT count(*) FROM runs").await, "1");
    assert_eq!(
        program
            .test
            .text("SELECT s.status || ' ' || r.status FROM schedule_runs s JOIN runs r USING (run_id)")
            .await,
        "COMPLETED RUNNING"
    );
    testing::audit(&program.test.owner()).await;
}

#[tokio::test]
async fn an_audit_that_finds_something_says_what() {
    let program = Program::at("2026-11-23T05:00:00Z").await;
    let sound = program.start(Job::Audit).await;
    assert_eq!(
        (
            &sound["status"],
            &sound["counts"]["invariants_broken"],
            &sound["findings"]
        ),
        (&json!("COMPLETED"), &json!(0), &json!(null))
    );
    program
        .test
        .tamper("INSERT INTO wallets VALUES ('P001', 'LP', 7, 1)")
        .await;
    program.wait(minutes(1));
    let broken = program.start(Job::Audit).await;
    assert_eq!(broken["status"], "COMPLETED_WITH_ERRORS");
    assert_eq!(
        broken["error"],
        format!("{} invariants are broken", broken["findings"].as_array().unwrap().len())
    );
    let finding = broken["findings"]
        .as_array()
        .unwrap()
        .iter()
        .find(|finding| finding["invariant"] == "I7 open lots = balance")
        .unwrap();
    assert_eq!(
        (&finding["rows"], &finding["first"]),
        (&json!(1), &json!(["P001 LP balance 7.0000 lots"]))
    );
}

#[tokio::test]
async fn what_is_due_expires_by_itself() {
    let program = Program::at("2026-11-23T05:00:30Z").await;
    program.settings(only(json!({ "expire_every_minutes": 5 }))).await;
    program.tick().await;
    players(&program, 1_100).await;
    let lots = "INSERT INTO wallets SELECT player_id, 'LP', 10, 1 FROM players;
        INSERT INTO postings (player_id, asset, version, transaction_id, kind, house, direction, amount,
          balance_after, reference, actor, created_at)
        SELECT player_id, 'LP', 1, gen_random_uuid(), 'manual_credit', 'house:adjustment', 1, 10, 10, player_id,
          'test', '2026-11-01' FROM players;
        INSERT INTO point_lots SELECT player_id, 'LP', 1, 10, 10, '2026-11-01', '2026-11-23T05:04:00Z' FROM players";
    program.test.tamper(lots).await;
    program.set("2026-11-23T05:05:00Z");
    assert_eq!(program.tick().await, [Job::Expire]);
    assert_eq!(
        program
            .test
            .text("SELECT counts ->> 'point_lots_expired' FROM schedule_runs")
            .await,
        "1100"
    );
    assert_eq!(program.test.text("SELECT sum(balance) FROM wallets").await, "0.0000");
}

#[tokio::test]
async fn who_climbs_in_a_tier_review_has_rules_evaluated_because_of_it() {
    let program = Program::at("2026-11-22T12:00:00Z").await;
    program.settings(only(json!({ "tier_review": "02:30" }))).await;
    program.tick().await;
    let db = program.test.db();
    testing::Player::new("P001").insert(&db).await;
    let points = app::wallet::AddLp {
        player_id: "P001".parse().unwrap(),
        amount: "600".parse().unwrap(),
        reason: None,
    };
    app::wallet::add_lp(&db, &points, &Act::of("ann", program.context()))
        .await
        .unwrap();
    app::tiers::update(
        &db,
        "SILVER",
        &json!({ "lp_min": 500 }),
        None,
        &Act::of("ann", program.context()),
    )
    .await
    .unwrap();

    program.set("2026-11-23T02:30:00Z");
    assert_eq!(program.tick().await, [Job::TierReview]);
    assert_eq!(program.test.text("SELECT tier FROM players").await, "SILVER");
    let counts = "SELECT counts FROM schedule_runs";
    let expected = json!({ "players": 1, "promoted": 1, "demoted": 0, "due_announced": 0, "recovered": 0 });
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&program.test.text(counts).await).unwrap(),
        expected
    );
    let batch_id = program
        .test
        .text("SELECT batch_id FROM reward_triggers WHERE trigger = 'TIER_CHANGED'")
        .await;
    assert_eq!(
        program.sent(),
        [("rewards".to_owned(), json!({ "batch_id": batch_id }))]
    );
    testing::audit(&program.test.owner()).await;
}
