//! The activity stream on a real PostgreSQL: batches, replays, one hot player, and rules that events trigger.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod batches;
mod called;
mod hot;
mod program;
