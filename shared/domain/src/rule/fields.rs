//! Reads a JSON object field by field and collects all its errors.

use crate::money::{AmountError, parse_signed};
use crate::problem::{FieldErrors, child};
use crate::spelling::nearest;
use crate::text::TextLimits;
use crate::word::Word;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Map, Value};

/// The type of a value, as error texts name it.
pub fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a flag",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Reads a JSON number, or a string that holds one, from its digits.
pub fn decimal(value: &Value, scale: u32) -> Result<Decimal, AmountError> {
    match value {
        Value::Number(number) => parse_signed(&number.to_string(), scale),
        Value::String(text) => parse_signed(text, scale),
        _ => Err(AmountError::NotANumber),
    }
}

/// The allowed range of a number.
#[derive(Clone, Copy)]
pub struct Bounds {
    pub min: Decimal,
    pub max: Option<Decimal>,
    /// Maximum number of decimal places.
    pub scale: u32,
}

impl Bounds {
    pub const fn at_least_zero(scale: u32) -> Self {
        Self {
            min: Decimal::ZERO,
            max: None,
            scale,
        }
    }

    pub const fn share() -> Self {
        Self {
            min: Decimal::ZERO,
            max: Some(Decimal::ONE),
            scale: 4,
        }
    }
}

/// The fields of one object. A field that is null counts as absent.
pub struct Fields<'a, 'e> {
    map: &'a Map<String, Value>,
    pointer: String,
    names: &'static [&'static str],
    errors: &'e mut FieldErrors,
}

impl<'a, 'e> Fields<'a, 'e> {
    /// Returns `None`, and records an error, if `value` is not an object. Fields that are not in `names` are
    /// errors.
    pub fn of(
        value: &'a Value,
        pointer: &str,
        names: &'static [&'static str],
        errors: &'e mut FieldErrors,
    ) -> Option<Self> {
        let Value::Object(map) = value else {
            errors.push(pointer, "type", format!("must be an object, is {}", type_name(value)));
            return None;
        };
        for name in map.keys().filter(|name| !names.contains(&name.as_str())) {
            let guess = nearest(name, names.iter().copied())
                .map(|near| format!("; did you mean {near}?"))
                .unwrap_or_default();
            errors.push(child(pointer, name), "unknown", format!("unknown field{guess}"));
        }
        Some(Self {
            map,
            pointer: pointer.to_owned(),
            names,
            errors,
        })
    }

    pub fn get(&self, name: &str) -> Option<&'a Value> {
        debug_assert!(self.names.contains(&name), "{name} is read but not listed");
        self.map.get(name).filter(|value| !value.is_null())
    }

    pub fn pointer(&self, name: &str) -> String {
        child(&self.pointer, name)
    }

    pub fn error(&mut self, name: &str, code: &'static str, detail: impl Into<String>) {
        let pointer = self.pointer(name);
        self.errors.push(pointer, code, detail);
    }

    pub fn errors(&mut self) -> &mut FieldErrors {
        self.errors
    }

    fn wrong_type(&mut self, name: &str, expected: &str, value: &Value) {
        self.error(name, "type", format!("must be {expected}, is {}", type_name(value)));
    }

    pub fn required(&mut self, name: &str) -> Option<&'a Value> {
        let value = self.get(name);
        if value.is_none() {
            self.error(name, "required", "is required");
        }
        value
    }

    /// Accepts 1 to `chars_max` characters without control characters.
    pub fn text(&mut self, name: &str, chars_max: usize) -> Option<&'a str> {
        let value = self.get(name)?;
        let Value::String(text) = value else {
            self.wrong_type(name, "a text", value);
            return None;
        };
        let limits = TextLimits::characters(chars_max).not_blank().of_many_lines();
        if let Err(error) = limits.check(text) {
            self.error(name, "format", error.to_string());
            return None;
        }
        Some(text)
    }

    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        match self.get(name) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(other) => {
                self.wrong_type(name, "true or false", other);
                default
            }
        }
    }

    /// Accepts a whole number in `min..=max`.
    pub fn whole(&mut self, name: &str, min: i32, max: i32) -> Option<i32> {
        let value = self.get(name)?;
        let number = value
            .as_i64()
            .and_then(|number| i32::try_from(number).ok())
            .filter(|number| (min..=max).contains(number));
        if number.is_none() {
            let code = if value.is_number() { "range" } else { "type" };
            self.error(name, code, format!("must be a whole number from {min} to {max}"));
        }
        number
    }

    pub fn decimal(&mut self, name: &str, bounds: Bounds) -> Option<Decimal> {
        let value = self.get(name)?;
        let pointer = self.pointer(name);
        read_decimal(value, &pointer, bounds, self.errors)
    }

    /// Accepts one of these words.
    pub fn one_of<T: Word>(&mut self, name: &str, choices: &[T]) -> Option<T> {
        let value = self.get(name)?;
        let pointer = self.pointer(name);
        read_word(value, &pointer, choices, self.errors)
    }

    pub fn timestamp(&mut self, name: &str) -> Option<Timestamp> {
        let value = self.get(name)?;
        let parsed = value.as_str().and_then(|text| text.parse().ok());
        if parsed.is_none() {
            self.error(
                name,
                "format",
                "must be a time in RFC 3339, such as 2026-11-23T00:00:00Z",
            );
        }
        parsed
    }

    /// Accepts a non-empty list. `read` parses each item; a repeated item is an error.
    pub fn list<T: PartialEq>(
        &mut self,
        name: &str,
        read: impl Fn(&Value, &str, &mut FieldErrors) -> Option<T>,
    ) -> Option<Vec<T>> {
        let value = self.get(name)?;
        let Value::Array(items) = value else {
            self.wrong_type(name, "a list", value);
            return None;
        };
        if items.is_empty() {
            self.error(name, "range", "must not be empty; leave it out for all");
        }
        let pointer = self.pointer(name);
        let mut list = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let at = child(&pointer, index);
            let Some(item) = read(item, &at, self.errors) else {
                continue;
            };
            if list.contains(&item) {
                self.errors.push(at, "duplicate", "appears more than once in the list");
            } else {
                list.push(item);
            }
        }
        Some(list)
    }
}

pub fn read_decimal(value: &Value, pointer: &str, bounds: Bounds, errors: &mut FieldErrors) -> Option<Decimal> {
    match decimal(value, bounds.scale) {
        Ok(number) if number < bounds.min || bounds.max.is_some_and(|max| number > max) => {
            let up_to = bounds.max.map(|max| format!(" and at most {max}")).unwrap_or_default();
            errors.push(
                pointer,
                "range",
                format!("must be at least {}{up_to}, is {number}", bounds.min),
            );
            None
        }
        Ok(number) => Some(number),
        Err(AmountError::NotANumber) => {
            errors.push(pointer, "type", format!("must be a number, is {}", type_name(value)));
            None
        }
        Err(error) => {
            errors.push(pointer, "range", error.to_string());
            None
        }
    }
}

pub fn read_word<T: Word>(value: &Value, pointer: &str, choices: &[T], errors: &mut FieldErrors) -> Option<T> {
    let names: Vec<&str> = choices.iter().map(|choice| choice.as_str()).collect();
    read_name(value, pointer, &names, errors).and_then(T::parse)
}

pub fn read_name<'a>(value: &Value, pointer: &str, names: &[&'a str], errors: &mut FieldErrors) -> Option<&'a str> {
    let Some(text) = value.as_str() else {
        errors.push(pointer, "type", format!("must be a text, is {}", type_name(value)));
        return None;
    };
    let found = names.iter().find(|name| **name == text).copied();
    if found.is_none() {
        let detail = format!("{text:?} is not one of {}", names.join(", "));
        errors.push(pointer, "unknown", detail);
    }
    found
}
