//! What tests share: a real PostgreSQL with a database per test, in-process requests to a function's router, a clock
//! that the test moves, a stand-in for the cloud, and test players and files.
//!
//! For integration tests (`tests/*.rs`) only: a unit test inside `store` has a different `store::Db` type than the
//! one this crate returns.

pub mod day;

mod api;
mod database;
mod fixtures;
mod http;
mod server;
mod stand_in;

pub use api::{Now, TestApi, TestClock, snapshot};
pub use database::{TestDb, audit};
pub use fixtures::{Csv, Player};
pub use http::{Response, api_key, call, send};
pub use stand_in::{Request, StandIn, accept_messages};
