//! Detects the format of a file by its first bytes. Names are unreliable: an `.xls` file may be named `.xlsx`.

use crate::file_error::FileError;
use domain::import::Format;

/// Bytes that [`sniff`] needs; fewer only if the file is shorter.
pub const PREFIX_BYTES: usize = 4096;

pub(crate) const UTF8_BOM: &[u8] = b"\xef\xbb\xbf";
/// OLE compound file: `.xls`, or `.xlsx` with a password.
const OLE: &[u8] = b"\xd0\xcf\x11\xe0";
/// Other formats whose first line looks like text.
const FOREIGN: [&[u8]; 8] = [
    b"%PDF-",
    b"GIF8",
    b"\x89PNG",
    b"{\\rtf",
    b"<?xml",
    b"<!DOCTYPE",
    b"<html",
    b"\x1f\x8b",
];

/// Returns the format of a file with these first bytes, or why it cannot be imported.
pub fn sniff(prefix: &[u8]) -> Result<Format, FileError> {
    if prefix.is_empty() {
        Err(FileError::Empty)
    } else if prefix.starts_with(b"PK") && matches!(prefix.get(2..4), Some([3, 4] | [5, 6] | [7, 8])) {
        Ok(Format::Xlsx)
    } else if prefix.starts_with(OLE) {
        Err(FileError::OldOrEncryptedWorkbook)
    } else if is_utf16(prefix) {
        Err(FileError::Utf16)
    } else if is_foreign(prefix) {
        Err(FileError::UnknownFormat)
    } else {
        Ok(Format::Csv)
    }
}

/// Detects a byte order mark, or text whose every other byte is NUL, as ASCII in UTF-16 is.
fn is_utf16(prefix: &[u8]) -> bool {
    let nul_at = |offset: usize| prefix.iter().take(64).skip(offset).step_by(2).all(|byte| *byte == 0);
    prefix.starts_with(b"\xff\xfe")
        || prefix.starts_with(b"\xfe\xff")
        || (prefix.len() >= 8 && (nul_at(0) != nul_at(1)))
}

/// Control characters in the header mean another format. Further down, they only reject their row.
fn is_foreign(prefix: &[u8]) -> bool {
    let text = prefix.strip_prefix(UTF8_BOM).unwrap_or(prefix).trim_ascii_start();
    let header = text
        .split(|byte| matches!(byte, b'\n' | b'\r'))
        .next()
        .unwrap_or_default();
    FOREIGN.iter().any(|start| text.starts_with(start))
        || header.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t')
}
