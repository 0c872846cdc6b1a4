//! The rejected rows of an import, as CSV.

use crate::Imports;
use app::imports::StoredRowError;
use axum::extract::State;
use axum::http::header::{CONTENT_DISPOSITION, CONTENT_TYPE, LINK};
use axum::response::{IntoResponse, Response};
use domain::id::ImportId;
use lambda::{Page, PathParams, Problem};
use std::str::FromStr;

/// Rows per response. Stored values are truncated, so a response stays well below Lambda's limit.
const ROWS_MAX: i64 = 10_000;
/// The position before the first line.
pub const FROM_THE_START: (i64, i16) = (0, 0);

/// The error after which the page starts: `line.ordinal`.
struct Cursor(i64, i16);

impl FromStr for Cursor {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (line, ordinal) = text.split_once('.').ok_or(())?;
        Ok(Self(line.parse().map_err(|_| ())?, ordinal.parse().map_err(|_| ())?))
    }
}

pub async fn get(
    State(imports): State<Imports>,
    PathParams(import_id): PathParams<ImportId>,
    page: Page,
) -> Result<Response, Problem> {
    let after = page
        .cursor::<Cursor>()?
        .map_or(FROM_THE_START, |Cursor(line, ordinal)| (line, ordinal));
    let errors = app::imports::errors(&imports.db, import_id, after, ROWS_MAX).await?;
    let full = i64::try_from(errors.len()).is_ok_and(|count| count == ROWS_MAX);
    let next = errors
        .last()
        .filter(|_| full)
        .and_then(|last| page.next_link(&format!("{}.{}", last.line, last.ordinal)));
    let name = format!("attachment; filename=\"import-{import_id}-errors.csv\"");
    let mut response = (
        [
            (CONTENT_TYPE, "text/csv; charset=utf-8".to_owned()),
            (CONTENT_DISPOSITION, name),
        ],
        csv(&errors),
    )
        .into_response();
    if let Some(link) = next.and_then(|link| link.parse().ok()) {
        response.headers_mut().insert(LINK, link);
    }
    Ok(response)
}

fn csv(errors: &[StoredRowError]) -> String {
    let mut text = "line,column,value,reason\r\n".to_owned();
    for StoredRowError {
        line,
        column,
        value,
        reason,
        ..
    } in errors
    {
        let (column, value) = (
            column.as_deref().unwrap_or_default(),
            value.as_deref().unwrap_or_default(),
        );
        text.push_str(&format!("{line},{},{},{}\r\n", cell(column), cell(value), cell(reason)));
    }
    text
}

/// Quotes a value if needed. An apostrophe keeps spreadsheets from running it as a formula.
fn cell(value: &str) -> String {
    let guard = if value.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        "'"
    } else {
        ""
    };
    if value.contains([',', '"', '\n', '\r']) {
        format!("\"{guard}{}\"", value.replace('"', "\"\""))
    } else {
        format!("{guard}{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_and_formulas_disarmed() {
        for (value, expected) in [
            ("12,5", "\"12,5\""),
            ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("=HYPERLINK(\"x\",\"y\")", "\"'=HYPERLINK(\"\"x\"\",\"\"y\"\")\""),
            ("-5", "'-5"),
            ("+1", "'+1"),
            ("@cmd", "'@cmd"),
            ("two\nlines", "\"two\nlines\""),
            ("NaN", "NaN"),
            ("", ""),
        ] {
            assert_eq!(cell(value), expected);
        }
    }
}
