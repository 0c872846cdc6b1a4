//! Finds the first worksheet and the cell formats that show dates.

use super::package::Package;
use super::xml::{Xml, attribute};
use crate::file_error::FileError;
use std::collections::{BTreeMap, HashSet};
use std::io::BufRead;

/// Limit of the small parts, in MiB: relations, the list of sheets, formats.
const SMALL_PART_MIB_MAX: u64 = 4;
/// Most relations and most sheets that are kept.
const ENTRIES_MAX: usize = 10_000;
/// Excel allows 65,490.
const FORMATS_MAX: usize = 65_536;

/// What the row reader needs to know about the workbook.
pub struct Workbook {
    /// Part of the first visible worksheet; of the first one if all are hidden.
    pub sheet: String,
    /// Part of the shared strings.
    pub strings: Option<String>,
    /// Whether dates count from 1904 instead of 1900.
    pub is_1904: bool,
    /// For each cell format: whether it shows a date or a time.
    pub date_formats: Vec<bool>,
}

struct Relation {
    /// The last segment of the type's URI: `worksheet`, `styles`, …
    kind: String,
    target: String,
}

type Relations = BTreeMap<String, Relation>;

struct SheetEntry {
    relation: String,
    hidden: bool,
}

impl Workbook {
    pub fn read(package: &mut Package) -> Result<Self, FileError> {
        let main = main_part(package)?;
        let relations = relations(package, &main)?;
        let xml = package.xml(&main, SMALL_PART_MIB_MAX)?.ok_or(FileError::NotAWorkbook)?;
        let (sheets, is_1904) = sheets(xml)?;
        let part = |kind: &str| {
            relations
                .values()
                .find(|relation| relation.kind == kind)
                .map(|relation| relation.target.clone())
        };
        let worksheets = || {
            let with_relation = sheets
                .iter()
                .filter_map(|sheet| Some((sheet, relations.get(&sheet.relation)?)));
            with_relation.filter(|(_, relation)| relation.kind == "worksheet")
        };
        let first = worksheets()
            .find(|(sheet, _)| !sheet.hidden)
            .or_else(|| worksheets().next());
        let (_, sheet) = first.ok_or(FileError::NoWorksheet)?;
        let date_formats = match part("styles") {
            Some(styles) => package
                .xml(&styles, SMALL_PART_MIB_MAX)?
                .map(date_formats)
                .transpose()?
                .unwrap_or_default(),
            None => Vec::new(),
        };
        Ok(Self {
            sheet: sheet.target.clone(),
            strings: part("sharedStrings"),
            is_1904,
            date_formats,
        })
    }
}

fn main_part(package: &mut Package) -> Result<String, FileError> {
    let relations = relations(package, "")?;
    let main = relations
        .into_values()
        .find(|relation| relation.kind == "officeDocument")
        .map(|relation| relation.target);
    let main = main.unwrap_or_else(|| "xl/workbook.xml".to_owned());
    if main.ends_with(".bin") {
        Err(FileError::BinaryWorkbook)
    } else {
        Ok(main)
    }
}

/// The relations of a part (`""`: of the package), with their targets as names in the archive.
fn relations(package: &mut Package, part: &str) -> Result<Relations, FileError> {
    let (folder, file) = part.rsplit_once('/').unwrap_or(("", part));
    let mut relations = Relations::new();
    let Some(xml) = package.xml(&resolve(folder, &format!("_rels/{file}.rels")), SMALL_PART_MIB_MAX)? else {
        return Ok(relations);
    };
    xml.each_start(|start| {
        let found = (
            attribute(start, "Id"),
            attribute(start, "Type"),
            attribute(start, "Target"),
        );
        if let ("Relationship", (Some(id), Some(kind), Some(target))) = (start.local_name().as_ref(), found)
            && relations.len() < ENTRIES_MAX
        {
            let kind = kind.rsplit('/').next().unwrap_or_default().to_owned();
            relations.insert(
                id,
                Relation {
                    kind,
                    target: resolve(folder, &target),
                },
            );
        }
        Ok(())
    })?;
    Ok(relations)
}

/// A target is relative to the part's folder, or absolute with a leading slash.
fn resolve(folder: &str, target: &str) -> String {
    let mut path: Vec<&str> = if target.starts_with('/') {
        Vec::new()
    } else {
        folder.split('/').collect()
    };
    for step in target.split('/') {
        match step {
            "" | "." => {}
            ".." => drop(path.pop()),
            step => path.push(step),
        }
    }
    path.retain(|step| !step.is_empty());
    path.join("/")
}

fn sheets<R: BufRead>(xml: Xml<R>) -> Result<(Vec<SheetEntry>, bool), FileError> {
    let (mut sheets, mut is_1904, mut is_workbook) = (Vec::new(), false, false);
    xml.each_start(|start| {
        match start.local_name().as_ref() {
            "workbook" => is_workbook = true,
            "workbookPr" => is_1904 = matches!(attribute(start, "date1904").as_deref(), Some("1" | "true")),
            "sheet" if sheets.len() < ENTRIES_MAX => {
                // The relation's id; `sheetId` is another attribute.
                let relation = attribute(start, "id").unwrap_or_default();
                let hidden = attribute(start, "state").is_some_and(|state| state != "visible");
                sheets.push(SheetEntry { relation, hidden });
            }
            _ => {}
        }
        Ok(())
    })?;
    if is_workbook {
        Ok((sheets, is_1904))
    } else {
        Err(FileError::NotAWorkbook)
    }
}

fn date_formats<R: BufRead>(xml: Xml<R>) -> Result<Vec<bool>, FileError> {
    let (mut custom, mut formats, mut in_cell_formats) = (HashSet::new(), Vec::new(), false);
    xml.each_start(|start| {
        let number_format = || attribute(start, "numFmtId").and_then(|id| id.parse::<u32>().ok());
        match start.local_name().as_ref() {
            "numFmt"
                if custom.len() < FORMATS_MAX
                    && attribute(start, "formatCode").is_some_and(|code| shows_date(&code)) =>
            {
                custom.extend(number_format());
            }
            // `xf` also occurs in the list of named styles, which cells do not refer to.
            "cellXfs" => in_cell_formats = true,
            "cellStyleXfs" | "cellStyles" | "dxfs" => in_cell_formats = false,
            "xf" if in_cell_formats && formats.len() == FORMATS_MAX => {
                return Err(FileError::TooManyFormats { limit: FORMATS_MAX });
            }
            "xf" if in_cell_formats => {
                formats.push(number_format().is_some_and(|id| is_built_in_date(id) || custom.contains(&id)))
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(formats)
}

/// ECMA-376 part 1, section 18.8.30, including the East Asian formats.
fn is_built_in_date(id: u32) -> bool {
    matches!(id, 14..=22 | 27..=36 | 45..=47 | 50..=58)
}

/// Whether a number format has a date or time letter outside quotes, escapes and brackets.
fn shows_date(code: &str) -> bool {
    let (mut characters, mut in_quotes, mut in_brackets) = (code.chars(), false, false);
    let mut bracket = String::new();
    while let Some(character) = characters.next() {
        match character {
            '"' => in_quotes = !in_quotes,
            _ if in_quotes => {}
            '\\' | '_' | '*' => drop(characters.next()),
            '[' => {
                in_brackets = true;
                bracket.clear();
            }
            ']' => {
                in_brackets = false;
                // `[h]`, `[mm]`, `[ss]` are elapsed times; `[Red]` and `[$€-407]` are not.
                if !bracket.is_empty() && bracket.chars().all(|c| matches!(c, 'h' | 'm' | 's' | 'H' | 'M' | 'S')) {
                    return true;
                }
            }
            _ if in_brackets => bracket.push(character),
            'd' | 'm' | 'y' | 'h' | 's' | 'D' | 'M' | 'Y' | 'H' | 'S' => return true,
            _ => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_of_dates_and_times_are_told_from_those_of_numbers() {
        for code in ["yyyy-mm-dd", "d/m/yy h:mm", "[h]:mm:ss", "[$-407]DD. MMMM", "\"on\" dd"] {
            assert!(shows_date(code), "{code}");
        }
        for code in [
            "General",
            "0.00",
            "#,##0.00 \"USD paid\"",
            "[Red]-0.00",
            "[$USD] 0",
            "_-* #,##0_-",
            "0\\d",
            "0.00E+00",
            "@",
        ] {
            assert!(!shows_date(code), "{code}");
        }
    }

    #[test]
    fn targets_are_relative_to_their_folder_or_absolute() {
        assert_eq!(resolve("xl", "worksheets/sheet1.xml"), "xl/worksheets/sheet1.xml");
        assert_eq!(resolve("xl", "/xl/worksheets/sheet1.xml"), "xl/worksheets/sheet1.xml");
        assert_eq!(resolve("xl/worksheets", "../../../styles.xml"), "styles.xml");
        assert_eq!(resolve("", "_rels/.rels"), "_rels/.rels");
    }
}
