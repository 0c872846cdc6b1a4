//! The life of a function: start the log, then serve requests, messages or events until Lambda ends it.

use crate::batch::{self, Delivery};
use aws_lambda_events::sqs::SqsEvent;
use domain::context::Context;
use jiff::Timestamp;
use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What `main` answers.
pub type Error = lambda_runtime::Error;

/// Starts the log: JSON where `AWS_LAMBDA_LOG_FORMAT` is `JSON`, else lines; the level of `AWS_LAMBDA_LOG_LEVEL` or
/// `RUST_LOG`, else INFO.
pub fn init() {
    lambda_runtime::tracing::init_default_subscriber();
}

/// The time and the ids of this platform, for one use case.
pub fn context() -> Context {
    Context {
        now: crate::clock::now(),
        new_id: crate::id::uuid_v7,
    }
}

/// HTTP.
pub async fn serve(router: axum::Router) -> Result<(), Error> {
    lambda_http::run(router).await
}

/// Messages of a queue; see [`batch::handle`].
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

/// Any event; a failure is the invocation's.
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

/// As [`serve_events`], for work that goes on until its time is nearly over: it is given the end of its invocation. A
/// deadline that is over at the start, as `cargo lambda` has it, is none.
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
