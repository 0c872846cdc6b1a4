//! Assets and exact amounts. Amounts are never floats.
//!
//! # Choices
//!
//! * Lifetime totals in files have up to four decimal places (NUMERIC(19,4)); wallets keep the scale of their asset.

use crate::text_enum;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;
use std::fmt;
use std::iter::Sum;
use std::marker::PhantomData;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::str::FromStr;

pub const INTEGER_DIGITS_MAX: u32 = 15;
/// Scale of lifetime totals and of every stored amount: NUMERIC(19,4).
pub const STORED_SCALE: u32 = 4;
/// Scale of money in the program's currency, and of points.
pub const MONEY_SCALE: u32 = 2;

text_enum! {
    /// A currency of the ledger. Wallets are locked and written in this order.
    pub enum Asset as "asset" {
        /// Play-only money, released by wagering.
        Bonus = "BONUS",
        /// Loyalty points: they move a player up the tiers.
        Lp = "LP",
        /// Reward points, spent in the redemption catalogue.
        Rp = "RP",
        /// Entries to events; whole numbers.
        Tickets = "TICKETS",
    }
}

impl Asset {
    /// Decimal places.
    pub const fn scale(self) -> u32 {
        match self {
            Asset::Tickets => 0,
            Asset::Bonus | Asset::Lp | Asset::Rp => MONEY_SCALE,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AmountError {
    #[error("is not a decimal number")]
    NotANumber,
    #[error("must not be negative")]
    Negative,
    #[error("must be above 0")]
    NotAboveZero,
    #[error("has more than {scale} decimal places")]
    Scale { scale: u32 },
    #[error("has more than {INTEGER_DIGITS_MAX} integer digits")]
    TooLarge,
    #[error("must be 0 to {max}, is {value}")]
    AboveMax { max: u32, value: Decimal },
}

impl AmountError {
    /// The stable code of a field error with this cause.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotANumber => "format",
            Self::Negative | Self::NotAboveZero | Self::Scale { .. } | Self::TooLarge | Self::AboveMax { .. } => {
                "range"
            }
        }
    }

    /// The code of the error with this text, or `None`. Needed because serde passes on only the text.
    pub fn code_of(text: &str) -> Option<&'static str> {
        const OUT_OF_RANGE: [&str; 4] = [
            "must not be negative",
            "must be above 0",
            "must be 0 to ",
            "has more than ",
        ];
        OUT_OF_RANGE
            .iter()
            .any(|start| text.starts_with(start))
            .then_some("range")
    }
}

/// Parses an amount ≥ 0 exactly: ASCII digits with an optional sign, point and exponent.
///
/// # Errors
/// NaN, infinities, negative numbers, more than `scale` decimal places (trailing zeros do not count) and more than
/// 15 integer digits.
pub fn parse_amount(text: &str, scale: u32) -> Result<Decimal, AmountError> {
    check_amount(parse_decimal(text, scale)?, scale)
}

/// Checks the bounds of [`parse_amount`] for a number that was parsed elsewhere.
pub fn check_amount(value: Decimal, scale: u32) -> Result<Decimal, AmountError> {
    let value = value.normalize();
    if value.is_sign_negative() && !value.is_zero() {
        return Err(AmountError::Negative);
    }
    if !is_storable(value) {
        return Err(AmountError::TooLarge);
    }
    if value.scale() > scale {
        return Err(AmountError::Scale { scale });
    }
    Ok(value.abs()) // -0 is 0
}

/// Whether a computed figure of either sign has at most 15 integer digits.
pub fn is_storable(value: Decimal) -> bool {
    value.abs() < Decimal::from(10_i64.pow(INTEGER_DIGITS_MAX))
}

/// Parses a number of either sign, within the bounds of [`parse_amount`].
pub fn parse_signed(text: &str, scale: u32) -> Result<Decimal, AmountError> {
    let value = parse_decimal(text, scale)?;
    let size = check_amount(value.abs(), scale)?;
    Ok(if value.is_sign_negative() { -size } else { size })
}

fn parse_decimal(text: &str, scale: u32) -> Result<Decimal, AmountError> {
    let mantissa = text.split(['e', 'E']).next().unwrap_or_default();
    let digits = mantissa.trim_start_matches(['+', '-']);
    if digits.is_empty()
        || !digits.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        || !digits.bytes().any(|b| b.is_ascii_digit())
    {
        return Err(AmountError::NotANumber);
    }
    let parsed = if mantissa.len() == text.len() {
        Decimal::from_str_exact(text)
    } else {
        Decimal::from_scientific(text)
    };
    let is_shrunk = text.len() == mantissa.len() || text[mantissa.len() + 1..].starts_with('-');
    parsed.map_err(|error| match error {
        rust_decimal::Error::Underflow | rust_decimal::Error::ScaleExceedsMaximumPrecision(_) if is_shrunk => {
            AmountError::Scale { scale }
        }
        rust_decimal::Error::ScaleExceedsMaximumPrecision(_) | rust_decimal::Error::ExceedsMaximumPossibleValue => {
            AmountError::TooLarge
        }
        _ => AmountError::NotANumber,
    })
}

/// Rounds a reward down (towards zero) to the asset's scale. Call it once per reward.
pub fn round_reward(value: Decimal, asset: Asset) -> Decimal {
    let mut rounded = value.round_dp_with_strategy(asset.scale(), RoundingStrategy::ToZero);
    rounded.rescale(asset.scale());
    rounded
}

/// Rounds a wagering requirement up to the scale of money. Call it once per requirement.
pub fn round_requirement(value: Decimal) -> Decimal {
    value.round_dp_with_strategy(MONEY_SCALE, RoundingStrategy::AwayFromZero)
}

/// The value for output: with at least `scale` decimal places and no trailing zeros beyond them.
fn shown(value: Decimal, scale: u32) -> Decimal {
    let mut value = value.normalize();
    if value.scale() < scale {
        value.rescale(scale);
    }
    value
}

/// The unit of an amount.
pub trait Unit: Copy + Ord + Default + fmt::Debug + 'static {
    /// Decimal places: the maximum for input, the minimum for output.
    const SCALE: u32;
}

/// The units of [`Amount`].
pub mod unit {
    macro_rules! units {
        ($( $(#[$meta:meta])* $name:ident = $scale:expr ),+ $(,)?) => {
            $(
                $(#[$meta])*
                #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
                pub struct $name;

                impl super::Unit for $name {
                    const SCALE: u32 = $scale;
                }
            )+
        };
    }

    units! {
        /// The program's currency.
        Money = super::MONEY_SCALE,
        /// Loyalty or reward points.
        Points = super::MONEY_SCALE,
        /// Entries to events.
        Tickets = 0,
        /// Minutes, percentages and other figures that are not assets.
        Plain = super::MONEY_SCALE,
    }
}

/// An exact number of one unit. The type keeps different units apart.
///
/// Input passes [`Amount::parse`], [`Amount::checked`] or JSON, and is ≥ 0, at the unit's scale and below 10^15; no
/// code behind that boundary checks it again. Computed and stored figures enter through [`Amount::of`]; they may be
/// negative and have up to four decimal places. Output, as text and as a JSON number, has the unit's scale, or as
/// many decimal places as the value needs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Amount<U> {
    value: Decimal,
    unit: PhantomData<U>,
}

/// An amount of the program's currency.
pub type Money = Amount<unit::Money>;
/// Loyalty or reward points.
pub type Points = Amount<unit::Points>;
/// Entries to events.
pub type Tickets = Amount<unit::Tickets>;
/// A figure that is not an asset, such as minutes.
pub type Plain = Amount<unit::Plain>;

impl<U: Unit> Amount<U> {
    pub const ZERO: Self = Self {
        value: Decimal::ZERO,
        unit: PhantomData,
    };

    /// Wraps a computed or stored figure unchecked.
    pub const fn of(value: Decimal) -> Self {
        Self {
            value,
            unit: PhantomData,
        }
    }

    /// Parses input: see [`parse_amount`].
    pub fn parse(text: &str) -> Result<Self, AmountError> {
        parse_amount(text, U::SCALE).map(Self::of)
    }

    /// Accepts an input number that is ≥ 0, at the unit's scale and below 10^15.
    pub fn checked(value: Decimal) -> Result<Self, AmountError> {
        check_amount(value, U::SCALE).map(Self::of)
    }

    pub const fn value(self) -> Decimal {
        self.value
    }

    pub const fn is_zero(&self) -> bool {
        self.value.is_zero()
    }

    /// Serialises without the trailing zeros of the scale: for `#[serde(serialize_with)]` on a threshold.
    pub fn brief<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Serialize::serialize(&self.value.normalize(), serializer)
    }

    /// Serialises a decimal as an amount: for `#[serde(serialize_with)]` on a figure used in calculations.
    pub fn show<S: Serializer>(value: &Decimal, serializer: S) -> Result<S::Ok, S::Error> {
        Self::of(*value).serialize(serializer)
    }
}

/// Same as [`Amount::parse`].
impl<U: Unit> FromStr for Amount<U> {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::parse(text)
    }
}

impl<U: Unit> fmt::Display for Amount<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&shown(self.value, U::SCALE), f)
    }
}

impl<U: Unit> fmt::Debug for Amount<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}({self})", U::default())
    }
}

impl<U: Unit> Serialize for Amount<U> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Serialize::serialize(&shown(self.value, U::SCALE), serializer)
    }
}

/// Accepts a JSON number, or a string that holds one, and reads its digits exactly.
impl<'de, U: Unit> Deserialize<'de> for Amount<U> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let amount = match Value::deserialize(deserializer)? {
            Value::Number(number) => Self::parse(&number.to_string()),
            Value::String(text) => Self::parse(&text),
            _ => Err(AmountError::NotANumber),
        };
        amount.map_err(D::Error::custom)
    }
}

impl<U> Add for Amount<U> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            value: self.value + other.value,
            unit: PhantomData,
        }
    }
}

impl<U> Sub for Amount<U> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self {
            value: self.value - other.value,
            unit: PhantomData,
        }
    }
}

impl<U> AddAssign for Amount<U> {
    fn add_assign(&mut self, other: Self) {
        self.value += other.value;
    }
}

impl<U> SubAssign for Amount<U> {
    fn sub_assign(&mut self, other: Self) {
        self.value -= other.value;
    }
}

impl<U: Unit> Sum for Amount<U> {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

/// An input amount that must be above 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Positive<A>(A);

impl<A: Copy> Positive<A> {
    pub const fn get(self) -> A {
        self.0
    }
}

impl<U: Unit> Positive<Amount<U>> {
    pub fn checked(value: Decimal) -> Result<Self, AmountError> {
        Self::above_zero(Amount::checked(value)?)
    }

    pub fn above_zero(amount: Amount<U>) -> Result<Self, AmountError> {
        if amount.is_zero() {
            Err(AmountError::NotAboveZero)
        } else {
            Ok(Self(amount))
        }
    }

    pub const fn value(self) -> Decimal {
        self.0.value
    }
}

impl<U: Unit> FromStr for Positive<Amount<U>> {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        Self::above_zero(text.parse()?)
    }
}

impl<U: Unit> Serialize for Positive<Amount<U>> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, U: Unit> Deserialize<'de> for Positive<Amount<U>> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::above_zero(Amount::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// An input figure of at most `MAX`, such as a percentage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UpTo<const MAX: u32>(Plain);

impl<const MAX: u32> UpTo<MAX> {
    pub fn checked(value: Decimal) -> Result<Self, AmountError> {
        let figure = Plain::checked(value)?;
        if figure.value > Decimal::from(MAX) {
            return Err(AmountError::AboveMax { max: MAX, value });
        }
        Ok(Self(figure))
    }

    pub const fn value(self) -> Decimal {
        self.0.value
    }
}

impl<'de, const MAX: u32> Deserialize<'de> for UpTo<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::checked(Plain::deserialize(deserializer)?.value).map_err(D::Error::custom)
    }
}

/// An amount of an asset known only at run time. Serialised as a number at the asset's scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quantity {
    pub asset: Asset,
    pub value: Decimal,
}

impl Asset {
    /// A computed or stored figure of this asset.
    pub const fn quantity(self, value: Decimal) -> Quantity {
        Quantity { asset: self, value }
    }

    /// Accepts an input amount that is above 0, at this asset's scale and below 10^15.
    pub fn positive(self, value: Decimal) -> Result<Positive<Quantity>, AmountError> {
        let value = check_amount(value, self.scale())?;
        if value.is_zero() {
            return Err(AmountError::NotAboveZero);
        }
        Ok(Positive(self.quantity(value)))
    }
}

/// Cannot overflow in practice: sums of amounts below 10^15 stay far below the maximum of a decimal.
impl AddAssign<Decimal> for Quantity {
    fn add_assign(&mut self, value: Decimal) {
        self.value += value;
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&shown(self.value, self.asset.scale()), f)
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Serialize::serialize(&shown(self.value, self.asset.scale()), serializer)
    }
}

#[cfg(test)]
mod tests;
