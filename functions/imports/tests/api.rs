//! `/api/imports` through the router, on a real database. The bucket is a stand-in, and the test writes the worker's
//! results.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use app::Db;
use app::imports::Object;
use axum::body::Body;
use axum::http::Request;
use domain::access::Role;
use imports::{Imports, Patience};
use lambda::{Access, aws, s3::Bucket};
use serde_json::{Value, json};
use std::time::Duration;
use testing::{Response, TestApi, send};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

const NOBODY: &str = "0199a0b0-0000-7000-8000-000000000001";
const FORM: &str = "multipart/form-data; boundary=x";
const COUNTS: &str =
    "total_rows = 12, created_rows = 6, updated_rows = 2, unchanged_rows = 1, rejected_rows = 3, chunks = 1";

/// Long enough for every test that gets a response.
const PATIENT: Patience = Patience {
    at_most: Duration::from_secs(60),
    between: Duration::from_millis(2),
};
const IMPATIENT: Patience = Patience {
    at_most: Duration::ZERO,
    between: Duration::from_millis(2),
};

struct Stack {
    api: TestApi,
    /// Keys of the objects put into the bucket.
    puts: UnboundedReceiver<String>,
}

fn imports(db: Db, url: &str, patience: Patience) -> Imports {
    let bucket = Bucket::with_config(&aws::stand_in(url), "imports");
    Imports { db, bucket, patience }
}

impl Stack {
    async fn new(patience: Patience) -> Self {
        Self::answering(200, patience).await
    }

    async fn answering(status: u16, patience: Patience) -> Self {
        let (told, puts) = unbounded_channel();
        let answer = move |request: &testing::Request| {
            let path = request.path.split('?').next().unwrap_or_default();
            // A test may have dropped the receiver.
            let _ = told.send(path.trim_start_matches("/imports/").to_owned());
            (status, String::new())
        };
        let api = TestApi::on_cloud("ingest", answer, |db, now, url| {
            let imports = imports(db, url, patience);
            imports::api(&imports).into_router(imports, now)
        });
        Self { api: api.await, puts }
    }

    /// Uploads a file while the worker waits for it.
    async fn upload_and_work(&mut self, columns: &str, more: &str) -> Response {
        let Self { api, puts } = self;
        let working = async {
            let object_key = puts.recv().await.unwrap();
            work(api, &object_key, columns, more).await;
        };
        tokio::join!(upload(api, form("file", b"player_id\n"), FORM), working).0
    }

    async fn upload(&self, body: impl Into<Body>, content_type: &str) -> Response {
        upload(&self.api, body, content_type).await
    }

    async fn get(&self, path: &str) -> Response {
        self.api.send("GET", path, None).await
    }
}

/// Acts as the worker: creates the import of this object, sets its columns, then runs `more`, which uses `$import`
/// and `$run`.
async fn work(api: &TestApi, key: &str, columns: &str, more: &str) -> String {
    let object = Object {
        bucket: "imports".into(),
        key: key.into(),
        version: "v1".into(),
        size_bytes: Some(9),
    };
    let import = app::imports::open(&api.db(), &object, lambda::context()).await.unwrap();
    let (import_id, run_id) = (import.import_id.to_string(), import.run_id.to_string());
    let more = more.replace("$import", &import_id).replace("$run", &run_id);
    api.tamper(&format!(
        "BEGIN; {more}; UPDATE imports SET {columns} WHERE import_id = '{import_id}'; COMMIT"
    ))
    .await;
    import_id
}

async fn upload(api: &TestApi, body: impl Into<Body>, content_type: &str) -> Response {
    let request = Request::post("/api/import/excel")
        .header("authorization", format!("Bearer {}", api.key()))
        .header("content-type", content_type);
    send(api.router(), request.body(body.into()).unwrap()).await
}

/// A form with another part before the file's.
fn form(name: &str, file: &[u8]) -> Vec<u8> {
    let note = "--x\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n";
    let head = format!(
        "Content-Disposition: form-data; name=\"{name}\"; filename=\"../my players.csv\"\r\n\
         Content-Type: text/csv\r\n\r\n"
    );
    [note.as_bytes(), b"--x\r\n", head.as_bytes(), file, b"\r\n--x--\r\n"].concat()
}

fn run(status: &str, done: i32) -> String {
    format!(
        "INSERT INTO runs (run_id, kind, scope, rewards, status, shards_total, shards_done, created_at, created_by)
         VALUES ('$run', 'IMPORT', 'LISTED', true, '{status}', 1, {done}, now(), 'import:$import');
         INSERT INTO run_shards (run_id, shard, first_player_id, last_player_id, players, granted)
         VALUES ('$run', 0, 'P1', 'P9', 9, 4)"
    )
}

#[tokio::test]
async fn each_route_lets_in_its_roles_and_no_other() {
    let stack = Stack::new(IMPATIENT).await;
    let Stack { api, .. } = &stack;
    let table = imports::api(&imports(api.db(), &api.cloud().url, IMPATIENT));
    for route in table.routes() {
        assert_ne!(route.access, Access::Public);
        let path = route.path.replace("{import_id}", NOBODY);
        let method = route.method.as_str();
        assert_eq!(api.send_unknown(method, &path, None).await.status, 401);
        for role in Role::ALL {
            let status = api.send_as(role.as_str(), method, &path, Some(json!({}))).await.status;
            assert_eq!(
                status != 403,
                route.access.allows(role),
                "{method} {path} as {role} returned {status}"
            );
        }
    }
    let closed_to_viewers: Vec<_> = table
        .routes()
        .iter()
        .filter(|route| !route.access.allows(Role::Viewer))
        .map(|route| route.path)
        .collect();
    assert_eq!(closed_to_viewers, ["/api/import/excel", "/api/imports"]);
    assert!(table.routes().iter().all(|route| route.access.allows(Role::Ingest)));
}

#[tokio::test]
async fn an_upload_is_put_into_the_bucket_and_answered_with_its_import() {
    let mut stack = Stack::new(PATIENT).await;
    let more = format!(
        "INSERT INTO import_errors VALUES ('$import', 3, 0, 'total_wagered', 'NaN', 'is not a decimal number'); {}",
        run("COMPLETED", 1)
    );
    let columns = format!("{COUNTS}, status = 'COMPLETED_WITH_ERRORS', warnings = '[\"colour is not known\"]'");
    let mut body = stack.upload_and_work(&columns, &more).await.expect(200);
    let ids = (body["import_id"].take(), body["run_id"].take());
    assert!(ids.0.is_string() && ids.1.is_string());
    let expected = json!({
        "success": true, "import_id": null, "run_id": null, "total_rows": 12, "players_created": 6,
        "players_updated": 2, "players_unchanged": 1, "rows_rejected": 3, "rewards_issued": 4,
        "warnings": ["colour is not known"],
        "errors": [{"line": 3, "column": "total_wagered", "value": "NaN", "reason": "is not a decimal number"}],
    });
    assert_eq!(body, expected);

    let requests = stack.api.cloud().requests();
    let [put] = requests.as_slice() else {
        panic!("{requests:?}")
    };
    let path = put.path.split('?').next().unwrap();
    assert!(
        path.starts_with("/imports/uploads/") && path.ends_with("/my_players.csv"),
        "{path}"
    );
    assert_eq!(
        (put.method.as_str(), put.header("content-type"), put.text().as_str()),
        ("PUT", Some("text/csv"), "player_id\n")
    );
}

#[tokio::test]
async fn a_file_that_changes_nothing_needs_no_run() {
    let mut stack = Stack::new(PATIENT).await;
    let body = stack
        .upload_and_work("total_rows = 1, unchanged_rows = 1, status = 'COMPLETED'", "SELECT 1")
        .await
        .expect(200);
    assert_eq!(
        (&body["players_unchanged"], &body["rewards_issued"]),
        (&json!(1), &json!(0))
    );
}

#[tokio::test]
async fn a_file_that_failed_is_422_with_the_reason() {
    let mut stack = Stack::new(PATIENT).await;
    let problem = stack
        .upload_and_work("status = 'FAILED', failure = 'column player_id is missing'", "SELECT 1")
        .await
        .expect(422);
    assert_eq!(
        (&problem["title"], &problem["detail"]),
        (&json!("Import failed"), &json!("column player_id is missing"))
    );
    let import_id = problem["import_id"].as_str().unwrap();
    let import = stack.get(&format!("/api/imports/{import_id}")).await.expect(200);
    assert_eq!((&import["run_id"], &import["run"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn an_import_that_takes_longer_is_202_with_its_address() {
    let mut stack = Stack::new(IMPATIENT).await;
    let response = stack.upload(form("file", b"player_id\n"), FORM).await;
    let place = response.header("location").unwrap().to_owned();
    assert_eq!(response.expect(202)["import_url"], json!(place));
    assert_eq!(
        stack.get(&place).await.expect(200),
        json!([]),
        "the worker has not begun"
    );

    let object_key = stack.puts.recv().await.unwrap();
    let import_id = work(&stack.api, &object_key, "status = 'RUNNING'", "SELECT 1").await;
    assert_eq!(stack.get(&place).await.expect(200)[0]["import_id"], json!(import_id));
    let import = stack.get(&format!("/api/imports/{import_id}")).await.expect(200);
    assert_eq!((&import["status"], &import["run"]), (&json!("RUNNING"), &Value::Null));
}

#[tokio::test]
async fn an_upload_waits_for_the_run_too() {
    let mut stack = Stack::new(Patience {
        at_most: Duration::from_millis(300),
        ..PATIENT
    })
    .await;
    let body = stack
        .upload_and_work(&format!("{COUNTS}, status = 'COMPLETED'"), &run("RUNNING", 0))
        .await
        .expect(202);
    assert_eq!(
        (&body["status"], &body["run"]["status"]),
        (&json!("COMPLETED"), &json!("RUNNING"))
    );
    assert_eq!(
        body["import_url"],
        json!(format!("/api/imports/{}", body["import_id"].as_str().unwrap()))
    );
}

#[tokio::test]
async fn what_is_no_form_with_a_file_is_refused_and_nothing_is_put() {
    let stack = Stack::new(IMPATIENT).await;
    stack.upload("{}", "application/json").await.expect(415);
    stack.upload(form("file", b""), "multipart/form-data").await.expect(400);
    stack.upload("--x\r\nnonsense", FORM).await.expect(400);
    let problem = stack.upload(form("data", b"player_id\n"), FORM).await.expect(422);
    assert_eq!(problem["errors"][0]["pointer"], "/file");
    assert_eq!(stack.api.cloud().requests().len(), 0);
}

#[tokio::test]
async fn files_of_5_mib_are_taken_and_larger_ones_are_413() {
    let stack = Stack::new(IMPATIENT).await;
    let most = 5 * 1024 * 1024;
    stack.upload(form("file", &vec![b'x'; most]), FORM).await.expect(202);
    stack
        .upload(form("file", &vec![b'x'; most + 1]), FORM)
        .await
        .expect(413);
    stack
        .upload(form("file", &vec![b'x'; 2 * most]), FORM)
        .await
        .expect(413);
    assert_eq!(
        stack
            .api
            .cloud()
            .requests()
            .iter()
            .map(|put| put.body.len())
            .collect::<Vec<_>>(),
        [most]
    );
}

#[tokio::test]
async fn a_bucket_that_refuses_is_503() {
    let stack = Stack::answering(403, IMPATIENT).await;
    let response = stack.upload(form("file", b"player_id\n"), FORM).await;
    assert_eq!(response.header("retry-after"), Some("5"));
    assert_eq!(
        response.expect(503)["detail"],
        "uploads are temporarily unavailable; try again"
    );
}

#[tokio::test]
async fn a_larger_file_gets_an_address_of_its_own_for_15_minutes() {
    let stack = Stack::new(IMPATIENT).await;
    let body = json!({"file_name": "all players.csv", "size": 2_000_000_000});
    let announced = stack.api.post("/api/imports", body).await.expect(201);
    let (url, key) = (
        announced["upload_url"].as_str().unwrap(),
        announced["object_key"].as_str().unwrap(),
    );
    assert!(
        url.starts_with(&format!("{}/imports/{key}?", stack.api.cloud().url)),
        "{url}"
    );
    assert!(
        url.contains("X-Amz-Expires=900") && url.contains("X-Amz-Signature=") && !url.contains("checksum"),
        "{url}"
    );
    assert_eq!(
        stack.get(announced["import_url"].as_str().unwrap()).await.expect(200),
        json!([])
    );
    for (body, pointer) in [
        (json!({"file_name": "x.csv", "size": 0}), "/size"),
        (json!({"file_name": "x.csv", "size": 5_368_709_121_u64}), "/size"),
        (json!({"file_name": " "}), "/file_name"),
        (json!({"file_name": "x.csv", "dry_run": true}), "/dry_run"),
    ] {
        let problem = stack.api.post("/api/imports", body).await.expect(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn imports_are_listed_newest_first() {
    let stack = Stack::new(IMPATIENT).await;
    let first = work(&stack.api, "a.csv", "status = 'COMPLETED'", "SELECT 1").await;
    let second = work(&stack.api, "b.csv", "status = 'COMPLETED'", "SELECT 1").await;
    let response = stack.get("/api/imports?limit=1").await;
    assert_eq!(
        response.header("link"),
        Some("</api/imports?limit=1&skip=1>; rel=\"next\"")
    );
    assert_eq!(response.expect(200)[0]["import_id"], json!(second));
    assert_eq!(
        stack.get("/api/imports?limit=1&skip=1").await.expect(200)[0]["import_id"],
        json!(first)
    );
    stack.get(&format!("/api/imports/{NOBODY}")).await.expect(404);
    stack.get("/api/imports/first").await.expect(422);
}

#[tokio::test]
async fn errors_are_csv_that_no_spreadsheet_runs() {
    let stack = Stack::new(IMPATIENT).await;
    let errors = "INSERT INTO import_errors VALUES
        ('$import', 2, 0, 'name', '=HYPERLINK(\"http://x\",\"y\")', 'is not a name'),
        ('$import', 10, 0, NULL, NULL, 'the row has 3 fields, not 5'),
        ('$import', 10, 1, 'total_won', '1,5', 'is not a decimal number')";
    let import_id = work(&stack.api, "a.csv", "status = 'COMPLETED_WITH_ERRORS'", errors).await;
    let response = stack.get(&format!("/api/imports/{import_id}/errors")).await;
    assert_eq!(
        (response.status, response.header("content-type")),
        (200, Some("text/csv; charset=utf-8"))
    );
    let expected = "line,column,value,reason\r\n2,name,\"'=HYPERLINK(\"\"http://x\"\",\"\"y\"\")\",is not a name\r\n\
                    10,,,\"the row has 3 fields, not 5\"\r\n10,total_won,\"1,5\",is not a decimal number\r\n";
    assert_eq!(String::from_utf8(response.body).unwrap(), expected);
    stack.get(&format!("/api/imports/{NOBODY}/errors")).await.expect(404);
}

#[tokio::test]
async fn a_long_list_of_errors_is_walked_by_cursor() {
    let stack = Stack::new(IMPATIENT).await;
    let errors = "INSERT INTO import_errors SELECT '$import', line, 0, 'name', 'x', 'bad'
        FROM generate_series(2, 10003) AS line";
    let import_id = work(&stack.api, "a.csv", "status = 'COMPLETED_WITH_ERRORS'", errors).await;
    let first = stack.get(&format!("/api/imports/{import_id}/errors")).await;
    let link = first.header("link").unwrap().to_owned();
    assert_eq!(String::from_utf8(first.body).unwrap().lines().count(), 10_001);
    let second = stack.get(&link[1..link.find('>').unwrap()]).await;
    assert_eq!(second.header("link"), None);
    assert_eq!(
        String::from_utf8(second.body).unwrap(),
        "line,column,value,reason\r\n10002,name,x,bad\r\n10003,name,x,bad\r\n"
    );
    stack
        .get(&format!("/api/imports/{import_id}/errors?cursor=x"))
        .await
        .expect(422);
}
