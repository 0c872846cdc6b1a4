//! What pure code and the database cannot provide: the time and new ids. Functions pass in those of their platform.

use jiff::Timestamp;
use uuid::Uuid;

#[derive(Debug, Clone, Copy)]
pub struct Context {
    pub now: Timestamp,
    /// Creates a UUIDv7.
    pub new_id: fn() -> Uuid,
}
