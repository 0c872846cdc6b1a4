//! Objects in a bucket: streamed downloads, uploads and presigned upload URLs.

use aws_config::SdkConfig;
use aws_sdk_s3::Client;
use aws_sdk_s3::config::RequestChecksumCalculation;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::PresigningConfig;
use aws_sdk_s3::primitives::ByteStream;
use std::borrow::Cow;
use std::time::Duration;
use tokio::io::AsyncBufRead;

#[derive(Debug, thiserror::Error)]
pub enum S3Error {
    #[error("the object does not exist")]
    NotFound,
    /// The ETag is no longer that of `if_match`.
    #[error("the object was replaced")]
    Replaced,
    #[error("the bucket could not be used")]
    Request(#[source] Box<dyn std::error::Error + Send + Sync>),
}

#[derive(Clone)]
pub struct Bucket {
    client: Client,
    name: String,
}

/// Which version of an object to read, and from which byte.
#[derive(Debug, Clone, Default)]
pub struct Get<'a> {
    pub key: &'a str,
    pub version_id: Option<&'a str>,
    /// Refuses with [`S3Error::Replaced`] unless the object has this ETag.
    pub if_match: Option<&'a str>,
    /// The first byte to read; S3 returns an error if it is beyond the end.
    pub from_byte: u64,
}

/// An object whose body is being streamed.
pub struct Object {
    /// Size of the whole object in bytes, whatever `from_byte` was.
    pub size: Option<u64>,
    pub etag: Option<String>,
    pub version_id: Option<String>,
    body: ByteStream,
}

impl Object {
    pub fn into_reader(self) -> impl AsyncBufRead + Send + Unpin {
        self.body.into_async_read()
    }
}

impl Bucket {
    /// Takes region, credentials and endpoint (`AWS_ENDPOINT_URL`) from the environment.
    pub async fn new(name: impl Into<String>) -> Self {
        Self::with_config(&crate::aws::environment().await, name)
    }

    pub fn with_config(config: &SdkConfig, name: impl Into<String>) -> Self {
        let own = aws_sdk_s3::config::Builder::from(config)
            // A local endpoint has no subdomain per bucket.
            .force_path_style(config.endpoint_url().is_some())
            // Otherwise a presigned URL would require a checksum from its user.
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .build();
        Self {
            client: Client::from_conf(own),
            name: name.into(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub async fn get(&self, get: Get<'_>) -> Result<Object, S3Error> {
        let range = (get.from_byte > 0).then(|| format!("bytes={}-", get.from_byte));
        let answer = self
            .client
            .get_object()
            .bucket(&self.name)
            .key(get.key)
            .set_version_id(get.version_id.map(str::to_owned))
            .set_if_match(get.if_match.map(str::to_owned))
            .set_range(range)
            .send()
            .await
            .map_err(s3_error)?;
        let rest = answer.content_length().and_then(|length| u64::try_from(length).ok());
        Ok(Object {
            size: rest.map(|rest| rest + get.from_byte),
            etag: answer.e_tag().map(str::to_owned),
            version_id: answer.version_id().map(str::to_owned),
            body: answer.body,
        })
    }

    pub async fn put(&self, key: &str, content_type: &str, body: Vec<u8>) -> Result<(), S3Error> {
        let put = self
            .client
            .put_object()
            .bucket(&self.name)
            .key(key)
            .content_type(content_type)
            .body(body.into());
        put.send().await.map_err(s3_error)?;
        Ok(())
    }

    /// A URL that accepts a PUT of this object, without other credentials, until it expires.
    pub async fn presign_put(&self, key: &str, expires_in: Duration) -> Result<String, S3Error> {
        let config = PresigningConfig::expires_in(expires_in).map_err(|error| S3Error::Request(error.into()))?;
        let put = self.client.put_object().bucket(&self.name).key(key);
        Ok(put.presigned(config).await.map_err(s3_error)?.uri().to_owned())
    }
}

fn s3_error<E>(error: SdkError<E>) -> S3Error
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match error.raw_response().map(|response| response.status().as_u16()) {
        Some(404) => S3Error::NotFound,
        Some(412) => S3Error::Replaced,
        _ => S3Error::Request(error.into()),
    }
}

/// Decodes the key in an S3 event, where spaces are `+` and other characters percent-encoded.
pub fn decode_event_key(encoded: &str) -> String {
    let blanks: Cow<'_, str> = encoded.replace('+', " ").into();
    percent_encoding::percent_decode_str(&blanks)
        .decode_utf8_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_keys_are_decoded() {
        assert_eq!(
            decode_event_key("uploads/my+players%2B1+%C3%A9t%C3%A9.csv"),
            "uploads/my players+1 été.csv"
        );
    }
}
