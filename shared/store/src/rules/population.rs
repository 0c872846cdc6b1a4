//! All players as rules see them, ordered by id and on one snapshot, for callers that read everybody and write
//! nothing.
//!
//! Several connections read ranges of ids ahead of the consumer. They read the same data as
//! [`crate::program::snapshots::load`].

use crate::db::{Client, Db, Tx, snapshot};
use crate::error::{Error, Result};
use crate::players::totals::{TOTALS, totals_of};
use crate::program::snapshots::{self, LOSS_SUMS, PLAYER, WINDOW_SUMS};
use crate::row::word;
use crate::statement::{self, text};
use domain::facts::FactSource;
use domain::metrics::Windows;
use domain::period::Moment;
use domain::player::{PastGrant, PlayerSnapshot};
use jiff::{SignedDuration, Timestamp};
use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_postgres::Row;

/// Players per range: 1 to 2 MB.
const RANGE_PLAYERS: i64 = 2_000;
/// The number of ranges that are read in parallel.
const CONNECTIONS: usize = 3;
/// Ranges that each connection reads ahead.
const RANGES_AHEAD: usize = 1;

const COUNT: &str = "
SELECT count(*)
FROM players";

const RANGES: &str = "
SELECT min(player_id), max(player_id)
FROM (
  SELECT player_id, (row_number() OVER (ORDER BY player_id) - 1) / $1::bigint AS range
  FROM players
) AS everyone
GROUP BY range
ORDER BY range";

const EXPORT: &str = "
SELECT pg_export_snapshot()";

// Each of these statements scans one index in the order of ids, and the rows are merged in [`load`]. A join over such
// ranges costs more, and its plan depends on estimates of how many ids a range contains.

const PLAYERS: &str = text!(
    "SELECT ",
    PLAYER,
    "
FROM players p
WHERE p.player_id BETWEEN $1 AND $2
ORDER BY p.player_id"
);

const TOTALS_OF_RANGE: &str = text!(
    "SELECT t.player_id, ",
    TOTALS,
    "
FROM player_totals t
WHERE t.player_id BETWEEN $1 AND $2
ORDER BY t.player_id"
);

const SEGMENTS: &str = "
SELECT player_id, segment
FROM player_segments
WHERE player_id BETWEEN $1 AND $2
ORDER BY player_id";

const WAGERED: &str = "
SELECT player_id, sum(wagered) AS wagered_30d
FROM player_daily
WHERE player_id BETWEEN $2 AND $3
  AND day > $1::date - 30
  AND day <= $1::date
GROUP BY player_id
ORDER BY player_id";

const WINDOWS: &str = text!(
    "SELECT player_id,",
    WINDOW_SUMS,
    "
FROM (
  SELECT player_id, day, deposited, wagered, won, withdrawn, $1::date AS today
  FROM player_daily
  WHERE player_id BETWEEN $2 AND $3
    AND day > $1::date - 30
    AND day <= $1::date
) AS days
GROUP BY player_id
ORDER BY player_id"
);

const LOSSES: &str = text!(
    "SELECT player_id,",
    LOSS_SUMS,
    "
FROM (
  SELECT player_id, day, wagered, won, $1::date AS today, $2::date AS week, $3::date AS month
  FROM player_daily
  WHERE player_id BETWEEN $5 AND $6
    AND day >= $4::date
    AND day <= $1::date
) AS days
GROUP BY player_id
ORDER BY player_id"
);

const DEPOSITS: &str = "
SELECT e.player_id, count(*)
FROM activity_events e
WHERE e.player_id BETWEEN $1 AND $2
  AND e.type = 'DEPOSIT'
  AND NOT EXISTS (
    SELECT
    FROM activity_events v
    WHERE v.player_id = e.player_id
      AND v.voids = e.event_id
  )
GROUP BY e.player_id
ORDER BY e.player_id";

// What has been paid is a list of grants: of the rules, and of their groups.
const GRANTS: &str = "
SELECT player_id,
  sum(cost) FILTER (WHERE issued_at > $3) AS day,
  sum(cost) FILTER (WHERE issued_at > $4) AS days_7,
  sum(cost) FILTER (WHERE issued_at > $5) AS days_30,
  array_agg(rule_id) FILTER (WHERE is_claim) AS rule_ids,
  array_agg(period_key) FILTER (WHERE is_claim) AS period_keys,
  array_agg(period_from) FILTER (WHERE is_claim) AS periods_from,
  array_agg(period_until) FILTER (WHERE is_claim) AS periods_until,
  array_agg(exclusive_group) FILTER (WHERE is_claim) AS exclusive_groups
FROM (
  SELECT player_id, rule_id, period_key, period_from, period_until, exclusive_group, cost, issued_at,
    period_key = ANY($6) AND (rule_id = ANY($7) OR exclusive_group = ANY($8)) AS is_claim
  FROM grants
  WHERE player_id BETWEEN $1 AND $2
    AND (issued_at > $5 OR rule_id = ANY($7) OR exclusive_group = ANY($8))
) AS given
GROUP BY player_id
ORDER BY player_id";

const BALANCES: &str = "
SELECT player_id, asset, balance
FROM wallets
WHERE player_id BETWEEN $1 AND $2
ORDER BY player_id";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    COUNT,
    RANGES,
    EXPORT,
    PLAYERS,
    TOTALS_OF_RANGE,
    SEGMENTS,
    WAGERED,
    WINDOWS,
    LOSSES,
    DEPOSITS,
    GRANTS,
    BALANCES,
];

/// What to read, and as of when.
#[derive(Debug, Clone)]
pub struct Reading {
    pub moment: Moment,
    /// What the rules read. Windows, losses, deposits and balances, which are sums over rows, are read only for rules
    /// that do; the gates need the stake of 30 days.
    pub sources: BTreeSet<FactSource>,
    /// The periods in which a rule may grant now.
    pub period_keys: Vec<String>,
    /// The rules whose earlier grants count.
    pub rule_ids: Vec<String>,
    /// The groups whose earlier grants count.
    pub exclusive_groups: Vec<String>,
}

impl Reading {
    fn reads(&self, source: FactSource) -> bool {
        self.sources.contains(&source)
    }

    /// The rows of a statement that is sent only if rules read them.
    async fn rows_for(&self, source: FactSource, rows: impl Future<Output = Result<Vec<Row>>>) -> Result<Vec<Row>> {
        if self.reads(source) { rows.await } else { Ok(Vec::new()) }
    }
}

/// The number of players. Scans an index.
pub async fn count(db: &Db) -> Result<i64> {
    Ok(statement::row(&db.client().await?, COUNT, &[]).await?.try_get(0)?)
}

type Ranges = Arc<Vec<(String, String)>>;

/// An open read of all players.
pub struct Population {
    /// Range `n` comes from reader `n` modulo the number of readers.
    readers: Vec<mpsc::Receiver<Result<Vec<PlayerSnapshot>>>>,
    next: usize,
    ranges: usize,
    /// Keeps the exported snapshot open for the other connections until this is dropped.
    _held: oneshot::Sender<()>,
    _tasks: JoinSet<()>,
}

impl Population {
    /// Opens the snapshot. Waits for one connection, and takes up to two more if they are free.
    pub async fn open(db: &Db, reading: Reading) -> Result<Self> {
        let reading = Arc::new(reading);
        let first = db.client().await?;
        let mut others = Vec::new();
        while others.len() + 1 < CONNECTIONS {
            let Some(client) = db.free_client().await else { break };
            others.push(client);
        }
        let count = others.len() + 1;
        let mut tasks = JoinSet::new();
        let (opened, snapshot) = oneshot::channel();
        let (held, release) = oneshot::channel();
        let (sender, receiver) = mpsc::channel(RANGES_AHEAD);
        tasks.spawn(lead(
            first,
            opened,
            Reader {
                reading: reading.clone(),
                place: 0,
                count,
                sender,
            },
            release,
        ));
        let (ranges, exported) = snapshot.await.map_err(|_| lost())??;

        let mut readers = vec![receiver];
        for (place, client) in (1..).zip(others) {
            let (sender, receiver) = mpsc::channel(RANGES_AHEAD);
            readers.push(receiver);
            tasks.spawn(follow(
                client,
                exported.clone(),
                ranges.clone(),
                Reader {
                    reading: reading.clone(),
                    place,
                    count,
                    sender,
                },
            ));
        }
        Ok(Self {
            readers,
            next: 0,
            ranges: ranges.len(),
            _held: held,
            _tasks: tasks,
        })
    }

    /// The next range of players, ordered by id; `None` after the last.
    pub async fn next(&mut self) -> Result<Option<Vec<PlayerSnapshot>>> {
        if self.next == self.ranges {
            return Ok(None);
        }
        let reader = self.next % self.readers.len();
        self.next += 1;
        self.readers[reader].recv().await.ok_or_else(lost)?.map(Some)
    }
}

fn lost() -> Error {
    Error::ReadingStopped
}

/// One connection's share of the ranges.
struct Reader {
    reading: Arc<Reading>,
    place: usize,
    /// The number of readers.
    count: usize,
    sender: mpsc::Sender<Result<Vec<PlayerSnapshot>>>,
}

impl Reader {
    async fn read(&self, tx: &Tx<'_>, ranges: &Ranges) {
        for range in ranges.iter().skip(self.place).step_by(self.count) {
            // The receiver is gone: the request was cancelled.
            if self.sender.send(load(tx, range, &self.reading).await).await.is_err() {
                break;
            }
        }
    }
}

/// Opens and exports the snapshot, then reads its share of the ranges.
async fn lead(
    mut client: Client,
    opened: oneshot::Sender<Result<(Ranges, String)>>,
    reader: Reader,
    release: oneshot::Receiver<()>,
) {
    let begin = async {
        let tx = snapshot(&mut client).await?;
        let rows = statement::rows(&tx, RANGES, &[&RANGE_PLAYERS]).await?;
        let ranges = rows
            .iter()
            .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
            .collect::<Result<Vec<_>>>()?;
        let exported: String = statement::row(&tx, EXPORT, &[]).await?.try_get(0)?;
        Ok((tx, Arc::new(ranges), exported))
    };
    match begin.await {
        Err(error) => drop(opened.send(Err(error))),
        Ok((tx, ranges, exported)) => {
            if opened.send(Ok((ranges.clone(), exported))).is_ok() {
                reader.read(&tx, &ranges).await;
                drop(release.await);
            }
        }
    }
}

/// Reads its share of the ranges on the exported snapshot.
async fn follow(mut client: Client, exported: String, ranges: Ranges, reader: Reader) {
    let begin = async {
        let tx = snapshot(&mut client).await?;
        tx.batch_execute(&format!("SET TRANSACTION SNAPSHOT '{exported}'"))
            .await?;
        Ok(tx)
    };
    match begin.await {
        Ok(tx) => reader.read(&tx, &ranges).await,
        Err(error) => drop(reader.sender.send(Err(error)).await),
    }
}

/// Reads one range. The statements are sent together.
async fn load(tx: &Tx<'_>, (first, last): &(String, String), reading: &Reading) -> Result<Vec<PlayerSnapshot>> {
    let moment = &reading.moment;
    let days_ago = |days: i64| moment.now() - SignedDuration::from_hours(24 * days);
    let (day, days_7, days_30) = (days_ago(1), days_ago(7), days_ago(30));
    let (today, week, month, last_month) = (moment.today(), moment.week(), moment.month(), moment.last_month());
    let windows = if reading.reads(FactSource::Windows) {
        WINDOWS
    } else {
        WAGERED
    };
    let range: statement::Params<'_> = &[first, last];
    let of_windows: statement::Params<'_> = &[&today, first, last];
    let of_losses: statement::Params<'_> = &[&today, &week, &month, &last_month, first, last];
    let (keys, rule_ids, groups) = (&reading.period_keys, &reading.rule_ids, &reading.exclusive_groups);
    let of_grants: statement::Params<'_> = &[first, last, &day, &days_7, &days_30, keys, rule_ids, groups];
    let (players, totals, segments, windows, losses, deposits, grants, balances) = tokio::try_join!(
        statement::rows(tx, PLAYERS, range),
        statement::rows(tx, TOTALS_OF_RANGE, range),
        statement::rows(tx, SEGMENTS, range),
        statement::rows(tx, windows, of_windows),
        reading.rows_for(FactSource::Losses, statement::rows(tx, LOSSES, of_losses)),
        reading.rows_for(FactSource::Deposits, statement::rows(tx, DEPOSITS, range)),
        statement::rows(tx, GRANTS, of_grants),
        reading.rows_for(FactSource::Balances, statement::rows(tx, BALANCES, range)),
    )?;
    let (mut totals, mut segments, mut windows) = (Rows::of(&totals), Rows::of(&segments), Rows::of(&windows));
    let (mut losses, mut deposits) = (Rows::of(&losses), Rows::of(&deposits));
    let (mut grants, mut balances) = (Rows::of(&grants), Rows::of(&balances));
    let mut loaded = Vec::with_capacity(players.len());
    for row in &players {
        let id: &str = row.try_get(0)?;
        // A player without totals is not evaluated, here as elsewhere.
        let Some(of_player) = totals.next(id)? else { continue };
        let segment = segments.next(id)?.map(|row| word(row, 1)).transpose()?;
        let mut snapshot = snapshots::snapshot(row, totals_of(of_player, 1)?, segment)?;
        if let Some(row) = windows.next(id)? {
            snapshot.windows = windows_of(row, reading)?;
        }
        if reading.reads(FactSource::Losses) {
            snapshot.losses = Some(losses.next(id)?.map(snapshots::losses).transpose()?.unwrap_or_default());
        }
        if reading.reads(FactSource::Deposits) {
            let count = deposits.next(id)?.map(|row| row.try_get(1)).transpose()?;
            snapshot.deposit_count = Some(count.unwrap_or_default());
        }
        if let Some(row) = grants.next(id)? {
            snapshot.spend = snapshots::spend(row)?;
            snapshot.past_grants = past_grants(row)?;
        }
        while let Some(row) = balances.next(id)? {
            *snapshots::balance_mut(&mut snapshot.balances, word(row, 1)?) = row.try_get(2)?;
        }
        loaded.push(snapshot);
    }
    Ok(loaded)
}

/// Rows of one table, ordered by player id, which is their first column.
struct Rows<'a>(std::iter::Peekable<std::slice::Iter<'a, Row>>);

impl<'a> Rows<'a> {
    fn of(rows: &'a [Row]) -> Self {
        Self(rows.iter().peekable())
    }

    /// Returns the next row of this player and skips rows of earlier players. Call it in the order of ids.
    fn next(&mut self, player_id: &str) -> Result<Option<&'a Row>> {
        while let Some(row) = self.0.peek() {
            match row.try_get::<_, &str>(0)?.cmp(player_id) {
                Ordering::Less => _ = self.0.next(),
                Ordering::Equal => return Ok(self.0.next()),
                Ordering::Greater => break,
            }
        }
        Ok(None)
    }
}

fn windows_of(row: &Row, reading: &Reading) -> Result<Windows> {
    if reading.reads(FactSource::Windows) {
        return snapshots::windows(row);
    }
    Ok(Windows {
        wagered_30d: snapshots::sum(row, 1)?,
        ..Windows::default()
    })
}

fn past_grants(row: &Row) -> Result<Vec<PastGrant>> {
    let Some(rule_ids) = row.try_get::<_, Option<Vec<String>>>(4)? else {
        return Ok(Vec::new());
    };
    let keys: Vec<String> = row.try_get(5)?;
    let from: Vec<Option<Timestamp>> = row.try_get(6)?;
    let until: Vec<Option<Timestamp>> = row.try_get(7)?;
    let groups: Vec<Option<String>> = row.try_get(8)?;
    let claims = keys.into_iter().zip(from.into_iter().zip(until)).zip(groups);
    let claims = claims.map(|((key, span), group)| snapshots::claim(key, span, group, None));
    Ok(rule_ids
        .into_iter()
        .zip(claims)
        .map(|(rule_id, claim)| PastGrant { rule_id, claim })
        .collect())
}
