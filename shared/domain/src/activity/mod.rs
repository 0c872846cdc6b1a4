//! Activity: what a player did in the operator's games and cashier, as events. Each event counts exactly once.

mod history;
mod place;
mod player;
mod points;
mod replay;
mod tally;

pub use history::{EventError, History, Recorded};
pub use place::Place;
pub use player::{Changes, Day, Happened, Player, Profile, Program};
pub use points::{Earning, PlayDay};

use crate::bonus::GrantStatus;
use crate::id::{EventId, GrantId, PlayerId};
use crate::money::{Money, Positive, UpTo};
use crate::text_enum;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Minutes of a visit, at most a day.
pub type SessionMinutes = UpTo<1440>;
/// Percent of the profile that is filled in.
pub type ProfileDepth = UpTo<100>;

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// Unique per player.
    pub event_id: EventId,
    pub player_id: PlayerId,
    pub occurred_at: Timestamp,
    pub action: Action,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Deposit {
        amount: Positive<Money>,
    },
    Stake(Stake),
    Payout(Payout),
    /// Removes a stake, a payout, a deposit or a withdrawal, once.
    Void {
        voids: EventId,
    },
    Withdrawal {
        amount: Positive<Money>,
    },
    /// A completed visit.
    Session {
        minutes: SessionMinutes,
    },
    KycCompleted,
    /// The filled-in share of the profile.
    Profile {
        depth: ProfileDepth,
    },
    Login,
}

/// Money staked on a game.
#[derive(Debug, Clone, PartialEq)]
pub struct Stake {
    /// Includes the bonus part.
    pub amount: Positive<Money>,
    /// `None`, or a game without a weight, contributes nothing.
    pub game: Option<String>,
    /// The round that its payout will name; `None`: nothing can come back.
    pub round_id: Option<String>,
    /// The part paid from bonus money, 0 to `amount`, as decided by the operator's game wallet.
    pub bonus_amount: Money,
}

/// What a round paid; 0 ends a lost round.
#[derive(Debug, Clone, PartialEq)]
pub struct Payout {
    pub amount: Money,
    pub round_id: Option<String>,
}

text_enum! {
    /// The type of an event, as its text.
    pub enum EventType as "type of event" {
        Deposit = "DEPOSIT",
        Withdrawal = "WITHDRAWAL",
        Stake = "STAKE",
        Payout = "PAYOUT",
        Void = "VOID",
        Session = "SESSION",
        KycCompleted = "KYC_COMPLETED",
        Profile = "PROFILE",
        Login = "LOGIN",
    }
}

impl Action {
    pub const fn event_type(&self) -> EventType {
        match self {
            Action::Deposit { .. } => EventType::Deposit,
            Action::Stake(_) => EventType::Stake,
            Action::Payout(_) => EventType::Payout,
            Action::Void { .. } => EventType::Void,
            Action::Withdrawal { .. } => EventType::Withdrawal,
            Action::Session { .. } => EventType::Session,
            Action::KycCompleted => EventType::KycCompleted,
            Action::Profile { .. } => EventType::Profile,
            Action::Login => EventType::Login,
        }
    }

    pub fn amount(&self) -> Option<Decimal> {
        match self {
            Action::Deposit { amount } | Action::Stake(Stake { amount, .. }) | Action::Withdrawal { amount } => {
                Some(amount.value())
            }
            Action::Payout(payout) => Some(payout.amount.value()),
            Action::Void { .. }
            | Action::Session { .. }
            | Action::KycCompleted
            | Action::Profile { .. }
            | Action::Login => None,
        }
    }
}

/// The effect of an event on bonuses and points. Fields without an effect are not stored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// In the order in which the event reached them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<GrantEffect>,
    /// For a payout, the part that is real money. It includes the share of bonuses that were completed meanwhile.
    #[serde(skip_serializing_if = "Decimal::is_zero")]
    pub real_amount: Decimal,
    /// For a payout: the share of bonuses that ended otherwise, or beyond their conversion limit.
    #[serde(skip_serializing_if = "Decimal::is_zero")]
    pub forfeited_amount: Decimal,
    /// Bonus money that a stake named beyond what there was. It counts as real.
    #[serde(skip_serializing_if = "Decimal::is_zero")]
    pub overdrawn: Decimal,
    /// LP that a stake earned. Negative: LP that a void took back, in full.
    #[serde(skip_serializing_if = "Decimal::is_zero")]
    pub lp: Decimal,
    /// Of what a void took back, the LP that the player no longer had: a debt, or a signal by
    /// `activity.lp_void_policy`.
    #[serde(skip_serializing_if = "Decimal::is_zero")]
    pub lp_overspent: Decimal,
    /// Why the event did less than it could.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<Remark>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrantEffect {
    pub grant_id: GrantId,
    /// Contribution to the wagering requirement; negative where a void removes it.
    #[serde(serialize_with = "Money::show")]
    pub contribution: Decimal,
    /// Positive: returned to the grant; negative: taken from it.
    #[serde(serialize_with = "Money::show")]
    pub bonus: Decimal,
    /// Money due to an ended grant that the player received instead.
    #[serde(serialize_with = "Money::show")]
    pub released: Decimal,
    /// The status after the event. A grant emptied by the event may become DEPLETED afterwards.
    pub status: GrantStatus,
}

impl GrantEffect {
    pub(crate) fn none(grant_id: GrantId) -> Self {
        let (contribution, bonus, released) = Default::default();
        Self {
            grant_id,
            contribution,
            bonus,
            released,
            status: GrantStatus::Active,
        }
    }

    /// Whether it moves or contributes something.
    pub(crate) fn is_some(&self) -> bool {
        ![self.contribution, self.bonus, self.released]
            .iter()
            .all(Decimal::is_zero)
    }
}

text_enum! {
    pub enum Remark as "remark" {
        /// A game without a weight contributes nothing.
        UnknownGame = "UNKNOWN_GAME",
        /// The bonus's terms exclude this game.
        GameNotEligible = "GAME_NOT_ELIGIBLE",
        /// The stakes of the round are above the bonus's `max_bet`.
        AboveMaxBet = "ABOVE_MAX_BET",
        /// The event was voided before it arrived.
        Voided = "VOIDED",
        /// Nothing is staked in the payout's round so far. It counts when a stake of the round arrives.
        Waiting = "WAITING",
        /// The event is older than `activity.play_window_days`: it counts in totals and changes no bonus.
        OutsideWindow = "OUTSIDE_WINDOW",
    }
}
