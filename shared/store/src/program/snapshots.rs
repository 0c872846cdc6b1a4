//! Everything that a decision about a player reads, with one statement per table.

use crate::db::Executor;
use crate::error::Result;
use crate::players::totals::{TOTALS, totals_of};
use crate::row::{id, optional_word, small, word};
use crate::statement::{self, text};
use domain::facts::FactSource;
use domain::metrics::{Losses, Totals, Windows};
use domain::money::Asset;
use domain::period::{Moment, Stretch};
use domain::player::{AccountStanding, Balances, Claim, Entry, PastGrant, PlayerSnapshot, RewardSpend};
use domain::segment::Segment;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::collections::{BTreeSet, HashMap};
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

/// Sums over rows of 30 days up to the column `today`, in the order in which [`windows`] reads them.
pub(crate) const WINDOW_SUMS: &str = "
  sum(wagered) AS wagered_30d,
  sum(wagered) FILTER (WHERE day > today - 7) AS wagered_7d,
  sum(won) FILTER (WHERE day > today - 7) AS won_7d,
  sum(deposited) FILTER (WHERE day > today - 7) AS deposited_7d,
  sum(won) AS won_30d,
  sum(deposited) AS deposited_30d,
  count(*) FILTER (WHERE wagered > 0 OR deposited > 0 OR withdrawn > 0)::integer AS active_days_30d";

const WINDOWS: &str = text!(
    "SELECT player_id,",
    WINDOW_SUMS,
    "
FROM (
  SELECT player_id, day, deposited, wagered, won, withdrawn, $1::date AS today
  FROM player_daily
  WHERE player_id = ANY($2)
    AND day > $1::date - 30
    AND day <= $1::date
) AS days
GROUP BY player_id"
);

/// Sums over rows from the column `last_month` to the column `today`, in the order in which [`losses`] reads them.
/// `week` and `month` are the first days of those of `today`.
pub(crate) const LOSS_SUMS: &str = "
  sum(wagered - won) FILTER (WHERE day = today) AS today,
  sum(wagered - won) FILTER (WHERE day >= week) AS this_week,
  sum(wagered - won) FILTER (WHERE day >= week - 7 AND day < week) AS last_week,
  sum(wagered - won) FILTER (WHERE day >= month) AS this_month,
  sum(wagered - won) FILTER (WHERE day < month) AS last_month";

const LOSSES: &str = text!(
    "SELECT player_id,",
    LOSS_SUMS,
    "
FROM (
  SELECT player_id, day, wagered, won, $1::date AS today, $2::date AS week, $3::date AS month
  FROM player_daily
  WHERE player_id = ANY($5)
    AND day >= $4::date
    AND day <= $1::date
) AS days
GROUP BY player_id"
);

const DEPOSITS: &str = "
SELECT e.player_id, count(*)
FROM activity_events e
WHERE e.player_id = ANY($1)
  AND e.type = 'DEPOSIT'
  AND NOT EXISTS (
    SELECT
    FROM activity_events v
    WHERE v.player_id = e.player_id
      AND v.voids = e.event_id
  )
GROUP BY e.player_id";

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
SELECT player_id, rule_id, period_key, period_from, period_until, exclusive_group, entered
FROM grants
WHERE player_id = ANY($1)
  AND period_key = ANY($2)";

// A partial index has the few grants that stand for an entry.
const PAST_ENTRIES: &str = "
SELECT player_id, rule_id, period_key, period_from, period_until, exclusive_group, entered
FROM grants
WHERE player_id = ANY($1)
  AND entered = ANY($2)";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    PLAYERS,
    WINDOWS,
    LOSSES,
    DEPOSITS,
    BALANCES,
    SPEND,
    PAST_GRANTS,
    PAST_ENTRIES,
];

/// What to read of players, and as of when.
#[derive(Debug, Clone)]
pub struct Reading<'a> {
    pub moment: &'a Moment,
    /// What the rules read. Losses and the number of deposits are read only for rules that do.
    pub sources: BTreeSet<FactSource>,
    /// Only past grants with one of these keys are read, so that a long history costs nothing: the periods in which a
    /// rule may grant.
    pub period_keys: Vec<String>,
    /// And those for entering one of these segments or tiers.
    pub entered: Vec<&'a str>,
}

/// The players that exist, ordered by id.
pub async fn load(executor: &impl Executor, player_ids: &[&str], reading: &Reading<'_>) -> Result<Vec<PlayerSnapshot>> {
    let (now, today) = (reading.moment.now(), reading.moment.today());
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
    let mut past = statement::rows(executor, PAST_GRANTS, &[&player_ids, &reading.period_keys]).await?;
    if !reading.entered.is_empty() {
        past.extend(statement::rows(executor, PAST_ENTRIES, &[&player_ids, &reading.entered]).await?);
    }
    for row in past {
        if let Some(index) = find(&row)? {
            players[index].past_grants.push(past_grant(&row)?);
        }
    }
    load_calendar(executor, player_ids, reading, &mut players).await?;
    Ok(players)
}

/// Losses and deposits, where rules read them.
async fn load_calendar(
    executor: &impl Executor,
    player_ids: &[&str],
    reading: &Reading<'_>,
    players: &mut [PlayerSnapshot],
) -> Result<()> {
    if reading.sources.contains(&FactSource::Losses) {
        let moment = reading.moment;
        let days = [moment.today(), moment.week(), moment.month(), moment.last_month()];
        let of_days: statement::Params<'_> = &[&days[0], &days[1], &days[2], &days[3], &player_ids];
        let mut found = by_player(executor, LOSSES, of_days, losses).await?;
        for player in players.iter_mut() {
            player.losses = Some(found.remove(player.player_id.as_str()).unwrap_or_default());
        }
    }
    if reading.sources.contains(&FactSource::Deposits) {
        let mut found = by_player(executor, DEPOSITS, &[&player_ids], |row| Ok(row.try_get(1)?)).await?;
        for player in players.iter_mut() {
            player.deposit_count = Some(found.remove(player.player_id.as_str()).unwrap_or_default());
        }
    }
    Ok(())
}

/// What `read` makes of the rows, by their first column: the player id.
pub(crate) async fn by_player<T>(
    executor: &impl Executor,
    sql: &str,
    params: statement::Params<'_>,
    read: impl Fn(&Row) -> Result<T>,
) -> Result<HashMap<String, T>> {
    statement::list(executor, sql, params, |row| Ok((row.try_get(0)?, read(row)?))).await
}

fn past_grant(row: &Row) -> Result<PastGrant> {
    Ok(PastGrant {
        rule_id: row.try_get("rule_id")?,
        claim: claim(
            row.try_get("period_key")?,
            (row.try_get("period_from")?, row.try_get("period_until")?),
            row.try_get("exclusive_group")?,
            row.try_get("entered")?,
        ),
    })
}

/// What a grant used up.
pub(crate) fn claim(
    period_key: String,
    (from, until): (Option<Timestamp>, Option<Timestamp>),
    exclusive_group: Option<String>,
    entered: Option<String>,
) -> Claim {
    Claim {
        period_key,
        span: from.zip(until).map(|(from, until)| Stretch { from, until }),
        exclusive_group,
        entry: entered.zip(from).map(|(entered, at)| Entry { entered, at }),
    }
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
        losses: None,
        deposit_count: None,
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

/// Reads [`LOSS_SUMS`], which follow the player id.
pub(crate) fn losses(row: &Row) -> Result<Losses> {
    Ok(Losses {
        today: sum(row, 1)?,
        this_week: sum(row, 2)?,
        last_week: sum(row, 3)?,
        this_month: sum(row, 4)?,
        last_month: sum(row, 5)?,
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
