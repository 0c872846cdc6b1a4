//! Why a request was refused, independent of how it was made.

use serde::Serialize;
use serde_json::{Map, Value};

/// A refused value: where it is, a stable code, and what was expected.
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

/// All errors of a document, each with its place.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct FieldErrors(Vec<FieldError>);

impl FieldErrors {
    pub fn one(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        FieldError::new(pointer, code, detail).into()
    }

    pub fn push(&mut self, pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) {
        self.0.push(FieldError::new(pointer, code, detail));
    }

    pub fn is_none(&self) -> bool {
        self.0.is_empty()
    }

    /// Removes an error that repeats the one before it.
    pub fn dedup(&mut self) {
        self.0.dedup();
    }

    /// Returns `value` if there are no errors, otherwise the errors.
    pub fn none_or<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }

    /// Moves the errors to places within `pointer`.
    pub fn within(self, pointer: &str) -> Self {
        let placed = |error: FieldError| FieldError {
            pointer: format!("{pointer}{}", error.pointer),
            ..error
        };
        self.into_iter().map(placed).collect()
    }
}

impl From<FieldError> for FieldErrors {
    fn from(error: FieldError) -> Self {
        Self(vec![error])
    }
}

impl std::ops::Deref for FieldErrors {
    type Target = [FieldError];

    fn deref(&self) -> &[FieldError] {
        &self.0
    }
}

impl IntoIterator for FieldErrors {
    type Item = FieldError;
    type IntoIter = std::vec::IntoIter<FieldError>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl FromIterator<FieldError> for FieldErrors {
    fn from_iter<I: IntoIterator<Item = FieldError>>(errors: I) -> Self {
        Self(errors.into_iter().collect())
    }
}

impl Extend<FieldError> for FieldErrors {
    fn extend<I: IntoIterator<Item = FieldError>>(&mut self, errors: I) {
        self.0.extend(errors);
    }
}

/// On one line, for a log or the reason of a run.
impl std::fmt::Display for FieldErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{} {}", error.pointer, error.detail)?;
        }
        Ok(())
    }
}

impl std::error::Error for FieldErrors {}

/// Appends one reference token to `pointer` (RFC 6901).
pub fn child(pointer: &str, key: impl std::fmt::Display) -> String {
    format!("{pointer}/{}", key.to_string().replace('~', "~0").replace('/', "~1"))
}

/// What the caller can do about a refusal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefusalKind {
    NotFound,
    /// The state does not allow it: a duplicate, an insufficient balance, a terminal grant.
    Conflict,
    /// The request can be parsed but is invalid.
    Unprocessable,
    /// An internal error; the cause goes to the log only.
    Internal,
    /// Temporarily impossible; the caller should retry.
    Unavailable,
}

impl From<FieldErrors> for Refusal {
    fn from(errors: FieldErrors) -> Self {
        Self::invalid(errors)
    }
}

/// A refusal with its data. Each use case's error converts into it with one `From`, and one place turns it into a
/// response.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    pub kind: RefusalKind,
    /// Stable, for programs; empty where the kind says everything.
    pub code: &'static str,
    /// For people. Never contains the text of an inner error.
    pub detail: String,
    /// The invalid places of an unprocessable request.
    pub errors: FieldErrors,
    /// Figures, such as `available` and `requested` for a balance.
    pub data: Map<String, Value>,
}

impl Refusal {
    pub fn new(kind: RefusalKind, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            kind,
            code,
            detail: detail.into(),
            errors: FieldErrors::default(),
            data: Map::new(),
        }
    }

    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(RefusalKind::NotFound, "", detail)
    }

    /// A request that can be parsed but has these errors.
    pub fn invalid(errors: impl Into<FieldErrors>) -> Self {
        Self {
            errors: errors.into(),
            ..Self::new(RefusalKind::Unprocessable, "validation", "the request is not valid")
        }
    }

    /// A request with one invalid place.
    pub fn invalid_at(pointer: impl Into<String>, code: &'static str, detail: impl Into<String>) -> Self {
        Self::invalid(FieldErrors::one(pointer, code, detail))
    }

    /// Adds a figure.
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.data.insert(name.to_owned(), value.into());
        self
    }
}
