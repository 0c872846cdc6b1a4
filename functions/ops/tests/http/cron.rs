//! `/api/cron` and `/api/schedules`: jobs by hand, and their runs.

use super::*;

/// A player with expired points that the audit accepts.
async fn with_points_that_are_over(api: &TestApi) {
    Player::new("P001").insert(&api.db()).await;
    let lot = "INSERT INTO wallets VALUES ('P001', 'LP', 10, 1);
        INSERT INTO postings (player_id, asset, version, transaction_id, kind, house, direction, amount, balance_after,
          reference, actor, created_at)
        VALUES ('P001', 'LP', 1, gen_random_uuid(), 'manual_credit', 'house:adjustment', 1, 10, 10,
          'key-1', 'test', '2026-01-01');
        INSERT INTO point_lots VALUES ('P001', 'LP', 1, 10, 10, '2026-01-01', '2026-01-02')";
    api.tamper(lot).await;
}

#[tokio::test]
async fn expiry_by_hand_names_its_run_and_happens_once_under_a_key() {
    let api = program().await;
    with_points_that_are_over(&api).await;
    let first = api.keyed("/api/cron/expire-points", "k1", json!({})).await;
    let place = first.header("location").unwrap().to_owned();
    let run = first.expect(200);
    assert_eq!(
        (&run["job"], &run["status"], &run["counts"]["point_lots_expired"]),
        (&json!("expire"), &json!("COMPLETED"), &json!(1))
    );
    assert!(
        run["started_by"].as_str().unwrap().starts_with("test ("),
        "{}",
        run["started_by"]
    );
    assert_eq!(api.get(&place).await, run);
    assert_eq!(api.text("SELECT balance FROM wallets").await, "0.0000");

    let again = api.keyed("/api/cron/expire-points", "k1", json!({})).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(200), run);
    let other = api.post("/api/cron/expire-points", json!({})).await.expect(200);
    assert_eq!(
        (
            &other["counts"]["players"],
            other["schedule_run_id"] == run["schedule_run_id"]
        ),
        (&json!(0), false)
    );
    assert_eq!(api.text("SELECT count(*) FROM schedule_runs").await, "2");
    api.audit().await;
}

#[tokio::test]
async fn an_expiry_that_fails_says_so_and_is_tried_again_later() {
    let api = program().await;
    with_points_that_are_over(&api).await;
    api.tamper("ALTER TABLE lot_movements RENAME TO mislaid").await;
    let run = api.send("POST", "/api/cron/expire-points", None).await.expect(202);
    assert_eq!(
        (&run["status"], &run["error"]),
        (&json!("RUNNING"), &json!("the database failed"))
    );
    assert!(run["next_attempt_at"].as_str() > run["created_at"].as_str());
}

#[tokio::test]
async fn a_recalculation_by_hand_is_a_run_and_happens_once_under_a_key() {
    let api = program().await;
    Player::new("P001").insert(&api.db()).await;
    let first = api.keyed("/api/cron/recalculate", "k1", json!({})).await;
    let place = first.header("location").unwrap().to_owned();
    let started = first.expect(202);
    assert_eq!((&started["shards"], &started["run_url"]), (&json!(1), &json!(place)));
    let again = api.keyed("/api/cron/recalculate", "k1", json!({})).await;
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    assert_eq!(again.expect(202), started);
    assert_eq!(shards(&api), [json!({"run_id": started["run_id"], "shard": 0})]);
    assert_eq!(api.get(&place).await["kind"], "RECALCULATION");
    let last = api.get("/api/schedules").await[3]["last_run"].clone();
    assert_eq!(
        (&last["run_id"], &last["status"]),
        (&started["run_id"], &json!("COMPLETED"))
    );
    api.audit().await;
}

#[tokio::test]
async fn schedules_are_shown_with_their_times_and_their_last_runs() {
    let api = program().await;
    api.send(
        "PUT",
        "/api/settings",
        Some(json!({"schedules": {"recalculate": null, "audit": "23:59"}})),
    )
    .await
    .expect(200);
    let schedules = api.get("/api/schedules").await;
    let seen: Vec<(&str, &Value, &Value)> = schedules
        .as_array()
        .unwrap()
        .iter()
        .map(|schedule| {
            (
                schedule["job"].as_str().unwrap(),
                &schedule["daily_at"],
                &schedule["every_minutes"],
            )
        })
        .collect();
    let none = &Value::Null;
    let expected = [
        ("recover", none, &json!(1)),
        ("expire", none, &json!(5)),
        ("tier_review", &json!("02:30"), none),
        ("recalculate", none, none),
        ("risk_scan", &json!("04:00"), none),
        ("retention", &json!("04:30"), none),
        ("audit", &json!("23:59"), none),
    ];
    assert_eq!(seen, expected);
    assert_eq!((&schedules[3]["next_due"], &schedules[0]["last_run"]), (none, none));
    assert!(schedules[6]["next_due"].as_str().unwrap().ends_with("T23:59:00Z"));
    api.send("GET", "/api/schedules/0199a0b0-0000-7000-8000-000000000000", None)
        .await
        .expect(404);
    api.send("GET", "/api/schedules/last", None).await.expect(422);

    let db = api.db();
    api.tamper("INSERT INTO wallets VALUES ('P404', 'LP', 7, 1)").await;
    let id = app::jobs::schedules::start(
        &db,
        app::jobs::schedules::Job::Audit,
        None,
        &Act::of("test", lambda::context()),
    )
    .await
    .unwrap();
    let mut claimed = app::jobs::schedules::claim(&db, Some(id), lambda::context())
        .await
        .unwrap()
        .unwrap();
    app::jobs::schedules::work(&db, &mut claimed, lambda::context())
        .await
        .unwrap();
    let audit = api.get("/api/schedules").await[6]["last_run"].clone();
    assert_eq!(audit["status"], "COMPLETED_WITH_ERRORS");
    let broken = |finding: &&Value| finding["invariant"] == "I7 open lots = balance";
    assert_eq!(
        audit["findings"].as_array().unwrap().iter().find(broken).unwrap()["first"],
        json!(["P404 LP balance 7.0000 lots"])
    );
}
