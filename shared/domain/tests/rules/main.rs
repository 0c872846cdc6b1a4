//! The rule language and the gates, against the figures of the specification and cases calculated by hand.
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
