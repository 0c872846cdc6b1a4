//! Play in any order: the outcome of events is that of the order in which they happened, whatever the order, the batches
//! and the repetitions in which they arrive.
//!
//! `LOYALTY_PLAY_HISTORIES` sets the number of random histories (default 50,000), `LOYALTY_PLAY_SEED` the seed. A failing
//! history is shrunk and printed with its seed.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod audit;
mod cases;
mod delivery;
mod history;
mod instants;
mod world;

use delivery::Feature;
use domain::settings::Settings;
use proptest::collection::vec;
use proptest::prelude::any;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Instant;
use world::Casino;

const HISTORIES: u32 = 50_000;
/// Tests that run concurrently, each with its own histories.
const TESTS: u32 = 4;
const STEPS: RangeInclusive<usize> = 10..=20;
/// Time limit for shrinking a failing history.
const SHRINK_MS_MAX: u32 = 20_000;

fn from_environment<T: std::str::FromStr>(name: &str, default: T) -> T {
    std::env::var(name).ok().map_or(default, |text| {
        text.parse()
            .ok()
            .unwrap_or_else(|| panic!("{name} is not a number: {text:?}"))
    })
}

/// Windows wide enough for every history.
fn casino() -> Casino {
    let mut settings = Settings::default();
    (settings.activity.play_window_days, settings.activity.event_age_days_max) = (90, 90);
    Casino::new(settings)
}

/// Tries this test's share of the histories.
fn agree(test: u32) {
    let histories = from_environment("LOYALTY_PLAY_HISTORIES", HISTORIES).div_ceil(TESTS);
    let seed = from_environment("LOYALTY_PLAY_SEED", 1_u64);
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    bytes[8..12].copy_from_slice(&test.to_le_bytes());
    let config = Config {
        cases: histories,
        failure_persistence: None,
        max_shrink_iters: u32::MAX,
        max_shrink_time: SHRINK_MS_MAX,
        ..Config::default()
    };
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let casino = casino();
    let seen: RefCell<BTreeMap<Feature, u32>> = RefCell::default();
    let started = Instant::now();
    let result = runner.run(&vec(any::<u64>(), STEPS), |drawn| {
        let features = delivery::agree(&casino, &history::steps(&drawn)).map_err(TestCaseError::fail)?;
        for feature in features {
            *seen.borrow_mut().entry(feature).or_default() += 1;
        }
        Ok(())
    });
    match result {
        Ok(()) => {}
        Err(TestError::Fail(reason, drawn)) => {
            let steps: Vec<String> = history::steps(&drawn).iter().map(ToString::to_string).collect();
            let steps = steps.join("\n");
            panic!(
                "LOYALTY_PLAY_SEED={seed}, test {test}: {reason}\nthe shortest history that does it: {drawn:?}\n{steps}"
            )
        }
        Err(error) => panic!("LOYALTY_PLAY_SEED={seed}, test {test}: {error}"),
    }
    let seen = seen.into_inner();
    println!(
        "LOYALTY_PLAY_SEED={seed}, test {test}: {histories} histories in {:.1} s, of which {seen:?}",
        started.elapsed().as_secs_f64()
    );
    if histories >= HISTORIES / TESTS {
        for feature in [
            Feature::TwoVoids,
            Feature::RoundOverTwoGrants,
            Feature::ExpiryBetweenEvents,
        ] {
            let count = seen.get(&feature).copied().unwrap_or_default();
            assert!(
                10 * count >= 3 * histories,
                "{count} of {histories} histories hold {feature:?}"
            );
        }
    }
}

#[test]
fn play_is_the_same_in_any_order_of_arrival_1() {
    agree(1);
}

#[test]
fn play_is_the_same_in_any_order_of_arrival_2() {
    agree(2);
}

#[test]
fn play_is_the_same_in_any_order_of_arrival_3() {
    agree(3);
}

#[test]
fn play_is_the_same_in_any_order_of_arrival_4() {
    agree(4);
}

/// Histories that failed once.
#[test]
fn histories_that_failed_once_hold() {
    let casino = casino();
    for drawn in REGRESSIONS {
        delivery::agree(&casino, &history::steps(drawn)).unwrap();
    }
}

const REGRESSIONS: [&[u64]; 2] = [
    &[
        10750169408953384960,
        2888951864118738944,
        2091103281592926208,
        4042326315943067648,
        7531264022990028800,
        7903142666802561024,
        17149707381026848768,
        7205759403792793600,
        2060475507679080618,
        12198882596552504541,
        5291911073305148315,
        9005398778329195124,
        973733441176922266,
        17224577561291470038,
        8391467178231416458,
        14557825028648496558,
        11728729328260972548,
        14119395597343811666,
    ],
    &[
        3908980508851175424,
        431929312506019840,
        7628603529699000320,
        17149707381026848768,
        3613922977649262592,
        0,
        952536821080784896,
        551748597112054599,
        16599350230412143640,
        7774567676317327807,
        3047015411340885498,
        7790262268332234030,
        9496016125952874309,
        17416588902798195510,
        8418101952796835111,
        1524695836245958845,
        7789661523012412913,
        11229024748847190837,
    ],
];
