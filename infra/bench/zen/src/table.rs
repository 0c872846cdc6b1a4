//! The rules as a decision table of zen-engine, of which all rows that match are wanted.

use std::collections::BTreeSet;

use domain::rule::Rule;
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;
use zen_engine::Decision;
use zen_engine::model::GraphContent;
use zen_expression::Variable;

use crate::other::{amount, cells};

/// Compiled and indexed once.
pub struct Table {
    decision: Decision,
    runtime: Runtime,
}

impl Table {
    pub fn new(rules: &[&Rule]) -> Self {
        let content: GraphContent = serde_json::from_value(graph(rules)).expect("a decision model");
        let mut decision = Decision::from(content);
        decision.validate().expect("a graph");
        decision.compile();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("a runtime");
        Self { decision, runtime }
    }

    /// Places of the rules that match, and their amounts.
    pub fn evaluate(&self, facts: &Variable) -> Vec<(usize, Decimal)> {
        let response = self
            .runtime
            .block_on(self.decision.evaluate(facts.clone()))
            .expect("a decision");
        let rows = response.result.as_array().expect("a list of rows");
        let rows = rows.borrow();
        rows.iter().map(row).collect()
    }
}

fn row(row: &Variable) -> (usize, Decimal) {
    let number = |field| match row.dot(field) {
        Some(Variable::Number(number)) => number,
        other => panic!("{field}: {other:?}"),
    };
    (number("place").to_usize().expect("a place"), number("amount"))
}

/// Facts in, a table with a column for each fact that a rule asks for, the rows that match out.
fn graph(rules: &[&Rule]) -> Value {
    let facts: BTreeSet<String> = rules.iter().flat_map(|rule| cells(rule).into_keys()).collect();
    let inputs: Vec<Value> = facts
        .iter()
        .map(|fact| json!({"id": fact, "name": fact, "field": fact}))
        .collect();
    let outputs = ["place", "amount"].map(|field| json!({"id": field, "name": field, "field": field}));
    let rows: Vec<Value> = rules
        .iter()
        .enumerate()
        .map(|(place, rule)| table_row(place, rule))
        .collect();
    json!({
        "nodes": [
            {"id": "in", "name": "in", "type": "inputNode"},
            {"id": "table", "name": "table", "type": "decisionTableNode",
             "content": {"hitPolicy": "collect", "inputs": inputs, "outputs": outputs, "rules": rows}},
            {"id": "out", "name": "out", "type": "outputNode"}
        ],
        "edges": [
            {"id": "1", "sourceId": "in", "targetId": "table"},
            {"id": "2", "sourceId": "table", "targetId": "out"}
        ]
    })
}

fn table_row(place: usize, rule: &Rule) -> Value {
    let mut row: Map<String, Value> = cells(rule)
        .into_iter()
        .map(|(fact, cell)| (fact, cell.into()))
        .collect();
    row.insert("place".to_owned(), place.to_string().into());
    row.insert("amount".to_owned(), amount(rule).into());
    row.into()
}
