//! Calls the operator's webhook targets: signed, with a time limit, and only at permitted addresses.
//!
//! Uses no proxy from the environment and follows no redirects: both would connect to addresses that were not checked.

use crate::problem::causes;
use axum::http::header::{CONTENT_TYPE, USER_AGENT};
use axum::http::{Request, Response};
use bytes::Bytes;
use domain::problem::FieldError;
use domain::webhook::{Attempt, Target, TargetError, Targets, may_connect, signed_text};
use futures_util::future::BoxFuture;
use hmac::{Hmac, KeyInit, Mac};
use http_body_util::{BodyExt, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::dns::Name;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use sha2::Sha256;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tower::Service;
use uuid::Uuid;

pub const SIGNATURE: &str = "x-signature";
pub const EVENT_ID: &str = "x-event-id";
pub const EVENT_TYPE: &str = "x-event-type";

const AGENT: &str = concat!("loyalty-webhooks/", env!("CARGO_PKG_VERSION"));
/// How much of a response is read, and how much of that is kept.
const ANSWER_BYTES_MAX: usize = 4_096;
const ANSWER_CHARACTERS_MAX: usize = 500;
const ERROR_CHARACTERS_MAX: usize = 300;

/// How long a target may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub connect: Duration,
    /// For the whole call, including the connection.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            total: Duration::from_secs(10),
        }
    }
}

/// `WEBHOOK_TARGETS=any` is for the local stack, whose targets are on the same machine; any other value permits the
/// public internet only.
pub fn targets(env: &crate::config::Env) -> Targets {
    match env.optional("WEBHOOK_TARGETS") {
        Some("any") => Targets::Any,
        _ => Targets::Public,
    }
}

/// One request to a target.
#[derive(Debug, Clone, Copy)]
pub struct Letter<'a> {
    pub url: &'a str,
    pub event_id: Uuid,
    pub event_type: &'a str,
    pub body: &'a str,
    /// Part of the signed text.
    pub sent_at: Timestamp,
}

/// Pools connections. Create one per invocation: connections do not survive a freeze of the function.
pub struct Messenger {
    client: Client<HttpsConnector<HttpConnector<CheckedNames>>, Full<Bytes>>,
    targets: Targets,
    limits: Limits,
}

impl Messenger {
    pub fn new(targets: Targets, limits: Limits) -> Result<Self, rustls::Error> {
        let mut http = HttpConnector::new_with_resolver(CheckedNames { targets });
        http.set_connect_timeout(Some(limits.connect));
        http.set_nodelay(true);
        http.enforce_http(false);
        let https = HttpsConnectorBuilder::new()
            .with_tls_config(tls()?)
            .https_or_http()
            .enable_http1()
            .wrap_connector(http);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(https),
            targets,
            limits,
        })
    }

    /// Sends the letter and waits for the response. Failures are part of the returned attempt.
    pub async fn send(&self, letter: Letter<'_>, secret: &str) -> Attempt {
        let started = Instant::now();
        let outcome = self.call(letter, secret).await;
        let (status_code, response, error) = match outcome {
            Ok((status_code, text)) => (Some(status_code), Some(text), None),
            Err(error) => (None, None, Some(shortened(&causes(&error), ERROR_CHARACTERS_MAX))),
        };
        let duration_ms = u32::try_from(started.elapsed().as_millis()).unwrap_or(u32::MAX);
        Attempt {
            attempted_at: letter.sent_at,
            status_code,
            error,
            response,
            duration_ms,
        }
    }

    async fn call(&self, letter: Letter<'_>, secret: &str) -> Result<(u16, String), CallError> {
        // Targets are checked when they are created, but a stored one may predate the check.
        let target = Target::parse(letter.url, self.targets)?;
        let request = Request::post(target.as_str())
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, AGENT)
            .header(EVENT_ID, letter.event_id.to_string())
            .header(EVENT_TYPE, letter.event_type)
            .header(SIGNATURE, signature(secret, letter.sent_at, letter.body))
            .body(Full::new(Bytes::copy_from_slice(letter.body.as_bytes())))?;
        let until = tokio::time::Instant::now() + self.limits.total;
        let late = |_| CallError::Late(self.limits.total);
        let response = tokio::time::timeout_at(until, self.client.request(request))
            .await
            .map_err(late)??;
        let status_code = response.status().as_u16();
        // The status alone decides; a missing or late body does not change the outcome.
        let mut bytes = Vec::new();
        let _ = tokio::time::timeout_at(until, read(response, &mut bytes)).await;
        Ok((
            status_code,
            shortened(&String::from_utf8_lossy(&bytes), ANSWER_CHARACTERS_MAX),
        ))
    }
}

#[derive(Debug, thiserror::Error)]
enum CallError {
    #[error("the target {0}")]
    Target(#[from] TargetError),
    #[error("the request could not be built")]
    Request(#[from] axum::http::Error),
    #[error("no response within {0:?}")]
    Late(Duration),
    #[error("no response")]
    Call(#[from] hyper_util::client::legacy::Error),
}

async fn read<B: axum::body::HttpBody<Data = Bytes> + Unpin>(mut response: Response<B>, bytes: &mut Vec<u8>) {
    while bytes.len() < ANSWER_BYTES_MAX {
        let Some(Ok(frame)) = response.body_mut().frame().await else {
            return;
        };
        if let Some(data) = frame.data_ref() {
            bytes.extend_from_slice(&data[..data.len().min(ANSWER_BYTES_MAX - bytes.len())]);
        }
    }
}

/// Cuts the text and replaces NUL, which PostgreSQL does not store in text.
fn shortened(text: &str, characters: usize) -> String {
    text.chars()
        .take(characters)
        .map(|character| {
            if character == '\0' {
                char::REPLACEMENT_CHARACTER
            } else {
                character
            }
        })
        .collect()
}

/// `t=<seconds since 1970>,v1=<hex of HMAC-SHA256>`, computed over the time and the body with the secret's text as key.
pub fn signature(secret: &str, sent_at: Timestamp, body: &str) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(secret.as_bytes()).expect("HMAC takes a key of any length");
    mac.update(signed_text(sent_at, body).as_bytes());
    format!(
        "t={},v1={}",
        sent_at.as_second(),
        hex::encode(mac.finalize().into_bytes())
    )
}

/// Checks a target as a call would: its URL, and the addresses that its name has now. A refusal carries `pointer`, the
/// place in the request.
pub async fn check(pointer: &str, url: &str, targets: Targets) -> Result<Target, FieldError> {
    let refused = |code, detail: String| FieldError::new(pointer, code, detail);
    let target = Target::parse(url, targets).map_err(|error| refused(code(&error), error.to_string()))?;
    if let (Some((name, port)), Targets::Public) = (target.name(), targets) {
        look_up(name, port, targets)
            .await
            .map_err(|error| refused("address", error.to_string()))?;
    }
    Ok(target)
}

fn code(error: &TargetError) -> &'static str {
    match error {
        TargetError::NotPublic(_) => "address",
        _ => "format",
    }
}

#[derive(Debug, thiserror::Error)]
enum NameError {
    #[error("{0} currently has no address")]
    Unknown(String),
    #[error("{name} is at {address}, which is not an address of the public internet")]
    NotPublic { name: String, address: IpAddr },
}

/// All addresses of a name, if every one is permitted. One that is not refuses the whole name.
async fn look_up(name: &str, port: u16, targets: Targets) -> Result<Vec<SocketAddr>, NameError> {
    let unknown = || NameError::Unknown(name.to_owned());
    let found: Vec<SocketAddr> = tokio::net::lookup_host((name, port))
        .await
        .map_err(|_| unknown())?
        .collect();
    match found.iter().find(|found| !may_connect(found.ip(), targets)) {
        Some(found) => Err(NameError::NotPublic {
            name: name.to_owned(),
            address: found.ip(),
        }),
        None if found.is_empty() => Err(unknown()),
        None => Ok(found),
    }
}

/// Resolver that gives the connector exactly the addresses it checked, so that DNS rebinding between check and
/// connection has no effect.
#[derive(Clone)]
struct CheckedNames {
    targets: Targets,
}

impl Service<Name> for CheckedNames {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = NameError;
    type Future = BoxFuture<'static, Result<Self::Response, NameError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), NameError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let targets = self.targets;
        // The connector sets the port.
        Box::pin(async move { Ok(look_up(name.as_str(), 0, targets).await?.into_iter()) })
    }
}

fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let roots: rustls::RootCertStore = webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Expected value computed with Python's `hmac`.
    #[test]
    fn the_signature_is_that_of_other_programs() {
        assert_eq!(
            signature("whsec_test", at(1_772_366_400), r#"{"a":1}"#),
            "t=1772366400,v1=f0fe3dd99865a9267d4ee54763cb20d5ec1ce23dbc563e4217bc69f19912aae0"
        );
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_refused_where_it_is_given() {
        for (url, code) in [
            ("https://localhost/hook", "address"),
            ("https://[::1]/", "address"),
            ("http://example.com/", "format"),
        ] {
            let error = check("/url", url, Targets::Public).await.unwrap_err();
            assert_eq!((error.pointer.as_str(), error.code), ("/url", code), "{url}");
        }
        assert!(check("/url", "http://localhost/hook", Targets::Any).await.is_ok());
        assert!(check("/url", "https://8.8.8.8/", Targets::Public).await.is_ok());
    }

    #[tokio::test]
    async fn a_name_that_has_come_to_mean_this_machine_is_not_called() {
        let messenger = Messenger::new(Targets::Public, Limits::default()).unwrap();
        for url in [
            "https://localhost/hook",
            "https://127.0.0.1/hook",
            "http://localhost/hook",
        ] {
            let letter = Letter {
                url,
                event_id: Uuid::nil(),
                event_type: "ping",
                body: "{}",
                sent_at: at(1),
            };
            let attempt = messenger.send(letter, "secret").await;
            let error = attempt.error.unwrap();
            assert_eq!(attempt.status_code, None);
            assert!(
                error.contains("not an address of the public internet") || error.contains("must begin with https"),
                "{error}"
            );
        }
    }

    #[test]
    fn text_is_cut_by_characters_and_kept_storable() {
        assert_eq!(shortened("äöü", 2), "äö");
        assert_eq!(shortened("a\0b", 5), "a\u{fffd}b");
    }
}
