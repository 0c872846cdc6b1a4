//! Compares the closed form of the stake before ruin with the exact dynamic program, and checks it over its range.

use domain::bonus::GrantTerms;
use domain::gate::cost::CostModel;
use domain::gate::ruin::{Run, expected_bets_exact, expected_stake};
use domain::settings::ProfitSettings;
use proptest::prelude::*;
use rust_decimal::Decimal;

fn even_money(balance: f64, bet: f64, requirement: f64, edge: f64) -> Run {
    Run {
        balance,
        bet,
        requirement,
        edge,
        bet_sd: (1.0 - edge * edge).sqrt(),
    }
}

/// Balances of at least 10 bets: below that, a bet is too large for the diffusion approximation.
#[test]
fn the_closed_form_is_within_half_a_per_cent_of_the_exact_stake() {
    let mut cases = 0;
    for (edge, bet) in [
        (0.0, 1.0),
        (0.005, 2.5),
        (0.01, 10.0),
        (0.02, 1.0),
        (1.0 / 37.0, 10.0),
        (0.05, 0.5),
        (0.1, 1.0),
    ] {
        for balance in [10_u32, 12, 16, 20, 30, 50, 80, 120] {
            for bets in [1_u32, 2, 5, 10, 20, 40]
                .map(|multiple| balance * multiple)
                .into_iter()
                .filter(|bets| *bets <= 1_000)
            {
                let exact = expected_bets_exact(balance, bets, edge) * bet;
                let run = even_money(f64::from(balance) * bet, bet, f64::from(bets) * bet, edge);
                let closed = expected_stake(&run);
                assert!(
                    (closed / exact - 1.0).abs() < 0.005,
                    "{run:?}: {closed}, exactly {exact}"
                );
                cases += 1;
            }
        }
    }
    assert!(cases >= 200, "{cases} cases");
}

/// Cases outside the tolerance of 0.5 %. The stake errs low, so the cost errs high, which is the safe side.
#[test]
fn with_less_than_ten_bets_of_money_the_closed_form_errs_low() {
    for edge in [0.005, 1.0 / 37.0, 0.05] {
        for balance in 1_u32..10 {
            for multiple in [1_u32, 2, 3, 5, 10, 20, 40] {
                let exact = expected_bets_exact(balance, balance * multiple, edge);
                let run = even_money(f64::from(balance), 1.0, f64::from(balance * multiple), edge);
                let error = expected_stake(&run) / exact - 1.0;
                let most = if multiple < 5 { 0.16 } else { 0.025 };
                assert!(-most < error && error < 0.0, "{run:?}: {error}");
            }
        }
    }
}

#[test]
fn the_exact_stake_falls_as_the_bets_grow() {
    for edge in [0.0, 1.0 / 37.0, 0.1] {
        let stakes = [1_u32, 2, 3, 4, 6, 8, 12, 24]
            .map(|bet| expected_bets_exact(240 / bet, 2_400 / bet, edge) * f64::from(bet));
        assert!(
            stakes.is_sorted_by(|small, large| small > large),
            "{stakes:?} at {edge}"
        );
    }
}

#[test]
fn the_textbook_cost_has_the_wrong_sign_where_the_money_runs_out() {
    // Bonus 10, 500 to stake at edge 1/37 in bets of 1: the textbook formula gives −3.51; the exact value is 4.38.
    let kept = |stake: f64| 10.0 - stake / 37.0;
    assert!((kept(500.0) + 3.5135).abs() < 5e-5);
    assert!((kept(expected_bets_exact(10, 500, 1.0 / 37.0)) - 4.3751).abs() < 5e-5);
    assert!((kept(expected_stake(&even_money(10.0, 1.0, 500.0, 1.0 / 37.0))) - 4.3751).abs() < 0.03);
}

/// From 10^low to 10^high.
fn magnitude(low: f64, high: f64) -> impl Strategy<Value = f64> {
    (low..high).prop_map(|exponent| 10_f64.powf(exponent))
}

prop_compose! {
    fn any_run()(
        balance in magnitude(-4.0, 15.0),
        bet in magnitude(-4.0, 15.0),
        requirement in magnitude(-4.0, 18.0),
        edge in prop_oneof![Just(0.0), magnitude(-12.0, 0.0)],
        bet_sd in prop_oneof![Just(0.0), magnitude(-6.0, 6.0)],
    ) -> Run {
        Run { balance, bet, requirement, edge, bet_sd }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(5_000))]

    #[test]
    fn the_closed_form_is_finite_everywhere(run in any_run()) {
        let stake = expected_stake(&run);
        prop_assert!(stake.is_finite() && stake >= 0.0 && stake <= run.requirement, "{}", stake);
        // At most what the edge can take from the balance.
        prop_assert!(stake * run.edge <= run.balance * (1.0 + 1e-9), "{}", stake);
    }

    #[test]
    fn larger_bets_end_sooner(run in any_run(), factor in 1.0..100.0_f64) {
        let larger = Run { bet: run.bet * factor, ..run };
        let (small, large) = (expected_stake(&run), expected_stake(&larger));
        // Floats differ in the last digits; with a tiny edge, also those of the mean.
        let noise = small * 1e-7 + run.requirement * 1e-8;
        prop_assert!(large <= small + noise, "{small} with {}, {large} with {}", run.bet, larger.bet);
    }

    /// For requirements that cost less than the bonus (`multiplier × edge` at most 1).
    #[test]
    fn a_larger_bonus_costs_more(
        cents in 1_i64..10_000_000,
        more in 1_i64..10_000_000,
        multiplier in 0_i64..20,
        bet_cents in prop::option::of(1_i64..100_000),
    ) {
        let terms = GrantTerms {
            wagering_requirement: Decimal::from(multiplier),
            max_bet: bet_cents.map(|cents| Decimal::new(cents, 2)),
            ..GrantTerms::default()
        };
        let model = CostModel::bonus(&terms, Decimal::ZERO, None, &ProfitSettings::default());
        let cost = |cents| model.cost(Decimal::new(cents, 2)).unwrap();
        let (less, more) = (cost(cents), cost(cents + more));
        prop_assert!(less <= more, "{less} for {cents} cents, {more} for more");
        prop_assert!(less >= Decimal::ZERO && less <= Decimal::new(cents, 2));
    }
}
