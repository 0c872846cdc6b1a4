//! The typed expression. Every operation is checked: a failed one returns an [`EvalError`] and never panics.

use crate::facts::{FactId, FactValue, Facts};
use rust_decimal::{Decimal, RoundingStrategy};

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EvalError {
    #[error("{fact} is not known for this player")]
    Null { fact: String },
    #[error("division by zero")]
    DivisionByZero,
    #[error("the value is too large")]
    Overflow,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

/// How a function rounds a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    Floor,
    Ceil,
    /// Halves away from zero.
    Nearest,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extreme {
    Min,
    Max,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Number {
    Literal(Decimal),
    Fact(FactId),
    Negate(Box<Number>),
    Arithmetic(Arithmetic, Box<Number>, Box<Number>),
    Power(Box<Number>, u32),
    Extreme(Extreme, Vec<Number>),
    Abs(Box<Number>),
    Round(Rounding, Box<Number>),
    /// Evaluates only the branch taken.
    If(Box<Flag>, Box<Number>, Box<Number>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Text {
    Literal(String),
    Fact(FactId),
}

#[derive(Debug, Clone, PartialEq)]
pub enum Flag {
    Literal(bool),
    Fact(FactId),
    Not(Box<Flag>),
    /// Evaluates the right side only if the left one does not decide; so does `Or`.
    And(Box<Flag>, Box<Flag>),
    Or(Box<Flag>, Box<Flag>),
    Compare(Comparison, Box<Number>, Box<Number>),
    SameText(Text, Text),
    Same(Box<Flag>, Box<Flag>),
    If(Box<Flag>, Box<Flag>, Box<Flag>),
}

fn null(facts: &Facts<'_>, id: FactId) -> EvalError {
    EvalError::Null {
        fact: facts.catalogue().def(id).name.clone(),
    }
}

impl Number {
    pub fn eval(&self, facts: &Facts<'_>) -> Result<Decimal, EvalError> {
        Ok(match self {
            Number::Literal(number) => *number,
            Number::Fact(id) => match facts.get(*id) {
                Some(FactValue::Number(number)) => number,
                _ => return Err(null(facts, *id)),
            },
            Number::Negate(inner) => -inner.eval(facts)?,
            Number::Arithmetic(operator, left, right) => operator.apply(left.eval(facts)?, right.eval(facts)?)?,
            Number::Power(base, exponent) => power(base.eval(facts)?, *exponent)?,
            Number::Extreme(extreme, numbers) => extreme.of(numbers, facts)?,
            Number::Abs(inner) => inner.eval(facts)?.abs(),
            Number::Round(rounding, inner) => rounding.apply(inner.eval(facts)?),
            Number::If(condition, yes, no) => if condition.eval(facts)? { yes } else { no }.eval(facts)?,
        })
    }

    pub fn visit_facts(&self, visit: &mut impl FnMut(FactId)) {
        match self {
            Number::Literal(_) => {}
            Number::Fact(id) => visit(*id),
            Number::Negate(inner) | Number::Power(inner, _) | Number::Abs(inner) | Number::Round(_, inner) => {
                inner.visit_facts(visit)
            }
            Number::Arithmetic(_, left, right) => {
                left.visit_facts(visit);
                right.visit_facts(visit);
            }
            Number::Extreme(_, numbers) => numbers.iter().for_each(|number| number.visit_facts(visit)),
            Number::If(condition, yes, no) => {
                condition.visit_facts(visit);
                yes.visit_facts(visit);
                no.visit_facts(visit);
            }
        }
    }
}

impl Arithmetic {
    fn apply(self, left: Decimal, right: Decimal) -> Result<Decimal, EvalError> {
        if matches!(self, Arithmetic::Divide | Arithmetic::Remainder) && right.is_zero() {
            return Err(EvalError::DivisionByZero);
        }
        match self {
            Arithmetic::Add => left.checked_add(right),
            Arithmetic::Subtract => left.checked_sub(right),
            Arithmetic::Multiply => left.checked_mul(right),
            Arithmetic::Divide => left.checked_div(right),
            Arithmetic::Remainder => left.checked_rem(right),
        }
        .ok_or(EvalError::Overflow)
    }
}

fn power(base: Decimal, exponent: u32) -> Result<Decimal, EvalError> {
    (0..exponent)
        .try_fold(Decimal::ONE, |product, _| product.checked_mul(base))
        .ok_or(EvalError::Overflow)
}

impl Extreme {
    fn of(self, numbers: &[Number], facts: &Facts<'_>) -> Result<Decimal, EvalError> {
        let mut extreme: Option<Decimal> = None;
        for number in numbers {
            let number = number.eval(facts)?;
            extreme = Some(match (self, extreme) {
                (_, None) => number,
                (Extreme::Min, Some(best)) => best.min(number),
                (Extreme::Max, Some(best)) => best.max(number),
            });
        }
        Ok(extreme.unwrap_or_default())
    }
}

impl Rounding {
    fn apply(self, number: Decimal) -> Decimal {
        match self {
            Rounding::Floor => number.floor(),
            Rounding::Ceil => number.ceil(),
            Rounding::Nearest => number.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero),
        }
    }
}

impl Comparison {
    fn holds(self, left: Decimal, right: Decimal) -> bool {
        match self {
            Comparison::Equal => left == right,
            Comparison::NotEqual => left != right,
            Comparison::Less => left < right,
            Comparison::LessOrEqual => left <= right,
            Comparison::Greater => left > right,
            Comparison::GreaterOrEqual => left >= right,
        }
    }
}

impl Text {
    fn eval<'f>(&'f self, facts: &Facts<'f>) -> Result<&'f str, EvalError> {
        match self {
            Text::Literal(text) => Ok(text),
            Text::Fact(id) => match facts.get(*id) {
                Some(FactValue::Text(text)) => Ok(text),
                _ => Err(null(facts, *id)),
            },
        }
    }

    fn visit_facts(&self, visit: &mut impl FnMut(FactId)) {
        if let Text::Fact(id) = self {
            visit(*id);
        }
    }
}

impl Flag {
    pub fn eval(&self, facts: &Facts<'_>) -> Result<bool, EvalError> {
        Ok(match self {
            Flag::Literal(flag) => *flag,
            Flag::Fact(id) => match facts.get(*id) {
                Some(FactValue::Flag(flag)) => flag,
                _ => return Err(null(facts, *id)),
            },
            Flag::Not(inner) => !inner.eval(facts)?,
            Flag::And(left, right) => left.eval(facts)? && right.eval(facts)?,
            Flag::Or(left, right) => left.eval(facts)? || right.eval(facts)?,
            Flag::Compare(comparison, left, right) => comparison.holds(left.eval(facts)?, right.eval(facts)?),
            Flag::SameText(left, right) => left.eval(facts)? == right.eval(facts)?,
            Flag::Same(left, right) => left.eval(facts)? == right.eval(facts)?,
            Flag::If(condition, yes, no) => if condition.eval(facts)? { yes } else { no }.eval(facts)?,
        })
    }

    pub fn visit_facts(&self, visit: &mut impl FnMut(FactId)) {
        match self {
            Flag::Literal(_) => {}
            Flag::Fact(id) => visit(*id),
            Flag::Not(inner) => inner.visit_facts(visit),
            Flag::And(left, right) | Flag::Or(left, right) | Flag::Same(left, right) => {
                left.visit_facts(visit);
                right.visit_facts(visit);
            }
            Flag::Compare(_, left, right) => {
                left.visit_facts(visit);
                right.visit_facts(visit);
            }
            Flag::SameText(left, right) => {
                left.visit_facts(visit);
                right.visit_facts(visit);
            }
            Flag::If(condition, yes, no) => {
                condition.visit_facts(visit);
                yes.visit_facts(visit);
                no.visit_facts(visit);
            }
        }
    }
}
