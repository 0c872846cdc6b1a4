//! Sending messages to a queue.

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::time::Duration;

/// The limit of SQS for one request.
const ENTRIES_MAX: usize = 10;
const REQUESTS_AT_ONCE: usize = 8;
const ATTEMPTS_MAX: u32 = 4;

#[derive(Debug, thiserror::Error)]
pub enum SqsError {
    #[error("the queue could not be reached")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("the queue refused {count} of {ENTRIES_MAX} or fewer messages: {reason}")]
    Refused { count: usize, reason: String },
}

#[derive(Clone)]
pub struct Queue {
    client: Client,
    url: String,
}

impl Queue {
    /// Takes region, credentials and endpoint (`AWS_ENDPOINT_URL`) from the environment.
    pub async fn new(url: impl Into<String>) -> Self {
        Self::with_config(&crate::aws::environment().await, url)
    }

    pub fn with_config(config: &SdkConfig, url: impl Into<String>) -> Self {
        Self {
            client: Client::new(config),
            url: url.into(),
        }
    }

    /// Sends every body, ten per request. After an error some may have been sent, so a retry can deliver them twice.
    pub async fn send(&self, bodies: Vec<String>) -> Result<(), SqsError> {
        let chunks: Vec<Vec<String>> = bodies.chunks(ENTRIES_MAX).map(<[String]>::to_vec).collect();
        stream::iter(chunks)
            .map(Ok)
            .try_for_each_concurrent(REQUESTS_AT_ONCE, |chunk| deliver(chunk, |bodies| self.request(bodies)))
            .await
    }

    /// Sends one request and returns the bodies that SQS refused.
    async fn request(&self, bodies: Vec<String>) -> Result<Vec<Rejected>, SqsError> {
        let mut request = self.client.send_message_batch().queue_url(&self.url);
        for (index, body) in bodies.iter().enumerate() {
            let entry = SendMessageBatchRequestEntry::builder()
                .id(index.to_string())
                .message_body(body)
                .build();
            request = request.entries(entry.map_err(|error| SqsError::Request(error.into()))?);
        }
        let answer = request.send().await.map_err(|error| SqsError::Request(error.into()))?;
        let rejected = |failure: &aws_sdk_sqs::types::BatchResultErrorEntry| {
            let body = failure
                .id()
                .parse()
                .ok()
                .and_then(|index: usize| bodies.get(index))
                .cloned()?;
            Some(Rejected {
                body,
                reason: failure.code().to_owned(),
                sender_fault: failure.sender_fault(),
            })
        };
        Ok(answer.failed().iter().filter_map(rejected).collect())
    }
}

#[derive(Debug, Clone, PartialEq)]
struct Rejected {
    body: String,
    reason: String,
    /// A retry would fail as well.
    sender_fault: bool,
}

/// Sends bodies and retries the refused ones, up to [`ATTEMPTS_MAX`] attempts with backoff.
async fn deliver<F, Fut>(mut bodies: Vec<String>, request: F) -> Result<(), SqsError>
where
    F: Fn(Vec<String>) -> Fut,
    Fut: Future<Output = Result<Vec<Rejected>, SqsError>>,
{
    let mut attempt = 1;
    loop {
        let rejected = request(bodies).await?;
        let Some(first) = rejected.first() else { return Ok(()) };
        if attempt == ATTEMPTS_MAX || rejected.iter().any(|rejected| rejected.sender_fault) {
            return Err(SqsError::Refused {
                count: rejected.len(),
                reason: first.reason.clone(),
            });
        }
        tokio::time::sleep(Duration::from_millis(50 << attempt)).await;
        attempt += 1;
        bodies = rejected.into_iter().map(|rejected| rejected.body).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn rejected(body: &str, sender_fault: bool) -> Rejected {
        Rejected {
            body: body.into(),
            reason: "ServiceUnavailable".into(),
            sender_fault,
        }
    }

    fn bodies(bodies: &[&str]) -> Vec<String> {
        bodies.iter().map(|body| (*body).to_owned()).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn only_the_refused_messages_are_sent_again() {
        let requests = RefCell::new(Vec::new());
        let sent = deliver(bodies(&["a", "b", "c"]), |bodies| {
            requests.borrow_mut().push(bodies);
            let refused = if requests.borrow().len() == 1 {
                vec![rejected("b", false)]
            } else {
                vec![]
            };
            async { Ok(refused) }
        });
        sent.await.unwrap();
        assert_eq!(*requests.borrow(), [bodies(&["a", "b", "c"]), bodies(&["b"])]);
    }

    #[tokio::test(start_paused = true)]
    async fn messages_that_stay_refused_are_an_error() {
        let requests = RefCell::new(0);
        let sent = deliver(bodies(&["a", "b"]), |_| {
            *requests.borrow_mut() += 1;
            async { Ok(vec![rejected("a", false)]) }
        });
        assert!(matches!(sent.await, Err(SqsError::Refused { count: 1, .. })));
        assert_eq!(*requests.borrow(), ATTEMPTS_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_is_at_fault_itself_is_not_sent_again() {
        let requests = RefCell::new(0);
        let sent = deliver(bodies(&["a"]), |_| {
            *requests.borrow_mut() += 1;
            async { Ok(vec![rejected("a", true)]) }
        });
        assert!(sent.await.is_err());
        assert_eq!(*requests.borrow(), 1);
    }
}
