//! The caps and budget gates: limits on what a player may cost and on what a rule may spend.
//!
//! # Choices
//!
//! * A bonus is reduced to `bonus_max_amount` first, whatever it is expected to cost: a high wagering requirement makes
//!   any amount cheap.
//! * A cap reduces the amount to the room that is left. A budget grants the whole amount or refuses it.
//! * A rule whose budget was not read is refused.

use super::cost::{CostModel, largest_fitting};
use super::{Figures, GateFigures};
use crate::money::{Asset, Money};
use crate::player::RewardSpend;
use crate::settings::CapSettings;
use rust_decimal::Decimal;
use serde::Serialize;

/// Money that a player's rewards may still cost. Shrinks as an evaluation grants rewards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct CapRoom {
    pub day: Money,
    pub days_7: Money,
    pub days_30: Money,
}

impl CapRoom {
    /// The caps less the player's reward cost in the rolling windows. Negative after a cap was lowered.
    pub fn of(spend: &RewardSpend, caps: &CapSettings) -> Self {
        let room = |cap: Decimal, spent: Decimal| Money::of(cap - spent);
        Self {
            day: room(caps.day, spend.day),
            days_7: room(caps.days_7, spend.days_7),
            days_30: room(caps.days_30, spend.days_30),
        }
    }

    /// The smallest of the three.
    pub fn least(&self) -> Decimal {
        self.day.min(self.days_7).min(self.days_30).max(Money::ZERO).value()
    }

    pub fn take(&mut self, cost: Decimal) {
        for room in [&mut self.day, &mut self.days_7, &mut self.days_30] {
            *room -= Money::of(cost);
        }
    }
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CapFigures {
    /// What was left before this reward.
    pub room: CapRoom,
    /// Cost of the passed amount, or of the requested amount after a refusal.
    pub cost: Money,
    /// The ceiling of a bonus, if the requested amount was above it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bonus_max_amount: Option<Money>,
}

/// What a reward may be and cost at most.
#[derive(Debug, Clone, Copy)]
pub struct Limits<'a> {
    pub room: &'a CapRoom,
    /// The largest amount; `None`: any.
    pub ceiling: Option<Decimal>,
}

/// The gate's result, and the cost that the caller continues with.
#[derive(Debug, Clone, PartialEq)]
pub struct Capped {
    pub gate: GateFigures,
    /// Cost of the passed amount, or of the requested amount after a refusal.
    pub cost: Decimal,
}

/// Reduces `amount`, which costs `cost`, to the ceiling, and so that it costs no more than is left. `None` on overflow.
pub fn caps(limits: Limits<'_>, amount: Decimal, cost: Decimal, asset: Asset, model: &CostModel<'_>) -> Option<Capped> {
    let Limits { room, ceiling } = limits;
    let ceiling = ceiling.filter(|ceiling| *ceiling < amount);
    let (allowed, cost) = match ceiling {
        Some(ceiling) => (ceiling, model.cost(ceiling)?),
        None => (amount, cost),
    };
    let least = room.least();
    let figures = |cost| {
        Figures::Caps(CapFigures {
            room: *room,
            cost: Money::of(cost),
            bonus_max_amount: ceiling.map(Money::of),
        })
    };
    if cost <= least {
        return Some(Capped {
            gate: GateFigures::new(figures(cost), amount, allowed),
            cost,
        });
    }
    let reduced = largest_fitting(allowed, asset.scale(), |amount| {
        model.cost(amount).is_some_and(|cost| cost <= least)
    });
    let cost = if reduced.is_zero() { cost } else { model.cost(reduced)? };
    Some(Capped {
        gate: GateFigures::new(figures(cost), amount, reduced),
        cost,
    })
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BudgetFigures {
    /// Null: no limit.
    pub total_room: Option<Decimal>,
    pub day_room: Option<Decimal>,
    pub cost: Money,
}

/// Refuses an amount that costs more than is left of the rule's budget. A budget never reduces amounts.
pub fn budget(total_room: Option<Decimal>, day_room: Option<Decimal>, cost: Decimal, amount: Decimal) -> GateFigures {
    let figures = Figures::Budget(BudgetFigures {
        total_room,
        day_room,
        cost: Money::of(cost),
    });
    let fits = [total_room, day_room].into_iter().flatten().all(|room| cost <= room);
    if fits {
        GateFigures::new(figures, amount, amount)
    } else {
        GateFigures::refuse(figures)
    }
}
