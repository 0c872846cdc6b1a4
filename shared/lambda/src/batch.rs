//! Queue messages, each handled on its own: if one is unreadable, fails or panics, only that one is redelivered.

use crate::problem::causes;
use aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent, SqsMessage};
use futures_util::{FutureExt, StreamExt, stream};
use serde::de::DeserializeOwned;
use std::error::Error;
use std::panic::AssertUnwindSafe;

/// One delivery of a message.
#[derive(Debug)]
pub struct Delivery<M> {
    pub message: M,
    /// How often the queue has delivered the message, this delivery included; 1 if the queue does not say. After a
    /// configured number the queue moves it to its dead-letter queue.
    pub receives: u32,
}

/// Handles the messages of an event, up to `concurrency` at a time, and returns those to redeliver. Logs the cause of
/// each failure once.
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
    let receives = record
        .attributes
        .get("ApproximateReceiveCount")
        .and_then(|count| count.parse().ok())
        .unwrap_or(1);
    // Inside the async block, so that a panic of the call itself is caught too.
    let outcome = AssertUnwindSafe(async { work(Delivery { message, receives }).await })
        .catch_unwind()
        .await;
    match outcome {
        Ok(outcome) => outcome.map_err(|error| causes(&error)),
        Err(_) => Err("panic".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use serde_json::json;
    use std::sync::Mutex;

    #[derive(Debug, Deserialize)]
    struct Shard {
        shard: u32,
    }

    #[derive(Debug, thiserror::Error)]
    #[error("shard {0} cannot be done")]
    struct Undoable(u32);

    fn event(bodies: &[&str]) -> SqsEvent {
        let records: Vec<_> = bodies
            .iter()
            .enumerate()
            .map(|(index, body)| {
                let attributes = json!({"ApproximateReceiveCount": "3"});
                json!({"messageId": format!("m{index}"), "body": body, "attributes": attributes})
            })
            .collect();
        serde_json::from_value(json!({ "Records": records })).unwrap()
    }

    fn failures(response: &SqsBatchResponse) -> Vec<&str> {
        let mut failures: Vec<_> = response
            .batch_item_failures
            .iter()
            .map(|failure| failure.item_identifier.as_str())
            .collect();
        failures.sort_unstable();
        failures
    }

    #[tokio::test]
    async fn poison_goes_back_alone_and_the_nine_good_ones_are_done_once() {
        let bodies = [0, 1, 2, 3, 4, 5, 6, 7, 8].map(|shard| format!("{{\"shard\":{shard}}}"));
        let mut bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
        bodies.insert(4, "{\"shard\":");
        let done = Mutex::new(Vec::new());
        let response = handle(event(&bodies), 1, |delivery: Delivery<Shard>| {
            let done = &done;
            async move {
                assert_eq!(delivery.receives, 3);
                done.lock().unwrap().push(delivery.message.shard);
                Ok::<_, Undoable>(())
            }
        })
        .await;
        assert_eq!(failures(&response), ["m4"]);
        assert_eq!(*done.lock().unwrap(), [0, 1, 2, 3, 4, 5, 6, 7, 8]);
    }

    #[tokio::test]
    async fn a_failure_and_a_panic_go_back_alone() {
        let response = handle(
            event(&["{\"shard\":0}", "{\"shard\":1}", "{\"shard\":2}"]),
            4,
            |delivery: Delivery<Shard>| async move {
                match delivery.message.shard {
                    0 => Err(Undoable(0)),
                    1 => panic!("shard 1"),
                    _ => Ok(()),
                }
            },
        )
        .await;
        assert_eq!(failures(&response), ["m0", "m1"]);
    }
}
