//! The points that play earns.
//!
//! # Choices
//!
//! * A void takes back points as far as the player still has them, from the lot they went into first.

use super::{Account, Result};
use crate::activity::TakenBack;
use crate::ledger::{Direction, House, Operation};
use crate::lots::Lot;
use crate::money::Asset;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;

/// LP that a stake earns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayPoints {
    /// Above 0.
    pub amount: Decimal,
    /// Today: everything that play earns on one day expires together.
    pub day: Date,
    pub expires_at: Option<Timestamp>,
}

impl Account {
    /// Credits a stake's points to the lot of the day. The first stake of a day opens it.
    pub(super) fn earn(&mut self, points: PlayPoints, operation: &Operation) -> Result<()> {
        let collects = |lot: &Lot| {
            lot.asset == Asset::Lp && lot.play_day == Some(points.day) && lot.expires_at == points.expires_at
        };
        match self.lots.iter().position(collects) {
            Some(index) => {
                self.book.post(
                    Direction::Credit,
                    House::Issuance,
                    (Asset::Lp, points.amount),
                    None,
                    operation,
                )?;
                self.lots[index].remaining += points.amount;
                self.move_lots(Asset::Lp, &[(self.lots[index].version, points.amount)]);
                Ok(())
            }
            None => self.credit_lot(
                Asset::Lp,
                points.amount,
                House::Issuance,
                (points.expires_at, Some(points.day)),
                operation,
            ),
        }
    }

    /// The lot that collects the points of this day's play.
    pub(crate) fn play_lot(&self, points: PlayPoints) -> Option<i64> {
        let collects = |lot: &&Lot| {
            lot.asset == Asset::Lp && lot.play_day == Some(points.day) && lot.expires_at == points.expires_at
        };
        self.lots.iter().find(collects).map(|lot| lot.version)
    }

    /// Takes back what a voided stake earned, as far as the player still has it. Returns how much that is.
    pub(super) fn unearn(&mut self, taken: &TakenBack, operation: &Operation) -> Result<Decimal> {
        let points = taken.lp.min(self.balance(Asset::Lp));
        if !points.is_zero() {
            self.take(Asset::Lp, points, House::Issuance, taken.lp_lot, operation)?;
        }
        Ok(points)
    }
}
