//! Requests that move value: the caller's idempotency key and a hash of the request.

use crate::auth::Acting;
use crate::extract::{json_bytes_or_none, read_object};
use crate::problem::Problem;
use axum::Json;
use axum::extract::{FromRequest, FromRequestParts, MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use domain::act::Act;
use domain::idempotency::{Answer, IdempotencyKey, KEY_CHARACTERS_MAX};
use domain::problem::Refusal;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

const HEADER: &str = "Idempotency-Key";
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// Extractor for a JSON body, the actor and the optional `Idempotency-Key`. Refuses as [`crate::JsonBody`] does; a
/// request without a body counts as `{}`.
#[derive(Debug)]
pub struct Keyed<T> {
    pub body: T,
    pub act: Act,
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Keyed<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let (mut parts, body) = request.into_parts();
        let key = key_text(&parts.headers)?;
        let Acting(mut act) = Acting::from_request_parts(&mut parts, state).await?;
        let method = parts.method.to_string();
        let path = parts.uri.path().to_owned();
        let route = parts
            .extensions
            .get::<MatchedPath>()
            .map_or(path.as_str(), MatchedPath::as_str);
        let scope = format!("{method} {route}");
        let bytes = json_bytes_or_none(Request::from_parts(parts, body), state).await?;
        let body = read_object(&bytes)?;
        if let Some(key) = key {
            let canonical: Value = read_object(&bytes)?;
            act.key = Some(IdempotencyKey {
                scope,
                key,
                request_hash: hash(&method, &path, &canonical),
            });
        }
        Ok(Self { body, act })
    }
}

fn key_text(headers: &HeaderMap) -> Result<Option<String>, Refusal> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().unwrap_or_default();
    let fits = (1..=KEY_CHARACTERS_MAX).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
    if !fits || values.next().is_some() {
        let detail = format!("must be given once, with 1 to {KEY_CHARACTERS_MAX} visible ASCII characters");
        return Err(Refusal::invalid_at(HEADER, "format", detail));
    }
    Ok(Some(text.to_owned()))
}

/// Independent of whitespace and field order: `serde_json` sorts the fields of a `Value`.
fn hash(method: &str, path: &str, body: &Value) -> [u8; 32] {
    Sha256::new()
        .chain_update(format!("{method} {path}\n{body}"))
        .finalize()
        .into()
}

/// The response to an operation under a key; a replay is marked `Idempotency-Replayed: true`.
pub struct Answered<R>(pub Answer<R>);

impl<V> Answered<Json<V>> {
    pub fn view<T: Into<V>>(answer: Answer<T>) -> Self {
        Self(answer.map(|value| Json(value.into())))
    }
}

impl<R: IntoResponse> IntoResponse for Answered<R> {
    fn into_response(self) -> Response {
        match self.0 {
            Answer::First(response) => response.into_response(),
            Answer::Replayed(response) => ([(REPLAYED, HeaderValue::from_static("true"))], response).into_response(),
        }
    }
}
