//! Lost work is found and sent again.

use crate::{Program, minutes, only};
use app::Act;
use app::imports::{self, Applied, Chunk, Object};
use app::jobs::schedules::Job;
use app::runs::{self, rewards, segmentation};
use app::runs::{Rewards, RunStarted, ShardMessage};
use serde_json::{Value, json};
use testing::Player;

/// A run over one player whose message was sent and lost.
async fn lost_run() -> (Program, RunStarted) {
    let program = Program::at("2026-11-22T12:00:00Z").await;
    program.settings(only(json!({ "recover_every_minutes": 1 }))).await;
    program.tick().await;
    Player::new("P001")
        .wagered("5000")
        .won("200")
        .insert(&program.test.db())
        .await;
    let started = runs::start_recalculation(
        &program.test.db(),
        Rewards::Evaluate,
        &Act::of("test", program.context()),
    )
    .await
    .unwrap();
    (program, started)
}

fn message(started: RunStarted) -> (ShardMessage, Value) {
    (
        ShardMessage {
            run_id: started.run_id,
            shard: 0,
        },
        json!({ "run_id": started.run_id, "shard": 0 }),
    )
}

/// The minutes from now at which something is sent, and what.
async fn sent_within(program: &Program, within: i64) -> Vec<(i64, String, Value)> {
    let mut sent = Vec::new();
    for minute in 1..=within {
        let before = program.sent().len();
        program.wait(minutes(1));
        program.tick().await;
        sent.extend(
            program
                .sent()
                .into_iter()
                .skip(before)
                .map(|(queue, body)| (minute, queue, body)),
        );
    }
    sent
}

#[tokio::test]
async fn a_run_whose_messages_were_lost_is_sent_again_to_the_queue_it_waits_for_and_completes() {
    let (program, started) = lost_run().await;
    let (shard, body) = message(started);
    assert_eq!(
        sent_within(&program, 6).await,
        [(5, "segmentation".to_owned(), body.clone())]
    );
    let db = program.test.db();
    // Sent again and delivered twice; the message to the reward queue is lost on purpose.
    for _ in 0..2 {
        assert_eq!(
            segmentation::run_shard(&db, shard, program.context()).await.unwrap(),
            segmentation::Next::Rewards
        );
    }
    assert_eq!(
        sent_within(&program, 6).await,
        [(5, "rewards".to_owned(), body)],
        "the waiting time starts again with each step"
    );
    for _ in 0..2 {
        rewards::run_shard(&db, shard, program.context()).await.unwrap();
    }
    assert_eq!(
        runs::get(&db, started.run_id).await.unwrap().status.as_str(),
        "COMPLETED"
    );
    assert_eq!(sent_within(&program, 30).await, []);
    testing::audit(&program.test.owner()).await;
}

#[tokio::test]
async fn a_run_that_does_not_move_is_sent_ever_more_seldom_and_then_ends() {
    let (program, started) = lost_run().await;
    let times: Vec<i64> = sent_within(&program, 400)
        .await
        .into_iter()
        .map(|(minute, ..)| minute)
        .collect();
    assert_eq!(times, [5, 15, 35, 75, 155, 235]);
    let run = runs::get(&program.test.db(), started.run_id).await.unwrap();
    assert_eq!((run.status.as_str(), run.shards_done), ("COMPLETED_WITH_ERRORS", 1));
    assert_eq!(
        run.error.as_deref(),
        Some("given up: resent repeatedly without progress")
    );
    testing::audit(&program.test.owner()).await;
}

#[tokio::test]
async fn only_open_shards_are_sent_again_and_none_of_a_run_without_rewards_that_is_segmented() {
    let program = Program::at("2026-11-22T12:00:00Z").await;
    let run = |id: &str, rewards| {
        format!(
            "INSERT INTO runs (run_id, kind, scope, rewards, status, shards_total, shards_done, created_at, created_by)
         VALUES ('{id}', 'RECALCULATION', 'ALL', {rewards}, 'RUNNING', 5, 2, '2026-11-22T11:00Z', 'test');
         INSERT INTO run_shards (run_id, shard, first_player_id, last_player_id, segmented_at, rewarded_at, failed_at)
         VALUES ('{id}', 0, 'A', 'B', '2026-11-22T11:00Z', '2026-11-22T11:00Z', NULL),
           ('{id}', 1, 'C', 'D', NULL, NULL, '2026-11-22T11:00Z'),
           ('{id}', 2, 'E', 'F', '2026-11-22T11:00Z', NULL, NULL), ('{id}', 3, 'G', 'H', NULL, NULL, NULL);"
        )
    };
    let (with, without) = (
        "01970000-0000-7000-8000-000000000001",
        "01970000-0000-7000-8000-000000000002",
    );
    program.test.tamper(&(run(with, true) + &run(without, false))).await;
    program.start(Job::Recover).await;
    let mut sent = program.sent();
    sent.sort_by_key(|(queue, body)| (queue.clone(), body.to_string()));
    let expected = [
        ("rewards", with, 2),
        ("segmentation", with, 3),
        ("segmentation", without, 3),
    ];
    assert_eq!(
        sent,
        expected.map(|(queue, run_id, shard)| (queue.to_owned(), json!({ "run_id": run_id, "shard": shard })))
    );
}

#[tokio::test]
async fn a_simulation_is_led_by_its_first_shard_whichever_are_open() {
    let program = Program::at("2026-11-22T12:00:00Z").await;
    let run_id = "01970000-0000-7000-8000-000000000001";
    let run = format!(
        "INSERT INTO runs (run_id, kind, scope, rewards, rule_id, status, shards_total, shards_done, created_at,
         created_by)
         VALUES ('{run_id}', 'SIMULATION', 'ALL', true, 'R', 'RUNNING', 3, 1, '2026-11-22T11:00Z', 'test');
         INSERT INTO run_shards (run_id, shard, first_player_id, last_player_id, segmented_at, rewarded_at)
         VALUES ('{run_id}', 0, 'A', 'B', '2026-11-22T11:00Z', '2026-11-22T11:00Z'),
           ('{run_id}', 1, 'C', 'D', '2026-11-22T11:00Z', NULL),
           ('{run_id}', 2, 'E', 'F', '2026-11-22T11:00Z', NULL)"
    );
    program.test.tamper(&run).await;
    program.start(Job::Recover).await;
    assert_eq!(
        program.sent(),
        [("rewards".to_owned(), json!({ "run_id": run_id, "shard": 0 }))]
    );
}

#[tokio::test]
async fn an_import_without_progress_is_gone_on_with_and_ends_in_the_end() {
    let program = Program::at("2026-11-22T12:00:00Z").await;
    program.settings(only(json!({ "recover_every_minutes": 1 }))).await;
    program.tick().await;
    let db = program.test.db();
    let object = Object {
        bucket: "b".into(),
        key: "k".into(),
        version: "v".into(),
        size_bytes: None,
    };
    let import = imports::open(&db, &object, program.context()).await.unwrap();
    assert_eq!(sent_within(&program, 10).await, []);
    // A chunk without rows: the watermark moves, and the waiting time starts again.
    let chunk = Chunk {
        format: domain::import::Format::Csv,
        rows: vec![],
        errors: vec![],
        warnings: vec![],
        line: 0,
        next_byte: 10,
        next_line: 2,
    };
    let loaded = app::program::Program::load(&db.client().await.unwrap(), program.context().now)
        .await
        .unwrap();
    assert_eq!(
        imports::apply(&db, &import, &chunk, &loaded, program.context())
            .await
            .unwrap(),
        Applied::Advanced
    );
    let message = json!({ "import_id": import.import_id });
    assert_eq!(sent_within(&program, 20).await, [(17, "imports".to_owned(), message)]);
    // As if it had been sent six times already, so that the next attempt is the last.
    program.test.tamper("UPDATE imports SET resends = 6").await;
    assert_eq!(sent_within(&program, 270).await, []);
    let ended = imports::get(&db, import.import_id).await.unwrap();
    assert_eq!(
        (ended.status.as_str(), ended.failure.as_deref()),
        ("FAILED", Some("given up: resent repeatedly without progress"))
    );
    testing::audit(&program.test.owner()).await;
}

#[tokio::test]
async fn triggers_that_wait_are_sent_again_in_batches_the_oldest_first() {
    let program = Program::at("2026-11-22T12:00:00Z").await;
    program.settings(only(json!({ "recover_every_minutes": 1 }))).await;
    program.tick().await;
    Player::new("P001").insert(&program.test.db()).await;
    let (first, second, done) = (
        "01970000-0000-7000-8000-000000000001",
        "01970000-0000-7000-8000-000000000002",
        "01970000-0000-7000-8000-000000000003",
    );
    let triggers = format!(
        "INSERT INTO reward_triggers (player_id, trigger, trigger_id, batch_id, occurred_at, created_at, evaluated_at)
         VALUES ('P001', 'DEPOSIT', 'e1', '{second}', now(), '2026-11-22T12:00:00Z', NULL),
           ('P001', 'DEPOSIT', 'e2', '{second}', now(), '2026-11-22T12:00:00Z', NULL),
           ('P001', 'DEPOSIT', 'e3', '{first}', now(), '2026-11-22T11:59:59Z', NULL),
           ('P001', 'DEPOSIT', 'e4', '{done}', now(), '2026-11-22T11:00Z', '2026-11-22T11:01Z')"
    );
    program.test.tamper(&triggers).await;
    let times = |sent: Vec<(i64, String, Value)>| {
        sent.into_iter()
            .map(|(minute, queue, body)| (minute, queue, body["batch_id"].as_str().unwrap().to_owned()))
            .collect::<Vec<_>>()
    };
    let sent = times(sent_within(&program, 10).await);
    let expected = [
        (1, first),
        (1, second),
        (3, first),
        (3, second),
        (7, first),
        (7, second),
    ];
    assert_eq!(
        sent,
        expected.map(|(minute, batch)| (minute, "rewards".to_owned(), batch.to_owned()))
    );
    program
        .test
        .tamper(&format!(
            "UPDATE reward_triggers SET evaluated_at = now() WHERE batch_id = '{first}'"
        ))
        .await;
    let sent: Vec<i64> = times(sent_within(&program, 300).await)
        .into_iter()
        .map(|(minute, ..)| minute)
        .collect();
    assert_eq!(sent, [5, 21, 53, 117, 181]);
    let given_up = "SELECT string_agg(trigger_id, ' ' ORDER BY trigger_id) FROM reward_triggers
        WHERE error LIKE 'given up%' AND failed_at IS NOT NULL";
    assert_eq!(program.test.text(given_up).await, "e1 e2");
}

#[tokio::test]
async fn what_could_not_be_sent_again_is_tried_at_the_next_tick() {
    let (program, started) = lost_run().await;
    program.wait(minutes(5));
    program.reachable(false);
    assert_eq!(program.tick().await, [Job::Recover]);
    let run = "SELECT status || ' ' || error FROM schedule_runs";
    assert_eq!(
        program.test.text(run).await,
        "RUNNING lost work could not be sent again"
    );
    assert_eq!(program.test.text("SELECT resends FROM runs").await, "0");
    program.reachable(true);
    let before = program.sent().len();
    program.wait(minutes(1));
    assert_eq!(program.tick().await, [Job::Recover]);
    assert_eq!(
        program.sent()[before..],
        [("segmentation".to_owned(), message(started).1)]
    );
    assert_eq!(
        program.test.text(run).await.as_str(),
        "null",
        "an error is cleared by a success"
    );
}
