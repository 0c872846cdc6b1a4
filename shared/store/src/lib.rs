//! The only crate that knows SQL. One file per noun; statements are set-based: a fixed number of round
//! trips whatever the size of the batch.

mod db;
mod error;
mod page;
mod select;
mod statement;

pub use db::{Client, Db, Executor, RetryCause, Tx, begin, commit, snapshot, try_again};
pub use error::{Error, Result};
pub use page::Page;

pub mod accounts;
pub mod activity;
pub mod analytics;
pub mod audit;
pub mod audit_log;
pub mod grants;
pub mod idempotency;
pub mod imports;
pub mod keys;
pub mod ledger;
pub mod migrate;
pub mod outbox;
pub mod players;
pub mod population;
pub mod recovery;
pub mod redemptions;
pub mod retention;
pub mod risk_facts;
pub mod rules;
pub mod runs;
pub mod schedules;
pub mod segments;
pub mod settings;
pub mod signals;
pub mod simulations;
pub mod snapshots;
pub mod stats;
pub mod tiers;
pub mod triggers;
pub mod webhooks;
