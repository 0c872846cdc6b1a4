//! The points that play earns, in the wallet.
//!
//! # Choices
//!
//! * The points of an event are a transaction of their own, apart from what the event does to bonuses.
//! * A late stake puts its points into the lot of its own day. If that lot has expired, they expire at
//!   once: they count for the tier and repay a debt, but nobody spends what would be gone had it come in time.
//! * A void takes back in full, first from the lot of the day, then what of that lot has expired (it returns from
//!   `house:expiry`: nobody had the use of it), then from the other lots. What is still missing was spent.
//!   `house:adjustment` lends it, so that the wallet stays at 0 or above: with the policy DEBT it is owed, and every
//!   later credit of LP is posted in full and then repays it; with SIGNAL it is given up, and a signal tells people.
//! * So who owes points has none, and `house:issuance` has issued what the days of play say.

use super::{Account, Result};
use crate::id::EventId;
use crate::ledger::{Cause, Direction, House, Kind, LedgerError};
use crate::lots::Lot;
use crate::money::Asset;
use crate::text_enum;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;

text_enum! {
    /// What becomes of points that a void takes back when the player has spent them.
    pub enum LpVoidPolicy as "policy for spent points" {
        /// The player owes them; later LP repay them first.
        Debt = "DEBT",
        /// Nothing is owed; the signal POINTS_OVERSPENT is raised.
        Signal = "SIGNAL",
    }
}

/// The lot that collects the points of one day's play.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlayLot {
    pub day: Date,
    /// Of the lot that the day's first points open.
    pub expires_at: Option<Timestamp>,
    /// What of it had expired when the account was read.
    pub expired: Decimal,
}

impl Account {
    /// Credits the points of a stake. The first points of a day open its lot.
    pub fn earn(&mut self, points: Decimal, lot: &PlayLot, event_id: &EventId, cause: &Cause<'_>) -> Result<()> {
        let operation = cause.operation(Kind::Stake, event_id.as_str());
        let issued = (Asset::Lp, points);
        match self.play_lot(lot) {
            Some(index) => {
                self.book
                    .post(Direction::Credit, House::Issuance, issued, None, &operation)?;
                self.put_into(index, points);
                let version = self.lots[index].version;
                self.repay(Asset::Lp, points, Some(version), cause)?;
            }
            None => {
                let life = (lot.expires_at, Some(lot.day));
                self.credit_lot(Asset::Lp, points, House::Issuance, life, &operation, cause)?;
            }
        }
        match self.play_lot(lot) {
            Some(index) if self.lots[index].is_due(cause.context.now) => self.expire_lot(index, cause),
            _ => Ok(()),
        }
    }

    /// Takes back the points of a voided stake, in full. Returns how many of them the player had spent.
    ///
    /// # Errors
    /// `InsufficientBalance` when the day has no lot: nothing was earned.
    pub fn unearn(
        &mut self,
        points: Decimal,
        lot: &PlayLot,
        policy: LpVoidPolicy,
        event_id: &EventId,
        cause: &Cause<'_>,
    ) -> Result<Decimal> {
        let operation = cause.operation(Kind::Void, event_id.as_str());
        let Some(own) = self.play_lot(lot) else {
            return Err(LedgerError::InsufficientBalance {
                asset: Asset::Lp,
                available: Decimal::ZERO,
                requested: points,
            }
            .into());
        };
        let (version, remaining) = (self.lots[own].version, self.lots[own].remaining);
        let missing = (points - remaining).max(Decimal::ZERO);
        let returned = missing.min(self.expired(version, lot.expired));
        let spent = (points - returned - self.balance(Asset::Lp)).max(Decimal::ZERO);
        let lent = match policy {
            LpVoidPolicy::Debt => cause.operation(Kind::Debt, event_id.as_str()),
            LpVoidPolicy::Signal => operation.clone(),
        };
        for (house, amount, operation) in [(House::Expiry, returned, &operation), (House::Adjustment, spent, &lent)] {
            if !amount.is_zero() {
                self.book
                    .post(Direction::Credit, house, (Asset::Lp, amount), None, operation)?;
                self.put_into(own, amount);
            }
        }
        self.take(Asset::Lp, points, House::Issuance, Some(version), &operation)?;
        Ok(spent)
    }

    fn play_lot(&self, lot: &PlayLot) -> Option<usize> {
        let collects = |known: &Lot| known.asset == Asset::Lp && known.play_day == Some(lot.day);
        self.lots.iter().position(collects)
    }

    /// Puts what the last posting credited into a lot of LP.
    fn put_into(&mut self, index: usize, amount: Decimal) {
        self.lots[index].remaining += amount;
        let version = self.lots[index].version;
        self.move_lots(Asset::Lp, &[(version, amount)]);
    }

    /// What of a lot of LP has expired: `stored` when the account was read, and what moved since.
    fn expired(&self, lot_version: i64, stored: Decimal) -> Decimal {
        let journal = &self.book.journal;
        let has_expired = |version: i64| {
            journal.postings.iter().any(|posting| {
                posting.asset == Asset::Lp && posting.version == version && posting.house == House::Expiry
            })
        };
        let since: Decimal = journal
            .lot_movements
            .iter()
            .filter(|movement| movement.asset == Asset::Lp && movement.lot_version == lot_version)
            .filter(|movement| has_expired(movement.version))
            .map(|movement| movement.amount)
            .sum();
        stored - since
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::Book;
    use crate::context::Context;
    use crate::id::PlayerId;

    const LOT: PlayLot = PlayLot {
        day: jiff::civil::date(2026, 11, 27),
        expires_at: None,
        expired: Decimal::ZERO,
    };

    fn cause() -> Cause<'static> {
        Cause {
            actor: "test",
            reason: None,
            context: Context {
                now: Timestamp::UNIX_EPOCH,
                new_id: uuid::Uuid::nil,
            },
        }
    }

    fn event(id: &str) -> EventId {
        EventId::parse(id).unwrap()
    }

    /// With 10 points of play, of which 7 are spent.
    fn spender() -> Account {
        let book = Book::new(PlayerId::parse("P").unwrap(), Vec::new());
        let mut account = Account::new(book, Vec::new(), Vec::new());
        account.earn(10.into(), &LOT, &event("e1"), &cause()).unwrap();
        let spending = cause().operation(Kind::ManualDebit, "spending");
        account
            .spend(Asset::Lp, 7.into(), House::Adjustment, &spending)
            .unwrap();
        account
    }

    fn void(account: &mut Account, policy: LpVoidPolicy) -> Decimal {
        account.unearn(10.into(), &LOT, policy, &event("v1"), &cause()).unwrap()
    }

    #[test]
    fn what_was_spent_is_owed_and_every_later_credit_repays_it_first() {
        let mut account = spender();
        assert_eq!(void(&mut account, LpVoidPolicy::Debt), 7.into());
        assert_eq!((account.balance(Asset::Lp), account.lp_debt()), (0.into(), 7.into()));
        account.earn(4.into(), &LOT, &event("e2"), &cause()).unwrap();
        assert_eq!((account.balance(Asset::Lp), account.lp_debt()), (0.into(), 3.into()));
        let given = cause().operation(Kind::ManualCredit, "given");
        account
            .credit(Asset::Lp, 5.into(), House::Issuance, None, &given, &cause())
            .unwrap();
        assert_eq!((account.balance(Asset::Lp), account.lp_debt()), (2.into(), 0.into()));
        let left: Decimal = account.lots().iter().map(|lot| lot.remaining).sum();
        assert_eq!(left, 2.into());
        // What was issued is what is earned: 10 - 10 + 4 + 5.
        let issued: Decimal = account
            .into_journal()
            .postings
            .iter()
            .filter(|posting| posting.house == House::Issuance)
            .map(|posting| Decimal::from(posting.direction.sign()) * posting.amount)
            .sum();
        assert_eq!(issued, 9.into());
    }

    #[test]
    fn by_the_policy_signal_what_was_spent_is_given_up() {
        let mut account = spender();
        assert_eq!(void(&mut account, LpVoidPolicy::Signal), 7.into());
        assert_eq!((account.balance(Asset::Lp), account.lp_debt()), (0.into(), 0.into()));
    }
}
