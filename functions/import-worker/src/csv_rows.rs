//! Streams the rows of a CSV file.
//!
//! The parser writes into a buffer of fixed size, so the longest accepted record bounds the memory: a quotation mark
//! that is never closed ends the import instead of the process.

use crate::file_error::FileError;
use crate::rows::{Row, Watermark};
use crate::sniff::UTF8_BOM;
use csv_core::{ReadRecordResult, ReaderBuilder};
use domain::import::Warning;
use domain::import::columns::{COLUMNS_MAX, Columns, known_headings};
use domain::import::row::{Cell, PlayerRow, RowProblem};
use domain::import::shown;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};

/// Longest record: the sum of its cells, in bytes.
pub const RECORD_BYTES_MAX: usize = 256 * 1024;
/// Longest first line, in bytes. The delimiter is detected in it.
const FIRST_LINE_BYTES_MAX: usize = 64 * 1024;
const READ_BYTES: usize = 64 * 1024;
/// Cells kept apart per record; all further cells are merged into the last one.
const CELLS_MAX: usize = COLUMNS_MAX + 2;
const DELIMITERS: [u8; 3] = [b',', b';', b'\t'];

/// What the beginning of a file says about its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CsvHeader {
    pub columns: Columns,
    pub warnings: Vec<Warning>,
    pub delimiter: u8,
    /// Start of the first row.
    pub next: Watermark,
}

impl CsvHeader {
    /// Reads the header from the beginning of a file, and not much more than that.
    pub fn read(reader: impl Read) -> Result<Self, FileError> {
        Ok(CsvRows::open(reader)?.header)
    }
}

/// The rows of a CSV file, without the blank ones.
pub struct CsvRows<R> {
    records: Box<Records<Chain<Cursor<Vec<u8>>, R>>>,
    header: CsvHeader,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// No row has been seen yet; a file without rows is refused.
    Fresh,
    Going,
    Done,
}

impl<R: Read> CsvRows<R> {
    /// Reads the header. `reader` is at the beginning of the file.
    pub fn open(mut reader: R) -> Result<Self, FileError> {
        let mut start = read_first_line(&mut reader)?;
        let mut next = Watermark { line: 1, byte: 0 };
        if start.starts_with(UTF8_BOM) {
            start.drain(..UTF8_BOM.len());
            next.byte = as_u64(UTF8_BOM.len());
        }
        let delimiter = find_delimiter(&start);
        let mut records = Box::new(Records::new(Cursor::new(start).chain(reader), delimiter, next));
        loop {
            let Some(line) = records.advance()? else {
                return Err(FileError::Empty);
            };
            let headings = records.texts().ok_or(FileError::HeaderNotUtf8 { line })?;
            if headings.iter().any(|heading| !heading.trim().is_empty()) {
                let (columns, warnings) = Columns::from_header(&headings)?;
                let header = CsvHeader {
                    columns,
                    warnings,
                    delimiter,
                    next: records.next,
                };
                return Ok(Self {
                    records,
                    header,
                    state: State::Fresh,
                });
            }
        }
    }

    /// Continues after a row that was read earlier. `header` is that of the same file, and `reader` is at `next.byte`.
    pub fn resume(reader: R, header: CsvHeader, next: Watermark) -> Self {
        let state = if next == header.next {
            State::Fresh
        } else {
            State::Going
        };
        let records = Box::new(Records::new(
            Cursor::new(Vec::new()).chain(reader),
            header.delimiter,
            next,
        ));
        Self { records, header, state }
    }

    pub fn header(&self) -> &CsvHeader {
        &self.header
    }

    fn read(&mut self) -> Result<Option<Row>, FileError> {
        loop {
            let Some(line) = self.records.advance()? else {
                return if self.state == State::Fresh {
                    Err(FileError::NoRows)
                } else {
                    Ok(None)
                };
            };
            let result = PlayerRow::parse(&self.header.columns, line, self.records.cells()).transpose();
            if let Some(result) = result {
                self.state = State::Going;
                return Ok(Some(Row {
                    line,
                    next: self.records.next,
                    result,
                }));
            }
        }
    }
}

impl<R: Read> Iterator for CsvRows<R> {
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

/// Reads at least up to the end of the first line that is not blank.
fn read_first_line(reader: &mut impl Read) -> Result<Vec<u8>, FileError> {
    let mut start = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let count = match reader.read(&mut chunk) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(FileError::Read(error)),
        };
        start.extend_from_slice(chunk.get(..count).unwrap_or_default());
        let text = start.strip_prefix(UTF8_BOM).unwrap_or(&start).trim_ascii_start();
        if count == 0 || text.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            return Ok(start);
        }
        if start.len() > FIRST_LINE_BYTES_MAX {
            return Err(FileError::RowTooLong {
                line: 1,
                limit_kib: FIRST_LINE_BYTES_MAX / 1024,
            });
        }
    }
}

/// The delimiter that yields the most known headings in the first line; on a tie, the first of [`DELIMITERS`].
fn find_delimiter(start: &[u8]) -> u8 {
    let first_line = start
        .trim_ascii_start()
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .next()
        .unwrap_or_default();
    let first_line = String::from_utf8_lossy(first_line);
    let known = |delimiter: u8| {
        known_headings(
            first_line
                .split(char::from(delimiter))
                .map(|heading| heading.trim().trim_matches('"')),
        )
    };
    DELIMITERS
        .into_iter()
        .rev()
        .max_by_key(|delimiter| known(*delimiter))
        .unwrap_or(b',')
}

/// Splits a stream into records and counts lines and bytes.
struct Records<R> {
    input: BufReader<R>,
    parser: csv_core::Reader,
    /// End of the current record.
    next: Watermark,
    /// The cells of the current record, concatenated.
    bytes: Vec<u8>,
    /// End of each cell in `bytes`.
    ends: Vec<usize>,
    cell_count: usize,
    /// Whether the last byte was `\r`: a following `\n` belongs to the same line break.
    after_return: bool,
}

impl<R: Read> Records<R> {
    fn new(reader: R, delimiter: u8, next: Watermark) -> Self {
        Self {
            input: BufReader::with_capacity(READ_BYTES, reader),
            parser: ReaderBuilder::new().delimiter(delimiter).build(),
            next,
            bytes: vec![0; RECORD_BYTES_MAX],
            ends: vec![0; CELLS_MAX],
            cell_count: 0,
            after_return: false,
        }
    }

    /// Reads the next record and returns the line it begins on; `None` at the end.
    fn advance(&mut self) -> Result<Option<u64>, FileError> {
        while let Some(b'\n' | b'\r') = self.peek()? {
            self.take(1);
        }
        if self.peek()?.is_none() {
            return Ok(None);
        }
        let line = self.next.line;
        self.parse_record(line)?;
        // The parser ends a record at the first byte of `\r\n`; the watermark has to be after the second.
        if self.after_return && self.peek()? == Some(b'\n') {
            self.take(1);
        }
        Ok(Some(line))
    }

    fn parse_record(&mut self, line: u64) -> Result<(), FileError> {
        let mut length = 0;
        self.cell_count = 0;
        loop {
            let input = fill(&mut self.input)?;
            // A last record without a line break gets one. If the parser still wants more, a quote is open.
            let at_end = input.is_empty();
            let input = if at_end { b"\n" } else { input };
            let bytes = self.bytes.get_mut(length..).unwrap_or_default();
            let ends = self
                .ends
                .get_mut(self.cell_count.min(CELLS_MAX - 1)..)
                .unwrap_or_default();
            let (result, read, written, ended) = self.parser.read_record(input, bytes, ends);
            length += written;
            self.cell_count = (self.cell_count + ended).min(CELLS_MAX);
            if !at_end {
                self.take(read);
            }
            match result {
                ReadRecordResult::Record | ReadRecordResult::End => return Ok(()),
                ReadRecordResult::InputEmpty if at_end => return Err(FileError::QuoteNotClosed { line }),
                ReadRecordResult::InputEmpty | ReadRecordResult::OutputEndsFull => {}
                ReadRecordResult::OutputFull => {
                    return Err(FileError::RowTooLong {
                        line,
                        limit_kib: RECORD_BYTES_MAX / 1024,
                    });
                }
            }
        }
    }

    fn peek(&mut self) -> Result<Option<u8>, FileError> {
        Ok(fill(&mut self.input)?.first().copied())
    }

    /// Consumes buffered bytes and counts line breaks as editors do: `\n`, `\r\n` or `\r`.
    fn take(&mut self, count: usize) {
        for byte in self.input.buffer().iter().take(count) {
            let ends_line = *byte == b'\r' || (*byte == b'\n' && !self.after_return);
            self.next.line += u64::from(ends_line);
            self.after_return = *byte == b'\r';
        }
        self.next.byte += as_u64(count);
        self.input.consume(count);
    }

    fn raw_cells(&self) -> impl Iterator<Item = &[u8]> {
        let ends = self.ends.iter().take(self.cell_count);
        let starts = std::iter::once(&0).chain(&self.ends);
        starts
            .zip(ends)
            .map(|(start, end)| self.bytes.get(*start..*end).unwrap_or_default())
    }

    fn cells(&self) -> impl Iterator<Item = Cell<'_>> {
        self.raw_cells().map(|bytes| match str::from_utf8(bytes) {
            Ok(text) => Cell::from(text),
            Err(_) => Cell::Refused {
                shown: shown(&String::from_utf8_lossy(bytes)),
                reason: RowProblem::Utf8,
            },
        })
    }

    /// `None` if a cell is not valid UTF-8.
    fn texts(&self) -> Option<Vec<&str>> {
        self.raw_cells().map(|bytes| str::from_utf8(bytes).ok()).collect()
    }
}

fn fill<R: Read>(input: &mut BufReader<R>) -> Result<&[u8], FileError> {
    loop {
        match input.fill_buf() {
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(FileError::Read(error)),
        }
    }
    Ok(input.buffer())
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}
