//! Typed ids. Ids of players, rules and other things of the operator are the operator's text; all others are
//! UUIDv7, created by the caller.

use crate::text::is_one_word;
use serde::{Deserialize, Serialize};
use std::fmt;
use uuid::Uuid;

/// Maximum length of a text id, in bytes.
pub const TEXT_ID_BYTES_MAX: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TextIdError {
    #[error("must not be empty")]
    Empty,
    #[error("must have at most {TEXT_ID_BYTES_MAX} bytes")]
    TooLong,
    #[error("must not contain blanks or control characters")]
    Character,
}

fn check_text_id(text: &str) -> Result<(), TextIdError> {
    if text.is_empty() {
        Err(TextIdError::Empty)
    } else if text.len() > TEXT_ID_BYTES_MAX {
        Err(TextIdError::TooLong)
    } else if !is_one_word(text) {
        Err(TextIdError::Character)
    } else {
        Ok(())
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// Accepts 1 to 64 bytes without blanks or control characters.
            pub fn parse(text: impl Into<String>) -> Result<Self, TextIdError> {
                let text = text.into();
                check_text_id(&text)?;
                Ok(Self(text))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl TryFrom<String> for $name {
            type Error = TextIdError;
            fn try_from(text: String) -> Result<Self, TextIdError> {
                Self::parse(text)
            }
        }

        impl std::str::FromStr for $name {
            type Err = TextIdError;
            fn from_str(text: &str) -> Result<Self, TextIdError> {
                Self::parse(text)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

text_id!(/// The operator's id of a player.
    PlayerId);
text_id!(/// The operator's id of a rule.
    RuleId);
text_id!(/// The operator's id of an activity event; unique per player.
    EventId);
text_id!(/// The operator's id of an entry of the redemption catalogue.
    RedemptionRuleId);
uuid_id!(/// A reward that was issued.
    GrantId);
uuid_id!(/// All postings of one operation.
    TransactionId);
uuid_id!(/// One redemption by a player.
    RedemptionId);
uuid_id!(/// One evaluation of one player.
    EvaluationId);
uuid_id!(/// One fan-out over players.
    RunId);
uuid_id!(/// One file.
    ImportId);
uuid_id!(/// A fraud signal about a player.
    SignalId);
uuid_id!(/// The triggers of one transaction, which cause evaluations of rules.
    TriggerBatchId);
uuid_id!(/// A target of the operator's that receives events.
    WebhookId);
uuid_id!(/// One scheduled time of a job, or one start of it by hand.
    ScheduleRunId);
