//! Reads XML from an untrusted file: bounded tokens, bounded depth, no document type.

use crate::file_error::FileError;
use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};
use std::io::{self, BufRead, Read};

/// Longest single token (a tag with its attributes, a text, a comment), in bytes.
pub const TOKEN_BYTES_MAX: usize = 256 * 1024;
/// Deepest nesting; a sheet's rich text is 7 deep.
const DEPTH_MAX: u32 = 64;

/// A limit that real workbooks never exceed. Passed through `io::Error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Excess {
    #[error("one token is longer than {} KiB", TOKEN_BYTES_MAX / 1024)]
    Token,
    #[error("it unpacks to more than {limit_mib} MiB")]
    Part { limit_mib: u64 },
}

impl From<Excess> for io::Error {
    fn from(excess: Excess) -> Self {
        io::Error::other(excess)
    }
}

/// Converts an I/O error of a part into the matching [`FileError`].
pub fn part_error(part: &str, error: io::Error) -> FileError {
    match error.get_ref().and_then(|inner| inner.downcast_ref()) {
        Some(Excess::Part { limit_mib }) => FileError::PartTooLarge {
            part: part.to_owned(),
            limit_mib: *limit_mib,
        },
        Some(Excess::Token) => FileError::damaged(part, Excess::Token),
        // The operating system failed to read the local file; errors in its content have no such code.
        None if error.raw_os_error().is_some() => FileError::Read(error),
        None => FileError::damaged(part, error),
    }
}

/// Fails when more than [`TOKEN_BYTES_MAX`] bytes are consumed between two tokens.
struct TokenLimit<R> {
    inner: R,
    left: usize,
}

impl<R: BufRead> Read for TokenLimit<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let count = available.len().min(target.len());
        target.iter_mut().zip(available).for_each(|(to, from)| *to = *from);
        self.consume(count);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for TokenLimit<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.left == 0 {
            return Err(Excess::Token.into());
        }
        let available = self.inner.fill_buf()?;
        Ok(available.get(..self.left).unwrap_or(available))
    }

    fn consume(&mut self, count: usize) {
        self.left = self.left.saturating_sub(count);
        self.inner.consume(count);
    }
}

/// The tokens of one part of the workbook.
pub struct Xml<R> {
    part: String,
    reader: Reader<TokenLimit<R>>,
    token: Vec<u8>,
    depth: u32,
}

impl<R: BufRead> Xml<R> {
    pub fn new(part: &str, inner: R) -> Self {
        let mut reader = Reader::from_reader(TokenLimit {
            inner,
            left: TOKEN_BYTES_MAX,
        });
        reader.config_mut().expand_empty_elements = true;
        Self {
            part: part.to_owned(),
            reader,
            token: Vec::new(),
            depth: 0,
        }
    }

    pub fn part(&self) -> &str {
        &self.part
    }

    /// The next token. `<a/>` yields a start and an end.
    pub fn next(&mut self) -> Result<Event<'_>, FileError> {
        self.token.clear();
        self.reader.get_mut().left = TOKEN_BYTES_MAX;
        let event = self
            .reader
            .read_event_into(&mut self.token)
            .map_err(|error| match error {
                quick_xml::Error::Io(error) => part_error(&self.part, clone_io(&error)),
                error => FileError::damaged(&self.part, error),
            })?;
        match &event {
            Event::Start(_) if self.depth == DEPTH_MAX => {
                return Err(FileError::damaged(&self.part, "nested too deeply"));
            }
            Event::Start(_) => self.depth += 1,
            Event::End(_) => self.depth = self.depth.saturating_sub(1),
            Event::DocType(_) => {
                return Err(FileError::DocumentType {
                    part: self.part.clone(),
                });
            }
            Event::Eof if self.depth > 0 => return Err(FileError::damaged(&self.part, "it ends too early")),
            _ => {}
        }
        Ok(event)
    }

    /// Calls `visit` for every start tag of the part.
    pub fn each_start(
        mut self,
        mut visit: impl FnMut(&BytesStart<'_>) -> Result<(), FileError>,
    ) -> Result<(), FileError> {
        loop {
            match self.next()? {
                Event::Start(start) => visit(&start)?,
                Event::Eof => return Ok(()),
                _ => {}
            }
        }
    }

    /// Reads and discards the rest of the part, so that its checksum is verified.
    pub fn finish(self) -> Result<(), FileError> {
        io::copy(&mut self.reader.into_inner().inner, &mut io::sink())
            .map(drop)
            .map_err(|error| part_error(&self.part, error))
    }
}

/// `quick_xml` returns I/O errors in an `Arc`; this copies what [`part_error`] needs.
fn clone_io(error: &io::Error) -> io::Error {
    match (
        error.get_ref().and_then(|inner| inner.downcast_ref::<Excess>()),
        error.raw_os_error(),
    ) {
        (Some(excess), _) => (*excess).into(),
        (None, Some(code)) => io::Error::from_raw_os_error(code),
        (None, None) => io::Error::new(error.kind(), error.to_string()),
    }
}

/// The value of an attribute, whatever its namespace prefix. Only predefined and character entities are resolved.
pub fn attribute(start: &BytesStart<'_>, name: &str) -> Option<String> {
    let found = start
        .attributes()
        .with_checks(false)
        .filter_map(Result::ok)
        .find(|attribute| attribute.key.local_name().as_ref() == name)?;
    found
        .normalized_value(quick_xml::XmlVersion::Implicit1_0)
        .ok()
        .map(|value| value.into_owned())
}

/// Appends the text of a token to `text`. `Err`: an entity that XML does not define.
pub fn push_text(event: &Event<'_>, text: &mut String) -> Result<(), String> {
    match event {
        Event::Text(piece) => text.push_str(piece),
        Event::CData(piece) => text.push_str(piece),
        Event::GeneralRef(reference) => match reference.resolve_char_ref() {
            Ok(Some(character)) => text.push(character),
            _ => match quick_xml::escape::resolve_predefined_entity(reference) {
                Some(character) => text.push_str(character),
                None => return Err(format!("unknown entity &{};", domain::import::shown(reference))),
            },
        },
        _ => {}
    }
    Ok(())
}
