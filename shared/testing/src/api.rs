//! A function's router on its own database, with a key and a clock that the test can set.

use crate::http::{Response, api_key, call, send};
use crate::stand_in::{self, StandIn};
use crate::{TestDb, audit};
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use store::Db;
use uuid::Uuid;

/// The clock that a router takes.
pub type Now = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// The system clock, or one that stands still; moved ahead by as much as the test says.
#[derive(Clone, Default)]
pub struct TestClock {
    /// `None`: the system clock.
    stands_at: Option<Timestamp>,
    ahead_us: Arc<AtomicI64>,
}

impl TestClock {
    /// A clock that only the test moves.
    pub fn standing_at(now: Timestamp) -> Self {
        Self {
            stands_at: Some(now),
            ..Self::default()
        }
    }

    pub fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "what the test moves")]
        let now = self.stands_at.unwrap_or_else(Timestamp::now).as_microsecond();
        Timestamp::from_microsecond(now + self.ahead_us.load(Ordering::SeqCst)).expect("a time within range")
    }

    pub fn set(&self, now: Timestamp) {
        self.advance(now.duration_since(self.now()));
    }

    pub fn advance(&self, by: SignedDuration) {
        let by = i64::try_from(by.as_micros()).expect("a duration within range");
        self.ahead_us.fetch_add(by, Ordering::SeqCst);
    }

    fn reader(&self) -> Now {
        let clock = self.clone();
        Box::new(move || clock.now())
    }
}

/// Sends requests to one function with a key. Dereferences to its [`TestDb`]. Clones share everything, for requests at
/// the same time.
///
/// ```no_run
/// use axum::{Router, routing::get};
/// use testing::TestApi;
///
/// # async fn example() {
/// let router = |_db, _now| Router::new().route("/api/wallet/{player_id}", get(async || "{}"));
/// let api = TestApi::new("operator", router).await;
/// api.get("/api/wallet/P001").await;
/// # }
/// ```
#[derive(Clone)]
pub struct TestApi {
    test: Arc<TestDb>,
    router: Router,
    key: String,
    clock: TestClock,
    cloud: Option<Arc<StandIn>>,
}

impl Deref for TestApi {
    type Target = TestDb;

    fn deref(&self) -> &TestDb {
        &self.test
    }
}

impl TestApi {
    /// Creates a database, a key with `role`, and the router.
    pub async fn new(role: &str, router: impl FnOnce(Db, Now) -> Router) -> Self {
        Self::start(role, None, router).await
    }

    /// For a function that calls the cloud, whose stand-in responds as `answer` says. `router` gets its address.
    pub async fn on_cloud(
        role: &str,
        answer: impl Fn(&stand_in::Request) -> (u16, String) + Send + Sync + 'static,
        router: impl FnOnce(Db, Now, &str) -> Router,
    ) -> Self {
        let cloud = Arc::new(StandIn::start(answer).await);
        let url = cloud.url.clone();
        Self::start(role, Some(cloud), |db, now| router(db, now, &url)).await
    }

    async fn start(role: &str, cloud: Option<Arc<StandIn>>, router: impl FnOnce(Db, Now) -> Router) -> Self {
        let test = TestDb::new().await;
        let clock = TestClock::default();
        Self {
            key: api_key(&test.db(), role).await,
            router: router(test.db(), clock.reader()),
            test: Arc::new(test),
            clock,
            cloud,
        }
    }

    /// Another function, or another instance of this one, on the same database with the same key and clock.
    pub fn beside(&self, router: impl FnOnce(Db, Now) -> Router) -> Self {
        Self {
            test: self.test.clone(),
            router: router(self.test.db(), self.clock.reader()),
            key: self.key.clone(),
            clock: self.clock.clone(),
            cloud: self.cloud.clone(),
        }
    }

    /// # Panics
    /// Unless it was made with [`TestApi::on_cloud`].
    pub fn cloud(&self) -> &StandIn {
        self.cloud.as_ref().expect("a stand-in for the cloud")
    }

    pub fn clock(&self) -> &TestClock {
        &self.clock
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub fn router(&self) -> &Router {
        &self.router
    }

    /// Sends a request with any method and returns the response, whatever its status.
    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        call(&self.router, method, path, Some(&self.key), body).await
    }

    /// Returns the body of a 200.
    pub async fn get(&self, path: &str) -> Value {
        self.send("GET", path, None).await.expect(200)
    }

    pub async fn post(&self, path: &str, body: Value) -> Response {
        self.send("POST", path, Some(body)).await
    }

    /// Sends a POST with an idempotency key.
    pub async fn keyed(&self, path: &str, key: &str, body: Value) -> Response {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_string()))
            .expect("a request");
        send(&self.router, request).await
    }

    /// Expects a 422 and returns `pointer code` of each of its errors.
    pub async fn errors(&self, method: &str, path: &str, body: Option<Value>) -> Vec<String> {
        let problem = self.send(method, path, body).await.expect(422);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors = problem["errors"].as_array().expect("the errors of a problem");
        errors
            .iter()
            .map(|error| format!("{} {}", text(&error["pointer"]), text(&error["code"])))
            .collect()
    }

    /// Sends with a new key that has another role.
    pub async fn send_as(&self, role: &str, method: &str, path: &str, body: Option<Value>) -> Response {
        let key = api_key(&self.test.db(), role).await;
        call(&self.router, method, path, Some(&key), body).await
    }

    /// Sends without a key.
    pub async fn send_unknown(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        call(&self.router, method, path, None, body).await
    }

    /// Panics unless the books hold.
    pub async fn audit(&self) {
        audit(&self.test.db()).await;
    }
}

/// A body for a snapshot: indented, with `[id]` for each UUID and `[time]` for each instant.
pub fn snapshot(body: &Value) -> String {
    let mut body = body.clone();
    mask(&mut body);
    serde_json::to_string_pretty(&body).expect("a body as text")
}

fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(mask),
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::String(text) if text.parse::<Uuid>().is_ok() => *text = "[id]".into(),
        Value::String(text) if text.parse::<Timestamp>().is_ok() => *text = "[time]".into(),
        _ => {}
    }
}
