//! One request: the caller, the idempotency key, the time, and new ids.

use crate::context::Context;
use crate::idempotency::IdempotencyKey;
use crate::ledger::Cause;
use std::fmt::Display;

/// What a use case that writes receives about its caller. Functions build it from the request; a job that acts on
/// somebody's behalf uses [`Act::of`].
#[derive(Debug, Clone)]
pub struct Act {
    /// The caller's name in the audit log and the ledger.
    pub actor: String,
    /// `None`: the caller gave no key, so each request counts as new.
    pub key: Option<IdempotencyKey>,
    pub context: Context,
}

impl Act {
    /// An act without an idempotency key.
    pub fn of(actor: impl Into<String>, context: Context) -> Self {
        Self {
            actor: actor.into(),
            key: None,
            context,
        }
    }

    /// What the ledger records of it.
    pub fn because<'a>(&'a self, reason: Option<&'a str>) -> Cause<'a> {
        Cause {
            actor: &self.actor,
            reason,
            context: self.context,
        }
    }

    /// The business key of its postings: `key:` and the caller's key, or the id of what it makes. The prefix keeps the
    /// two apart: a caller may choose a key that is the id of an earlier transaction or grant.
    pub fn reference(&self, id: impl Display) -> String {
        match &self.key {
            Some(key) => format!("key:{}", key.key),
            None => id.to_string(),
        }
    }
}
