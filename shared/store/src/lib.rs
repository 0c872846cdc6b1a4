//! The only crate that knows SQL. A folder is a noun, as in `app`; statements are set-based: a fixed number of round
//! trips whatever the size of the batch.

#[doc(hidden)]
pub mod columns;
mod db;
mod error;
mod page;
mod row;
mod select;
mod statement;
mod tls;

pub use db::{Client, Db, Executor, RetryCause, Tx, begin, commit, snapshot, try_again};
pub use error::{Error, Result};
pub use page::Page;

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
