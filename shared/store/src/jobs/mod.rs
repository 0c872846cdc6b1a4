//! What the scheduler's jobs read and write.

pub mod audit;
pub mod recovery;
pub mod retention;
pub mod schedules;
