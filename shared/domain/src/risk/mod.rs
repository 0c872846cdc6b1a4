//! Fraud signals and the risk score that they add up to.
//!
//! A signal never confiscates anything by itself: the gates read the score among other figures.
//!
//! # Choices
//!
//! * A signal is identified by its evidence, which holds no fact that changes with time alone. The same evidence
//!   changes nothing. New evidence renews an open signal (it counts afresh), leaves a confirmed one alone, and raises
//!   another after a resolved one. A signal stays until a person resolves it, even when the facts improve; it fades.
//! * A confirmed signal is an open one that does not fade; it can still be resolved. Resolving is final.
//! * POINTS_OVERSPENT is found by a void, not by a scan. Its evidence is the sum of LP since the signal was raised: each
//!   void that takes more renews it. Its severity is that of play on bonuses alone: a refund explains the first, a
//!   pattern does not.
//! * BONUS_OVERDRAWN likewise is found by a stake that names more bonus money than there is. Its severity is low: an
//!   operator's wallet that is behind explains it, and the missing part counted as real.
//! * A weight is that of the whole days since the evidence last changed, in exact decimals; the score rounds half up. A
//!   stored score is that of the last scan or judgement.

mod detect;

pub use detect::{
    CashierEvent, CashierKind, Finding, GameStakes, PlayedGrant, ReceivedBonus, RecentStakes, RiskFacts, Shared,
    SharedKind, detect,
};

use crate::id::{PlayerId, SignalId};
use crate::text_enum;
use jiff::Timestamp;
use rust_decimal::prelude::ToPrimitive;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::Value;

text_enum! {
    pub enum SignalType as "type of signal" {
        /// Bonuses granted without any deposit.
        BonusOnlyPlay = "BONUS_ONLY_PLAY",
        /// A withdrawal soon after a bonus.
        ImmediateWithdrawal = "IMMEDIATE_WITHDRAWAL",
        /// Stakes of very different size on one bonus.
        BetManipulation = "BET_MANIPULATION",
        /// A return too high to be luck.
        AbnormalWinRate = "ABNORMAL_WIN_RATE",
        /// A bonus wagered on games with a very small house edge.
        LowRiskWagering = "LOW_RISK_WAGERING",
        /// Shares a device, a payment method or an email with another rewarded account.
        MultiAccount = "MULTI_ACCOUNT",
        /// Repeated cycles of deposit, bonus and withdrawal.
        DepositCycling = "DEPOSIT_CYCLING",
        /// A void took back LP that were spent, and by the policy SIGNAL they are not owed.
        PointsOverspent = "POINTS_OVERSPENT",
        /// A stake named more bonus money than there was.
        BonusOverdrawn = "BONUS_OVERDRAWN",
        /// Set by a person.
        ManualReview = "MANUAL_REVIEW",
    }
}

impl SignalType {
    /// 1 to 10. A new signal adds ten times its severity to the score.
    pub const fn severity(self) -> u8 {
        match self {
            SignalType::BonusOverdrawn => 2,
            SignalType::BonusOnlyPlay | SignalType::PointsOverspent => 5,
            SignalType::LowRiskWagering | SignalType::DepositCycling => 6,
            SignalType::ImmediateWithdrawal => 7,
            SignalType::BetManipulation | SignalType::MultiAccount => 8,
            SignalType::AbnormalWinRate => 9,
            SignalType::ManualReview => 10,
        }
    }
}

text_enum! {
    pub enum SignalStatus as "signal status" {
        /// Counts, with a weight that decays over time.
        Open = "OPEN",
        /// A person confirmed it: it counts in full and does not decay, until a person resolves it.
        Confirmed = "CONFIRMED",
        /// A person dismissed or closed it: it does not count. Final.
        Resolved = "RESOLVED",
    }
}

text_enum! {
    /// A kind of identifier seen in a player's events.
    pub enum TraceKind as "kind of trace" {
        Device = "DEVICE",
        PaymentMethod = "PAYMENT_METHOD",
        /// Kept for investigations; no detector uses it.
        Ip = "IP",
    }
}

/// A fraud signal. A player has at most one unresolved signal of each type.
#[derive(Debug, Clone, PartialEq)]
pub struct Signal {
    pub signal_id: SignalId,
    pub player_id: PlayerId,
    pub signal_type: SignalType,
    /// 1 to 10, as of when the signal was raised.
    pub severity: u8,
    /// The facts that raised it, without any that change with time alone.
    pub evidence: Value,
    pub raised_at: Timestamp,
    /// When the evidence last changed: the weight decays from here.
    pub last_seen_at: Timestamp,
    pub status: SignalStatus,
    /// The last judgement of a confirmed or resolved signal.
    pub decision: Option<Decision>,
}

/// Who judged a signal, when and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub at: Timestamp,
    pub by: String,
    pub note: String,
}

/// A person's judgement of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judgement {
    Confirm,
    Resolve,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("signal {signal_id} is already {}", status.as_str())]
pub struct AlreadyJudged {
    pub signal_id: SignalId,
    pub status: SignalStatus,
}

impl Signal {
    pub fn raised(signal_id: SignalId, player_id: PlayerId, finding: Finding, now: Timestamp) -> Self {
        let Finding { signal_type, evidence } = finding;
        Self {
            signal_id,
            player_id,
            signal_type,
            severity: signal_type.severity(),
            evidence,
            raised_at: now,
            last_seen_at: now,
            status: SignalStatus::Open,
            decision: None,
        }
    }

    /// Confirms or resolves an open signal, or resolves a confirmed one.
    ///
    /// # Errors
    /// The status allows no such step.
    pub fn judge(&mut self, judgement: Judgement, decision: Decision) -> Result<(), AlreadyJudged> {
        self.status = match (judgement, self.status) {
            (Judgement::Confirm, SignalStatus::Open) => SignalStatus::Confirmed,
            (Judgement::Resolve, SignalStatus::Open | SignalStatus::Confirmed) => SignalStatus::Resolved,
            (_, status) => {
                return Err(AlreadyJudged {
                    signal_id: self.signal_id,
                    status,
                });
            }
        };
        self.decision = Some(decision);
        Ok(())
    }

    pub fn counts(&self) -> bool {
        self.status != SignalStatus::Resolved
    }

    /// Whole days since the evidence last changed.
    pub fn age_days(&self, now: Timestamp) -> i64 {
        (now.duration_since(self.last_seen_at).as_hours() / 24).max(0)
    }

    /// The signal's contribution to the score.
    pub fn contribution(&self, now: Timestamp, half_life_days: u32) -> Contribution {
        let age_days = self.age_days(now);
        let weight = match self.status {
            SignalStatus::Open => weight(age_days, half_life_days),
            SignalStatus::Confirmed => Decimal::ONE,
            SignalStatus::Resolved => Decimal::ZERO,
        };
        let points = Decimal::from(10 * u32::from(self.severity)) * weight;
        Contribution {
            age_days,
            weight,
            points: points.round_dp(2),
        }
    }
}

/// A signal's contribution to the score, with its factors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contribution {
    pub age_days: i64,
    /// 0 to 1, to six decimal places.
    pub weight: Decimal,
    /// `10 · severity · weight`, to two decimal places.
    pub points: Decimal,
}

/// `2^(-age / half life)` to six decimal places: 1 for a new signal, 0.5 after one half-life, 0.25 after two.
///
/// Counts whole days, so that a score does not change between two scans of one day. Computes in decimals, so that the
/// result is the same on every machine.
pub fn weight(age_days: i64, half_life_days: u32) -> Decimal {
    let half_life = i64::from(half_life_days.max(1));
    // 2^-30 is 0 to six decimal places.
    let halvings = u32::try_from((age_days / half_life).clamp(0, 30)).unwrap_or(30);
    let whole = Decimal::ONE / Decimal::from(1_u64 << halvings);
    let part = Decimal::from(age_days.max(0) % half_life) / Decimal::from(half_life);
    (whole * power_of_half(part)).round_dp_with_strategy(6, RoundingStrategy::MidpointAwayFromZero)
}

/// `2^-part` for 0 ≤ part < 1, by the Taylor series of `e^(-part · ln 2)`, whose 22nd term is below 10^-24.
fn power_of_half(part: Decimal) -> Decimal {
    let ln_2 = Decimal::from_i128_with_scale(6_931_471_805_599_453_094_172_321_215, 28);
    let x = -part * ln_2;
    let (mut term, mut sum) = (Decimal::ONE, Decimal::ONE);
    for n in 1..=22 {
        term = term * x / Decimal::from(n);
        sum += term;
    }
    sum
}

/// The risk score, 0 to 100: `min(100, Σ 10 · severity · weight)`, rounded half up to a whole number.
pub fn score<'a>(signals: impl IntoIterator<Item = &'a Signal>, now: Timestamp, half_life_days: u32) -> u8 {
    let sum: Decimal = signals
        .into_iter()
        .map(|signal| signal.contribution(now, half_life_days).points)
        .sum();
    let rounded = sum.round_dp_with_strategy(0, RoundingStrategy::MidpointAwayFromZero);
    rounded.min(Decimal::ONE_HUNDRED).to_u8().unwrap_or(100)
}

/// The changes that a scan makes to a player's signals.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    pub raise: Vec<Finding>,
    /// Open signals with new evidence: their weight starts again at 1.
    pub renew: Vec<(SignalId, Value)>,
}

/// Compares the findings with `latest`, the player's latest signal of each type, judged or not.
///
/// A finding with the same evidence changes nothing. New evidence renews an open signal, leaves a confirmed one as the
/// person saw it, and raises another signal after a resolved one.
pub fn plan(latest: &[Signal], findings: Vec<Finding>) -> Plan {
    let mut plan = Plan::default();
    for finding in findings {
        match latest.iter().find(|signal| signal.signal_type == finding.signal_type) {
            Some(signal) if signal.evidence == finding.evidence => {}
            Some(Signal {
                status: SignalStatus::Confirmed,
                ..
            }) => {}
            Some(Signal {
                status: SignalStatus::Open,
                signal_id,
                ..
            }) => plan.renew.push((*signal_id, finding.evidence)),
            Some(Signal {
                status: SignalStatus::Resolved,
                ..
            })
            | None => plan.raise.push(finding),
        }
    }
    plan
}
