//! The entry points of a function: start the log, then serve requests, messages or events until Lambda stops it.

use crate::batch::{self, Delivery};
use aws_lambda_events::sqs::SqsEvent;
use domain::context::Context;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// The error type of `main`.
pub type Error = lambda_runtime::Error;

/// Starts the log: JSON if `AWS_LAMBDA_LOG_FORMAT` is `JSON`, else plain lines; at the level of `AWS_LAMBDA_LOG_LEVEL`
/// or `RUST_LOG`, else INFO.
pub fn init() {
    lambda_runtime::tracing::init_default_subscriber();
}

/// The current time and a source of ids, for one use case.
pub fn context() -> Context {
    Context {
        now: crate::clock::now(),
        new_id: crate::id::uuid_v7,
    }
}

/// Serves HTTP requests.
pub async fn serve(router: axum::Router) -> Result<(), Error> {
    lambda_http::run(router).await
}

/// Serves the messages of a queue; see [`batch::handle`].
pub async fn serve_messages<M, F, Fut, E>(concurrency: usize, work: F) -> Result<(), Error>
where
    M: DeserializeOwned,
    F: Fn(Delivery<M>) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: std::error::Error,
{
    let work = &work;
    let handler = |event: LambdaEvent<SqsEvent>| async move {
        Ok::<_, Error>(batch::handle(event.payload, concurrency, work).await)
    };
    lambda_runtime::run(service_fn(handler)).await
}

/// Serves events of any type; an error fails the invocation.
pub async fn serve_events<A, B, F, Fut>(work: F) -> Result<(), Error>
where
    A: DeserializeOwned,
    B: Serialize,
    F: Fn(A) -> Fut,
    Fut: Future<Output = Result<B, Error>>,
{
    let work = &work;
    lambda_runtime::run(service_fn(|event: LambdaEvent<A>| work(event.payload))).await
}

/// Like [`serve_events`], for work that continues until shortly before its deadline, which it receives. A deadline in
/// the past, which `cargo lambda` sends, becomes `None`.
pub async fn serve_until<A, B, F, Fut>(work: F) -> Result<(), Error>
where
    A: DeserializeOwned,
    B: Serialize,
    F: Fn(A, Option<Timestamp>) -> Fut,
    Fut: Future<Output = Result<B, Error>>,
{
    let work = &work;
    lambda_runtime::run(service_fn(|event: LambdaEvent<A>| {
        work(event.payload, deadline(event.context.deadline))
    }))
    .await
}

fn deadline(since_1970_ms: u64) -> Option<Timestamp> {
    let deadline = Timestamp::from_millisecond(i64::try_from(since_1970_ms).ok()?).ok()?;
    (deadline > crate::clock::now()).then_some(deadline)
}
