//! Gates between a matching rule and an issued reward, in this order: eligibility, fraud, profit, caps, budget.
//! Each approves, reduces or refuses the amount, and gives the figures of its decision.

pub mod cost;
pub mod ruin;

mod caps;
mod fraud;
mod profit;

pub use caps::{BudgetFigures, CapFigures, CapRoom, Capped, Limits, budget, caps};
pub use fraud::{EligibilityFigures, FraudFigures, Penalty, eligibility, fraud};
pub use profit::{Profit, ProfitFigures, profit};

use crate::text_enum;
use rust_decimal::Decimal;
use serde::Serialize;

text_enum! {
    pub enum GateVerdict as "gate's verdict" {
        Approve = "APPROVE",
        Reduce = "REDUCE",
        Refuse = "REFUSE",
    }
}

text_enum! {
    /// The gates, in the order in which a reward passes them.
    pub enum GateKind as "gate" {
        Eligibility = "eligibility",
        Fraud = "fraud",
        Profit = "profit",
        Caps = "caps",
        Budget = "budget",
    }
}

/// The figures of a gate's decision.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "name", content = "figures", rename_all = "lowercase")]
pub enum Figures {
    Eligibility(EligibilityFigures),
    Fraud(FraudFigures),
    Profit(ProfitFigures),
    Caps(CapFigures),
    Budget(BudgetFigures),
}

/// The result of one gate: `{"name", "figures", "verdict", "amount"}`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct GateFigures {
    #[serde(flatten)]
    pub figures: Figures,
    pub verdict: GateVerdict,
    /// The amount that passes, at the asset's scale; 0 when refused.
    pub amount: Decimal,
}

impl GateFigures {
    fn new(figures: Figures, asked: Decimal, amount: Decimal) -> Self {
        let verdict = match amount {
            amount if amount <= Decimal::ZERO && asked > Decimal::ZERO => GateVerdict::Refuse,
            amount if amount < asked => GateVerdict::Reduce,
            _ => GateVerdict::Approve,
        };
        Self {
            figures,
            verdict,
            amount,
        }
    }

    fn refuse(figures: Figures) -> Self {
        Self {
            figures,
            verdict: GateVerdict::Refuse,
            amount: Decimal::ZERO,
        }
    }

    /// Whether to store it with a decision: the profit gate always, as proof that the reward pays; another gate
    /// only if it had an effect.
    pub fn is_kept(&self) -> bool {
        match &self.figures {
            Figures::Profit(_) => true,
            Figures::Fraud(fraud) => fraud.penalty != Penalty::None || self.verdict != GateVerdict::Approve,
            Figures::Eligibility(_) | Figures::Caps(_) | Figures::Budget(_) => self.verdict != GateVerdict::Approve,
        }
    }

    pub const fn kind(&self) -> GateKind {
        match self.figures {
            Figures::Eligibility(_) => GateKind::Eligibility,
            Figures::Fraud(_) => GateKind::Fraud,
            Figures::Profit(_) => GateKind::Profit,
            Figures::Caps(_) => GateKind::Caps,
            Figures::Budget(_) => GateKind::Budget,
        }
    }
}
