//! Everything a decision about one player needs.

use crate::id::PlayerId;
use crate::metrics::{Totals, Windows};
use crate::segment::Segment;
use crate::text_enum;
use jiff::Timestamp;
use rust_decimal::Decimal;

text_enum! {
    /// Whether a player may be rewarded at all.
    pub enum Eligibility as "eligibility" {
        Eligible = "ELIGIBLE",
        /// The account's standing could not be read.
        Unknown = "UNKNOWN",
        Inactive = "INACTIVE",
        Blocked = "BLOCKED",
        SelfExcluded = "SELF_EXCLUDED",
    }
}

/// The status of the player's account, as the casino reports it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AccountStanding {
    pub is_active: bool,
    pub is_blocked: bool,
    pub self_excluded_until: Option<Timestamp>,
}

impl AccountStanding {
    /// The end of the current exclusion; `None` if the player is not excluded now.
    pub fn excluded_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.self_excluded_until.filter(|until| now < *until)
    }

    pub fn eligibility(&self, now: Timestamp) -> Eligibility {
        if self.is_blocked {
            Eligibility::Blocked
        } else if self.excluded_until(now).is_some() {
            Eligibility::SelfExcluded
        } else if self.is_active {
            Eligibility::Eligible
        } else {
            Eligibility::Inactive
        }
    }
}

/// Wallet balances.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Balances {
    pub lp: Decimal,
    pub rp: Decimal,
    pub bonus: Decimal,
    pub tickets: Decimal,
}

/// Money cost of the rewards issued in the last 1, 7 and 30 days.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RewardSpend {
    pub day: Decimal,
    pub days_7: Decimal,
    pub days_30: Decimal,
}

/// A rule that already paid this player in a period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastGrant {
    pub rule_id: String,
    pub period_key: String,
}

/// Read under the player's lock, with one statement per table.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayerSnapshot {
    pub player_id: PlayerId,
    /// `None`: it could not be read, so the eligibility gate refuses.
    pub standing: Option<AccountStanding>,
    pub segment: Option<Segment>,
    pub tier: String,
    pub totals: Totals,
    pub windows: Windows,
    pub balances: Balances,
    pub risk_score: u8,
    pub kyc_completed: bool,
    pub profile_depth: Decimal,
    pub registered_at: Option<Timestamp>,
    pub spend: RewardSpend,
    pub past_grants: Vec<PastGrant>,
}
