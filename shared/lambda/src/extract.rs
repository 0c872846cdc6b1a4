//! Extractors for bodies, queries and path parameters. A refusal names the wrong place.

use crate::problem::Problem;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, RawPathParams, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, Uri};
use bytes::Bytes;
use domain::money::AmountError;
use domain::problem::{FieldError, Refusal, child};
use serde::de::{DeserializeOwned, Error as _, IgnoredAny};
use serde::{Deserialize, Deserializer};
use serde_path_to_error::{Path as ErrorPath, Segment};

/// A JSON body: 400 if it is not JSON, 422 with a JSON pointer if it does not fit `T`. Give `T`
/// `#[serde(deny_unknown_fields)]`, so that a misspelt field is refused too.
#[derive(Debug)]
pub struct JsonBody<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = json_bytes(request, state).await?;
        Ok(Self(read_object(&body)?))
    }
}

/// A JSON body that is read as more than one type; refuses as [`JsonBody`] does.
#[derive(Debug)]
pub struct JsonText(Bytes);

impl JsonText {
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        read_object(&self.0)
    }
}

impl<S: Send + Sync> FromRequest<S> for JsonText {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        Ok(Self(json_bytes(request, state).await?))
    }
}

/// The bytes of a body whose content type is JSON; 415 otherwise.
pub(crate) async fn json_bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    if !is_json(request.headers()) {
        return Err(not_json());
    }
    read(request, state).await
}

/// Like [`json_bytes`], but returns `{}` for a request with neither a body nor a content type.
pub(crate) async fn json_bytes_or_none<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    if request.headers().contains_key(CONTENT_TYPE) {
        return json_bytes(request, state).await;
    }
    match read(request, state).await? {
        bytes if bytes.is_empty() => Ok(Bytes::from_static(b"{}")),
        _ => Err(not_json()),
    }
}

fn not_json() -> Problem {
    Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/json")
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => Problem::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the body has more than {} bytes", crate::BODY_BYTES_MAX),
            ),
            _ => Problem::new(StatusCode::BAD_REQUEST, "the body cannot be read"),
        })
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    let essence = content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}

/// Parses a JSON object; refuses as [`JsonBody`] does. Checks the syntax of the whole body first, so that a truncated
/// body with a wrong field is unreadable (400), not invalid (422).
pub fn read_object<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    if let Err(error) = serde_json::from_slice::<IgnoredAny>(body) {
        return Err(not_a_number::<T>(body).unwrap_or_else(|| unreadable(&error)));
    }
    // serde would accept an array as a struct, field by field.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(Refusal::invalid_at("", "type", "the body must be an object").into());
    }
    deserialize(body)
}

fn deserialize<T: DeserializeOwned>(body: &[u8]) -> Result<T, Problem> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        if error.inner().classify() == serde_json::error::Category::Data {
            Refusal::invalid(field_error(pointer(error.path()), &error.inner().to_string())).into()
        } else {
            unreadable(error.inner())
        }
    })
}

/// Number literals that other languages write and JSON lacks.
const NOT_NUMBERS: [&str; 3] = ["NaN", "-Infinity", "Infinity"];

/// For a body that would be JSON without its bare `NaN` or `Infinity`: a refusal that points at the value, which helps
/// the caller more than "not JSON".
fn not_a_number<T: DeserializeOwned>(body: &[u8]) -> Option<Problem> {
    let text = std::str::from_utf8(body).ok()?;
    let (mut quoted, mut in_string, mut escaped) = (String::with_capacity(text.len() + 2), false, false);
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        match NOT_NUMBERS.iter().find(|word| !in_string && rest.starts_with(**word)) {
            Some(word) => {
                quoted.push_str(&format!("\"{word}\""));
                rest = &rest[word.len()..];
            }
            None => {
                in_string ^= character == '"' && !escaped;
                escaped = character == '\\' && in_string && !escaped;
                quoted.push(character);
                rest = &rest[character.len_utf8()..];
            }
        }
    }
    // If a string is valid there, the quoted body parses: `None`, and the caller reports "not JSON".
    serde_json::from_str::<IgnoredAny>(&quoted).ok()?;
    deserialize::<T>(quoted.as_bytes()).err()
}

fn unreadable(error: &serde_json::Error) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, format!("the body is not JSON: {error}"))
}

/// The path as a JSON pointer (RFC 6901).
fn pointer(path: &ErrorPath) -> String {
    let mut pointer = String::new();
    for segment in path.iter() {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } => pointer.push_str(&child("", key)),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// Turns serde's message into a code, and into the pointer of the missing, unknown or repeated field.
fn field_error(pointer: String, message: &str) -> FieldError {
    let detail = message.rsplit_once(" at line ").map_or(message, |(detail, _)| detail);
    let named = |prefix: &str| detail.strip_prefix(prefix).and_then(|rest| rest.split('`').next());
    if let Some(name) = named("missing field `") {
        return FieldError::new(field(&pointer, name), "required", "is required");
    }
    if let Some(name) = named("unknown field `") {
        return FieldError::new(field(&pointer, name), "unknown", detail);
    }
    if let Some(name) = named("duplicate field `") {
        return FieldError::new(field(&pointer, name), "duplicate", "appears more than once");
    }
    let code = if let Some(code) = AmountError::code_of(detail) {
        code
    } else if detail.starts_with("invalid type") {
        "type"
    } else if detail.starts_with("unknown variant") {
        "unknown"
    } else {
        "format"
    };
    FieldError::new(pointer, code, detail)
}

/// serde's path sometimes includes the field already.
fn field(pointer: &str, name: &str) -> String {
    let last = child("", name);
    if pointer.ends_with(&last) {
        pointer.to_owned()
    } else {
        format!("{pointer}{last}")
    }
}

/// The query without `skip`, `limit` and `cursor`, which belong to [`crate::Page`]; 422 with `?name` if it does not fit
/// `T`.
#[derive(Debug)]
pub struct Params<T>(pub T);

impl<T: DeserializeOwned, S: Sync> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Ok(Self(parse_query(&parts.uri)?))
    }
}

/// A boolean in a query: `true`, `True`, `TRUE` or `1`; `false`, `False`, `FALSE` or `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Flag(pub bool);

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "true" | "True" | "TRUE" | "1" => Ok(Self(true)),
            "false" | "False" | "FALSE" | "0" => Ok(Self(false)),
            other => Err(D::Error::custom(format!("{other:?} is neither true nor false"))),
        }
    }
}

impl From<Flag> for bool {
    fn from(flag: Flag) -> bool {
        flag.0
    }
}

fn parse_query<T: DeserializeOwned>(uri: &Uri) -> Result<T, Refusal> {
    let mut pairs = query_pairs(uri)?;
    pairs.retain(|(name, _)| !crate::page::PARAMETERS.contains(&name.as_str()));
    let text = serde_urlencoded::to_string(&pairs).map_err(|_| Refusal::invalid_at("?", "format", "cannot be read"))?;
    let deserializer = serde_urlencoded::Deserializer::new(form_urlencoded::parse(text.as_bytes()));
    serde_path_to_error::deserialize(deserializer).map_err(|error| {
        let mut field = field_error(pointer(error.path()), &error.inner().to_string());
        field.pointer = format!("?{}", field.pointer.trim_start_matches('/'));
        Refusal::invalid(field)
    })
}

pub(crate) fn query_pairs(uri: &Uri) -> Result<Vec<(String, String)>, Refusal> {
    let query = uri.query().unwrap_or_default();
    serde_urlencoded::from_str(query).map_err(|_| Refusal::invalid_at("?", "format", "the query cannot be read"))
}

/// Path parameters; 422 with `{name}` if they do not fit `T`.
#[derive(Debug)]
pub struct PathParams<T>(pub T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for PathParams<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let names = path_names(parts, state).await;
        match Path::<T>::from_request_parts(parts, state).await {
            Ok(Path(value)) => Ok(Self(value)),
            Err(PathRejection::FailedToDeserializePathParams(error)) => {
                Err(Refusal::invalid_at(format!("{{{}}}", names.join(",")), "format", error.body_text()).into())
            }
            Err(error) => Err(Problem::internal(&error)),
        }
    }
}

async fn path_names<S: Send + Sync>(parts: &mut Parts, state: &S) -> Vec<String> {
    match RawPathParams::from_request_parts(parts, state).await {
        Ok(parameters) => parameters.iter().map(|(name, _)| name.to_owned()).collect(),
        Err(_) => Vec::new(),
    }
}
