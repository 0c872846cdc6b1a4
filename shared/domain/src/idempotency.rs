//! Idempotency: the key a caller gives to a request that moves value, so that a business key has one effect.

/// Maximum length of a key, in characters.
pub const KEY_CHARACTERS_MAX: usize = 128;

/// Claimed in the same transaction as the effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The operation, e.g. `POST /api/wallet/add-lp`.
    pub scope: String,
    /// 1 to 128 visible ASCII characters.
    pub key: String,
    /// SHA-256 of method, path and canonical body. The same key with a different request is refused.
    pub request_hash: [u8; 32],
}

/// The result of an operation under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// The effect happened now.
    First(T),
    /// The effect happened before; this is the result of that time.
    Replayed(T),
}

impl<T> Answer<T> {
    pub fn into_inner(self) -> T {
        match self {
            Answer::First(value) | Answer::Replayed(value) => value,
        }
    }

    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Answer::First(value) => Answer::First(f(value)),
            Answer::Replayed(value) => Answer::Replayed(f(value)),
        }
    }
}
