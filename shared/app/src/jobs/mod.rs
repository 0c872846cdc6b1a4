//! What the scheduler runs by itself, and what it leaves behind.

pub mod audit;
pub mod expiry;
pub mod recovery;
pub mod retention;
pub mod schedules;
