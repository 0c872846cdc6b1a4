//! Lifetime totals of players, and their daily rollup.

use crate::columns;
use crate::db::Tx;
use crate::error::Result;
use crate::statement::{self, text};
use domain::activity::Day;
use domain::id::PlayerId;
use domain::metrics::Totals;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use tokio_postgres::Row;

/// Columns of `player_totals t`, in the order in which [`totals_of`] reads them.
pub(crate) const TOTALS: &str = "t.total_deposited, t.total_wagered, t.total_won, t.total_withdrawn, t.session_count, \
                                 t.playtime_hours, t.total_bets, t.last_deposit_date";

columns! {
    struct TotalsRow<'a> => TotalsRows (updated_at) {
        player_id: text = &'a PlayerId,
        total_deposited: numeric = Decimal,
        total_wagered: numeric = Decimal,
        total_won: numeric = Decimal,
        total_withdrawn: numeric = Decimal,
        session_count: integer = i32,
        playtime_hours: numeric = Decimal,
        total_bets: bigint = Option<i64>,
        last_deposit_date: date = Option<Date>,
    }
}

const SAVE: &str = text!(
    "INSERT INTO player_totals (updated_at, ",
    TotalsRows::NAMES,
    ")\nSELECT $1, ",
    TotalsRows::NAMES,
    "\nFROM ",
    TotalsRows::UNNEST,
    "
ON CONFLICT (player_id) DO UPDATE
SET total_deposited = EXCLUDED.total_deposited,
  total_wagered = EXCLUDED.total_wagered,
  total_won = EXCLUDED.total_won,
  total_withdrawn = EXCLUDED.total_withdrawn,
  session_count = EXCLUDED.session_count,
  playtime_hours = EXCLUDED.playtime_hours,
  total_bets = EXCLUDED.total_bets,
  last_deposit_date = EXCLUDED.last_deposit_date,
  updated_at = EXCLUDED.updated_at"
);

columns! {
    struct DayRow<'a> => Days () {
        player_id: text = &'a PlayerId,
        day: date = Date,
        deposited: numeric = Decimal,
        wagered: numeric = Decimal,
        won: numeric = Decimal,
        withdrawn: numeric = Decimal,
        lp_staked: numeric = Decimal,
        lp_rate: numeric = Option<Decimal>,
        lp_play: numeric = Decimal,
        lp_earned: numeric = Decimal,
    }
}

// The first stake of a day fixes its rate. What play earns is part of all that is earned on the day.
const ADD_DAYS: &str = text!(
    "INSERT INTO player_daily AS d (",
    Days::NAMES,
    ")\n",
    Days::SELECT,
    "
ON CONFLICT (player_id, day) DO UPDATE
SET deposited = d.deposited + EXCLUDED.deposited,
  wagered = d.wagered + EXCLUDED.wagered,
  won = d.won + EXCLUDED.won,
  withdrawn = d.withdrawn + EXCLUDED.withdrawn,
  lp_staked = d.lp_staked + EXCLUDED.lp_staked,
  lp_rate = coalesce(d.lp_rate, EXCLUDED.lp_rate),
  lp_play = d.lp_play + EXCLUDED.lp_play,
  lp_earned = d.lp_earned + EXCLUDED.lp_earned"
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[SAVE, ADD_DAYS];

/// Saves totals; each player appears once. The caller holds the players' locks.
pub async fn save<'a>(
    tx: &Tx<'_>,
    totals: impl IntoIterator<Item = (&'a PlayerId, &'a Totals)>,
    now: Timestamp,
) -> Result<()> {
    let rows: TotalsRows<'_> = totals
        .into_iter()
        .map(|(player_id, totals)| TotalsRow {
            player_id,
            total_deposited: totals.deposited,
            total_wagered: totals.wagered,
            total_won: totals.won,
            total_withdrawn: totals.withdrawn,
            session_count: totals.session_count,
            playtime_hours: totals.playtime_hours,
            total_bets: totals.bets,
            last_deposit_date: totals.last_deposit_date,
        })
        .collect();
    if !rows.is_empty() {
        statement::execute(tx, SAVE, &rows.params([&now])).await?;
    }
    Ok(())
}

/// Adds to days of the rollup; each day of a player appears once. Days with nothing to add are skipped.
pub async fn add_days<'a>(tx: &Tx<'_>, days: impl IntoIterator<Item = (&'a PlayerId, Date, &'a Day)>) -> Result<()> {
    let rows: Days<'_> = days
        .into_iter()
        .filter(|(.., day)| !day.is_zero())
        .map(|(player_id, date, day)| DayRow {
            player_id,
            day: date,
            deposited: day.deposited,
            wagered: day.wagered,
            won: day.won,
            withdrawn: day.withdrawn,
            lp_staked: day.lp_staked,
            lp_rate: day.lp_rate,
            lp_play: day.lp,
            lp_earned: day.lp,
        })
        .collect();
    if !rows.is_empty() {
        statement::execute(tx, ADD_DAYS, &rows.params([])).await?;
    }
    Ok(())
}

/// Reads [`TOTALS`], whose first column is at position `first`. Reading by position is faster than by name.
pub(crate) fn totals_of(row: &Row, first: usize) -> Result<Totals> {
    Ok(Totals {
        deposited: row.try_get(first)?,
        wagered: row.try_get(first + 1)?,
        won: row.try_get(first + 2)?,
        withdrawn: row.try_get(first + 3)?,
        session_count: row.try_get(first + 4)?,
        playtime_hours: row.try_get(first + 5)?,
        bets: row.try_get(first + 6)?,
        last_deposit_date: row.try_get(first + 7)?,
    })
}
