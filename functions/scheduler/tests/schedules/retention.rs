//! What retention deletes, and what stays true.

use crate::Program;
use app::Act;
use app::jobs::schedules::Job;
use app::wallet::{AddLp, add_lp};
use domain::idempotency::{Answer, IdempotencyKey};
use serde_json::json;
use testing::Player;

fn key(key: &str, request: u8) -> IdempotencyKey {
    IdempotencyKey {
        scope: "POST /api/wallet/add-lp".into(),
        key: key.into(),
        request_hash: [request; 32],
    }
}

/// Returns `first`, `replayed`, or the code of the refusal.
async fn give(program: &Program, key: &IdempotencyKey) -> &'static str {
    let command = AddLp {
        player_id: "P001".parse().unwrap(),
        amount: "10".parse().unwrap(),
        reason: None,
    };
    let act = Act {
        key: Some(key.clone()),
        ..Act::of("ann", program.context())
    };
    match add_lp(&program.test.db(), &command, &act).await {
        Ok(Answer::First(_)) => "first",
        Ok(Answer::Replayed(_)) => "replayed",
        Err(app::Error::Idempotency(error)) => error.code(),
        Err(error) => panic!("{error}"),
    }
}

#[tokio::test]
async fn a_key_has_no_second_effect_when_its_answer_is_forgotten() {
    let program = Program::at("2026-10-01T12:00:00Z").await;
    Player::new("P001").insert(&program.test.db()).await;
    assert_eq!(give(&program, &key("old", 1)).await, "first");
    program.set("2026-10-20T12:00:00Z");
    assert_eq!(give(&program, &key("new", 1)).await, "first");
    program.set("2026-10-31T11:59:00Z");
    assert_eq!(
        program.start(Job::Retention).await["counts"]["answers_forgotten"],
        0,
        "30 days are not over"
    );
    assert_eq!(give(&program, &key("old", 1)).await, "replayed");
    program.set("2026-10-31T12:01:00Z");
    assert_eq!(program.start(Job::Retention).await["counts"]["answers_forgotten"], 1);

    assert_eq!(give(&program, &key("old", 1)).await, "idempotency_key_expired");
    assert_eq!(give(&program, &key("old", 2)).await, "idempotency_key_reused");
    assert_eq!(give(&program, &key("new", 1)).await, "replayed");
    assert_eq!(
        program
            .test
            .text("SELECT string_agg(key || ' ' || (response = 'null'), ', ' ORDER BY key) FROM idempotency_keys")
            .await,
        "new false, old true"
    );
    assert_eq!(program.test.text("SELECT balance FROM wallets").await, "20.0000");
    program.wait(crate::minutes(1));
    assert_eq!(program.start(Job::Retention).await["counts"]["answers_forgotten"], 0);
    testing::audit(&program.test.owner()).await;
}

#[tokio::test]
async fn the_players_of_a_run_are_forgotten_when_it_has_long_been_over() {
    let program = Program::at("2026-11-22T12:00:00Z").await;
    // An import of 5,001 players that ended 91 days ago, one that ended yesterday, and one that never ended.
    let script = "INSERT INTO players (player_id, tier, created_at) SELECT 'P' || n, 'BRONZE', now()
        FROM generate_series(1, 5001) AS n;
        INSERT INTO stats VALUES ('players_total', 0, 5001), ('players_active', 0, 5001), ('tier:BRONZE', 0, 5001);
        INSERT INTO runs (run_id, kind, scope, rewards, status, shards_total, created_at, created_by, finished_at)
        SELECT id::uuid, 'IMPORT', 'LISTED', true,
          CASE WHEN ended IS NULL THEN 'RUNNING' ELSE 'COMPLETED' END, 0, '2026-08-01', 'test', ended::timestamptz
        FROM (VALUES ('01970000-0000-7000-8000-000000000001', '2026-08-23'),
          ('01970000-0000-7000-8000-000000000002', '2026-11-21'),
                     ('01970000-0000-7000-8000-000000000003', NULL)) AS n (id, ended);
        INSERT INTO run_players SELECT run_id, player_id, 1, true FROM runs, players;
        INSERT INTO imports (import_id, run_id, bucket, object_key, object_version, status, total_rows,
          created_rows, created_at)
        SELECT gen_random_uuid(), run_id, 'b', run_id::text, 'v', 'COMPLETED', 5001, 5001, '2026-08-01' FROM runs";
    program.test.tamper(script).await;
    testing::audit(&program.test.owner()).await;
    let kept = "SELECT string_agg(
          players_kept || ' ' || (SELECT count(*) FROM run_players p WHERE p.run_id = r.run_id),
          ', ' ORDER BY run_id) FROM runs r";

    let (forgotten, _) = app::jobs::retention::forget(
        &program.test.db(),
        app::jobs::retention::Kind::RunPlayers,
        program.context(),
    )
    .await
    .unwrap();
    assert_eq!(
        (forgotten, program.test.text(kept).await.as_str()),
        (5_000, "SOME 1, ALL 5001, ALL 5001")
    );
    testing::audit(&program.test.owner()).await;
    assert_eq!(
        program.start(Job::Retention).await["counts"]["run_players_forgotten"],
        1
    );
    assert_eq!(program.test.text(kept).await, "NONE 0, ALL 5001, ALL 5001");
    testing::audit(&program.test.owner()).await;
}

#[tokio::test]
async fn triggers_scheduled_runs_and_deliveries_that_are_done_with_are_forgotten() {
    let program = Program::at("2026-10-01T04:30:00Z").await;
    Player::new("P001").insert(&program.test.db()).await;
    let script = "INSERT INTO reward_triggers (player_id, trigger, trigger_id, batch_id, occurred_at, created_at,
         evaluated_at, failed_at, error)
        VALUES ('P001', 'DEPOSIT', 'evaluated', gen_random_uuid(), now(), '2026-10-01', '2026-10-01', NULL, NULL),
          ('P001', 'DEPOSIT', 'failed', gen_random_uuid(), now(), '2026-10-01', NULL, '2026-10-01', 'x'),
          ('P001', 'DEPOSIT', 'waiting', gen_random_uuid(), now(), '2026-10-01', NULL, NULL, NULL),
          ('P001', 'DEPOSIT', 'fresh', gen_random_uuid(), now(), '2026-10-25', '2026-10-25', NULL, NULL);
        INSERT INTO webhooks (webhook_id, url, secret, created_at, created_by)
        VALUES ('01970000-0000-7000-8000-000000000001', 'https://example.com', 's', '2026-10-01', 'test');
        INSERT INTO webhook_deliveries (player_id, webhook_id, delivery_id, event_id, event_type, payload,
          occurred_at, status, ended_at)
        SELECT 'P001', webhook_id, number, gen_random_uuid(), 'tier.changed', '{}', ended, 'DELIVERED', ended
        FROM webhooks, (VALUES (1, '2026-10-01'::timestamptz), (2, '2026-10-25')) AS n (number, ended)";
    program.test.tamper(script).await;
    for job in [Job::Audit, Job::Expire] {
        program.start(job).await;
    }
    program.set("2026-10-20T04:30:00Z");
    program.start(Job::Expire).await;
    program.set("2026-11-01T04:30:00Z");
    let counts = program.start(Job::Retention).await["counts"].clone();
    let expected = json!({
        "answers_forgotten": 0, "run_players_forgotten": 0, "triggers_forgotten": 2, "schedule_runs_forgotten": 1,
        "deliveries_forgotten": 1
    });
    assert_eq!(counts, expected);
    assert_eq!(
        program
            .test
            .text("SELECT string_agg(trigger_id, ' ' ORDER BY trigger_id) FROM reward_triggers")
            .await,
        "fresh waiting"
    );
    assert_eq!(
        program
            .test
            .text("SELECT string_agg(delivery_id::text, ' ') FROM webhook_deliveries")
            .await,
        "2"
    );
    let left = "SELECT string_agg(job || to_char(scheduled_for AT TIME ZONE 'UTC', ' MM-DD'), ', '
        ORDER BY job, scheduled_for) FROM schedule_runs";
    assert_eq!(
        program.test.text(left).await,
        "audit 10-01, expire 10-20, retention 11-01",
        "the last run of each job stays"
    );
}
