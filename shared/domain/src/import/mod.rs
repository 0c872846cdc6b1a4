//! What a file of players may hold, and what one of its rows does to the player it names.
//!
//! A reader (CSV or XLSX) finds the header and hands over cells; [`columns`] says which column is which, [`row`] turns
//! the cells of a row into values or into everything that is wrong with them, and [`plan`] decides what the values
//! change.

pub mod columns;
pub mod plan;
pub mod row;

use crate::id::PlayerId;
use rust_decimal::Decimal;
use serde::Serialize;
use std::fmt;

/// Longest piece of a file that is shown back to people, in characters.
pub const SHOWN_CHARS_MAX: usize = 100;

/// Something the importer did not expect and went on with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "code", rename_all = "snake_case")]
pub enum Warning {
    /// A column that is not imported; `position` counts from 1.
    UnknownColumn { position: usize, header: String },
    /// A column without a heading is not imported.
    UnnamedColumn { position: usize },
    /// A lifetime total that went down is taken as a correction.
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

/// A piece of a file, fit to be shown and stored: at most [`SHOWN_CHARS_MAX`] characters, none of them a control
/// character (PostgreSQL refuses NUL, terminals obey the others).
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
