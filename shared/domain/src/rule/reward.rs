//! `reward_config`: what a rule gives, how much of it, and on which terms.

use super::condition::Checks;
use super::fields::{Bounds, Fields, read_decimal};
use crate::bonus::{GrantTerms, MaxBetAction, OnWithdrawal, WageringBasis, weighted_games};
use crate::facts::Catalogue;
use crate::formula::{EvalError, Formula};
use crate::money::{Asset, INTEGER_DIGITS_MAX, MONEY_SCALE, STORED_SCALE, is_storable, round_reward};
use crate::problem::{FieldErrors, child};
use crate::settings::Settings;
use crate::spelling::nearest;
use crate::text_enum;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

text_enum! {
    pub enum RewardType as "type of reward" {
        BonusBalance = "BONUS_BALANCE",
        Cashback = "CASHBACK",
        FreePlay = "FREE_PLAY",
        LoyaltyPoints = "LOYALTY_POINTS",
        RewardPoints = "REWARD_POINTS",
        Tickets = "TICKETS",
    }
}

impl RewardType {
    /// The asset that the player receives.
    pub const fn asset(self) -> Asset {
        match self {
            RewardType::BonusBalance | RewardType::Cashback | RewardType::FreePlay => Asset::Bonus,
            RewardType::LoyaltyPoints => Asset::Lp,
            RewardType::RewardPoints => Asset::Rp,
            RewardType::Tickets => Asset::Tickets,
        }
    }
}

/// What a rule gives.
#[derive(Debug, Clone, PartialEq)]
pub struct Reward {
    pub reward_type: RewardType,
    /// A fixed `amount` is stored as a formula too.
    pub formula: Formula,
    pub min_amount: Option<Decimal>,
    pub max_amount: Option<Decimal>,
    /// Only for a reward in BONUS.
    pub terms: Option<GrantTerms>,
    /// Days until points expire; `None`: never.
    pub lp_expiry_days: Option<u32>,
}

const FIELDS: &[&str] = &[
    "type",
    "formula",
    "amount",
    "min_amount",
    "max_amount",
    "wagering_requirement",
    "wagering_basis",
    "expiry_hours",
    "lp_expiry_days",
    "eligible_games",
    "game_weights",
    "max_bet",
    "max_bet_action",
    "max_conversion",
    "on_withdrawal",
    "requires_opt_in",
];
/// Fields that only a reward in BONUS can have.
const TERMS: [&str; 10] = [
    "wagering_requirement",
    "wagering_basis",
    "expiry_hours",
    "eligible_games",
    "game_weights",
    "max_bet",
    "max_bet_action",
    "max_conversion",
    "on_withdrawal",
    "requires_opt_in",
];
/// Fields with a decimal value, which may be written as a string.
const DECIMALS: [&str; 6] = [
    "amount",
    "min_amount",
    "max_amount",
    "wagering_requirement",
    "max_bet",
    "max_conversion",
];

pub(crate) const EXPIRY_HOURS_MAX: i32 = 24 * 366 * 10;
const EXPIRY_DAYS_MAX: i32 = 366 * 100;
const GAME_CHARS_MAX: usize = 64;
/// A wagering requirement or conversion limit above this is a typing error.
const MULTIPLIER_MAX: i64 = 1_000;

/// What the parser of a reward needs.
pub(super) struct Context<'a> {
    pub catalogue: &'a Catalogue,
    pub settings: &'a Settings,
    pub checks: Checks,
}

impl Reward {
    pub(super) fn parse(value: &Value, pointer: &str, context: &Context<'_>, errors: &mut FieldErrors) -> Option<Self> {
        let mut fields = Fields::of(value, pointer, FIELDS, errors)?;
        fields.required("type");
        let reward_type = fields.one_of("type", &RewardType::ALL);
        let asset = reward_type.map_or(Asset::Bonus, RewardType::asset);
        let formula = formula(&mut fields, context, asset);
        let bounds = Bounds::at_least_zero(asset.scale());
        let (min_amount, max_amount) = (
            fields.decimal("min_amount", bounds),
            fields.decimal("max_amount", bounds),
        );
        if let (Some(min), Some(max)) = (min_amount, max_amount)
            && min > max
        {
            fields.error("min_amount", "range", format!("{min} is above max_amount {max}"));
        }
        let terms = terms(&mut fields, context);
        let lp_expiry_days = fields
            .whole("lp_expiry_days", 1, EXPIRY_DAYS_MAX)
            .and_then(|days| u32::try_from(days).ok());
        if let Some(reward_type) = reward_type {
            check_belongs(&mut fields, reward_type);
        }
        if let (Checks::Save, Some(formula)) = (context.checks, &formula) {
            let amount = certain_amount(&mut fields, formula, (min_amount, max_amount), context.catalogue);
            if asset == Asset::Bonus {
                check_requirement(&mut fields, &terms, round_reward(amount, asset));
            }
        }
        let terms = (asset == Asset::Bonus).then_some(terms);
        Some(Self {
            reward_type: reward_type?,
            formula: formula?,
            min_amount,
            max_amount,
            terms,
            lp_expiry_days,
        })
    }

    /// Calls `visit` with every fact the amount depends on.
    pub fn visit_facts(&self, visit: &mut impl FnMut(crate::facts::FactId)) {
        self.formula.visit_facts(visit);
    }
}

/// Requires exactly one of `formula` and `amount`.
fn formula(fields: &mut Fields<'_, '_>, context: &Context<'_>, asset: Asset) -> Option<Formula> {
    match (fields.get("formula"), fields.get("amount")) {
        (None, None) => {
            fields.error("formula", "required", "one of formula and amount is required");
            None
        }
        (Some(_), Some(_)) => {
            fields.error("amount", "duplicate", "only one of formula and amount may be given");
            None
        }
        (None, Some(_)) => {
            let amount = fields.decimal("amount", Bounds::at_least_zero(asset.scale()))?;
            Some(Formula::constant(amount))
        }
        (Some(Value::String(source)), None) => match Formula::parse(source, context.catalogue) {
            Ok(formula) => Some(formula),
            Err(error) => {
                fields.error("formula", "formula", error.to_string());
                None
            }
        },
        (Some(_), None) => {
            fields.error("formula", "type", "must be a formula in a text");
            None
        }
    }
}

fn terms(fields: &mut Fields<'_, '_>, context: &Context<'_>) -> GrantTerms {
    let terms = GrantTerms {
        wagering_requirement: fields.decimal("wagering_requirement", multiplier()).unwrap_or_default(),
        wagering_basis: fields.one_of("wagering_basis", &WageringBasis::ALL).unwrap_or_default(),
        expiry_hours: fields
            .whole("expiry_hours", 1, EXPIRY_HOURS_MAX)
            .and_then(|hours| u32::try_from(hours).ok()),
        eligible_games: fields.list("eligible_games", |item, at, errors| game(item, at, context, errors)),
        game_weights: game_weights(fields, context),
        max_bet: fields.decimal("max_bet", Bounds::at_least_zero(MONEY_SCALE)),
        max_bet_action: fields.one_of("max_bet_action", &MaxBetAction::ALL).unwrap_or_default(),
        max_conversion: fields.decimal("max_conversion", multiplier()),
        on_withdrawal: fields.one_of("on_withdrawal", &OnWithdrawal::ALL).unwrap_or_default(),
        requires_opt_in: fields.flag("requires_opt_in", false),
    };
    check_terms(fields, &terms, context.settings, context.checks);
    terms
}

/// The amount that the rule gives whenever it gives one, or the least of its amounts. Refuses a formula that is never in
/// the range of amounts.
fn certain_amount(
    fields: &mut Fields<'_, '_>,
    formula: &Formula,
    (min, max): (Option<Decimal>, Option<Decimal>),
    catalogue: &Catalogue,
) -> Decimal {
    let constant = formula.constant_value(catalogue);
    let least = match constant {
        Some(Ok(amount)) => amount.max(min.unwrap_or(amount)),
        Some(Err(_)) | None => min.unwrap_or_default(),
    };
    let least = max.map_or(least, |max| least.min(max));
    if is_storable(least) && constant != Some(Err(EvalError::Overflow)) {
        return least;
    }
    fields.error(
        "formula",
        "range",
        format!("the amount always has more than {INTEGER_DIGITS_MAX} integer digits"),
    );
    Decimal::ZERO
}

/// Refuses terms under which a bonus of this amount could not be stored.
pub(crate) fn check_requirement(fields: &mut Fields<'_, '_>, terms: &GrantTerms, amount: Decimal) {
    if terms.wagering_required(amount, Decimal::ZERO).is_none() {
        let detail = format!("the money to stake would have more than {INTEGER_DIGITS_MAX} integer digits");
        fields.error("wagering_requirement", "range", detail);
    }
}

/// Bounds of wagering requirements and conversion limits.
pub(crate) fn multiplier() -> Bounds {
    Bounds {
        min: Decimal::ZERO,
        max: Some(Decimal::from(MULTIPLIER_MAX)),
        scale: STORED_SCALE,
    }
}

/// Refuses limits that would let nothing through, and a requirement above what the jurisdiction allows.
pub(crate) fn check_terms(fields: &mut Fields<'_, '_>, terms: &GrantTerms, settings: &Settings, checks: Checks) {
    for (name, value) in [("max_bet", terms.max_bet), ("max_conversion", terms.max_conversion)] {
        if value.is_some_and(|value| value.is_zero()) {
            fields.error(name, "range", "must be above 0; leave it out for no limit");
        }
    }
    if let (Checks::Save, Some(allowed)) = (checks, settings.max_wagering_multiplier)
        && terms.wagering_requirement > allowed
    {
        let detail = format!(
            "{} is above the {allowed} that the jurisdiction allows",
            terms.wagering_requirement
        );
        fields.error("wagering_requirement", "range", detail);
    }
}

/// Accepts a game that has an edge in the settings or a default weight.
fn game(item: &Value, pointer: &str, context: &Context<'_>, errors: &mut FieldErrors) -> Option<String> {
    let Some(name) = item
        .as_str()
        .filter(|name| !name.trim().is_empty() && name.chars().count() <= GAME_CHARS_MAX)
    else {
        errors.push(
            pointer,
            "type",
            format!("must be the name of a game of at most {GAME_CHARS_MAX} characters"),
        );
        return None;
    };
    check_game(name, pointer, context, errors)?;
    Some(name.to_owned())
}

fn check_game(name: &str, pointer: &str, context: &Context<'_>, errors: &mut FieldErrors) -> Option<()> {
    let known = || {
        context
            .settings
            .profit
            .game_edge
            .keys()
            .map(String::as_str)
            .chain(weighted_games())
    };
    if context.checks == Checks::Load || known().any(|game| game == name) {
        return Some(());
    }
    let guess = nearest(name, known())
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default();
    errors.push(pointer, "unknown", format!("unknown game {name:?}{guess}"));
    None
}

fn game_weights(fields: &mut Fields<'_, '_>, context: &Context<'_>) -> Option<BTreeMap<String, Decimal>> {
    let value = fields.get("game_weights")?;
    let pointer = fields.pointer("game_weights");
    let Value::Object(map) = value else {
        fields.error(
            "game_weights",
            "type",
            "must be an object of games and their shares from 0 to 1",
        );
        return None;
    };
    let mut weights = BTreeMap::new();
    for (name, share) in map {
        let at = child(&pointer, name);
        let known = check_game(name, &at, context, fields.errors());
        if let (Some(()), Some(share)) = (known, read_decimal(share, &at, Bounds::share(), fields.errors())) {
            weights.insert(name.clone(), share);
        }
    }
    Some(weights)
}

/// Only rewards in BONUS have wagering terms; only points have an expiry in days.
fn check_belongs(fields: &mut Fields<'_, '_>, reward_type: RewardType) {
    let asset = reward_type.asset();
    for name in TERMS {
        if asset != Asset::Bonus && fields.get(name).is_some() {
            fields.error(
                name,
                "unknown",
                format!("{reward_type} is not wagered and has no {name}"),
            );
        }
    }
    if !matches!(asset, Asset::Lp | Asset::Rp) && fields.get("lp_expiry_days").is_some() {
        fields.error(
            "lp_expiry_days",
            "unknown",
            format!("{reward_type} gives no points; a bonus has expiry_hours"),
        );
    }
}

/// The given fields, with numbers as numbers and without nulls.
pub(super) fn normalise(value: &Value) -> Value {
    let Value::Object(map) = value else {
        return value.clone();
    };
    let mut normal = Map::new();
    for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
        let number = DECIMALS
            .contains(&key.as_str())
            .then(|| super::fields::decimal(value, Decimal::MAX_SCALE).ok())
            .flatten();
        let value = match (value, number) {
            (Value::String(_), Some(number)) => crate::facts::number_to_json(number),
            _ => value.clone(),
        };
        normal.insert(key.clone(), value);
    }
    Value::Object(normal)
}
