//! Use cases: lock and load in sorted order, decide with the domain's pure functions, append, commit.
//! Each exists as `op(db, …)` and, where another use case needs it, as `op_in_tx(tx, …)`.

mod idempotent;
mod issue;

pub mod error;
pub mod wallet;
//pub mod snapshot;
pub mod segmentation;
pub mod runs;
//pub mod program;
//pub mod imports;
pub mod context;
pub mod keys;
pub mod settings;

pub use context::Context;
pub use error::{Error, Result};
pub use store::Db;
