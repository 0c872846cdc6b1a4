//! Players as they stood at the moment of an event: what is different from now, with a fixed number of statements.
//!
//! # Choices
//!
//! * What counts is what the totals contain: an event that was voided was never there, nor is a payout that waits for a
//!   stake of its round.
//! * A tier is the player's from the row of `tier_history` on, which is when it was reached, not when it was earned.

use crate::columns;
use crate::db::Executor;
use crate::error::Result;
use crate::program::snapshots::{LOSS_SUMS, WINDOW_SUMS, by_player, losses, sum, windows};
use crate::statement::text;
use domain::facts::FactSource;
use domain::id::PlayerId;
use domain::metrics::Since;
use domain::period::Moment;
use domain::player::Earlier;
use domain::rule::Trigger;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::{BTreeSet, HashMap};
use tokio_postgres::Row;

columns! {
    struct AskedRow<'a> => AskedRows () {
        player_id: text = &'a PlayerId,
        at: timestamptz = Timestamp,
        place: smallint = i16,
        event_id: text = &'a str,
        day_ends: timestamptz = Timestamp,
    }
}

// Of the events after the moment, in the order in which things happen, those that count: all together, and those of the
// moment's day, which the sums by day contain.
const SINCE: &str = text!(
    "
SELECT e.player_id,
  sum(e.amount) FILTER (WHERE e.type = 'DEPOSIT') AS deposited,
  count(*) FILTER (WHERE e.type = 'DEPOSIT') AS deposits,
  sum(e.amount) FILTER (WHERE e.type = 'STAKE') AS wagered,
  count(*) FILTER (WHERE e.type = 'STAKE') AS stakes,
  sum(e.amount) FILTER (WHERE e.type = 'PAYOUT') AS won,
  sum(e.amount) FILTER (WHERE e.type = 'WITHDRAWAL') AS withdrawn,
  (count(*) FILTER (WHERE e.type = 'SESSION'))::integer AS sessions,
  sum(round(e.minutes / 60, 4)) FILTER (WHERE e.type = 'SESSION') AS playtime_hours,
  sum(e.amount) FILTER (WHERE e.type = 'DEPOSIT' AND e.occurred_at < n.day_ends) AS day_deposited,
  sum(e.amount) FILTER (WHERE e.type = 'STAKE' AND e.occurred_at < n.day_ends) AS day_wagered,
  sum(e.amount) FILTER (WHERE e.type = 'PAYOUT' AND e.occurred_at < n.day_ends) AS day_won,
  sum(e.amount) FILTER (WHERE e.type = 'WITHDRAWAL' AND e.occurred_at < n.day_ends) AS day_withdrawn
FROM ",
    AskedRows::UNNEST,
    "
JOIN activity_events e ON e.player_id = n.player_id AND e.occurred_at >= n.at
WHERE e.type IN ('DEPOSIT', 'STAKE', 'PAYOUT', 'WITHDRAWAL', 'SESSION')
  AND (
    e.occurred_at > n.at
    OR (
      CASE e.type WHEN 'DEPOSIT' THEN 0 WHEN 'STAKE' THEN 1 WHEN 'PAYOUT' THEN 2 WHEN 'WITHDRAWAL' THEN 3 ELSE 4 END,
      e.event_id
    ) > (n.place, n.event_id)
  )
  AND NOT EXISTS (
    SELECT
    FROM activity_events v
    WHERE v.player_id = e.player_id
      AND v.voids = e.event_id
  )
  AND (
    e.type <> 'PAYOUT'
    OR e.round_id IS NULL
    OR EXISTS (
      SELECT
      FROM activity_events s
      WHERE s.player_id = e.player_id
        AND s.round_id = e.round_id
        AND s.type = 'STAKE'
        AND NOT EXISTS (
          SELECT
          FROM activity_events v
          WHERE v.player_id = s.player_id
            AND v.voids = s.event_id
            AND v.is_in_play
        )
    )
  )
GROUP BY e.player_id"
);

// The first change after the moment left the tier that was held at it.
const TIERS: &str = text!(
    "
SELECT DISTINCT ON (h.player_id) h.player_id, h.from_tier
FROM ",
    AskedRows::UNNEST,
    "
JOIN tier_history h ON h.player_id = n.player_id AND h.at > n.at
ORDER BY h.player_id, h.at"
);

// An identity is verified once, which is a trigger.
const VERIFIED: &str = text!(
    "
SELECT DISTINCT t.player_id
FROM ",
    AskedRows::UNNEST,
    "
JOIN reward_triggers t ON t.player_id = n.player_id AND t.trigger = 'KYC_COMPLETED' AND t.occurred_at > n.at"
);

columns! {
    /// The day of the moment, and what happened later on it.
    struct DayRow<'a> => DayRows () {
        player_id: text = &'a PlayerId,
        today: date = Date,
        week: date = Date,
        month: date = Date,
        last_month: date = Date,
        deposited: numeric = Decimal,
        wagered: numeric = Decimal,
        won: numeric = Decimal,
        withdrawn: numeric = Decimal,
    }
}

/// The days of the players up to `today`, as they were at the moment.
macro_rules! days {
    ($($first:literal)+) => {
        text!(
            "
FROM (
  SELECT n.player_id, n.today, n.week, n.month, d.day,
    d.deposited - CASE d.day WHEN n.today THEN n.deposited ELSE 0 END AS deposited,
    d.wagered - CASE d.day WHEN n.today THEN n.wagered ELSE 0 END AS wagered,
    d.won - CASE d.day WHEN n.today THEN n.won ELSE 0 END AS won,
    d.withdrawn - CASE d.day WHEN n.today THEN n.withdrawn ELSE 0 END AS withdrawn
  FROM ",
            DayRows::UNNEST,
            "
  JOIN player_daily d ON d.player_id = n.player_id AND d.day <= n.today",
            $($first,)+
            "
) AS days"
        )
    };
}

const WINDOWS: &str = text!(
    "SELECT player_id,",
    WINDOW_SUMS,
    days!(" AND d.day > n.today - 30"),
    "\nGROUP BY player_id"
);

const LOSSES: &str = text!(
    "SELECT player_id,",
    LOSS_SUMS,
    days!(" AND d.day >= n.last_month"),
    "\nGROUP BY player_id"
);

const LAST_DEPOSITS: &str = text!(
    "SELECT player_id, max(day)",
    days!(""),
    "\nWHERE deposited > 0\nGROUP BY player_id"
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[SINCE, TIERS, VERIFIED, WINDOWS, LOSSES, LAST_DEPOSITS];

/// A moment of a player: that of a trigger.
#[derive(Debug, Clone)]
pub struct Asked<'a> {
    pub player_id: &'a PlayerId,
    pub moment: &'a Moment,
    pub trigger: Trigger,
    pub trigger_id: &'a str,
}

/// What was different from `now` at these moments, at most one per player. `sources` is what the rules read.
pub async fn load(
    executor: &impl Executor,
    asked: &[Asked<'_>],
    sources: &BTreeSet<FactSource>,
    now: &Moment,
) -> Result<HashMap<String, Earlier>> {
    let rows: AskedRows<'_> = asked.iter().map(asked_row).collect();
    let reads = |any: &[FactSource]| any.iter().any(|source| sources.contains(source));
    let mut since = HashMap::new();
    if reads(&OF_EVENTS) {
        since = by_player(executor, SINCE, &rows.params([]), since_of).await?;
    }
    let mut tiers = HashMap::new();
    if reads(&[FactSource::Tier]) {
        let left = |row: &Row| Ok(row.try_get::<_, Option<String>>(1)?);
        tiers = by_player(executor, TIERS, &rows.params([]), left).await?;
    }
    let mut verified = HashMap::new();
    if reads(&[FactSource::Profile]) {
        verified = by_player(executor, VERIFIED, &rows.params([]), |_| Ok(())).await?;
    }
    let mut earlier: HashMap<String, Earlier> = HashMap::new();
    // The days of all others are those that were read as of now.
    let mut days = DayRows::with_capacity(0);
    for asked in asked {
        let id = asked.player_id.as_str();
        let (since, later) = since.remove(id).unwrap_or_default();
        if !since.is_nothing() || asked.moment.today() != now.today() {
            days.push(day_row(asked, &later));
        }
        let of_player = Earlier {
            since,
            tier: tiers.remove(id).flatten(),
            verified_since: verified.contains_key(id),
            ..Earlier::default()
        };
        earlier.insert(id.to_owned(), of_player);
    }
    if !days.is_empty() {
        load_days(executor, &days, sources, &mut earlier).await?;
    }
    Ok(earlier)
}

/// The sources that change with every event.
const OF_EVENTS: [FactSource; 6] = [
    FactSource::Profile,
    FactSource::Totals,
    FactSource::Turnover,
    FactSource::Windows,
    FactSource::Losses,
    FactSource::Deposits,
];

/// The sums by day.
async fn load_days(
    executor: &impl Executor,
    days: &DayRows<'_>,
    sources: &BTreeSet<FactSource>,
    earlier: &mut HashMap<String, Earlier>,
) -> Result<()> {
    if sources.contains(&FactSource::Windows) || sources.contains(&FactSource::Turnover) {
        let mut found = by_player(executor, WINDOWS, &days.params([]), windows).await?;
        for id in &days.player_id {
            if let Some(earlier) = earlier.get_mut(*id) {
                earlier.windows = Some(found.remove(*id).unwrap_or_default());
            }
        }
    }
    if sources.contains(&FactSource::Losses) {
        let mut found = by_player(executor, LOSSES, &days.params([]), losses).await?;
        for id in &days.player_id {
            if let Some(earlier) = earlier.get_mut(*id) {
                earlier.losses = Some(found.remove(*id).unwrap_or_default());
            }
        }
    }
    if sources.contains(&FactSource::Totals) {
        let day_of = |row: &Row| Ok(row.try_get::<_, Option<Date>>(1)?);
        for (id, day) in by_player(executor, LAST_DEPOSITS, &days.params([]), day_of).await? {
            if let Some(earlier) = earlier.get_mut(id.as_str()) {
                earlier.last_deposit_date = day;
            }
        }
    }
    Ok(())
}

fn asked_row<'a>(asked: &Asked<'a>) -> AskedRow<'a> {
    let moment = asked.moment;
    AskedRow {
        player_id: asked.player_id,
        at: moment.now(),
        // The place of the trigger among what happened at the same instant.
        place: if asked.trigger == Trigger::Deposit { 0 } else { 4 },
        event_id: asked.trigger_id,
        day_ends: moment.start_of(moment.day_in(1)),
    }
}

/// What happened on the day of the moment after it.
#[derive(Default)]
struct LaterThatDay {
    deposited: Decimal,
    wagered: Decimal,
    won: Decimal,
    withdrawn: Decimal,
}

fn since_of(row: &Row) -> Result<(Since, LaterThatDay)> {
    let since = Since {
        deposited: sum(row, 1)?,
        deposits: row.try_get(2)?,
        wagered: sum(row, 3)?,
        stakes: row.try_get(4)?,
        won: sum(row, 5)?,
        withdrawn: sum(row, 6)?,
        sessions: row.try_get(7)?,
        playtime_hours: sum(row, 8)?,
    };
    let day = LaterThatDay {
        deposited: sum(row, 9)?,
        wagered: sum(row, 10)?,
        won: sum(row, 11)?,
        withdrawn: sum(row, 12)?,
    };
    Ok((since, day))
}

fn day_row<'a>(asked: &Asked<'a>, later: &LaterThatDay) -> DayRow<'a> {
    let moment = asked.moment;
    DayRow {
        player_id: asked.player_id,
        today: moment.today(),
        week: moment.week(),
        month: moment.month(),
        last_month: moment.last_month(),
        deposited: later.deposited,
        wagered: later.wagered,
        won: later.won,
        withdrawn: later.withdrawn,
    }
}
