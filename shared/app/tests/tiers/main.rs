//! Promotions and downgrades on a real PostgreSQL, as the runtime role.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod program;
mod promotions;
mod review;
mod standings;
