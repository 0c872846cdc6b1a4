//! Streams the rows of the first worksheet of an Excel workbook on the local disk.
//!
//! The whole file is checked before its first row is used: every part is unpacked once to verify its checksum, and
//! every cell of the sheet is visited. So nothing of a damaged workbook is imported.
//!
//! # Choices
//!
//! * A number is rounded to the 15 significant digits that Excel shows. A date becomes an ISO date.

use crate::file_error::FileError;
use crate::rows::{Row, Watermark};
use crate::xlsx::number::{date_text, plain_text};
use crate::xlsx::package::{Package, PartReader};
use crate::xlsx::sheet::{SheetCell, SheetCells, Value};
use crate::xlsx::strings::SharedStrings;
use crate::xlsx::workbook::Workbook;
use domain::import::Warning;
use domain::import::columns::{Column, Columns};
use domain::import::row::{Cell, PlayerRow, RowProblem};
use domain::import::shown;
use std::path::Path;

/// Decimal digits that a number in a sheet keeps.
const EXACT_DIGITS_MAX: usize = 15;

/// The rows of a workbook, without the blank ones.
pub struct XlsxRows {
    sheet: Sheet,
    columns: Columns,
    warnings: Vec<Warning>,
    state: State,
    /// Rows before this one are skipped: they were read earlier.
    from_row: u64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No row has been seen yet; a sheet without rows is refused.
    Fresh,
    Going,
    Done,
}

impl XlsxRows {
    /// Checks the whole workbook and reads the header: the first row with a value.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let mut sheet = Sheet::open(path)?;
        let Some((_, cells)) = sheet.next_row()? else {
            return Err(FileError::Empty);
        };
        let headings: Vec<String> = cells.into_iter().map(|cell| sheet.heading(cell)).collect();
        let (columns, warnings) = Columns::from_header(&headings)?;
        Ok(Self {
            sheet,
            columns,
            warnings,
            state: State::Fresh,
            from_row: 0,
        })
    }

    /// Continues after a row that was read earlier.
    pub fn resume(path: &Path, next: Watermark) -> Result<Self, FileError> {
        let rows = Self::open(path)?;
        Ok(Self {
            from_row: next.line,
            ..rows
        })
    }

    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    fn read(&mut self) -> Result<Option<Row>, FileError> {
        loop {
            let Some((row, cells)) = self.sheet.next_row()? else {
                return if self.state == State::Fresh {
                    Err(FileError::NoRows)
                } else {
                    Ok(None)
                };
            };
            let line = u64::from(row);
            if line < self.from_row {
                self.state = State::Going;
                continue;
            }
            let columns = &self.columns;
            let cells = cells
                .into_iter()
                .enumerate()
                .map(|(index, value)| self.sheet.cell(value, columns.at(index)));
            let result = PlayerRow::parse(columns, line, cells).transpose();
            if let Some(result) = result {
                self.state = State::Going;
                return Ok(Some(Row {
                    line,
                    next: Watermark {
                        line: line + 1,
                        byte: 0,
                    },
                    result,
                }));
            }
        }
    }
}

impl Iterator for XlsxRows {
    type Item = Result<Row, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Done {
            return None;
        }
        let row = self.read().transpose();
        if !matches!(row, Some(Ok(_))) {
            self.state = State::Done;
        }
        row
    }
}

/// A checked worksheet, row by row.
struct Sheet {
    cells: SheetCells<PartReader>,
    /// The first cell of the next row.
    pending: Option<SheetCell>,
    strings: SharedStrings,
    workbook: Workbook,
}

/// The values of a row, by column.
type SheetRow = Vec<Option<Value>>;

impl Sheet {
    fn open(path: &Path) -> Result<Self, FileError> {
        let mut package = Package::open(path)?;
        let workbook = Workbook::read(&mut package)?;
        package.verify_except(&workbook.sheet)?;
        let strings = match &workbook.strings {
            Some(part) => SharedStrings::read(&mut package, part)?,
            None => SharedStrings::default(),
        };
        check_cells(&mut package, &workbook.sheet, &strings)?;
        let cells = SheetCells::new(package.sheet_xml_again(&workbook.sheet)?);
        Ok(Self {
            cells,
            pending: None,
            strings,
            workbook,
        })
    }

    /// The next row that has a value, with its number.
    fn next_row(&mut self) -> Result<Option<(u32, SheetRow)>, FileError> {
        let Some(first) = self
            .pending
            .take()
            .map_or_else(|| self.cells.next(), |cell| Ok(Some(cell)))?
        else {
            return Ok(None);
        };
        let (row, mut values) = (first.row, SheetRow::new());
        put(&mut values, first);
        loop {
            match self.cells.next()? {
                Some(cell) if cell.row == row => put(&mut values, cell),
                other => {
                    self.pending = other;
                    return Ok(Some((row, values)));
                }
            }
        }
    }

    fn heading(&self, value: Option<Value>) -> String {
        match self.cell(value, None) {
            Cell::Text(text) => text.into_owned(),
            Cell::Refused { shown, .. } => shown,
        }
    }

    /// Converts a value for the row validation; `column` is what the header expects in this place.
    fn cell(&self, value: Option<Value>, column: Option<Column>) -> Cell<'_> {
        match value {
            None => Cell::from(""),
            Some(Value::Shared(index)) => Cell::from(self.strings.get(index).unwrap_or_default()),
            Some(Value::Text(text)) => Cell::Text(text.into()),
            Some(Value::Number { raw, format }) => self.number(&raw, format, column),
            Some(Value::Boolean(text)) => {
                refused(if text.trim() == "0" { "FALSE" } else { "TRUE" }, RowProblem::Boolean)
            }
            Some(Value::Error(text)) => refused(&text, RowProblem::SpreadsheetError),
            Some(Value::Formula) => refused("", RowProblem::Formula),
        }
    }

    /// In a date column every number is a day. Elsewhere a number with a date format is an error.
    fn number(&self, raw: &str, format: usize, column: Option<Column>) -> Cell<'static> {
        let text = plain_text(raw);
        let is_date = self.workbook.date_formats.get(format).copied().unwrap_or(false);
        match column {
            Some(column) if column.is_date() => match date_text(&text, self.workbook.is_1904) {
                Some(date) => Cell::Text(date.into()),
                None => refused(&text, RowProblem::Date),
            },
            Some(_) if is_date => {
                let date = date_text(&text, self.workbook.is_1904);
                refused(date.as_deref().unwrap_or(&text), RowProblem::UnexpectedDate)
            }
            Some(Column::PlayerId)
                if text.len() > EXACT_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit()) =>
            {
                refused(&text, RowProblem::RoundedNumber)
            }
            _ => Cell::Text(text.into()),
        }
    }
}

fn refused(text: &str, reason: RowProblem) -> Cell<'static> {
    Cell::Refused {
        shown: shown(text),
        reason,
    }
}

/// If two cells have the same place, the later one counts.
fn put(values: &mut SheetRow, cell: SheetCell) {
    let column = usize::try_from(cell.column).unwrap_or(usize::MAX);
    if values.len() <= column {
        values.resize(column + 1, None);
    }
    if let Some(place) = values.get_mut(column) {
        *place = Some(cell.value);
    }
}

/// Visits all cells, so that errors in them are found before the first row is used.
fn check_cells(package: &mut Package, part: &str, strings: &SharedStrings) -> Result<(), FileError> {
    let mut cells = SheetCells::new(package.sheet_xml(part)?);
    while let Some(cell) = cells.next()? {
        if let Value::Shared(index) = cell.value
            && strings.get(index).is_none()
        {
            return Err(FileError::damaged(
                part,
                format!("a cell of row {} refers to a missing text", cell.row),
            ));
        }
    }
    cells.finish()
}
