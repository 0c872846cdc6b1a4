//! Formulas of rules: the syntax of `evalexpr`, evaluated exactly over [`Decimal`].
//!
//! [`scan`] checks every bound and replaces literals by names, so that `evalexpr` never reads a number as a float.
//! `evalexpr` only builds the tree of operators; [`lower`] turns it into a typed expression, and [`eval`] computes it.

mod eval;
mod lower;
mod scan;

use crate::facts::{Catalogue, FactId, Facts};
use eval::{Flag, Number};
use lower::Typed;
use rust_decimal::Decimal;
use serde_json::Map;

pub use eval::EvalError;
pub(crate) use lower::not_a_value;
pub use scan::{DIGITS_MAX, NESTING_MAX, OPERATORS_MAX, SOURCE_BYTES_MAX};

/// The error in a formula and its position.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {position}: {kind}")]
pub struct FormulaError {
    /// Counted in characters, from 1.
    pub position: usize,
    pub kind: FormulaErrorKind,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FormulaErrorKind {
    #[error("the formula is empty")]
    Empty,
    #[error("a formula has at most {SOURCE_BYTES_MAX} bytes")]
    TooLong,
    #[error("parentheses and signs nest at most {NESTING_MAX} deep")]
    TooDeep,
    #[error("a formula has at most {OPERATORS_MAX} operators and calls")]
    TooManyOperators,
    #[error("unexpected character {0:?}")]
    Character(char),
    #[error("a text must end with \" and contain no backslash")]
    TextLiteral,
    #[error("{0} is not a plain decimal number")]
    NumberLiteral(String),
    #[error("a number has at most {DIGITS_MAX} significant digits")]
    TooManyDigits,
    #[error("assignments are not allowed; compare with ==")]
    Assignment,
    #[error("a formula is one expression; ; is not allowed")]
    Chain,
    #[error("expected a value, found {0}")]
    ExpectedValue(String),
    #[error("expected an operator, found {0}")]
    ExpectedOperator(String),
    #[error("unmatched parenthesis")]
    Unbalanced,
    #[error("a comma may only separate the arguments of a function")]
    Comma,
    #[error("unknown fact {name}{}", suggestion(.nearest))]
    UnknownFact { name: String, nearest: Option<String> },
    #[error("unknown function {name}{}", suggestion(.nearest))]
    UnknownFunction { name: String, nearest: Option<String> },
    #[error("{function} takes {expected}, found {found}")]
    Arguments {
        function: &'static str,
        expected: &'static str,
        found: usize,
    },
    #[error("{operator} needs {expected}, found {found}")]
    Type {
        operator: &'static str,
        expected: &'static str,
        found: &'static str,
    },
    #[error("{text:?} is not a valid {fact}; expected one of {values}")]
    NotAValue { text: String, fact: String, values: String },
    #[error("an exponent is a whole number from 0 to {}", lower::EXPONENT_MAX)]
    Exponent,
    #[error("a ^ b ^ c is ambiguous; add parentheses")]
    ChainedPower,
    #[error("the formula returns a {found}, but a {expected} is required")]
    Result {
        expected: &'static str,
        found: &'static str,
    },
    #[error("the formula cannot be parsed")]
    Syntax,
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

/// A formula that returns a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula(Number);

impl Formula {
    /// # Errors
    /// [`FormulaError`] names the position of the first error. Parsing takes bounded time and never panics, also for
    /// hostile sources.
    pub fn parse(source: &str, catalogue: &Catalogue) -> Result<Self, FormulaError> {
        match lower::lower(source, catalogue)? {
            Typed::Number(number) => Ok(Self(number)),
            other => Err(FormulaError {
                position: 1,
                kind: FormulaErrorKind::Result {
                    expected: "number",
                    found: other.type_name(),
                },
            }),
        }
    }

    /// A formula that always returns this number.
    pub fn constant(number: Decimal) -> Self {
        Self(Number::Literal(number))
    }

    /// # Errors
    /// A fact it needs is null, it divides by zero, or a value exceeds 28 digits.
    pub fn eval(&self, facts: &Facts<'_>) -> Result<Decimal, EvalError> {
        self.0.eval(facts)
    }

    /// What the formula returns for everybody; `None` if it reads facts.
    pub fn constant_value(&self, catalogue: &Catalogue) -> Option<Result<Decimal, EvalError>> {
        let mut reads = false;
        self.visit_facts(&mut |_| reads = true);
        (!reads).then(|| self.eval(&Facts::from_json(&Map::new(), catalogue)))
    }

    /// Calls `visit` with every fact the formula names.
    pub fn visit_facts(&self, visit: &mut impl FnMut(FactId)) {
        self.0.visit_facts(visit);
    }
}

/// A formula that returns true or false: `when`.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicate(Flag);

impl Predicate {
    /// # Errors
    /// As [`Formula::parse`].
    pub fn parse(source: &str, catalogue: &Catalogue) -> Result<Self, FormulaError> {
        match lower::lower(source, catalogue)? {
            Typed::Flag(flag) => Ok(Self(flag)),
            other => Err(FormulaError {
                position: 1,
                kind: FormulaErrorKind::Result {
                    expected: "condition",
                    found: other.type_name(),
                },
            }),
        }
    }

    /// # Errors
    /// As [`Formula::eval`].
    pub fn eval(&self, facts: &Facts<'_>) -> Result<bool, EvalError> {
        self.0.eval(facts)
    }

    /// Calls `visit` with every fact the predicate names.
    pub fn visit_facts(&self, visit: &mut impl FnMut(FactId)) {
        self.0.visit_facts(visit);
    }
}
