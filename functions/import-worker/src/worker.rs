//! Turns a bucket event into a finished import and sends the messages of its run.
//!
//! # Choices
//!
//! * A file that breaks off in the middle is FAILED with the reason. The rows before the break stay; their players are
//!   segmented and rewarded.
//! * A file without a usable header or without rows is FAILED and writes nothing.

use crate::chunks::{self, ReadError, Source};
use crate::rows::Watermark;
use app::Db;
use app::imports::{self, Applied, Ending, Import, Object, RunStatus};
use app::program::Program;
use app::runs::{self, ShardMessage};
use domain::id::ImportId;
use lambda::batch::Delivery;
use lambda::s3::{Bucket, decode_event_key};
use lambda::sqs::{Queue, SqsError};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// Lambda stops an invocation after 15 minutes. Before that, a large import hands over to the next invocation.
const WORK_MAX: Duration = Duration::from_secs(12 * 60);

#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error("the import failed")]
    App(#[from] app::Error),
    #[error("sending to a queue failed")]
    Queue(#[from] SqsError),
    #[error("reading the file failed; a later delivery retries")]
    Read(#[source] ReadError),
    /// Two concurrent deliveries of one file. This one gives up; its redelivery finds the import done.
    #[error("another delivery is importing this file")]
    Overtaken,
}

/// What the import queue delivers.
#[derive(Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Message {
    /// Objects were created.
    Bucket {
        #[serde(rename = "Records")]
        records: Vec<BucketRecord>,
    },
    /// Continue an import.
    Resume { import_id: ImportId },
    /// S3 sends this once when the bucket notification is configured.
    Test {
        #[serde(rename = "Event")]
        event: TestEvent,
    },
}

#[derive(Debug, Deserialize, Serialize)]
pub enum TestEvent {
    #[serde(rename = "s3:TestEvent")]
    Test,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct BucketRecord {
    pub s3: S3Entity,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct S3Entity {
    pub bucket: S3Bucket,
    pub object: S3Object,
}

#[derive(Debug, Deserialize, Serialize)]
pub struct S3Bucket {
    pub name: String,
}

#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct S3Object {
    /// Form-encoded: a space is `+`, other characters are percent-encoded.
    pub key: String,
    pub size: Option<i64>,
    pub e_tag: String,
    pub version_id: Option<String>,
}

pub struct Worker {
    pub db: Db,
    /// Receives the shards of the runs that imports create.
    pub segmentation: Queue,
    /// This worker's own queue, for the rest of a large file.
    pub imports: Queue,
}

/// The version id, or else the ETag in quotes. The quotes tell the two apart: version ids have none.
fn object_version(object: &S3Object) -> String {
    match &object.version_id {
        Some(version_id) => version_id.clone(),
        None => format!("\"{}\"", object.e_tag.trim_matches('"')),
    }
}

impl Worker {
    pub async fn handle(&self, delivery: Delivery<Message>) -> Result<(), WorkError> {
        match delivery.message {
            Message::Test { .. } => Ok(()),
            Message::Resume { import_id } => self.import(imports::get(&self.db, import_id).await?).await,
            Message::Bucket { records } => {
                for record in records {
                    let S3Entity { bucket, object } = record.s3;
                    let version = object_version(&object);
                    let object = Object {
                        bucket: bucket.name,
                        key: decode_event_key(&object.key),
                        version,
                        size_bytes: object.size,
                    };
                    self.import(imports::open(&self.db, &object, lambda::context()).await?)
                        .await?;
                }
                Ok(())
            }
        }
    }

    /// Completes an import from its watermark. If it has already ended, sends the open shards of its run again: the
    /// worker that ended it may have crashed before sending them.
    async fn import(&self, import: Import) -> Result<(), WorkError> {
        if import.status != RunStatus::Running {
            return self.dispatch(&import).await;
        }
        tracing::info!(import_id = %import.import_id, key = import.object_key, line = import.next_line, "importing");
        let ending = match self.read(&import).await? {
            Some(ending) => ending,
            None => return self.hand_over(import.import_id).await,
        };
        let ended = imports::end(&self.db, import.import_id, &ending, lambda::context()).await?;
        tracing::info!(
            import_id = %ended.import_id, status = ended.status.as_str(), failure = ended.failure,
            rows = ended.total_rows, created = ended.created_rows, updated = ended.updated_rows,
            unchanged = ended.unchanged_rows, rejected = ended.rejected_rows, "import ended"
        );
        self.dispatch(&ended).await
    }

    /// Writes the chunks. `None` if the time is up; the next invocation continues at the watermark.
    async fn read(&self, import: &Import) -> Result<Option<Ending>, WorkError> {
        let started = Instant::now();
        let client = self.db.client().await.map_err(app::Error::from)?;
        let program = Program::load(&client, lambda::context().now).await?;
        drop(client);
        let from = Watermark {
            line: import.next_line.unsigned_abs(),
            byte: import.next_byte.unsigned_abs(),
        };
        let mut chunks = match chunks::read(source(import).await, from).await {
            Ok(chunks) => chunks,
            Err(error) => return failed(error).map(Some),
        };
        while let Some(chunk) = chunks.recv().await {
            let chunk = match chunk {
                Ok(chunk) => chunk,
                Err(error) => return failed(error).map(Some),
            };
            if imports::apply(&self.db, import, &chunk, &program, lambda::context()).await? == Applied::Overtaken {
                return Err(WorkError::Overtaken);
            }
            if started.elapsed() > WORK_MAX {
                return Ok(None);
            }
        }
        Ok(Some(Ending::Read))
    }

    async fn hand_over(&self, import_id: ImportId) -> Result<(), WorkError> {
        Ok(self.imports.send(vec![json(&Message::Resume { import_id })]).await?)
    }

    async fn dispatch(&self, import: &Import) -> Result<(), WorkError> {
        let messages = runs::open_messages(&self.db, import.run_id).await?;
        Ok(self
            .segmentation
            .send(messages.into_iter().map(ShardMessage::to_json).collect())
            .await?)
    }
}

async fn source(import: &Import) -> Source {
    let is_etag = import.object_version.starts_with('"');
    let version = Some(import.object_version.clone());
    Source {
        bucket: Bucket::new(&import.bucket).await,
        key: import.object_key.clone(),
        version_id: version.clone().filter(|_| !is_etag),
        etag: version.filter(|_| is_etag),
    }
}

/// A fault of the file ends its import; all other errors are retried.
fn failed(error: ReadError) -> Result<Ending, WorkError> {
    if error.is_transient() {
        Err(WorkError::Read(error))
    } else {
        Ok(Ending::Failed {
            reason: error.to_string(),
        })
    }
}

/// These types always serialise: they have no maps with keys other than text, and no numbers that JSON lacks.
fn json(message: &impl Serialize) -> String {
    serde_json::to_string(message).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_body_of_the_queue_is_understood_and_no_other() {
        let event = r#"{"Records":[{"eventName":"ObjectCreated:Put","s3":{"bucket":{"name":"b"},
            "object":{"key":"my+file%28a%29.csv","size":3,"eTag":"abc"}}}]}"#;
        let Message::Bucket { records } = serde_json::from_str(event).unwrap() else {
            panic!("no bucket event")
        };
        let object = &records[0].s3.object;
        assert_eq!(decode_event_key(&object.key), "my file(a).csv");
        assert_eq!(object_version(object), "\"abc\"");
        assert!(matches!(
            serde_json::from_str(r#"{"Service":"Amazon S3","Event":"s3:TestEvent"}"#),
            Ok(Message::Test { .. })
        ));
        let resume = Message::Resume {
            import_id: ImportId(lambda::id::uuid_v7()),
        };
        assert!(matches!(
            serde_json::from_str(&json(&resume)),
            Ok(Message::Resume { .. })
        ));
        for other in ["{}", "[]", "1", r#"{"Event":"s3:Other"}"#] {
            assert!(serde_json::from_str::<Message>(other).is_err(), "{other}");
        }
    }
}
