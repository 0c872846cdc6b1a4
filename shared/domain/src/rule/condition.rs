//! The conditions of a rule: read and type-checked once, then matched against millions of players.
//!
//! # Choices
//!
//! * A `when` that reads a null fact is false, as every comparison with null is. One that divides by zero or overflows
//!   makes the rule NOT_APPLICABLE, as such a formula does, unless the other conditions decide without it, in whatever
//!   order they stand.

mod reader;

use crate::facts::{Catalogue, FactId, FactValue, Facts};
use crate::formula::{EvalError, Predicate};
use crate::problem::FieldErrors;
use reader::Reader;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Value, json};

/// Maximum depth of nested objects and lists.
pub const NESTING_MAX: usize = 16;
/// Maximum number of comparisons in one rule.
pub const COMPARISONS_MAX: usize = 200;

/// The result of one condition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConditionResult {
    /// JSON pointer into the rule.
    pub pointer: String,
    pub expected: Value,
    /// The fact's value, null if unknown. For a `when`, its result or why it has none; for `any` and `not`, how
    /// many of their parts hold.
    pub actual: Value,
    pub met: bool,
}

/// How much to check of what may change after a rule was saved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Checks {
    /// Everything.
    Save,
    /// Skips what depends on settings and tiers, so that a saved rule stays readable after they change.
    Load,
}

#[derive(Debug, Clone, PartialEq)]
enum Constant {
    Number(Decimal),
    Text(String),
    Flag(bool),
}

impl Constant {
    fn equals(&self, value: FactValue<'_>) -> bool {
        match (self, value) {
            (Constant::Number(a), FactValue::Number(b)) => *a == b,
            (Constant::Text(a), FactValue::Text(b)) => a == b,
            (Constant::Flag(a), FactValue::Flag(b)) => *a == b,
            _ => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Test {
    AnyOf(Vec<Constant>),
    NoneOf(Vec<Constant>),
    Min(Decimal),
    Max(Decimal),
    Exists(bool),
}

impl Test {
    /// An unknown fact fails every comparison except `exists: false`.
    fn holds(&self, value: Option<FactValue<'_>>) -> bool {
        match (self, value) {
            (Test::Exists(expected), value) => value.is_some() == *expected,
            (_, None) => false,
            (Test::AnyOf(constants), Some(value)) => constants.iter().any(|constant| constant.equals(value)),
            (Test::NoneOf(constants), Some(value)) => !constants.iter().any(|constant| constant.equals(value)),
            (Test::Min(bound), Some(FactValue::Number(number))) => number >= *bound,
            (Test::Max(bound), Some(FactValue::Number(number))) => number <= *bound,
            _ => false,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
enum Node {
    Compare {
        fact: FactId,
        test: Test,
        pointer: String,
        expected: Value,
    },
    When {
        predicate: Predicate,
        pointer: String,
        source: String,
    },
    All(Vec<Node>),
    Any {
        parts: Vec<Node>,
        pointer: String,
    },
    Not {
        parts: Vec<Node>,
        pointer: String,
    },
}

/// The conditions of a rule; all of them must hold.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition(Vec<Node>);

impl Condition {
    /// Parses an object of conditions at `pointer`. Collects all errors.
    pub(super) fn parse(
        value: &Value,
        pointer: &str,
        catalogue: &Catalogue,
        checks: Checks,
        errors: &mut FieldErrors,
    ) -> Self {
        let mut reader = Reader {
            catalogue,
            checks,
            errors,
            comparisons: 0,
        };
        Self(reader.object(value, pointer, 0))
    }

    /// Parses the conditions of a rule or tier at `pointer`, for saving.
    ///
    /// # Errors
    /// All their errors, each with a JSON pointer.
    pub fn read(value: &Value, pointer: &str, catalogue: &Catalogue) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let condition = Self::parse(value, pointer, catalogue, Checks::Save, &mut errors);
        errors.none_or(condition)
    }

    /// Parses saved conditions. Tiers may have changed since, as for [`super::Rule::load`].
    ///
    /// # Errors
    /// Same as [`Condition::read`]; a fact that disappeared with a tier's benefit is an error too.
    pub fn load(value: &Value, pointer: &str, catalogue: &Catalogue) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let condition = Self::parse(value, pointer, catalogue, Checks::Load, &mut errors);
        errors.none_or(condition)
    }

    /// Whether all conditions hold. Does not allocate.
    ///
    /// # Errors
    /// A division by zero or an overflow in a `when`, unless the other conditions decide without it.
    pub fn hold(&self, facts: &Facts<'_>) -> Result<bool, EvalError> {
        all_hold(&self.0, facts)
    }

    /// Every comparison with the actual value, and every group with the number of its parts that hold.
    pub fn explain(&self, facts: &Facts<'_>) -> Vec<ConditionResult> {
        let mut results = Vec::new();
        for node in &self.0 {
            node.explain(facts, &mut results);
        }
        results
    }

    /// Calls `visit` with every fact that is compared.
    pub fn visit_facts(&self, visit: &mut impl FnMut(FactId)) {
        self.0.iter().for_each(|node| node.visit_facts(visit));
    }
}

impl Node {
    fn holds(&self, facts: &Facts<'_>) -> Result<bool, EvalError> {
        match self {
            Node::Compare { fact, test, .. } => Ok(test.holds(facts.get(*fact))),
            Node::When { predicate, .. } => match predicate.eval(facts) {
                Err(EvalError::Null { .. }) => Ok(false),
                decided => decided,
            },
            Node::All(parts) => all_hold(parts, facts),
            Node::Any { parts, .. } => first_decides(parts, facts, true),
            Node::Not { parts, .. } => all_hold(parts, facts).map(|hold| !hold),
        }
    }

    fn explain(&self, facts: &Facts<'_>, results: &mut Vec<ConditionResult>) {
        let met = self.holds(facts) == Ok(true);
        let held = |parts: &[Node]| {
            json!(format!(
                "{} of {} hold",
                parts.iter().filter(|p| p.holds(facts) == Ok(true)).count(),
                parts.len()
            ))
        };
        match self {
            Node::Compare {
                fact,
                pointer,
                expected,
                ..
            } => {
                let actual = facts.get(*fact).map_or(Value::Null, FactValue::to_json);
                results.push(ConditionResult {
                    pointer: pointer.clone(),
                    expected: expected.clone(),
                    actual,
                    met,
                });
            }
            Node::When {
                predicate,
                pointer,
                source,
            } => {
                let actual = predicate
                    .eval(facts)
                    .map_or_else(|error| json!(error.to_string()), Value::from);
                results.push(ConditionResult {
                    pointer: pointer.clone(),
                    expected: json!(source),
                    actual,
                    met,
                });
            }
            Node::All(parts) => parts.iter().for_each(|part| part.explain(facts, results)),
            Node::Any { parts, pointer } => {
                results.push(ConditionResult {
                    pointer: pointer.clone(),
                    expected: json!("at least one holds"),
                    actual: held(parts),
                    met,
                });
                parts.iter().for_each(|part| part.explain(facts, results));
            }
            Node::Not { parts, pointer } => {
                results.push(ConditionResult {
                    pointer: pointer.clone(),
                    expected: json!("not all hold"),
                    actual: held(parts),
                    met,
                });
                parts.iter().for_each(|part| part.explain(facts, results));
            }
        }
    }

    fn visit_facts(&self, visit: &mut impl FnMut(FactId)) {
        match self {
            Node::Compare { fact, .. } => visit(*fact),
            Node::When { predicate, .. } => predicate.visit_facts(visit),
            Node::All(parts) | Node::Any { parts, .. } | Node::Not { parts, .. } => {
                parts.iter().for_each(|part| part.visit_facts(visit))
            }
        }
    }
}

fn all_hold(parts: &[Node], facts: &Facts<'_>) -> Result<bool, EvalError> {
    first_decides(parts, facts, false)
}

/// Returns `decisive` if one part is, otherwise the opposite, or the error of a part that cannot be computed. The
/// order of the parts does not matter.
fn first_decides(parts: &[Node], facts: &Facts<'_>, decisive: bool) -> Result<bool, EvalError> {
    let mut otherwise = Ok(!decisive);
    for part in parts {
        match part.holds(facts) {
            Ok(held) if held == decisive => return Ok(decisive),
            Ok(_) => {}
            error => otherwise = error,
        }
    }
    otherwise
}
