//! What stakes earn: loyalty points, which count for the tier.
//!
//! # Choices
//!
//! * Points count on the day they are posted.
//! * Blocked, inactive and self-excluded players earn no points by play, and do not get them later.

use super::player::raised;
use super::{Action, Event, EventError, Player, Program};
use crate::account::{Past, PlayPoints};
use crate::money::{Asset, round_reward};
use rust_decimal::Decimal;

const POINTS: &str = "number of LP";

/// Whether stakes earn points.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Earning {
    Earns,
    /// Blocked, inactive or self-excluded.
    Nothing,
}

impl Player {
    /// `amount * lp_per_unit_staked * lp_multiplier` of the tier reached so far, rounded down to 0.01 points.
    pub(super) fn points(
        &self,
        event: &Event,
        past: &Past,
        program: &Program<'_>,
    ) -> Result<Option<PlayPoints>, EventError> {
        let Action::Stake(stake) = &event.action else {
            return Ok(None);
        };
        if *past == Past::Voided || self.earning == Earning::Nothing {
            return Ok(None);
        }
        let settings = &program.settings.activity;
        let points = stake.amount.value().checked_mul(settings.lp_per_unit_staked);
        let points = points.and_then(|points| points.checked_mul(program.ladder.lp_multiplier(self.rank)));
        let amount = round_reward(points.ok_or(EventError::OutOfRange { what: POINTS })?, Asset::Lp);
        // Also bounds the points of the day and of its lot, which are parts of the qualifying LP.
        raised(self.qualifying_lp, amount, POINTS)?;
        let day = program.moment.today();
        let expires_at = settings
            .lp_expiry_days
            .map(|days| program.moment.start_of(program.moment.day_in(days.saturating_add(1))));
        Ok((amount > Decimal::ZERO).then_some(PlayPoints {
            amount,
            day,
            expires_at,
        }))
    }

    /// Earned points count for the tier at once, so the next stake earns with its multiplier. Tiers with
    /// requirements beyond points are reached only when the batch is written.
    pub(super) fn qualify(&mut self, lp: Decimal, program: &Program<'_>) {
        self.qualifying_lp += lp;
        self.rank = program
            .ladder
            .climb(self.rank, self.qualifying_lp, |tier| tier.requirements.is_none());
    }
}
