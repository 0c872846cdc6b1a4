//! The redemption catalogue: what points can be redeemed for, by whom, and how often.
//!
//! # Choices
//!
//! * A catalogue entry has no versions. A redemption copies what it cost and gave; the audit log has every edit.
//!   Entries are switched off, never deleted. A tier that an entry names cannot be deleted (409).
//! * Objections are reported in this order: player, entry inactive, tier, monthly limit, minimum balance, balance. The
//!   minimum is of the cost's currency, before the cost is taken.
//! * A monthly limit counts calendar months of the program's time zone, as it was at the time of each redemption. A
//!   reversed redemption makes room in the month in which it was redeemed.
//! * Redeeming passes no gates: the player pays. A redeemed bonus counts as a reward issued with its full amount as
//!   cost, also against the caps of later rewards. Its eligible games must contribute by default.

use crate::account::{Account, AccountError};
use crate::bonus::{GrantTerms, NewGrant, weighted_games};
use crate::id::{GrantId, PlayerId, RedemptionId, RedemptionRuleId, TransactionId};
use crate::ledger::{Cause, House, Kind, LedgerError, Operation};
use crate::money::{Asset, MONEY_SCALE, Money, Quantity};
use crate::problem::FieldErrors;
use crate::rule::RewardType;
use crate::rule::condition::Checks;
use crate::rule::fields::{Bounds, Fields, read_name};
use crate::rule::reward::{EXPIRY_HOURS_MAX, check_requirement, check_terms, multiplier};
use crate::settings::Settings;
use crate::spelling::nearest;
use crate::text_enum;
use crate::tier::Ladder;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

text_enum! {
    /// What points are redeemed for.
    pub enum Target as "redemption target" {
        /// Paid by the operator's cashier; the program has no cash wallet.
        Cash = "CASH",
        /// A grant under the rule's terms.
        Bonus = "BONUS",
        Tickets = "TICKETS",
    }
}

impl Target {
    /// Decimal places.
    pub const fn scale(self) -> u32 {
        self.unit().scale()
    }

    /// This amount of the target.
    pub const fn quantity(self, value: Decimal) -> Quantity {
        self.unit().quantity(value)
    }

    /// Cash has the scale of bonus money.
    const fn unit(self) -> Asset {
        match self {
            Target::Cash | Target::Bonus => Asset::Bonus,
            Target::Tickets => Asset::Tickets,
        }
    }
}

/// One entry of the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct RedemptionRule {
    pub rule_id: RedemptionRuleId,
    pub name: String,
    pub description: Option<String>,
    /// Above 0, scale 2.
    pub cost: Decimal,
    /// RP or LP.
    pub cost_asset: Asset,
    pub target: Target,
    /// Above 0, at the target's scale.
    pub amount: Decimal,
    /// The lowest tier that may redeem; `None`: every tier.
    pub tier_min: Option<String>,
    /// The balance of the cost's asset that the player must have before redeeming.
    pub balance_min: Option<Decimal>,
    /// Redemptions per player and calendar month in the program's time zone, at least 1.
    pub monthly_limit: Option<u32>,
    pub is_active: bool,
    /// Only for a BONUS.
    pub terms: Option<GrantTerms>,
}

const FIELDS: &[&str] = &[
    "rule_id",
    "name",
    "description",
    "cost",
    "cost_currency",
    "target",
    "amount",
    "tier_min",
    "balance_min",
    "monthly_limit",
    "is_active",
    "wagering_requirement",
    "expiry_hours",
    "eligible_games",
    "max_bet",
    "max_conversion",
];
/// Fields that only a BONUS can have.
const TERMS: [&str; 5] = [
    "wagering_requirement",
    "expiry_hours",
    "eligible_games",
    "max_bet",
    "max_conversion",
];

const NAME_CHARS_MAX: usize = 200;
const DESCRIPTION_CHARS_MAX: usize = 2_000;
const MONTHLY_LIMIT_MAX: i32 = 1_000_000;

impl RedemptionRule {
    /// Parses an entry for saving.
    ///
    /// # Errors
    /// All its errors, each with a JSON pointer.
    pub fn parse(value: &Value, ladder: &Ladder, settings: &Settings) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let rule = Fields::of(value, "", FIELDS, &mut errors)
            .and_then(|mut fields| Self::fields(&mut fields, ladder, settings));
        match rule {
            Some(rule) => errors.none_or(rule),
            None => Err(errors),
        }
    }

    fn fields(fields: &mut Fields<'_, '_>, ladder: &Ladder, settings: &Settings) -> Option<Self> {
        let rule_id = rule_id(fields);
        for name in ["name", "cost", "target", "amount"] {
            fields.required(name);
        }
        let name = fields.text("name", NAME_CHARS_MAX);
        let description = fields.text("description", DESCRIPTION_CHARS_MAX).map(str::to_owned);
        let cost = fields.decimal("cost", above_zero(MONEY_SCALE));
        let cost_asset = fields
            .one_of("cost_currency", &[Asset::Rp, Asset::Lp])
            .unwrap_or(Asset::Rp);
        let target = fields.one_of("target", &Target::ALL);
        let scale = target.map_or(MONEY_SCALE, Target::scale);
        let amount = fields.decimal("amount", above_zero(scale));
        let tier_min = tier_min(fields, ladder);
        let balance_min = fields.decimal("balance_min", Bounds::at_least_zero(MONEY_SCALE));
        let monthly_limit = fields
            .whole("monthly_limit", 1, MONTHLY_LIMIT_MAX)
            .and_then(|limit| u32::try_from(limit).ok());
        let is_active = fields.flag("is_active", true);
        let terms = target.and_then(|target| terms(fields, target, amount, settings));
        Some(Self {
            rule_id: rule_id?,
            name: name?.to_owned(),
            description,
            cost: cost?,
            cost_asset,
            target: target?,
            amount: amount?,
            tier_min,
            balance_min,
            monthly_limit,
            is_active,
            terms,
        })
    }

    /// The entry as returned by the API and kept in the audit log. Parsing it gives this entry again.
    pub fn definition(&self) -> Map<String, Value> {
        let terms = self.terms.as_ref();
        let optional = [
            ("description", self.description.as_ref().map(|text| json!(text))),
            ("tier_min", self.tier_min.as_ref().map(|tier| json!(tier))),
            ("balance_min", self.balance_min.map(|balance| json!(Money::of(balance)))),
            ("monthly_limit", self.monthly_limit.map(|limit| json!(limit))),
            (
                "wagering_requirement",
                terms.map(|terms| json!(terms.wagering_requirement)),
            ),
            (
                "expiry_hours",
                terms.and_then(|terms| terms.expiry_hours).map(|hours| json!(hours)),
            ),
            (
                "eligible_games",
                terms
                    .and_then(|terms| terms.eligible_games.as_ref())
                    .map(|games| json!(games)),
            ),
            (
                "max_bet",
                terms.and_then(|terms| terms.max_bet).map(|bet| json!(Money::of(bet))),
            ),
            (
                "max_conversion",
                terms
                    .and_then(|terms| terms.max_conversion)
                    .map(|multiple| json!(multiple)),
            ),
        ];
        let given = [
            ("rule_id", json!(self.rule_id)),
            ("name", json!(self.name)),
            ("cost", json!(self.cost_asset.quantity(self.cost))),
            ("cost_currency", json!(self.cost_asset)),
            ("target", json!(self.target)),
            ("amount", json!(self.target.quantity(self.amount))),
            ("is_active", json!(self.is_active)),
        ];
        let optional = optional.into_iter().filter_map(|(name, value)| Some((name, value?)));
        given
            .into_iter()
            .chain(optional)
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }

    /// Checks whether the applicant may redeem now. The ledger checks that the balance covers the cost.
    ///
    /// # Errors
    /// The first obstacle, with its figures. A tier that is not on the ladder counts as below all others.
    pub fn may_redeem(&self, applicant: &Applicant<'_>, ladder: &Ladder) -> Result<(), RedemptionRefusal> {
        if !self.is_active {
            return Err(RedemptionRefusal::Inactive {
                rule_id: self.rule_id.clone(),
            });
        }
        if let Some(required) = &self.tier_min {
            let ranks = ladder.rank(applicant.tier).zip(ladder.rank(required));
            if ranks.is_none_or(|(rank, required)| rank < required) {
                return Err(RedemptionRefusal::TierTooLow {
                    tier: applicant.tier.to_owned(),
                    required: required.clone(),
                });
            }
        }
        if let Some(limit) = self.monthly_limit
            && applicant.used >= limit
        {
            return Err(RedemptionRefusal::MonthlyLimit {
                used: applicant.used,
                limit,
            });
        }
        match self.balance_min {
            Some(required) if applicant.available < required => {
                let asset = self.cost_asset;
                Err(RedemptionRefusal::BelowMinimum {
                    asset,
                    available: asset.quantity(applicant.available),
                    required: asset.quantity(required),
                })
            }
            _ => Ok(()),
        }
    }

    /// Takes the cost and gives what it buys, in one transaction of the account. Call [`Self::may_redeem`] first.
    ///
    /// # Errors
    /// `InsufficientBalance` when the balance does not cover the cost.
    /// `InsufficientBalance` when the balance does not cover the cost.
    pub fn redeem(&self, account: &mut Account, order: Order, cause: &Cause<'_>) -> Result<Redemption, AccountError> {
        let operation = cause.operation(Kind::Redemption, order.reference);
        account.spend(self.cost_asset, self.cost, House::Redemption, &operation)?;
        let grant_id = match self.target {
            Target::Cash => None,
            Target::Tickets => {
                account.credit(Asset::Tickets, self.amount, House::Redemption, None, &operation, cause)?;
                None
            }
            Target::Bonus => Some(self.give_bonus(account, &operation, cause)?),
        };
        Ok(Redemption {
            player_id: account.player_id().clone(),
            redemption_id: order.redemption_id,
            rule_id: self.rule_id.clone(),
            transaction_id: operation.transaction_id,
            cost: self.cost,
            cost_asset: self.cost_asset,
            target: self.target,
            amount: self.amount,
            grant_id,
            month: order.month,
            redeemed_at: operation.at,
            reversed_at: None,
        })
    }

    fn give_bonus(
        &self,
        account: &mut Account,
        operation: &Operation,
        cause: &Cause<'_>,
    ) -> Result<GrantId, AccountError> {
        let terms = self.terms.clone().unwrap_or_default();
        let grant_id = GrantId((cause.context.new_id)());
        let required = terms.wagering_required(self.amount, Decimal::ZERO);
        let grant = NewGrant {
            player_id: account.player_id().clone(),
            grant_id,
            rule: None,
            reward_type: RewardType::BonusBalance,
            asset: Asset::Bonus,
            amount: self.amount,
            // A purchased bonus is no gift: its cost is its full amount.
            cost: self.amount,
            expected_revenue: None,
            wagering_required: required.ok_or(LedgerError::OutOfRange { asset: Asset::Bonus })?,
            issued_at: operation.at,
            expires_at: terms
                .expiry_hours
                .map(|hours| operation.at + SignedDuration::from_hours(hours.into())),
            terms: Some(terms),
        };
        account.issue(grant, operation, cause)?;
        Ok(grant_id)
    }
}

/// A request to redeem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    pub redemption_id: RedemptionId,
    /// The business key of its postings.
    pub reference: String,
    /// First day of the current month, in the program's time zone.
    pub month: Date,
}

/// The player who wants to redeem, as read under the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Applicant<'a> {
    pub tier: &'a str,
    /// Balance of the cost's asset.
    pub available: Decimal,
    /// Redemptions of this rule in this month, without reversed ones.
    pub used: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedemptionRefusal {
    #[error("redemption rule {rule_id} is not active")]
    Inactive { rule_id: RedemptionRuleId },
    #[error("the player's tier is {tier}; the lowest tier that may redeem this is {required}")]
    TierTooLow { tier: String, required: String },
    #[error("the balance is {available} {asset}; redeeming requires at least {required}")]
    BelowMinimum {
        asset: Asset,
        available: Quantity,
        required: Quantity,
    },
    #[error("redeemed {used} times this month; the limit is {limit}")]
    MonthlyLimit { used: u32, limit: u32 },
}

impl RedemptionRefusal {
    /// Stable, for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Inactive { .. } => "redemption_rule_inactive",
            Self::TierTooLow { .. } => "tier_too_low",
            Self::BelowMinimum { .. } => "balance_below_minimum",
            Self::MonthlyLimit { .. } => "monthly_limit_reached",
        }
    }
}

/// A redemption, with the rule's figures at that time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redemption {
    pub player_id: PlayerId,
    pub redemption_id: RedemptionId,
    pub rule_id: RedemptionRuleId,
    /// The transaction of its postings.
    pub transaction_id: TransactionId,
    pub cost: Decimal,
    pub cost_asset: Asset,
    pub target: Target,
    pub amount: Decimal,
    /// Only for a BONUS.
    pub grant_id: Option<GrantId>,
    /// First day of the month that it counts for, in the program's time zone.
    pub month: Date,
    pub redeemed_at: Timestamp,
    /// A reversed redemption does not count against the monthly limit.
    pub reversed_at: Option<Timestamp>,
}

impl Redemption {
    pub const fn cost(&self) -> Quantity {
        self.cost_asset.quantity(self.cost)
    }

    pub const fn amount(&self) -> Quantity {
        self.target.quantity(self.amount)
    }
}

fn rule_id(fields: &mut Fields<'_, '_>) -> Option<RedemptionRuleId> {
    let Some(text) = fields.required("rule_id")?.as_str() else {
        fields.error("rule_id", "type", "must be a text");
        return None;
    };
    RedemptionRuleId::parse(text)
        .map_err(|error| fields.error("rule_id", "format", error.to_string()))
        .ok()
}

/// At least the smallest amount with `scale` decimal places.
fn above_zero(scale: u32) -> Bounds {
    Bounds {
        min: Decimal::new(1, scale),
        max: None,
        scale,
    }
}

fn tier_min(fields: &mut Fields<'_, '_>, ladder: &Ladder) -> Option<String> {
    let tier = fields.text("tier_min", NAME_CHARS_MAX)?;
    if ladder.rank(tier).is_none() {
        let guess = nearest(tier, ladder.tiers().iter().map(|tier| tier.tier_level.as_str()));
        let guess = guess.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
        fields.error("tier_min", "unknown", format!("there is no tier {tier:?}{guess}"));
    }
    Some(tier.to_owned())
}

fn terms(
    fields: &mut Fields<'_, '_>,
    target: Target,
    amount: Option<Decimal>,
    settings: &Settings,
) -> Option<GrantTerms> {
    if target != Target::Bonus {
        for name in TERMS
            .into_iter()
            .filter(|name| fields.get(name).is_some())
            .collect::<Vec<_>>()
        {
            fields.error(name, "unknown", format!("{target} is not wagered and has no {name}"));
        }
        return None;
    }
    let terms = GrantTerms {
        wagering_requirement: fields.decimal("wagering_requirement", multiplier()).unwrap_or_default(),
        expiry_hours: fields
            .whole("expiry_hours", 1, EXPIRY_HOURS_MAX)
            .and_then(|hours| u32::try_from(hours).ok()),
        eligible_games: fields.list("eligible_games", weighted_game),
        max_bet: fields.decimal("max_bet", Bounds::at_least_zero(MONEY_SCALE)),
        max_conversion: fields.decimal("max_conversion", multiplier()),
        ..GrantTerms::default()
    };
    check_terms(fields, &terms, settings, Checks::Save);
    check_requirement(fields, &terms, amount.unwrap_or_default());
    Some(terms)
}

/// A game that contributes to wagering. A bonus limited to other games could never be wagered.
fn weighted_game(item: &Value, pointer: &str, errors: &mut FieldErrors) -> Option<String> {
    let games: Vec<&str> = weighted_games().collect();
    read_name(item, pointer, &games, errors).map(str::to_owned)
}
