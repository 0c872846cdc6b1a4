//! The clock of the requests: the system's in production, one that is set in tests.

use crate::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::StatusCode;
use axum::http::request::Parts;
use domain::context::Context;
use jiff::Timestamp;
use std::sync::Arc;

/// The only place that reads the system's clock; everywhere else `now` is an argument. To the microsecond, as
/// PostgreSQL keeps it: what is written compares equal to what is read.
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}

/// What tells a router the time, e.g. [`now`].
pub trait TellsTime: Fn() -> Timestamp + Send + Sync + 'static {}

impl<F: Fn() -> Timestamp + Send + Sync + 'static> TellsTime for F {}

/// An extractor for handlers that only need the time, or need it more than once. Whoever acts is told it by
/// [`crate::Acting`] and [`crate::Keyed`].
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
