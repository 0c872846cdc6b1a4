//! The eligibility and fraud gates: who may be rewarded, and how a risk score reduces rewards.

use super::{Figures, GateFigures};
use crate::player::{AccountStanding, Eligibility};
use crate::text_enum;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EligibilityFigures {
    pub status: Eligibility,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub self_excluded_until: Option<Timestamp>,
}

/// Refuses blocked, inactive and self-excluded players, and those whose standing could not be read.
pub fn eligibility(standing: Option<&AccountStanding>, now: Timestamp, amount: Decimal) -> GateFigures {
    let status = standing.map_or(Eligibility::Unknown, |standing| standing.eligibility(now));
    let self_excluded_until = standing.and_then(|standing| standing.excluded_until(now));
    let figures = Figures::Eligibility(EligibilityFigures {
        status,
        self_excluded_until,
    });
    if status == Eligibility::Eligible {
        GateFigures::new(figures, amount, amount)
    } else {
        GateFigures::refuse(figures)
    }
}

text_enum! {
    /// The effect of a risk score on a reward.
    pub enum Penalty as "penalty" {
        None = "NONE",
        HalfAmount = "HALF_AMOUNT",
        DoubleWagering = "DOUBLE_WAGERING",
        Refusal = "REFUSAL",
    }
}

impl Penalty {
    /// 0–30: none; 31–60: half the amount; 61–80: twice the wagering; 81–100: no reward.
    pub const fn of(risk_score: u8) -> Self {
        match risk_score {
            0..=30 => Penalty::None,
            31..=60 => Penalty::HalfAmount,
            61..=80 => Penalty::DoubleWagering,
            81.. => Penalty::Refusal,
        }
    }

    pub fn amount_factor(self) -> Decimal {
        match self {
            Penalty::HalfAmount => Decimal::new(5, 1),
            Penalty::Refusal => Decimal::ZERO,
            Penalty::None | Penalty::DoubleWagering => Decimal::ONE,
        }
    }

    /// The wagering multiplier under this penalty. Never raised above what the jurisdiction allows.
    pub fn wagering(self, multiplier: Decimal, allowed: Option<Decimal>) -> Decimal {
        match self {
            Penalty::DoubleWagering => {
                let doubled = multiplier.checked_add(multiplier).unwrap_or(multiplier);
                allowed.map_or(doubled, |allowed| doubled.min(allowed.max(multiplier)))
            }
            _ => multiplier,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FraudFigures {
    pub risk_score: u8,
    pub penalty: Penalty,
}

/// `asked` is the amount before the penalty, `amount` after it; both are rounded.
pub fn fraud(risk_score: u8, asked: Decimal, amount: Decimal) -> GateFigures {
    let penalty = Penalty::of(risk_score);
    let figures = Figures::Fraud(FraudFigures { risk_score, penalty });
    if penalty == Penalty::Refusal {
        GateFigures::refuse(figures)
    } else {
        GateFigures::new(figures, asked, amount)
    }
}
