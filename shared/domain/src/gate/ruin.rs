//! The expected stake before a wagering requirement is met or the money is gone.
//!
//! The only module that computes with floats: for estimates of an expectation, never for amounts. Callers round the
//! result to a decimal.
#![allow(clippy::float_arithmetic)]

use libm::{ceil, erfc, exp, floor, round, sqrt};
use rust_decimal::prelude::ToPrimitive;
use std::f64::consts::{PI, SQRT_2};

/// A series of stakes of one size, in money.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Run {
    /// Money at the start, > 0.
    pub balance: f64,
    /// Size of a stake, > 0.
    pub bet: f64,
    /// Money to stake, > 0.
    pub requirement: f64,
    /// Share of a stake lost on average, 0 to 1.
    pub edge: f64,
    /// Standard deviation of one bet, in bets; 0 or more.
    pub bet_sd: f64,
}

/// Below this value of `requirement / (balance / edge)` the edge has no noticeable effect, and the closed form
/// would subtract nearly equal numbers.
const DRIFT_MIN: f64 = 1e-7;
/// Above this value the money certainly outlasts its expected end, or is certainly gone by then.
const SHAPE_MAX: f64 = 1e12;

/// `E[min(τ, W)]`, with τ the money staked until ruin: inverse Gaussian with mean `m = balance / edge` and
/// shape `λ = balance² / (bet_sd² · bet)`, the first passage of a Brownian motion with drift.
///
/// With `a = sqrt(λ/W)` and `p = W/m`: `A = Φ(a(p − 1))`, `C = e^(2λ/m)·Φ(−a(p + 1))`, and
/// `E = m(A − C) + W(1 − A − C)`. In `C` the exponential overflows while Φ underflows; with the scaled
/// `erfcx(z) = e^(z²)·erfc(z)` it is `½·erfcx(a(p + 1)/√2)·e^(−a²(p − 1)²/2)`, which does neither.
///
/// Finite, at least 0 and at most `min(W, m)` for any positive input.
pub fn expected_stake(run: &Run) -> f64 {
    let Run {
        balance,
        bet,
        requirement,
        edge,
        bet_sd,
    } = *run;
    if balance <= 0.0 || requirement <= 0.0 {
        return 0.0;
    }
    let drift = (requirement * edge.max(0.0) / balance).max(DRIFT_MIN); // p = W/m
    let mean = requirement / drift;
    let most = requirement.min(mean);
    let shape = (balance / requirement) * (balance / bet) / (bet_sd * bet_sd); // a² = λ/W
    if shape.is_nan() {
        return most;
    }
    let shape = shape.min(SHAPE_MAX);
    let a = sqrt(shape);
    let ruined_by_drift = normal_cdf(a * (drift - 1.0));
    let reflected = 0.5 * erfcx(a * (drift + 1.0) / SQRT_2) * exp(-shape * (drift - 1.0) * (drift - 1.0) / 2.0);
    let expected = mean * (ruined_by_drift - reflected) + requirement * (1.0 - ruined_by_drift - reflected);
    if expected.is_finite() {
        expected.clamp(0.0, most)
    } else {
        most
    }
}

fn normal_cdf(z: f64) -> f64 {
    0.5 * erfc(-z / SQRT_2)
}

/// `e^(z²)·erfc(z)` for `z >= 0`: falls from 1 towards `1/(z√π)`.
fn erfcx(z: f64) -> f64 {
    const ASYMPTOTIC_FROM: f64 = 20.0; // there the next term is below 1e-11, and e^(z²) is still finite
    if z < ASYMPTOTIC_FROM {
        return exp(z * z) * erfc(z);
    }
    let q = 1.0 / (2.0 * z * z);
    (1.0 - q * (1.0 - 3.0 * q * (1.0 - 5.0 * q * (1.0 - 7.0 * q)))) / (z * sqrt(PI))
}

/// The same expectation, computed exactly for even-money bets of one unit: `balance` and `bets` are whole numbers
/// of bets, and a bet is won with probability `(1 − edge)/2`. The oracle for tests of [`expected_stake`], in bets.
///
/// Takes `bets × min(bets, balance + bets)` steps.
pub fn expected_bets_exact(balance: u32, bets: u32, edge: f64) -> f64 {
    let win = (1.0 - edge) / 2.0;
    let lose = 1.0 - win;
    let width = usize::try_from(balance.saturating_add(bets)).map_or(2, |highest| highest + 2);
    let start = usize::try_from(balance).unwrap_or(0);
    // alive[k]: probability that the money is k bets and was never gone. Index 0, ruin, stays empty.
    let mut alive = vec![0.0; width];
    let mut next = vec![0.0; width];
    if start > 0 {
        alive[start] = 1.0;
    }
    let (mut low, mut high) = (start.max(1), start.max(1));
    let mut expected = 0.0;
    for _ in 0..bets {
        expected += alive[low..=high].iter().sum::<f64>();
        (low, high) = (low.saturating_sub(1).max(1), (high + 1).min(width - 2));
        for k in low..=high {
            next[k] = alive[k - 1] * win + alive[k + 1] * lose;
        }
        std::mem::swap(&mut alive, &mut next);
    }
    expected
}

/// Maximum number of steps of [`expected_stake_exact`]: some milliseconds.
pub const EXACT_STEPS_MAX: u64 = 5_000_000;

/// The result of the exact dynamic program.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ExactStake {
    /// Expected stake, in money.
    pub stake: f64,
    /// The stake size used.
    pub bet: f64,
    /// Standard deviation of an even-money bet, `sqrt(1 − edge²)`.
    pub bet_sd: f64,
}

/// The expectation of [`expected_stake`], computed exactly for even money with [`expected_bets_exact`]. Uses the
/// bet size nearest to the run's of which the balance holds a whole number; the last stake is the rest of the
/// requirement. Ignores the run's `bet_sd`.
///
/// Returns `None` if it would take more than [`EXACT_STEPS_MAX`] steps: bets to place × (bets of money + bets to
/// place).
pub fn expected_stake_exact(run: &Run) -> Option<ExactStake> {
    let Run {
        balance,
        bet,
        requirement,
        edge,
        ..
    } = *run;
    let units = round(balance / bet).max(1.0);
    let bet = balance / units;
    let bets = requirement / bet;
    let last = bets - floor(bets);
    let (units, placed, most) = (units.to_u32()?, floor(bets).to_u32()?, ceil(bets).to_u32()?);
    if u64::from(most) * (u64::from(units) + u64::from(most)) > EXACT_STEPS_MAX {
        return None;
    }
    let whole = expected_bets_exact(units, placed, edge);
    let expected = if most > placed {
        whole + last * (expected_bets_exact(units, most, edge) - whole)
    } else {
        whole
    };
    Some(ExactStake {
        stake: expected * bet,
        bet,
        bet_sd: sqrt(1.0 - edge * edge),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn even_money(balance: f64, bet: f64, requirement: f64, edge: f64) -> Run {
        Run {
            balance,
            bet,
            requirement,
            edge,
            bet_sd: sqrt(1.0 - edge * edge),
        }
    }

    #[test]
    fn the_dynamic_program_gives_the_table_of_the_domain() {
        for (balance, bet, requirement, expected) in [
            (20, 10.0, 100, 981.2533),
            (20, 10.0, 300, 2480.6710),
            (10, 1.0, 500, 208.1230),
        ] {
            let stake = expected_bets_exact(balance, requirement, 1.0 / 37.0) * bet;
            assert!((stake - expected).abs() < 5e-5, "{stake} instead of {expected}");
        }
    }

    #[test]
    fn the_closed_form_is_within_half_a_per_cent_of_the_table() {
        for (x, b, w, exact) in [
            (200.0, 10.0, 1000.0, 981.2533),
            (200.0, 10.0, 3000.0, 2480.6710),
            (10.0, 1.0, 500.0, 208.1230),
        ] {
            let stake = expected_stake(&even_money(x, b, w, 1.0 / 37.0));
            assert!((stake / exact - 1.0).abs() < 0.005, "{stake} instead of {exact}");
        }
    }

    #[test]
    fn a_run_in_money_gives_the_table_of_the_domain() {
        for (x, b, w, expected) in [
            (200.0, 10.0, 1000.0, 981.2533),
            (200.0, 10.0, 3000.0, 2480.6710),
            (10.0, 1.0, 500.0, 208.1230),
        ] {
            // `bet_sd` does not matter: the bets are even money.
            let exact = expected_stake_exact(&Run {
                bet_sd: 5.0,
                ..even_money(x, b, w, 1.0 / 37.0)
            })
            .unwrap();
            assert!((exact.stake - expected).abs() < 5e-5, "{exact:?} instead of {expected}");
            assert_eq!((exact.bet, exact.bet_sd), (b, sqrt(1.0 - 1.0 / 37.0 / 37.0)));
        }
    }

    #[test]
    fn the_balance_is_a_whole_number_of_bets_and_the_last_stake_is_what_is_left() {
        // A bet size of 7 becomes 6.67, so that three bets are 20. Requirement: three and a half bets. With money
        // for three, two survive unless all are lost.
        let exact = expected_stake_exact(&even_money(20.0, 7.0, 20.0 / 3.0 * 3.5, 0.0)).unwrap();
        assert_eq!(exact.bet, 20.0 / 3.0);
        assert!(
            (exact.stake - 20.0 / 3.0 * (3.0 + 0.5 * 7.0 / 8.0)).abs() < 1e-12,
            "{exact:?}"
        );
        // A bet above the balance is the whole balance: placed, and placed again if it was won.
        let exact = expected_stake_exact(&even_money(5.0, 100.0, 10.0, 0.5)).unwrap();
        assert_eq!((exact.bet, exact.stake), (5.0, 6.25));
        assert_eq!(
            expected_stake_exact(&even_money(5.0, 1.0, 0.0, 0.5)).unwrap().stake,
            0.0
        );
    }

    #[test]
    fn a_run_that_takes_too_many_steps_is_not_computed() {
        // 2,211 × (50 + 2,211) is just below 5 million, 2,212 × 2,262 above.
        assert!(expected_stake_exact(&even_money(50.0, 1.0, 2_211.0, 0.05)).is_some());
        assert!(expected_stake_exact(&even_money(50.0, 1.0, 2_212.0, 0.05)).is_none());
        for (balance, bet, requirement) in [(1e15, 1e-4, 1.0), (1.0, 1e-4, 1e22), (1e-12, 1e22, 1e22)] {
            assert!(expected_stake_exact(&even_money(balance, bet, requirement, 0.05)).is_none());
        }
    }

    #[test]
    fn small_cases_of_the_dynamic_program_by_hand() {
        // Money for one bet: the first is always placed, the second only if the first was won.
        assert_eq!(expected_bets_exact(1, 1, 0.5), 1.0);
        assert_eq!(expected_bets_exact(1, 2, 0.5), 1.25);
        // Third bet: after win-win or win-loss there is money left, 1/4; so 1 + 1/4 + 1/4.
        assert_eq!(expected_bets_exact(1, 3, 0.5), 1.5);
        assert_eq!(expected_bets_exact(5, 5, 0.0), 5.0);
    }

    #[test]
    fn erfcx_is_continuous_where_the_series_begins() {
        let below = erfcx(20.0 - 1e-12);
        assert!((below / erfcx(20.0) - 1.0).abs() < 1e-10, "{below} and {}", erfcx(20.0));
        assert!((erfcx(0.0) - 1.0).abs() < 1e-15);
        assert!((erfcx(1.0) - 0.427_583_576_155_807).abs() < 1e-14);
        assert!(erfcx(1e300).is_finite());
    }

    #[test]
    fn extreme_runs_stay_finite() {
        let sizes = [1e-12, 1e-4, 1.0, 1e6, 1e15, 1e22];
        for balance in sizes {
            for bet in sizes {
                for requirement in sizes {
                    for edge in [0.0, 1e-12, 0.005, 0.05, 1.0] {
                        for bet_sd in [0.0, 1e-6, 1.0, 5.0, 1e9] {
                            let run = Run {
                                balance,
                                bet,
                                requirement,
                                edge,
                                bet_sd,
                            };
                            let stake = expected_stake(&run);
                            assert!(
                                stake.is_finite() && stake >= 0.0 && stake <= requirement,
                                "{run:?}: {stake}"
                            );
                        }
                    }
                }
            }
        }
    }
}
