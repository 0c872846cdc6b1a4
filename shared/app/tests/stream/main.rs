//! The activity stream against a real PostgreSQL: batches, replays, one hot player, and what events call.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod batches;
mod called;
mod hot;
mod program;
