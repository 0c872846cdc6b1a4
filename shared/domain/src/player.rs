//! Everything a decision about one player needs.

use crate::id::PlayerId;
use crate::metrics::{Losses, Since, Totals, Windows};
use crate::period::Stretch;
use crate::segment::{Segment, SegmentThresholds, classify};
use crate::text_enum;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Serialize;

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

/// What a grant of a rule uses up: neither the rule nor another one of its group pays the player for it again.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Claim {
    /// Unique per player and rule, and per player and group.
    pub period_key: String,
    /// The instants of a day, week or month.
    pub span: Option<Stretch>,
    pub exclusive_group: Option<String>,
    /// For a rule that pays per event, if the event was a changed segment or tier.
    pub entry: Option<Entry>,
}

/// A segment or tier that a player entered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The trigger and the segment or tier: `TIER_CHANGED:GOLD`.
    pub entered: String,
    pub at: Timestamp,
}

/// A rule that already paid this player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PastGrant {
    pub rule_id: String,
    pub claim: Claim,
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
    /// `None`: not read.
    pub losses: Option<Losses>,
    /// Number of deposits that events reported; `None`: not read.
    pub deposit_count: Option<i64>,
    pub balances: Balances,
    pub risk_score: u8,
    pub kyc_completed: bool,
    pub profile_depth: Decimal,
    pub registered_at: Option<Timestamp>,
    pub spend: RewardSpend,
    pub past_grants: Vec<PastGrant>,
}

impl PlayerSnapshot {
    /// The player as rules see them at an earlier moment. Balances, risk, profile and rewards stay those of now.
    pub fn at(&self, earlier: Earlier, thresholds: &SegmentThresholds) -> Self {
        let mut player = self.clone();
        if !earlier.since.is_nothing() {
            player.totals = self.totals.before(&earlier.since);
            player.segment = self.segment.map(|_| classify(&player.totals, thresholds));
        }
        if earlier.since.deposits > 0 {
            player.totals.last_deposit_date = earlier.last_deposit_date;
        }
        player.deposit_count = self.deposit_count.map(|count| count - earlier.since.deposits);
        if let Some(windows) = earlier.windows {
            player.windows = windows;
        }
        if let Some(losses) = earlier.losses {
            player.losses = Some(losses);
        }
        if let Some(tier) = earlier.tier {
            player.tier = tier;
        }
        player.kyc_completed &= !earlier.verified_since;
        player
    }
}

/// What was different about a player at an earlier moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Earlier {
    /// What the player did since.
    pub since: Since,
    /// If the player deposited since: the day of the last deposit before.
    pub last_deposit_date: Option<Date>,
    /// Those that end on the day of the moment; `None`: as they are now.
    pub windows: Option<Windows>,
    /// `None`: as they are now.
    pub losses: Option<Losses>,
    /// `None`: as it is now.
    pub tier: Option<String>,
    /// Whether an event verified the identity since.
    pub verified_since: bool,
}
