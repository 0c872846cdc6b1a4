//! Everything a decision about a player reads: one statement per table, whatever the number of players.

use crate::db::Executor;
use crate::error::{Error, Result};
use crate::players::segments::{segment_of, totals_of};
use crate::statement;
use crate::wallet::ledger::asset;
use domain::id::PlayerId;
use domain::metrics::Windows;
use domain::money::Asset;
use domain::player::{Balances, PastGrant, PlayerSnapshot, RewardSpend, Standing};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use std::collections::HashMap;
use tokio_postgres::Row;

const PLAYERS: &str = "
SELECT p.player_id, p.tier, p.risk_score, p.is_active, p.is_blocked, p.self_excluded_until, p.kyc_completed,
  p.profile_depth, p.registered_at, s.segment, t.total_deposited, t.total_wagered, t.total_won, t.total_withdrawn,
  t.session_count, t.playtime_hours, t.total_bets, t.last_deposit_date
FROM players p
JOIN player_totals t ON t.player_id = p.player_id
LEFT JOIN player_segments s ON s.player_id = p.player_id
WHERE p.player_id = ANY($1)
ORDER BY p.player_id";

const WINDOWS: &str = "
SELECT player_id,
  coalesce(sum(wagered) FILTER (WHERE day > $2::date - 7), 0) AS wagered_7d,
  coalesce(sum(won) FILTER (WHERE day > $2::date - 7), 0) AS won_7d,
  coalesce(sum(deposited) FILTER (WHERE day > $2::date - 7), 0) AS deposited_7d,
  sum(wagered) AS wagered_30d,
  sum(won) AS won_30d,
  sum(deposited) AS deposited_30d,
  count(*) FILTER (WHERE wagered > 0 OR deposited > 0 OR withdrawn > 0)::integer AS active_days_30d
FROM player_daily
WHERE player_id = ANY($1)
  AND day > $2::date - 30
GROUP BY player_id";

const BALANCES: &str = "
SELECT player_id, asset, balance
FROM wallets
WHERE player_id = ANY($1)";

const SPEND: &str = "
SELECT player_id,
  coalesce(sum(cost) FILTER (WHERE issued_at > $2), 0) AS day,
  coalesce(sum(cost) FILTER (WHERE issued_at > $3), 0) AS days_7,
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

/// The players that exist, in order of id. `today` is of the program's time zone; `period_keys` are those that a rule
/// may be granted for now, so that a long history is not read.
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
        .map(snapshot)
        .collect::<Result<Vec<_>>>()?;
    // The map owns its keys: the snapshots change while it is used.
    let place: HashMap<String, usize> = players
        .iter()
        .enumerate()
        .map(|(index, player)| (player.player_id.as_str().to_owned(), index))
        .collect();
    let find = |row: &Row| -> Result<Option<usize>> { Ok(place.get(row.try_get::<_, &str>("player_id")?).copied()) };

    for row in statement::rows(executor, WINDOWS, &[&player_ids, &today]).await? {
        if let Some(index) = find(&row)? {
            players[index].windows = windows(&row)?;
        }
    }
    for row in statement::rows(executor, BALANCES, &[&player_ids]).await? {
        if let Some(index) = find(&row)? {
            *balance_mut(&mut players[index].balances, asset(row.try_get("asset")?)?) = row.try_get("balance")?;
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
            let spend = RewardSpend {
                day: row.try_get("day")?,
                days_7: row.try_get("days_7")?,
                days_30: row.try_get("days_30")?,
            };
            players[index].spend = spend;
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

fn snapshot(row: &Row) -> Result<PlayerSnapshot> {
    let text: String = row.try_get("player_id")?;
    let risk_score: i16 = row.try_get("risk_score")?;
    Ok(PlayerSnapshot {
        player_id: PlayerId::parse(text.clone()).map_err(|error| Error::Row(format!("player id {text:?}: {error}")))?,
        standing: Some(Standing {
            is_active: row.try_get("is_active")?,
            is_blocked: row.try_get("is_blocked")?,
            self_excluded_until: row.try_get("self_excluded_until")?,
        }),
        segment: segment_of(row)?,
        tier: row.try_get("tier")?,
        totals: totals_of(row)?,
        windows: Windows::default(),
        balances: Balances::default(),
        risk_score: u8::try_from(risk_score).map_err(|_| Error::Row(format!("risk score {risk_score}")))?,
        kyc_completed: row.try_get("kyc_completed")?,
        profile_depth: row.try_get("profile_depth")?,
        registered_at: row.try_get("registered_at")?,
        spend: RewardSpend::default(),
        past_grants: Vec::new(),
    })
}

fn windows(row: &Row) -> Result<Windows> {
    Ok(Windows {
        wagered_7d: row.try_get("wagered_7d")?,
        wagered_30d: row.try_get("wagered_30d")?,
        won_7d: row.try_get("won_7d")?,
        won_30d: row.try_get("won_30d")?,
        deposited_7d: row.try_get("deposited_7d")?,
        deposited_30d: row.try_get("deposited_30d")?,
        active_days_30d: row.try_get("active_days_30d")?,
    })
}

pub(crate) fn balance_mut(balances: &mut Balances, asset: Asset) -> &mut rust_decimal::Decimal {
    match asset {
        Asset::Bonus => &mut balances.bonus,
        Asset::Lp => &mut balances.lp,
        Asset::Rp => &mut balances.rp,
        Asset::Tickets => &mut balances.tickets,
    }
}
