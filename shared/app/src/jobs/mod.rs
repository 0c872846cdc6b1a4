//! The scheduler's jobs.

pub mod audit;
pub mod expiry;
pub mod recovery;
pub mod retention;
pub mod schedules;
