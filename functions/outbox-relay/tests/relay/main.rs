//! The relay against real targets on this machine and a real database.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod concurrency;
mod delivery;
mod failure;
mod program;
mod target;
