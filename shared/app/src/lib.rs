//! Use cases: lock and load in sorted order, decide with the domain's pure functions, append, commit.
//! Each exists as `op(db, …)` and, where another use case needs it, as `op_in_tx(tx, …)`.

pub mod error;

pub use error::{Error, Result};
pub use store::Db;
