//! The content of player files, and how a row changes the player it names.
//!
//! A reader (CSV or XLSX) finds the header and passes the cells on. [`columns`] maps the header to columns, [`row`]
//! turns the cells of a row into values or a list of all errors, and [`plan`] decides what the values change.

pub mod columns;
pub mod plan;
pub mod row;

use crate::id::PlayerId;
use crate::text_enum;
use rust_decimal::Decimal;
use serde::Serialize;
use std::fmt;

text_enum! {
    /// How a file is written.
    pub enum Format as "format" {
        Csv = "CSV",
        Xlsx = "XLSX",
    }
}

/// Longest excerpt of a file in a message, in characters.
pub const SHOWN_CHARS_MAX: usize = 100;

/// Something unexpected that did not stop the import.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Warning {
    /// A column with an unknown heading is ignored; `position` counts from 1.
    UnknownColumn { position: usize, header: String },
    /// A column without a heading is ignored; `position` counts from 1.
    UnnamedColumn { position: usize },
    /// A lifetime total decreased, which is taken as a correction.
    TotalWentDown {
        line: u64,
        player_id: PlayerId,
        column: columns::Column,
        from: Decimal,
        to: Decimal,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownColumn { position, header } => {
                write!(f, "column {position} \"{header}\" is unknown and was ignored")
            }
            Self::UnnamedColumn { position } => write!(f, "column {position} has no heading and was ignored"),
            Self::TotalWentDown {
                line,
                player_id,
                column,
                from,
                to,
            } => {
                write!(
                    f,
                    "line {line}: {column} of player {player_id} went down from {from} to {to}; taken as a correction"
                )
            }
        }
    }
}

/// An excerpt of a file that is safe to show and store: cut at [`SHOWN_CHARS_MAX`] characters, with control characters
/// replaced (PostgreSQL refuses NUL, and terminals interpret the others).
pub fn shown(text: &str) -> String {
    let mut shown: String = text
        .chars()
        .take(SHOWN_CHARS_MAX)
        .map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c })
        .collect();
    if text.chars().nth(SHOWN_CHARS_MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_has_no_control_characters() {
        assert_eq!(shown("a\0b\u{1b}[31m\nc"), "a\u{fffd}b\u{fffd}[31m\u{fffd}c");
        assert_eq!(shown(&"ü".repeat(100)), "ü".repeat(100));
        assert_eq!(shown(&"ü".repeat(101)), "ü".repeat(100) + "…");
    }
}
