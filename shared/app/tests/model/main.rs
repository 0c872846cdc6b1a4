//! Random sequences of all operations that change the books, compared with an in-memory model; the audit runs after
//! each operation.
//!
//! The model knows what was accepted, and plays all of it again from the beginning after each operation: see
//! `timeline.rs`. Compared are the answers, the wallets, and of each bonus, over its chain of corrections, status, reason,
//! balance, wagering and cash. Read from the program, not predicted: which bonuses have a successor, and which kinds of
//! transactions there are. Totals, days and the payments announced to the cashier are left to the audit and to the
//! property of `domain`.
//!
//! `LOYALTY_MODEL_SEQUENCES` sets their number (default 2,000), `LOYALTY_MODEL_SEED` the seed. A failing sequence is
//! shrunk and printed with its seed: add it to `regressions.rs`.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod commands;
mod model;
mod operations;
mod perform;
mod play;
mod points;
mod regressions;
mod run;
mod timeline;
mod world;

use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use run::Sequences;
use std::time::Instant;

const SEQUENCES: u32 = 2_000;
/// Tests that run concurrently, each with its own database and seed.
const TESTS: u32 = 4;
/// Time limit for shrinking a failing sequence.
const SHRINK_MS_MAX: u32 = 60_000;

fn from_environment<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().map_or(default, |text| {
        text.parse()
            .ok()
            .unwrap_or_else(|| panic!("{name} is not a number: {text:?}"))
    })
}

/// Runs this test's share of the sequences.
fn agree(test: u32) {
    let sequences = from_environment("LOYALTY_MODEL_SEQUENCES", SEQUENCES).div_ceil(TESTS);
    let seed = from_environment("LOYALTY_MODEL_SEED", 1_u64);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&test.to_le_bytes());
    let config = Config {
        cases: sequences,
        failure_persistence: None,
        max_shrink_iters: u32::MAX,
        max_shrink_time: SHRINK_MS_MAX,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let under_test = Sequences::new();
    let started = Instant::now();
    let result = runner.run(&operations::sequence(), |operations| {
        under_test.run(&operations).map_err(TestCaseError::fail)
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, operations)) => {
            panic!(
                "LOYALTY_MODEL_SEED={seed}, test {test}: {reason}\nthe shortest sequence that does it:\n{operations:?}"
            )
        }
        Err(error) => panic!("LOYALTY_MODEL_SEED={seed}, test {test}: {error}"),
    }
    let seen = under_test.seen();
    println!(
        "test {test}: {sequences} sequences in {:.1} s: {seen:?}",
        started.elapsed().as_secs_f64()
    );
    if sequences >= SEQUENCES / TESTS {
        let missing: Vec<_> = run::EXPECTED.iter().filter(|what| !seen.contains_key(**what)).collect();
        assert!(missing.is_empty(), "no sequence came to {missing:?}");
    }
}

#[test]
fn every_operation_answers_and_leaves_what_the_model_says_1() {
    agree(1);
}

#[test]
fn every_operation_answers_and_leaves_what_the_model_says_2() {
    agree(2);
}

#[test]
fn every_operation_answers_and_leaves_what_the_model_says_3() {
    agree(3);
}

#[test]
fn every_operation_answers_and_leaves_what_the_model_says_4() {
    agree(4);
}
