//! Point lots: points earned together, which expire together. Spending takes the lot that expires first, then the
//! oldest.
//!
//! # Choices
//!
//! * What play earns on one day is one lot (`point_lots.play_day`): a heavy player has some hundred lots, not a
//!   million. It grows by movements like any other; with `activity.lp_expiry_days` it expires when that many whole days
//!   have passed.

use crate::id::PlayerId;
use crate::ledger::Posting;
use crate::money::Asset;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::cmp::Ordering;

/// Points earned together, and how many of them remain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lot {
    pub asset: Asset,
    /// Wallet version of the posting that earned it.
    pub version: i64,
    pub earned: Decimal,
    pub remaining: Decimal,
    pub earned_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    /// The day whose play it collects; `None` for a single credit.
    pub play_day: Option<Date>,
}

/// A newly earned lot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewLot {
    pub player_id: PlayerId,
    pub lot: Lot,
}

/// An amount that a posting took from a lot or put back into it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LotMovement {
    pub player_id: PlayerId,
    pub asset: Asset,
    /// Wallet version of the posting.
    pub version: i64,
    pub lot_version: i64,
    /// Negative: taken; positive: put back.
    pub amount: Decimal,
}

impl Lot {
    /// The lot of a credit; `None` for assets without lots.
    pub fn of(credit: &Posting, expires_at: Option<Timestamp>) -> Option<Self> {
        matches!(credit.asset, Asset::Lp | Asset::Rp).then(|| Self {
            asset: credit.asset,
            version: credit.version,
            earned: credit.amount,
            remaining: credit.amount,
            earned_at: credit.operation.at,
            expires_at,
            play_day: None,
        })
    }

    pub fn is_due(&self, now: Timestamp) -> bool {
        self.remaining > Decimal::ZERO && self.expires_at.is_some_and(|expires_at| expires_at <= now)
    }
}

/// The order in which spending takes lots.
pub fn spending_order(a: &Lot, b: &Lot) -> Ordering {
    let expiry = |lot: &Lot| (lot.expires_at.is_none(), lot.expires_at);
    expiry(a)
        .cmp(&expiry(b))
        .then(a.earned_at.cmp(&b.earned_at))
        .then(a.version.cmp(&b.version))
}

/// Takes `amount` of `asset` from `lots`, which must be in [`spending_order`], starting with the lot `first` if given.
/// Returns the lots' versions with the amounts taken.
///
/// Takes no more than the lots contain. The caller has checked the wallet's balance, which is their sum.
pub fn take(lots: &mut [Lot], asset: Asset, amount: Decimal, first: Option<i64>) -> Vec<(i64, Decimal)> {
    let mut left = amount;
    let mut taken = Vec::new();
    for named in [true, false] {
        let is_next = |lot: &&mut Lot| {
            lot.asset == asset && (Some(lot.version) == first) == named && lot.remaining > Decimal::ZERO
        };
        for lot in lots.iter_mut().filter(is_next) {
            if left.is_zero() {
                return taken;
            }
            let part = left.min(lot.remaining);
            lot.remaining -= part;
            left -= part;
            taken.push((lot.version, part));
        }
    }
    taken
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lot(version: i64, remaining: i64, expires_in_s: Option<i64>) -> Lot {
        let at = |second| Timestamp::from_second(second).unwrap();
        Lot {
            asset: Asset::Lp,
            version,
            earned: 100.into(),
            remaining: remaining.into(),
            earned_at: at(version),
            expires_at: expires_in_s.map(at),
            play_day: None,
        }
    }

    #[test]
    fn the_lot_that_expires_first_is_spent_first_then_the_oldest() {
        let mut lots = vec![
            lot(1, 100, None),
            lot(2, 100, Some(900)),
            lot(3, 100, Some(500)),
            lot(4, 100, Some(900)),
        ];
        lots.sort_by(spending_order);
        let taken = take(&mut lots, Asset::Lp, 320.into(), None);
        assert_eq!(
            taken,
            [(3, 100.into()), (2, 100.into()), (4, 100.into()), (1, 20.into())]
        );
        assert_eq!(lots.iter().map(|lot| lot.remaining).sum::<Decimal>(), 80.into());
    }

    #[test]
    fn a_named_lot_is_taken_before_the_others() {
        let mut lots = vec![lot(1, 100, Some(500)), lot(2, 30, None)];
        assert_eq!(
            take(&mut lots, Asset::Lp, 50.into(), Some(2)),
            [(2, 30.into()), (1, 20.into())]
        );
    }

    #[test]
    fn empty_lots_and_those_of_another_asset_are_passed_over() {
        let mut lots = vec![
            lot(1, 0, None),
            Lot {
                asset: Asset::Rp,
                ..lot(2, 50, None)
            },
            lot(3, 50, None),
        ];
        assert_eq!(take(&mut lots, Asset::Lp, 10.into(), None), [(3, 10.into())]);
    }

    #[test]
    fn a_lot_is_due_from_the_instant_of_its_expiry() {
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(!lot(1, 5, Some(100)).is_due(at(99)));
        assert!(lot(1, 5, Some(100)).is_due(at(100)));
        assert!(!lot(1, 0, Some(100)).is_due(at(100)));
        assert!(!lot(1, 5, None).is_due(at(100)));
    }
}
