//! What a reward can be expected to cost, in money.

use super::ruin::{Run, expected_stake};
use crate::bonus::GrantTerms;
use crate::money::{Asset, MONEY_SCALE, STORED_SCALE, shown};
use crate::settings::{ProfitSettings, Settings};
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};

/// The cost of any amount of one reward for one player.
#[derive(Debug, Clone, PartialEq)]
pub enum CostModel<'a> {
    /// Points and tickets: unit cost × expected redemption rate.
    PerUnit(Decimal),
    /// A bonus: what the player can expect to keep after wagering it.
    Wagered(WageredCost<'a>),
}

#[derive(Debug, Clone, PartialEq)]
pub struct WageredCost<'a> {
    pub terms: &'a GrantTerms,
    /// The deposit that is wagered with it; 0 without one.
    pub deposit: Decimal,
    /// Size of a stake: the grant's `max_bet`, else the player's average; none: 1/50 of the bonus.
    pub bet: Option<Decimal>,
    pub house_edge: Decimal,
    /// Standard deviation of one bet, in bets.
    pub bet_sd: Decimal,
}

/// Stakes in a bonus whose bet size is unknown.
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

    pub fn bonus(terms: &'a GrantTerms, deposit: Decimal, avg_bet_size: Option<Decimal>, settings: &ProfitSettings) -> Self {
        let bet = terms.max_bet.or(avg_bet_size).filter(|bet| *bet > Decimal::ZERO);
        let house_edge = mix_edge(terms.eligible_games.as_deref(), settings);
        Self::Wagered(WageredCost { terms, deposit, bet, house_edge, bet_sd: settings.bet_sd })
    }

    /// Expected cost of `amount`: cents for a bonus, four decimal places (rounded up) for points and tickets.
    /// `None` on overflow.
    pub fn cost(&self, amount: Decimal) -> Option<Decimal> {
        let cost = match self {
            CostModel::PerUnit(unit) => amount.checked_mul(*unit)?.round_dp_with_strategy(STORED_SCALE, RoundingStrategy::AwayFromZero),
            CostModel::Wagered(wagered) => wagered.cost(amount)?,
        };
        Some(shown(cost, MONEY_SCALE))
    }
}

impl WageredCost<'_> {
    /// `B − edge · E[staked before the requirement is met or the money is gone]`, at least 0 and at most B;
    /// B where nothing is to be staked.
    ///
    /// The conversion limit of the terms is left out: the cost is never too low for it.
    fn cost(&self, amount: Decimal) -> Option<Decimal> {
        let requirement = self.terms.wagering_required(amount, self.deposit)?;
        let stake = self.expected_stake(amount, requirement)?;
        let lost = stake.checked_mul(self.house_edge)?;
        let kept = amount.checked_sub(lost)?.clamp(Decimal::ZERO, amount);
        Some(kept.round_dp_with_strategy(MONEY_SCALE, RoundingStrategy::MidpointAwayFromZero))
    }

    fn expected_stake(&self, amount: Decimal, requirement: Decimal) -> Option<Decimal> {
        let bet = match self.bet {
            Some(bet) => bet,
            None => amount.checked_div(Decimal::from(BETS_PER_BONUS))?,
        };
        let run = Run {
            balance: self.terms.basis(amount, self.deposit)?.to_f64()?,
            bet: bet.to_f64()?,
            requirement: requirement.to_f64()?,
            edge: self.house_edge.to_f64()?,
            bet_sd: self.bet_sd.to_f64()?,
        };
        // Through its text: an estimate becomes a decimal at a scale of its own, never with a float's tail.
        format!("{:.6}", expected_stake(&run)).parse().ok()
    }
}

/// Edge of the games a bonus can be played on: the average of the named ones, else the program's.
pub fn mix_edge(eligible_games: Option<&[String]>, settings: &ProfitSettings) -> Decimal {
    let games = eligible_games.unwrap_or_default();
    let edges = games.iter().map(|game| settings.game_edge.get(game).copied().unwrap_or(settings.house_edge));
    let sum: Decimal = edges.sum();
    sum.checked_div(Decimal::from(games.len())).unwrap_or(settings.house_edge)
}

/// The largest amount up to `amount`, in units of `scale`, for which `fits` holds. 0 if none does.
///
/// `amount` itself does not fit. What fits must be a range from 0 on, as it is where the cost rises with the
/// amount; where the cost falls again (a requirement that certainly eats the bonus) the range below the rise
/// is found.
pub fn largest_fitting(amount: Decimal, scale: u32, fits: impl Fn(Decimal) -> bool) -> Decimal {
    let units = |amount: Decimal| amount.checked_mul(Decimal::from(10_i64.pow(scale))).and_then(|units| units.trunc().to_i128());
    let amount_of = |units: i128| Decimal::try_from_i128_with_scale(units, scale).unwrap_or_default();
    let Some(mut too_much) = units(amount) else { return Decimal::ZERO };
    let mut fitting = 0;
    while too_much - fitting > 1 {
        let middle = fitting + (too_much - fitting) / 2;
        if fits(amount_of(middle)) { fitting = middle } else { too_much = middle }
    }
    amount_of(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    fn bonus_cost(amount: &str, multiplier: &str, max_bet: Option<&str>) -> Decimal {
        let terms = GrantTerms { wagering_requirement: d(multiplier), max_bet: max_bet.map(d), ..GrantTerms::default() };
        CostModel::bonus(&terms, Decimal::ZERO, None, &ProfitSettings::default()).cost(d(amount)).unwrap()
    }

    #[test]
    fn the_worked_costs_of_the_domain() {
        assert_eq!(bonus_cost("960", "8", None), d("753.12"));
        assert_eq!(bonus_cost("770", "10", None), d("580.89"));
        assert_eq!(bonus_cost("480", "10", None), d("362.11"));
        assert_eq!(bonus_cost("25", "10", Some("5")), d("22.52"));
        assert_eq!(CostModel::points(Asset::Lp, &Settings::default()).unwrap().cost(d("150")), Some(d("1.50")));
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
        let even_money = ProfitSettings { house_edge: edge, bet_sd: d("0.99963"), ..ProfitSettings::default() };
        let cost = CostModel::bonus(&terms, d("100"), None, &even_money).cost(d("100")).unwrap();
        assert!((cost - d("73.48")).abs() < d("0.15"), "{cost}"); // 0.5 % of the stake is 0.13 of cost
    }

    #[test]
    fn named_games_give_the_average_of_their_edges() {
        let settings = ProfitSettings::default();
        assert_eq!(mix_edge(None, &settings), d("0.05"));
        assert_eq!(mix_edge(Some(&["roulette".to_owned(), "blackjack".to_owned()]), &settings), d("0.016"));
        assert_eq!(mix_edge(Some(&["bingo".to_owned()]), &settings), d("0.05"));
    }

    #[test]
    fn the_largest_amount_that_fits_is_found_to_the_cent() {
        assert_eq!(largest_fitting(d("960.00"), 2, |amount| amount <= d("123.45")), d("123.45"));
        assert_eq!(largest_fitting(d("7"), 0, |amount| amount <= d("6.5")), d("6"));
        assert_eq!(largest_fitting(d("0.01"), 2, |_| false), Decimal::ZERO);
        assert_eq!(largest_fitting(d("999999999999999"), 2, |_| true), d("999999999999998.99"));
    }
}
