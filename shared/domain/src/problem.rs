//! Why something was refused, in words that do not depend on the way it was asked for.

use serde::Serialize;
use serde_json::{Map, Value};

/// A value that was refused: where it stands, a stable code, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the request body, or `?name` for a query parameter.
    pub pointer: String,
    /// Stable, for programs: `required`, `unknown`, `type`, `range`, `format`, `formula`, `duplicate`.
    pub code: &'static str,
    /// For people: what was found and what was expected.
    pub detail: String,
}

impl FieldError {
    pub fn new(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            pointer: pointer.into(),
            code,
            detail: detail.into(),
        }
    }
}

/// What the caller can do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    /// The request cannot be read.
    BadRequest,
    /// Nobody known is asking.
    Unauthorized,
    /// Who is asking may not.
    Forbidden,
    NotFound,
    MethodNotAllowed,
    /// The state does not allow it: a duplicate, a balance too small, a terminal grant.
    Conflict,
    PayloadTooLarge,
    UnsupportedMediaType,
    /// The request can be read and is not valid.
    Unprocessable,
    TooManyRequests,
    /// Ours; the cause is for the log only.
    Internal,
    /// Not just now; come again.
    Unavailable,
}

/// A refusal with its data. Whatever a use case's error is, one `From` makes it one of these, and one place makes
/// these an answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    pub kind: RefusalKind,
    /// Stable, for programs; empty where the kind says it all.
    pub code: &'static str,
    /// For people. Never the text of an inner error.
    pub detail: String,
    /// The wrong places, of an unprocessable request.
    pub errors: Vec<FieldError>,
    /// Figures, e.g. `available` and `requested` of a balance.
    pub data: Map<String, Value>,
}

impl Refusal {
    pub fn new(kind: RefusalKind, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            data: Map::new(),
        }
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotFound, "", detail)
    }

    /// Readable and not valid, for these reasons.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        Self {
            errors,
            ..Self::new(RefusalKind::Unprocessable, "validation", "the request is not valid")
        }
    }

    /// One wrong place.
    pub fn invalid_at(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError::new(pointer, code, detail)])
    }

    /// Adds a figure.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }
}
