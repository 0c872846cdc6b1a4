use crate::workbook::{FIRST_ROW, SHEET, Workbook, file, read, sheet, workbook};
use import_worker::file_error::FileError;
use import_worker::xlsx_rows::XlsxRows;
use std::path::Path;

const MIB: usize = 1024 * 1024;

fn row(number: u32, cells: &str) -> String {
    format!(r#"<row r="{number}">{cells}</row>"#)
}

#[test]
fn a_value_far_outside_is_named_and_a_format_there_is_ignored() {
    let outside = |cell: &str, number: u32| {
        workbook(sheet(&row(number, &format!(r#"<c r="{cell}"><v>1</v></c>"#))))
            .failure()
            .to_string()
    };
    let expected = |cell: &str| {
        format!("the sheet has a value in cell {cell}, far outside the table; clear it and save the file again")
    };
    assert_eq!(outside("XFD1048576", 1_048_576), expected("XFD1048576"));
    assert_eq!(outside("IW3", 3), expected("IW3"));
    assert_eq!(outside("A1004", 1004), expected("A1004"));
    let formatted = workbook(sheet(&row(1_048_576, r#"<c r="XFD1048576" s="1"/>"#)));
    assert_eq!(formatted.rows().len(), 1);
    let gap = workbook(sheet(&row(1003, r#"<c r="A1003"><v>1</v></c>"#)));
    assert_eq!(gap.rows().len(), 2);
}

#[test]
fn a_far_cell_is_found_before_a_row_is_used() {
    let many: String = (3..5000)
        .map(|number| FIRST_ROW.replace("2\"", &format!("{number}\"")))
        .collect();
    let file = file(&workbook(sheet(&(many + &row(1_048_576, r#"<c r="XFD1048576"><v>1</v></c>"#)))).bytes());
    assert!(matches!(
        XlsxRows::open(file.path()),
        Err(FileError::CellFarOutside { .. })
    ));
}

#[test]
fn a_sheet_that_shrank_more_than_300_times_is_refused_at_64_mib() {
    let blank = workbook(sheet(&(" ".repeat(100_000) + "<!-- -->").repeat(700)));
    assert!(blank.bytes().len() < MIB);
    assert_eq!(
        blank.failure().to_string(),
        "the workbook's part xl/worksheets/sheet1.xml unpacks to more than 64 MiB; this is not a table of players"
    );
}

#[test]
fn a_part_that_is_not_needed_may_not_be_a_bomb_either() {
    let bomb = workbook(sheet("")).part("xl/media/zeros.bin", vec![0; 49 * MIB]);
    assert_eq!(
        bomb.failure().to_string(),
        "the workbook's part xl/media/zeros.bin unpacks to more than 48 MiB; this is not a table of players"
    );
    let two = workbook(sheet(""))
        .part("xl/a.bin", vec![0; 30 * MIB])
        .part("xl/b.bin", vec![0; 30 * MIB]);
    assert!(matches!(two.failure(), FileError::PartTooLarge { .. }));
    let other_sheet = workbook(sheet("")).part("xl/worksheets/sheet2.xml", vec![0; 65 * MIB]);
    assert!(matches!(other_sheet.failure(), FileError::PartTooLarge { .. }));
}

#[test]
fn too_many_texts_formats_and_parts_are_refused() {
    let texts = format!(
        "<sst>{}</sst>",
        format!("<si><t>{}</t></si>", "x".repeat(100_000)).repeat(33 * MIB / 100_000)
    );
    let texts = workbook(sheet("")).part("xl/sharedStrings.xml", texts).failure();
    assert_eq!(
        texts.to_string(),
        "the workbook has too many different texts (more than 32 MiB); save it as \"CSV UTF-8\""
    );
    let formats = format!("<styleSheet><cellXfs>{}</cellXfs></styleSheet>", "<xf/>".repeat(65_537));
    assert!(matches!(
        workbook(sheet("")).part("xl/styles.xml", formats).failure(),
        FileError::TooManyFormats { .. }
    ));
    let parts = |count: usize| {
        let mut book = workbook(sheet(""));
        book.parts
            .extend((0..count).map(|index| (format!("x/{index}"), Vec::new())));
        book
    };
    assert_eq!(parts(900).rows().len(), 1);
    assert!(matches!(parts(1001).failure(), FileError::TooManyParts { limit: 1000 }));
    let directory = parts(20_000).failure().to_string();
    assert!(
        directory.starts_with("the workbook is damaged: archive:"),
        "{directory}"
    );
}

#[test]
fn a_giant_piece_of_xml_is_refused_wherever_it_stands() {
    let giant = "x".repeat(300 * 1024);
    for piece in [
        row(3, &format!(r#"<c r="A3" t="str"><v>{giant}</v></c>"#)),
        row(3, &format!(r#"<c r="A3" t="{}"/>"#, "<".repeat(300 * 1024))),
        format!("<!-- {} -->", "<".repeat(300 * 1024)),
        format!("<![CDATA[{giant}]]>"),
        format!("<?{giant}?>"),
        format!("&{giant};"),
        format!("<{giant}/>"),
    ] {
        let failure = workbook(sheet(&piece)).stored().failure().to_string();
        assert_eq!(
            failure, "the workbook is damaged: xl/worksheets/sheet1.xml: one token is longer than 256 KiB",
            "{:.40}",
            piece
        );
    }
    let runs = "<r><t>0123456789</t></r>".repeat(30_000);
    let rich = workbook(sheet(&row(
        3,
        &format!(r#"<c r="A3" t="inlineStr"><is>{runs}</is></c>"#),
    )));
    assert_eq!(rich.failure().to_string(), "cell A3 contains more than 256 KiB");
    let deep = workbook(sheet(&"<a>".repeat(1000)));
    assert!(deep.failure().to_string().ends_with("nested too deeply"));
}

#[test]
fn entities_are_never_expanded() {
    let laughs = r#"<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;&a;">]>"#;
    let declared = workbook(sheet("").replace(r#"<?xml version="1.0"?>"#, laughs));
    assert_eq!(
        declared.failure().to_string(),
        "the workbook's part xl/worksheets/sheet1.xml declares a document type, which workbooks never do"
    );
    let used = workbook(sheet(&row(3, r#"<c r="A3" t="str"><v>&b;</v></c>"#)));
    assert!(used.failure().to_string().ends_with("unknown entity &b;"));
    let in_strings = workbook(sheet("")).part(
        "xl/sharedStrings.xml",
        format!("{laughs}<sst><si><t>&b;</t></si></sst>"),
    );
    assert!(matches!(in_strings.failure(), FileError::DocumentType { .. }));
    let in_workbook = workbook(sheet("")).part("xl/workbook.xml", format!("{laughs}<workbook/>"));
    assert!(matches!(in_workbook.failure(), FileError::DocumentType { .. }));
}

#[test]
fn a_truncated_file_is_damaged_wherever_it_ends() {
    let whole = workbook(sheet("")).bytes();
    for length in (4..whole.len()).step_by(37) {
        let failure = read(&whole[..length]).expect_err("a failure");
        assert!(matches!(failure, FileError::Damaged { .. }), "{length}: {failure:?}");
    }
}

#[test]
fn a_wrong_checksum_is_damage_in_any_part() {
    for (part, piece) in [
        (SHEET, "<v>2</v>"),
        ("xl/media/a.txt", "picture"),
        ("xl/sharedStrings.xml", "shared text"),
    ] {
        let book = workbook(sheet(""))
            .part("xl/media/a.txt", "a picture")
            .part("xl/sharedStrings.xml", "<sst><si><t>shared text</t></si></sst>");
        let mut bytes = book.stored().bytes();
        let at = bytes
            .windows(piece.len())
            .position(|window| window == piece.as_bytes())
            .unwrap();
        bytes[at + 3] ^= 1;
        assert_eq!(
            read(&bytes).unwrap_err().to_string(),
            format!("the workbook is damaged: {part}: Invalid checksum")
        );
    }
}

#[test]
fn damage_behind_the_last_row_is_found_too() {
    let mut bytes = workbook(sheet("") + &"<!-- behind -->".repeat(100)).stored().bytes();
    let at = bytes.windows(6).rposition(|window| window == b"behind").unwrap();
    bytes[at] ^= 1;
    assert!(matches!(read(&bytes), Err(FileError::Damaged { .. })));
}

#[test]
fn archives_that_are_no_workbook_are_told_apart() {
    let only = |name: &str| Workbook {
        parts: vec![(name.to_owned(), b"<x/>".to_vec())],
        ..workbook("")
    };
    assert!(matches!(only("word/document.xml").failure(), FileError::NotAWorkbook));
    assert!(matches!(only("xl/workbook.xml").failure(), FileError::NotAWorkbook));
    assert!(matches!(
        read(b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
        Err(FileError::NotAWorkbook)
    ));
    let binary =
        r#"<Relationships><Relationship Id="r" Type="x/officeDocument" Target="xl/workbook.bin"/></Relationships>"#;
    assert!(matches!(
        workbook("").part("_rels/.rels", binary).failure(),
        FileError::BinaryWorkbook
    ));
}

#[test]
fn an_encrypted_part_asks_for_a_file_without_password() {
    let mut bytes = workbook(sheet("")).bytes();
    // Set the lowest bit of the flags in every local header and in the directory.
    for (signature, flags) in [(b"PK\x03\x04", 6), (b"PK\x01\x02", 8)] {
        let headers: Vec<usize> = (0..bytes.len() - 4)
            .filter(|at| &bytes[*at..at + 4] == signature)
            .collect();
        headers.into_iter().for_each(|at| bytes[at + flags] |= 1);
    }
    assert!(matches!(read(&bytes), Err(FileError::Encrypted)));
}

#[test]
fn rows_and_cells_out_of_place_are_damage() {
    for piece in [
        row(2, ""),
        row(0, ""),
        row(1_048_577, ""),
        r#"<row r="x"/>"#.to_owned(),
        row(3, r#"<c r="A4"><v>1</v></c>"#),
        row(3, r#"<c r="XFE3"><v>1</v></c>"#),
        row(3, r#"<c r="A3" t="s"><v>0</v></c>"#),
        row(3, r#"<c r="A3" t="s"><v>-1</v></c>"#),
    ] {
        assert!(
            matches!(workbook(sheet(&piece)).failure(), FileError::Damaged { .. }),
            "{piece}"
        );
    }
    let unclosed = workbook(sheet("").replace("</sheetData></worksheet>", ""));
    assert!(matches!(unclosed.failure(), FileError::Damaged { .. }));
}

#[test]
fn any_flipped_byte_gives_rows_or_an_error() {
    let whole = workbook(sheet(""))
        .part("xl/sharedStrings.xml", "<sst><si><t>text</t></si></sst>")
        .bytes();
    let stored = workbook(sheet("")).stored().bytes();
    for bytes in [whole, stored] {
        for at in 0..bytes.len() {
            let mut bytes = bytes.clone();
            bytes[at] ^= 0x55;
            if let Ok(rows) = read(&bytes) {
                assert!(rows.len() <= 1, "byte {at}");
            }
        }
    }
}

#[test]
fn a_file_that_is_not_there_is_worth_another_try() {
    assert!(
        XlsxRows::open(Path::new("/nonexistent/file.xlsx"))
            .err()
            .unwrap()
            .is_transient()
    );
}
