//! Promotions and downgrades on a real PostgreSQL, as the runtime role.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod program;
mod promotions;
mod review;
mod standings;
