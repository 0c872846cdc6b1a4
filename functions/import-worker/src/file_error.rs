//! Why a file cannot be imported. The messages are for the person who made the file.

use domain::import::columns::HeaderError;
use std::io;

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("the file is empty")]
    Empty,
    #[error("the file has a header but no rows")]
    NoRows,
    #[error(
        "the file is an old Excel workbook (.xls) or is protected by a password; \
         save it as .xlsx without a password, or as \"CSV UTF-8\""
    )]
    OldOrEncryptedWorkbook,
    #[error("the file is text in UTF-16; save it as \"CSV UTF-8\"")]
    Utf16,
    #[error("the file is neither CSV nor an Excel workbook (.xlsx)")]
    UnknownFormat,
    #[error("{0}")]
    Header(#[from] HeaderError),
    #[error("the header on line {line} is not valid UTF-8; save the file as \"CSV UTF-8\"")]
    HeaderNotUtf8 { line: u64 },
    #[error("the row that begins on line {line} is longer than {limit_kib} KiB; is a quotation mark never closed?")]
    RowTooLong { line: u64, limit_kib: usize },
    #[error("the row that begins on line {line} has a quotation mark that is never closed")]
    QuoteNotClosed { line: u64 },
    #[error("the workbook is damaged: {part}: {detail}")]
    Damaged { part: String, detail: String },
    #[error("the workbook is protected by a password; save it without one")]
    Encrypted,
    #[error("the file is a ZIP archive but not an Excel workbook (.xlsx)")]
    NotAWorkbook,
    #[error("the workbook is in the binary format .xlsb; save it as .xlsx, or as \"CSV UTF-8\"")]
    BinaryWorkbook,
    #[error("the workbook has no worksheet")]
    NoWorksheet,
    #[error("the workbook has more than {limit} parts")]
    TooManyParts { limit: usize },
    #[error("the workbook's part {part} unpacks to more than {limit_mib} MiB; this is not a table of players")]
    PartTooLarge { part: String, limit_mib: u64 },
    #[error("the workbook has too many different texts (more than {limit_mib} MiB); save it as \"CSV UTF-8\"")]
    TooManyTexts { limit_mib: u64 },
    #[error("the workbook has more than {limit} cell formats")]
    TooManyFormats { limit: usize },
    #[error("the workbook's part {part} declares a document type, which workbooks never do")]
    DocumentType { part: String },
    #[error("cell {cell} contains more than {limit_kib} KiB")]
    CellTooLarge { cell: String, limit_kib: usize },
    #[error("the sheet has a value in cell {cell}, far outside the table; clear it and save the file again")]
    CellFarOutside { cell: String },
    /// Reading failed, but the file itself may be fine: worth a retry.
    #[error("the file could not be read")]
    Read(#[source] io::Error),
}

impl FileError {
    /// Whether a retry with the same file may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Read(_))
    }

    pub(crate) fn damaged(part: &str, detail: impl ToString) -> Self {
        Self::Damaged {
            part: part.to_owned(),
            detail: detail.to_string(),
        }
    }
}
