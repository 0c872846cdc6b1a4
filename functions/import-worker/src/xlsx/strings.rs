//! The shared strings of a workbook, which cells refer to by index.

use super::package::Package;
use super::xml::push_text;
use crate::file_error::FileError;
use quick_xml::events::Event;

/// Limit of the part, in MiB. It also bounds the memory: the texts are kept concatenated, plus 4 bytes for each.
const STRINGS_MIB_MAX: u64 = 32;

#[derive(Default)]
pub struct SharedStrings {
    texts: String,
    /// End of each text in `texts`.
    ends: Vec<u32>,
}

impl SharedStrings {
    pub fn read(package: &mut Package, part: &str) -> Result<Self, FileError> {
        Self::read_limited(package, part).map_err(|error| match error {
            FileError::PartTooLarge { .. } => FileError::TooManyTexts {
                limit_mib: STRINGS_MIB_MAX,
            },
            error => error,
        })
    }

    fn read_limited(package: &mut Package, part: &str) -> Result<Self, FileError> {
        let mut strings = Self::default();
        let Some(mut xml) = package.xml(part, STRINGS_MIB_MAX)? else {
            return Ok(strings);
        };
        let (mut in_text, mut in_reading_aid) = (false, false);
        loop {
            let event = xml.next()?;
            match &event {
                Event::Start(start) => match start.local_name().as_ref() {
                    "t" => in_text = true,
                    "rPh" => in_reading_aid = true,
                    _ => {}
                },
                Event::End(end) => match end.local_name().as_ref() {
                    "t" => in_text = false,
                    "rPh" => in_reading_aid = false,
                    "si" => strings
                        .ends
                        .push(u32::try_from(strings.texts.len()).unwrap_or(u32::MAX)),
                    _ => {}
                },
                Event::Eof => return Ok(strings),
                _ if in_text && !in_reading_aid => {
                    let pushed = push_text(&event, &mut strings.texts);
                    pushed.map_err(|detail| FileError::damaged(part, detail))?;
                }
                _ => {}
            }
        }
    }

    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)?;
        let start = index
            .checked_sub(1)
            .and_then(|before| self.ends.get(before))
            .copied()
            .unwrap_or(0);
        self.texts.get(usize::try_from(start).ok()?..usize::try_from(end).ok()?)
    }
}
