//! Reads words, ids and small numbers from a row.

use crate::error::{Error, Result};
use domain::id::{PlayerId, TextIdError};
use domain::word::Word;
use std::fmt::Display;
use std::str::FromStr;
use tokio_postgres::Row;
use tokio_postgres::row::RowIndex;

pub(crate) fn word<W: Word>(row: &Row, column: impl RowIndex + Display) -> Result<W> {
    known(row.try_get(column)?)
}

pub(crate) fn optional_word<W: Word>(row: &Row, column: impl RowIndex + Display) -> Result<Option<W>> {
    row.try_get::<_, Option<&str>>(column)?.map(known).transpose()
}

fn known<W: Word>(text: &str) -> Result<W> {
    W::parse(text).ok_or_else(|| Error::UnknownWord {
        what: W::NOUN,
        text: text.to_owned(),
    })
}

pub(crate) fn id<Id: FromStr<Err = TextIdError>>(row: &Row, column: impl RowIndex + Display) -> Result<Id> {
    parsed(row.try_get(column)?)
}

pub(crate) fn optional_id<Id: FromStr<Err = TextIdError>>(
    row: &Row,
    column: impl RowIndex + Display,
) -> Result<Option<Id>> {
    row.try_get::<_, Option<&str>>(column)?.map(parsed).transpose()
}

pub(crate) fn parsed<Id: FromStr<Err = TextIdError>>(text: &str) -> Result<Id> {
    text.parse().map_err(|source| Error::Id {
        text: text.to_owned(),
        source,
    })
}

pub(crate) fn player_id(row: &Row) -> Result<PlayerId> {
    id(row, "player_id")
}

/// Reads a `smallint` between 0 and 255.
pub(crate) fn small(row: &Row, column: impl RowIndex + Display + Copy) -> Result<u8> {
    let value: i16 = row.try_get(column)?;
    u8::try_from(value).map_err(|source| Error::OutOfRange {
        column: column.to_string(),
        source,
    })
}
