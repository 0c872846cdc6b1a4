//! The language of rules and the gates, against the numbers of the domain and hand-worked cases.
#![allow(clippy::unwrap_used)] // the helpers of tests are not `#[test]` functions

mod conditions;
mod evaluation;
mod explanations;
mod formulas;
mod gates;
mod ruin;
mod rule_errors;
mod sample;
mod support;
