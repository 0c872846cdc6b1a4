use crate::workbook::{FIRST_ROW, HEADER_ROW, SHEET, file, read, sheet, workbook};
use crate::{collect, errors, good};
use calamine::{DataRef, Reader, Xlsx};
use domain::import::Warning;
use domain::import::row::PlayerRow;
use import_worker::csv_rows::CsvRows;
use import_worker::file_error::FileError;
use import_worker::rows::{Rows, Watermark};
use import_worker::xlsx_rows::XlsxRows;
use rust_xlsxwriter::{ExcelDateTime, Format, Formula, Workbook, Worksheet};
use std::io::Cursor;

const HEADER: [&str; 11] = [
    "player_id",
    "Total Deposited",
    "wagered",
    "won",
    "sessions",
    "playtime_hours",
    "email",
    "name",
    "last_deposit_date",
    "registered_at",
    "withdrawn?",
];

fn write_header(sheet: &mut Worksheet) {
    for (column, heading) in (0..).zip(HEADER) {
        sheet.write(0, column, heading).unwrap();
    }
}

/// A workbook as Excel saves it, and the same players as CSV.
fn sample() -> (Vec<u8>, String) {
    let mut csv = HEADER.join(",") + "\n";
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    write_header(sheet);
    let date = Format::new().set_num_format("dd/mm/yyyy");
    let time = Format::new().set_num_format("yyyy-mm-dd hh:mm");
    for row in 1_u32..=300 {
        let won = f64::from(row) * 0.1; // 0.30000000000000004 and the like
        let cents = f64::from(row * 123_457) / 100.0;
        sheet
            .write(row, 0, row + 1000)
            .unwrap()
            .write(row, 1, cents)
            .unwrap()
            .write(row, 2, 15_000)
            .unwrap()
            .write(row, 3, won)
            .unwrap();
        sheet
            .write(row, 4, row % 7)
            .unwrap()
            .write(row, 5, 48.25)
            .unwrap()
            .write(row, 6, format!("p{row}@mail.example"))
            .unwrap();
        sheet.write(row, 7, "Zoë <\"Q\"> & Söhne").unwrap();
        sheet
            .write_with_format(row, 8, ExcelDateTime::from_ymd(2024, 2, 29).unwrap(), &date)
            .unwrap();
        sheet
            .write_with_format(
                row,
                9,
                ExcelDateTime::parse_from_str("2020-01-31T18:30:00").unwrap(),
                &time,
            )
            .unwrap();
        csv += &format!(
            "{},{}.{:02},15000,{}.{},{},48.25,p{row}@mail.example,\
             \"Zoë <\"\"Q\"\"> & Söhne\",2024-02-29,2020-01-31T18:30:00Z,\n",
            row + 1000,
            row * 123_457 / 100,
            row * 123_457 % 100,
            row / 10,
            row % 10,
            row % 7,
        );
    }
    (book.save_to_buffer().unwrap(), csv)
}

fn players(bytes: &[u8]) -> Vec<PlayerRow> {
    good(&read(bytes).unwrap())
}

#[test]
fn the_same_rows_as_csv_and_as_workbook_are_the_same_players() {
    let (workbook, csv) = sample();
    let (csv_rows, failure) = collect(Rows::Csv(CsvRows::open(csv.as_bytes()).unwrap()));
    assert!(
        failure.is_none() && errors(&csv_rows).is_empty(),
        "{:?}",
        errors(&csv_rows)
    );
    let workbook = file(&workbook);
    let rows: Rows<&[u8]> = Rows::Xlsx(Box::new(XlsxRows::open(workbook.path()).unwrap()));
    assert_eq!(
        rows.warnings(),
        [Warning::UnknownColumn {
            position: 11,
            header: "withdrawn?".into()
        }]
    );
    let (xlsx_rows, failure) = collect(rows);
    assert!(
        failure.is_none() && errors(&xlsx_rows).is_empty(),
        "{:?}",
        errors(&xlsx_rows)
    );
    assert_eq!(good(&xlsx_rows).len(), 300);
    assert_eq!(good(&xlsx_rows), good(&csv_rows));
}

#[test]
fn the_cells_are_those_that_calamine_reads() {
    let (bytes, _) = sample();
    let mut oracle = Xlsx::new(Cursor::new(&bytes)).unwrap();
    let name = oracle.sheet_names()[0].clone();
    let mut cells = oracle.worksheet_cells_reader(&name).unwrap();
    let mut expected = Vec::new();
    while let Some(cell) = cells.next_cell().unwrap() {
        match (cell.get_position(), cell.get_value()) {
            ((row @ 1.., 7), DataRef::SharedString(name)) => expected.push((u64::from(row) + 1, (*name).to_owned())),
            ((1.., 7), other) => panic!("{other:?}"),
            _ => {}
        }
    }
    let names: Vec<_> = players(&bytes)
        .into_iter()
        .map(|row| (row.line, row.name.unwrap()))
        .collect();
    assert_eq!(names, expected);
    assert_eq!(names.len(), 300);
}

#[test]
fn workbooks_written_in_constant_memory_are_read() {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet_with_constant_memory().unwrap();
    write_header(sheet);
    sheet.write_row(1, 0, ["P1"]).unwrap();
    sheet.write_row(1, 1, [5000, 15_000, 20_000, 25]).unwrap();
    sheet.write(1, 7, "=HYPERLINK(\"http://evil.example\")").unwrap();
    let rows = players(&book.save_to_buffer().unwrap());
    assert_eq!(
        (rows[0].player_id.as_str(), rows[0].totals.session_count),
        ("P1", Some(25))
    );
    assert_eq!(rows[0].name.as_deref(), Some("=HYPERLINK(\"http://evil.example\")"));
}

#[test]
fn values_that_are_not_what_they_look_like_reject_their_row() {
    let mut book = Workbook::new();
    let sheet = book.add_worksheet();
    write_header(sheet);
    for row in 1..=7 {
        sheet
            .write(row, 0, format!("P{row}"))
            .unwrap()
            .write_row(row, 1, [1, 2, 3])
            .unwrap();
    }
    let date = Format::new().set_num_format("yyyy-mm-dd");
    sheet.write_boolean(1, 1, true).unwrap();
    sheet
        .write_formula(2, 2, Formula::new("=NA()").set_result("#N/A"))
        .unwrap();
    sheet
        .write_with_format(3, 3, ExcelDateTime::from_ymd(2024, 5, 1).unwrap(), &date)
        .unwrap();
    sheet.write(4, 0, 1_234_567_890_123_456_789_f64).unwrap();
    sheet.write(5, 8, -5).unwrap();
    sheet.write(6, 1, 1e300).unwrap();
    sheet.write_formula(7, 1, Formula::new("=1+1").set_result("2")).unwrap();
    let rows = read(&book.save_to_buffer().unwrap()).unwrap();
    assert_eq!(
        errors(&rows),
        [
            "2 Total Deposited \"TRUE\" is a true/false value of the spreadsheet",
            "3 wagered \"#N/A\" is an error value of the spreadsheet",
            "4 won \"2024-05-01\" is formatted as a date or time in the spreadsheet",
            "5 player_id \"1234567890123460000\" is a number of more than 15 digits, which a spreadsheet rounds; \
             format the column as text and enter it again",
            "6 last_deposit_date \"1899-12-26\" is not a date between 1900-01-01 and 2199-12-31",
            "7 Total Deposited \"1.00000000000000e300\" has more than 15 integer digits",
        ]
    );
    assert_eq!(
        good(&rows)
            .into_iter()
            .map(|row| (row.line, row.totals.deposited.to_string()))
            .collect::<Vec<_>>(),
        [(8, "2".to_owned())]
    );
}

#[test]
fn a_formula_that_was_never_calculated_says_so() {
    let rows = workbook(sheet(
        r#"<row><c t="str"><v>P2</v></c><c><f>1+1</f></c><c><v>2</v></c><c><v>3</v></c></row>"#,
    ))
    .rows();
    assert_eq!(
        errors(&rows),
        ["3 deposit \"\" is a formula without a stored result; open the workbook, let it calculate, and save it"]
    );
}

#[test]
fn rows_and_cells_may_leave_out_where_they_stand() {
    let rows = workbook(sheet(
        r#"<row><c t="str"><v>P2</v></c><c/><c r="C3"><v>2</v></c><c><v>3</v></c><c/></row><row r="9"/>"#,
    ))
    .rows();
    assert_eq!(errors(&rows), ["3 deposit \"-\" is required and empty"]);
}

#[test]
fn rich_text_entities_and_reading_aids_are_understood() {
    let strings = concat!(
        r#"<sst><si><r><t>Zo</t></r><r><t xml:space="preserve">&#xEB; &amp; <![CDATA[<Co>]]></t></r>"#,
        r#"<rPh><t>zoe</t></rPh></si><si/></sst>"#,
    );
    let row = concat!(
        r#"<row r="3"><c t="s"><v>0</v></c></row><row r="4"><c t="str"><v>P2</v></c>"#,
        r#"<c><v>1</v></c><c><v>2</v></c><c><v>3</v></c><c t="s"><v>0</v></c></row>"#,
    );
    let rows = workbook(sheet(row)).part("xl/sharedStrings.xml", strings).rows();
    assert_eq!(good(&rows)[1].name.as_deref(), Some("Zoë & <Co>"));
}

#[test]
fn a_name_in_another_namespace_prefix_is_the_same_name() {
    let plain = sheet("");
    let prefixed = plain
        .replace("</", "</x:")
        .replace('<', "<x:")
        .replace("<x:/x:", "</x:")
        .replace("<x:?", "<?");
    assert_eq!(workbook(prefixed).rows(), workbook(plain).rows());
}

#[test]
fn the_first_visible_worksheet_is_read() {
    let sheets = concat!(
        r#"<workbook><sheets><sheet r:id="rId8" name="chart"/><sheet state="hidden" r:id="rId9" name="hidden"/>"#,
        r#"<sheet r:id="rId1" name="shown"/></sheets></workbook>"#,
    );
    let relations = r#"<Relationships>
        <Relationship Id="rId8" Type="http://x/chartsheet" Target="chartsheets/sheet1.xml"/>
        <Relationship Id="rId9" Type="http://x/worksheet" Target="/xl/worksheets/sheet2.xml"/>
        <Relationship Id="rId1" Type="http://x/worksheet" Target="/xl/worksheets/SHEET1.xml"/></Relationships>"#;
    let book = workbook(sheet(""))
        .part("xl/workbook.xml", sheets)
        .part("xl/_rels/workbook.xml.rels", relations);
    let book = book.part("xl/worksheets/sheet2.xml", "<worksheet><sheetData/></worksheet>");
    assert_eq!(book.rows().len(), 1);
    let only_chart = book.part(
        "xl/workbook.xml",
        r#"<workbook><sheets><sheet r:id="rId8"/></sheets></workbook>"#,
    );
    assert!(matches!(only_chart.failure(), FileError::NoWorksheet));
}

#[test]
fn days_of_workbooks_from_1904_are_theirs() {
    let header = HEADER_ROW.replace("name", "registered_at");
    let row = FIRST_ROW.replace("</row>", r#"<c r="E2"><v>43951</v></c></row>"#);
    let book = workbook(format!("<worksheet><sheetData>{header}{row}</sheetData></worksheet>"));
    let registered_at = |rows: &[import_worker::rows::Row]| good(rows)[0].registered_at.unwrap().to_string();
    assert_eq!(registered_at(&book.rows()), "2020-04-30T00:00:00Z");
    let sheets = r#"<workbook><workbookPr date1904="1"/><sheets><sheet r:id="rId1"/></sheets></workbook>"#;
    assert_eq!(
        registered_at(&book.part("xl/workbook.xml", sheets).rows()),
        "2024-05-01T00:00:00Z"
    );
}

#[test]
fn reading_resumes_behind_every_row() {
    let more = (1..18).map(|step| FIRST_ROW.replace("2\"", &format!("{}\"", step * 30)));
    let file = file(&workbook(sheet(&more.collect::<String>())).bytes());
    let rows: Vec<_> = XlsxRows::open(file.path()).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), 18);
    for (index, row) in rows.iter().enumerate() {
        let resumed: Vec<_> = XlsxRows::resume(file.path(), row.next)
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(resumed, rows[index + 1..]);
    }
    let fresh: Vec<_> = XlsxRows::resume(file.path(), Watermark::default())
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(fresh, rows);
}

#[test]
fn a_sheet_without_header_or_rows_is_refused() {
    let empty_sheet = workbook("<worksheet><sheetData/></worksheet>");
    assert!(matches!(empty_sheet.failure(), FileError::Empty));
    let only_header = workbook(format!(
        "<worksheet><sheetData>{HEADER_ROW}<row r=\"2\"><c r=\"A2\"/></row></sheetData></worksheet>"
    ));
    assert!(matches!(only_header.failure(), FileError::NoRows));
    let no_column = workbook(sheet("").replace("wagered", "turnover"));
    assert_eq!(
        no_column.failure().to_string(),
        "the header lacks the column total_wagered; it has \"player_id\", \"deposit\", \"turnover\", \"won\", \"name\""
    );
    assert!(matches!(
        workbook("").part(SHEET, "").failure(),
        FileError::Damaged { .. }
    ));
}
