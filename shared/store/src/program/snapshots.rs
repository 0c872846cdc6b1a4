//! Everything that a decision about a player reads, with one statement per table.

use crate::db::Executor;
use crate::error::Result;
use crate::players::totals::{TOTALS, totals_of};
use crate::row::{id, optional_word, small, word};
use crate::statement::{self, text};
use domain::metrics::{Totals, Windows};
use domain::money::Asset;
use domain::player::{AccountStanding, Balances, PastGrant, PlayerSnapshot, RewardSpend};
use domain::segment::Segment;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::collections::HashMap;
use tokio_postgres::Row;

/// Columns of `players p`, in the order in which [`snapshot`] reads them.
pub(crate) const PLAYER: &str = "p.player_id, p.tier, p.risk_score, p.is_active, p.is_blocked, p.self_excluded_until, \
                                 p.kyc_completed, p.profile_depth, p.registered_at";
/// The number of columns in [`PLAYER`], and so the position of the next column.
pub(crate) const PLAYER_COLUMNS: usize = 9;

const PLAYERS: &str = text!(
    "SELECT ",
    PLAYER,
    ", ",
    TOTALS,
    ", s.segment
FROM players p
JOIN player_totals t ON t.player_id = p.player_id
LEFT JOIN player_segments s ON s.player_id = p.player_id
WHERE p.player_id = ANY($1)
ORDER BY p.player_id"
);

/// Sums of `player_daily` up to the day `$1`, in the order in which [`windows`] reads them.
pub(crate) const WINDOW_SUMS: &str = "
  sum(wagered) AS wagered_30d,
  sum(wagered) FILTER (WHERE day > $1::date - 7) AS wagered_7d,
  sum(won) FILTER (WHERE day > $1::date - 7) AS won_7d,
  sum(deposited) FILTER (WHERE day > $1::date - 7) AS deposited_7d,
  sum(won) AS won_30d,
  sum(deposited) AS deposited_30d,
  count(*) FILTER (WHERE wagered > 0 OR deposited > 0 OR withdrawn > 0)::integer AS active_days_30d";

const WINDOWS: &str = text!(
    "SELECT player_id,",
    WINDOW_SUMS,
    "
FROM player_daily
WHERE player_id = ANY($2)
  AND day > $1::date - 30
GROUP BY player_id"
);

const BALANCES: &str = "
SELECT player_id, asset, balance
FROM wallets
WHERE player_id = ANY($1)";

const SPEND: &str = "
SELECT player_id,
  sum(cost) FILTER (WHERE issued_at > $2) AS day,
  sum(cost) FILTER (WHERE issued_at > $3) AS days_7,
  sum(cost) AS days_30
FROM grants
WHERE player_id = ANY($1)
  AND issued_at > $4
GROUP BY player_id";

const PAST_GRANTS: &str = "
SELECT player_id, rule_id, period_key
FROM grants
WHERE player_id = ANY($1)
  AND period_key = ANY($2)";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[PLAYERS, WINDOWS, BALANCES, SPEND, PAST_GRANTS];

/// The players that exist, ordered by id. `today` is in the program's time zone. Only past grants with one of
/// `period_keys` are read, so that a long history costs nothing: pass the periods in which a rule may grant now.
pub async fn load(
    executor: &impl Executor,
    player_ids: &[&str],
    now: Timestamp,
    today: Date,
    period_keys: &[String],
) -> Result<Vec<PlayerSnapshot>> {
    let mut players = statement::rows(executor, PLAYERS, &[&player_ids])
        .await?
        .iter()
        .map(|row| {
            let totals = totals_of(row, PLAYER_COLUMNS)?;
            snapshot(row, totals, optional_word(row, "segment")?)
        })
        .collect::<Result<Vec<_>>>()?;
    // The map owns its keys, because the snapshots change while it is used.
    let place: HashMap<String, usize> = players
        .iter()
        .enumerate()
        .map(|(index, player)| (player.player_id.as_str().to_owned(), index))
        .collect();
    let find = |row: &Row| -> Result<Option<usize>> { Ok(place.get(row.try_get::<_, &str>("player_id")?).copied()) };

    for row in statement::rows(executor, WINDOWS, &[&today, &player_ids]).await? {
        if let Some(index) = find(&row)? {
            players[index].windows = windows(&row)?;
        }
    }
    for row in statement::rows(executor, BALANCES, &[&player_ids]).await? {
        if let Some(index) = find(&row)? {
            *balance_mut(&mut players[index].balances, word(&row, "asset")?) = row.try_get("balance")?;
        }
    }
    let days_ago = |days: i64| now - SignedDuration::from_hours(24 * days);
    for row in statement::rows(
        executor,
        SPEND,
        &[&player_ids, &days_ago(1), &days_ago(7), &days_ago(30)],
    )
    .await?
    {
        if let Some(index) = find(&row)? {
            players[index].spend = spend(&row)?;
        }
    }
    for row in statement::rows(executor, PAST_GRANTS, &[&player_ids, &period_keys]).await? {
        if let Some(index) = find(&row)? {
            let past = PastGrant {
                rule_id: row.try_get("rule_id")?,
                period_key: row.try_get("period_key")?,
            };
            players[index].past_grants.push(past);
        }
    }
    Ok(players)
}

/// Reads [`PLAYER`] by position, which is faster than by name.
pub(crate) fn snapshot(row: &Row, totals: Totals, segment: Option<Segment>) -> Result<PlayerSnapshot> {
    Ok(PlayerSnapshot {
        player_id: id(row, 0)?,
        tier: row.try_get(1)?,
        risk_score: small(row, 2)?,
        standing: Some(AccountStanding {
            is_active: row.try_get(3)?,
            is_blocked: row.try_get(4)?,
            self_excluded_until: row.try_get(5)?,
        }),
        kyc_completed: row.try_get(6)?,
        profile_depth: row.try_get(7)?,
        registered_at: row.try_get(8)?,
        totals,
        segment,
        windows: Windows::default(),
        balances: Balances::default(),
        spend: RewardSpend::default(),
        past_grants: Vec::new(),
    })
}

/// Reads [`WINDOW_SUMS`], which follow the player id.
pub(crate) fn windows(row: &Row) -> Result<Windows> {
    Ok(Windows {
        wagered_30d: sum(row, 1)?,
        wagered_7d: sum(row, 2)?,
        won_7d: sum(row, 3)?,
        deposited_7d: sum(row, 4)?,
        won_30d: sum(row, 5)?,
        deposited_30d: sum(row, 6)?,
        active_days_30d: row.try_get(7)?,
    })
}

/// Reads the cost of 1, 7 and 30 days, which follow the player id.
pub(crate) fn spend(row: &Row) -> Result<RewardSpend> {
    Ok(RewardSpend {
        day: sum(row, 1)?,
        days_7: sum(row, 2)?,
        days_30: sum(row, 3)?,
    })
}

/// A sum over no rows is NULL, which means 0.
pub(crate) fn sum(row: &Row, place: usize) -> Result<Decimal> {
    Ok(row.try_get::<_, Option<Decimal>>(place)?.unwrap_or_default())
}

pub(crate) fn balance_mut(balances: &mut Balances, asset: Asset) -> &mut Decimal {
    match asset {
        Asset::Bonus => &mut balances.bonus,
        Asset::Lp => &mut balances.lp,
        Asset::Rp => &mut balances.rp,
        Asset::Tickets => &mut balances.tickets,
    }
}
