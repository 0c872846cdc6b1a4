//! Formulas of rules: the syntax of `evalexpr`, evaluated exactly over [`Decimal`].
//!
//! `evalexpr` only builds the tree of operators. [`scan`] has checked every bound before it is called and
//! hands it a text without literals, so that it sees no number it could read as a float; [`lower`] turns its
//! tree into a typed expression; [`eval`] computes it.

mod eval;
mod lower;
mod scan;

use crate::facts::{Catalogue, FactId, Facts};
use eval::{Flag, Number};
use lower::Typed;
use rust_decimal::Decimal;

pub use eval::EvalError;
pub(crate) use lower::not_a_value;
pub use scan::{DIGITS_MAX, NESTING_MAX, OPERATORS_MAX, SOURCE_BYTES_MAX};

/// What is wrong with a formula, and where.
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
    #[error("{0:?} has no meaning here")]
    Character(char),
    #[error("a text ends with \" and holds no backslash")]
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
    #[error("this parenthesis has no partner")]
    Unbalanced,
    #[error("a comma belongs between the arguments of a function")]
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
    #[error("{text:?} is no {fact}; it is one of {values}")]
    NotAValue { text: String, fact: String, values: String },
    #[error("an exponent is a whole number from 0 to {}", lower::EXPONENT_MAX)]
    Exponent,
    #[error("write parentheses: a ^ b ^ c has two readings")]
    ChainedPower,
    #[error("the formula gives a {found}; a {expected} is needed")]
    Result {
        expected: &'static str,
        found: &'static str,
    },
    #[error("cannot be read")]
    Syntax,
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest
        .as_ref()
        .map(|name| format!("; did you mean {name}?"))
        .unwrap_or_default()
}

/// A formula that gives a number.
#[derive(Debug, Clone, PartialEq)]
pub struct Formula(Number);

impl Formula {
    /// # Errors
    /// [`FormulaError`] names the first place that is wrong. No source, however hostile, takes long or panics.
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

    /// A formula that always gives this number.
    pub fn constant(number: Decimal) -> Self {
        Self(Number::Literal(number))
    }

    /// # Errors
    /// A fact it needs is null, a division by zero, or a value beyond 28 digits.
    pub fn eval(&self, facts: &Facts<'_>) -> Result<Decimal, EvalError> {
        self.0.eval(facts)
    }

    /// Calls `visit` with every fact the formula names.
    pub fn visit_facts(&self, visit: &mut impl FnMut(FactId)) {
        self.0.visit_facts(visit);
    }
}

/// A formula that is true or false: `when`.
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
