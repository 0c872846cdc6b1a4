//! Event source mappings: take messages from a queue, invoke the function, delete the messages that succeeded.
//!
//! Like Lambda: at most `BatchSize` messages per invocation, at most `MaximumConcurrency` invocations at once,
//! `ReportBatchItemFailures`, and redrive to the dead-letter queue by the queue itself after `maxReceiveCount`
//! receives.
//!
//! Unlike Lambda: a failed message does not stay invisible for the queue's visibility timeout (half an hour and
//! more). It returns after 1, 2, 4, 8 and 16 seconds, so that developers can watch a killed worker or a poison
//! message.

use std::{sync::Arc, time::Duration};

use axum::body::Bytes;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::tell::caution;
use crate::{
    aws::{Aws, Message, REGION},
    function::{Function, worker_instances},
    runtime_api::InvocationError,
    stop::Stop,
    template::Mapping,
};

/// The longest wait that SQS allows for a receive.
const LONG_POLL: Duration = Duration::from_secs(20);

/// One event source mapping.
#[derive(Clone, Debug)]
pub struct Poller {
    pub function: Arc<Function>,
    pub mapping: Mapping,
    pub aws: Aws,
}

impl Poller {
    /// Runs until `stop` turns true. Invocations in flight are then abandoned, because their messages return.
    pub async fn run(self, mut stop: Stop) {
        let places = Arc::new(Semaphore::new(self.mapping.concurrency.min(worker_instances())));
        let poller = Arc::new(self);
        let mut invocations = JoinSet::new();
        loop {
            while invocations.try_join_next().is_some() {}
            tokio::select! {
                () = stop.said() => return,
                (batch, place) = poller.next_batch(&places) => {
                    invocations.spawn(Arc::clone(&poller).process(batch, place));
                }
            }
        }
    }

    /// Only one receiver at a time: moto gives the same message to two that ask at once.
    async fn next_batch(&self, places: &Arc<Semaphore>) -> (Vec<Message>, OwnedSemaphorePermit) {
        loop {
            let Ok(place) = Arc::clone(places).acquire_owned().await else {
                continue;
            };
            match self.receive().await {
                Ok(batch) if !batch.is_empty() => return (batch, place),
                Ok(_) => {}
                // moto is restarting.
                Err(_) => sleep(Duration::from_secs(1)).await,
            }
        }
    }

    async fn receive(&self) -> Result<Vec<Message>, crate::aws::AwsError> {
        let (queue, size) = (&self.mapping.queue_arn, self.mapping.batch_size);
        let mut batch = self.aws.receive(queue, size, LONG_POLL).await?;
        let until = Instant::now() + self.mapping.batching_window;
        while !batch.is_empty() && batch.len() < size && Instant::now() < until {
            let wait = until
                .duration_since(Instant::now())
                .min(LONG_POLL)
                .max(Duration::from_secs(1));
            batch.extend(self.aws.receive(queue, size - batch.len(), wait).await?);
        }
        Ok(batch)
    }

    async fn process(self: Arc<Self>, batch: Vec<Message>, _place: OwnedSemaphorePermit) {
        let failed = match self.invoke(&batch).await {
            Ok(report) => self.failed(&batch, &String::from_utf8_lossy(&report)),
            Err(problem) => {
                caution!(
                    "{}: the invocation failed: {problem}; its messages come back",
                    self.function.name()
                );
                batch.iter().collect()
            }
        };
        for message in &batch {
            let done = if failed.iter().any(|one| one.message_id == message.message_id) {
                self.aws
                    .give_back(&self.mapping.queue_arn, message, back_off(message))
                    .await
            } else {
                self.aws.delete(&self.mapping.queue_arn, message).await
            };
            if let Err(problem) = done {
                caution!("{}: message {}: {problem}", self.function.name(), message.message_id);
            }
        }
    }

    async fn invoke(&self, batch: &[Message]) -> Result<Bytes, InvocationError> {
        let records: Vec<Value> = batch
            .iter()
            .map(|message| record(message, &self.mapping.queue_arn))
            .collect();
        let event = json!({ "Records": records }).to_string();
        self.function.invoke(event.into()).await
    }

    fn failed<'a>(&self, batch: &'a [Message], report: &str) -> Vec<&'a Message> {
        if !self.mapping.reports_failures {
            return Vec::new();
        }
        failures(batch, report)
    }
}

/// The messages that a `ReportBatchItemFailures` response names as failed. Like Lambda: an empty response means
/// that all succeeded; one that cannot be parsed, or names a message that was not sent, means that all failed.
fn failures<'a>(batch: &'a [Message], answer: &str) -> Vec<&'a Message> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Report {
        #[serde(default)]
        batch_item_failures: Option<Vec<Failure>>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Failure {
        item_identifier: String,
    }
    if answer.trim().is_empty() || answer.trim() == "null" {
        return Vec::new();
    }
    let Ok(report) = serde_json::from_str::<Report>(answer) else {
        return batch.iter().collect();
    };
    let named = report.batch_item_failures.unwrap_or_default();
    let found: Option<Vec<&Message>> = named
        .iter()
        .map(|failure| {
            batch
                .iter()
                .find(|message| message.message_id == failure.item_identifier)
        })
        .collect();
    found.unwrap_or_else(|| batch.iter().collect())
}

/// How long a failed message stays invisible: 1, 2, 4, 8, then 16 seconds.
fn back_off(message: &Message) -> Duration {
    let receives = message
        .attributes
        .get("ApproximateReceiveCount")
        .and_then(|count| count.parse::<u32>().ok())
        .unwrap_or(1);
    Duration::from_secs(1 << receives.saturating_sub(1).min(4))
}

/// One record of the event that Lambda makes of SQS messages.
fn record(message: &Message, queue_arn: &str) -> Value {
    json!({
        "messageId": message.message_id,
        "receiptHandle": message.receipt_handle,
        "body": message.body,
        "attributes": message.attributes,
        "messageAttributes": {},
        "md5OfBody": message.md5_of_body,
        "eventSource": "aws:sqs",
        "eventSourceARN": queue_arn,
        "awsRegion": REGION,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(id: &str, receives: &str) -> Message {
        Message {
            message_id: id.to_owned(),
            receipt_handle: format!("receipt-{id}"),
            body: "{}".to_owned(),
            md5_of_body: String::new(),
            attributes: [("ApproximateReceiveCount".to_owned(), receives.to_owned())].into(),
        }
    }

    fn ids(messages: Vec<&Message>) -> Vec<&str> {
        messages
            .into_iter()
            .map(|message| message.message_id.as_str())
            .collect()
    }

    #[test]
    fn only_the_named_messages_failed() {
        let batch = [message("a", "1"), message("b", "1"), message("c", "1")];
        assert_eq!(
            ids(failures(&batch, r#"{"batchItemFailures": [{"itemIdentifier": "b"}]}"#)),
            ["b"]
        );
        assert_eq!(ids(failures(&batch, r#"{"batchItemFailures": []}"#)), [""; 0]);
        assert_eq!(ids(failures(&batch, "null")), [""; 0]);
        assert_eq!(ids(failures(&batch, "{}")), [""; 0]);
    }

    #[test]
    fn a_report_that_makes_no_sense_means_all_failed() {
        let batch = [message("a", "1"), message("b", "1")];
        assert_eq!(
            ids(failures(&batch, r#"{"batchItemFailures": [{"itemIdentifier": "z"}]}"#)),
            ["a", "b"]
        );
        assert_eq!(ids(failures(&batch, r#"{"batchItemFailures": 7}"#)), ["a", "b"]);
        assert_eq!(ids(failures(&batch, "done")), ["a", "b"]);
    }

    #[test]
    fn a_message_stays_away_longer_each_time() {
        let seconds: Vec<u64> = ["1", "2", "3", "4", "5", "9"]
            .map(|receives| back_off(&message("a", receives)).as_secs())
            .into();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 16]);
    }

    #[test]
    fn a_record_is_what_lambda_sends() {
        let record = record(&message("a", "2"), "arn:aws:sqs:us-east-1:123456789012:work");
        assert_eq!(record["messageId"], "a");
        assert_eq!(record["attributes"]["ApproximateReceiveCount"], "2");
        assert_eq!(record["eventSource"], "aws:sqs");
        assert_eq!(record["eventSourceARN"], "arn:aws:sqs:us-east-1:123456789012:work");
    }
}
