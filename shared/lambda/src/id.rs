//! The only randomness; everywhere else ids are arguments.

use uuid::Uuid;

/// Begins with the time, so that ids sort in the order of their making.
pub fn uuid_v7() -> Uuid {
    Uuid::now_v7()
}

/// The text of a new API key: `lk_` and 256 random bits in hex.
pub fn api_key() -> Result<String, getrandom::Error> {
    secret("lk_")
}

/// The secret of a webhook: `whsec_` and 256 random bits in hex. All of the text is the key of its signatures.
pub fn webhook_secret() -> Result<String, getrandom::Error> {
    secret("whsec_")
}

fn secret(prefix: &str) -> Result<String, getrandom::Error> {
    let mut bits = [0; 32];
    getrandom::fill(&mut bits)?;
    Ok(format!("{prefix}{}", hex::encode(bits)))
}
