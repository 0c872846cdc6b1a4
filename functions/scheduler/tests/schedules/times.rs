//! When jobs start.

use crate::{Program, at, minutes, only};
use app::jobs::schedules::{Job, RunStatus};
use futures_util::future::join_all;
use scheduler::Event;
use serde_json::json;

#[tokio::test]
async fn a_program_that_begins_has_nothing_to_make_good() {
    let program = Program::at("2026-11-22T12:00:30Z").await;
    assert_eq!(program.tick().await, []);
    program.wait(minutes(1));
    assert_eq!(program.tick().await, [Job::Recover]);
    program.wait(minutes(4));
    assert_eq!(program.tick().await, [Job::Recover, Job::Expire]);
    assert_eq!(program.runs().await, "null", "no nightly job until its time comes");
}

#[tokio::test]
async fn a_scheduled_time_runs_once_however_often_it_fires() {
    let program = Program::at("2026-11-22T12:00:00Z").await;
    program
        .settings(only(json!({ "recalculate": "03:00", "risk_scan": "03:00" })))
        .await;
    program.tick().await;
    program.set("2026-11-23T03:00:10Z");
    let worked: Vec<Job> = join_all((0..16).map(|_| program.tick())).await.concat();
    assert_eq!(worked.len(), 2, "{worked:?}");
    for _ in 0..3 {
        program.wait(minutes(1));
        assert_eq!(program.tick().await, []);
    }
    assert_eq!(
        program.runs().await,
        "recalculate 11-23 03:00 COMPLETED\nrisk_scan 11-23 03:00 COMPLETED"
    );
    assert_eq!(
        program
            .test
            .text("SELECT count(*) || ' ' || min(created_by) FROM runs")
            .await,
        "1 schedule"
    );
    program.set("2026-11-24T02:59:59Z");
    assert_eq!(program.tick().await, []);
    program.set("2026-11-24T03:00:00Z");
    assert_eq!(program.tick().await, [Job::Recalculate, Job::RiskScan]);
    testing::audit(&program.test.owner()).await;
}

#[tokio::test]
async fn the_last_of_the_missed_times_is_made_good_once_and_says_how_many_it_stands_for() {
    let program = Program::at("2026-11-20T12:00:00Z").await;
    program
        .settings(only(json!({ "risk_scan": "04:00", "expire_every_minutes": 5 })))
        .await;
    program.tick().await;
    program.set("2026-11-23T09:17:00Z");
    assert_eq!(program.tick().await, [Job::Expire, Job::RiskScan]);
    assert_eq!(program.tick().await, []);
    // The scans of 21 and 22 November are skipped; so are all sweeps of three days less 2:45 h except the last.
    let runs =
        "SELECT string_agg(job || ' ' || to_char(scheduled_for AT TIME ZONE 'UTC', 'DD HH24:MI') || ' ' || skipped,
          ', ' ORDER BY job) FROM schedule_runs";
    assert_eq!(
        program.test.text(runs).await,
        "expire 23 09:15 830, risk_scan 23 04:00 2"
    );
}

/// Ticks every ten minutes through a night, twice each. Returns when each nightly job ran.
async fn nights(zone: &str, from: &str, until: &str, schedules: serde_json::Value) -> String {
    let program = Program::at(from).await;
    program.settings(json!({ "time_zone": zone })).await;
    program.settings(only(schedules)).await;
    let until = at(until);
    while program.context().now < until {
        program.tick().await;
        program.tick().await;
        program.wait(minutes(10));
    }
    program.runs().await
}

#[tokio::test]
async fn every_schedule_runs_once_in_the_night_that_skips_an_hour() {
    let defaults = json!({
        "tier_review": "02:30", "recalculate": "03:00", "risk_scan": "04:00", "retention": "04:30", "audit": "05:00"
    });
    let runs = nights(
        "Europe/Berlin",
        "2026-03-28T12:00:00Z",
        "2026-03-29T12:00:00Z",
        defaults,
    )
    .await;
    // At 01:00 UTC the clocks go from 02:00 to 03:00.
    let expected = [
        "recalculate 03-29 01:00 COMPLETED",
        "tier_review 03-29 01:00 COMPLETED",
        "risk_scan 03-29 02:00 COMPLETED",
        "retention 03-29 02:30 COMPLETED",
        "audit 03-29 03:00 COMPLETED",
    ];
    assert_eq!(runs, expected.join("\n"));
}

#[tokio::test]
async fn every_schedule_runs_once_in_the_night_that_has_an_hour_twice() {
    let defaults = json!({
        "tier_review": "02:30", "recalculate": "03:00", "risk_scan": "04:00", "retention": "04:30", "audit": "05:00"
    });
    let runs = nights(
        "Europe/Berlin",
        "2026-10-24T12:00:00Z",
        "2026-10-25T12:00:00Z",
        defaults,
    )
    .await;
    // 02:30 is at 00:30 UTC, and again at 01:30.
    let expected = [
        "tier_review 10-25 00:30 COMPLETED",
        "recalculate 10-25 02:00 COMPLETED",
        "risk_scan 10-25 03:00 COMPLETED",
        "retention 10-25 03:30 COMPLETED",
        "audit 10-25 04:00 COMPLETED",
    ];
    assert_eq!(runs, expected.join("\n"));
}

#[tokio::test]
async fn a_midnight_that_does_not_exist_is_when_the_clocks_are_put_forward() {
    let midnight = json!({ "risk_scan": "00:00", "retention": "00:30" });
    let runs = nights(
        "America/Santiago",
        "2026-09-05T18:00:00Z",
        "2026-09-06T18:00:00Z",
        midnight,
    )
    .await;
    assert_eq!(runs, "retention 09-06 04:00 COMPLETED\nrisk_scan 09-06 04:00 COMPLETED");
}

#[tokio::test]
async fn a_job_that_is_switched_on_or_moved_begins_with_its_next_time() {
    let program = Program::at("2026-11-22T12:00:00Z").await;
    program.settings(only(json!({}))).await;
    program.tick().await;
    program.set("2026-11-23T11:59:00Z");
    assert_eq!(program.tick().await, [], "all jobs are off");
    // 10:00 has passed today.
    program.settings(only(json!({ "risk_scan": "10:00" }))).await;
    program.wait(minutes(1));
    assert_eq!(program.tick().await, []);
    program.settings(only(json!({ "risk_scan": "12:01" }))).await;
    program.wait(minutes(1));
    assert_eq!(program.tick().await, [Job::RiskScan]);
}

#[tokio::test]
async fn a_job_waits_for_the_end_of_its_last_run() {
    let program = Program::at("2026-11-22T12:00:00Z").await;
    program.settings(only(json!({ "expire_every_minutes": 1 }))).await;
    program.tick().await;
    program.wait(minutes(1));
    app::jobs::schedules::plan(&program.test.db(), program.context())
        .await
        .unwrap();
    let claimed = app::jobs::schedules::claim(&program.test.db(), None, program.context())
        .await
        .unwrap()
        .unwrap();
    program.wait(jiff::SignedDuration::from_secs(59));
    assert_eq!(
        app::jobs::schedules::plan(&program.test.db(), program.context())
            .await
            .unwrap(),
        []
    );
    program.wait(minutes(1));
    // Its worker was killed: first that run ends, then the time that it blocked is made up for.
    assert_eq!(program.tick().await, [Job::Expire]);
    assert_eq!(program.tick().await, [Job::Expire]);
    let runs = "SELECT string_agg(
          to_char(scheduled_for AT TIME ZONE 'UTC', 'HH24:MI') || ' ' || skipped || ' ' || status,
          ', ' ORDER BY scheduled_for) FROM schedule_runs";
    assert_eq!(program.test.text(runs).await, "12:01 0 COMPLETED, 12:02 0 COMPLETED");
    assert_eq!(claimed.run.attempts, 1);
}

#[tokio::test]
async fn a_job_started_by_hand_runs_once_for_its_time() {
    let program = Program::at("2026-11-23T03:00:10Z").await;
    let by_hand = |job, time: Option<&str>| Event {
        job,
        scheduled_for: time.map(at),
    };
    for _ in 0..3 {
        let event = by_hand(Some(Job::Recalculate), Some("2026-11-22T03:00:00Z"));
        let worked = program.scheduler.handle(event).await.unwrap().schedule_runs;
        assert_eq!(
            (worked.len(), worked[0].status, worked[0].run_id.is_some()),
            (1, RunStatus::Completed, true)
        );
    }
    assert_eq!(program.test.text("SELECT count(*) FROM runs").await, "1");
    let now = program.start(Job::Audit).await;
    assert_eq!(
        (&now["status"], &now["started_by"], &now["scheduled_for"]),
        (&json!("COMPLETED"), &json!("by hand"), &json!("2026-11-23T03:00:10Z"))
    );
    for event in [
        by_hand(Some(Job::Audit), Some("2026-11-23T03:00:11Z")),
        by_hand(None, Some("2026-11-22T03:00:00Z")),
    ] {
        assert!(program.scheduler.handle(event).await.is_err());
    }
    assert!(serde_json::from_str::<Event>(r#"{"job":"everything"}"#).is_err());
    assert!(serde_json::from_str::<Event>(r#"{"jobs":"audit"}"#).is_err());
}
