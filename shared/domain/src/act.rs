//! One request: who asks, under which key, when, and with which new ids.

use crate::context::Context;
use crate::idempotency::IdempotencyKey;
use crate::ledger::Cause;
use std::fmt::Display;

/// What a use case that writes is told about its caller. Functions build it from the request; a job that acts for
/// somebody makes one with [`Act::of`].
#[derive(Debug, Clone)]
pub struct Act {
    /// As the audit log and the ledger name them.
    pub actor: String,
    /// `None`: the caller gave none, and each request is a new one.
    pub key: Option<IdempotencyKey>,
    pub context: Context,
}

impl Act {
    /// Without an idempotency key.
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

    /// The business key of its postings: the caller's key, or the id of what it makes.
    pub fn reference(&self, id: impl Display) -> String {
        self.key.as_ref().map_or_else(|| id.to_string(), |key| key.key.clone())
    }
}
