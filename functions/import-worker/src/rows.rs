//! The rows of a file, independent of its format.

use crate::csv_rows::CsvRows;
use crate::file_error::FileError;
use crate::xlsx_rows::XlsxRows;
use domain::import::Warning;
use domain::import::row::{PlayerRow, RowError};
use std::io::Read;

/// A row that is not blank.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Where the row begins, as an editor or a spreadsheet shows it, from 1.
    pub line: u64,
    /// The watermark after this row: reading can resume here.
    pub next: Watermark,
    /// The values, or every error in them.
    pub result: Result<PlayerRow, Vec<RowError>>,
}

/// Start of the next row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Watermark {
    /// Line in a CSV file or row in a sheet, from 1; 0 before the file has been opened.
    pub line: u64,
    /// Byte offset in a CSV file; 0 for a workbook, which is always unpacked from its beginning.
    pub byte: u64,
}

/// Yields the rows in file order and ends after the first error. `R` is the source of a CSV file.
pub enum Rows<R> {
    Csv(CsvRows<R>),
    Xlsx(Box<XlsxRows>),
}

impl<R: Read> Rows<R> {
    /// Warnings about the header.
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
