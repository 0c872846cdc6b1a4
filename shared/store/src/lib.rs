//! The only crate that contains SQL. Folders are nouns, as in `app`. Statements are set-based: the number of round
//! trips does not depend on the size of the batch.

#[doc(hidden)]
pub mod columns;
mod db;
mod error;
mod row;
mod select;
mod statement;
mod tls;

pub use db::{Client, Db, Executor, RetryCause, Tx, begin, commit, snapshot, try_again};
pub use error::{Error, Result};

pub mod activity;
pub mod imports;
pub mod jobs;
pub mod migrate;
pub mod platform;
pub mod players;
pub mod program;
pub mod rules;
pub mod runs;
pub mod tiers;
pub mod wallet;
