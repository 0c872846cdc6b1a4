use crate::{collect, errors, good};
use domain::import::Warning;
use import_worker::csv_rows::{CsvHeader, CsvRows};
use import_worker::file_error::FileError;
use import_worker::rows::{Row, Watermark};
use std::io::{self, Read};

fn read(file: &[u8]) -> (Vec<Row>, Option<FileError>) {
    match CsvRows::open(file) {
        Ok(rows) => collect(rows),
        Err(error) => (Vec::new(), Some(error)),
    }
}

fn failure(file: &[u8]) -> FileError {
    read(file).1.expect("a failure")
}

fn ids(rows: &[Row]) -> Vec<(u64, String)> {
    good(rows)
        .into_iter()
        .map(|row| (row.line, row.player_id.to_string()))
        .collect()
}

/// Returns one byte at a time, as a slow network may.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = target.len().min(1);
        (&mut self.0).take(1).read(&mut target[..count])
    }
}

/// `head`, then `piece` without end; counts the bytes that were read.
struct Endless<'a> {
    head: &'a [u8],
    piece: u8,
    handed_out: &'a mut u64,
}

impl Read for Endless<'_> {
    fn read(&mut self, target: &mut [u8]) -> io::Result<usize> {
        let count = if self.head.is_empty() {
            target.fill(self.piece);
            target.len()
        } else {
            self.head.read(target)?
        };
        *self.handed_out += count as u64;
        Ok(count)
    }
}

#[test]
fn seven_kinds_of_bad_rows_are_named_and_the_good_ones_go_in() {
    let file = "player_id,total_deposited,total_wagered,total_won,sessions,email\n\
        P1,1,2,3,4,a@b.example\n\
        ,1,2,3,4,\n\
        P3,abc,2,3,4,\n\
        P4,1,-2,3,4,\n\
        P5,1,2,3.00001,4,\n\
        P6,1,2,,4,\n\
        P7,1,2,3,4.5,not an address\n\
        P8,1,2,3,4,a@b.example,extra\n\
        P9,1,2,3,4,\n";
    let (rows, failure) = read(file.as_bytes());
    assert!(failure.is_none());
    assert_eq!(rows.len(), 9);
    assert_eq!(ids(&rows), [(2, "P1".to_owned()), (10, "P9".to_owned())]);
    assert_eq!(
        errors(&rows),
        [
            "3 player_id \"-\" is required and empty",
            "4 total_deposited \"abc\" is not a decimal number",
            "5 total_wagered \"-2\" must not be negative",
            "6 total_won \"3.00001\" has more than 4 decimal places",
            "7 total_won \"-\" is required and empty",
            "8 sessions \"4.5\" must be a whole number",
            "8 email \"not an address\" is not an e-mail address",
            "9 - \"extra\" the row has a value in column 7, the header has only 6 columns",
        ]
    );
}

#[test]
fn the_delimiter_is_found_in_the_header() {
    for delimiter in [",", ";", "\t"] {
        let file = ["player_id,\"Total Deposited\",wagered,won,name", "P1,1,2,3,x"]
            .join("\r\n")
            .replace(',', delimiter);
        let (rows, failure) = read(file.as_bytes());
        assert!(failure.is_none(), "{failure:?}");
        assert_eq!(ids(&rows), [(2, "P1".to_owned())]);
    }
}

#[test]
fn lines_are_counted_as_an_editor_shows_them() {
    let file = "\u{feff}\r\n\nplayer_id,deposit,wagered,won,name\r\n\
        P1,1,2,3,\"two\nlines\"\rP2,1,2,3,\n\n\r\n  \nP3,1,2,3,\"a\r\nb\"\r\n\rP4,1,2,3,x";
    let (rows, failure) = read(file.as_bytes());
    assert!(failure.is_none());
    assert_eq!(rows.iter().map(|row| row.line).collect::<Vec<_>>(), [4, 6, 10, 13]);
    assert_eq!(ids(&rows), [(6, "P2".to_owned()), (13, "P4".to_owned())]);
    assert_eq!(
        errors(&rows)[0],
        "4 name \"two\u{fffd}lines\" must not contain line breaks or other control characters"
    );
}

#[test]
fn reading_in_small_pieces_makes_no_difference() {
    let file = "\u{feff}player_id,deposit,wagered,won,name\r\n\
        P1,1,2,3,\"a \"\"quoted\"\" name\"\r\n\r\nP2,1,2,3,ü\rP3,1,2,3,=1+1\n";
    let whole = read(file.as_bytes());
    let trickled = collect(CsvRows::open(Trickle(file.as_bytes())).unwrap());
    assert_eq!(trickled.0, whole.0);
    let names: Vec<_> = good(&whole.0).into_iter().map(|row| row.name.unwrap()).collect();
    assert_eq!(names, ["a \"quoted\" name", "ü", "=1+1"]);
}

#[test]
fn reading_resumes_behind_every_row() {
    let file = "\u{feff}\nplayer_id;deposit;wagered;won;name\r\n\
        P1;1;2;3;\"a\r\nb\"\r\n\r\nP2;1;2;3;ü\rP3;x;2;3;\n\nP4;1;2;3;z\r\n";
    let bytes = file.as_bytes();
    let (rows, _) = read(bytes);
    assert_eq!(rows.len(), 4);
    let header = CsvHeader::read(bytes).unwrap();
    let starts = std::iter::once(header.next).chain(rows.iter().map(|row| row.next));
    for (done, next) in starts.enumerate() {
        let rest = &bytes[usize::try_from(next.byte).unwrap()..];
        let (resumed, failure) = collect(CsvRows::resume(rest, header.clone(), next));
        assert!(failure.is_none());
        assert_eq!(resumed, rows[done..]);
    }
    assert_eq!(
        rows.last().unwrap().next,
        Watermark {
            line: 10,
            byte: bytes.len() as u64
        }
    );
}

#[test]
fn bad_encoding_and_nul_reject_a_row_and_not_the_file() {
    let file = b"player_id,deposit,wagered,won,name\nP1,1,2,3,Zo\xeb\nP2,1,2,3,a\0b\nP\xff,1,2,3,\nP4,1,2,3,ok\n";
    let (rows, failure) = read(file);
    assert!(failure.is_none());
    assert_eq!(ids(&rows), [(5, "P4".to_owned())]);
    assert_eq!(
        errors(&rows),
        [
            "2 name \"Zo\u{fffd}\" is not valid UTF-8; save the file as \"CSV UTF-8\"",
            "3 name \"a\u{fffd}b\" contains a NUL character",
            "4 player_id \"P\u{fffd}\" is not valid UTF-8; save the file as \"CSV UTF-8\"",
        ]
    );
}

#[test]
fn a_header_without_a_required_column_is_one_error() {
    assert_eq!(
        failure(b"player_id,deposit,won\nP1,1,2\n").to_string(),
        "the header lacks the column total_wagered; it has \"player_id\", \"deposit\", \"won\""
    );
    let twice = failure(b"player_id,deposit,wagered,won,Player-ID\nP1,1,2,3,P1\n");
    assert_eq!(
        twice.to_string(),
        "the header has player_id twice: column 1 \"player_id\" and column 5 \"Player-ID\""
    );
    assert!(matches!(
        failure(b"player_id,deposit,wagered,won,\xff\nP1,1,2,3,4\n"),
        FileError::HeaderNotUtf8 { line: 1 }
    ));
}

#[test]
fn unknown_columns_are_warned_of_and_ignored() {
    let rows = CsvRows::open(&b"player_id,deposit,wagered,won,shoe size\nP1,1,2,3,\xff\n"[..]).unwrap();
    assert_eq!(
        rows.header().warnings,
        [Warning::UnknownColumn {
            position: 5,
            header: "shoe size".into()
        }]
    );
    assert_eq!(good(&collect(rows).0).len(), 1);
}

#[test]
fn a_file_without_rows_is_refused() {
    assert!(matches!(failure(b""), FileError::Empty));
    assert!(matches!(failure(b"\xef\xbb\xbf\r\n \n"), FileError::Empty));
    assert!(matches!(failure(b"player_id,deposit,wagered,won"), FileError::NoRows));
    assert!(matches!(
        failure(b"player_id,deposit,wagered,won\n\n,,,\n"),
        FileError::NoRows
    ));
    // Resuming after the last row finds nothing, which is not an error.
    let file = b"player_id,deposit,wagered,won\nP1,1,2,3\n";
    let header = CsvHeader::read(&file[..]).unwrap();
    let end = Watermark {
        line: 3,
        byte: file.len() as u64,
    };
    assert!(CsvRows::resume(io::empty(), header, end).next().is_none());
}

#[test]
fn a_field_without_end_fails_after_reading_a_little_more_than_a_record() {
    let head = b"player_id,deposit,wagered,won,name\nP1,1,2,3,x\nP2,1,2,3,\"";
    let mut handed_out = 0;
    let rows = CsvRows::open(Endless {
        head,
        piece: b'x',
        handed_out: &mut handed_out,
    })
    .unwrap();
    let (rows, failure) = collect(rows);
    assert_eq!(ids(&rows), [(2, "P1".to_owned())]);
    assert!(
        matches!(
            failure,
            Some(FileError::RowTooLong {
                line: 3,
                limit_kib: 256
            })
        ),
        "{failure:?}"
    );
    assert!(handed_out < 512 * 1024, "{handed_out}");
}

#[test]
fn endless_quotes_delimiters_and_headers_fail_too() {
    let fail = |head: &[u8], piece: u8| {
        let mut handed_out = 0;
        let failure = match CsvRows::open(Endless {
            head,
            piece,
            handed_out: &mut handed_out,
        }) {
            Ok(rows) => collect(rows).1,
            Err(error) => Some(error),
        };
        assert!(handed_out < 1024 * 1024, "{handed_out}");
        failure.unwrap().to_string()
    };
    let header = b"player_id,deposit,wagered,won\n";
    let expected = "the row that begins on line 2 is longer than 256 KiB; is a quotation mark never closed?";
    assert_eq!(fail(header, b'"'), expected);
    assert_eq!(fail(header, b'x'), expected);
    assert_eq!(
        fail(b"", b'x'),
        "the row that begins on line 1 is longer than 64 KiB; is a quotation mark never closed?"
    );
}

#[test]
fn a_row_of_100000_delimiters_is_a_bad_row_only_if_it_holds_something() {
    let file = format!(
        "player_id,deposit,wagered,won\nP1,1,2,3{}\nP2,1,2,3{}x\nP3,1,2,3\n",
        ",".repeat(100_000),
        ",".repeat(100_000)
    );
    let (rows, failure) = read(file.as_bytes());
    assert!(failure.is_none());
    assert_eq!(ids(&rows), [(2, "P1".to_owned()), (4, "P3".to_owned())]);
    assert!(
        errors(&rows)[0].starts_with("3 - \"x\" the row has a value in column "),
        "{:?}",
        errors(&rows)
    );
}

#[test]
fn a_quote_that_is_open_at_the_end_is_named() {
    let (rows, failure) = read(b"player_id,deposit,wagered,won,name\nP1,1,2,3,x\nP2,1,2,3,\"y\nP3,1,2,3,z\n");
    assert_eq!(ids(&rows), [(2, "P1".to_owned())]);
    assert_eq!(
        failure.unwrap().to_string(),
        "the row that begins on line 3 has a quotation mark that is never closed"
    );
    // A quote in the middle of a cell is an ordinary character.
    assert!(
        read(b"player_id,deposit,wagered,won,name\nP1,1,2,3,6\" tall\n")
            .1
            .is_none()
    );
}

#[test]
fn a_source_that_breaks_is_worth_another_try() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::ConnectionReset.into())
        }
    }
    let file = b"player_id,deposit,wagered,won\nP1,1,2,3\nP2,1,2";
    let (rows, failure) = collect(CsvRows::open(file.chain(Broken)).unwrap());
    assert_eq!(rows.len(), 1);
    assert!(failure.unwrap().is_transient());
}
