//! The ladder of tiers, and the players' positions on it.
//!
//! # Choices
//!
//! * The instants of a tier history never go back: callers read the clock before they wait for the lock, so a move that
//!   is written later with an earlier time is placed a microsecond after the last.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::row::{player_id, word};
use crate::statement::{self, text};
use domain::id::PlayerId;
use domain::money::Points;
use domain::tier::{MoveReason, Tier};
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

const LADDER: &str = "
SELECT tier_level, lp_min, benefits, requirements
FROM tiers
ORDER BY lp_min";

// EXCLUSIVE and ROW SHARE block each other. Plain readers wait for neither.
const PIN: &str = "LOCK TABLE tiers IN ROW SHARE MODE";
const LOCK: &str = "LOCK TABLE tiers IN EXCLUSIVE MODE";

const INSERT: &str = "
INSERT INTO tiers (tier_level, lp_min, benefits, requirements, updated_at)
VALUES ($1, $2, $3, $4, $5)";

const UPDATE: &str = "
UPDATE tiers
SET lp_min = $2,
  benefits = $3,
  requirements = $4,
  updated_at = $5
WHERE tier_level = $1";

const DELETE: &str = "
DELETE FROM tiers
WHERE tier_level = $1";

const HAS_PLAYERS: &str = "
SELECT EXISTS (
  SELECT 1
  FROM players
  WHERE tier = $1
) AS found";

// LATERAL makes one index lookup per player, whatever the planner estimates.
const STANDINGS: &str = "
SELECT p.player_id, p.tier, coalesce(d.lp, 0) AS qualifying_lp
FROM players p
CROSS JOIN LATERAL (
  SELECT sum(lp_earned) AS lp
  FROM player_daily
  WHERE player_id = p.player_id
    AND day >= coalesce($2::date, '-infinity')
) d
WHERE p.player_id = ANY($1)
ORDER BY p.player_id";

columns! {
    struct EarnedRow<'a> => Earned (today, since) {
        player_id: text = &'a PlayerId,
        lp: numeric = Decimal,
    }
}

// The SELECT does not see the upsert, so it takes today's LP from RETURNING and the other days from the table.
const EARN: &str = text!(
    "
WITH earned AS (
  INSERT INTO player_daily AS d (player_id, day, deposited, wagered, won, withdrawn, lp_earned)
  SELECT player_id, $1::date, 0, 0, 0, 0, lp
  FROM ",
    Earned::UNNEST,
    "
  ON CONFLICT (player_id, day) DO UPDATE
  SET lp_earned = d.lp_earned + EXCLUDED.lp_earned
  RETURNING player_id, lp_earned
)
SELECT p.player_id, p.tier, e.lp_earned + coalesce(d.lp, 0) AS qualifying_lp
FROM earned e
JOIN players p ON p.player_id = e.player_id
CROSS JOIN LATERAL (
  SELECT sum(lp_earned) AS lp
  FROM player_daily
  WHERE player_id = e.player_id
    AND day >= coalesce($2::date, '-infinity')
    AND day <> $1::date
) d
ORDER BY p.player_id"
);

// With the LP that counted at the end of a move's day, without those taken back since.
const LAST_MOVES: &str = "
SELECT n.player_id, h.from_tier, h.to_tier, h.reason, coalesce(d.lp, 0) AS qualifying_lp
FROM unnest($1::text[]) AS n (player_id)
CROSS JOIN LATERAL (
  SELECT from_tier, to_tier, reason, at, (at AT TIME ZONE $2)::date AS day
  FROM tier_history
  WHERE player_id = n.player_id
  ORDER BY at DESC
  LIMIT $4
) h
CROSS JOIN LATERAL (
  SELECT sum(lp_earned) AS lp
  FROM player_daily
  WHERE player_id = n.player_id
    AND day <= h.day
    AND day > coalesce(h.day - $3::integer, '-infinity')
) d
ORDER BY n.player_id, h.at DESC";

columns! {
    struct MoveRow<'a> => Moves (at) {
        player_id: text = &'a PlayerId,
        from_tier: text = &'a str,
        to_tier: text = &'a str,
        reason: text = MoveReason,
    }
}

// A caller reads its clock before it waits for the player's lock, so its `now` may be earlier than the last move. The
// history must ascend: such a move gets an instant just after the last one. A move also cancels an announced
// downgrade.
const MOVE: &str = text!(
    "
WITH moved AS (
",
    Moves::SELECT,
    "
), placed AS (
  UPDATE players p
  SET tier = m.to_tier
  FROM moved m
  WHERE p.player_id = m.player_id
), settled AS (
  DELETE FROM tier_downgrades d
  USING moved m
  WHERE d.player_id = m.player_id
)
INSERT INTO tier_history (player_id, at, from_tier, to_tier, reason)
SELECT m.player_id, greatest($1::timestamptz, last.at + interval '1 microsecond'), m.from_tier, m.to_tier, m.reason
FROM moved m
CROSS JOIN LATERAL (
  SELECT max(at) AS at
  FROM tier_history
  WHERE player_id = m.player_id
) last"
);

// The next players, ordered by id, without locks.
const NEXT: &str = "
SELECT p.player_id, p.tier, coalesce(d.lp, 0) AS qualifying_lp, g.due_at
FROM (
  SELECT player_id, tier
  FROM players
  WHERE player_id > $1
  ORDER BY player_id
  LIMIT $2
) p
CROSS JOIN LATERAL (
  SELECT sum(lp_earned) AS lp
  FROM player_daily
  WHERE player_id = p.player_id
    AND day >= coalesce($3::date, '-infinity')
) d
LEFT JOIN tier_downgrades g ON g.player_id = p.player_id
ORDER BY p.player_id";

const OF_PLAYERS: &str = "
SELECT p.player_id, p.tier, coalesce(d.lp, 0) AS qualifying_lp, g.due_at
FROM players p
CROSS JOIN LATERAL (
  SELECT sum(lp_earned) AS lp
  FROM player_daily
  WHERE player_id = p.player_id
    AND day >= coalesce($2::date, '-infinity')
) d
LEFT JOIN tier_downgrades g ON g.player_id = p.player_id
WHERE p.player_id = ANY($1)
ORDER BY p.player_id";

columns! {
    struct DowngradeRow<'a> => Downgrades (announced_at) {
        player_id: text = &'a PlayerId,
        tier: text = &'a str,
        due_at: timestamptz = Timestamp,
    }
}

const ANNOUNCE: &str = text!(
    "INSERT INTO tier_downgrades (announced_at, ",
    Downgrades::NAMES,
    ")\nSELECT $1, ",
    Downgrades::NAMES,
    "\nFROM ",
    Downgrades::UNNEST
);

const CALL_OFF: &str = "
DELETE FROM tier_downgrades
WHERE player_id = ANY($1)";

// `lp_left` is what remains when the day no longer counts: the LP earned on later days.
const OUTLOOK: &str = "
SELECT min(day) AS day
FROM (
  SELECT day,
    coalesce(sum(lp_earned) OVER (ORDER BY day DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS lp_left
  FROM player_daily
  WHERE player_id = $1
    AND day >= $2
) d
WHERE lp_left < $3";

const HISTORY: &str = "
SELECT from_tier, to_tier, reason, at
FROM tier_history
WHERE player_id = $1
ORDER BY at DESC
LIMIT $2";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    LADDER,
    PIN,
    LOCK,
    INSERT,
    UPDATE,
    DELETE,
    HAS_PLAYERS,
    STANDINGS,
    EARN,
    LAST_MOVES,
    MOVE,
    NEXT,
    OF_PLAYERS,
    ANNOUNCE,
    CALL_OFF,
    OUTLOOK,
    HISTORY,
];

/// All tiers, lowest first.
pub async fn ladder(executor: &impl Executor) -> Result<Vec<Tier>> {
    statement::list(executor, LADDER, &[], |row| {
        let Json(benefits) = row.try_get("benefits")?;
        let lp_min: Decimal = row.try_get("lp_min")?;
        Ok(Tier {
            tier_level: row.try_get("tier_level")?,
            lp_min: Points::of(lp_min.normalize()),
            benefits,
            requirements: row.try_get("requirements")?,
        })
    })
    .await
}

/// Blocks changes of the ladder until the transaction ends. For transactions that write something which must fit the
/// ladder: a player's tier, or a rule that reads a benefit. They do not block each other. Read the ladder after this
/// call.
pub async fn pin(tx: &Tx<'_>) -> Result<()> {
    statement::execute(tx, PIN, &[]).await?;
    Ok(())
}

/// For a transaction that changes the ladder: waits for all that pinned it, and blocks new ones. Read the ladder, the
/// players and the rules after this call.
pub async fn lock(tx: &Tx<'_>) -> Result<()> {
    statement::execute(tx, LOCK, &[]).await?;
    Ok(())
}

/// Inserts a tier. Here and in the other writes of tiers, the caller holds the ladder's lock.
pub async fn insert(tx: &Tx<'_>, tier: &Tier, now: Timestamp) -> Result<()> {
    write(tx, INSERT, tier, now).await
}

pub async fn update(tx: &Tx<'_>, tier: &Tier, now: Timestamp) -> Result<()> {
    write(tx, UPDATE, tier, now).await
}

async fn write(tx: &Tx<'_>, sql: &str, tier: &Tier, now: Timestamp) -> Result<()> {
    statement::execute(
        tx,
        sql,
        &[
            &tier.tier_level,
            &tier.lp_min.value(),
            &Json(&tier.benefits),
            &tier.requirements,
            &now,
        ],
    )
    .await?;
    Ok(())
}

pub async fn delete(tx: &Tx<'_>, tier_level: &str) -> Result<()> {
    statement::execute(tx, DELETE, &[&tier_level]).await?;
    Ok(())
}

/// Returns whether any player is in the tier.
pub async fn has_players(executor: &impl Executor, tier_level: &str) -> Result<bool> {
    Ok(statement::row(executor, HAS_PLAYERS, &[&tier_level])
        .await?
        .try_get("found")?)
}

/// A player's tier, and the LP earned in the qualification period.
#[derive(Debug, Clone, PartialEq)]
pub struct Qualification {
    pub player_id: PlayerId,
    pub tier: String,
    /// Negative when more LP were taken back than earned in the period.
    pub qualifying_lp: Decimal,
}

/// Of the players that exist, ordered by id. `since` is the first day that counts; `None` counts all days.
pub async fn qualifications(
    executor: &impl Executor,
    player_ids: &[&str],
    since: Option<Date>,
) -> Result<Vec<Qualification>> {
    statement::list(executor, STANDINGS, &[&player_ids, &since], qualification).await
}

/// Adds LP to what the players earned on a day, and returns their standings including it. `earned` names each player
/// once. Negative LP are points that are taken back. The caller holds the players' locks.
pub async fn earn(
    tx: &Tx<'_>,
    earned: &[(&PlayerId, Decimal)],
    today: Date,
    since: Option<Date>,
) -> Result<Vec<Qualification>> {
    let rows: Earned<'_> = earned
        .iter()
        .map(|&(player_id, lp)| EarnedRow { player_id, lp })
        .collect();
    statement::list(tx, EARN, &rows.params([&today, &since]), qualification).await
}

fn qualification(row: &Row) -> Result<Qualification> {
    Ok(Qualification {
        player_id: player_id(row)?,
        tier: row.try_get("tier")?,
        qualifying_lp: row.try_get("qualifying_lp")?,
    })
}

/// A past move of a player, and what is left of the LP that counted for the tier on that day.
#[derive(Debug, Clone, PartialEq)]
pub struct Gained {
    pub player_id: PlayerId,
    pub from: Option<String>,
    pub to: String,
    pub reason: MoveReason,
    pub qualifying_lp: Decimal,
}

/// The last `limit` moves of each player, newest first. LP count for `days` days, `None` for ever.
pub async fn last_moves(
    executor: &impl Executor,
    player_ids: &[&str],
    time_zone: &str,
    days: Option<u32>,
    limit: i64,
) -> Result<Vec<Gained>> {
    let days = days.map(|days| i32::try_from(days).unwrap_or(i32::MAX));
    statement::list(executor, LAST_MOVES, &[&player_ids, &time_zone, &days, &limit], |row| {
        Ok(Gained {
            player_id: player_id(row)?,
            from: row.try_get("from_tier")?,
            to: row.try_get("to_tier")?,
            reason: word(row, "reason")?,
            qualifying_lp: row.try_get("qualifying_lp")?,
        })
    })
    .await
}

/// A player's move from one tier to another.
#[derive(Debug, Clone, PartialEq)]
pub struct TierMove {
    pub player_id: PlayerId,
    pub from: String,
    pub to: String,
    pub reason: MoveReason,
    pub qualifying_lp: Decimal,
}

/// Moves players and adds to their history; `moves` names each player once. The caller holds their locks and has
/// pinned the ladder.
pub async fn change(tx: &Tx<'_>, moves: &[TierMove], now: Timestamp) -> Result<()> {
    if moves.is_empty() {
        return Ok(());
    }
    let rows: Moves<'_> = moves
        .iter()
        .map(|step| MoveRow {
            player_id: &step.player_id,
            from_tier: &step.from,
            to_tier: &step.to,
            reason: step.reason,
        })
        .collect();
    statement::execute(tx, MOVE, &rows.params([&now])).await?;
    Ok(())
}

/// A player in the nightly review.
#[derive(Debug, Clone, PartialEq)]
pub struct Reviewee {
    pub qualification: Qualification,
    /// When the announced downgrade is due; `None` if none is announced.
    pub due_at: Option<Timestamp>,
}

/// The next `limit` players behind `after`, ordered by id, without locks.
pub async fn next(
    executor: &impl Executor,
    after: Option<&str>,
    limit: i64,
    since: Option<Date>,
) -> Result<Vec<Reviewee>> {
    statement::list(executor, NEXT, &[&after.unwrap_or_default(), &limit, &since], reviewee).await
}

/// Those of the players that exist, ordered by id.
pub async fn reviewees(executor: &impl Executor, player_ids: &[&str], since: Option<Date>) -> Result<Vec<Reviewee>> {
    statement::list(executor, OF_PLAYERS, &[&player_ids, &since], reviewee).await
}

fn reviewee(row: &Row) -> Result<Reviewee> {
    Ok(Reviewee {
        qualification: qualification(row)?,
        due_at: row.try_get("due_at")?,
    })
}

/// An announced downgrade.
#[derive(Debug, Clone, PartialEq)]
pub struct Downgrade {
    pub player_id: PlayerId,
    /// The player's current tier, whose LP the player no longer has.
    pub tier: String,
    pub due_at: Timestamp,
}

/// Saves the downgrades of players who have none announced. The caller holds their locks.
pub async fn announce(tx: &Tx<'_>, downgrades: &[Downgrade], now: Timestamp) -> Result<()> {
    if downgrades.is_empty() {
        return Ok(());
    }
    let rows: Downgrades<'_> = downgrades
        .iter()
        .map(|downgrade| DowngradeRow {
            player_id: &downgrade.player_id,
            tier: &downgrade.tier,
            due_at: downgrade.due_at,
        })
        .collect();
    statement::execute(tx, ANNOUNCE, &rows.params([&now])).await?;
    Ok(())
}

/// Cancels the announced downgrades of these players. The caller holds their locks.
pub async fn call_off(tx: &Tx<'_>, player_ids: &[&str]) -> Result<()> {
    if !player_ids.is_empty() {
        statement::execute(tx, CALL_OFF, &[&player_ids]).await?;
    }
    Ok(())
}

/// The first day from `since` on with this property: once it and the days before it no longer count, fewer than
/// `lp_min` LP remain. `None` if there is no such day.
pub async fn lapsing_day(
    executor: &impl Executor,
    player_id: &PlayerId,
    since: Date,
    lp_min: Decimal,
) -> Result<Option<Date>> {
    Ok(
        statement::row(executor, OUTLOOK, &[&player_id.as_str(), &since, &lp_min])
            .await?
            .try_get("day")?,
    )
}

/// A move in a player's history.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct PastMove {
    pub from: Option<String>,
    pub to: String,
    pub reason: MoveReason,
    pub at: Timestamp,
}

/// The player's last `limit` moves, newest first.
pub async fn history(executor: &impl Executor, player_id: &PlayerId, limit: i64) -> Result<Vec<PastMove>> {
    let rows = statement::rows(executor, HISTORY, &[&player_id.as_str(), &limit]).await?;
    let past = |row: &Row| {
        Ok(PastMove {
            from: row.try_get("from_tier")?,
            to: row.try_get("to_tier")?,
            reason: word(row, "reason")?,
            at: row.try_get("at")?,
        })
    };
    rows.iter().map(past).collect()
}
