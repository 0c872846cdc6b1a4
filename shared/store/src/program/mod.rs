//! The settings, and the snapshots of players that rules read.

pub mod settings;
pub mod snapshots;
