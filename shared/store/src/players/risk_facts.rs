//! The facts that signals are raised from, with one statement for each kind of fact.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::row::{player_id, word};
use crate::statement::{self, text};
use domain::id::{GrantId, PlayerId};
use domain::risk::{
    CashierEvent, GameStakes, PlayedGrant, ReceivedBonus, RecentStakes, RiskFacts, Shared, SharedKind, TraceKind,
};
use domain::settings::RiskSettings;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::collections::HashMap;
use tokio_postgres::Row;

const BONUSES_COUNT: &str = "
SELECT player_id, count(*) AS bonuses
FROM grants
WHERE player_id = ANY($1)
  AND asset = 'BONUS'
  AND status NOT IN ('PENDING', 'CANCELLED')
GROUP BY player_id";

// Counts at most one account more than a hub may have, so a trace that everybody shares costs no more than a hub.
// Network addresses are left out.
const TRACES: &str = "
SELECT t.player_id, t.kind, encode(substr(t.fingerprint, 1, 4), 'hex') AS mark, o.accounts, o.rewarded
FROM player_traces t
CROSS JOIN LATERAL (
  SELECT count(*) AS accounts,
    array_agg(u.player_id ORDER BY u.player_id) FILTER (
      WHERE u.player_id <> t.player_id
        AND EXISTS (
          SELECT
          FROM grants g
          WHERE g.player_id = u.player_id
            AND g.status NOT IN ('PENDING', 'CANCELLED')
        )
    ) AS rewarded
  FROM (
    SELECT s.player_id
    FROM player_traces s
    WHERE s.kind = t.kind
      AND s.fingerprint = t.fingerprint
    LIMIT $2::bigint + 1
  ) u
) o
WHERE t.player_id = ANY($1)
  AND t.kind IN ('DEVICE', 'PAYMENT_METHOD')
  AND o.accounts BETWEEN 2 AND $2::bigint
  AND o.rewarded IS NOT NULL
ORDER BY t.player_id, t.kind, t.fingerprint";

// Few players share a mailbox, so each player needs one index lookup. PostgreSQL never turns a sub-select with LIMIT
// into a join, which might read all players.
const EMAILS: &str = "
WITH twins AS MATERIALIZED (
  SELECT p.player_id, p.email
  FROM players p
  WHERE p.player_id = ANY($1)
    AND p.email IS NOT NULL
    AND (
      SELECT s.player_id
      FROM players s
      WHERE mailbox(s.email) COLLATE \"C\" = mailbox(p.email) COLLATE \"C\"
        AND s.email IS NOT NULL
        AND s.player_id <> p.player_id
      LIMIT 1
    ) IS NOT NULL
)
SELECT p.player_id, o.accounts, o.rewarded
FROM twins p
CROSS JOIN LATERAL (
  SELECT count(*) AS accounts,
    array_agg(u.player_id ORDER BY u.player_id) FILTER (
      WHERE u.player_id <> p.player_id
        AND EXISTS (
          SELECT
          FROM grants g
          WHERE g.player_id = u.player_id
            AND g.status NOT IN ('PENDING', 'CANCELLED')
        )
    ) AS rewarded
  FROM (
    SELECT s.player_id
    FROM players s
    WHERE mailbox(s.email) COLLATE \"C\" = mailbox(p.email) COLLATE \"C\"
      AND s.email IS NOT NULL
    LIMIT $2::bigint + 1
  ) u
) o
WHERE o.accounts BETWEEN 2 AND $2::bigint
  AND o.rewarded IS NOT NULL";

// A bonus that was never staked has its full balance and no wagering. The stakes of a bonus are those that counted
// towards its wagering or were paid from it.
const PLAYED: &str = "
SELECT g.player_id, g.grant_id, g.status = 'ACTIVE' AS is_active, r.stakes, r.smallest, r.largest, m.games, m.counts,
  m.amounts
FROM grants g
CROSS JOIN LATERAL (
  SELECT count(*) AS stakes, min(s.amount) AS smallest, max(s.amount) AS largest
  FROM (
    SELECT e.amount
    FROM grant_wagering w
    JOIN activity_events e ON e.player_id = w.player_id AND e.event_id = w.event_id
    WHERE w.player_id = g.player_id
      AND w.grant_id = coalesce(g.root_id, g.grant_id)
      AND e.type = 'STAKE'
      AND (w.contribution > 0 OR w.bonus < 0)
      AND NOT EXISTS (
        SELECT
        FROM activity_events v
        WHERE v.player_id = e.player_id
          AND v.voids = e.event_id
      )
    ORDER BY e.occurred_at DESC, e.event_id DESC
    LIMIT $3
  ) s
) r
CROSS JOIN LATERAL (
  SELECT array_agg(s.game ORDER BY s.game) AS games, array_agg(s.stakes ORDER BY s.game) AS counts,
    array_agg(s.amount ORDER BY s.game) AS amounts
  FROM (
    SELECT coalesce(e.game, '') AS game, count(*) AS stakes, sum(e.amount) AS amount
    FROM grant_wagering w
    JOIN activity_events e ON e.player_id = w.player_id AND e.event_id = w.event_id
    WHERE w.player_id = g.player_id
      AND w.grant_id = coalesce(g.root_id, g.grant_id)
      AND e.type = 'STAKE'
      AND (w.contribution > 0 OR w.bonus < 0)
      AND NOT EXISTS (
        SELECT
        FROM activity_events v
        WHERE v.player_id = e.player_id
          AND v.voids = e.event_id
      )
    GROUP BY coalesce(e.game, '')
  ) s
) m
WHERE g.player_id = ANY($1)
  AND g.asset = 'BONUS'
  AND g.corrected_by IS NULL
  AND (g.status = 'ACTIVE' OR g.closed_at > $2)
  AND (g.wagering_completed > 0 OR g.balance <> g.amount)
  AND r.stakes > 0
ORDER BY g.player_id, g.grant_id DESC";

const CASHIER: &str = "
SELECT e.player_id, e.event_id, e.type, e.occurred_at, e.amount
FROM activity_events e
WHERE e.player_id = ANY($1)
  AND e.type IN ('DEPOSIT', 'WITHDRAWAL')
  AND e.occurred_at > $2
  AND NOT EXISTS (
    SELECT
    FROM activity_events v
    WHERE v.player_id = e.player_id
      AND v.voids = e.event_id
  )
ORDER BY e.player_id, e.occurred_at, e.event_id";

// A pending bonus waits for an opt-in and has no money to play yet.
const RECEIVED: &str = "
SELECT player_id, grant_id, coalesce(activated_at, issued_at) AS at
FROM grants
WHERE player_id = ANY($1)
  AND asset = 'BONUS'
  AND status NOT IN ('PENDING', 'CANCELLED')
  AND coalesce(activated_at, issued_at) > $2
ORDER BY player_id, coalesce(activated_at, issued_at), grant_id";

columns! {
    /// A device, payment method or address that a player was seen with.
    pub struct Trace<'a> => Traces (first_seen_at) {
        player_id: text = &'a PlayerId,
        kind: text = TraceKind,
        value: text = &'a str,
    }
}

const ADD_TRACES: &str = text!(
    "
INSERT INTO player_traces (player_id, kind, fingerprint, first_seen_at)
SELECT player_id, kind, sha256(convert_to(value, 'UTF8')), $1
FROM ",
    Traces::UNNEST,
    "
ON CONFLICT DO NOTHING"
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[BONUSES_COUNT, TRACES, EMAILS, PLAYED, CASHIER, RECEIVED, ADD_TRACES];

/// Bonuses that ended earlier than this are ignored.
const ENDED_DAYS: i64 = 30;
/// Bonuses are read from this long before the cashier events on: the longest time the settings allow.
const BEFORE_WITHDRAWAL_HOURS: i64 = 720;

/// Returns the facts by player. Players without facts are missing. `undeposited` are the players who never deposited.
///
/// At most six statements. The last runs only for players with recent cashier events.
pub async fn load(
    executor: &impl Executor,
    player_ids: &[&str],
    undeposited: &[&str],
    now: Timestamp,
    risk: &RiskSettings,
) -> Result<HashMap<PlayerId, RiskFacts>> {
    let mut facts: HashMap<PlayerId, RiskFacts> = HashMap::new();
    let hub = i64::from(risk.hub_accounts);
    for row in statement::rows(executor, TRACES, &[&player_ids, &hub]).await? {
        let kind = word(&row, "kind")?;
        facts
            .entry(player_id(&row)?)
            .or_default()
            .shared
            .push(shared(&row, kind, row.try_get("mark")?)?);
    }
    for row in statement::rows(executor, EMAILS, &[&player_ids, &hub]).await? {
        facts
            .entry(player_id(&row)?)
            .or_default()
            .shared
            .push(shared(&row, SharedKind::Email, String::new())?);
    }
    let (ended_after, last) = (
        now - SignedDuration::from_hours(24 * ENDED_DAYS),
        i64::from(risk.bet_stakes_last),
    );
    for row in statement::rows(executor, PLAYED, &[&player_ids, &ended_after, &last]).await? {
        facts.entry(player_id(&row)?).or_default().played.push(played(&row)?);
    }
    if !undeposited.is_empty() {
        for row in statement::rows(executor, BONUSES_COUNT, &[&undeposited]).await? {
            facts.entry(player_id(&row)?).or_default().bonuses_count = row.try_get("bonuses")?;
        }
    }
    cashier(executor, player_ids, now, risk, &mut facts).await?;
    Ok(facts)
}

/// Reads twice the period in which cycles are counted, because the first cycle may have begun before it.
async fn cashier(
    executor: &impl Executor,
    player_ids: &[&str],
    now: Timestamp,
    risk: &RiskSettings,
    facts: &mut HashMap<PlayerId, RiskFacts>,
) -> Result<()> {
    let since = now - SignedDuration::from_hours(2 * 24 * i64::from(risk.cycle_days.max(1)));
    let mut paid: Vec<String> = Vec::new();
    for row in statement::rows(executor, CASHIER, &[&player_ids, &since]).await? {
        let player_id = player_id(&row)?;
        if paid.last().map(String::as_str) != Some(player_id.as_str()) {
            paid.push(player_id.as_str().to_owned());
        }
        facts.entry(player_id).or_default().cashier.push(cashier_event(&row)?);
    }
    if paid.is_empty() {
        return Ok(());
    }
    let received_after = since - SignedDuration::from_hours(BEFORE_WITHDRAWAL_HOURS);
    for row in statement::rows(executor, RECEIVED, &[&paid, &received_after]).await? {
        let bonus = ReceivedBonus {
            grant_id: GrantId(row.try_get("grant_id")?),
            at: row.try_get("at")?,
        };
        facts.entry(player_id(&row)?).or_default().bonuses.push(bonus);
    }
    Ok(())
}

fn shared(row: &Row, kind: SharedKind, mark: String) -> Result<Shared> {
    Ok(Shared {
        kind,
        mark,
        accounts: row.try_get("accounts")?,
        rewarded: row.try_get("rewarded")?,
    })
}

fn played(row: &Row) -> Result<PlayedGrant> {
    let (games, counts): (Vec<String>, Vec<i64>) = (row.try_get("games")?, row.try_get("counts")?);
    let amounts: Vec<Decimal> = row.try_get("amounts")?;
    let games = games
        .into_iter()
        .zip(counts)
        .zip(amounts)
        .map(|((game, count), staked)| GameStakes { game, count, staked });
    Ok(PlayedGrant {
        grant_id: GrantId(row.try_get("grant_id")?),
        is_active: row.try_get("is_active")?,
        recent: RecentStakes {
            count: row.try_get("stakes")?,
            smallest: row.try_get("smallest")?,
            largest: row.try_get("largest")?,
        },
        games: games.collect(),
    })
}

fn cashier_event(row: &Row) -> Result<CashierEvent> {
    let amount: Option<Decimal> = row.try_get("amount")?;
    Ok(CashierEvent {
        kind: word(row, "type")?,
        event_id: row.try_get("event_id")?,
        at: row.try_get("occurred_at")?,
        amount: amount.unwrap_or_default(),
    })
}

/// Adds traces as SHA-256 fingerprints. Known ones stay as they are.
pub async fn add_traces<'a>(tx: &Tx<'_>, traces: impl IntoIterator<Item = Trace<'a>>, now: Timestamp) -> Result<()> {
    let rows: Traces<'_> = traces.into_iter().collect();
    if !rows.is_empty() {
        statement::execute(tx, ADD_TRACES, &rows.params([&now])).await?;
    }
    Ok(())
}
