use domain::import::Format;
use import_worker::file_error::FileError;
use import_worker::sniff::sniff;

#[test]
fn formats_are_told_by_their_first_bytes() {
    for text in [
        "player_id,deposit\n",
        "\u{feff}player_id;deposit",
        "\n\nplayer_id\tdeposit\r\nP\u{0}1\t2",
        "Spieler №,x",
        "PKW,deposit",
    ] {
        assert_eq!(sniff(text.as_bytes()).unwrap(), Format::Csv, "{text:?}");
    }
    assert_eq!(sniff(b"PK\x03\x04\x14\0").unwrap(), Format::Xlsx);
}

#[test]
fn what_cannot_be_imported_says_what_to_do() {
    assert!(matches!(sniff(b""), Err(FileError::Empty)));
    let old = sniff(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0\0").unwrap_err();
    assert!(matches!(old, FileError::OldOrEncryptedWorkbook));
    assert!(old.to_string().contains("save it as .xlsx without a password"));

    let utf16 = |text: &str, bom: &[u8], bytes: fn(u16) -> [u8; 2]| {
        [bom.to_vec(), text.encode_utf16().flat_map(bytes).collect()].concat()
    };
    for file in [
        utf16("player_id,deposit", b"\xff\xfe", u16::to_le_bytes),
        utf16("player_id,deposit", b"\xfe\xff", u16::to_be_bytes),
        utf16("player_id,deposit", b"", u16::to_le_bytes),
        utf16("player_id,deposit", b"", u16::to_be_bytes),
    ] {
        assert!(matches!(sniff(&file), Err(FileError::Utf16)), "{file:?}");
    }
    for file in [
        &b"%PDF-1.7\n%abc"[..],
        b"\x89PNG\r\n\x1a\n",
        b"\x7fELF\x02\x01",
        b"\x1f\x8b\x08",
        b"\0\0\0\0\0\0\0\0\0",
        b"<html><table>",
    ] {
        assert!(matches!(sniff(file), Err(FileError::UnknownFormat)), "{file:?}");
    }
}
