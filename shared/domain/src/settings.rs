//! Settings of the program. Every number of the domain that an operator may change, with its default.

use crate::segment::{Segment, SegmentThresholds};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

fn dec(mantissa: i64, scale: u32) -> Decimal {
    Decimal::new(mantissa, scale)
}

/// Stored one row per top-level key; a key without a row has its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// ISO 4217 code of the program currency.
    pub currency: String,
    /// IANA name; days, weeks and windows are of this zone.
    pub time_zone: String,
    pub segments: SegmentThresholds,
    /// Rewards one evaluation may issue to a player.
    pub max_rewards_per_evaluation: u32,
    /// Qualifying LP count for this many days; null: for life.
    pub tier_qualification_days: Option<u32>,
    pub profit: ProfitSettings,
    pub unit_cost: UnitCosts,
    pub caps: CapSettings,
    /// Highest wagering multiplier the jurisdiction allows (UK: 10); null: none.
    pub max_wagering_multiplier: Option<Decimal>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            currency: "USD".into(),
            time_zone: "UTC".into(),
            segments: SegmentThresholds::default(),
            max_rewards_per_evaluation: 1,
            tier_qualification_days: Some(365),
            profit: ProfitSettings::default(),
            unit_cost: UnitCosts::default(),
            caps: CapSettings::default(),
            max_wagering_multiplier: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum OnUnprofitable {
    Refuse,
    /// To the largest amount that passes.
    Reduce,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum RevenueBasis {
    /// `retention_multiplier`, as written.
    Total,
    /// `retention_multiplier - 1`.
    Incremental,
}

/// The profit gate's numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProfitSettings {
    /// `expected_profit / expected_cost` at least.
    pub min_roi: Decimal,
    pub on_unprofitable: OnUnprofitable,
    pub revenue_basis: RevenueBasis,
    /// Edge of an unknown game mix.
    pub house_edge: Decimal,
    /// Edge by game, for a reward that names its eligible games.
    pub game_edge: BTreeMap<String, Decimal>,
    /// Standard deviation of one bet, in bets.
    pub bet_sd: Decimal,
    /// Expected stake over 30 days of a player without history.
    pub prior_wager: BTreeMap<Segment, Decimal>,
    /// By segment, then reward type; missing: 1.
    pub retention_multiplier: BTreeMap<Segment, BTreeMap<String, Decimal>>,
}

impl Default for ProfitSettings {
    fn default() -> Self {
        use Segment::{Breakeven, Losing, New, Vip, Winning};
        let table = [(New, [20, 16, 14]), (Losing, [18, 15, 12]), (Breakeven, [15, 14, 13]), (Winning, [11, 11, 12]), (Vip, [13, 14, 15])];
        let retention_multiplier = table
            .into_iter()
            .map(|(segment, tenths)| {
                let types = ["BONUS_BALANCE", "CASHBACK", "LOYALTY_POINTS"];
                (segment, types.into_iter().map(String::from).zip(tenths.map(|t| dec(t, 1))).collect())
            })
            .collect();
        Self {
            min_roi: Decimal::ZERO,
            on_unprofitable: OnUnprofitable::Refuse,
            revenue_basis: RevenueBasis::Total,
            house_edge: dec(5, 2),
            game_edge: [("slots", dec(5, 2)), ("roulette", dec(27, 3)), ("blackjack", dec(5, 3)), ("poker", dec(5, 2))]
                .into_iter()
                .map(|(game, edge)| (game.to_owned(), edge))
                .collect(),
            bet_sd: Decimal::from(5),
            prior_wager: Segment::ALL.into_iter().map(|segment| (segment, Decimal::ZERO)).collect(),
            retention_multiplier,
        }
    }
}

/// Money cost of one unit, and the share of units expected to be redeemed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UnitCosts {
    pub lp: Decimal,
    pub rp: Decimal,
    pub ticket: Decimal,
    /// 0 to 1.
    pub redemption_rate: Decimal,
}

impl Default for UnitCosts {
    fn default() -> Self {
        Self { lp: dec(1, 2), rp: dec(1, 2), ticket: Decimal::ONE, redemption_rate: Decimal::ONE }
    }
}

/// Most reward cost per player, in money, rolling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapSettings {
    pub day: Decimal,
    pub days_7: Decimal,
    pub days_30: Decimal,
}

impl Default for CapSettings {
    fn default() -> Self {
        Self { day: dec(1_000, 0), days_7: dec(5_000, 0), days_30: dec(20_000, 0) }
    }
}
