//! The settings, and the snapshots of players that rules read.

pub mod earlier;
pub mod settings;
pub mod snapshots;
