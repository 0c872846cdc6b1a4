//! Queue messages, each on its own: one that cannot be read, fails or panics goes back alone.

use crate::problem::causes;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::{FutureExt, StreamExt, stream};
use serde::de::DeserializeOwned;
use std::error::Error;
use std::panic::AssertUnwindSafe;

/// One message, as often as the queue delivers it.
#[derive(Debug)]
pub struct Delivery<M> {
    pub message: M,
    /// How often the queue has delivered it, this time included; 1 where it does not say. The queue parks a message
    /// in its dead-letter queue after a number of these.
    pub receives: u32,
}

/// Works on the messages of an event, up to `concurrency` at a time, and answers those that must be delivered again.
/// The cause of each failure is logged, once.
pub async fn handle<M, F, Fut, E>(event: SqsEvent, concurrency: usize, work: F) -> SqsBatchResponse
where
    M: DeserializeOwned,
    F: Fn(Delivery<M>) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Error,
{
    let work = &work;
    let outcomes = stream::iter(event.records).map(|record| async move {
        let message_id = record.message_id.clone().unwrap_or_default();
        one(record, work).await.map_err(|cause| {
            tracing::error!(message_id, cause, "message failed");
            message_id
        })
    });
    let mut response = SqsBatchResponse::default();
    let mut outcomes = outcomes.buffer_unordered(concurrency.max(1));
    while let Some(outcome) = outcomes.next().await {
        if let Err(message_id) = outcome {
            response.add_failure(message_id);
        }
    }
    response
}

async fn one<M, F, Fut, E>(record: SqsMessage, work: &F) -> Result<(), String>
where
    M: DeserializeOwned,
    F: Fn(Delivery<M>) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    E: Error,
{
    let body = record.body.unwrap_or_default();
    let message = serde_json::from_str(&body).map_err(|error| format!("unreadable body: {error}"))?;
    let receives = record.attributes.get("ApproximateReceiveCount").and_then(|count| count.parse().ok()).unwrap_or(1);
    // The call itself may panic as well as the future it returns.
    let outcome = AssertUnwindSafe(async { work(Delivery { message, receives }).await }).catch_unwind().await;
    match outcome {
        Ok(outcome) => outcome.map_err(|error| causes(&error)),
        Err(_) => Err("panic".into()),
    }
}
