//! Idempotency: a key is claimed in the transaction of its effect, so that it has one effect only.
//!
//! # Choices
//!
//! * An idempotency key is kept forever, its response for 30 days. After that the same request gets 409
//!   `idempotency_key_expired`, because the key is the reference of a manual posting and a second effect would break
//!   I6.

use crate::error::{Error, Result};
use domain::act::Act;
use domain::idempotency::Answer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::Tx;
use store::platform::idempotency::Claim;

/// Why a key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyError {
    #[error("the idempotency key was used for another request")]
    Reused,
    #[error("the idempotency key was used so long ago that its response is no longer stored; its effect remains")]
    Expired,
}

impl IdempotencyError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Reused => "idempotency_key_reused",
            Self::Expired => "idempotency_key_expired",
        }
    }
}

/// Stored with the response. The function chooses the HTTP status.
const SUCCEEDED: u16 = 200;

/// Runs `effect` once per key; a repeated request gets the first response. Without a key every request runs. If
/// `effect` is refused, the claim is rolled back with it.
pub(crate) async fn once<T, F>(tx: &Tx<'_>, act: &Act, effect: F) -> Result<Answer<T>>
where
    T: Serialize + DeserializeOwned,
    F: Future<Output = Result<T>>,
{
    let Some(key) = &act.key else {
        return effect.await.map(Answer::First);
    };
    match store::platform::idempotency::claim(tx, &key.scope, &key.key, &key.request_hash, act.context.now).await? {
        Claim::Reused => Err(IdempotencyError::Reused.into()),
        Claim::Forgotten => Err(IdempotencyError::Expired.into()),
        Claim::Replay { response, .. } => serde_json::from_value(response).map(Answer::Replayed).map_err(stored),
        Claim::First => {
            let value = effect.await?;
            let response = serde_json::to_value(&value).map_err(stored)?;
            store::platform::idempotency::answer(tx, &key.scope, &key.key, SUCCEEDED, &response).await?;
            Ok(Answer::First(value))
        }
    }
}

fn stored(error: serde_json::Error) -> Error {
    Error::stored("response of an idempotency key", error)
}
