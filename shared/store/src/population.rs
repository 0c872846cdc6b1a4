//! Every player as rules see them, in the order of ids, on one snapshot: for what looks at everybody and writes nothing.
//!
//! Several connections read ranges of ids ahead of who takes them, one statement for each range. What is read is what
//! [`crate::snapshots::load`] reads.

use crate::db::{Client, Db, Tx, snapshot};
use crate::error::{Error, Result};
use crate::statement;
use domain::id::PlayerId;
use domain::metrics::{Totals, Windows};
use domain::player::{Balances, PastGrant, PlayerSnapshot, RewardSpend, Standing};
use domain::segment::Segment;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_postgres::Row;

/// Players that are read at once: a megabyte or two, and enough for the planner to join sets.
const RANGE_PLAYERS: i64 = 2_000;
/// As many ranges are read at a time.
const CONNECTIONS: usize = 3;
/// Ranges that wait on each connection.
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

/// A range of players, with more windows and balances where they are asked for.
macro_rules! load {
    ($columns:literal, $windows:literal, $wallets:literal) => {
        concat!(
            "
SELECT p.player_id, p.tier, p.risk_score, p.is_active, p.is_blocked, p.self_excluded_until, p.kyc_completed, p.profile_depth,
  p.registered_at, s.segment, t.total_deposited, t.total_wagered, t.total_won, t.total_withdrawn, t.session_count,
  t.playtime_hours, t.total_bets, t.last_deposit_date, g.day, g.days_7, g.days_30, g.rule_ids, g.period_keys, w.wagered_30d",
            $columns,
            "
FROM players p
JOIN player_totals t ON t.player_id = p.player_id
LEFT JOIN player_segments s ON s.player_id = p.player_id
LEFT JOIN (
  SELECT player_id,
    sum(cost) FILTER (WHERE issued_at > $4) AS day,
    sum(cost) FILTER (WHERE issued_at > $5) AS days_7,
    sum(cost) FILTER (WHERE issued_at > $6) AS days_30,
    array_agg(rule_id) FILTER (WHERE period_key = ANY($7) AND rule_id = ANY($8)) AS rule_ids,
    array_agg(period_key) FILTER (WHERE period_key = ANY($7) AND rule_id = ANY($8)) AS period_keys
  FROM grants
  WHERE player_id BETWEEN $1 AND $2
    AND (issued_at > $6 OR rule_id = ANY($8))
  GROUP BY player_id
) AS g ON g.player_id = p.player_id
LEFT JOIN (
  SELECT player_id, sum(wagered) AS wagered_30d",
            $windows,
            "
  FROM player_daily
  WHERE player_id BETWEEN $1 AND $2
    AND day > $3::date - 30
  GROUP BY player_id
) AS w ON w.player_id = p.player_id",
            $wallets,
            "
WHERE p.player_id BETWEEN $1 AND $2
ORDER BY p.player_id"
        )
    };
}

const LOAD_GATED: &str = load!("", "", "");

const LOAD_ALL: &str = load!(
    ", w.wagered_7d, w.won_7d, w.deposited_7d, w.won_30d, w.deposited_30d,
  w.active_days_30d, b.lp, b.rp, b.bonus, b.tickets",
    ",
    sum(wagered) FILTER (WHERE day > $3::date - 7) AS wagered_7d,
    sum(won) FILTER (WHERE day > $3::date - 7) AS won_7d,
    sum(deposited) FILTER (WHERE day > $3::date - 7) AS deposited_7d,
    sum(won) AS won_30d,
    sum(deposited) AS deposited_30d,
    count(*) FILTER (WHERE wagered > 0 OR deposited > 0 OR withdrawn > 0)::integer AS active_days_30d",
    "
LEFT JOIN (
  SELECT player_id,
    sum(balance) FILTER (WHERE asset = 'LP') AS lp,
    sum(balance) FILTER (WHERE asset = 'RP') AS rp,
    sum(balance) FILTER (WHERE asset = 'BONUS') AS bonus,
    sum(balance) FILTER (WHERE asset = 'TICKETS') AS tickets
  FROM wallets
  WHERE player_id BETWEEN $1 AND $2
  GROUP BY player_id
) AS b ON b.player_id = p.player_id"
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[COUNT, RANGES, EXPORT, LOAD_GATED, LOAD_ALL];

/// What is read of each player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Detail {
    /// The player's row, totals and segment, and what the gates need.
    Gated,
    /// The balances and all windows too.
    All,
}

/// What to read, and how it stands in time.
#[derive(Debug, Clone)]
pub struct Reading {
    pub detail: Detail,
    pub now: Timestamp,
    /// In the program's time zone.
    pub today: Date,
    /// Those that a rule may be granted for now.
    pub period_keys: Vec<String>,
    /// The rules whose earlier grants count.
    pub rule_ids: Vec<String>,
}

/// The number of players. Scans an index.
pub async fn count(db: &Db) -> Result<i64> {
    Ok(statement::row(&db.client().await?, COUNT, &[]).await?.try_get(0)?)
}

type Ranges = Arc<Vec<(String, String)>>;

/// The players that are still to come.
pub struct Population {
    /// Range `n` comes from the reader `n` modulo their number.
    readers: Vec<mpsc::Receiver<Result<Vec<PlayerSnapshot>>>>,
    next: usize,
    ranges: usize,
    /// The connection whose snapshot the others read on stays until this goes.
    _held: oneshot::Sender<()>,
    _tasks: JoinSet<()>,
}

impl Population {
    /// Opens the snapshot. Takes one connection for sure, and others that are free.
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
        tasks.spawn(lead(first, opened, Reader { reading: reading.clone(), place: 0, count, sender }, release));
        let (ranges, exported) = snapshot.await.map_err(|_| lost())??;

        let mut readers = vec![receiver];
        for (place, client) in (1..).zip(others) {
            let (sender, receiver) = mpsc::channel(RANGES_AHEAD);
            readers.push(receiver);
            tasks.spawn(follow(client, exported.clone(), ranges.clone(), Reader { reading: reading.clone(), place, count, sender }));
        }
        Ok(Self { readers, next: 0, ranges: ranges.len(), _held: held, _tasks: tasks })
    }

    /// The next range of players, in the order of ids; `None` after the last.
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
    Error::Row("the reading of the population broke off".into())
}

/// One connection's share of the ranges.
struct Reader {
    reading: Arc<Reading>,
    place: usize,
    /// Of readers.
    count: usize,
    sender: mpsc::Sender<Result<Vec<PlayerSnapshot>>>,
}

impl Reader {
    async fn read(&self, tx: &Tx<'_>, ranges: &Ranges) {
        for range in ranges.iter().skip(self.place).step_by(self.count) {
            // Nobody takes them any more: the request was given up.
            if self.sender.send(load(tx, range, &self.reading).await).await.is_err() {
                break;
            }
        }
    }
}

/// Opens the snapshot, tells of it, and reads.
async fn lead(mut client: Client, opened: oneshot::Sender<Result<(Ranges, String)>>, reader: Reader, release: oneshot::Receiver<()>) {
    let begin = async {
        let tx = snapshot(&mut client).await?;
        let rows = statement::rows(&tx, RANGES, &[&RANGE_PLAYERS]).await?;
        let ranges = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<Vec<_>>>()?;
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

/// Reads on the snapshot of another connection.
async fn follow(mut client: Client, exported: String, ranges: Ranges, reader: Reader) {
    let begin = async {
        let tx = snapshot(&mut client).await?;
        tx.batch_execute(&format!("SET TRANSACTION SNAPSHOT '{exported}'")).await?;
        Ok(tx)
    };
    match begin.await {
        Ok(tx) => reader.read(&tx, &ranges).await,
        Err(error) => drop(reader.sender.send(Err(error)).await),
    }
}

async fn load(tx: &Tx<'_>, (first, last): &(String, String), reading: &Reading) -> Result<Vec<PlayerSnapshot>> {
    let sql = match reading.detail {
        Detail::Gated => LOAD_GATED,
        Detail::All => LOAD_ALL,
    };
    let days_ago = |days: i64| reading.now - SignedDuration::from_hours(24 * days);
    let params: statement::Params<'_> =
        &[first, last, &reading.today, &days_ago(1), &days_ago(7), &days_ago(30), &reading.period_keys, &reading.rule_ids];
    statement::rows(tx, sql, params).await?.iter().map(|row| player(row, reading.detail)).collect()
}

// By place: a name is looked for among all columns, of every player.
fn player(row: &Row, detail: Detail) -> Result<PlayerSnapshot> {
    let text: String = row.try_get(0)?;
    let risk_score: i16 = row.try_get(2)?;
    let segment: Option<&str> = row.try_get(9)?;
    let sum = |place: usize| Ok::<_, Error>(row.try_get::<_, Option<Decimal>>(place)?.unwrap_or_default());
    Ok(PlayerSnapshot {
        player_id: PlayerId::parse(text).map_err(|error| Error::Row(format!("player id: {error}")))?,
        tier: row.try_get(1)?,
        risk_score: u8::try_from(risk_score).map_err(|_| Error::Row(format!("risk score {risk_score}")))?,
        standing: Some(Standing { is_active: row.try_get(3)?, is_blocked: row.try_get(4)?, self_excluded_until: row.try_get(5)? }),
        kyc_completed: row.try_get(6)?,
        profile_depth: row.try_get(7)?,
        registered_at: row.try_get(8)?,
        segment: segment.map(|text| Segment::parse(text).ok_or_else(|| Error::Row(format!("segment {text:?}")))).transpose()?,
        totals: Totals {
            deposited: row.try_get(10)?,
            wagered: row.try_get(11)?,
            won: row.try_get(12)?,
            withdrawn: row.try_get(13)?,
            session_count: row.try_get(14)?,
            playtime_hours: row.try_get(15)?,
            bets: row.try_get(16)?,
            last_deposit_date: row.try_get(17)?,
        },
        spend: RewardSpend { day: sum(18)?, days_7: sum(19)?, days_30: sum(20)? },
        past_grants: past_grants(row)?,
        windows: match detail {
            Detail::Gated => Windows { wagered_30d: sum(23)?, ..Windows::default() },
            Detail::All => Windows {
                wagered_30d: sum(23)?,
                wagered_7d: sum(24)?,
                won_7d: sum(25)?,
                deposited_7d: sum(26)?,
                won_30d: sum(27)?,
                deposited_30d: sum(28)?,
                active_days_30d: row.try_get::<_, Option<i32>>(29)?.unwrap_or_default(),
            },
        },
        balances: match detail {
            Detail::Gated => Balances::default(),
            Detail::All => Balances { lp: sum(30)?, rp: sum(31)?, bonus: sum(32)?, tickets: sum(33)? },
        },
    })
}

fn past_grants(row: &Row) -> Result<Vec<PastGrant>> {
    let Some(rule_ids) = row.try_get::<_, Option<Vec<String>>>(21)? else { return Ok(Vec::new()) };
    let period_keys: Vec<String> = row.try_get(22)?;
    Ok(rule_ids.into_iter().zip(period_keys).map(|(rule_id, period_key)| PastGrant { rule_id, period_key }).collect())
}
