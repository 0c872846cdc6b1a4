//! Reads an object into chunks: a blocking thread parses, and a bounded channel hands the chunks to the database side.

use crate::csv_rows::{CsvHeader, CsvRows};
use crate::file_error::FileError;
use crate::rows::{Rows, Watermark};
use crate::sniff::{PREFIX_BYTES, sniff};
use crate::xlsx_rows::XlsxRows;
use app::imports::Chunk;
use domain::import::Format;
use lambda::s3::{Bucket, Get, Object, S3Error};
use std::io::{Cursor, Read, Write};
use tokio::sync::mpsc;
use tokio_util::io::SyncIoBridge;

/// Rows per transaction: a few MiB of memory and a fraction of a second.
const CHUNK_ROWS: usize = 5_000;
/// Chunks read ahead while the database works.
const CHUNKS_AHEAD: usize = 1;
/// A workbook is copied to the local disk first, which is small on Lambda.
const WORKBOOK_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Why reading stopped.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file is at fault: the import fails with this message.
    #[error(transparent)]
    File(#[from] FileError),
    #[error("the file was deleted before it was read; upload it again")]
    Gone,
    #[error("the file was replaced before it was read; the new version is imported separately")]
    Replaced,
    #[error("the workbook has more than {} MiB; save it as CSV", WORKBOOK_BYTES_MAX / 1024 / 1024)]
    WorkbookTooLarge,
    /// Our fault or the bucket's: a later delivery retries.
    #[error("the object could not be read")]
    Bucket(#[source] S3Error),
    #[error("the object could not be read")]
    Io(#[from] std::io::Error),
}

impl ReadError {
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::File(error) => error.is_transient(),
            Self::Bucket(_) | Self::Io(_) => true,
            Self::Gone | Self::Replaced | Self::WorkbookTooLarge => false,
        }
    }
}

impl From<S3Error> for ReadError {
    fn from(error: S3Error) -> Self {
        match error {
            S3Error::NotFound => Self::Gone,
            S3Error::Replaced => Self::Replaced,
            other => Self::Bucket(other),
        }
    }
}

/// One version of one object.
#[derive(Clone)]
pub struct Source {
    pub bucket: Bucket,
    pub key: String,
    pub version_id: Option<String>,
    pub etag: Option<String>,
}

impl Source {
    async fn open(&self, from_byte: u64) -> Result<Object, ReadError> {
        let get = Get {
            key: &self.key,
            version_id: self.version_id.as_deref(),
            if_match: self.etag.as_deref(),
            from_byte,
        };
        Ok(self.bucket.get(get).await?)
    }
}

pub type Chunks = mpsc::Receiver<Result<Chunk, ReadError>>;

/// Reads the rows after the watermark `from`; the default watermark is the beginning of the file.
///
/// The channel closes after the last chunk or the first error. Dropping the receiver stops the reader.
pub async fn read(source: Source, from: Watermark) -> Result<Chunks, ReadError> {
    let beginning = source.open(0).await?;
    // Also needed when resuming: the first bytes give the format, and a CSV header gives the columns.
    let rest = match from.byte {
        0 => None,
        byte => Some(source.open(byte).await?),
    };
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    let mut beginning = blocking(beginning);
    let rest = rest.map(blocking);
    tokio::task::spawn_blocking(move || {
        let outcome = prefix(&mut beginning).and_then(|prefix| match sniff(&prefix)? {
            Format::Csv => send_csv(Cursor::new(prefix).chain(beginning), rest, from, &sender),
            Format::Xlsx => send_workbook(Cursor::new(prefix).chain(beginning), from, &sender),
        });
        if let Err(error) = outcome {
            // A closed channel means that the worker has already failed with its own error.
            let _ = sender.blocking_send(Err(error));
        }
    });
    Ok(receiver)
}

fn blocking(object: Object) -> impl Read + Send {
    SyncIoBridge::new(object.into_reader())
}

fn prefix(reader: &mut impl Read) -> Result<Vec<u8>, ReadError> {
    let mut prefix = Vec::with_capacity(PREFIX_BYTES);
    let bytes = u64::try_from(PREFIX_BYTES).unwrap_or(u64::MAX);
    reader.take(bytes).read_to_end(&mut prefix)?;
    Ok(prefix)
}

type Sender = mpsc::Sender<Result<Chunk, ReadError>>;

fn send_csv(beginning: impl Read, rest: Option<impl Read>, from: Watermark, sender: &Sender) -> Result<(), ReadError> {
    match rest {
        None => send(Rows::Csv(CsvRows::open(beginning)?), Format::Csv, from, sender),
        Some(rest) => send(
            Rows::Csv(CsvRows::resume(rest, CsvHeader::read(beginning)?, from)),
            Format::Csv,
            from,
            sender,
        ),
    }
}

fn send_workbook(bytes: impl Read, from: Watermark, sender: &Sender) -> Result<(), ReadError> {
    let mut file = tempfile::NamedTempFile::new()?;
    let copied = std::io::copy(&mut bytes.take(WORKBOOK_BYTES_MAX + 1), &mut file)?;
    if copied > WORKBOOK_BYTES_MAX {
        return Err(ReadError::WorkbookTooLarge);
    }
    file.flush()?;
    let rows = if from.line == 0 {
        XlsxRows::open(file.path())?
    } else {
        XlsxRows::resume(file.path(), from)?
    };
    send(Rows::<std::io::Empty>::Xlsx(Box::new(rows)), Format::Xlsx, from, sender)
}

/// Groups the rows into chunks and sends them.
fn send<R: Read>(mut rows: Rows<R>, format: Format, from: Watermark, sender: &Sender) -> Result<(), ReadError> {
    let warnings = if from.line == 0 {
        rows.warnings().to_vec()
    } else {
        Vec::new()
    };
    let mut start = from;
    let mut chunk = Chunk {
        warnings,
        ..empty(format, start)
    };
    let mut count = 0;
    loop {
        let end = match rows.next() {
            None => Some(Ok(())),
            Some(Err(error)) => Some(Err(error.into())),
            Some(Ok(row)) => {
                start = row.next;
                (chunk.next_byte, chunk.next_line) = (start.byte, start.line);
                match row.result {
                    Ok(values) => chunk.rows.push(values),
                    Err(errors) => chunk.errors.extend(errors),
                }
                count += 1;
                None
            }
        };
        // Rows before an error are imported, so their chunk goes first.
        if count == CHUNK_ROWS || (end.is_some() && count > 0) {
            let full = std::mem::replace(&mut chunk, empty(format, start));
            if sender.blocking_send(Ok(full)).is_err() {
                return Ok(());
            }
            count = 0;
        }
        if let Some(outcome) = end {
            return outcome;
        }
    }
}

fn empty(format: Format, start: Watermark) -> Chunk {
    Chunk {
        format,
        rows: Vec::new(),
        errors: Vec::new(),
        warnings: Vec::new(),
        line: start.line,
        next_byte: start.byte,
        next_line: start.line,
    }
}
