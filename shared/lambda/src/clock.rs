//! The clock of requests: the system clock in production, a settable one in tests.

use crate::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use domain::context::Context;
use jiff::Timestamp;
use std::sync::Arc;

/// The only place that reads the system clock; everywhere else `now` is an argument. Rounded down to the microsecond,
/// PostgreSQL's precision, so that a stored time compares equal when it is read back.
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// A source of the current time, such as [`now`].
pub trait TellsTime: Fn() -> Timestamp + Send + Sync + 'static {}

impl<F: Fn() -> Timestamp + Send + Sync + 'static> TellsTime for F {}

/// Extractor for handlers that only read, or need the time more than once. Writes get the time from [`crate::Acting`]
/// or [`crate::Keyed`].
#[derive(Clone)]
pub struct Clock(Arc<dyn TellsTime>);

impl Clock {
    pub fn new(clock: impl TellsTime) -> Self {
        Self(Arc::new(clock))
    }

    pub fn now(&self) -> Timestamp {
        (self.0)()
    }

    /// The time and new ids, for one use case.
    pub fn context(&self) -> Context {
        Context {
            now: self.now(),
            new_id: crate::id::uuid_v7,
        }
    }
}

impl<S: Sync> FromRequestParts<S> for Clock {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let clock = parts.extensions.get::<Clock>().cloned();
        clock.ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, ""))
    }
}
