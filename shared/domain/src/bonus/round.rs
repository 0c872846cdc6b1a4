//! Rounds: what comes back of staked bonus money.

use super::grant::EndedGrant;
use crate::id::GrantId;
use crate::ledger::LedgerError;
use crate::money::{Asset, round_reward};
use rust_decimal::Decimal;

/// After this many hours, a round without a payout counts as lost. Until then, a bonus it emptied stays open.
pub const ROUND_OPEN_HOURS: u32 = 24;

/// The stakes of a round, without voided ones.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Round {
    pub staked: Decimal,
    /// The parts paid by bonuses, in a stable order.
    pub shares: Vec<RoundShare>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct RoundShare {
    pub grant_id: GrantId,
    /// Bonus money of the grant in the round's stakes, above 0.
    pub bonus: Decimal,
    /// `None`: the grant is open.
    pub ended: Option<EndedGrant>,
}

impl Round {
    /// Each share's part of `payout`, proportional to its stake. Rounds down the running total to cents, not each
    /// part, so that two grants that paid the whole stake get the whole payout.
    pub fn split(&self, payout: Decimal) -> Result<Vec<Decimal>, LedgerError> {
        if self.staked.is_zero() {
            return Ok(vec![Decimal::ZERO; self.shares.len()]);
        }
        let (mut bonus, mut given) = (Decimal::ZERO, Decimal::ZERO);
        let mut parts = Vec::with_capacity(self.shares.len());
        for share in &self.shares {
            bonus += share.bonus;
            let upto = payout
                .checked_mul(bonus)
                .ok_or(LedgerError::OutOfRange { asset: Asset::Bonus })?
                / self.staked;
            let upto = round_reward(upto, Asset::Bonus);
            parts.push(upto - given);
            given = upto;
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round(staked: i64, bonuses: &[i64]) -> Round {
        let share = |bonus: &i64| RoundShare {
            grant_id: GrantId(uuid::Uuid::nil()),
            bonus: Decimal::from(*bonus),
            ended: None,
        };
        Round {
            staked: staked.into(),
            shares: bonuses.iter().map(share).collect(),
        }
    }

    fn d(text: &str) -> Decimal {
        text.parse().unwrap()
    }

    #[test]
    fn a_payout_returns_in_the_proportion_of_the_stake() {
        assert_eq!(round(10, &[4]).split(d("25.00")), Ok(vec![d("10.00")]));
        assert_eq!(round(3, &[1]).split(d("10.00")), Ok(vec![d("3.33")]));
    }

    #[test]
    fn grants_that_paid_the_whole_stake_get_the_whole_payout() {
        assert_eq!(round(3, &[1, 2]).split(d("10.00")), Ok(vec![d("3.33"), d("6.67")]));
        assert_eq!(
            round(7, &[1, 2, 4]).split(d("0.01")),
            Ok(vec![d("0"), d("0"), d("0.01")])
        );
    }

    #[test]
    fn a_round_nobody_staked_in_returns_nothing() {
        assert_eq!(round(0, &[]).split(d("10.00")), Ok(vec![]));
    }
}
