//! The rows of a file, whatever its format.

use crate::csv_rows::CsvRows;
use crate::file_error::FileError;
use crate::xlsx_rows::XlsxRows;
use domain::import::Warning;
use domain::import::row::{PlayerRow, RowError};
use std::io::Read;

/// A row that is not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where an editor or a spreadsheet shows its beginning, from 1.
    pub line: u64,
    /// The watermark behind it: reading can resume here.
    pub next: Watermark,
    /// The values, or all that is wrong with them.
    pub result: Result<PlayerRow, Vec<RowError>>,
}

/// Where the next row begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watermark {
    /// Line of a CSV file, or row of a sheet, from 1.
    pub line: u64,
    /// Offset in a CSV file; 0 for a workbook, which is always unpacked from its beginning.
    pub byte: u64,
}

/// Yields rows in the order of the file, and ends after its first error. `R` is the source of a CSV file.
pub enum Rows<R> {
    Csv(CsvRows<R>),
    Xlsx(Box<XlsxRows>),
}

impl<R: Read> Rows<R> {
    /// What the header gave reason to warn of.
    pub fn warnings(&self) -> &[Warning] {
        match self {
            Rows::Csv(rows) => &rows.header().warnings,
            Rows::Xlsx(rows) => rows.warnings(),
        }
    }
}

impl<R: Read> Iterator for Rows<R> {
    type Item = Result<Row, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Rows::Csv(rows) => rows.next(),
            Rows::Xlsx(rows) => rows.next(),
        }
    }
}
