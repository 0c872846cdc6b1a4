//! The tables of the scheduler's jobs.

pub mod audit;
pub mod recovery;
pub mod retention;
pub mod schedules;
