//! The expected cost of a reward, in money.
//!
//! # Choices
//!
//! * The cost of a bonus ignores `max_conversion`, so it errs on the high side. From a balance of ten bets on, the
//!   closed form is within 0.5 % of the exact cost for even-money bets; below that it errs high.

use super::ruin::{EXACT_STEPS_MAX, Run, expected_stake, expected_stake_exact};
use crate::bonus::GrantTerms;
use crate::money::{Asset, MONEY_SCALE, Money, Plain, STORED_SCALE};
use crate::settings::{ProfitSettings, Settings};
use crate::text_enum;
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Serialize;
use std::borrow::Cow;

/// Computes the cost of any amount of one reward for one player.
#[derive(Debug, Clone, PartialEq)]
pub enum CostModel<'a> {
    /// Points and tickets: unit cost × expected redemption rate.
    PerUnit(Decimal),
    /// A bonus: what the player is expected to keep after wagering it.
    Wagered(WageredCost<'a>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct WageredCost<'a> {
    pub terms: Cow<'a, GrantTerms>,
    /// The deposit that is wagered with the bonus; 0 without one.
    pub deposit: Decimal,
    /// Stake size: the grant's `max_bet`, otherwise the player's average; `None`: 1/50 of the bonus.
    pub bet: Option<Decimal>,
    pub house_edge: Decimal,
    /// Standard deviation of one bet, in bets.
    pub bet_sd: Decimal,
}

/// Number of stakes per bonus if the bet size is unknown.
const BETS_PER_BONUS: i64 = 50;

impl<'a> CostModel<'a> {
    pub fn points(asset: Asset, settings: &Settings) -> Option<Self> {
        let unit = match asset {
            Asset::Lp => settings.unit_cost.lp,
            Asset::Rp => settings.unit_cost.rp,
            Asset::Tickets => settings.unit_cost.ticket,
            Asset::Bonus => Decimal::ONE,
        };
        unit.checked_mul(settings.unit_cost.redemption_rate).map(Self::PerUnit)
    }

    pub fn bonus(
        terms: &'a GrantTerms,
        deposit: Decimal,
        avg_bet_size: Option<Decimal>,
        settings: &ProfitSettings,
    ) -> Self {
        Self::Wagered(WageredCost::new(Cow::Borrowed(terms), deposit, avg_bet_size, settings))
    }

    /// Expected cost of `amount`: in cents for a bonus, rounded up to four decimal places for points and tickets.
    /// `None` on overflow.
    pub fn cost(&self, amount: Decimal) -> Option<Decimal> {
        match self {
            CostModel::PerUnit(unit) => amount
                .checked_mul(*unit)
                .map(|cost| cost.round_dp_with_strategy(STORED_SCALE, RoundingStrategy::AwayFromZero)),
            CostModel::Wagered(wagered) => wagered.cost(amount),
        }
    }
}

impl<'a> WageredCost<'a> {
    pub fn new(
        terms: Cow<'a, GrantTerms>,
        deposit: Decimal,
        avg_bet_size: Option<Decimal>,
        settings: &ProfitSettings,
    ) -> Self {
        let bet = terms.max_bet.or(avg_bet_size).filter(|bet| *bet > Decimal::ZERO);
        let house_edge = mix_edge(terms.eligible_games.as_deref(), settings);
        Self {
            terms,
            deposit,
            bet,
            house_edge,
            bet_sd: settings.bet_sd,
        }
    }

    /// `B − edge · E[staked before the requirement is met or the money is gone]`, at least 0 and at most B; B if
    /// nothing must be staked.
    ///
    /// Ignores the conversion limit of the terms, so the cost may be too high but never too low.
    fn cost(&self, amount: Decimal) -> Option<Decimal> {
        self.kept(amount, estimated(expected_stake(&self.run(amount)?))?)
    }

    fn kept(&self, amount: Decimal, stake: Decimal) -> Option<Decimal> {
        let lost = stake.checked_mul(self.house_edge)?;
        let kept = amount.checked_sub(lost)?.clamp(Decimal::ZERO, amount);
        Some(kept.round_dp_with_strategy(MONEY_SCALE, RoundingStrategy::MidpointAwayFromZero))
    }

    fn run(&self, amount: Decimal) -> Option<Run> {
        let bet = match self.bet {
            Some(bet) => bet,
            None => amount.checked_div(Decimal::from(BETS_PER_BONUS))?,
        };
        Some(Run {
            balance: self.terms.basis(amount, self.deposit)?.to_f64()?,
            bet: bet.to_f64()?,
            requirement: self.terms.wagering_required(amount, self.deposit)?.to_f64()?,
            edge: self.house_edge.to_f64()?,
            bet_sd: self.bet_sd.to_f64()?,
        })
    }

    /// How the cost of `amount` is derived, and the exact cost with even-money bets. Takes milliseconds. `None` on
    /// overflow.
    pub fn explain(&self, amount: Decimal) -> Option<WageringEstimate> {
        let run = self.run(amount)?;
        let estimate = |model, stake: f64, bet: f64, bet_sd: f64| {
            let stake = estimated(stake)?;
            Some(Estimate {
                model,
                bet: figure(estimated(bet)?),
                bet_sd: Plain::of(estimated(bet_sd)?.round_dp(STORED_SCALE)),
                expected_stake: figure(stake),
                cost: figure(self.kept(amount, stake)?),
            })
        };
        let exact = match expected_stake_exact(&run) {
            Some(exact) => Some(estimate(Model::FlatBets, exact.stake, exact.bet, exact.bet_sd)?),
            None => None,
        };
        Some(WageringEstimate {
            amount: figure(amount),
            balance: figure(self.terms.basis(amount, self.deposit)?),
            requirement: figure(self.terms.wagering_required(amount, self.deposit)?),
            edge: self.house_edge,
            closed_form: estimate(Model::Brownian, expected_stake(&run), run.bet, run.bet_sd)?,
            not_exact: exact
                .is_none()
                .then(|| format!("the bets would take more than {EXACT_STEPS_MAX} steps to go through")),
            exact,
        })
    }
}

/// The expected result of wagering a bonus.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WageringEstimate {
    pub amount: Money,
    /// Money at the start: the bonus, plus the deposit where it counts.
    pub balance: Money,
    /// Money to stake.
    pub requirement: Money,
    /// Share of a stake lost on average, in both models.
    pub edge: Decimal,
    /// The estimate that the profit gate uses.
    pub closed_form: Estimate,
    /// Computed by the dynamic program; null if that takes too many steps.
    pub exact: Option<Estimate>,
    /// Why there is no exact estimate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_exact: Option<String>,
}

text_enum! {
    /// How the bets are modelled.
    pub enum Model as "model of the bets" {
        FlatBets = "flat bets at even money",
        Brownian = "Brownian motion with drift",
    }
}

/// The result of one model.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Estimate {
    pub model: Model,
    /// Size of a stake.
    pub bet: Money,
    /// Standard deviation of one bet, in bets.
    pub bet_sd: Plain,
    /// Expected stake before the requirement is met or the money is gone.
    pub expected_stake: Money,
    /// What the player is expected to keep of the bonus.
    pub cost: Money,
}

/// Rounded for output: four decimal places at most.
fn figure(value: Decimal) -> Money {
    Money::of(value.round_dp(STORED_SCALE))
}

/// Converts through text with six decimal places, so that no tail of a float reaches a decimal.
fn estimated(value: f64) -> Option<Decimal> {
    format!("{value:.6}").parse().ok()
}

/// The edge of the games a bonus can be played on: the average of the named games, otherwise the program's.
pub fn mix_edge(eligible_games: Option<&[String]>, settings: &ProfitSettings) -> Decimal {
    let games = eligible_games.unwrap_or_default();
    let edges = games
        .iter()
        .map(|game| settings.game_edge.get(game).copied().unwrap_or(settings.house_edge));
    let sum: Decimal = edges.sum();
    sum.checked_div(Decimal::from(games.len()))
        .unwrap_or(settings.house_edge)
}

/// The largest amount below `amount`, in steps of `scale`, for which `fits` holds; 0 if there is none.
///
/// Requires that `amount` does not fit and that the fitting amounts form a range from 0, as they do where the cost
/// rises with the amount. Where the cost falls again (a requirement that certainly consumes the bonus), it finds
/// the range below the rise.
pub fn largest_fitting(amount: Decimal, scale: u32, fits: impl Fn(Decimal) -> bool) -> Decimal {
    let units = |amount: Decimal| {
        amount
            .checked_mul(Decimal::from(10_i64.pow(scale)))
            .and_then(|units| units.trunc().to_i128())
    };
    let amount_of = |units: i128| Decimal::try_from_i128_with_scale(units, scale).unwrap_or_default();
    let Some(mut too_much) = units(amount) else {
        return Decimal::ZERO;
    };
    let mut fitting = 0;
    while too_much - fitting > 1 {
        let middle = fitting + (too_much - fitting) / 2;
        if fits(amount_of(middle)) {
            fitting = middle
        } else {
            too_much = middle
        }
    }
    amount_of(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn money(text: &str) -> Money {
        Money::of(d(text))
    }

    fn bonus_cost(amount: &str, multiplier: &str, max_bet: Option<&str>) -> Decimal {
        let terms = GrantTerms {
            wagering_requirement: d(multiplier),
            max_bet: max_bet.map(d),
            ..GrantTerms::default()
        };
        CostModel::bonus(&terms, Decimal::ZERO, None, &ProfitSettings::default())
            .cost(d(amount))
            .unwrap()
    }

    #[test]
    fn the_worked_costs_of_the_domain() {
        assert_eq!(bonus_cost("960", "8", None), d("753.12"));
        assert_eq!(bonus_cost("770", "10", None), d("580.89"));
        assert_eq!(bonus_cost("480", "10", None), d("362.11"));
        assert_eq!(bonus_cost("25", "10", Some("5")), d("22.52"));
        assert_eq!(
            CostModel::points(Asset::Lp, &Settings::default())
                .unwrap()
                .cost(d("150")),
            Some(d("1.50"))
        );
    }

    #[test]
    fn a_bonus_without_wagering_costs_its_amount() {
        assert_eq!(bonus_cost("25", "0", None), d("25"));
    }

    #[test]
    fn the_deposit_is_wagered_with_its_bonus() {
        // The table of the domain: x 200, b 10, W 1000, edge 1/37 costs 73.48 of a bonus of 100.
        let terms = GrantTerms {
            wagering_requirement: d("5"),
            wagering_basis: crate::bonus::WageringBasis::DepositPlusBonus,
            max_bet: Some(d("10")),
            ..GrantTerms::default()
        };
        let edge = Decimal::ONE / d("37");
        let even_money = ProfitSettings {
            house_edge: edge,
            bet_sd: d("0.99963"),
            ..ProfitSettings::default()
        };
        let cost = CostModel::bonus(&terms, d("100"), None, &even_money)
            .cost(d("100"))
            .unwrap();
        assert!((cost - d("73.48")).abs() < d("0.15"), "{cost}"); // 0.5 % of the stake is 0.13 of cost
    }

    /// A bonus of 100 with a deposit of 100, and one of 10 alone, at an edge of 1/37.
    #[test]
    fn the_explanation_gives_the_table_of_the_domain_exactly() {
        let even_money = ProfitSettings {
            house_edge: Decimal::ONE / d("37"),
            bet_sd: d("0.99963"),
            ..ProfitSettings::default()
        };
        let with_deposit = crate::bonus::WageringBasis::DepositPlusBonus;
        for (amount, deposit, multiplier, bet, stake, cost) in [
            ("100", "100", "5", "10", "981.2533", "73.48"),
            ("100", "100", "15", "10", "2480.671", "32.95"),
            ("10", "0", "50", "1", "208.123", "4.38"),
        ] {
            let terms = GrantTerms {
                wagering_requirement: d(multiplier),
                wagering_basis: with_deposit,
                max_bet: Some(d(bet)),
                ..GrantTerms::default()
            };
            let model = WageredCost::new(Cow::Owned(terms), d(deposit), None, &even_money);
            let explained = model.explain(d(amount)).unwrap();
            assert_eq!(
                (explained.balance.value(), explained.requirement.value()),
                (d(amount) + d(deposit), (d(amount) + d(deposit)) * d(multiplier))
            );
            let exact = explained.exact.unwrap();
            assert_eq!(
                (exact.expected_stake, exact.cost, exact.bet, exact.bet_sd),
                (money(stake), money(cost), money(bet), Plain::of(d("0.9996")))
            );
            let closed = explained.closed_form;
            assert!(
                (closed.expected_stake.value() / exact.expected_stake.value() - Decimal::ONE).abs() < d("0.005"),
                "{closed:?}"
            );
            assert_eq!(closed.cost.value(), model.cost(d(amount)).unwrap(), "the gate's");
        }
    }

    #[test]
    fn an_explanation_that_would_take_too_long_says_so() {
        let terms = GrantTerms {
            wagering_requirement: d("40"),
            ..GrantTerms::default()
        };
        let explained = |average| {
            WageredCost::new(Cow::Borrowed(&terms), d("0"), average, &ProfitSettings::default())
                .explain(d("100"))
                .unwrap()
        };
        // 2,000 bets of 2 from 50, and 40,000 of 0.10 from 1,000.
        assert!(explained(None).exact.is_some());
        let long = explained(Some(d("0.1")));
        assert_eq!((long.exact, long.closed_form.bet), (None, money("0.1")));
        assert_eq!(
            long.not_exact.as_deref(),
            Some("the bets would take more than 5000000 steps to go through")
        );
        // Nothing is staked before a bonus without wagering converts.
        let free = WageredCost::new(
            Cow::Owned(GrantTerms::default()),
            d("0"),
            None,
            &ProfitSettings::default(),
        );
        let exact = free.explain(d("25")).unwrap().exact.unwrap();
        assert_eq!((exact.expected_stake, exact.cost), (money("0"), money("25")));
    }

    #[test]
    fn named_games_give_the_average_of_their_edges() {
        let settings = ProfitSettings::default();
        assert_eq!(mix_edge(None, &settings), d("0.05"));
        assert_eq!(
            mix_edge(Some(&["roulette".to_owned(), "blackjack".to_owned()]), &settings),
            d("0.016")
        );
        assert_eq!(mix_edge(Some(&["bingo".to_owned()]), &settings), d("0.05"));
    }

    #[test]
    fn the_largest_amount_that_fits_is_found_to_the_cent() {
        assert_eq!(
            largest_fitting(d("960.00"), 2, |amount| amount <= d("123.45")),
            d("123.45")
        );
        assert_eq!(largest_fitting(d("7"), 0, |amount| amount <= d("6.5")), d("6"));
        assert_eq!(largest_fitting(d("0.01"), 2, |_| false), Decimal::ZERO);
        assert_eq!(
            largest_fitting(d("999999999999999"), 2, |_| true),
            d("999999999999998.99")
        );
    }
}
