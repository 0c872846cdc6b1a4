//! The place of an event among the events of its player.

use super::{Action, Event, EventType};
use crate::id::{EventId, TransactionId};
use jiff::Timestamp;

/// Events stand in the order in which they happened. At one instant: deposits, stakes, payouts, withdrawals, others;
/// then by event id. What people do stands after the events of its instant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub at: Timestamp,
    /// The order at one instant: the class of the event, and its id.
    pub rank: String,
}

impl Place {
    pub fn new(at: Timestamp, event_type: EventType, event_id: &EventId) -> Self {
        let class = match event_type {
            EventType::Deposit => 1,
            EventType::Stake => 2,
            EventType::Payout => 3,
            EventType::Withdrawal => 4,
            _ => 5,
        };
        Self {
            at,
            rank: format!("{class}{event_id}"),
        }
    }

    /// Of an event whose place is its own.
    pub fn of(event: &Event) -> Self {
        Self::new(event.occurred_at, event.action.event_type(), &event.event_id)
    }

    /// Of what a person did.
    pub fn act(at: Timestamp, id: TransactionId) -> Self {
        Self {
            at,
            rank: format!("8{id}"),
        }
    }

    /// After everything else that happened at this instant.
    pub fn last_at(at: Timestamp) -> Self {
        Self { at, rank: "9".into() }
    }
}

impl Action {
    /// Whether it may change bonuses.
    pub(super) fn reaches_bonuses(&self) -> bool {
        matches!(
            self,
            Action::Stake(_) | Action::Payout(_) | Action::Withdrawal { .. } | Action::Void { .. }
        )
    }

    /// The round of a stake or a payout.
    pub fn round_id(&self) -> Option<&str> {
        match self {
            Action::Stake(stake) => stake.round_id.as_deref(),
            Action::Payout(payout) => payout.round_id.as_deref(),
            _ => None,
        }
    }
}
