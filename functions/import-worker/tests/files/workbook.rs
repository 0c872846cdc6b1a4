//! Builds workbooks by hand, part by part.

use import_worker::file_error::FileError;
use import_worker::rows::Row;
use import_worker::xlsx_rows::XlsxRows;
use std::io::{Cursor, Write};
use tempfile::NamedTempFile;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

pub const HEADER_ROW: &str = concat!(
    r#"<row r="1"><c r="A1" t="inlineStr"><is><t>player_id</t></is></c>"#,
    r#"<c r="B1" t="inlineStr"><is><t>deposit</t></is></c><c r="C1" t="inlineStr"><is><t>wagered</t></is></c>"#,
    r#"<c r="D1" t="inlineStr"><is><t>won</t></is></c><c r="E1" t="inlineStr"><is><t>name</t></is></c></row>"#,
);
pub const FIRST_ROW: &str = concat!(
    r#"<row r="2"><c r="A2" t="str"><v>P1</v></c><c r="B2"><v>1</v></c>"#,
    r#"<c r="C2"><v>2</v></c><c r="D2"><v>3</v></c></row>"#,
);
pub const SHEET: &str = "xl/worksheets/sheet1.xml";

pub struct Workbook {
    pub parts: Vec<(String, Vec<u8>)>,
    pub method: CompressionMethod,
}

/// A sheet with the header, one row, and `more`.
pub fn sheet(more: &str) -> String {
    format!(r#"<?xml version="1.0"?><worksheet><sheetData>{HEADER_ROW}{FIRST_ROW}{more}</sheetData></worksheet>"#)
}

/// A workbook with this part as its only sheet.
pub fn workbook(sheet: impl Into<Vec<u8>>) -> Workbook {
    let relations = |entries: &str| format!("<Relationships>{entries}</Relationships>").into_bytes();
    let parts = vec![
        ("[Content_Types].xml".to_owned(), b"<Types/>".to_vec()),
        (
            "_rels/.rels".to_owned(),
            relations(r#"<Relationship Id="rId1" Type="http://x/officeDocument" Target="xl/workbook.xml"/>"#),
        ),
        (
            "xl/workbook.xml".to_owned(),
            br#"<workbook><sheets><sheet name="S" sheetId="1" r:id="rId1"/></sheets></workbook>"#.to_vec(),
        ),
        (
            "xl/_rels/workbook.xml.rels".to_owned(),
            relations(
                r#"<Relationship Id="rId1" Type="http://x/worksheet" Target="worksheets/sheet1.xml"/>
                   <Relationship Id="rId2" Type="http://x/styles" Target="styles.xml"/>
                   <Relationship Id="rId3" Type="http://x/sharedStrings" Target="sharedStrings.xml"/>"#,
            ),
        ),
        (SHEET.to_owned(), sheet.into()),
    ];
    Workbook {
        parts,
        method: CompressionMethod::Deflated,
    }
}

impl Workbook {
    /// Adds a part, or replaces it.
    pub fn part(mut self, name: &str, content: impl Into<Vec<u8>>) -> Self {
        self.parts.retain(|(found, _)| found != name);
        self.parts.push((name.to_owned(), content.into()));
        self
    }

    pub fn stored(self) -> Self {
        Self {
            method: CompressionMethod::Stored,
            ..self
        }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in &self.parts {
            writer
                .start_file(
                    name.as_str(),
                    SimpleFileOptions::default().compression_method(self.method),
                )
                .unwrap();
            writer.write_all(content).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    pub fn failure(&self) -> FileError {
        read(&self.bytes()).expect_err("a failure")
    }

    pub fn rows(&self) -> Vec<Row> {
        read(&self.bytes()).expect("rows")
    }
}

pub fn file(bytes: &[u8]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub fn read(bytes: &[u8]) -> Result<Vec<Row>, FileError> {
    let file = file(bytes);
    XlsxRows::open(file.path())?.collect()
}
