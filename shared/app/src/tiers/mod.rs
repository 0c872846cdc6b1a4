//! The tier ladder: edited one tier at a time and validated as a whole; and how players climb it.
//!
//! # Up and down the ladder
//!
//! 1. `wallet::books::write` adds up the LP that a journal takes from `house:issuance`, less those it gives back, and
//!    adds them to today in `player_daily.lp_earned`. The same statement returns tier and qualifying LP
//!    (`store::tiers::earn`). The points of play are on the days of their stakes already. Other journals cost nothing more.
//! 2. `Ladder::climb` decides. The `requirements` of a tier are conditions over the facts that rules read; they are
//!    loaded only for players who have the points (`applicants`). A climb is part of the same transaction:
//!    `players.tier`, `tier_history`, `tier.changed`, counters, and a TIER_CHANGED row of `reward_triggers`.
//!    `promotion` does the same for players whose KYC, profile or totals changed.
//! 3. `review` walks the players by id without locks, and `Ladder::review` decides. Players who change are locked,
//!    reviewed again and written: promotions, announced downgrades (`tier_downgrades` and `tier.downgrade_due`),
//!    recoveries, and downgrades after the grace period.
//! 4. `standing` shows all of it, with the first day on which the points no longer reach the tier.
//!
//! # Choices
//!
//! * Qualifying LP are issued LP less reversed LP, on the day of the posting, those of play on the day of the stake, in
//!   the time zone set at that time. Rewards, credits and stakes add; reversals and voids subtract; redemptions, expiry,
//!   debts and manual deductions do not count. Imports bring none. A reversal does not downgrade at once: the review does.
//!   A void does, as far as the tier rests on what was voided: `Ladder::rejudge` looks back at the climbs.
//! * The period is the last N days including today: a day stops counting N days later, at midnight of the program's
//!   time zone.
//! * Editing the ladder moves no player; the next earned LP or the nightly review does. `lp_multiplier` must be 0 to
//!   1000. Removing a benefit that a rule reads returns 409.

mod applicants;
mod promotion;
pub mod review;
mod standing;

pub(crate) use applicants::Applicants;
pub use promotion::promote_in_tx;
pub(crate) use promotion::{Earned, earn_in_tx, move_in_tx};
pub use standing::{Due, Next, TierStanding, standing};
pub use store::tiers::PastMove;

use crate::error::{Error, Result};
use crate::platform::audit_log::{self, Action, Sides, Subject};
use domain::act::Act;
use domain::facts::Catalogue;
use domain::money::{Points, parse_signed};
use domain::patch::identified;
use domain::problem::{FieldErrors, child};
use domain::rule::{Condition, Rule};
use domain::tier::{LP_MULTIPLIER, Ladder, Tier};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use store::{Db, Executor, Tx, transaction};

/// Longest name of a tier or benefit, in bytes.
const NAME_BYTES_MAX: usize = 64;
const TIERS_MAX: usize = 100;
const BENEFITS_MAX: usize = 100;

/// Why a change of the ladder is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TierError {
    #[error("tier {tier_level} already exists")]
    Exists { tier_level: String },
    #[error("players are in tier {tier_level}")]
    HasPlayers { tier_level: String },
    #[error("redemption rule {rule_id} is for tier {tier_level} and above")]
    NamedByRedemption { tier_level: String, rule_id: String },
    /// The requirements of a tier read a benefit that would be removed.
    #[error("the requirements of tier {tier_level} could no longer be evaluated: {errors}")]
    NamedByTier { tier_level: String, errors: FieldErrors },
    /// A rule reads a benefit that would be removed.
    #[error("rule {rule_id} could no longer be evaluated: {errors}")]
    NamedByRule { rule_id: String, errors: FieldErrors },
}

impl TierError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "duplicate",
            Self::HasPlayers { .. }
            | Self::NamedByRedemption { .. }
            | Self::NamedByTier { .. }
            | Self::NamedByRule { .. } => "tier_in_use",
        }
    }
}

/// Works inside or outside a transaction.
pub async fn ladder(executor: &impl Executor) -> Result<Ladder> {
    Ladder::new(store::tiers::ladder(executor).await?).map_err(|errors| Error::stored("ladder", errors))
}

/// Lowest first.
pub async fn list(db: &Db) -> Result<Vec<Tier>> {
    Ok(store::tiers::ladder(&db.client().await?).await?)
}

/// Adds a tier to the ladder.
///
/// # Errors
/// [`TierError::Exists`]; `Validation` if the ladder would become invalid, or `lp_max` does not fit it.
pub async fn create(db: &Db, tier: &Tier, lp_max: Option<Points>, act: &Act) -> Result<Tier> {
    transaction!(db, |tx| create_in_tx(tx, tier, lp_max, act))
}

async fn create_in_tx(tx: &Tx<'_>, tier: &Tier, lp_max: Option<Points>, act: &Act) -> Result<Tier> {
    let mut tiers = locked(tx).await?;
    if tiers.iter().any(|other| other.tier_level == tier.tier_level) {
        let tier_level = tier.tier_level.clone();
        return Err(TierError::Exists { tier_level }.into());
    }
    tiers.push(tier.clone());
    check_lp_max(&tiers, tier, lp_max)?;
    check(tx, tiers, Some(tier)).await?;
    store::tiers::insert(tx, tier, act.context.now).await?;
    let subject = Subject::Tier(&tier.tier_level);
    audit_log::append(tx, act, Action::TierCreate, subject, Sides::made(tier)).await?;
    Ok(tier.clone())
}

/// Changes what `patch` names (a JSON merge patch). Players stay in their tiers until they earn another one.
///
/// # Errors
/// `NotFound`; `Validation` if the ladder would become invalid, or `lp_max` does not fit it; [`TierError`] if a rule or
/// another tier reads a benefit that would be removed.
pub async fn update(db: &Db, tier_level: &str, patch: &Value, lp_max: Option<Points>, act: &Act) -> Result<Tier> {
    transaction!(db, |tx| update_in_tx(tx, tier_level, patch, lp_max, act))
}

async fn update_in_tx(tx: &Tx<'_>, tier_level: &str, patch: &Value, lp_max: Option<Points>, act: &Act) -> Result<Tier> {
    let mut tiers = locked(tx).await?;
    let place = tiers.iter_mut().find(|other| other.tier_level == tier_level);
    let place = place.ok_or_else(|| Error::not_found("tier", tier_level))?;
    let before = place.clone();
    let after = identified(&json!(before), patch, "tier_level").map_err(Error::Validation)?;
    let tier: Tier = serde_json::from_value(after).map_err(|error| Error::stored("tier", error))?;
    *place = tier.clone();
    check_lp_max(&tiers, &tier, lp_max)?;
    if tier == before {
        return Ok(tier);
    }
    check(tx, tiers, Some(&tier)).await?;
    store::tiers::update(tx, &tier, act.context.now).await?;
    let subject = Subject::Tier(tier_level);
    audit_log::append(tx, act, Action::TierUpdate, subject, Sides::changed(&before, &tier)).await?;
    Ok(tier)
}

/// A tier ends where the next one begins. People write the end as that point, or as the last one before it: with the
/// next tier at 10000, all from 9999 to 10000 fit. The highest tier has no end.
fn check_lp_max(tiers: &[Tier], tier: &Tier, lp_max: Option<Points>) -> Result<()> {
    let Some(lp_max) = lp_max else { return Ok(()) };
    let above = tiers.iter().filter(|other| other.lp_min > tier.lp_min);
    let detail = match above.min_by_key(|other| other.lp_min) {
        None => "must be absent or null: this is the highest tier, which has no end".to_owned(),
        Some(next) if (next.lp_min - Points::of(Decimal::ONE)..=next.lp_min).contains(&lp_max) => return Ok(()),
        Some(next) => format!(
            "must be {}, where the next tier, {}, begins",
            next.lp_min.value(),
            next.tier_level
        ),
    };
    Err(Error::Validation(FieldErrors::one("/lp_max", "range", detail)))
}

/// Removes a tier from the ladder.
///
/// # Errors
/// `NotFound`; [`TierError`] if players are in the tier, the redemption catalogue names it, or a rule or another tier
/// reads a benefit that would be removed; `Validation` if the ladder would become invalid.
pub async fn delete(db: &Db, tier_level: &str, act: &Act) -> Result<Tier> {
    transaction!(db, |tx| delete_in_tx(tx, tier_level, act))
}

async fn delete_in_tx(tx: &Tx<'_>, tier_level: &str, act: &Act) -> Result<Tier> {
    let mut tiers = locked(tx).await?;
    let place = tiers.iter().position(|tier| tier.tier_level == tier_level);
    let tier = tiers.remove(place.ok_or_else(|| Error::not_found("tier", tier_level))?);
    if store::tiers::has_players(tx, tier_level).await? {
        let tier_level = tier_level.to_owned();
        return Err(TierError::HasPlayers { tier_level }.into());
    }
    if let Some(rule_id) = store::wallet::redemptions::naming_tier(tx, tier_level).await? {
        let tier_level = tier_level.to_owned();
        return Err(TierError::NamedByRedemption { tier_level, rule_id }.into());
    }
    check(tx, tiers, None).await?;
    store::tiers::delete(tx, tier_level).await?;
    let subject = Subject::Tier(tier_level);
    audit_log::append(tx, act, Action::TierDelete, subject, Sides::ended(&tier)).await?;
    Ok(tier)
}

/// Locks the tiers: until the transaction ends nobody else can change or pin them.
async fn locked(tx: &Tx<'_>) -> Result<Vec<Tier>> {
    store::tiers::lock(tx).await?;
    Ok(store::tiers::ladder(tx).await?)
}

/// Checks that the program works with these tiers; `given` is the new or changed one.
async fn check(tx: &Tx<'_>, tiers: Vec<Tier>, given: Option<&Tier>) -> Result<()> {
    let mut errors = given.map(check_tier).unwrap_or_default();
    if tiers.len() > TIERS_MAX {
        errors.push("", "range", format!("a ladder has at most {TIERS_MAX} tiers"));
    }
    let ladder = match Ladder::new(tiers) {
        Ok(ladder) => Some(ladder),
        Err(broken) => {
            errors.extend(broken);
            None
        }
    };
    let Some(ladder) = ladder.filter(|_| errors.is_empty()) else {
        errors.dedup();
        return Err(errors.into());
    };
    let catalogue = Catalogue::new(&ladder);
    if let Some(requirements) = given.and_then(|tier| tier.requirements.as_ref()) {
        Condition::read(requirements, "/requirements", &catalogue)?;
    }
    check_requirements(&ladder, &catalogue)?;
    check_rules(tx, &catalogue).await
}

/// The facts that tiers require must still exist.
fn check_requirements(ladder: &Ladder, catalogue: &Catalogue) -> Result<()> {
    for tier in ladder.tiers() {
        let read = tier
            .requirements
            .as_ref()
            .map(|requirements| Condition::load(requirements, "/requirements", catalogue));
        if let Some(Err(errors)) = read {
            let tier_level = tier.tier_level.clone();
            return Err(TierError::NamedByTier { tier_level, errors }.into());
        }
    }
    Ok(())
}

/// Errors of a tier on its own.
fn check_tier(tier: &Tier) -> FieldErrors {
    let mut errors = FieldErrors::default();
    if !is_word(&tier.tier_level) {
        let detail = format!("must have 1 to {NAME_BYTES_MAX} letters, digits, - or _");
        errors.push("/tier_level", "format", detail);
    }
    if tier.benefits.len() > BENEFITS_MAX {
        errors.push(
            "/benefits",
            "range",
            format!("a tier has at most {BENEFITS_MAX} benefits"),
        );
    }
    let facts = facts_of_the_program();
    for (name, value) in &tier.benefits {
        let pointer = child("/benefits", name);
        if !is_fact_name(name) {
            let detail = format!("must have 1 to {NAME_BYTES_MAX} letters, digits or _ and begin with a letter");
            errors.push(pointer.as_str(), "format", detail);
        }
        if facts.as_ref().is_some_and(|facts| facts.id(name).is_some()) {
            errors.push(
                pointer.as_str(),
                "duplicate",
                format!("{name} is already a fact of the program"),
            );
        }
        if let Value::Number(number) = value
            && let Err(error) = parse_signed(&number.to_string(), Decimal::MAX_SCALE)
        {
            errors.push(pointer, "range", format!("{number} {error}"));
        } else if name == LP_MULTIPLIER && !is_multiplier(value) {
            errors.push(
                pointer,
                "range",
                "must be a number from 0 to 1000, which multiplies the points that play earns",
            );
        }
    }
    errors
}

/// Whether the value is a valid multiplier of earned points: 0 to 1000.
fn is_multiplier(value: &Value) -> bool {
    let Value::Number(number) = value else { return false };
    parse_signed(&number.to_string(), Decimal::MAX_SCALE)
        .is_ok_and(|factor| (Decimal::ZERO..=Decimal::ONE_THOUSAND).contains(&factor))
}

fn is_word(name: &str) -> bool {
    (1..=NAME_BYTES_MAX).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-')
}

/// Formulas read benefits by name.
fn is_fact_name(name: &str) -> bool {
    is_word(name) && !name.contains('-') && name.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// The facts that exist without any tier's benefits.
fn facts_of_the_program() -> Option<Catalogue> {
    let bare = Tier {
        tier_level: "X".into(),
        lp_min: Points::ZERO,
        benefits: Default::default(),
        requirements: None,
    };
    Ladder::new(vec![bare]).ok().as_ref().map(Catalogue::new)
}

/// Every benefit that a rule reads must exist on some tier.
async fn check_rules(tx: &Tx<'_>, catalogue: &Catalogue) -> Result<()> {
    let settings = crate::program::settings::load(tx).await?;
    for stored in store::rules::load_unarchived(tx).await? {
        if let Err(errors) = Rule::load(&stored.definition, catalogue, &settings) {
            let rule_id = stored.rule_id;
            return Err(TierError::NamedByRule { rule_id, errors }.into());
        }
    }
    Ok(())
}
