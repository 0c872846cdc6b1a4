//! Streams the cells of a worksheet that have a value, in sheet order.

use super::xml::{Xml, attribute, push_text};
use crate::file_error::FileError;
use domain::import::columns::COLUMNS_MAX;
use quick_xml::events::{BytesStart, Event};
use std::io::BufRead;

/// Longest cell content, in bytes. Excel allows 32,767 characters.
const CELL_BYTES_MAX: usize = 256 * 1024;
/// Most consecutive rows without a value.
const GAP_ROWS_MAX: u32 = 1000;
const SHEET_ROWS_MAX: u32 = 1_048_576;
const SHEET_COLUMNS_MAX: u32 = 16_384;

/// The content of a cell, with texts and numbers as in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    Shared(usize),
    Text(String),
    Number {
        raw: String,
        format: usize,
    },
    Boolean(String),
    Error(String),
    /// A formula without a stored result.
    Formula,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SheetCell {
    /// From 1.
    pub row: u32,
    /// From 0.
    pub column: u32,
    pub value: Value,
}

/// Streams the cells of a sheet. Refuses row numbers that do not increase, and values far outside the table, such as
/// one in the last row and column of the sheet.
pub struct SheetCells<R> {
    xml: Xml<R>,
    /// The current row, or the last one.
    row: u32,
    /// The column of the last cell, from 1.
    column: u32,
    last_row_with_value: u32,
    at_end: bool,
}

#[derive(Default)]
struct Content {
    text: String,
    has_formula: bool,
}

impl<R: BufRead> SheetCells<R> {
    pub fn new(xml: Xml<R>) -> Self {
        Self {
            xml,
            row: 0,
            column: 0,
            last_row_with_value: 0,
            at_end: false,
        }
    }

    /// The next cell with a value; `None` after the last.
    pub fn next(&mut self) -> Result<Option<SheetCell>, FileError> {
        while !self.at_end {
            let head = match self.xml.next()? {
                Event::Start(start) => match start.local_name().as_ref() {
                    "row" => Head::Row(attribute(&start, "r")),
                    "c" => Head::cell(&start),
                    _ => continue,
                },
                Event::End(end) if end.local_name().as_ref() == "sheetData" => {
                    self.at_end = true;
                    continue;
                }
                Event::Eof => return Err(FileError::damaged(self.xml.part(), "it contains no table")),
                _ => continue,
            };
            match head {
                Head::Row(number) => self.begin_row(number)?,
                Head::Cell { place, kind, format } => {
                    self.place(place)?;
                    let content = self.content()?;
                    if let Some(value) = self.value(kind, format, content)? {
                        return self.accept(value).map(Some);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Reads the rest of the part, so that its checksum is verified.
    pub fn finish(self) -> Result<(), FileError> {
        self.xml.finish()
    }

    fn begin_row(&mut self, number: Option<String>) -> Result<(), FileError> {
        let row = match number {
            Some(number) => number
                .parse()
                .ok()
                .filter(|row| *row > self.row && *row <= SHEET_ROWS_MAX),
            None => Some(self.row + 1).filter(|row| *row <= SHEET_ROWS_MAX),
        };
        let after = self.row;
        self.row = row.ok_or_else(|| {
            FileError::damaged(
                self.xml.part(),
                format!("the row after row {after} has an invalid number"),
            )
        })?;
        self.column = 0;
        Ok(())
    }

    /// Moves to a cell of the current row.
    fn place(&mut self, place: Place) -> Result<(), FileError> {
        let column = match place {
            Place::Next => Some(self.column + 1).filter(|column| *column <= SHEET_COLUMNS_MAX),
            Place::At { column, row } => Some(column).filter(|_| row == self.row),
            Place::Wrong => None,
        };
        let wrong = || FileError::damaged(self.xml.part(), format!("row {} has a misplaced cell", self.row));
        self.column = column.ok_or_else(wrong)?;
        Ok(())
    }

    /// The content of a cell: `<v>`, or the `<t>` of `<is>`.
    fn content(&mut self) -> Result<Content, FileError> {
        let mut content = Content::default();
        let (mut in_text, mut in_reading_aid) = (false, false);
        loop {
            let event = self.xml.next()?;
            match &event {
                Event::Start(start) => match start.local_name().as_ref() {
                    "v" | "t" => in_text = true,
                    "f" => content.has_formula = true,
                    "rPh" => in_reading_aid = true,
                    _ => {}
                },
                Event::End(end) => match end.local_name().as_ref() {
                    "v" | "t" => in_text = false,
                    "rPh" => in_reading_aid = false,
                    "c" => return Ok(content),
                    _ => {}
                },
                Event::Eof => return Err(FileError::damaged(self.xml.part(), "it ends inside a cell")),
                _ if in_text && !in_reading_aid => {
                    let pushed = push_text(&event, &mut content.text);
                    pushed.map_err(|detail| FileError::damaged(self.xml.part(), detail))?;
                    if content.text.len() > CELL_BYTES_MAX {
                        return Err(FileError::CellTooLarge {
                            cell: self.name(),
                            limit_kib: CELL_BYTES_MAX / 1024,
                        });
                    }
                }
                _ => {}
            }
        }
    }

    fn value(&self, kind: Kind, format: usize, content: Content) -> Result<Option<Value>, FileError> {
        let Content { text, has_formula } = content;
        if text.is_empty() {
            return Ok(has_formula.then_some(Value::Formula));
        }
        Ok(Some(match kind {
            Kind::Shared => {
                let index = text.trim().parse();
                Value::Shared(index.map_err(|_| {
                    FileError::damaged(
                        self.xml.part(),
                        format!("cell {} refers to a missing text", self.name()),
                    )
                })?)
            }
            Kind::Boolean => Value::Boolean(text),
            Kind::Error => Value::Error(text),
            Kind::Number => Value::Number { raw: text, format },
            Kind::Text => Value::Text(text),
        }))
    }

    fn accept(&mut self, value: Value) -> Result<SheetCell, FileError> {
        let columns_max = u32::try_from(COLUMNS_MAX).unwrap_or(u32::MAX);
        if self.column > columns_max || self.row - self.last_row_with_value > GAP_ROWS_MAX + 1 {
            return Err(FileError::CellFarOutside { cell: self.name() });
        }
        self.last_row_with_value = self.row;
        Ok(SheetCell {
            row: self.row,
            column: self.column - 1,
            value,
        })
    }

    fn name(&self) -> String {
        let (mut letters, mut rest) = (Vec::new(), self.column);
        while rest > 0 {
            letters.push(char::from_u32(u32::from('A') + (rest - 1) % 26).unwrap_or('?'));
            rest = (rest - 1) / 26;
        }
        letters.into_iter().rev().collect::<String>() + &self.row.to_string()
    }
}

/// The attributes of the start tag of a row or a cell.
enum Head {
    Row(Option<String>),
    Cell { place: Place, kind: Kind, format: usize },
}

#[derive(Clone, Copy)]
enum Place {
    /// After the previous cell.
    Next,
    At {
        column: u32,
        row: u32,
    },
    Wrong,
}

#[derive(Clone, Copy)]
enum Kind {
    Number,
    Shared,
    Boolean,
    Error,
    /// `str`, `inlineStr`, and `d`, whose text is an ISO date.
    Text,
}

impl Head {
    /// Reads the attributes in one pass: there are millions of cells.
    fn cell(start: &BytesStart<'_>) -> Self {
        let (mut place, mut kind, mut format) = (Place::Next, Kind::Number, 0);
        for attribute in start.attributes().with_checks(false).filter_map(Result::ok) {
            let value = attribute.value.as_ref();
            match attribute.key.as_ref() {
                "r" => place = parse_reference(value).map_or(Place::Wrong, |(column, row)| Place::At { column, row }),
                "s" => format = value.parse().unwrap_or(0),
                "t" => {
                    kind = match value {
                        "n" => Kind::Number,
                        "s" => Kind::Shared,
                        "b" => Kind::Boolean,
                        "e" => Kind::Error,
                        _ => Kind::Text,
                    }
                }
                _ => {}
            }
        }
        Head::Cell { place, kind, format }
    }
}

/// `B7` is column 2, row 7.
fn parse_reference(reference: &str) -> Option<(u32, u32)> {
    let letters = reference.bytes().take_while(u8::is_ascii_alphabetic).count();
    let (letters, row) = reference.split_at_checked(letters)?;
    let digit = |letter: u8| u32::from(letter.to_ascii_uppercase() - b'A') + 1;
    let column = letters.bytes().try_fold(0_u32, |column, letter| {
        column.checked_mul(26)?.checked_add(digit(letter))
    })?;
    let row = row.parse().ok()?;
    ((1..=SHEET_COLUMNS_MAX).contains(&column) && (1..=SHEET_ROWS_MAX).contains(&row)).then_some((column, row))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_columns_and_rows() {
        assert_eq!(parse_reference("A1"), Some((1, 1)));
        assert_eq!(parse_reference("az10"), Some((52, 10)));
        assert_eq!(parse_reference("XFD1048576"), Some((16_384, 1_048_576)));
        for wrong in [
            "",
            "A",
            "1",
            "A0",
            "XFE1",
            "A1048577",
            "AAAAAAAAAA1",
            "A1B",
            "$A$1",
            "A-1",
        ] {
            assert_eq!(parse_reference(wrong), None, "{wrong}");
        }
    }
}
