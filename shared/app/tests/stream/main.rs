//! The activity stream on a real PostgreSQL: batches, replays, one hot player, and rules that events trigger.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod batches;
mod called;
mod hot;
mod program;
