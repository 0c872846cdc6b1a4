//! The rules in the expressions of zen-engine, evaluated without the engine.

use std::collections::BTreeMap;

use domain::facts::{Catalogue, FactId, FactValue, Facts};
use domain::rule::Rule;
use rust_decimal::Decimal;
use serde_json::Value;
use zen_expression::expression::Standard;
use zen_expression::variable::VariableMap;
use zen_expression::vm::VM;
use zen_expression::{Expression, Scope, Variable, compile_expression};

/// What a rule asks of each fact: `>= 100`, `"VIP"`, `[7..30]`.
pub type Cells = BTreeMap<String, String>;

/// The forms of the sample: `f: text`, `f_min`, `f_max`, `f: {min, max}`.
pub fn cells(rule: &Rule) -> Cells {
    let mut bounds: BTreeMap<String, (Option<String>, Option<String>)> = BTreeMap::new();
    let mut cells = Cells::new();
    for (key, value) in rule.definition()["conditions"].as_object().expect("an object") {
        match value {
            Value::String(text) => _ = cells.insert(key.clone(), format!("\"{text}\"")),
            Value::Object(tests) => {
                assert!(tests.keys().all(|test| test == "min" || test == "max"), "{tests:?}");
                let bound = |name: &str| tests.get(name).map(Value::to_string);
                bounds.insert(key.clone(), (bound("min"), bound("max")));
            }
            Value::Number(number) => match (key.strip_suffix("_min"), key.strip_suffix("_max")) {
                (Some(fact), _) => bounds.entry(fact.to_owned()).or_default().0 = Some(number.to_string()),
                (_, Some(fact)) => bounds.entry(fact.to_owned()).or_default().1 = Some(number.to_string()),
                _ => panic!("{key} is of no form of the sample"),
            },
            other => panic!("{key}: {other} is of no form of the sample"),
        }
    }
    for (fact, bound) in bounds {
        let cell = match bound {
            (Some(min), Some(max)) => format!("[{min}..{max}]"),
            (Some(min), None) => format!(">= {min}"),
            (None, Some(max)) => format!("<= {max}"),
            (None, None) => continue,
        };
        cells.insert(fact, cell);
    }
    cells
}

/// The amount within its limit and rounded down; a fixed one needs neither.
pub fn amount(rule: &Rule) -> String {
    let config = &rule.definition()["reward_config"];
    let Some(formula) = config["formula"].as_str() else {
        return config["amount"].to_string();
    };
    let most = &config["max_amount"];
    assert!(most.is_number() && config["min_amount"].is_null() && rule.reward.reward_type.asset().scale() == 2);
    format!("floor(min([{formula}, {most}]) * 100) / 100")
}

/// A condition and an amount for each rule, compiled once.
pub struct Expressions(Vec<(Expression<Standard>, Expression<Standard>)>);

impl Expressions {
    pub fn new(rules: &[&Rule]) -> Self {
        let compile = |source: &str| compile_expression(source).unwrap_or_else(|error| panic!("{source}: {error}"));
        let condition = |rule: &Rule| {
            let terms = cells(rule).into_iter().map(|(fact, cell)| match cell.as_bytes()[0] {
                b'"' => format!("{fact} == {cell}"),
                b'[' => format!("{fact} in {cell}"),
                _ => format!("{fact} {cell}"),
            });
            terms.collect::<Vec<_>>().join(" and ")
        };
        Self(
            rules
                .iter()
                .map(|rule| (compile(&condition(rule)), compile(&amount(rule))))
                .collect(),
        )
    }

    /// Places of the rules that match, and their amounts. A comparison with null is an error, which does not match.
    pub fn evaluate(&self, facts: &Variable, vm: &mut VM) -> Vec<(usize, Decimal)> {
        let scope = Scope::new(facts.clone());
        let mut matched = Vec::new();
        for (place, (condition, amount)) in self.0.iter().enumerate() {
            if matches!(condition.evaluate_with_scope(&scope, vm), Ok(Variable::Bool(true)))
                && let Ok(Variable::Number(amount)) = amount.evaluate_with_scope(&scope, vm)
            {
                matched.push((place, amount));
            }
        }
        matched
    }
}

/// The facts that the rules read, as the engine takes them: without a detour through JSON.
pub fn variable(facts: &Facts<'_>, read: &[FactId], catalogue: &Catalogue) -> Variable {
    let mut map = VariableMap::with_capacity(read.len());
    for fact in read {
        let value = match facts.get(*fact) {
            None => Variable::Null,
            Some(FactValue::Number(number)) => Variable::Number(number),
            Some(FactValue::Text(text)) => Variable::String(text.into()),
            Some(FactValue::Flag(flag)) => Variable::Bool(flag),
        };
        map.insert(catalogue.def(*fact).name.as_str().into(), value);
    }
    Variable::from_object(map)
}
