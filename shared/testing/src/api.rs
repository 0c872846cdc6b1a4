//! A function's router on its own database, with a key and a clock that the test can set.

use crate::http::{Response, api_key, call, send};
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

/// The clock that a router takes.
pub type Now = Box<dyn Fn() -> Timestamp + Send + Sync>;

/// The system clock, moved ahead by as much as the test says.
#[derive(Clone, Default)]
pub struct TestClock {
    ahead_us: Arc<AtomicI64>,
}

impl TestClock {
    pub fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "what the test moves")]
        let now = Timestamp::now().as_microsecond();
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

/// Sends requests to one function with a key. Dereferences to its [`TestDb`].
///
/// ```ignore
/// let api = TestApi::new("operator", |db, now| wallet::router(db, now)).await;
/// api.get("/api/wallet/P001").await;
/// ```
pub struct TestApi {
    test: TestDb,
    router: Router,
    key: String,
    clock: TestClock,
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
        let test = TestDb::new().await;
        let clock = TestClock::default();
        Self {
            key: api_key(&test.db(), role).await,
            router: router(test.db(), clock.reader()),
            test,
            clock,
        }
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

    pub async fn put(&self, path: &str, body: Value) -> Response {
        self.send("PUT", path, Some(body)).await
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.send("DELETE", path, None).await
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

    /// Expects a 422 and returns `(pointer, code)` of each of its errors.
    pub async fn errors(&self, method: &str, path: &str, body: Option<Value>) -> Vec<(String, String)> {
        let problem = self.send(method, path, body).await.expect(422);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let errors = problem["errors"].as_array().expect("the errors of a problem");
        errors
            .iter()
            .map(|error| (text(&error["pointer"]), text(&error["code"])))
            .collect()
    }

    /// Sends with a new key that has another role.
    pub async fn send_as(&self, role: &str, method: &str, path: &str, body: Option<Value>) -> Response {
        let key = api_key(&self.test.db(), role).await;
        call(&self.router, method, path, Some(&key), body).await
    }

    /// Panics unless the books hold.
    pub async fn audit(&self) {
        audit(&self.test.db()).await;
    }
}
