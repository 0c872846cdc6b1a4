//! Lowers the tree of `evalexpr` to the typed expression: resolves names to facts and checks types.

use super::eval::{Arithmetic, Comparison, Extreme, Flag, Number, Rounding, Text};
use super::scan::{self, Function, Placed, Token};
use super::{FormulaError, FormulaErrorKind as Kind};
use crate::facts::{Catalogue, FactId, FactType};
use evalexpr::{Node, Operator, build_operator_tree};
use rust_decimal::prelude::ToPrimitive;

pub const EXPONENT_MAX: u32 = 8;

pub enum Typed {
    Number(Number),
    Flag(Flag),
    Text(Text),
}

impl Typed {
    pub const fn type_name(&self) -> &'static str {
        match self {
            Typed::Number(_) => "number",
            Typed::Flag(_) => "condition",
            Typed::Text(_) => "text",
        }
    }
}

/// Parses and type-checks a source.
pub fn lower(source: &str, catalogue: &Catalogue) -> Result<Typed, FormulaError> {
    let tokens = scan::scan(source)?;
    let syntax = FormulaError {
        position: 1,
        kind: Kind::Syntax,
    };
    let tree = build_operator_tree(&scan::rename(&tokens)).map_err(|_| syntax.clone())?;
    Lowering {
        tokens: &tokens,
        catalogue,
    }
    .node(&tree)
}

struct Lowering<'a> {
    tokens: &'a [Placed],
    catalogue: &'a Catalogue,
}

impl Lowering<'_> {
    fn node(&self, node: &Node) -> Result<Typed, FormulaError> {
        use Operator::*;
        let children = node.children();
        match (node.operator(), children) {
            (RootNode, [inner]) => self.node(inner),
            (Add, [l, r]) => self.arithmetic(Arithmetic::Add, "+", l, r),
            (Sub, [l, r]) => self.arithmetic(Arithmetic::Subtract, "-", l, r),
            (Mul, [l, r]) => self.arithmetic(Arithmetic::Multiply, "*", l, r),
            (Div, [l, r]) => self.arithmetic(Arithmetic::Divide, "/", l, r),
            (Mod, [l, r]) => self.arithmetic(Arithmetic::Remainder, "%", l, r),
            (Exp, [base, exponent]) => self.power(base, exponent),
            (Neg, [inner]) => Ok(Typed::Number(Number::Negate(Box::new(self.number("-", inner)?)))),
            (Not, [inner]) => Ok(Typed::Flag(Flag::Not(Box::new(self.flag("!", inner)?)))),
            (And, [l, r]) => Ok(Typed::Flag(Flag::And(
                Box::new(self.flag("&&", l)?),
                Box::new(self.flag("&&", r)?),
            ))),
            (Or, [l, r]) => Ok(Typed::Flag(Flag::Or(
                Box::new(self.flag("||", l)?),
                Box::new(self.flag("||", r)?),
            ))),
            (Eq, [l, r]) => Ok(Typed::Flag(self.equality("==", Comparison::Equal, l, r)?)),
            (Neq, [l, r]) => Ok(Typed::Flag(self.equality("!=", Comparison::NotEqual, l, r)?)),
            (Lt, [l, r]) => self.comparison("<", Comparison::Less, l, r),
            (Leq, [l, r]) => self.comparison("<=", Comparison::LessOrEqual, l, r),
            (Gt, [l, r]) => self.comparison(">", Comparison::Greater, l, r),
            (Geq, [l, r]) => self.comparison(">=", Comparison::GreaterOrEqual, l, r),
            (FunctionIdentifier { identifier }, [arguments]) => self.call(identifier, arguments),
            (VariableIdentifierRead { identifier }, []) => self.value(identifier),
            _ => Err(self.error(node, Kind::Syntax)),
        }
    }

    fn error(&self, node: &Node, kind: Kind) -> FormulaError {
        FormulaError {
            position: self.position(node),
            kind,
        }
    }

    /// The position of the first value in the node: the tree does not keep those of operators.
    fn position(&self, node: &Node) -> usize {
        let own = match node.operator() {
            Operator::VariableIdentifierRead { identifier } | Operator::FunctionIdentifier { identifier } => {
                Some(identifier.as_str())
            }
            _ => None,
        };
        let names = own.into_iter().chain(node.iter_identifiers());
        let places = names
            .filter_map(scan::token_index)
            .filter_map(|index| self.tokens.get(index));
        places.map(|placed| placed.position).min().unwrap_or(1)
    }

    fn value(&self, identifier: &str) -> Result<Typed, FormulaError> {
        let placed = scan::token_index(identifier).and_then(|index| self.tokens.get(index));
        let Some(Placed { token, position }) = placed else {
            return Err(FormulaError {
                position: 1,
                kind: Kind::Syntax,
            });
        };
        match token {
            Token::Number(number) => Ok(Typed::Number(Number::Literal(*number))),
            Token::Text(text) => Ok(Typed::Text(Text::Literal(text.clone()))),
            Token::Flag(flag) => Ok(Typed::Flag(Flag::Literal(*flag))),
            Token::Name(name) => self.fact(name, *position),
            _ => Err(FormulaError {
                position: *position,
                kind: Kind::Syntax,
            }),
        }
    }

    fn fact(&self, name: &str, position: usize) -> Result<Typed, FormulaError> {
        let Some(id) = self.catalogue.id(name) else {
            let nearest = self.catalogue.nearest(name).map(str::to_owned);
            return Err(FormulaError {
                position,
                kind: Kind::UnknownFact {
                    name: name.to_owned(),
                    nearest,
                },
            });
        };
        Ok(match self.catalogue.def(id).fact_type {
            FactType::Number => Typed::Number(Number::Fact(id)),
            FactType::Text => Typed::Text(Text::Fact(id)),
            FactType::Flag => Typed::Flag(Flag::Fact(id)),
        })
    }

    fn number(&self, operator: &'static str, node: &Node) -> Result<Number, FormulaError> {
        match self.node(node)? {
            Typed::Number(number) => Ok(number),
            other => Err(self.error(
                node,
                Kind::Type {
                    operator,
                    expected: "numbers",
                    found: other.type_name(),
                },
            )),
        }
    }

    fn flag(&self, operator: &'static str, node: &Node) -> Result<Flag, FormulaError> {
        match self.node(node)? {
            Typed::Flag(flag) => Ok(flag),
            other => Err(self.error(
                node,
                Kind::Type {
                    operator,
                    expected: "conditions",
                    found: other.type_name(),
                },
            )),
        }
    }

    fn arithmetic(
        &self,
        operator: Arithmetic,
        sign: &'static str,
        left: &Node,
        right: &Node,
    ) -> Result<Typed, FormulaError> {
        let (left, right) = (self.number(sign, left)?, self.number(sign, right)?);
        Ok(Typed::Number(Number::Arithmetic(
            operator,
            Box::new(left),
            Box::new(right),
        )))
    }

    fn power(&self, base: &Node, exponent: &Node) -> Result<Typed, FormulaError> {
        if matches!(base.operator(), Operator::Exp) {
            return Err(self.error(base, Kind::ChainedPower));
        }
        let Number::Literal(exponent_value) = self.number("^", exponent)? else {
            return Err(self.error(exponent, Kind::Exponent));
        };
        let whole = exponent_value
            .is_integer()
            .then(|| exponent_value.to_u32())
            .flatten()
            .filter(|exponent| *exponent <= EXPONENT_MAX);
        let exponent = whole.ok_or_else(|| self.error(exponent, Kind::Exponent))?;
        Ok(Typed::Number(Number::Power(
            Box::new(self.number("^", base)?),
            exponent,
        )))
    }

    fn comparison(
        &self,
        sign: &'static str,
        comparison: Comparison,
        left: &Node,
        right: &Node,
    ) -> Result<Typed, FormulaError> {
        let (left, right) = (self.number(sign, left)?, self.number(sign, right)?);
        Ok(Typed::Flag(Flag::Compare(comparison, Box::new(left), Box::new(right))))
    }

    fn equality(
        &self,
        sign: &'static str,
        comparison: Comparison,
        left: &Node,
        right: &Node,
    ) -> Result<Flag, FormulaError> {
        let equal = match (self.node(left)?, self.node(right)?) {
            (Typed::Number(l), Typed::Number(r)) => return Ok(Flag::Compare(comparison, Box::new(l), Box::new(r))),
            (Typed::Text(l), Typed::Text(r)) => {
                self.check_text(left, &l, &r)?;
                self.check_text(right, &r, &l)?;
                Flag::SameText(l, r)
            }
            (Typed::Flag(l), Typed::Flag(r)) => Flag::Same(Box::new(l), Box::new(r)),
            (_, other) => {
                let kind = Kind::Type {
                    operator: sign,
                    expected: "two values of one type",
                    found: other.type_name(),
                };
                return Err(self.error(right, kind));
            }
        };
        Ok(if comparison == Comparison::NotEqual {
            Flag::Not(Box::new(equal))
        } else {
            equal
        })
    }

    /// A text compared with a fact must be one of the fact's values.
    fn check_text(&self, node: &Node, text: &Text, other: &Text) -> Result<(), FormulaError> {
        let (Text::Literal(text), Text::Fact(id)) = (text, other) else {
            return Ok(());
        };
        match not_a_value(self.catalogue, *id, text) {
            Some(kind) => Err(self.error(node, kind)),
            None => Ok(()),
        }
    }

    fn call(&self, identifier: &str, arguments: &Node) -> Result<Typed, FormulaError> {
        let placed = scan::token_index(identifier).and_then(|index| self.tokens.get(index));
        let Some(Placed {
            token: Token::Call(function),
            position,
        }) = placed
        else {
            return Err(self.error(arguments, Kind::Syntax));
        };
        let arguments = arguments_of(arguments);
        let wrong_count = |expected| {
            let kind = Kind::Arguments {
                function: function.as_str(),
                expected,
                found: arguments.len(),
            };
            Err(FormulaError {
                position: *position,
                kind,
            })
        };
        let round = |rounding, inner: &Node| {
            Ok(Typed::Number(Number::Round(
                rounding,
                Box::new(self.number(function.as_str(), inner)?),
            )))
        };
        match (function, arguments.as_slice()) {
            (Function::Min, [_, _, ..]) => self.extreme(Extreme::Min, "min", &arguments),
            (Function::Max, [_, _, ..]) => self.extreme(Extreme::Max, "max", &arguments),
            (Function::Min | Function::Max, _) => wrong_count("2 arguments or more"),
            (Function::Abs, [inner]) => Ok(Typed::Number(Number::Abs(Box::new(self.number("abs", inner)?)))),
            (Function::Floor, [inner]) => round(Rounding::Floor, inner),
            (Function::Ceil, [inner]) => round(Rounding::Ceil, inner),
            (Function::Round, [inner]) => round(Rounding::Nearest, inner),
            (Function::If, [condition, yes, no]) => self.if_else(condition, yes, no),
            (Function::If, _) => wrong_count("3 arguments"),
            _ => wrong_count("1 argument"),
        }
    }

    fn extreme(&self, extreme: Extreme, name: &'static str, arguments: &[&Node]) -> Result<Typed, FormulaError> {
        let numbers = arguments
            .iter()
            .map(|argument| self.number(name, argument))
            .collect::<Result<_, _>>()?;
        Ok(Typed::Number(Number::Extreme(extreme, numbers)))
    }

    fn if_else(&self, condition: &Node, yes: &Node, no: &Node) -> Result<Typed, FormulaError> {
        let condition = Box::new(self.flag("if", condition)?);
        match (self.node(yes)?, self.node(no)?) {
            (Typed::Number(yes), Typed::Number(no)) => {
                Ok(Typed::Number(Number::If(condition, Box::new(yes), Box::new(no))))
            }
            (Typed::Flag(yes), Typed::Flag(no)) => Ok(Typed::Flag(Flag::If(condition, Box::new(yes), Box::new(no)))),
            (_, other) => {
                let expected = "two numbers or two conditions to choose from";
                Err(self.error(
                    no,
                    Kind::Type {
                        operator: "if",
                        expected,
                        found: other.type_name(),
                    },
                ))
            }
        }
    }
}

/// The arguments inside the parentheses of a call.
fn arguments_of(node: &Node) -> Vec<&Node> {
    match (node.operator(), node.children()) {
        (Operator::RootNode, [inner]) if matches!(inner.operator(), Operator::Tuple) => {
            inner.children().iter().collect()
        }
        (Operator::Tuple, children) => children.iter().collect(),
        _ => vec![node],
    }
}

/// The error if `text` is not one of the values that a text fact can have.
pub fn not_a_value(catalogue: &Catalogue, id: FactId, text: &str) -> Option<Kind> {
    let def = catalogue.def(id);
    let values = def.values.as_ref()?;
    if values.iter().any(|value| value == text) {
        return None;
    }
    Some(Kind::NotAValue {
        text: text.to_owned(),
        fact: def.name.clone(),
        values: values.join(", "),
    })
}
