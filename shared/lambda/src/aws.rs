//! Endpoint and credentials of the AWS clients.

use aws_config::{BehaviorVersion, Region};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;

pub use aws_config::SdkConfig;

/// Region, credentials and endpoint (`AWS_ENDPOINT_URL`) from the environment.
pub async fn environment() -> SdkConfig {
    aws_config::load_defaults(BehaviorVersion::latest()).await
}

/// For tests: a local endpoint that ignores credentials.
pub fn stand_in(endpoint_url: &str) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "stand-in");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::from_static("us-east-1"))
        .endpoint_url(endpoint_url)
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .build()
}
