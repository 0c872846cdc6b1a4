//! Errors as RFC 9457 `application/problem+json`, in one place.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use domain::problem::{FieldErrors, Refusal, RefusalKind};
use futures_util::FutureExt;
use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use std::error::Error;
use std::panic::AssertUnwindSafe;

const CONTENT_TYPE: &str = "application/problem+json";
const RETRY_AFTER_SECONDS: &str = "5";

/// The response to a request that was refused or failed.
///
/// `?` turns every error that converts into a [`Refusal`] into a problem. The cause of an internal failure is logged
/// there, once, and never shown to the caller.
#[derive(Debug, Clone, PartialEq)]
pub struct Problem {
    pub status: StatusCode,
    /// Stable, for programs; empty if the status says enough.
    pub code: &'static str,
    pub detail: String,
    pub errors: FieldErrors,
    /// Further members of the body.
    pub data: Map<String, Value>,
}

impl Problem {
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            status,
            code: "",
            detail: detail.into(),
            errors: FieldErrors::default(),
            data: Map::new(),
        }
    }

    /// An internal failure outside any use case. Logs the cause.
    pub fn internal(cause: &(dyn Error + 'static)) -> Self {
        log_failure(&causes(cause));
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "")
    }

    /// `{type, title, status, detail, instance, errors}` and the data of the refusal.
    fn body(&self, instance: Option<&str>) -> Value {
        let Self {
            status, code, errors, ..
        } = self;
        let detail = match *status {
            StatusCode::INTERNAL_SERVER_ERROR => "internal error; its cause is in the log",
            StatusCode::SERVICE_UNAVAILABLE if self.detail.is_empty() => "temporarily unavailable; try again",
            _ => &self.detail,
        };
        let (problem_type, title) = if code.is_empty() {
            let title = status.canonical_reason().unwrap_or_default();
            ("about:blank".to_owned(), title.to_owned())
        } else {
            (format!("urn:loyalty:problem:{code}"), title(code))
        };
        let mut body = self.data.clone();
        body.insert("type".into(), problem_type.into());
        body.insert("title".into(), title.into());
        body.insert("status".into(), status.as_u16().into());
        body.insert("detail".into(), detail.into());
        if let Some(instance) = instance {
            body.insert("instance".into(), instance.into());
        }
        if !errors.is_empty() {
            body.insert("errors".into(), json!(errors));
        }
        Value::Object(body)
    }

    fn response(self, instance: Option<&str>) -> Response {
        let mut response = (self.status, self.body(instance).to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(CONTENT_TYPE));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
            }
            _ => {}
        }
        response.extensions_mut().insert(self);
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        self.response(None)
    }
}

impl<E: Into<Refusal> + Error> From<E> for Problem {
    fn from(error: E) -> Self {
        let cause = causes(&error);
        let Refusal {
            kind,
            code,
            detail,
            errors,
            data,
        } = error.into();
        let status = match kind {
            RefusalKind::NotFound => StatusCode::NOT_FOUND,
            RefusalKind::Conflict => StatusCode::CONFLICT,
            RefusalKind::Unprocessable => StatusCode::UNPROCESSABLE_ENTITY,
            RefusalKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
            RefusalKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        if status.is_server_error() {
            log_failure(&cause);
        }
        Self {
            status,
            code,
            detail,
            errors,
            data,
        }
    }
}

/// `insufficient_balance` → `Insufficient balance`.
fn title(code: &str) -> String {
    let words = code.replace('_', " ");
    let mut letters = words.chars();
    letters
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + letters.as_str())
        .unwrap_or_default()
}

fn log_failure(cause: &str) {
    tracing::error!(cause, "request failed");
}

/// An error and its sources, outermost first, joined by `: `.
pub fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text.push_str(": ");
        text.push_str(&error.to_string());
        source = error.source();
    }
    text
}

/// The outermost layer: gives every response with a status of 400 or more a problem body, and turns a panic into a 500.
pub(crate) async fn boundary(request: Request, next: Next) -> Response {
    let instance = request.uri().path().to_owned();
    let method = request.method().clone();
    let response = match AssertUnwindSafe(next.run(request)).catch_unwind().await {
        Ok(response) => response,
        Err(panic) => {
            let message = panic
                .downcast_ref::<&str>()
                .copied()
                .or(panic.downcast_ref::<String>().map(String::as_str));
            log_failure(&format!("panic: {}", message.unwrap_or("of unknown kind")));
            Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "").into_response()
        }
    };
    let response = complete(response, &instance).await;
    tracing::info!(%method, path = instance, status = response.status().as_u16(), "answered");
    response
}

async fn complete(mut response: Response, instance: &str) -> Response {
    if response.status().as_u16() < 400 {
        return response;
    }
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        return problem.response(Some(instance));
    }
    if response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value == CONTENT_TYPE)
    {
        return response;
    }
    let (parts, body) = response.into_parts();
    let problem = Problem::new(parts.status, text_of(body).await);
    let mut response = problem.response(Some(instance));
    for name in [header::ALLOW, header::RETRY_AFTER] {
        if let Some(value) = parts.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    response
}

/// The framework's text of a rejection, at most 1,000 bytes. It is short and describes the request only.
async fn text_of(body: Body) -> String {
    let text = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    String::from_utf8_lossy(&text[..text.len().min(1_000)]).into_owned()
}
