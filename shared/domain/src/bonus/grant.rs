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
            rule_id: self.rule.as_ref().map(|rule| rule.rule_id.clone()),
            status,
            reason: None,
            amount: self.amount,
            balance: Decimal::ZERO,
            wagering_required: self.wagering_required,
            wagering_completed: Decimal::ZERO,
            terms: self.terms.clone().unwrap_or_default(),
            issued_at: self.issued_at,
            activated_at: (status == GrantStatus::Active).then_some(self.issued_at),
            expires_at: self.expires_at,
            closed_at: (!status.is_open()).then_some(self.issued_at),
            converted: Decimal::ZERO,
            transitions: 0,
        }
    }
}

/// A bonus in its current state.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    pub grant_id: GrantId,
    /// `None`: given by a person, or redeemed.
    pub rule_id: Option<String>,
    pub status: GrantStatus,
    /// Why it ended.
    pub reason: Option<String>,
    pub amount: Decimal,
    /// Bonus money it holds.
    pub balance: Decimal,
    pub wagering_required: Decimal,
    pub wagering_completed: Decimal,
    pub terms: GrantTerms,
    pub issued_at: Timestamp,
    /// `None`: not activated yet.
    pub activated_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    /// Money it converted to.
    pub converted: Decimal,
    /// Number of steps in its history.
    pub transitions: i16,
}

impl Grant {
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.status.is_open() && self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }

    /// Whether a stake at `instant` may contribute: the grant was active and not expired then, and is active now.
    pub fn is_fed_at(&self, instant: Timestamp) -> bool {
        self.status == GrantStatus::Active
            && self.activated_at.is_some_and(|activated_at| activated_at <= instant)
            && self.expires_at.is_none_or(|expires_at| instant < expires_at)
    }

    pub fn wagering_left(&self) -> Decimal {
        self.wagering_required - self.wagering_completed
    }

    pub fn is_untouched(&self) -> bool {
        self.balance == self.amount && self.wagering_completed.is_zero()
    }

    /// Upper limit of the money it may convert to; `None`: no limit.
    pub fn conversion_limit(&self) -> Option<Decimal> {
        conversion_limit(self.amount, &self.terms)
    }
}

/// Overflow means no limit: the product exceeds every balance.
fn conversion_limit(amount: Decimal, terms: &GrantTerms) -> Option<Decimal> {
    terms
        .max_conversion
        .and_then(|multiple| amount.checked_mul(multiple))
        .map(|limit| round_reward(limit, Asset::Bonus))
}

/// The order in which stakes contribute to grants: earliest expiry first, then oldest.
pub(crate) fn feeding_order(a: &Grant, b: &Grant) -> Ordering {
    let expiry = |grant: &Grant| (grant.expires_at.is_none(), grant.expires_at);
    expiry(a)
        .cmp(&expiry(b))
        .then(a.issued_at.cmp(&b.issued_at))
        .then(a.grant_id.cmp(&b.grant_id))
}

/// An ended grant for which money may still come back from a round.
#[derive(Debug, Clone, PartialEq)]
pub struct EndedGrant {
    pub status: GrantStatus,
    pub amount: Decimal,
    pub terms: GrantTerms,
    /// Money it converted to when it ended.
    pub converted: Decimal,
    /// Money that came back since and went to the player.
    pub released: Decimal,
}

impl EndedGrant {
    /// The part of a late return of `amount` that is the player's money: up to the conversion limit if the wagering
    /// was completed, otherwise 0.
    pub fn released_of(&self, amount: Decimal) -> Decimal {
        if self.status != GrantStatus::Completed {
            return Decimal::ZERO;
        }
        match conversion_limit(self.amount, &self.terms) {
            None => amount,
            Some(limit) => (limit - self.converted - self.released).clamp(Decimal::ZERO, amount),
        }
    }
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

    fn ended(status: GrantStatus, max_conversion: Option<i64>) -> EndedGrant {
        let terms = GrantTerms {
            max_conversion: max_conversion.map(Decimal::from),
            ..GrantTerms::default()
        };
        EndedGrant {
            status,
            amount: 100.into(),
            terms,
            converted: 250.into(),
            released: 30.into(),
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
