//! One business key, one effect: the key a caller gives to a request that moves value.

/// Longest key, in characters.
pub const KEY_CHARACTERS_MAX: usize = 128;

/// Claimed in the transaction that has the effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// The operation, e.g. `POST /api/wallet/add-lp`.
    pub scope: String,
    /// 1 to 128 visible ASCII characters.
    pub key: String,
    /// SHA-256 of method, path and canonical body: the same key with another request is refused.
    pub request_hash: [u8; 32],
}

/// What an operation under a key gives back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer<T> {
    /// The effect happened now.
    First(T),
    /// The effect happened before; this is what was answered then.
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
