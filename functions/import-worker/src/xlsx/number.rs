//! Converts numbers of a sheet to text, so that they get the same validation as those of a CSV file.

use jiff::civil::{Date, date};
use jiff::{SignedDuration, Span};
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

const SECONDS_PER_DAY: i64 = 86_400;

/// A number as the spreadsheet shows it: the file holds binary floating point, of which 15 digits are significant
/// (`0.30000000000000004` is 0.3). Anything but a finite number is returned unchanged, for the validation to refuse.
pub fn plain_text(raw: &str) -> String {
    let raw = raw.trim();
    let is_plain = raw.len() <= 15 && raw.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if is_plain {
        return raw.to_owned();
    }
    match raw.parse::<f64>() {
        Ok(number) if number.is_finite() => {
            let rounded = format!("{number:.14e}");
            Decimal::from_scientific(&rounded).map_or(rounded, |exact| exact.normalize().to_string())
        }
        _ => raw.to_owned(),
    }
}

/// Converts a serial day number to `YYYY-MM-DD`, or to `YYYY-MM-DDThh:mm:ssZ` if it has a fraction. `None` if `serial`
/// is not a number or out of range.
///
/// In the 1900 system, day 60 is the nonexistent 1900-02-29: Excel keeps this bug of Lotus 1-2-3.
pub fn date_text(serial: &str, is_1904: bool) -> Option<String> {
    let serial: Decimal = serial.parse().ok()?;
    let day = serial.floor();
    let seconds = ((serial - day) * Decimal::from(SECONDS_PER_DAY))
        .round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    let epoch: Date = match (is_1904, day.to_i64()?) {
        (true, _) => date(1904, 1, 1),
        (false, ..60) => date(1899, 12, 31),
        (false, _) => date(1899, 12, 30),
    };
    let day = epoch.checked_add(Span::new().try_days(day.to_i64()?).ok()?).ok()?;
    let instant = day
        .at(0, 0, 0, 0)
        .checked_add(SignedDuration::from_secs(seconds.to_i64()?))
        .ok()?;
    if seconds.is_zero() {
        Some(instant.date().to_string())
    } else {
        Some(format!("{instant}Z"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_with_15_significant_digits() {
        for (raw, text) in [
            ("1001", "1001"),
            ("15000.5", "15000.5"),
            ("0.30000000000000004", "0.3"),
            ("1234.5699999999999", "1234.57"),
            ("1.5E3", "1500"),
            ("-0", "0"),
            ("-12.5", "-12.5"),
            ("1E-4", "0.0001"),
            ("123456789012345678", "123456789012346000"),
            ("1E+300", "1.00000000000000e300"),
            ("NaN", "NaN"),
        ] {
            assert_eq!(plain_text(raw), text, "{raw}");
        }
    }

    #[test]
    fn days_are_counted_from_1900_or_1904() {
        let day = |serial: &str| date_text(serial, false);
        assert_eq!(day("1").as_deref(), Some("1900-01-01"));
        assert_eq!(day("59").as_deref(), Some("1900-02-28"));
        assert_eq!(day("61").as_deref(), Some("1900-03-01"));
        assert_eq!(day("45413").as_deref(), Some("2024-05-01"));
        assert_eq!(day("45413.4166666667").as_deref(), Some("2024-05-01T10:00:00Z"));
        assert_eq!(day("45413.9999999999").as_deref(), Some("2024-05-02T00:00:00Z"));
        assert_eq!(date_text("43951", true).as_deref(), Some("2024-05-01"));
        for serial in ["1e300", "-99999999", "99999999999999999999", "x"] {
            assert_eq!(day(serial), None, "{serial}");
        }
    }
}
