//! Use cases: lock and load in sorted order, decide with the domain's pure functions, append, commit. Folders are named
//! by noun, as in `store`. A use case is `op(db, …)`; if others use it within their transaction, also `op_in_tx(tx,
//! …)`.

pub mod activity;
pub mod error;
pub mod imports;
pub mod jobs;
pub mod platform;
pub mod players;
pub mod program;
pub mod rules;
pub mod runs;
pub mod tiers;
pub mod wallet;

pub use domain::act::Act;
pub use domain::context::Context;
pub use error::{Error, Result};
pub use store::{Db, migrate};
