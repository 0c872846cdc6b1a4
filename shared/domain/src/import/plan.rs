//! Decides what a row changes about the player it names.
//!
//! # Choices
//!
//! * The first import of an old account scales all four totals by `30 / account_age_days`, not only the stake.

use super::Warning;
use super::columns::Column;
use super::row::{PlayerRow, RowTotals};
use crate::activity::Day;
use crate::metrics::Totals;
use crate::money::STORED_SCALE;
use jiff::Timestamp;
use rust_decimal::{Decimal, RoundingStrategy};

/// Length of the longest window, in days. The first totals of a player are spread over the account's age, and only the
/// share of this many days counts in the windows.
pub const WINDOW_DAYS: i64 = 30;
const SECONDS_PER_DAY: i64 = 86_400;

/// What is stored about the player a row names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Existing {
    /// All 0 for a player without stored totals.
    pub totals: Totals,
    pub email: Option<String>,
    pub name: Option<String>,
    pub registered_at: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Created,
    Updated,
    Unchanged,
}

/// Profile fields to write; `None` keeps the stored value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProfileChange {
    pub email: Option<String>,
    pub name: Option<String>,
    pub registered_at: Option<Timestamp>,
}

/// The effect of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowPlan {
    pub outcome: Outcome,
    /// The totals to store: those of the row, and the stored ones where the row is empty.
    pub totals: Totals,
    pub profile: ProfileChange,
    /// Amounts to add to the import day; negative for corrections.
    pub daily: Day,
    pub warnings: Vec<Warning>,
}

/// Decides what `row` changes.
///
/// The row's totals replace the stored ones; an empty cell keeps the stored value. The import day gets the difference,
/// except for the first totals of an account older than [`WINDOW_DAYS`]: then `total * 30 / account_age_days`, rounded
/// towards 0 to [`STORED_SCALE`] decimal places.
pub fn plan(row: &PlayerRow, existing: Option<&Existing>, now: Timestamp) -> RowPlan {
    let nothing = Existing::default();
    let before = existing.unwrap_or(&nothing);
    let totals = merge(&row.totals, &before.totals);
    let profile = ProfileChange {
        email: changed(&row.email, &before.email),
        name: changed(&row.name, &before.name),
        registered_at: changed(&row.registered_at, &before.registered_at),
    };
    let outcome = match existing {
        None => Outcome::Created,
        Some(_) if totals == before.totals && profile == ProfileChange::default() => Outcome::Unchanged,
        Some(_) => Outcome::Updated,
    };
    let registered_at = row.registered_at.or(before.registered_at);
    let share = if is_nothing(&before.totals) {
        first_share(registered_at, now)
    } else {
        Share::Whole
    };
    let daily = daily(&totals, &before.totals, share);
    RowPlan {
        outcome,
        warnings: went_down(row, &totals, &before.totals),
        totals,
        profile,
        daily,
    }
}

fn merge(row: &RowTotals, before: &Totals) -> Totals {
    Totals {
        deposited: row.deposited,
        wagered: row.wagered,
        won: row.won,
        withdrawn: row.withdrawn.unwrap_or(before.withdrawn),
        session_count: row.session_count.unwrap_or(before.session_count),
        playtime_hours: row.playtime_hours.unwrap_or(before.playtime_hours),
        bets: row.bets.or(before.bets),
        last_deposit_date: row.last_deposit_date.or(before.last_deposit_date),
    }
}

fn changed<T: Clone + PartialEq>(row: &Option<T>, before: &Option<T>) -> Option<T> {
    row.clone().filter(|_| row != before)
}

/// Whether no money has been counted yet.
fn is_nothing(totals: &Totals) -> bool {
    [totals.deposited, totals.wagered, totals.won, totals.withdrawn]
        .iter()
        .all(Decimal::is_zero)
}

/// How much of a difference counts in the windows.
#[derive(Clone, Copy)]
enum Share {
    Whole,
    Window { account_age_days: i64 },
}

fn first_share(registered_at: Option<Timestamp>, now: Timestamp) -> Share {
    match registered_at.map(|at| account_age_days(at, now)) {
        Some(account_age_days) if account_age_days > WINDOW_DAYS => Share::Window { account_age_days },
        _ => Share::Whole,
    }
}

/// Whole days of 24 hours since the registration; 0 if it is in the future.
pub fn account_age_days(registered_at: Timestamp, now: Timestamp) -> i64 {
    now.as_second().saturating_sub(registered_at.as_second()).max(0) / SECONDS_PER_DAY
}

impl Share {
    /// Amounts have at most 15 integer digits and 4 decimal places, so 30 times one fits into 28 digits.
    fn of(self, difference: Decimal) -> Decimal {
        match self {
            Share::Whole => difference,
            Share::Window { account_age_days } => difference
                .saturating_mul(Decimal::from(WINDOW_DAYS))
                .checked_div(Decimal::from(account_age_days))
                .unwrap_or(difference)
                .round_dp_with_strategy(STORED_SCALE, RoundingStrategy::ToZero),
        }
    }
}

fn daily(after: &Totals, before: &Totals, share: Share) -> Day {
    Day {
        deposited: share.of(after.deposited - before.deposited),
        wagered: share.of(after.wagered - before.wagered),
        won: share.of(after.won - before.won),
        withdrawn: share.of(after.withdrawn - before.withdrawn),
        ..Day::default()
    }
}

fn went_down(row: &PlayerRow, after: &Totals, before: &Totals) -> Vec<Warning> {
    let bets = |totals: &Totals| Decimal::from(totals.bets.unwrap_or_default());
    [
        (Column::TotalDeposited, before.deposited, after.deposited),
        (Column::TotalWagered, before.wagered, after.wagered),
        (Column::TotalWon, before.won, after.won),
        (Column::TotalWithdrawn, before.withdrawn, after.withdrawn),
        (
            Column::SessionCount,
            before.session_count.into(),
            after.session_count.into(),
        ),
        (Column::PlaytimeHours, before.playtime_hours, after.playtime_hours),
        (Column::TotalBets, bets(before), bets(after)),
    ]
    .into_iter()
    .filter(|(_, from, to)| to < from)
    .map(|(column, from, to)| Warning::TotalWentDown {
        line: row.line,
        player_id: row.player_id.clone(),
        column,
        from,
        to,
    })
    .collect()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
