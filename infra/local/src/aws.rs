//! Client for S3 and SQS as moto serves them, over plain HTTP. An AWS SDK would be a large dependency for a handful
//! of calls.

use std::{collections::BTreeMap, path::Path, time::Duration};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Client, RequestBuilder, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::template::{Bucket, Queue, Template};

pub const REGION: &str = "us-east-1";
/// moto's default account.
pub const ACCOUNT: &str = "123456789012";
/// moto accepts any credentials, but every client needs some.
pub const ACCESS_KEY: &str = "local";
pub const SECRET_KEY: &str = "local";

/// Characters to escape in an address: all but those an object key may contain unescaped.
const KEY: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'/');

#[derive(Debug, thiserror::Error)]
pub enum AwsError {
    #[error("the local AWS does not respond: {0}")]
    Unreachable(#[from] reqwest::Error),
    #[error("the local AWS refused {action} ({status}): {body}")]
    Refused {
        action: String,
        status: StatusCode,
        body: String,
    },
    #[error("{path}: {problem}")]
    File { path: String, problem: std::io::Error },
}

/// A message as SQS delivers it.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Message {
    pub message_id: String,
    pub receipt_handle: String,
    pub body: String,
    #[serde(rename = "MD5OfBody")]
    pub md5_of_body: String,
    #[serde(default)]
    pub attributes: BTreeMap<String, String>,
}

/// The local S3 and SQS.
#[derive(Clone, Debug)]
pub struct Aws {
    endpoint: String,
    client: Client,
}

impl Aws {
    pub fn new(endpoint: &str) -> Self {
        Self {
            endpoint: endpoint.to_owned(),
            client: Client::new(),
        }
    }

    /// Creates the queues and buckets of the template, and the notifications between them.
    pub async fn create(&self, template: &Template) -> Result<(), AwsError> {
        for queue in &template.queues {
            self.create_queue(queue).await?;
        }
        for bucket in &template.buckets {
            self.create_bucket(bucket).await?;
        }
        Ok(())
    }

    async fn create_queue(&self, queue: &Queue) -> Result<(), AwsError> {
        self.sqs(
            "CreateQueue",
            &json!({ "QueueName": queue.name, "Attributes": queue.attributes }),
        )
        .await
        .map(drop)
    }

    async fn create_bucket(&self, bucket: &Bucket) -> Result<(), AwsError> {
        let address = format!("{}/{}", self.endpoint, bucket.name);
        self.s3("CreateBucket", self.client.put(&address)).await?;
        if bucket.notifications.is_empty() {
            return Ok(());
        }
        let entries: String = bucket
            .notifications
            .iter()
            .map(|(event, queue)| {
                format!("<QueueConfiguration><Queue>{queue}</Queue><Event>{event}</Event></QueueConfiguration>")
            })
            .collect();
        let body = format!("<NotificationConfiguration>{entries}</NotificationConfiguration>");
        self.s3(
            "PutBucketNotificationConfiguration",
            self.client.put(format!("{address}?notification")).body(body),
        )
        .await
        .map(drop)
    }

    /// Uploads a file and returns its ETag. Calls `progress` with the number of bytes sent.
    pub async fn put_file(
        &self,
        bucket: &str,
        key: &str,
        file: &Path,
        progress: impl Fn(u64) + Send + Sync + 'static,
    ) -> Result<String, AwsError> {
        let fail = |problem| AwsError::File {
            path: file.display().to_string(),
            problem,
        };
        let source = tokio::fs::File::open(file).await.map_err(fail)?;
        let size = source.metadata().await.map_err(fail)?.len();
        let stream = chunks(source, progress);
        let address = format!("{}/{bucket}/{}", self.endpoint, utf8_percent_encode(key, KEY));
        let request = self
            .client
            .put(address)
            .header("content-length", size)
            .body(reqwest::Body::wrap_stream(stream));
        let response = self.s3("PutObject", request).await?;
        let etag = response
            .headers()
            .get("etag")
            .and_then(|etag| etag.to_str().ok())
            .unwrap_or_default();
        Ok(etag.trim_matches('"').to_owned())
    }

    /// Waits up to `wait` (at most 20 s) for up to `count` messages.
    pub async fn receive(&self, queue_arn: &str, count: usize, wait: Duration) -> Result<Vec<Message>, AwsError> {
        #[derive(Default, Deserialize)]
        struct Received {
            #[serde(rename = "Messages", default)]
            messages: Vec<Message>,
        }
        let request = json!({
            "QueueUrl": self.queue_url(queue_arn),
            "MaxNumberOfMessages": count,
            "WaitTimeSeconds": wait.as_secs(),
            "AttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let received: Received =
            serde_json::from_value(self.sqs("ReceiveMessage", &request).await?).unwrap_or_default();
        Ok(received.messages)
    }

    pub async fn delete(&self, queue_arn: &str, message: &Message) -> Result<(), AwsError> {
        let request = json!({ "QueueUrl": self.queue_url(queue_arn), "ReceiptHandle": message.receipt_handle });
        self.sqs("DeleteMessage", &request).await.map(drop)
    }

    /// Makes a received message visible again after `delay`.
    pub async fn give_back(&self, queue_arn: &str, message: &Message, delay: Duration) -> Result<(), AwsError> {
        let request = json!({
            "QueueUrl": self.queue_url(queue_arn),
            "ReceiptHandle": message.receipt_handle,
            "VisibilityTimeout": delay.as_secs(),
        });
        self.sqs("ChangeMessageVisibility", &request).await.map(drop)
    }

    /// For each queue: its name, the number of waiting messages, and the number in flight.
    pub async fn depths(&self) -> Result<Vec<(String, String, String)>, AwsError> {
        let mut depths = Vec::new();
        let queues = self.sqs("ListQueues", &json!({})).await?;
        for url in queues["QueueUrls"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
        {
            let answer = self
                .sqs(
                    "GetQueueAttributes",
                    &json!({ "QueueUrl": url, "AttributeNames": ["All"] }),
                )
                .await?;
            let count = |key: &str| answer["Attributes"][key].as_str().unwrap_or("?").to_owned();
            let name = url.rsplit('/').next().unwrap_or_default().to_owned();
            depths.push((
                name,
                count("ApproximateNumberOfMessages"),
                count("ApproximateNumberOfMessagesNotVisible"),
            ));
        }
        Ok(depths)
    }

    fn queue_url(&self, arn: &str) -> String {
        format!(
            "{}/{ACCOUNT}/{}",
            self.endpoint,
            arn.rsplit(':').next().unwrap_or_default()
        )
    }

    async fn sqs(&self, action: &str, body: &Value) -> Result<Value, AwsError> {
        let request = self
            .client
            .post(&self.endpoint)
            .header("authorization", credential("sqs"))
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("AmazonSQS.{action}"))
            .body(body.to_string());
        let text = accepted(action, request).await?.text().await?;
        Ok(serde_json::from_str(&text).unwrap_or(Value::Null))
    }

    async fn s3(&self, action: &str, request: RequestBuilder) -> Result<reqwest::Response, AwsError> {
        accepted(action, request.header("authorization", credential("s3"))).await
    }
}

/// moto reads service and region from the credential's scope and ignores the signature.
fn credential(service: &str) -> String {
    format!(
        "AWS4-HMAC-SHA256 Credential={ACCESS_KEY}/20260101/{REGION}/{service}/aws4_request, \
         SignedHeaders=host, Signature=0"
    )
}

async fn accepted(action: &str, request: RequestBuilder) -> Result<reqwest::Response, AwsError> {
    let response = request.send().await?;
    let status = response.status();
    if status.is_success() {
        return Ok(response);
    }
    Err(AwsError::Refused {
        action: action.to_owned(),
        status,
        body: response.text().await.unwrap_or_default(),
    })
}

fn chunks(
    file: tokio::fs::File,
    progress: impl Fn(u64) + Send + Sync + 'static,
) -> impl futures_util::Stream<Item = Result<Vec<u8>, std::io::Error>> + Send + 'static {
    futures_util::stream::try_unfold((file, progress), |(mut file, progress)| async move {
        let mut chunk = vec![0; 256 * 1024];
        let read = tokio::io::AsyncReadExt::read(&mut file, &mut chunk).await?;
        chunk.truncate(read);
        progress(u64::try_from(read).unwrap_or_default());
        Ok((read > 0).then_some((chunk, (file, progress))))
    })
}
