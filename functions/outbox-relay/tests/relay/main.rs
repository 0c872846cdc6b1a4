//! The relay against real targets on this machine and a real database.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod concurrency;
mod delivery;
mod failure;
mod program;
mod target;
