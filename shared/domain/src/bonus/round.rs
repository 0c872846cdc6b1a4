//! Rounds: what comes back of staked bonus money.

use crate::id::GrantId;
use crate::ledger::LedgerError;
use crate::money::{Asset, round_reward};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// This many hours after a stake, a round without a payout counts as lost. Until then, a bonus it emptied stays open.
pub const ROUND_OPEN_HOURS: u32 = 24;

/// The live stakes of a round up to some place.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Round {
    pub staked: Decimal,
    /// The parts paid by bonuses, by the bonus's root.
    pub shares: BTreeMap<GrantId, Decimal>,
}

impl Round {
    /// Each share's part of `payout`, proportional to its stake. Rounds down the running total to cents, not each
    /// part, so that two grants that paid the whole stake get the whole payout.
    pub fn split(&self, payout: Decimal) -> Result<Vec<(GrantId, Decimal)>, LedgerError> {
        let (mut bonus, mut given) = (Decimal::ZERO, Decimal::ZERO);
        let mut parts = Vec::with_capacity(self.shares.len());
        for (root_id, share) in &self.shares {
            bonus += share;
            let upto = payout
                .checked_mul(bonus)
                .ok_or(LedgerError::OutOfRange { asset: Asset::Bonus })?
                / self.staked;
            let upto = round_reward(upto, Asset::Bonus);
            parts.push((*root_id, upto - given));
            given = upto;
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(staked: i64, bonuses: &[i64]) -> Round {
        let shares = bonuses
            .iter()
            .zip(1..)
            .map(|(bonus, id)| (root(id), Decimal::from(*bonus)));
        Round {
            staked: staked.into(),
            shares: shares.collect(),
        }
    }

    fn root(id: u128) -> GrantId {
        GrantId(uuid::Uuid::from_u128(id))
    }

    fn split(staked: i64, bonuses: &[i64], payout: &str) -> Vec<Decimal> {
        let parts = round(staked, bonuses).split(d(payout)).unwrap();
        parts.into_iter().map(|(_, part)| part).collect()
    }

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn a_payout_returns_in_the_proportion_of_the_stake() {
        assert_eq!(split(10, &[4], "25.00"), [d("10.00")]);
        assert_eq!(split(3, &[1], "10.00"), [d("3.33")]);
    }

    #[test]
    fn grants_that_paid_the_whole_stake_get_the_whole_payout() {
        assert_eq!(split(3, &[1, 2], "10.00"), [d("3.33"), d("6.67")]);
        assert_eq!(split(7, &[1, 2, 4], "0.01"), [d("0"), d("0"), d("0.01")]);
    }

    #[test]
    fn a_round_without_bonus_money_returns_none() {
        assert_eq!(round(10, &[]).split(d("10.00")), Ok(vec![]));
    }
}
