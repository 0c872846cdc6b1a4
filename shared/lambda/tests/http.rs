//! Requests through a router with one route of each kind.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use axum::body::Body;
use axum::http::{Method, Request, StatusCode};
use axum::{Json, Router};
use domain::access::{ApiKey, Role};
use domain::idempotency::Answer;
use domain::problem::{Refusal, RefusalKind};
use http_body_util::BodyExt;
use lambda::{Access, Acting, Answered, Api, Auth, JsonBody, Keyed, Page, Params, PathParams, Problem};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::ServiceExt;
use uuid::Uuid;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Credit {
    player_id: String,
    amount: rust_decimal::Decimal,
    #[serde(default)]
    lines: Vec<Line>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "a/b")]
    slot: u32,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Filter {
    segment: Option<Segment>,
    min: Option<u32>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Segment {
    Vip,
}

#[derive(Debug, thiserror::Error)]
#[error("wallet of P1 broken")]
struct Broken(#[source] std::io::Error);

impl From<Broken> for Refusal {
    fn from(_: Broken) -> Refusal {
        Refusal::new(RefusalKind::Internal, "", "wallet of P1 broken")
    }
}

async fn credit(JsonBody(credit): JsonBody<Credit>) -> Json<Value> {
    Json(json!({
        "player_id": credit.player_id,
        "amount": credit.amount,
        "lines": credit.lines.iter().map(|line| line.slot).collect::<Vec<_>>(),
    }))
}

async fn list(page: Page, Params(filter): Params<Filter>) -> axum::response::Response {
    let _ = (filter.segment.is_some(), filter.min);
    page.respond((page.skip..page.skip + 2).collect(), i64::to_string)
}

async fn keyed(Keyed { body, act }: Keyed<Value>) -> Answered<Json<Value>> {
    let key = act
        .key
        .map(|key| json!({"scope": key.scope, "key": key.key, "hash": key.request_hash}));
    let key = key.unwrap_or_default();
    Answered::view(if body["again"] == true {
        Answer::Replayed(key)
    } else {
        Answer::First(key)
    })
}

async fn fail() -> Result<(), Broken> {
    Err(Broken(std::io::Error::other("disk on fire")))
}

async fn explode() {
    panic!("on purpose");
}

fn router() -> Router {
    api().into_router((), lambda::clock::now)
}

/// The key `<role>` has the role of that name.
fn api() -> Api<()> {
    let auth = Auth::new(|hash| async move {
        let known = Role::ALL
            .into_iter()
            .find(|role| lambda::auth::hash(role.as_str()) == hash);
        let created_at = jiff::Timestamp::UNIX_EPOCH;
        Ok::<_, Refusal>(known.map(|role| ApiKey {
            key_id: Uuid::nil(),
            name: "test".into(),
            role,
            created_at,
            expires_at: None,
            revoked_at: None,
        }))
    });
    Api::new(auth)
        .post("/credit", Access::Public, credit)
        .get("/list", Access::Public, list)
        .post("/keyed/{id}", Role::Operator, keyed)
        .get(
            "/item/{item_id}",
            Access::Public,
            |PathParams(id): PathParams<Uuid>| async move { Json(id) },
        )
        .get("/fail", Access::Public, || async {
            fail().await.map_err(Problem::from)
        })
        .get("/panic", Access::Public, explode)
        .get("/whoami", Role::Viewer, |Acting(act): Acting| async move { act.actor })
        .put("/whoami", Role::Admin, || async {})
        .get("/either", [Role::Viewer, Role::Ingest], || async {})
        .get("/nobody", Access::Public, |_: Acting| async {})
}

async fn send(request: Request<Body>) -> (StatusCode, axum::http::HeaderMap, Value) {
    let response = router().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        parts.status,
        parts.headers,
        serde_json::from_slice(&body).unwrap_or_default(),
    )
}

async fn post(path: &str, body: impl Into<Body>) -> (u16, Value) {
    let (status, _, body) = send(
        Request::post(path)
            .header("content-type", "application/json")
            .header("authorization", "Bearer operator")
            .body(body.into())
            .unwrap(),
    )
    .await;
    (status.as_u16(), body)
}

async fn get(path: &str) -> (u16, Value) {
    let (status, _, body) = send(Request::get(path).body(Body::empty()).unwrap()).await;
    (status.as_u16(), body)
}

fn place(body: &Value) -> (&str, &str) {
    let error = &body["errors"][0];
    (
        error["pointer"].as_str().unwrap_or_default(),
        error["code"].as_str().unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_wrong_body_is_refused_with_the_place() {
    for (body, expected) in [
        (r#"{"player_id":"P1"}"#, ("/amount", "required")),
        (r#"{"player_id":"P1","amount":1,"amuont":2}"#, ("/amuont", "unknown")),
        (r#"{"player_id":7,"amount":1}"#, ("/player_id", "type")),
        (r#"{"player_id":"P1","amount":"ten"}"#, ("/amount", "format")),
        (
            r#"{"player_id":"P1","amount":1,"lines":[{"a/b":1},{"a/b":-1}]}"#,
            ("/lines/1/a~1b", "format"),
        ),
        (
            r#"{"player_id":"P1","amount":1,"lines":[{}]}"#,
            ("/lines/0/a~1b", "required"),
        ),
        (
            r#"{"player_id":"P1","player_id":"P2","amount":1}"#,
            ("/player_id", "duplicate"),
        ),
        (r#"["P1", 1, []]"#, ("", "type")),
        ("7", ("", "type")),
    ] {
        let (status, problem) = post("/credit", body).await;
        assert_eq!((status, place(&problem)), (422, expected), "{body} gave {problem}");
    }
}

#[tokio::test]
async fn amounts_pass_exactly() {
    let (status, body) = post("/credit", r#"{"player_id":"P1","amount":0.10000000000000000001}"#).await;
    assert_eq!(
        (status, body["amount"].to_string().as_str()),
        (200, "0.10000000000000000001")
    );
}

#[tokio::test]
async fn a_bare_nan_is_a_wrong_value_at_its_place_and_nowhere_a_text() {
    for amount in ["NaN", "Infinity", "-Infinity"] {
        let (status, problem) = post("/credit", format!(r#"{{"player_id": "P\"NaN", "amount": {amount}}}"#)).await;
        assert_eq!(
            (status, problem["errors"][0]["pointer"].as_str()),
            (422, Some("/amount")),
            "{problem}"
        );
    }
    for body in [
        r#"{"player_id": NaN, "amount": 1}"#,
        r#"{"player_id": "P", "amount": NaN"#,
        r#"{"player_id": "P", "amount": NaNs}"#,
    ] {
        assert_eq!(post("/credit", body).await.0, 400, "{body}");
    }
}

#[tokio::test]
async fn an_unreadable_body_is_400_even_behind_a_wrong_field() {
    for body in ["", "{", r#"{"player_id":7,"#, "{\"player_id\":\"\u{1}\"}", "nul"] {
        assert_eq!(post("/credit", body).await.0, 400, "{body:?}");
    }
    assert_eq!(
        post("/credit", b"{\"player_id\":\"\xff\",\"amount\":1}".to_vec())
            .await
            .0,
        400
    );
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    let deep = format!(r#"{{"again":{deep}}}"#);
    assert_eq!(post("/keyed/1", deep).await.0, 400);
}

#[tokio::test]
async fn a_body_that_does_not_say_it_is_json_is_415() {
    for content_type in ["text/plain", "multipart/form-data; boundary=x", "application/jsonx"] {
        let request = Request::post("/credit")
            .header("content-type", content_type)
            .body(Body::from("{}"))
            .unwrap();
        assert_eq!(send(request).await.0, 415, "{content_type}");
    }
    assert_eq!(
        send(Request::post("/credit").body(Body::from("{}")).unwrap()).await.0,
        415
    );
    let request = Request::post("/credit")
        .header("content-type", "Application/JSON; charset=utf-8")
        .body(Body::from("{}"))
        .unwrap();
    assert_eq!(send(request).await.0, 422);
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_413() {
    let (status, problem) = post("/credit", vec![b' '; lambda::BODY_BYTES_MAX + 1]).await;
    assert_eq!((status, problem["title"].as_str()), (413, Some("Payload Too Large")));
}

#[tokio::test]
async fn problems_have_the_form_of_rfc_9457() {
    let (status, headers, problem) = send(Request::get("/nowhere").body(Body::empty()).unwrap()).await;
    assert_eq!(
        (status.as_u16(), headers["content-type"].to_str().unwrap()),
        (404, "application/problem+json")
    );
    let expected = json!({"type": "about:blank", "title": "Not Found", "status": 404,
        "detail": "there is nothing at /nowhere", "instance": "/nowhere"});
    assert_eq!(problem, expected);
    let (_, problem) = get("/list?skip=-1").await;
    let expected = json!({"type": "urn:loyalty:problem:validation", "title": "Validation", "status": 422,
        "detail": "the request is not valid", "instance": "/list",
        "errors": [{"pointer": "?skip", "code": "range", "detail": "must be at least 0"}]});
    assert_eq!(problem, expected);
}

#[tokio::test]
async fn a_wrong_method_is_405_with_those_that_are_allowed() {
    let (status, headers, problem) = send(Request::delete("/credit").body(Body::empty()).unwrap()).await;
    assert_eq!((status.as_u16(), problem["status"].as_u64()), (405, Some(405)));
    assert_eq!(headers["allow"].to_str().unwrap(), "POST");
}

#[tokio::test]
async fn our_own_failures_say_nothing_of_their_cause() {
    for path in ["/fail", "/panic"] {
        let (status, problem) = get(path).await;
        let expected = json!({"type": "about:blank", "title": "Internal Server Error", "status": 500, "instance": path,
            "detail": "internal error; its cause is in the log"});
        assert_eq!((status, problem), (500, expected));
    }
}

#[tokio::test]
async fn wrong_queries_and_paths_are_refused_with_their_name() {
    for (path, expected) in [
        ("/list?skip=x", ("?skip", "type")),
        ("/list?skip=-9223372036854775809", ("?skip", "range")),
        ("/list?limit=0", ("?limit", "range")),
        ("/list?segment=WHALE", ("?segment", "unknown")),
        ("/list?segmnt=VIP", ("?segmnt", "unknown")),
        ("/list?min=many", ("?min", "format")),
        ("/item/17", ("{item_id}", "format")),
    ] {
        let (status, problem) = get(path).await;
        assert_eq!((status, place(&problem)), (422, expected), "{path} gave {problem}");
    }
}

#[tokio::test]
async fn a_full_page_names_the_next_and_keeps_the_filters() {
    let (status, headers, _) = send(
        Request::get("/list?segment=VIP&limit=2&skip=5")
            .body(Body::empty())
            .unwrap(),
    )
    .await;
    assert_eq!(status, 200);
    assert_eq!(
        headers["link"].to_str().unwrap(),
        "</list?segment=VIP&limit=2&cursor=6>; rel=\"next\""
    );
    for path in ["/list", "/list?limit=99999999999999999999999"] {
        assert_eq!(
            send(Request::get(path).body(Body::empty()).unwrap())
                .await
                .1
                .get("link"),
            None,
            "{path}"
        );
    }
}

async fn keyed_with(key: Option<&str>, path: &str, body: &str) -> (u16, Option<String>, Value) {
    let mut request = Request::post(path)
        .header("content-type", "application/json")
        .header("authorization", "Bearer operator");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    let (status, headers, body) = send(request.body(Body::from(body.to_owned())).unwrap()).await;
    (
        status.as_u16(),
        headers
            .get("idempotency-replayed")
            .map(|value| value.to_str().unwrap().to_owned()),
        body,
    )
}

#[tokio::test]
async fn the_same_request_has_the_same_hash_and_another_has_not() {
    let (_, _, first) = keyed_with(Some("k1"), "/keyed/1", r#"{"a":1,"b":2.50}"#).await;
    assert_eq!(
        (first["scope"].as_str(), first["key"].as_str()),
        (Some("POST /keyed/{id}"), Some("k1"))
    );
    let (_, _, same) = keyed_with(Some("k2"), "/keyed/1", "{ \"b\": 2.50,\n \"a\": 1 }").await;
    assert_eq!(first["hash"], same["hash"]);
    for (path, body) in [("/keyed/1", r#"{"a":1,"b":2.51}"#), ("/keyed/2", r#"{"a":1,"b":2.50}"#)] {
        assert_ne!(
            keyed_with(Some("k1"), path, body).await.2["hash"],
            first["hash"],
            "{path} {body}"
        );
    }
}

#[tokio::test]
async fn keys_are_optional_and_bounded() {
    assert_eq!(keyed_with(None, "/keyed/1", "{}").await, (200, None, Value::Null));
    let longest = "k".repeat(128);
    assert_eq!(keyed_with(Some(&longest), "/keyed/1", "{}").await.0, 200);
    for key in ["", "two words", &"k".repeat(129)] {
        let (status, _, problem) = keyed_with(Some(key), "/keyed/1", "{}").await;
        assert_eq!(
            (status, place(&problem)),
            (422, ("Idempotency-Key", "format")),
            "{key:?}"
        );
    }
}

#[tokio::test]
async fn a_replay_is_marked() {
    assert_eq!(keyed_with(Some("k"), "/keyed/1", "{}").await.1, None);
    assert_eq!(
        keyed_with(Some("k"), "/keyed/1", r#"{"again":true}"#)
            .await
            .1
            .as_deref(),
        Some("true")
    );
}

async fn status_as(authorization: Option<&str>, method: Method, path: &str) -> u16 {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(authorization) = authorization {
        request = request.header("authorization", authorization);
    }
    send(request.body(Body::empty()).unwrap()).await.0.as_u16()
}

#[tokio::test]
async fn each_role_may_what_its_route_says() {
    for route in api().routes().iter().filter(|route| route.access != Access::Public) {
        assert_eq!(status_as(None, route.method.clone(), route.path).await, 401);
        for role in Role::ALL {
            let expected = if route.access.allows(role) { 200 } else { 403 };
            let status = status_as(Some(&format!("Bearer {role}")), route.method.clone(), route.path).await;
            assert_eq!(status, expected, "{} {} as {role}", route.method, route.path);
        }
    }
    let allowed = |path, method: Method| {
        let api = api();
        let route = api
            .routes()
            .iter()
            .find(|route| route.path == path && route.method == method)
            .unwrap()
            .clone();
        Role::ALL
            .into_iter()
            .filter(|role| route.access.allows(*role))
            .collect::<Vec<_>>()
    };
    assert_eq!(
        allowed("/whoami", Method::GET),
        [Role::Viewer, Role::Operator, Role::Admin]
    );
    assert_eq!(allowed("/whoami", Method::PUT), [Role::Admin]);
    assert_eq!(allowed("/either", Method::GET), Role::ALL);
}

#[tokio::test]
async fn without_a_known_key_the_answer_is_401_and_says_how() {
    for authorization in [
        None,
        Some("Bearer nobody"),
        Some("Bearer "),
        Some("Basic viewer"),
        Some("viewer"),
        Some("Bearer"),
    ] {
        assert_eq!(
            status_as(authorization, Method::GET, "/whoami").await,
            401,
            "{authorization:?}"
        );
    }
    let (_, headers, _) = send(Request::get("/whoami").body(Body::empty()).unwrap()).await;
    assert_eq!(headers["www-authenticate"].to_str().unwrap(), "Bearer");
    assert_eq!(status_as(Some("bearer viewer"), Method::GET, "/whoami").await, 200);
}

#[tokio::test]
async fn a_public_route_that_asks_for_its_caller_is_closed() {
    assert_eq!(status_as(Some("Bearer admin"), Method::GET, "/nobody").await, 401);
}
