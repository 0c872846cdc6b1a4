//! The only place that reads the clock; everywhere else `now` is an argument.

use jiff::Timestamp;

/// To the microsecond, as PostgreSQL keeps it: what is written compares equal to what is read.
pub fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "the one place")]
    let now = Timestamp::now();
    Timestamp::from_microsecond(now.as_microsecond()).unwrap_or(now)
}
