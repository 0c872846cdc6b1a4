//! What applies to everybody, and what rules read of each player.

pub mod settings;
pub mod snapshots;
