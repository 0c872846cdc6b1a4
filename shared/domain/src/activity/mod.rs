//! Activity: what a player did in the operator's games and cashier, as events that count once, for ever.

mod history;
mod player;

pub use history::{EventError, History, Recorded, TakenBack, UnsettledStake};
pub use player::{Day, Earning, Happened, Player, Profile, Program};

use crate::bonus::{EndedGrant, GrantStatus};
use crate::id::{EventId, GrantId, PlayerId};
use crate::money::Money;
use crate::text_enum;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

/// Something that happened.
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
        amount: Decimal,
    },
    Stake(Stake),
    Payout(Payout),
    /// Takes back a stake or a payout, once.
    Void {
        voids: EventId,
    },
    Withdrawal {
        amount: Decimal,
    },
    /// A visit that ended.
    Session {
        minutes: Decimal,
    },
    KycCompleted,
    /// How much of the profile is filled in.
    Profile {
        /// 0 to 100 percent.
        depth: Decimal,
    },
    Login,
}

/// Money put on a game.
#[derive(Debug, Clone, PartialEq)]
pub struct Stake {
    /// Above 0, in money; all of it, the bonus part too.
    pub amount: Decimal,
    /// `None` or a game without a weight contributes nothing.
    pub game: Option<String>,
    /// What its payout will name; none: nothing can come back.
    pub round_id: Option<String>,
    /// The part paid from bonus, 0 to `amount`; the operator's game wallet decides it.
    pub bonus_amount: Decimal,
}

/// What a round paid; 0 ends a round that was lost.
#[derive(Debug, Clone, PartialEq)]
pub struct Payout {
    pub amount: Decimal,
    pub round_id: Option<String>,
}

text_enum! {
    /// What a player did, by its name.
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
            Action::Deposit { amount }
            | Action::Stake(Stake { amount, .. })
            | Action::Payout(Payout { amount, .. })
            | Action::Withdrawal { amount } => Some(*amount),
            Action::Void { .. }
            | Action::Session { .. }
            | Action::KycCompleted
            | Action::Profile { .. }
            | Action::Login => None,
        }
    }
}

/// What an event did to bonuses and points. What it did not do is not written down.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Outcome {
    /// In the order in which they were reached.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<GrantEffect>,
    /// Of a payout: the part that is real money. Of a void: bonus money that is. Both hold the share of bonuses that were
    /// completed meanwhile.
    #[serde(skip_serializing_if = "Decimal::is_zero")]
    pub real_amount: Decimal,
    /// Of a payout or a void: the share of bonuses that ended otherwise, or beyond their conversion limit.
    #[serde(skip_serializing_if = "Decimal::is_zero")]
    pub forfeited_amount: Decimal,
    /// LP that a stake earned; below 0: that a void took back, as far as the player still had them.
    #[serde(skip_serializing_if = "Decimal::is_zero")]
    pub lp: Decimal,
    /// Why less contributed than was staked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remark: Option<Remark>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GrantEffect {
    pub grant_id: GrantId,
    /// Towards the wagering requirement; below 0 when it was taken back.
    #[serde(serialize_with = "Money::show")]
    pub contribution: Decimal,
    /// Above 0: returned to the grant; below 0: left it.
    #[serde(serialize_with = "Money::show")]
    pub bonus: Decimal,
    /// What a grant that is over would have got, and the player got in money.
    #[serde(serialize_with = "Money::show")]
    pub released: Decimal,
    /// After the event; one that it emptied may be DEPLETED behind it.
    pub status: GrantStatus,
}

text_enum! {
    pub enum Remark as "remark" {
        /// A game without a weight contributes nothing.
        UnknownGame = "UNKNOWN_GAME",
        /// The bonus does not count this game.
        GameNotEligible = "GAME_NOT_ELIGIBLE",
        /// The stake is larger than the bonus allows.
        AboveMaxBet = "ABOVE_MAX_BET",
        /// The stake or payout was voided before it came.
        Voided = "VOIDED",
    }
}

/// What an event did to one grant before: read to take it back.
#[derive(Debug, Clone, PartialEq)]
pub struct PastEffect {
    pub grant_id: GrantId,
    pub contribution: Decimal,
    pub bonus: Decimal,
    /// `None`: the grant is open.
    pub ended: Option<EndedGrant>,
}
