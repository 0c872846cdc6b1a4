//! The terms and rules of the loyalty program.
//!
//! Pure: no async, SQL, HTTP, AWS, clock or randomness. Callers pass in `now` and new ids.
#![deny(clippy::float_arithmetic, clippy::as_conversions, clippy::unwrap_used)]

pub mod access;
pub mod account;
pub mod act;
pub mod activity;
pub mod bonus;
pub mod context;
pub mod evaluate;
pub mod event;
pub mod facts;
pub mod formula;
pub mod gate;
pub mod id;
pub mod idempotency;
pub mod import;
pub mod ledger;
pub mod lots;
pub mod metrics;
pub mod money;
pub mod page;
pub mod patch;
pub mod period;
pub mod player;
pub mod problem;
pub mod redemption;
pub mod risk;
pub mod rule;
pub mod run;
pub mod schedule;
pub mod segment;
pub mod settings;
pub mod simulate;
mod spelling;
pub mod text;
pub mod tier;
pub mod webhook;
pub mod word;
