//! The operations API through the router, on a real database; the queue is a stand-in.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod cron;
mod keys;
mod runs;
mod settings;
mod webhooks;

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
