//! Conditions as JSON, parsed and checked.

use super::{COMPARISONS_MAX, Checks, Constant, NESTING_MAX, Node, Test};
use crate::facts::{Catalogue, FactId, FactSource, FactType};
use crate::formula::{Predicate, not_a_value};
use crate::problem::{FieldErrors, child};
use crate::rule::fields::{Bounds, decimal, read_decimal, type_name};
use rust_decimal::Decimal;
use serde_json::{Map, Value};

pub(super) struct Reader<'a, 'e> {
    pub(super) catalogue: &'a Catalogue,
    pub(super) checks: Checks,
    pub(super) errors: &'e mut FieldErrors,
    pub(super) comparisons: usize,
}

/// What a key of a condition refers to.
enum Key {
    Fact(FactId),
    Min(FactId),
    Max(FactId),
}

impl Reader<'_, '_> {
    /// Parses the conditions of an object; all of them must hold.
    pub(super) fn object(&mut self, value: &Value, pointer: &str, depth: usize) -> Vec<Node> {
        let Value::Object(map) = value else {
            self.errors.push(
                pointer,
                "type",
                format!("must be an object of conditions, is {}", type_name(value)),
            );
            return Vec::new();
        };
        if depth > NESTING_MAX {
            self.errors
                .push(pointer, "range", format!("conditions nest at most {NESTING_MAX} deep"));
            return Vec::new();
        }
        let mut nodes = Vec::new();
        for (key, value) in map {
            let at = child(pointer, key);
            match key.as_str() {
                "all" => nodes.push(Node::All(self.list(value, &at, depth))),
                "any" => {
                    let parts = self.list(value, &at, depth);
                    if matches!(value, Value::Array(items) if items.is_empty()) {
                        self.errors.push(&at, "range", "an empty any never holds");
                    }
                    nodes.push(Node::Any { parts, pointer: at });
                }
                "not" => {
                    let parts = self.object(value, &at, depth + 1);
                    if matches!(value, Value::Object(inner) if inner.is_empty()) {
                        self.errors.push(&at, "range", "an empty not never holds");
                    }
                    nodes.push(Node::Not { parts, pointer: at });
                }
                "when" => nodes.extend(self.when(value, at)),
                _ => self.fact(key, value, at, &mut nodes),
            }
        }
        self.check_sugar_range(map, pointer);
        nodes
    }

    /// Parses the objects of `all` and `any`.
    fn list(&mut self, value: &Value, pointer: &str, depth: usize) -> Vec<Node> {
        let Value::Array(items) = value else {
            self.errors.push(
                pointer,
                "type",
                format!("must be a list of conditions, is {}", type_name(value)),
            );
            return Vec::new();
        };
        let parts = items.iter().enumerate();
        parts
            .map(|(index, item)| Node::All(self.object(item, &child(pointer, index), depth + 1)))
            .collect()
    }

    fn when(&mut self, value: &Value, pointer: String) -> Option<Node> {
        let Value::String(source) = value else {
            self.errors.push(
                pointer,
                "type",
                format!("must be a formula in a text, is {}", type_name(value)),
            );
            return None;
        };
        self.count(&pointer)?;
        match Predicate::parse(source, self.catalogue) {
            Ok(predicate) => Some(Node::When {
                predicate,
                pointer,
                source: source.clone(),
            }),
            Err(error) => {
                self.errors.push(pointer, "formula", error.to_string());
                None
            }
        }
    }

    /// Counts one more comparison. Returns `None`, and records an error, above the maximum.
    fn count(&mut self, pointer: &str) -> Option<()> {
        self.comparisons += 1;
        if self.comparisons == COMPARISONS_MAX + 1 {
            self.errors.push(
                pointer,
                "range",
                format!("a rule has at most {COMPARISONS_MAX} comparisons"),
            );
        }
        (self.comparisons <= COMPARISONS_MAX).then_some(())
    }

    /// A fact with exactly this name takes precedence over the suffixes `_min` and `_max`.
    fn key(&self, key: &str) -> Option<Key> {
        if let Some(id) = self.catalogue.id(key) {
            return Some(Key::Fact(id));
        }
        let min = key
            .strip_suffix("_min")
            .and_then(|fact| self.catalogue.id(fact))
            .map(Key::Min);
        min.or_else(|| {
            key.strip_suffix("_max")
                .and_then(|fact| self.catalogue.id(fact))
                .map(Key::Max)
        })
    }

    fn fact(&mut self, key: &str, value: &Value, at: String, nodes: &mut Vec<Node>) {
        let Some(key) = self.key(key) else {
            let fact = key
                .strip_suffix("_min")
                .or_else(|| key.strip_suffix("_max"))
                .unwrap_or(key);
            let guess = self.catalogue.nearest(key).or_else(|| self.catalogue.nearest(fact));
            let guess = guess.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            self.errors.push(at, "unknown", format!("unknown fact {fact}{guess}"));
            return;
        };
        match (key, value) {
            (Key::Fact(fact), Value::Object(tests)) => self.tests(fact, tests, &at, nodes),
            (Key::Fact(fact), value) => {
                let test = self.constants(fact, value, &at).map(Test::AnyOf);
                self.compare(fact, test, value, at, nodes);
            }
            (Key::Min(fact), value) => {
                let test = self.bound(fact, value, &at).map(Test::Min);
                self.compare(fact, test, value, at, nodes);
            }
            (Key::Max(fact), value) => {
                let test = self.bound(fact, value, &at).map(Test::Max);
                self.compare(fact, test, value, at, nodes);
            }
        }
    }

    /// Parses `{"min", "max", "equals", "in", "not", "exists"}` of one fact.
    fn tests(&mut self, fact: FactId, tests: &Map<String, Value>, pointer: &str, nodes: &mut Vec<Node>) {
        if tests.is_empty() {
            self.errors
                .push(pointer, "required", "must contain min, max, equals, in, not or exists");
        }
        for (name, value) in tests {
            let at = child(pointer, name);
            let test = match (name.as_str(), value) {
                ("min", value) => self.bound(fact, value, &at).map(Test::Min),
                ("max", value) => self.bound(fact, value, &at).map(Test::Max),
                ("equals", value) => self
                    .constant(fact, value, &at)
                    .map(|constant| Test::AnyOf(vec![constant])),
                ("in", Value::Array(_)) => self.constants(fact, value, &at).map(Test::AnyOf),
                ("in", other) => self.wrong_type(&at, "a list", other),
                ("not", value) => self.constants(fact, value, &at).map(Test::NoneOf),
                ("exists", Value::Bool(exists)) => Some(Test::Exists(*exists)),
                ("exists", other) => self.wrong_type(&at, "true or false", other),
                _ => {
                    self.errors
                        .push(&at, "unknown", "is not one of min, max, equals, in, not, exists");
                    None
                }
            };
            self.compare(fact, test, value, at, nodes);
        }
        self.check_range(tests.get("min"), tests.get("max"), &child(pointer, "min"));
    }

    fn wrong_type(&mut self, pointer: &str, expected: &str, value: &Value) -> Option<Test> {
        self.errors
            .push(pointer, "type", format!("must be {expected}, is {}", type_name(value)));
        None
    }

    fn compare(&mut self, fact: FactId, test: Option<Test>, expected: &Value, pointer: String, nodes: &mut Vec<Node>) {
        let Some(test) = test else { return };
        if self.count(&pointer).is_some() {
            nodes.push(Node::Compare {
                fact,
                test,
                pointer,
                expected: expected.clone(),
            });
        }
    }

    fn bound(&mut self, fact: FactId, value: &Value, pointer: &str) -> Option<Decimal> {
        let def = self.catalogue.def(fact);
        if def.fact_type != FactType::Number {
            self.errors.push(
                pointer,
                "type",
                format!(
                    "{} is a {}; only numbers have a minimum or a maximum",
                    def.name, def.fact_type
                ),
            );
            return None;
        }
        read_decimal(value, pointer, ANY_NUMBER, self.errors)
    }

    fn constant(&mut self, fact: FactId, value: &Value, pointer: &str) -> Option<Constant> {
        let def = self.catalogue.def(fact);
        match (def.fact_type, value) {
            (FactType::Number, value) => read_decimal(value, pointer, ANY_NUMBER, self.errors).map(Constant::Number),
            (FactType::Flag, Value::Bool(flag)) => Some(Constant::Flag(*flag)),
            (FactType::Text, Value::String(text)) => {
                let doubted = self.checks == Checks::Save || def.source != FactSource::Tier;
                if let Some(kind) = not_a_value(self.catalogue, fact, text).filter(|_| doubted) {
                    self.errors.push(pointer, "unknown", kind.to_string());
                    return None;
                }
                Some(Constant::Text(text.clone()))
            }
            (expected, other) => {
                self.errors.push(
                    pointer,
                    "type",
                    format!("{} is a {expected}; this is {}", def.name, type_name(other)),
                );
                None
            }
        }
    }

    /// Parses a value, or a list of values.
    fn constants(&mut self, fact: FactId, value: &Value, pointer: &str) -> Option<Vec<Constant>> {
        let Value::Array(items) = value else {
            return Some(vec![self.constant(fact, value, pointer)?]);
        };
        if items.is_empty() {
            self.errors
                .push(pointer, "range", "an empty list has no value to compare with");
            return None;
        }
        let constants = items
            .iter()
            .enumerate()
            .map(|(index, item)| self.constant(fact, item, &child(pointer, index)));
        constants.collect::<Vec<_>>().into_iter().collect()
    }

    /// Reports `f_min` above `f_max` in one object, which can never hold.
    fn check_sugar_range(&mut self, map: &Map<String, Value>, pointer: &str) {
        for (key, min) in map {
            if let (Some(Key::Min(_)), Some(fact)) = (self.key(key), key.strip_suffix("_min")) {
                self.check_range(Some(min), map.get(&format!("{fact}_max")), &child(pointer, key));
            }
        }
    }

    fn check_range(&mut self, min: Option<&Value>, max: Option<&Value>, pointer: &str) {
        let number = |value: Option<&Value>| value.and_then(|value| decimal(value, ANY_NUMBER.scale).ok());
        if let (Some(min), Some(max)) = (number(min), number(max))
            && min > max
        {
            self.errors.push(
                pointer,
                "range",
                format!("the minimum {min} is above the maximum {max}"),
            );
        }
    }
}

/// Bounds of a number in a condition: either sign, 15 integer digits, 10 decimal places.
const ANY_NUMBER: Bounds = Bounds {
    min: Decimal::MIN,
    max: None,
    scale: 10,
};
