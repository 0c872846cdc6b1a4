//! The profit gate: a reward must be expected to earn more than it costs.
//!
//! # Choices
//!
//! * A player without any stake is judged by `prior_wager[segment]`. It is 0 until the operator sets it, so the reward
//!   is refused: nothing proves that it pays.

use super::cost::{CostModel, largest_fitting};
use super::{Figures, GateFigures};
use crate::money::{MONEY_SCALE, Money, is_storable};
use crate::player::PlayerSnapshot;
use crate::rule::RewardType;
use crate::settings::{OnUnprofitable, ProfitSettings, RevenueBasis};
use rust_decimal::{Decimal, RoundingStrategy};
use serde::Serialize;

/// The figures stored with every decision. They describe the requested amount, even if it was reduced.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ProfitFigures {
    /// Expected stake in the next 30 days without the reward.
    pub base_wager: Money,
    pub multiplier: Decimal,
    pub edge: Decimal,
    pub revenue: Money,
    pub cost: Money,
    pub profit: Money,
    /// `profit / cost`; null for a reward that costs nothing.
    pub roi: Option<Decimal>,
    pub min_roi: Decimal,
    /// Cost of the reduced amount.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reduced_cost: Option<Money>,
}

const ROI_SCALE: u32 = 4;

/// Expected stake of this player in the next 30 days.
fn base_wager(player: &PlayerSnapshot, settings: &ProfitSettings) -> Decimal {
    if player.totals.wagered.is_zero() {
        let prior = player.segment.and_then(|segment| settings.prior_wager.get(&segment));
        return prior.copied().unwrap_or_default();
    }
    player.windows.wagered_30d.max(Decimal::ZERO) // corrections can leave a negative window
}

fn multiplier(player: &PlayerSnapshot, reward_type: RewardType, settings: &ProfitSettings) -> Option<Decimal> {
    let of_segment = player
        .segment
        .and_then(|segment| settings.retention_multiplier.get(&segment));
    let multiplier = of_segment
        .and_then(|types| types.get(reward_type.as_str()))
        .copied()
        .unwrap_or(Decimal::ONE);
    match settings.revenue_basis {
        RevenueBasis::Total => Some(multiplier),
        RevenueBasis::Incremental => multiplier.checked_sub(Decimal::ONE),
    }
}

/// `base_wager × multiplier × edge`, in cents. `None` on overflow, or if the result is too large to store.
fn revenue(base_wager: Decimal, multiplier: Decimal, edge: Decimal) -> Option<Decimal> {
    let revenue = base_wager.checked_mul(multiplier)?.checked_mul(edge)?;
    let revenue = revenue.round_dp_with_strategy(MONEY_SCALE, RoundingStrategy::MidpointAwayFromZero);
    Some(revenue).filter(|revenue| is_storable(*revenue))
}

/// Whether the profit is not negative and the return on the cost is high enough.
fn pays(revenue: Decimal, cost: Decimal, min_roi: Decimal) -> bool {
    let wanted = cost.checked_mul(min_roi);
    revenue
        .checked_sub(cost)
        .zip(wanted)
        .is_some_and(|(profit, wanted)| profit >= Decimal::ZERO && profit >= wanted)
}

/// The gate's result, and what the caller continues with.
#[derive(Debug, Clone, PartialEq)]
pub struct Profit {
    pub gate: GateFigures,
    pub revenue: Decimal,
    /// Cost of the passed amount, or of the requested amount after a refusal.
    pub cost: Decimal,
}

/// Judges `amount` of a reward. `None` on overflow.
pub fn profit(
    player: &PlayerSnapshot,
    reward_type: RewardType,
    edge: Decimal,
    amount: Decimal,
    model: &CostModel<'_>,
    settings: &ProfitSettings,
) -> Option<Profit> {
    let (base_wager, multiplier) = (base_wager(player, settings), multiplier(player, reward_type, settings)?);
    let (revenue, cost) = (revenue(base_wager, multiplier, edge)?, model.cost(amount)?);
    let profit = revenue.checked_sub(cost)?;
    let roi = profit.checked_div(cost).map(|roi| roi.round_dp(ROI_SCALE));
    let pays_asked = pays(revenue, cost, settings.min_roi);
    let passes = |amount| {
        model
            .cost(amount)
            .is_some_and(|cost| pays(revenue, cost, settings.min_roi))
    };
    let granted = match settings.on_unprofitable {
        _ if pays_asked => amount,
        OnUnprofitable::Refuse => Decimal::ZERO,
        OnUnprofitable::Reduce => largest_fitting(amount, reward_type.asset().scale(), passes),
    };
    let reduced_cost = if granted < amount && !granted.is_zero() {
        Some(model.cost(granted)?)
    } else {
        None
    };
    let figures = Figures::Profit(ProfitFigures {
        base_wager: Money::of(base_wager),
        multiplier,
        edge,
        revenue: Money::of(revenue),
        cost: Money::of(cost),
        profit: Money::of(profit),
        roi,
        min_roi: settings.min_roi,
        reduced_cost: reduced_cost.map(Money::of),
    });
    // An amount of 0 needs nothing, but a gate that would refuse it still says so.
    let refused = granted.is_zero() && !pays_asked;
    let gate = if refused {
        GateFigures::refuse(figures)
    } else {
        GateFigures::new(figures, amount, granted)
    };
    Some(Profit {
        gate,
        revenue,
        cost: reduced_cost.unwrap_or(cost),
    })
}
