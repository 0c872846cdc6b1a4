//! The only source of randomness; everywhere else ids are arguments.

use uuid::Uuid;

/// Starts with the time, so that ids sort by creation.
pub fn uuid_v7() -> Uuid {
    Uuid::now_v7()
}

/// The text of a new API key: `lk_` and 256 random bits in hex.
pub fn api_key() -> Result<String, getrandom::Error> {
    secret("lk_")
}

/// The secret of a webhook: `whsec_` and 256 random bits in hex. The whole text, prefix included, is the signing key.
pub fn webhook_secret() -> Result<String, getrandom::Error> {
    secret("whsec_")
}

fn secret(prefix: &str) -> Result<String, getrandom::Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    Ok(format!("{prefix}{}", hex::encode(bits)))
}
