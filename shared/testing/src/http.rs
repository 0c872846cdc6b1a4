//! Requests to a function's router, without a socket.

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, Method, Request, header};
use http_body_util::BodyExt;
use serde_json::Value;
use sha2::{Digest, Sha256};
use store::Db;
use tower::ServiceExt;
use uuid::Uuid;

#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// `null` when the body is not JSON.
    pub json: Value,
}

impl Response {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Asserts the status and returns the body.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self.json
    }
}

/// Sends one request with an optional key and JSON body.
pub async fn call(router: &Router, method: &str, path: &str, key: Option<&str>, body: Option<Value>) -> Response {
    let mut request = Request::builder()
        .method(method.parse::<Method>().expect("a method"))
        .uri(path);
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let body = match body {
        Some(json) => {
            request = request.header(header::CONTENT_TYPE, "application/json");
            Body::from(json.to_string())
        }
        None => Body::empty(),
    };
    send(router, request.body(body).expect("a request")).await
}

/// Sends any request: with other headers, or a body that is not JSON.
pub async fn send(router: &Router, request: Request<Body>) -> Response {
    let response = router.clone().oneshot(request).await.expect("a router always answers");
    let (parts, body) = response.into_parts();
    let body = body.collect().await.expect("read the body").to_bytes().to_vec();
    let json = serde_json::from_slice(&body).unwrap_or_default();
    Response {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body,
        json,
    }
}

/// Stores a new key with `role` (`viewer`, `ingest`, `operator`, `admin`) and returns its text.
pub async fn api_key(db: &Db, role: &str) -> String {
    let key = format!("test-{}", Uuid::now_v7().simple());
    let hash = Sha256::digest(key.as_bytes()).to_vec();
    let client = db.client().await.expect("connect");
    client
        .execute(
            "INSERT INTO api_keys (key_id, key_hash, name, role, created_at) VALUES ($1, $2, 'test', $3, now())",
            &[&Uuid::now_v7(), &hash, &role],
        )
        .await
        .expect("insert the key");
    key
}
