//! The operations API through the router, on a real database; the queue is a stand-in.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use app::{Act, Db};
use axum::Router;
use domain::access::Role;
use domain::webhook::Targets;
use lambda::{Access, aws, sqs::Queue};
use ops::Ops;
use serde_json::{Value, json};
use testing::{Now, Player, TestApi, accept_messages, call};

fn ops(db: Db, url: &str) -> Ops {
    Ops {
        db,
        segmentation: Queue::with_config(&aws::stand_in(url), format!("{url}/1/segmentation")),
        targets: Targets::Public,
    }
}

fn router(db: Db, now: Now, url: &str) -> Router {
    let ops = ops(db, url);
    ops::api(&ops).into_router(ops, now)
}

async fn program() -> TestApi {
    program_with(accept_messages).await
}

async fn program_with(queue: impl Fn(&testing::Request) -> (u16, String) + Send + Sync + 'static) -> TestApi {
    TestApi::on_cloud("admin", queue, router).await
}

/// The shards that were sent to the segmentation queue.
fn shards(api: &TestApi) -> Vec<Value> {
    api.cloud().messages().into_iter().map(|(_, shard)| shard).collect()
}

#[tokio::test]
async fn every_route_lets_in_the_roles_of_its_table_and_no_other() {
    let api = program().await;
    let routes = ops::api(&ops(api.db(), &api.cloud().url));
    let table: Vec<(String, &str)> = routes
        .routes()
        .iter()
        .map(|route| {
            let access = match &route.access {
                Access::Public => "public",
                Access::AnyOf(roles) => roles[0].as_str(),
            };
            (format!("{} {}", route.method, route.path), access)
        })
        .collect();
    let expected = [
        ("GET /", "public"),
        ("GET /health", "public"),
        ("GET /api/health", "public"),
        ("POST /api/batch/process", "operator"),
        ("POST /api/runs", "operator"),
        ("GET /api/runs", "viewer"),
        ("GET /api/runs/{run_id}", "viewer"),
        ("POST /api/cron/expire-points", "operator"),
        ("POST /api/cron/recalculate", "operator"),
        ("GET /api/schedules", "viewer"),
        ("GET /api/schedules/{schedule_run_id}", "viewer"),
        ("GET /api/settings", "viewer"),
        ("PUT /api/settings", "admin"),
        ("GET /api/keys", "admin"),
        ("POST /api/keys", "admin"),
        ("DELETE /api/keys/{key_id}", "admin"),
        ("GET /api/webhooks", "admin"),
        ("POST /api/webhooks", "admin"),
        ("DELETE /api/webhooks/{webhook_id}", "admin"),
        ("POST /api/webhooks/{webhook_id}/ping", "admin"),
        ("GET /api/webhooks/{webhook_id}/deliveries", "admin"),
        (
            "POST /api/webhooks/{webhook_id}/deliveries/{delivery_id}/retry",
            "admin",
        ),
        ("GET /api/audit", "admin"),
    ];
    assert_eq!(table, expected.map(|(route, access)| (route.to_owned(), access)));

    for route in routes.routes().iter().filter(|route| route.access != Access::Public) {
        let path = route.path.replace("{delivery_id}", "1");
        let path = ["{run_id}", "{schedule_run_id}", "{key_id}", "{webhook_id}"]
            .iter()
            .fold(path, |path, id| {
                path.replace(id, "0199a0b0-0000-7000-8000-000000000000")
            });
        let method = route.method.as_str();
        let status = api.send_unknown(method, &path, None).await.status;
        assert_eq!(status, 401, "{method} {path}");
        for role in Role::ALL {
            let status = api.send_as(role.as_str(), method, &path, Some(json!({}))).await.status;
            assert_eq!(
                status != 403,
                route.access.allows(role),
                "{method} {path} as {role} returned {status}"
            );
            assert_ne!(status, 401);
        }
    }
}

#[tokio::test]
async fn the_root_says_what_this_is_and_where_its_documents_are() {
    let api = program().await;
    let root = api.send_unknown("GET", "/", None).await.expect(200);
    assert_eq!(root["name"], "Casino loyalty platform");
    assert_eq!(root["version"], env!("CARGO_PKG_VERSION"));
    let repository = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for document in root["documents"].as_object().unwrap().values() {
        assert!(repository.join(document.as_str().unwrap()).is_file(), "{document}");
    }
    assert_eq!(root["links"]["health"], "/health");
}

#[tokio::test]
async fn health_needs_no_key_and_names_the_schema() {
    let api = program().await;
    let health = api.send_unknown("GET", "/health", None).await.expect(200);
    assert_eq!(
        health,
        json!({
            "status": "ok", "version": env!("CARGO_PKG_VERSION"), "schema_version": store::migrate::newest_version(),
        })
    );
}

#[tokio::test]
async fn health_is_503_behind_the_schema_and_without_a_database() {
    let api = program().await;
    api.tamper("DELETE FROM refinery_schema_history WHERE version > 1")
        .await;
    let response = api.send_unknown("GET", "/health", None).await;
    assert_eq!(response.header("retry-after"), Some("5"));
    let problem = response.expect(503);
    assert_eq!(
        (&problem["schema_version"], &problem["schema_version_expected"]),
        (&json!(1), &json!(store::migrate::newest_version()))
    );

    let db = app::Db::new("postgres://nobody@127.0.0.1:1/none", None).unwrap();
    let gone = api.beside(|_, now| router(db, now, &api.cloud().url));
    let problem = gone.send_unknown("GET", "/health", None).await.expect(503);
    assert_eq!(problem["detail"], "temporarily unavailable; try again");
    let response = gone.send("GET", "/api/settings", None).await;
    assert_eq!(response.status, 503, "nobody gets in while keys cannot be read");
}

#[tokio::test]
async fn settings_begin_with_their_defaults() {
    let api = program().await;
    let settings = api.get("/api/settings").await;
    assert_eq!(
        (&settings["currency"], settings["caps"]["day"].to_string().as_str()),
        (&json!("USD"), "1000")
    );
}

#[tokio::test]
async fn a_put_changes_the_keys_it_names_and_is_audited() {
    let api = program().await;
    let body = json!({"caps": {"day": 500}, "time_zone": "Europe/Vienna"});
    let settings = api.send("PUT", "/api/settings", Some(body)).await.expect(200);
    assert_eq!(
        settings["caps"].to_string(),
        r#"{"day":500,"days_30":20000,"days_7":5000}"#
    );
    let body = json!({"tier_qualification_days": null});
    api.send("PUT", "/api/settings", Some(body)).await.expect(200);
    let settings = api.get("/api/settings").await;
    let seen = (
        &settings["time_zone"],
        settings["caps"]["day"].to_string(),
        &settings["tier_qualification_days"],
    );
    assert_eq!(seen, (&json!("Europe/Vienna"), "500".to_owned(), &Value::Null));

    let audit = api.get("/api/audit?subject=settings").await;
    assert_eq!(audit.as_array().unwrap().len(), 2);
    assert_eq!(
        (&audit[0]["before"], &audit[0]["after"]),
        (
            &json!({"tier_qualification_days": 365}),
            &json!({"tier_qualification_days": null})
        )
    );
    assert_eq!(
        audit[0]["changes"],
        json!([{"pointer": "/tier_qualification_days", "before": 365, "after": null}])
    );
    assert_eq!(audit[1]["before"]["time_zone"], "UTC");
    assert_eq!(
        audit[1]["changes"],
        json!([
            {"pointer": "/caps/day", "before": 1000, "after": 500},
            {"pointer": "/time_zone", "before": "UTC", "after": "Europe/Vienna"},
        ])
    );
    assert!(
        audit[1]["actor"].as_str().unwrap().starts_with("test ("),
        "{}",
        audit[1]["actor"]
    );
}

#[tokio::test]
async fn a_put_is_deep_and_null_removes_an_entry_of_a_map() {
    let api = program().await;
    let put = async |body: Value| api.send("PUT", "/api/settings", Some(body)).await.expect(200);
    let edges = json!({"slots": 0.04, "roulette": 0.027});
    put(json!({"caps": {"day": 400, "days_7": 4000}, "profit": {"game_edge": edges}})).await;
    let patch = json!({"caps": {"day": 300}, "profit": {"game_edge": {"slots": null}, "min_roi": 0.1}});
    let settings = put(patch.clone()).await;
    assert_eq!(
        settings["caps"].to_string(),
        r#"{"day":300,"days_30":20000,"days_7":4000}"#
    );
    assert_eq!(settings["profit"]["game_edge"].get("slots"), None);
    assert_eq!(settings["profit"]["game_edge"]["roulette"].to_string(), "0.027");
    // The same again changes nothing and leaves no trace.
    put(patch).await;
    put(json!({})).await;
    assert_eq!(api.text("SELECT count(*) FROM audit_log").await, "2");
    assert_eq!(api.text("SELECT count(*) FROM settings").await, "2");
}

#[tokio::test]
async fn wrong_settings_are_refused_with_their_places_and_change_nothing() {
    let api = program().await;
    for (body, expected) in [
        (json!({"time_zone": "Mars/Olympus"}), "/time_zone unknown"),
        (
            json!({"unit_cost": {"redemption_rate": 1.01}}),
            "/unit_cost/redemption_rate range",
        ),
        (json!({"profit": {"house_edge": -0.01}}), "/profit/house_edge range"),
        (json!({"segments": {"margin": "much"}}), "/segments/margin format"),
        (json!({"segmentz": {}}), "/segmentz unknown"),
        (json!({"caps": {"dya": 1}}), "/caps/dya unknown"),
        (json!({"currency": null}), "/currency type"),
        (
            json!({"schedules": {"recalculate": "3 am"}}),
            "/schedules/recalculate format",
        ),
        (json!({"schedules": {"recalculate": 3}}), "/schedules/recalculate type"),
        (
            json!({"schedules": {"recalcualte": "03:00"}}),
            "/schedules/recalcualte unknown",
        ),
        (
            json!({"schedules": {"expire_every_minutes": 0}}),
            "/schedules/expire_every_minutes range",
        ),
        (
            json!({"retention": {"run_player_days": 0}}),
            "/retention/run_player_days range",
        ),
    ] {
        assert_eq!(
            api.errors("PUT", "/api/settings", Some(body.clone())).await[0],
            expected,
            "{body}"
        );
    }
    assert_eq!(api.text("SELECT count(*) FROM settings").await, "0");
    assert_eq!(api.text("SELECT count(*) FROM audit_log").await, "0");
}

#[tokio::test]
async fn a_key_is_shown_once_works_and_ends() {
    let api = program().await;
    let created = api
        .post("/api/keys", json!({"name": "dashboard", "role": "viewer"}))
        .await
        .expect(201);
    let key = created["key"].as_str().unwrap();
    assert!(key.len() == 67 && key.starts_with("lk_"), "{key}");
    call(api.router(), "GET", "/api/settings", Some(key), None)
        .await
        .expect(200);
    assert_eq!(
        api.text(&format!(
            "SELECT count(*) FROM api_keys WHERE api_keys::text LIKE '%{}%'",
            &key[3..]
        ))
        .await,
        "0"
    );
    assert_eq!(
        api.text(&format!(
            "SELECT count(*) FROM audit_log WHERE audit_log::text LIKE '%{}%'",
            &key[3..]
        ))
        .await,
        "0"
    );

    let path = format!("/api/keys/{}", created["key_id"].as_str().unwrap());
    let revoked = api.send("DELETE", &path, None).await.expect(200);
    assert!(revoked["revoked_at"].is_string());
    assert_eq!(api.send("DELETE", &path, None).await.expect(200), revoked);
    // Another warm function has not seen the key before.
    let cold = api.beside(|db, now| router(db, now, &api.cloud().url));
    assert_eq!(
        call(cold.router(), "GET", "/api/settings", Some(key), None)
            .await
            .status,
        401
    );
    assert_eq!(
        api.text("SELECT string_agg(action, ' ' ORDER BY audit_id) FROM audit_log")
            .await,
        "key.create key.revoke"
    );
}

#[tokio::test]
async fn wrong_keys_are_refused() {
    let api = program().await;
    for (body, expected) in [
        (json!({"name": "", "role": "viewer"}), "/name format"),
        (json!({"name": "x".repeat(101), "role": "viewer"}), "/name format"),
        (json!({"name": "x", "role": "owner"}), "/role unknown"),
        (json!({"name": "x"}), "/role required"),
        (
            json!({"name": "x", "role": "viewer", "expires_at": "2020-01-01T00:00:00Z"}),
            "/expires_at range",
        ),
    ] {
        assert_eq!(
            api.errors("POST", "/api/keys", Some(body.clone())).await[0],
            expected,
            "{body}"
        );
    }
    api.send("DELETE", "/api/keys/0199a0b0-0000-7000-8000-000000000000", None)
        .await
        .expect(404);
    api.send("DELETE", "/api/keys/first", None).await.expect(422);
}

#[tokio::test]
async fn the_audit_log_is_walked_by_cursor_newest_first() {
    let api = program().await;
    for name in ["a", "b", "c"] {
        api.post("/api/keys", json!({"name": name, "role": "viewer"}))
            .await
            .expect(201);
    }
    let mut path = "/api/audit?limit=2".to_owned();
    let mut names = Vec::new();
    loop {
        let response = api.send("GET", &path, None).await;
        let next = response
            .header("link")
            .map(|link| link[1..link.find('>').unwrap()].to_owned());
        names.extend(
            response
                .expect(200)
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["after"]["name"].as_str().unwrap().to_owned()),
        );
        match next {
            Some(next) => path = next,
            None => break,
        }
    }
    assert_eq!(names, ["c", "b", "a"]);
}

#[tokio::test]
async fn a_batch_becomes_a_run_and_a_message_for_each_shard() {
    let api = program().await;
    for id in ["P001", "P002"] {
        Player::new(id).wagered("5000").won("200").insert(&api.db()).await;
    }
    let response = api
        .post("/api/batch/process", json!({"player_ids": ["P002", "P001", "P002"]}))
        .await;
    let place = response.header("location").unwrap().to_owned();
    let started = response.expect(202);
    assert_eq!((&started["shards"], &started["run_url"]), (&json!(1), &json!(place)));
    assert_eq!(shards(&api), [json!({"run_id": started["run_id"], "shard": 0})]);
    let run = api.get(&place).await;
    let seen = (
        &run["kind"],
        &run["status"],
        &run["trigger_rewards"],
        &run["shards_total"],
        &run["shards_done"],
    );
    assert_eq!(
        seen,
        (&json!("BATCH"), &json!("RUNNING"), &json!(true), &json!(1), &json!(0))
    );
}

#[tokio::test]
async fn a_batch_with_unknown_players_names_them_and_makes_no_run() {
    let api = program().await;
    Player::new("P001").insert(&api.db()).await;
    for (ids, expected) in [
        (json!(["P001", "P404"]), "/player_ids/1 unknown"),
        (json!([]), "/player_ids range"),
        (json!(vec!["P001"; 1001]), "/player_ids range"),
        (json!(["P 1"]), "/player_ids/0 format"),
    ] {
        assert_eq!(
            api.errors("POST", "/api/batch/process", Some(json!({ "player_ids": ids })))
                .await[0],
            expected
        );
    }
    assert_eq!(api.text("SELECT count(*) FROM runs").await, "0");
    assert_eq!(api.cloud().requests().len(), 0);
}

#[tokio::test]
async fn a_recalculation_covers_everybody() {
    let api = program().await;
    let body = json!({"kind": "RECALCULATION", "trigger_rewards": false});
    let nobody = api.post("/api/runs", body.clone()).await.expect(202);
    assert_eq!(api.cloud().requests().len(), 0);
    Player::new("P001").insert(&api.db()).await;
    let started = api.post("/api/runs", body).await.expect(202);
    assert_eq!(shards(&api).len(), 1);

    let running = api.get("/api/runs?status=RUNNING").await;
    assert_eq!(
        (running.as_array().unwrap().len(), &running[0]["run_id"]),
        (1, &started["run_id"])
    );
    let completed = api.get("/api/runs?status=COMPLETED").await;
    assert_eq!(completed[0]["run_id"], nobody["run_id"]);
    assert_eq!(
        api.errors("GET", "/api/runs?status=DONE", None).await[0],
        "?status unknown"
    );
    assert_eq!(
        api.errors("POST", "/api/runs", Some(json!({"kind": "IMPORT"}))).await[0],
        "/kind unknown"
    );
    api.send("GET", "/api/runs/0199a0b0-0000-7000-8000-000000000000", None)
        .await
        .expect(404);
}

#[tokio::test]
async fn a_run_that_cannot_be_sent_is_given_up_and_says_so() {
    let api = program_with(|_| {
        (
            400,
            json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"}).to_string(),
        )
    })
    .await;
    Player::new("P001").insert(&api.db()).await;
    let problem = api
        .post("/api/batch/process", json!({"player_ids": ["P001"]}))
        .await
        .expect(503);
    let run = api
        .get(&format!("/api/runs/{}", problem["run_id"].as_str().unwrap()))
        .await;
    let seen = (&run["status"], &run["error"]);
    assert_eq!(
        seen,
        (
            &json!("COMPLETED_WITH_ERRORS"),
            &json!("the segmentation queue could not be reached")
        )
    );
}

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
