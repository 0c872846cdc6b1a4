//! Grants: rewards that were issued, and the life cycle of bonus grants.

use super::terms::GrantTerms;
use crate::id::{EvaluationId, GrantId, PlayerId};
use crate::ledger::Operation;
use crate::money::{Asset, round_reward};
use crate::player::Claim;
use crate::rule::RewardType;
use crate::text_enum;
use jiff::Timestamp;
use rust_decimal::Decimal;
use std::cmp::Ordering;

text_enum! {
    /// The status of a grant. All but the first two are final.
    pub enum GrantStatus as "grant status" {
        /// Waits for the player's opt-in; holds no money.
        Pending = "PENDING",
        Active = "ACTIVE",
        /// Converted. Grants of points and tickets start in this status.
        Completed = "COMPLETED",
        Expired = "EXPIRED",
        Forfeited = "FORFEITED",
        Cancelled = "CANCELLED",
        /// Its money was lost in play.
        Depleted = "DEPLETED",
    }
}

impl GrantStatus {
    pub const fn is_open(self) -> bool {
        matches!(self, GrantStatus::Pending | GrantStatus::Active)
    }
}

/// A grant to be created.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGrant {
    pub player_id: PlayerId,
    pub grant_id: GrantId,
    /// `None`: given by a person, or redeemed.
    pub rule: Option<GrantedRule>,
    pub reward_type: RewardType,
    pub asset: Asset,
    /// Above 0.
    pub amount: Decimal,
    /// Expected cost, in money.
    pub cost: Decimal,
    pub expected_revenue: Option<Decimal>,
    /// Money to stake before a bonus converts; 0 converts at once.
    pub wagering_required: Decimal,
    /// Only for a bonus.
    pub terms: Option<GrantTerms>,
    pub issued_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedRule {
    pub rule_id: String,
    pub version: i32,
    pub claim: Claim,
    pub evaluation_id: EvaluationId,
}

impl NewGrant {
    /// The initial status.
    pub fn status(&self) -> GrantStatus {
        match &self.terms {
            None => GrantStatus::Completed,
            Some(terms) if terms.requires_opt_in => GrantStatus::Pending,
            Some(_) => GrantStatus::Active,
        }
    }

    /// The grant before anything is posted.
    pub fn opened(&self) -> Grant {
        let status = self.status();
        Grant {
            grant_id: self.grant_id,
            root_id: self.grant_id,
            corrects: None,
            rule_id: self.rule.as_ref().map(|rule| rule.rule_id.clone()),
            status,
            reason: None,
            amount: self.amount,
            balance: Decimal::ZERO,
            flows: Flows::default(),
            released: Decimal::ZERO,
            wagering_required: self.wagering_required,
            wagering_completed: Decimal::ZERO,
            terms: self.terms.clone().unwrap_or_default(),
            issued_at: self.issued_at,
            activated_at: (status == GrantStatus::Active).then_some(self.issued_at),
            expires_at: self.expires_at,
            closed_at: (!status.is_open()).then_some(self.issued_at),
            ended_at: None,
            transitions: 0,
        }
    }
}

/// What moved through a bonus since it was funded. Its balance is its amount plus `played` and `adjusted`, less `lost`
/// and `converted`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flows {
    /// Payouts less stakes.
    pub played: Decimal,
    /// By people: below 0 what they deducted.
    pub adjusted: Decimal,
    /// Lost when it ended.
    pub lost: Decimal,
    /// Money it converted to.
    pub converted: Decimal,
}

impl Flows {
    pub fn sum(&self) -> Decimal {
        self.played + self.adjusted - self.lost - self.converted
    }
}

/// A bonus in its current state: the last grant of a chain of corrections. Only that one can be open, and its flows and
/// its wagering are those of the whole chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    pub grant_id: GrantId,
    /// The first grant of the chain, which names the bonus through all corrections.
    pub root_id: GrantId,
    /// The ended grant that this one continues, because an event turned out otherwise.
    pub corrects: Option<GrantId>,
    /// `None`: given by a person, or redeemed.
    pub rule_id: Option<String>,
    pub status: GrantStatus,
    /// Why it ended.
    pub reason: Option<String>,
    pub amount: Decimal,
    /// Bonus money it holds.
    pub balance: Decimal,
    pub flows: Flows,
    /// Money that came back to it after it was completed, and went to the player.
    pub released: Decimal,
    pub wagering_required: Decimal,
    pub wagering_completed: Decimal,
    pub terms: GrantTerms,
    pub issued_at: Timestamp,
    /// `None`: not activated yet, or ended before.
    pub activated_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    /// When its end was recorded.
    pub closed_at: Option<Timestamp>,
    /// The instant of play at which it ended: that of the stake, the withdrawal or the act that ended it, or its expiry.
    pub ended_at: Option<Timestamp>,
    /// Number of steps in its history.
    pub transitions: i16,
}

impl Grant {
    pub fn is_expired_at(&self, instant: Timestamp) -> bool {
        self.expires_at.is_some_and(|expires_at| expires_at <= instant)
    }

    /// Whether it has been activated, has not ended, and was already active at `instant`: play at that instant reaches
    /// it.
    pub fn is_active_at(&self, instant: Timestamp) -> bool {
        self.status == GrantStatus::Active && self.was_activated_by(instant)
    }

    fn was_activated_by(&self, instant: Timestamp) -> bool {
        self.activated_at.is_some_and(|activated_at| activated_at <= instant)
    }

    /// Whether money that returns at `instant` brings it back to life: it was played out, but is not over.
    pub fn is_revived_at(&self, instant: Timestamp) -> bool {
        self.status == GrantStatus::Depleted && self.was_activated_by(instant) && !self.is_expired_at(instant)
    }

    pub fn wagering_left(&self) -> Decimal {
        self.wagering_required - self.wagering_completed
    }

    pub fn is_untouched(&self) -> bool {
        self.balance == self.amount && self.wagering_completed.is_zero()
    }

    /// Upper limit of the money it may convert to; `None`: no limit. Overflow means no limit: the product exceeds every
    /// balance.
    pub fn conversion_limit(&self) -> Option<Decimal> {
        self.terms
            .max_conversion
            .and_then(|multiple| self.amount.checked_mul(multiple))
            .map(|limit| round_reward(limit, Asset::Bonus))
    }

    /// Money that the cashier owes the player for it.
    pub fn cash(&self) -> Decimal {
        self.flows.converted + self.released
    }

    /// The part of a late return of `amount` that is the player's money: up to the conversion limit if the wagering
    /// was completed, otherwise 0.
    pub fn released_of(&self, amount: Decimal) -> Decimal {
        if self.status != GrantStatus::Completed {
            return Decimal::ZERO;
        }
        match self.conversion_limit() {
            None => amount,
            Some(limit) => (limit - self.cash()).clamp(Decimal::ZERO, amount),
        }
    }
}

/// The order in which stakes contribute to grants: earliest expiry first, then oldest. A correction keeps its bonus's
/// place.
pub(crate) fn feeding_order(a: &Grant, b: &Grant) -> Ordering {
    let expiry = |grant: &Grant| (grant.expires_at.is_none(), grant.expires_at);
    expiry(a)
        .cmp(&expiry(b))
        .then(a.issued_at.cmp(&b.issued_at))
        .then(a.root_id.cmp(&b.root_id))
}

/// One step in the life of a bonus: a row of its history and an event for the operator's systems.
#[derive(Debug, Clone, PartialEq)]
pub struct Transition {
    pub player_id: PlayerId,
    pub grant_id: GrantId,
    pub rule_id: Option<String>,
    /// Dense from 1.
    pub step: i16,
    pub from: GrantStatus,
    pub to: GrantStatus,
    pub reason: Option<String>,
    pub amount: Decimal,
    /// Money the cashier pays.
    pub cash: Decimal,
    /// Bonus money that was lost.
    pub lost: Decimal,
    pub operation: Operation,
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn ended(status: GrantStatus, max_conversion: Option<i64>) -> Grant {
        let id = GrantId(Uuid::nil());
        Grant {
            grant_id: id,
            root_id: id,
            corrects: None,
            rule_id: None,
            status,
            reason: None,
            amount: 100.into(),
            balance: Decimal::ZERO,
            flows: Flows {
                converted: 250.into(),
                ..Flows::default()
            },
            released: 30.into(),
            wagering_required: Decimal::ZERO,
            wagering_completed: Decimal::ZERO,
            terms: GrantTerms {
                max_conversion: max_conversion.map(Decimal::from),
                ..GrantTerms::default()
            },
            issued_at: Timestamp::UNIX_EPOCH,
            activated_at: None,
            expires_at: None,
            closed_at: None,
            ended_at: None,
            transitions: 0,
        }
    }

    #[test]
    fn what_comes_back_late_is_the_players_only_if_the_bonus_was_wagered_and_within_the_limit() {
        assert_eq!(ended(GrantStatus::Completed, None).released_of(40.into()), 40.into());
        assert_eq!(ended(GrantStatus::Completed, Some(3)).released_of(40.into()), 20.into());
        assert_eq!(ended(GrantStatus::Completed, Some(2)).released_of(40.into()), 0.into());
        for status in [
            GrantStatus::Expired,
            GrantStatus::Forfeited,
            GrantStatus::Cancelled,
            GrantStatus::Depleted,
        ] {
            assert_eq!(ended(status, None).released_of(40.into()), 0.into());
        }
    }
}
