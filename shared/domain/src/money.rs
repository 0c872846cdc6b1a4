//! Assets and exact amounts. No float touches an amount.

use rust_decimal::{Decimal, RoundingStrategy};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use std::fmt;

pub const INTEGER_DIGITS_MAX: u32 = 15;
/// Scale of lifetime totals and of every stored amount: NUMERIC(19,4).
pub const STORED_SCALE: u32 = 4;
/// Scale of money in the program currency, and of points.
pub const MONEY_SCALE: u32 = 2;

/// One currency of the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Asset {
    /// Play-only money, released by wagering.
    Bonus,
    /// Loyalty points: they move a player up the tiers.
    Lp,
    /// Reward points, spent in the redemption catalogue.
    Rp,
    /// Entries to events; whole numbers.
    Tickets,
}

impl Asset {
    /// In the order in which they are locked and written.
    pub const ALL: [Asset; 4] = [Asset::Bonus, Asset::Lp, Asset::Rp, Asset::Tickets];

    /// Decimal places.
    pub const fn scale(self) -> u32 {
        match self {
            Asset::Tickets => 0,
            Asset::Bonus | Asset::Lp | Asset::Rp => MONEY_SCALE,
        }
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Asset::Bonus => "BONUS",
            Asset::Lp => "LP",
            Asset::Rp => "RP",
            Asset::Tickets => "TICKETS",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|asset| asset.as_str() == text)
    }
}

impl fmt::Display for Asset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("is not a decimal number")]
    NotANumber,
    #[error("must not be negative")]
    Negative,
    #[error("has more than {scale} decimal places")]
    Scale { scale: u32 },
    #[error("has more than {INTEGER_DIGITS_MAX} integer digits")]
    TooLarge,
}

/// Reads an amount ≥ 0 from its text: ASCII digits with an optional sign, point and exponent. Exact.
///
/// Refuses NaN, infinities, more than `scale` decimal places (trailing zeros do not count) and more than
/// 15 integer digits.
pub fn parse_amount(text: &str, scale: u32) -> Result<Decimal, AmountError> {
    check_amount(parse_decimal(text, scale)?, scale)
}

/// The bounds of [`parse_amount`], for a number that was read elsewhere.
pub fn check_amount(value: Decimal, scale: u32) -> Result<Decimal, AmountError> {
    let value = value.normalize();
    if value.is_sign_negative() && !value.is_zero() {
        return Err(AmountError::Negative);
    }
    if value >= Decimal::from(10_i64.pow(INTEGER_DIGITS_MAX)) {
        return Err(AmountError::TooLarge);
    }
    if value.scale() > scale {
        return Err(AmountError::Scale { scale });
    }
    Ok(value.abs()) // -0 is 0
}

/// Reads a number of either sign from its text, within the bounds of [`parse_amount`].
pub fn parse_signed(text: &str, scale: u32) -> Result<Decimal, AmountError> {
    let value = parse_decimal(text, scale)?;
    let size = check_amount(value.abs(), scale)?;
    Ok(if value.is_sign_negative() { -size } else { size })
}

fn parse_decimal(text: &str, scale: u32) -> Result<Decimal, AmountError> {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.trim_start_matches(['+', '-']);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.') || !digits.bytes().any(|b| b.is_ascii_digit()) {
        return Err(AmountError::NotANumber);
    }
    let parsed = if mantissa.len() == text.len() { Decimal::from_str_exact(text) } else { Decimal::from_scientific(text) };
    let is_shrunk = text.len() == mantissa.len() || text[mantissa.len() + 1..].starts_with('-');
    parsed.map_err(|error| match error {
        rust_decimal::Error::Underflow | rust_decimal::Error::ScaleExceedsMaximumPrecision(_) if is_shrunk => AmountError::Scale { scale },
        rust_decimal::Error::ScaleExceedsMaximumPrecision(_) | rust_decimal::Error::ExceedsMaximumPossibleValue => AmountError::TooLarge,
        _ => AmountError::NotANumber,
    })
}

/// Rewards round down (towards zero), once, at the asset's scale.
pub fn round_reward(value: Decimal, asset: Asset) -> Decimal {
    value.round_dp_with_strategy(asset.scale(), RoundingStrategy::ToZero)
}

/// Wagering requirements round up, once, at the scale of money.
pub fn round_requirement(value: Decimal) -> Decimal {
    value.round_dp_with_strategy(MONEY_SCALE, RoundingStrategy::AwayFromZero)
}

/// The value as it is shown: with at least `scale` decimal places, and no trailing zero beyond them.
pub fn shown(value: Decimal, scale: u32) -> Decimal {
    let mut value = value.normalize();
    if value.scale() < scale {
        value.rescale(scale);
    }
    value
}

/// An amount ≥ 0 in a JSON body: a number or a text that holds one, read by [`parse_amount`] from its own digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Amount<const SCALE: u32>(pub Decimal);

impl<'de, const SCALE: u32> Deserialize<'de> for Amount<SCALE> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let amount = match Value::deserialize(deserializer)? {
            Value::Number(number) => parse_amount(&number.to_string(), SCALE),
            Value::String(text) => parse_amount(&text, SCALE),
            _ => Err(AmountError::NotANumber),
        };
        amount.map(Self).map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn amounts_are_read_exactly() {
        assert_eq!(parse_amount("1234.57", 2), Ok(d("1234.57")));
        assert_eq!(parse_amount("100.00", 0), Ok(d("100")));
        assert_eq!(parse_amount("1.5e3", 2), Ok(d("1500")));
        assert_eq!(parse_amount("-0", 2), Ok(Decimal::ZERO));
        assert_eq!(parse_amount("999999999999999", 2), Ok(d("999999999999999")));
    }

    #[test]
    fn hostile_amounts_are_refused() {
        for text in ["", "NaN", "Infinity", "-Infinity", "inf", "１２", "1 000", "1,5", "0x10", "1_000", ".", "-", "1.2.3", "1e", "e5"] {
            assert_eq!(parse_amount(text, 4), Err(AmountError::NotANumber), "{text:?}");
        }
        for text in ["1e400", "9223372036854775808", "1000000000000000", "1e15"] {
            assert!(parse_amount(text, 4).is_err(), "{text}");
        }
        assert_eq!(parse_amount("-1", 4), Err(AmountError::Negative));
        assert!(matches!(parse_amount("0.0000000000000000001", 4), Err(AmountError::Scale { .. })));
        assert_eq!(parse_amount("0.005", 2), Err(AmountError::Scale { scale: 2 }));
    }

    #[test]
    fn rewards_round_down_and_requirements_round_up() {
        assert_eq!(round_reward(d("1234.57") * d("0.10"), Asset::Lp), d("123.45"));
        assert_eq!(round_reward(d("7.99"), Asset::Tickets), d("7"));
        assert_eq!(round_requirement(d("33.333") * d("3.1")), d("103.34"));
    }

    #[test]
    fn amounts_are_shown_at_their_scale() {
        assert_eq!(shown(d("480.0000"), 2).to_string(), "480.00");
        assert_eq!(shown(d("0"), 2).to_string(), "0.00");
        assert_eq!(shown(d("12.3450"), 2).to_string(), "12.345");
        assert_eq!(shown(d("3.0000"), 0).to_string(), "3");
    }

    #[test]
    fn amounts_in_json_are_read_from_their_digits() {
        let read = |json: &str| serde_json::from_str::<Amount<2>>(json).map(|amount| amount.0.to_string()).map_err(|e| e.to_string());
        assert_eq!(read("0.10"), Ok("0.1".into()));
        assert_eq!(read("\"25.50\""), Ok("25.5".into()));
        assert_eq!(read("1.000000000000000000000000000001"), Err("has more than 2 decimal places".into()));
        assert_eq!(read("1e400"), Err("has more than 15 integer digits".into()));
        assert_eq!(read("-1"), Err("must not be negative".into()));
        for json in ["true", "null", "[]", "\"NaN\"", "\"\""] {
            assert_eq!(read(json), Err("is not a decimal number".into()), "{json}");
        }
    }
}
