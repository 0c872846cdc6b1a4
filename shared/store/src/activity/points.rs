//! The days of play, whose stakes earn points. The caller holds the players' locks.

use crate::columns;
use crate::db::Tx;
use crate::error::Result;
use crate::row::player_id;
use crate::statement::{self, text};
use crate::wallet::ledger::lot;
use domain::id::{EventId, PlayerId};
use domain::lots::Lot;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use tokio_postgres::Row;

columns! {
    /// A day on which a player staked.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct DayKey<'a> => DayKeys (now) {
        player_id: text = &'a PlayerId,
        day: date = Date,
        starts_at: timestamptz = Timestamp,
    }
}

columns! {
    /// An event that is voided.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
    pub struct VoidedKey<'a> => VoidedKeys (now) {
        player_id: text = &'a PlayerId,
        event_id: text = &'a EventId,
    }
}

// The tier is asked for only while the day has no rate. The lot may be empty; what of it has expired is counted only once
// it could have.
const DAYS: &str = "
SELECT n.player_id, n.day, coalesce(d.lp_staked, 0) AS lp_staked, d.lp_rate, coalesce(d.lp_play, 0) AS lp_play,
  coalesce(before.to_tier, first.tier, p.tier) AS tier, coalesce(x.expired, 0) AS expired,
  l.asset, l.version, l.earned, l.remaining, l.earned_at, l.expires_at, l.play_day
FROM n
JOIN players p ON p.player_id = n.player_id
LEFT JOIN player_daily d ON d.player_id = n.player_id AND d.day = n.day
LEFT JOIN LATERAL (
  SELECT to_tier
  FROM tier_history
  WHERE player_id = n.player_id
    AND at <= n.starts_at
  ORDER BY at DESC
  LIMIT 1
) before ON d.lp_rate IS NULL
LEFT JOIN LATERAL (
  SELECT coalesce(from_tier, to_tier) AS tier
  FROM tier_history
  WHERE player_id = n.player_id
  ORDER BY at
  LIMIT 1
) first ON d.lp_rate IS NULL
LEFT JOIN point_lots l ON l.player_id = n.player_id AND l.play_day = n.day
LEFT JOIN LATERAL (
  SELECT -sum(m.amount) AS expired
  FROM lot_movements m
  JOIN postings e ON e.player_id = m.player_id AND e.asset = m.asset AND e.version = m.version
  WHERE m.player_id = l.player_id
    AND m.asset = l.asset
    AND m.lot_version = l.version
    AND e.house = 'house:expiry'
) x ON l.expires_at <= $1";

const OF_STAKES: &str = text!("WITH n AS (\n", DayKeys::SELECT, "\n)", DAYS);

// A voided stake says which day it counts for, and that day has a rate.
const OF_VOIDED: &str = text!(
    "
WITH n AS (
  SELECT DISTINCT e.player_id, e.lp_day AS day, NULL::timestamptz AS starts_at
  FROM ",
    VoidedKeys::UNNEST,
    "
  JOIN activity_events e ON e.player_id = n.player_id AND e.event_id = n.event_id
  WHERE e.lp_day IS NOT NULL
)",
    DAYS
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[OF_STAKES, OF_VOIDED];

/// A day of play as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredDay {
    pub player_id: PlayerId,
    pub day: Date,
    pub staked: Decimal,
    pub rate: Option<Decimal>,
    pub points: Decimal,
    /// In force at the start of the day.
    pub tier: String,
    /// Its lot, if it has earned points.
    pub lot: Option<Lot>,
    pub expired: Decimal,
}

/// The days on which these stakes count, and those of the stakes that are voided. At most two statements, sent
/// together.
pub async fn days<'a>(
    tx: &Tx<'_>,
    stakes: impl IntoIterator<Item = DayKey<'a>>,
    voided: impl IntoIterator<Item = VoidedKey<'a>>,
    now: Timestamp,
) -> Result<Vec<StoredDay>> {
    let (stakes, voided): (DayKeys<'_>, VoidedKeys<'_>) = (stakes.into_iter().collect(), voided.into_iter().collect());
    let of_stakes = async {
        if stakes.is_empty() {
            return Ok(Vec::new());
        }
        statement::list(tx, OF_STAKES, &stakes.params([&now]), stored_day).await
    };
    let of_voided = async {
        if voided.is_empty() {
            return Ok(Vec::new());
        }
        statement::list(tx, OF_VOIDED, &voided.params([&now]), stored_day).await
    };
    let (mut days, of_voided): (Vec<StoredDay>, Vec<StoredDay>) = tokio::try_join!(of_stakes, of_voided)?;
    days.extend(of_voided);
    Ok(days)
}

fn stored_day(row: &Row) -> Result<StoredDay> {
    let asset: Option<&str> = row.try_get("asset")?;
    Ok(StoredDay {
        player_id: player_id(row)?,
        day: row.try_get("day")?,
        staked: row.try_get("lp_staked")?,
        rate: row.try_get("lp_rate")?,
        points: row.try_get("lp_play")?,
        tier: row.try_get("tier")?,
        lot: asset.map(|_| lot(row)).transpose()?,
        expired: row.try_get("expired")?,
    })
}
