//! What the pure and the stored cannot give: the time and new ids. Functions pass in those of their platform.

use jiff::Timestamp;
use uuid::Uuid;

#[derive(Debug, Clone, Copy)]
pub struct Context {
    pub now: Timestamp,
    /// Makes a UUIDv7.
    pub new_id: fn() -> Uuid,
}
