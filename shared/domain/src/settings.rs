//! Settings of the program: every number of the domain that an operator may change, with its default.

use crate::account::LpVoidPolicy;
use crate::money::STORED_SCALE;
use crate::patch::{entries, nested_entries};
use crate::problem::{FieldErrors, child};
use crate::schedule::{RetentionSettings, ScheduleSettings};
use crate::segment::{Segment, SegmentThresholds};
use crate::text_enum;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

fn dec(mantissa: i64, scale: u32) -> Decimal {
    Decimal::new(mantissa, scale)
}

/// Stored as one row per top-level key. A key without a row has its default.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// ISO 4217 code of the program's currency.
    pub currency: String,
    /// IANA name of the zone in which days, weeks and windows are counted.
    pub time_zone: String,
    pub segments: SegmentThresholds,
    /// Maximum number of rewards that one evaluation issues to a player.
    pub max_rewards_per_evaluation: u32,
    /// Qualifying LP count for this many days; null: forever.
    pub tier_qualification_days: Option<u32>,
    /// Days from the review that finds a player below their tier to the step down.
    pub tier_grace_days: u32,
    pub activity: ActivitySettings,
    pub profit: ProfitSettings,
    pub unit_cost: UnitCosts,
    pub caps: CapSettings,
    pub risk: RiskSettings,
    /// Maximum wagering multiplier that the jurisdiction allows (UK: 10); null: no limit.
    pub max_wagering_multiplier: Option<Decimal>,
    /// The largest bonus that a rule gives, in money, whatever it is expected to cost.
    pub bonus_max_amount: Decimal,
    /// A rule that pays per event for a changed segment or tier pays a player once in so many days for the same one.
    pub reentry_days: u32,
    pub schedules: ScheduleSettings,
    pub retention: RetentionSettings,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            currency: "USD".into(),
            time_zone: "UTC".into(),
            segments: SegmentThresholds::default(),
            max_rewards_per_evaluation: 1,
            tier_qualification_days: Some(365),
            tier_grace_days: 30,
            activity: ActivitySettings::default(),
            profit: ProfitSettings::default(),
            unit_cost: UnitCosts::default(),
            caps: CapSettings::default(),
            risk: RiskSettings::default(),
            max_wagering_multiplier: None,
            bonus_max_amount: dec(10_000, 0),
            reentry_days: 30,
            schedules: ScheduleSettings::default(),
            retention: RetentionSettings::default(),
        }
    }
}

/// What events earn, and how old they may be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ActivitySettings {
    /// LP per unit of money staked, before the tier's `lp_multiplier`.
    pub lp_per_unit_staked: Decimal,
    /// Whole days after the day of play until these LP expire; null: never.
    pub lp_expiry_days: Option<u32>,
    /// What becomes of points that a void takes back when the player has spent them: they are a debt that later LP
    /// repay first, or they raise a signal and are given up.
    pub lp_void_policy: LpVoidPolicy,
    /// Events that occurred more than this many days ago are rejected. Duplicates are not.
    pub event_age_days_max: u32,
    /// Events that occur more than this many minutes ahead are rejected: clocks differ, but not more.
    pub event_ahead_minutes_max: u32,
    /// Events that occurred more than this many days before they are recorded count in totals, days and points, and
    /// change no bonus.
    pub play_window_days: u32,
}

impl Default for ActivitySettings {
    fn default() -> Self {
        Self {
            lp_per_unit_staked: dec(1, 1),
            lp_expiry_days: None,
            lp_void_policy: LpVoidPolicy::Debt,
            event_age_days_max: 30,
            event_ahead_minutes_max: 5,
            play_window_days: 7,
        }
    }
}

text_enum! {
    pub enum OnUnprofitable as "action on an unprofitable reward" {
        Refuse = "REFUSE",
        /// Reduces the reward to the largest amount that passes.
        Reduce = "REDUCE",
    }
}

text_enum! {
    pub enum RevenueBasis as "revenue basis" {
        /// Uses `retention_multiplier` as configured.
        Total = "TOTAL",
        /// Uses `retention_multiplier - 1`.
        Incremental = "INCREMENTAL",
    }
}

/// Configuration of the profit gate.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProfitSettings {
    /// Minimum of `expected_profit / expected_cost`.
    pub min_roi: Decimal,
    pub on_unprofitable: OnUnprofitable,
    pub revenue_basis: RevenueBasis,
    /// House edge for an unknown mix of games.
    pub house_edge: Decimal,
    /// House edge by game, for a reward that names its eligible games.
    #[serde(deserialize_with = "entries")]
    pub game_edge: BTreeMap<String, Decimal>,
    /// Standard deviation of one bet, in bets.
    pub bet_sd: Decimal,
    /// Expected stake over 30 days for a player without history.
    #[serde(deserialize_with = "entries")]
    pub prior_wager: BTreeMap<Segment, Decimal>,
    /// By segment, then by reward type; a missing entry counts as 1.
    #[serde(deserialize_with = "nested_entries")]
    pub retention_multiplier: BTreeMap<Segment, BTreeMap<String, Decimal>>,
}

impl Default for ProfitSettings {
    fn default() -> Self {
        use Segment::{Breakeven, Losing, New, Vip, Winning};
        let table = [
            (New, [20, 16, 14]),
            (Losing, [18, 15, 12]),
            (Breakeven, [15, 14, 13]),
            (Winning, [11, 11, 12]),
            (Vip, [13, 14, 15]),
        ];
        let retention_multiplier = table
            .into_iter()
            .map(|(segment, tenths)| {
                let types = ["BONUS_BALANCE", "CASHBACK", "LOYALTY_POINTS"];
                (
                    segment,
                    types
                        .into_iter()
                        .map(String::from)
                        .zip(tenths.map(|t| dec(t, 1)))
                        .collect(),
                )
            })
            .collect();
        Self {
            min_roi: Decimal::ZERO,
            on_unprofitable: OnUnprofitable::Refuse,
            revenue_basis: RevenueBasis::Total,
            house_edge: dec(5, 2),
            game_edge: [
                ("slots", dec(5, 2)),
                ("roulette", dec(27, 3)),
                ("blackjack", dec(5, 3)),
                ("poker", dec(5, 2)),
            ]
            .into_iter()
            .map(|(game, edge)| (game.to_owned(), edge))
            .collect(),
            bet_sd: Decimal::from(5),
            prior_wager: Segment::ALL
                .into_iter()
                .map(|segment| (segment, Decimal::ZERO))
                .collect(),
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
        Self {
            lp: dec(1, 2),
            rp: dec(1, 2),
            ticket: Decimal::ONE,
            redemption_rate: Decimal::ONE,
        }
    }
}

/// Maximum reward cost per player in rolling windows, in money.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CapSettings {
    pub day: Decimal,
    pub days_7: Decimal,
    pub days_30: Decimal,
}

impl Default for CapSettings {
    fn default() -> Self {
        Self {
            day: dec(1_000, 0),
            days_7: dec(5_000, 0),
            days_30: dec(20_000, 0),
        }
    }
}

/// Thresholds of the fraud signals, and their half-life.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RiskSettings {
    /// Days after which a signal counts half.
    pub half_life_days: u32,
    /// `BONUS_ONLY_PLAY` needs at least this many bonuses.
    pub bonus_only_grants_min: u32,
    /// `IMMEDIATE_WITHDRAWAL` within this many hours after a bonus; 0: never.
    pub immediate_withdrawal_hours: u32,
    /// `BET_MANIPULATION` needs at least this many stakes …
    pub bet_stakes_min: u32,
    /// … looks at the last so many …
    pub bet_stakes_last: u32,
    /// … and requires that the largest is more than so many times the smallest.
    pub bet_spread_above: Decimal,
    /// `ABNORMAL_WIN_RATE` needs at least this lifetime stake …
    pub win_staked_min: Decimal,
    /// … and a return more than this many standard deviations above what the games give …
    pub win_z_above: Decimal,
    /// … or, if the number of bets is unknown, `won / wagered` above this.
    pub suspicious_win_ratio: Decimal,
    /// `LOW_RISK_WAGERING` needs at least this many stakes of a bonus …
    pub low_risk_stakes_min: u32,
    /// … with more than this share of the money …
    pub low_risk_share_above: Decimal,
    /// … staked on games with an edge below this.
    pub low_risk_edge_below: Decimal,
    /// `MULTI_ACCOUNT` ignores what more accounts than this share: an internet café, say, or a placeholder.
    pub hub_accounts: u32,
    /// `DEPOSIT_CYCLING` needs at least this many cycles …
    pub cycles_min: u32,
    /// … within this many days …
    pub cycle_days: u32,
    /// … each ending with a withdrawal of at least this share of the deposit.
    pub cycle_withdrawn_share: Decimal,
}

impl Default for RiskSettings {
    fn default() -> Self {
        Self {
            half_life_days: 90,
            bonus_only_grants_min: 1,
            immediate_withdrawal_hours: 24,
            bet_stakes_min: 10,
            bet_stakes_last: 20,
            bet_spread_above: dec(10, 0),
            win_staked_min: dec(1_000, 0),
            win_z_above: dec(4, 0),
            suspicious_win_ratio: dec(2, 0),
            low_risk_stakes_min: 1,
            low_risk_share_above: dec(8, 1),
            low_risk_edge_below: dec(2, 2),
            hub_accounts: 20,
            cycles_min: 3,
            cycle_days: 30,
            cycle_withdrawn_share: dec(9, 1),
        }
    }
}

/// Reward types that can have a retention multiplier.
const REWARD_TYPES: [&str; 6] = [
    "BONUS_BALANCE",
    "CASHBACK",
    "FREE_PLAY",
    "LOYALTY_POINTS",
    "REWARD_POINTS",
    "TICKETS",
];
const REWARDS_PER_EVALUATION_MAX: u32 = 100;
const QUALIFICATION_DAYS_MAX: u32 = 36_500;

impl Settings {
    /// Every value outside its range, with its place.
    pub fn validate(&self) -> FieldErrors {
        let mut check = Check(FieldErrors::default());
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            check.refuse("/currency", "format", "must be an ISO 4217 code: three capital letters");
        }
        if jiff::tz::TimeZone::get(&self.time_zone).is_err() {
            check.refuse(
                "/time_zone",
                "unknown",
                format!("{:?} is not an IANA time zone", self.time_zone),
            );
        }
        if !(1..=REWARDS_PER_EVALUATION_MAX).contains(&self.max_rewards_per_evaluation) {
            check.refuse(
                "/max_rewards_per_evaluation",
                "range",
                format!("must be 1 to {REWARDS_PER_EVALUATION_MAX}"),
            );
        }
        if self
            .tier_qualification_days
            .is_some_and(|days| !(1..=QUALIFICATION_DAYS_MAX).contains(&days))
        {
            check.refuse(
                "/tier_qualification_days",
                "range",
                format!("must be 1 to {QUALIFICATION_DAYS_MAX}, or null for life"),
            );
        }
        check.count("/tier_grace_days", self.tier_grace_days, 0, 3_650);
        check.not_negative("/activity/lp_per_unit_staked", self.activity.lp_per_unit_staked);
        if let Some(days) = self.activity.lp_expiry_days {
            check.count("/activity/lp_expiry_days", days, 1, QUALIFICATION_DAYS_MAX);
        }
        check.count(
            "/activity/event_age_days_max",
            self.activity.event_age_days_max,
            1,
            3_650,
        );
        check.count(
            "/activity/event_ahead_minutes_max",
            self.activity.event_ahead_minutes_max,
            0,
            60,
        );
        check.count("/activity/play_window_days", self.activity.play_window_days, 1, 90);
        if let Some(multiplier) = self.max_wagering_multiplier {
            check.not_negative("/max_wagering_multiplier", multiplier);
        }
        if self.bonus_max_amount < dec(1, 2) {
            check.refuse("/bonus_max_amount", "range", "must be at least 0.01");
        }
        check.amount("/bonus_max_amount", self.bonus_max_amount);
        check.count("/reentry_days", self.reentry_days, 1, 3_650);
        self.segments.validate(&mut check);
        self.profit.validate(&mut check);
        check.not_negative("/unit_cost/lp", self.unit_cost.lp);
        check.not_negative("/unit_cost/rp", self.unit_cost.rp);
        check.not_negative("/unit_cost/ticket", self.unit_cost.ticket);
        check.share("/unit_cost/redemption_rate", self.unit_cost.redemption_rate);
        check.amount("/caps/day", self.caps.day);
        check.amount("/caps/days_7", self.caps.days_7);
        check.amount("/caps/days_30", self.caps.days_30);
        self.risk.validate(&mut check);
        self.schedules.validate(&mut check);
        self.retention.validate(&mut check);
        check.0
    }
}

impl SegmentThresholds {
    fn validate(&self, check: &mut Check) {
        check.amount("/segments/new_wagered_below", self.new_wagered_below);
        check.amount("/segments/vip_wagered_above", self.vip_wagered_above);
        check.not_negative("/segments/margin", self.margin);
        if self.vip_sessions_above < 0 {
            check.refuse("/segments/vip_sessions_above", "range", "must not be negative");
        }
        if self.vip_wagered_above < self.new_wagered_below {
            let detail = format!(
                "VIP cannot begin at {}, below the end of NEW at {}",
                self.vip_wagered_above, self.new_wagered_below
            );
            check.refuse("/segments/vip_wagered_above", "range", detail);
        }
    }
}

impl ProfitSettings {
    fn validate(&self, check: &mut Check) {
        check.not_negative("/profit/min_roi", self.min_roi);
        check.share("/profit/house_edge", self.house_edge);
        for (game, edge) in &self.game_edge {
            check.share(&child("/profit/game_edge", game), *edge);
        }
        if self.bet_sd <= Decimal::ZERO {
            check.refuse("/profit/bet_sd", "range", "must be above 0");
        }
        check.not_negative("/profit/bet_sd", self.bet_sd);
        for (segment, wager) in &self.prior_wager {
            check.amount(&format!("/profit/prior_wager/{segment}"), *wager);
        }
        for (segment, multipliers) in &self.retention_multiplier {
            for (reward_type, multiplier) in multipliers {
                let pointer = child(&format!("/profit/retention_multiplier/{segment}"), reward_type);
                if !REWARD_TYPES.contains(&reward_type.as_str()) {
                    check.refuse(
                        &pointer,
                        "unknown",
                        format!(
                            "{reward_type:?} is not a reward type; the types are {}",
                            REWARD_TYPES.join(", ")
                        ),
                    );
                }
                check.not_negative(&pointer, *multiplier);
            }
        }
    }
}

impl RiskSettings {
    fn validate(&self, check: &mut Check) {
        check.count("/risk/half_life_days", self.half_life_days, 1, 3_650);
        check.count("/risk/bonus_only_grants_min", self.bonus_only_grants_min, 1, 1_000);
        check.count(
            "/risk/immediate_withdrawal_hours",
            self.immediate_withdrawal_hours,
            0,
            720,
        );
        check.count("/risk/bet_stakes_min", self.bet_stakes_min, 2, 1_000);
        check.count(
            "/risk/bet_stakes_last",
            self.bet_stakes_last,
            self.bet_stakes_min.max(2),
            1_000,
        );
        check.not_negative("/risk/bet_spread_above", self.bet_spread_above);
        check.amount("/risk/win_staked_min", self.win_staked_min);
        check.not_negative("/risk/win_z_above", self.win_z_above);
        check.not_negative("/risk/suspicious_win_ratio", self.suspicious_win_ratio);
        check.count("/risk/low_risk_stakes_min", self.low_risk_stakes_min, 1, 1_000_000);
        check.share("/risk/low_risk_share_above", self.low_risk_share_above);
        check.share("/risk/low_risk_edge_below", self.low_risk_edge_below);
        check.count("/risk/hub_accounts", self.hub_accounts, 2, 1_000);
        check.count("/risk/cycles_min", self.cycles_min, 1, 1_000);
        check.count("/risk/cycle_days", self.cycle_days, 1, 365);
        check.share("/risk/cycle_withdrawn_share", self.cycle_withdrawn_share);
    }
}

impl ScheduleSettings {
    fn validate(&self, check: &mut Check) {
        let intervals = [
            ("expire_every_minutes", self.expire_every_minutes),
            ("recover_every_minutes", self.recover_every_minutes),
        ];
        for (name, minutes) in intervals
            .into_iter()
            .filter_map(|(name, minutes)| Some((name, minutes?)))
        {
            check.count(&format!("/schedules/{name}"), minutes, 1, 1_440);
        }
    }
}

impl RetentionSettings {
    fn validate(&self, check: &mut Check) {
        for (name, days) in [
            ("idempotency_answer_days", self.idempotency_answer_days),
            ("run_player_days", self.run_player_days),
            ("trigger_days", self.trigger_days),
            ("schedule_run_days", self.schedule_run_days),
            ("delivery_days", self.delivery_days),
        ] {
            check.count(&format!("/retention/{name}"), days, 1, 3_650);
        }
    }
}

struct Check(FieldErrors);

impl Check {
    fn refuse(&mut self, pointer: &str, code: &'static str, detail: impl Into<String>) {
        self.0.push(pointer, code, detail);
    }

    /// Accepts a factor or a price ≥ 0 that is small enough to be multiplied with any amount.
    fn not_negative(&mut self, pointer: &str, value: Decimal) {
        if value.is_sign_negative() && !value.is_zero() {
            self.refuse(pointer, "range", format!("must not be negative, is {value}"));
        } else if value > Decimal::from(1_000_000) {
            self.refuse(pointer, "range", "must be at most 1000000");
        }
    }

    fn count(&mut self, pointer: &str, value: u32, least: u32, most: u32) {
        if !(least..=most).contains(&value) {
            self.refuse(pointer, "range", format!("must be {least} to {most}, is {value}"));
        }
    }

    fn share(&mut self, pointer: &str, value: Decimal) {
        if value < Decimal::ZERO || value > Decimal::ONE {
            self.refuse(pointer, "range", format!("must be 0 to 1, is {value}"));
        }
    }

    fn amount(&mut self, pointer: &str, value: Decimal) {
        if let Err(error) = crate::money::check_amount(value, STORED_SCALE) {
            self.refuse(pointer, "range", error.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
