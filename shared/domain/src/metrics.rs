//! Metrics of a player: lifetime totals, sums over the daily rollup, and figures derived from them.
//!
//! # Choices
//!
//! * Playtime has four decimal places of an hour, rounded half up per session.

use jiff::civil::Date;
use rust_decimal::Decimal;

/// Lifetime totals in the program currency.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Totals {
    pub deposited: Decimal,
    /// Amount staked; the import column is `total_wagered`.
    pub wagered: Decimal,
    pub won: Decimal,
    pub withdrawn: Decimal,
    pub session_count: i32,
    pub playtime_hours: Decimal,
    /// Number of stakes; `None` while unknown.
    pub bets: Option<i64>,
    pub last_deposit_date: Option<Date>,
}

impl Totals {
    /// The player's net result, `won - wagered`: the negative of GGR.
    pub fn net_pnl(&self) -> Decimal {
        self.won - self.wagered
    }

    /// `max(0, -net_pnl)`.
    pub fn net_loss(&self) -> Decimal {
        (self.wagered - self.won).max(Decimal::ZERO)
    }

    /// `won / wagered`; 0 if nothing was staked.
    pub fn win_loss_ratio(&self) -> Decimal {
        self.won.checked_div(self.wagered).unwrap_or(Decimal::ZERO)
    }

    /// What these were before the player did what `since` sums up. A file may have set smaller totals since, so nothing
    /// goes below 0. Keeps the day of the last deposit.
    pub fn before(&self, since: &Since) -> Self {
        let less = |total: Decimal, later: Decimal| (total - later).max(Decimal::ZERO);
        Self {
            deposited: less(self.deposited, since.deposited),
            wagered: less(self.wagered, since.wagered),
            won: less(self.won, since.won),
            withdrawn: less(self.withdrawn, since.withdrawn),
            session_count: self.session_count.saturating_sub(since.sessions).max(0),
            playtime_hours: less(self.playtime_hours, since.playtime_hours),
            bets: self.bets.map(|bets| (bets - since.stakes).max(0)),
            last_deposit_date: self.last_deposit_date,
        }
    }

    /// `wagered / bets`; `None` if the number of bets is unknown or 0.
    pub fn avg_bet_size(&self) -> Option<Decimal> {
        self.wagered.checked_div(Decimal::from(self.bets?))
    }
}

/// What a player did after a moment, by events that count.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Since {
    pub deposited: Decimal,
    pub deposits: i64,
    pub wagered: Decimal,
    pub stakes: i64,
    pub won: Decimal,
    pub withdrawn: Decimal,
    pub sessions: i32,
    pub playtime_hours: Decimal,
}

impl Since {
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// Net results by the calendar of the program's time zone: stakes less wins, negative when the player is ahead.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Losses {
    pub today: Decimal,
    /// ISO weeks: Monday to Sunday.
    pub this_week: Decimal,
    pub last_week: Decimal,
    pub this_month: Decimal,
    pub last_month: Decimal,
}

/// Sums over the daily rollup: the last 7 and 30 days in the program's time zone, including today.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Windows {
    pub wagered_7d: Decimal,
    pub wagered_30d: Decimal,
    pub won_7d: Decimal,
    pub won_30d: Decimal,
    pub deposited_7d: Decimal,
    pub deposited_30d: Decimal,
    /// Number of the last 30 days with a stake, deposit or withdrawal.
    pub active_days_30d: i32,
}

impl Windows {
    /// `max(0, wagered_7d - won_7d)`.
    pub fn net_loss_7d(&self) -> Decimal {
        (self.wagered_7d - self.won_7d).max(Decimal::ZERO)
    }

    /// `max(0, wagered_30d - won_30d)`.
    pub fn net_loss_30d(&self) -> Decimal {
        (self.wagered_30d - self.won_30d).max(Decimal::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happened_since_is_taken_off_and_nothing_goes_below_0() {
        let now = Totals {
            deposited: 100.into(),
            wagered: 50.into(),
            won: 20.into(),
            withdrawn: 5.into(),
            session_count: 2,
            playtime_hours: 3.into(),
            bets: Some(4),
            last_deposit_date: None,
        };
        let since = Since {
            deposited: 30.into(),
            deposits: 1,
            wagered: 60.into(),
            stakes: 5,
            won: 20.into(),
            withdrawn: 0.into(),
            sessions: 3,
            playtime_hours: Decimal::new(5, 1),
        };
        let before = Totals {
            deposited: 70.into(),
            wagered: 0.into(),
            won: 0.into(),
            session_count: 0,
            playtime_hours: Decimal::new(25, 1),
            bets: Some(0),
            ..now.clone()
        };
        assert_eq!(now.before(&since), before);
        assert_eq!(now.before(&Since::default()), now);
    }
}
