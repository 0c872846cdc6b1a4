//! The events for the operator's systems, and their payloads.
//!
//! To add an event: a line in the list below, a payload, and a snapshot of its JSON. The fields of a payload are in
//! alphabetical order, as receivers have always seen them.

use crate::account::Adjustment;
use crate::bonus::{Grant, GrantStatus, NewGrant, Transition};
use crate::id::{EventId, GrantId, PlayerId, RedemptionId, RedemptionRuleId, SignalId, TransactionId};
use crate::ledger::{Kind, Posting};
use crate::money::{Asset, Money, Points, Quantity};
use crate::redemption::{Redemption, Target};
use crate::risk::{Signal, SignalType};
use crate::rule::RewardType;
use crate::segment::Segment;
use crate::text_enum;
use crate::tier::MoveReason;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

macro_rules! events {
    ($( $(#[$meta:meta])* $event:ident($payload:ident) = $text:literal, )+) => {
        text_enum! {
            /// The types a webhook can subscribe to.
            pub enum EventType as "type of event" {
                $( $event = $text, )+
            }
        }

        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(untagged)]
        pub enum Event {
            $( $(#[$meta])* $event($payload), )+
        }

        impl Event {
            pub const fn event_type(&self) -> EventType {
                match self {
                    $( Self::$event(_) => EventType::$event, )+
                }
            }

            /// The player whose events are delivered in the order in which they happened.
            pub const fn player_id(&self) -> &PlayerId {
                match self {
                    $( Self::$event(payload) => &payload.player_id, )+
                }
            }
        }
    };
}

events! {
    BonusActivated(BonusStep) = "bonus.activated",
    /// Play turned out otherwise: an event came late or was voided.
    BonusAdjusted(BonusAdjusted) = "bonus.adjusted",
    BonusCancelled(BonusStep) = "bonus.cancelled",
    BonusCompleted(BonusStep) = "bonus.completed",
    BonusDepleted(BonusStep) = "bonus.depleted",
    BonusExpired(BonusStep) = "bonus.expired",
    BonusForfeited(BonusStep) = "bonus.forfeited",
    PointsExpired(PointsExpired) = "points.expired",
    RedemptionCreated(RedemptionCreated) = "redemption.created",
    RewardGranted(RewardGranted) = "reward.granted",
    SegmentChanged(SegmentChanged) = "segment.changed",
    SignalRaised(SignalRaised) = "signal.raised",
    TierChanged(TierChanged) = "tier.changed",
    TierDowngradeDue(TierDowngradeDue) = "tier.downgrade_due",
    /// The operator's systems may have acted on the reversed transaction: above all, a cashier may have paid a
    /// redemption.
    TransactionReversed(TransactionReversed) = "transaction.reversed",
}

/// A change of a bonus's status. For a completed bonus, the cashier pays `cash_amount`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BonusStep {
    pub amount: Money,
    pub cash_amount: Money,
    pub forfeited_amount: Money,
    pub grant_id: GrantId,
    pub player_id: PlayerId,
    pub reason: Option<String>,
    pub rule_id: Option<String>,
    pub transaction_id: TransactionId,
}

/// What a bonus became in cash turned out otherwise, or an ended bonus goes on as another grant. The cashier pays
/// `cash_delta`; below 0 the player has been paid that much too much.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BonusAdjusted {
    /// The first grant of the bonus.
    pub bonus_id: GrantId,
    pub cash_delta: Money,
    pub event_id: EventId,
    /// The bonus's grant from now on.
    pub grant_id: GrantId,
    pub player_id: PlayerId,
    /// Cash that the bonus became in total.
    pub total_owed: Money,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PointsExpired {
    pub amount: Quantity,
    pub currency_type: Asset,
    pub new_balance: Quantity,
    pub player_id: PlayerId,
    pub transaction_id: TransactionId,
}

/// For CASH this is the only notice: the cashier pays.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RedemptionCreated {
    pub amount: Quantity,
    pub cost: Quantity,
    pub cost_currency: Asset,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant_id: Option<GrantId>,
    pub player_id: PlayerId,
    pub redemption_id: RedemptionId,
    pub rule_id: RedemptionRuleId,
    pub target: Target,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RewardGranted {
    pub amount: Quantity,
    pub currency_type: Asset,
    pub expires_at: Option<Timestamp>,
    pub grant_id: GrantId,
    pub player_id: PlayerId,
    pub reward_type: RewardType,
    pub rule_id: Option<String>,
    pub status: GrantStatus,
    pub wagering_required: Money,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentChanged {
    pub from: Segment,
    pub player_id: PlayerId,
    pub to: Segment,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SignalRaised {
    pub evidence: Value,
    pub player_id: PlayerId,
    pub raised_at: Timestamp,
    pub severity: u8,
    pub signal_id: SignalId,
    #[serde(rename = "type")]
    pub signal_type: SignalType,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TierChanged {
    pub from: String,
    pub player_id: PlayerId,
    pub qualifying_lp: Points,
    pub reason: MoveReason,
    pub to: String,
}

/// The player keeps the tier until `due_at`, and beyond it if they earn `lp_missing` before then.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TierDowngradeDue {
    pub due_at: Timestamp,
    pub lp_missing: Points,
    pub player_id: PlayerId,
    pub qualifying_lp: Points,
    pub tier: String,
    pub to: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TransactionReversed {
    pub kind: Kind,
    pub player_id: PlayerId,
    pub reversed_transaction_id: TransactionId,
    pub transaction_id: TransactionId,
}

impl Event {
    pub fn granted(new: &NewGrant, grant: &Grant) -> Self {
        Self::RewardGranted(RewardGranted {
            amount: new.asset.quantity(new.amount),
            currency_type: new.asset,
            expires_at: new.expires_at,
            grant_id: new.grant_id,
            player_id: new.player_id.clone(),
            reward_type: new.reward_type,
            rule_id: new.rule.as_ref().map(|rule| rule.rule_id.clone()),
            status: new.status(),
            wagering_required: Money::of(grant.wagering_required),
        })
    }

    /// Returns `None` for PENDING: a bonus starts in that status, and [`Event::granted`] reports it.
    pub fn moved(step: &Transition) -> Option<Self> {
        let event = match step.to {
            GrantStatus::Pending => return None,
            GrantStatus::Active => Self::BonusActivated,
            GrantStatus::Completed => Self::BonusCompleted,
            GrantStatus::Expired => Self::BonusExpired,
            GrantStatus::Forfeited => Self::BonusForfeited,
            GrantStatus::Cancelled => Self::BonusCancelled,
            GrantStatus::Depleted => Self::BonusDepleted,
        };
        Some(event(BonusStep {
            amount: Money::of(step.amount),
            cash_amount: Money::of(step.cash),
            forfeited_amount: Money::of(step.lost),
            grant_id: step.grant_id,
            player_id: step.player_id.clone(),
            reason: step.reason.clone(),
            rule_id: step.rule_id.clone(),
            transaction_id: step.operation.transaction_id,
        }))
    }

    pub fn adjusted(adjustment: &Adjustment) -> Self {
        Self::BonusAdjusted(BonusAdjusted {
            bonus_id: adjustment.root_id,
            cash_delta: Money::of(adjustment.cash_delta),
            event_id: adjustment.event_id.clone(),
            grant_id: adjustment.grant_id,
            player_id: adjustment.player_id.clone(),
            total_owed: Money::of(adjustment.total_owed),
        })
    }

    /// `posting` is the one that takes the points away.
    pub fn points_expired(posting: &Posting) -> Self {
        Self::PointsExpired(PointsExpired {
            amount: posting.asset.quantity(posting.amount),
            currency_type: posting.asset,
            new_balance: posting.asset.quantity(posting.balance_after),
            player_id: posting.player_id.clone(),
            transaction_id: posting.operation.transaction_id,
        })
    }

    pub fn redemption_created(redemption: &Redemption) -> Self {
        Self::RedemptionCreated(RedemptionCreated {
            amount: redemption.target.quantity(redemption.amount),
            cost: redemption.cost_asset.quantity(redemption.cost),
            cost_currency: redemption.cost_asset,
            grant_id: redemption.grant_id,
            player_id: redemption.player_id.clone(),
            redemption_id: redemption.redemption_id,
            rule_id: redemption.rule_id.clone(),
            target: redemption.target,
        })
    }

    pub fn signal_raised(signal: &Signal) -> Self {
        Self::SignalRaised(SignalRaised {
            evidence: signal.evidence.clone(),
            player_id: signal.player_id.clone(),
            raised_at: signal.raised_at,
            severity: signal.severity,
            signal_id: signal.signal_id,
            signal_type: signal.signal_type,
        })
    }
}

#[cfg(test)]
#[path = "event_tests.rs"]
mod tests;
