//! What tests share: a real PostgreSQL with a database per test, requests to a function's router in-process, players
//! and files to work on.
//!
//! For integration tests (`tests/*.rs`). A unit test inside `store` sees another `store::Db` than this crate hands out.

pub mod day;

mod api;
mod database;
mod fixtures;
mod http;
mod server;
mod stand_in;

pub use api::{Now, TestApi, TestClock};
pub use database::{TestDb, audit};
pub use fixtures::{Csv, Player};
pub use http::{Response, api_key, call, send};
pub use stand_in::{Request, StandIn};
