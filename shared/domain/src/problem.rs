//! One wrong place in what a caller sent.

use serde::Serialize;

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
        Self { pointer: pointer.into(), code, detail: detail.into() }
    }
}
