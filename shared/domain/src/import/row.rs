//! Parses one row of a file into its values, or into a list of all its errors.

use super::columns::{Column, Columns};
use super::shown;
use crate::id::{PlayerId, TextIdError};
use crate::money::{self, AmountError, STORED_SCALE};
use crate::text::{is_one_line, is_one_word};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, date};
use jiff::tz::Offset;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use std::borrow::Cow;

pub const EMAIL_BYTES_MAX: usize = 254;
pub const NAME_CHARS_MAX: usize = 200;
/// Scale of `playtime_hours`: NUMERIC(12,2).
const PLAYTIME_SCALE: u32 = 2;
const PLAYTIME_HOURS_END: i64 = 1_000_000_000;
const FIRST_DATE: Date = date(1900, 1, 1);
const LAST_DATE: Date = date(2199, 12, 31);

/// A cell as the file reader found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell<'a> {
    Text(Cow<'a, str>),
    /// A value that cannot be imported; `shown` is an excerpt that is safe to show and store.
    Refused {
        shown: String,
        reason: RowProblem,
    },
}

impl Cell<'_> {
    pub fn is_empty(&self) -> bool {
        matches!(self, Cell::Text(text) if text.trim().is_empty())
    }
}

impl<'a> From<&'a str> for Cell<'a> {
    fn from(text: &'a str) -> Self {
        Cell::Text(Cow::Borrowed(text))
    }
}

/// The totals of a row. `None`: the cell is empty or missing, so the stored value stays.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RowTotals {
    pub deposited: Decimal,
    pub wagered: Decimal,
    pub won: Decimal,
    pub withdrawn: Option<Decimal>,
    pub session_count: Option<i32>,
    pub playtime_hours: Option<Decimal>,
    pub bets: Option<i64>,
    pub last_deposit_date: Option<Date>,
}

/// A row that can be imported.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayerRow {
    /// The line as an editor or a spreadsheet shows it, from 1.
    pub line: u64,
    pub player_id: PlayerId,
    pub totals: RowTotals,
    pub email: Option<String>,
    pub name: Option<String>,
    /// Truncated to microseconds, the precision of PostgreSQL.
    pub registered_at: Option<Timestamp>,
}

/// One error in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    pub line: u64,
    /// The heading as in the file; `None` for the row as a whole.
    pub column: Option<String>,
    /// An excerpt of the cell that is safe to show and store; `None` if the cell is empty.
    pub value: Option<String>,
    pub reason: RowProblem,
}

/// Why a value was refused. The messages follow the name of the column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RowProblem {
    #[error("is required and empty")]
    Required,
    #[error("{0}")]
    PlayerId(#[from] TextIdError),
    #[error("{0}")]
    Amount(#[from] AmountError),
    #[error("is not a decimal number; write the decimal mark as a point and no thousands separators")]
    Comma,
    #[error("must be a whole number")]
    NotWhole,
    #[error("must be at most {max}")]
    AboveMax { max: i64 },
    #[error("is not a date; write YYYY-MM-DD, or a time as in 2026-01-31T18:30:00Z")]
    Date,
    #[error("is not a date between 1900-01-01 and 2199-12-31")]
    DateRange,
    #[error("is not an e-mail address")]
    Email,
    #[error("must have at most {NAME_CHARS_MAX} characters")]
    NameTooLong,
    #[error("must not contain line breaks or other control characters")]
    ControlCharacter,
    #[error("is not valid UTF-8; save the file as \"CSV UTF-8\"")]
    Utf8,
    #[error("contains a NUL character")]
    Nul,
    #[error("is an error value of the spreadsheet")]
    SpreadsheetError,
    #[error("is a true/false value of the spreadsheet")]
    Boolean,
    #[error("is formatted as a date or time in the spreadsheet")]
    UnexpectedDate,
    #[error(
        "is a number of more than 15 digits, which a spreadsheet rounds; format the column as text and enter it again"
    )]
    RoundedNumber,
    #[error("is a formula without a stored result; open the workbook, let it calculate, and save it")]
    Formula,
    #[error("the row has a value in column {column}, the header has only {width} columns")]
    TooManyCells { column: usize, width: usize },
    /// Raised by the importer, which sees more than one row.
    #[error("the player is already on line {first_line} of this file; the first row counts")]
    Duplicate { first_line: u64 },
}

impl PlayerRow {
    /// Parses the cells of a row, in header order. Missing trailing cells are empty. Returns `None` for a blank row.
    ///
    /// # Errors
    /// All errors of the row; the list is never empty.
    pub fn parse<'a>(
        columns: &Columns,
        line: u64,
        cells: impl IntoIterator<Item = Cell<'a>>,
    ) -> Result<Option<Self>, Vec<RowError>> {
        let mut reader = Reader {
            columns,
            line,
            errors: Vec::new(),
        };
        let mut fields = Fields::default();
        let mut blank = true;
        for (index, cell) in cells.into_iter().enumerate() {
            if !cell.is_empty() {
                blank = false;
                reader.read(index, &cell, &mut fields);
            }
        }
        if blank {
            return Ok(None);
        }
        let row = reader.required(fields);
        match row {
            Some(row) if reader.errors.is_empty() => Ok(Some(row)),
            _ => Err(reader.errors),
        }
    }
}

/// The values read so far.
#[derive(Default)]
struct Fields {
    player_id: Option<PlayerId>,
    deposited: Option<Decimal>,
    wagered: Option<Decimal>,
    won: Option<Decimal>,
    optional: RowTotals,
    email: Option<String>,
    name: Option<String>,
    registered_at: Option<Timestamp>,
}

struct Reader<'c> {
    columns: &'c Columns,
    line: u64,
    errors: Vec<RowError>,
}

impl Reader<'_> {
    fn read(&mut self, index: usize, cell: &Cell<'_>, fields: &mut Fields) {
        let outcome = match (self.columns.at(index), cell) {
            _ if index >= self.columns.width() => return self.too_many(index, cell),
            (None, _) => return,
            (Some(_), Cell::Refused { reason, .. }) => Err(reason.clone()),
            (Some(column), Cell::Text(text)) => fields.set(column, text.trim()),
        };
        if let Err(reason) = outcome {
            self.errors.push(RowError {
                line: self.line,
                column: Some(self.columns.heading(index).to_owned()),
                value: Some(shown_cell(cell)),
                reason,
            });
        }
    }

    /// Reports only the first: a shifted row has many.
    fn too_many(&mut self, index: usize, cell: &Cell<'_>) {
        if !self
            .errors
            .iter()
            .any(|error| matches!(error.reason, RowProblem::TooManyCells { .. }))
        {
            let reason = RowProblem::TooManyCells {
                column: index + 1,
                width: self.columns.width(),
            };
            self.errors.push(RowError {
                line: self.line,
                column: None,
                value: Some(shown_cell(cell)),
                reason,
            });
        }
    }

    fn required(&mut self, fields: Fields) -> Option<PlayerRow> {
        let Fields {
            player_id,
            deposited,
            wagered,
            won,
            optional,
            email,
            name,
            registered_at,
        } = fields;
        for (column, found) in [
            (Column::PlayerId, player_id.is_some()),
            (Column::TotalDeposited, deposited.is_some()),
            (Column::TotalWagered, wagered.is_some()),
            (Column::TotalWon, won.is_some()),
        ] {
            if !found {
                self.missing(column);
            }
        }
        let totals = RowTotals {
            deposited: deposited?,
            wagered: wagered?,
            won: won?,
            ..optional
        };
        Some(PlayerRow {
            line: self.line,
            player_id: player_id?,
            totals,
            email,
            name,
            registered_at,
        })
    }

    /// Reports a missing required value, unless the cell already has an error.
    fn missing(&mut self, column: Column) {
        let heading = self
            .columns
            .position_of(column)
            .map(|index| self.columns.heading(index).to_owned());
        if !self
            .errors
            .iter()
            .any(|error| error.column.is_some() && error.column == heading)
        {
            self.errors.push(RowError {
                line: self.line,
                column: heading,
                value: None,
                reason: RowProblem::Required,
            });
        }
    }
}

fn shown_cell(cell: &Cell<'_>) -> String {
    match cell {
        Cell::Text(text) => shown(text.trim()),
        Cell::Refused { shown: text, .. } => shown(text),
    }
}

impl Fields {
    /// `text` is trimmed and not empty.
    fn set(&mut self, column: Column, text: &str) -> Result<(), RowProblem> {
        if text.contains('\0') {
            return Err(RowProblem::Nul);
        }
        let totals = &mut self.optional;
        match column {
            Column::PlayerId => self.player_id = Some(PlayerId::parse(text)?),
            Column::TotalDeposited => self.deposited = Some(amount(text, STORED_SCALE)?),
            Column::TotalWagered => self.wagered = Some(amount(text, STORED_SCALE)?),
            Column::TotalWon => self.won = Some(amount(text, STORED_SCALE)?),
            Column::TotalWithdrawn => totals.withdrawn = Some(amount(text, STORED_SCALE)?),
            Column::SessionCount => {
                totals.session_count = Some(count(text, i64::from(i32::MAX))?.to_i32().unwrap_or(i32::MAX))
            }
            Column::PlaytimeHours => totals.playtime_hours = Some(playtime(text)?),
            Column::TotalBets => totals.bets = Some(count(text, i64::MAX)?),
            Column::LastDepositDate => totals.last_deposit_date = Some(day(text)?),
            Column::RegisteredAt => self.registered_at = Some(instant(text)?),
            Column::Email => self.email = Some(email(text)?),
            Column::Name => self.name = Some(name(text)?),
        }
        Ok(())
    }
}

fn amount(text: &str, scale: u32) -> Result<Decimal, RowProblem> {
    money::parse_amount(text, scale).map_err(|error| match error {
        AmountError::NotANumber if text.contains(',') => RowProblem::Comma,
        error => error.into(),
    })
}

/// Parses a whole number; accepts `25.0`.
fn count(text: &str, max: i64) -> Result<i64, RowProblem> {
    match amount(text, 0) {
        Ok(value) => value
            .to_i64()
            .filter(|value| *value <= max)
            .ok_or(RowProblem::AboveMax { max }),
        Err(RowProblem::Amount(AmountError::Scale { .. })) => Err(RowProblem::NotWhole),
        Err(problem) => Err(problem),
    }
}

fn playtime(text: &str) -> Result<Decimal, RowProblem> {
    let hours = amount(text, PLAYTIME_SCALE)?;
    if hours >= Decimal::from(PLAYTIME_HOURS_END) {
        return Err(RowProblem::AboveMax {
            max: PLAYTIME_HOURS_END - 1,
        });
    }
    Ok(hours)
}

/// The date as written; for a time with an offset, the local date.
fn day(text: &str) -> Result<Date, RowProblem> {
    let (day, _) = date_and_rest(text)?;
    instant(text)?;
    Ok(day)
}

/// A date means midnight UTC; a time without an offset is UTC.
fn instant(text: &str) -> Result<Timestamp, RowProblem> {
    let (day, rest) = date_and_rest(text)?;
    let whole = if rest.is_empty() {
        Offset::UTC.to_timestamp(day.to_datetime(jiff::civil::Time::midnight()))
    } else if let Ok(timestamp) = text.parse::<Timestamp>() {
        Ok(timestamp)
    } else {
        let local: DateTime = text.parse().map_err(|_| RowProblem::Date)?;
        Offset::UTC.to_timestamp(local)
    };
    let whole = whole.map_err(|_| RowProblem::DateRange)?;
    Timestamp::from_microsecond(whole.as_microsecond()).map_err(|_| RowProblem::DateRange)
}

/// Splits `2026-01-31T18:30:00Z` after the date. Stricter than the parser of `jiff`, which also accepts `20260131`.
fn date_and_rest(text: &str) -> Result<(Date, &str), RowProblem> {
    let (day, rest) = text.split_at_checked(10).ok_or(RowProblem::Date)?;
    let shape = |(index, byte): (usize, u8)| {
        if matches!(index, 4 | 7) {
            byte == b'-'
        } else {
            byte.is_ascii_digit()
        }
    };
    if !day.bytes().enumerate().all(shape) || !(rest.is_empty() || rest.starts_with(['T', 't', ' '])) {
        return Err(RowProblem::Date);
    }
    let day: Date = day.parse().map_err(|_| RowProblem::Date)?;
    if (FIRST_DATE..=LAST_DATE).contains(&day) {
        Ok((day, rest))
    } else {
        Err(RowProblem::DateRange)
    }
}

/// Checks loosely: one `@` with text on both sides, no whitespace, at most [`EMAIL_BYTES_MAX`] bytes. Only sending a
/// message can prove an address.
pub fn email(text: &str) -> Result<String, RowProblem> {
    let both_sides = text
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    if !both_sides || text.len() > EMAIL_BYTES_MAX || !is_one_word(text) {
        return Err(RowProblem::Email);
    }
    Ok(text.to_owned())
}

/// Keeps the text as it is and never interprets it: `=HYPERLINK(…)` is a valid name.
pub fn name(text: &str) -> Result<String, RowProblem> {
    if !is_one_line(text) {
        Err(RowProblem::ControlCharacter)
    } else if text.chars().nth(NAME_CHARS_MAX).is_some() {
        Err(RowProblem::NameTooLong)
    } else {
        Ok(text.to_owned())
    }
}

#[cfg(test)]
#[path = "row_tests.rs"]
mod tests;
