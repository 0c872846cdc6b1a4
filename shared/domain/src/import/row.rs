//! One row of a file: its values, or everything that is wrong with it.

use super::columns::{Column, Columns};
use super::shown;
use crate::id::{PlayerId, TextIdError};
use crate::money::{self, AmountError, STORED_SCALE};
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

/// A cell as the reader of the file found it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell<'a> {
    Text(Cow<'a, str>),
    /// Not text; what stands there, fit to be shown.
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

/// The totals of a row. `None`: the file does not say, what is stored stays.
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
    /// Of the file: where an editor or a spreadsheet shows the row, from 1.
    pub line: u64,
    pub player_id: PlayerId,
    pub totals: RowTotals,
    pub email: Option<String>,
    pub name: Option<String>,
    /// To the microsecond, as PostgreSQL keeps it.
    pub registered_at: Option<Timestamp>,
}

/// One thing that is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowError {
    pub line: u64,
    /// The heading as the file has it; `None` where the whole row is meant.
    pub column: Option<String>,
    /// What stands there, fit to be shown and stored; `None` where nothing does.
    pub value: Option<String>,
    pub reason: RowProblem,
}

/// Why a value was refused. The texts follow the name of the column.
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
    #[error("must not hold line breaks or other control characters")]
    ControlCharacter,
    #[error("is not valid UTF-8; save the file as \"CSV UTF-8\"")]
    Utf8,
    #[error("holds a NUL character")]
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
    /// Found by the importer, which sees more than one row.
    #[error("the player is already on line {first_line} of this file; the first row counts")]
    Duplicate { first_line: u64 },
}

impl PlayerRow {
    /// Reads the cells of a row, in the order of the header. Cells that are missing at the end are empty.
    ///
    /// `Ok(None)`: the row is blank and does not count. `Err`: all that is wrong, never empty.
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

/// What has been read of a row.
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

    /// Only the first: a row that is shifted has many.
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

    /// A required value that is not there; one that was refused has its error already.
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

/// A whole number; `25.0` is one.
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

/// The date as written; of a time with an offset, its date there.
fn day(text: &str) -> Result<Date, RowProblem> {
    let (day, _) = date_and_rest(text)?;
    instant(text)?;
    Ok(day)
}

/// A date is its midnight, and a time without an offset is meant, in UTC.
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

/// Splits `2026-01-31T18:30:00Z` after the day, which is stricter than the parser behind it: that takes `20260131` too.
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

/// Loosely: one `@` with something on both sides, no blanks. Only a message can prove an address.
pub fn email(text: &str) -> Result<String, RowProblem> {
    let both_sides = text
        .split_once('@')
        .is_some_and(|(user, host)| !user.is_empty() && !host.is_empty() && !host.contains('@'));
    if !both_sides || text.len() > EMAIL_BYTES_MAX || text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Err(RowProblem::Email);
    }
    Ok(text.to_owned())
}

/// Text is kept as it is, never interpreted: `=HYPERLINK(…)` is somebody's name.
pub fn name(text: &str) -> Result<String, RowProblem> {
    if text.chars().any(char::is_control) {
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
