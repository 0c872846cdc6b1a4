//! What every function needs from its platform: configuration, logs, HTTP with API keys and problems, queues, buckets.
//!
//! Does not depend on the database: callers pass lookups as closures.

mod api;
mod extract;
mod runtime;

pub mod auth;
#[cfg(any(feature = "s3", feature = "sqs"))]
pub mod aws;
pub mod batch;
pub mod clock;
pub mod config;
pub mod id;
pub mod idempotency;
pub mod page;
pub mod problem;
#[cfg(feature = "sqs")]
pub mod runs;
#[cfg(feature = "s3")]
pub mod s3;
#[cfg(feature = "sqs")]
pub mod sqs;
#[cfg(feature = "webhooks")]
pub mod webhook;

pub use api::{Access, Api, BODY_BYTES_MAX, Route};
pub use auth::{Acting, Auth, Caller};
pub use clock::{Clock, TellsTime};
pub use extract::{Flag, JsonBody, JsonText, Params, PathParams, read_object};
pub use idempotency::{Answered, Keyed};
pub use page::Page;
pub use problem::Problem;
pub use runtime::{Error, context, init, serve, serve_events, serve_messages, serve_until};
