//! The file readers: good files, bad rows, and hostile files.
#![expect(clippy::unwrap_used, reason = "what a test sets up must succeed")]

mod csv;
mod sniff;
mod workbook;
mod xlsx;
mod xlsx_hostile;

use domain::import::row::PlayerRow;
use import_worker::file_error::FileError;
use import_worker::rows::Row;

/// The rows up to the end or the first error.
fn collect(rows: impl Iterator<Item = Result<Row, FileError>>) -> (Vec<Row>, Option<FileError>) {
    let (mut read, mut failure) = (Vec::new(), None);
    for row in rows {
        match row {
            Ok(row) => read.push(row),
            Err(error) => failure = Some(error),
        }
    }
    (read, failure)
}

fn good(rows: &[Row]) -> Vec<PlayerRow> {
    rows.iter().filter_map(|row| row.result.clone().ok()).collect()
}

/// Every error as `line column value reason`.
fn errors(rows: &[Row]) -> Vec<String> {
    let errors = rows.iter().filter_map(|row| row.result.as_ref().err()).flatten();
    errors
        .map(|error| {
            let (column, value) = (
                error.column.as_deref().unwrap_or("-"),
                error.value.as_deref().unwrap_or("-"),
            );
            format!("{} {column} {value:?} {}", error.line, error.reason)
        })
        .collect()
}
