//! The ZIP archive around a workbook.

use super::xml::{Excess, Xml, part_error};
use crate::file_error::FileError;
use flate2::bufread::DeflateDecoder;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use zip::read::ZipFile;
use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

/// Real workbooks have a few dozen parts.
const PARTS_MAX: usize = 1000;
/// Enough for a directory of [`PARTS_MAX`] parts. The directory is read into memory before its parts can be counted.
const DIRECTORY_BYTES_MAX: u64 = 1024 * 1024;
const MIB: u64 = 1024 * 1024;
/// All parts but the worksheets, unpacked.
const OTHER_PARTS_MIB_MAX: u64 = 48;
/// One worksheet, unpacked: 1,048,576 rows of 12 columns take about 0.6 GiB.
const SHEET_MIB_MAX: u64 = 4096;
/// Worksheets compress 10 to 50 times. A large one with a much higher ratio is a ZIP bomb.
const SHEET_RATIO_MAX: u64 = 300;
const SHEET_MIB_WITHOUT_RATIO: u64 = 64;

/// An opened archive on the local disk.
pub struct Package {
    path: PathBuf,
    archive: ZipArchive<BufReader<File>>,
}

/// An unpacked part with a size limit; its checksum is verified at the end.
pub type VerifiedReader<'a> = BufReader<Limited<ZipFile<'a, BufReader<File>>>>;

/// An unpacked part with its own file handle.
pub type PartReader = BufReader<Box<dyn Read + Send>>;

impl Package {
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let file = || File::open(path).map(BufReader::new).map_err(FileError::Read);
        let limited = Budget {
            inner: file()?,
            left: DIRECTORY_BYTES_MAX,
        };
        let parts = ZipArchive::new(limited)
            .map_err(|error| zip_error("archive", error))?
            .len();
        if parts > PARTS_MAX {
            return Err(FileError::TooManyParts { limit: PARTS_MAX });
        }
        let archive = ZipArchive::new(file()?).map_err(|error| zip_error("archive", error))?;
        Ok(Self {
            path: path.to_owned(),
            archive,
        })
    }

    /// The name of a part as the archive spells it; the search ignores case.
    fn find(&self, name: &str) -> Option<String> {
        let names = self.archive.file_names().filter_map(Result::ok);
        names
            .map(|found| found.into_owned())
            .find(|found| found.eq_ignore_ascii_case(name))
    }

    /// The tokens of a part of at most `limit_mib` MiB, with its checksum verified at the end. `None`: no such part.
    pub fn xml(&mut self, name: &str, limit_mib: u64) -> Result<Option<Xml<VerifiedReader<'_>>>, FileError> {
        let Some(name) = self.find(name) else { return Ok(None) };
        let part = self.archive.by_name(&name).map_err(|error| zip_error(&name, error))?;
        Ok(Some(Xml::new(&name, BufReader::new(Limited::new(part, limit_mib)))))
    }

    /// The tokens of a worksheet, with its checksum verified at the end.
    pub fn sheet_xml(&mut self, name: &str) -> Result<Xml<VerifiedReader<'_>>, FileError> {
        let name = self
            .find(name)
            .ok_or_else(|| FileError::damaged(name, "the part is missing"))?;
        let part = self.archive.by_name(&name).map_err(|error| zip_error(&name, error))?;
        let limit_mib = sheet_limit_mib(part.compressed_size());
        Ok(Xml::new(&name, BufReader::new(Limited::new(part, limit_mib))))
    }

    /// The tokens of a worksheet that [`Self::sheet_xml`] has already verified: no limit and no checksum.
    pub fn sheet_xml_again(&mut self, name: &str) -> Result<Xml<PartReader>, FileError> {
        let name = self
            .find(name)
            .ok_or_else(|| FileError::damaged(name, "the part is missing"))?;
        let part = self.archive.by_name(&name).map_err(|error| zip_error(&name, error))?;
        let (method, length) = (part.compression(), part.compressed_size());
        let start = part
            .data_start()
            .ok_or_else(|| FileError::damaged(&name, "the part is missing"))?;
        drop(part);
        let mut file = File::open(&self.path).map_err(FileError::Read)?;
        file.seek(SeekFrom::Start(start)).map_err(FileError::Read)?;
        let packed = BufReader::new(file.take(length));
        let unpacked: Box<dyn Read + Send> = match method {
            CompressionMethod::Stored => Box::new(packed),
            _ => Box::new(DeflateDecoder::new(packed)),
        };
        Ok(Xml::new(&name, BufReader::new(unpacked)))
    }

    /// Unpacks and discards every part but `sheet`, because the declared sizes and checksums cannot be trusted.
    pub fn verify_except(&mut self, sheet: &str) -> Result<(), FileError> {
        let (mut others, mut sheets) = (OTHER_PARTS_MIB_MAX * MIB, SHEET_MIB_MAX * MIB);
        for index in 0..self.archive.len() {
            let mut part = self
                .archive
                .by_index(index)
                .map_err(|error| zip_error("archive", error))?;
            let name = part.name().map_err(|error| zip_error("archive", error))?.into_owned();
            if name.eq_ignore_ascii_case(sheet) {
                continue;
            }
            if is_worksheet(&name) {
                let limit = sheets.min(sheet_limit_mib(part.compressed_size()) * MIB);
                sheets -= unpack(&name, &mut part, limit, limit / MIB)?;
            } else {
                others -= unpack(&name, &mut part, others, OTHER_PARTS_MIB_MAX)?;
            }
        }
        Ok(())
    }
}

fn is_worksheet(name: &str) -> bool {
    name.to_ascii_lowercase().starts_with("xl/worksheets/")
}

fn sheet_limit_mib(packed_bytes: u64) -> u64 {
    let by_ratio = packed_bytes.saturating_mul(SHEET_RATIO_MAX) / MIB;
    by_ratio.clamp(SHEET_MIB_WITHOUT_RATIO, SHEET_MIB_MAX)
}

/// Returns the number of unpacked bytes, at most `limit`; `limit_mib` is for the message.
fn unpack(name: &str, part: &mut impl Read, limit: u64, limit_mib: u64) -> Result<u64, FileError> {
    let mut limited = part.take(limit + 1);
    let bytes = io::copy(&mut limited, &mut io::sink()).map_err(|error| part_error(name, error))?;
    if bytes > limit {
        return Err(FileError::PartTooLarge {
            part: name.to_owned(),
            limit_mib,
        });
    }
    Ok(bytes)
}

fn zip_error(part: &str, error: ZipError) -> FileError {
    match error {
        ZipError::UnsupportedArchive(ZipError::PASSWORD_REQUIRED) => FileError::Encrypted,
        ZipError::Io(error) => part_error(part, error),
        error => FileError::damaged(part, error),
    }
}

/// Fails, instead of ending, after a number of unpacked bytes.
pub struct Limited<R> {
    inner: R,
    left: u64,
    limit_mib: u64,
}

impl<R> Limited<R> {
    fn new(inner: R, limit_mib: u64) -> Self {
        Self {
            inner,
            left: limit_mib * MIB,
            limit_mib,
        }
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(target)?;
        let bytes = u64::try_from(count).unwrap_or(u64::MAX);
        self.left = self.left.checked_sub(bytes).ok_or(Excess::Part {
            limit_mib: self.limit_mib,
        })?;
        Ok(count)
    }
}

/// Fails when reading the directory takes more bytes than a real one can need.
struct Budget<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Budget<R> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(target)?;
        let bytes = u64::try_from(count).unwrap_or(u64::MAX);
        let exceeded = || io::Error::other("its directory is too large or missing");
        self.left = self.left.checked_sub(bytes).ok_or_else(exceeded)?;
        Ok(count)
    }
}

impl<R: Seek> Seek for Budget<R> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        self.inner.seek(position)
    }
}
