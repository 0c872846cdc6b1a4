//! Use cases: lock and load in sorted order, decide with the domain's pure functions, append, commit.
//! Each exists as `op(db, …)` and, where another use case needs it, as `op_in_tx(tx, …)`.

mod books;
mod idempotent;

pub mod activity;
pub mod analytics;
pub mod audit;
pub mod audit_log;
pub mod error;
pub mod expiry;
pub mod grants;
pub mod imports;
pub mod keys;
pub mod players;
pub mod program;
pub mod recovery;
pub mod redemption;
pub mod retention;
pub mod rewards;
pub mod risk;
pub mod rule_runs;
pub mod rules;
pub mod run_view;
pub mod runs;
pub mod schedules;
pub mod segmentation;
pub mod settings;
pub mod simulation;
pub mod simulation_runs;
pub mod snapshot;
pub mod tier_review;
pub mod tiers;
pub mod triggers;
pub mod wallet;
pub mod webhooks;

pub use domain::context::Context;
pub use error::{Error, Result};
pub use store::{Db, Page, migrate};
