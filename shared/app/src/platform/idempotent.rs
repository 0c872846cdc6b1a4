//! One business key, one effect: the key is claimed in the transaction that has the effect.

use crate::error::{Error, Result};
use domain::act::Act;
use domain::idempotency::Answer;
use serde::Serialize;
use serde::de::DeserializeOwned;
use store::Tx;
use store::platform::idempotency::Claim;

/// Why a key does not have its effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IdempotencyError {
    #[error("the idempotency key was used for another request")]
    Reused,
    #[error("the idempotency key was used so long ago that its answer is no longer kept; what it did stands")]
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

/// Stored with the answer; what HTTP makes of it is the function's business.
const SUCCEEDED: u16 = 200;

/// Runs `effect` unless the key had its effect before; then the first answer is given again. Without a key each request
/// is a new one. A refused effect rolls its claim back with everything else.
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
    Error::stored("answer of an idempotency key", error)
}
