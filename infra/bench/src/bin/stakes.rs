//! Stakes through the handler in batches, beside a set-based floor of the same rows. `activity.sh` says how to start
//! it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use activity::Activity;
use app::Db;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use bench::database::{Address, Scratch, explain};
use bench::{Result, exit};
use clap::Parser;
use futures_util::future::try_join_all;
use http_body_util::BodyExt;
use lambda::sqs::Queue;
use tokio_postgres::{Client, Statement};
use tower::ServiceExt;

const BATCH: u64 = 500;

/// Events a second: batches of 500 stakes through the handler, against the same rows by set-based SQL
#[derive(Debug, Parser)]
struct Arguments {
    /// PostgreSQL URL of a role that may create databases; a scratch database is made and dropped
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    owner: String,
    /// How long each side runs in a round
    #[arg(long, default_value_t = 4)]
    seconds: u64,
    /// Both sides run once in each, and take turns in beginning
    #[arg(long, default_value_t = 4)]
    rounds: u32,
    #[arg(long, default_value_t = 4)]
    callers: u64,
    #[arg(long, default_value_t = 20_000)]
    players: u64,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit(run(&Arguments::parse()).await)
}

async fn run(arguments: &Arguments) -> Result<()> {
    let scratch = Scratch::create(&arguments.owner, &arguments.owner).await?;
    let outcome = measure(arguments, &scratch).await;
    scratch.drop().await?;
    outcome
}

/// Each side has players of its own, of the same age.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Floor,
}

/// Whom a batch is about.
#[derive(Debug, Clone, Copy)]
enum Whom {
    /// A stake each for 500 players.
    Many { players: u64 },
    /// 500 stakes for one.
    One,
}

impl Side {
    /// Of the first player; the hot one is 0.
    const fn first(self) -> u64 {
        match self {
            Side::Ours => 1_000_000,
            Side::Floor => 2_000_000,
        }
    }
}

async fn measure(arguments: &Arguments, scratch: &Scratch) -> Result<()> {
    for side in [Side::Ours, Side::Floor] {
        add_players(scratch, side.first()..side.first() + arguments.players + 1).await?;
    }
    let key = scratch.add_key().await?;
    println!("{:<20}{:>14}{:>14}{:>8}", "", "handler ev/s", "floor ev/s", "ratio");
    let mut number = 0;
    for (name, whom) in [
        (
            "many players",
            Whom::Many {
                players: arguments.players,
            },
        ),
        ("one hot player", Whom::One),
    ] {
        let (mut ours, mut floor) = (Rate::default(), Rate::default());
        for round in 0..arguments.rounds {
            let turns = if round % 2 == 0 {
                [Side::Ours, Side::Floor]
            } else {
                [Side::Floor, Side::Ours]
            };
            for side in turns {
                let rate = if side == Side::Ours { &mut ours } else { &mut floor };
                number += 1;
                rate.add(turn(arguments, scratch, &key, (side, whom, number)).await?);
            }
        }
        println!(
            "{name:<20}{:>14.0}{:>14.0}{:>8.2}",
            ours.per_second(),
            floor.per_second(),
            ours.per_second() / floor.per_second()
        );
    }
    scratch.audit().await?;
    println!(
        "goal 0.5; {} callers; every event is stored once, and the audit is clean",
        arguments.callers
    );
    Ok(())
}

#[derive(Debug, Default)]
struct Rate {
    events: u64,
    elapsed: Duration,
}

impl Rate {
    fn add(&mut self, other: Rate) {
        self.events += other.events;
        self.elapsed += other.elapsed;
    }

    fn per_second(&self) -> f64 {
        f64::from(u32::try_from(self.events).unwrap_or(u32::MAX)) / self.elapsed.as_secs_f64()
    }
}

async fn turn(
    arguments: &Arguments,
    scratch: &Scratch,
    key: &str,
    (side, whom, turn): (Side, Whom, u64),
) -> Result<Rate> {
    let before = stored(scratch, side).await?;
    let mut callers = Vec::new();
    for caller in 0..arguments.callers {
        let batches = Batches {
            side,
            whom,
            prefix: format!("t{turn}-{caller}"),
            next: caller * 7_919,
            count: 0,
        };
        callers.push(Caller::new(&scratch.runtime, key, batches).await?);
    }
    let (begun, time) = (Instant::now(), Duration::from_secs(arguments.seconds));
    let tasks = callers
        .into_iter()
        .map(|caller| async move { tokio::spawn(caller.call_until(begun, time)).await? });
    let events: u64 = try_join_all(tasks).await?.into_iter().sum();
    let rate = Rate {
        events,
        elapsed: begun.elapsed(),
    };
    let stored = stored(scratch, side).await? - before;
    if stored == i64::try_from(events)? {
        Ok(rate)
    } else {
        Err(format!("{events} events were sent, {stored} are stored").into())
    }
}

async fn stored(scratch: &Scratch, side: Side) -> Result<i64> {
    let sql = "SELECT count(*) FROM activity_events WHERE player_id >= $1 AND player_id < $2";
    let (from, to) = (side.first().to_string(), (side.first() + 1_000_000).to_string());
    Ok(scratch
        .owner
        .connect()
        .await?
        .query_one(sql, &[&from, &to])
        .await?
        .get(0))
}

/// Makes batches, no two of which have an event in common.
struct Batches {
    side: Side,
    whom: Whom,
    prefix: String,
    next: u64,
    count: u64,
}

impl Batches {
    fn next(&mut self) -> (Vec<String>, Vec<String>) {
        self.count += 1;
        let first = self.side.first();
        let player = |index: u64| match self.whom {
            Whom::One => first,
            Whom::Many { players } => first + 1 + (self.next + index * 13) % players,
        };
        let players = (0..BATCH).map(|index| player(index).to_string()).collect();
        self.next += 500 * 13 + 1;
        (
            players,
            (0..BATCH)
                .map(|index| format!("{}-{}-{index:03}", self.prefix, self.count))
                .collect(),
        )
    }
}

enum Way {
    Handler { router: Router, key: String },
    Sql { client: Client, statements: Vec<Statement> },
}

struct Caller {
    way: Way,
    batches: Batches,
}

impl Caller {
    async fn new(address: &Address, key: &str, batches: Batches) -> Result<Self> {
        let way = match batches.side {
            Side::Ours => Way::Handler {
                router: handler(address.db()?),
                key: key.to_owned(),
            },
            Side::Floor => {
                let client = address.connect().await?;
                let mut statements = Vec::new();
                for sql in FLOOR {
                    statements.push(client.prepare(sql).await.map_err(|problem| explain(&problem))?);
                }
                Way::Sql { client, statements }
            }
        };
        Ok(Self { way, batches })
    }

    /// Returns how many events were accepted.
    async fn call_until(mut self, begun: Instant, time: Duration) -> Result<u64> {
        let mut events = 0;
        while begun.elapsed() < time {
            let (players, ids) = self.batches.next();
            match &mut self.way {
                Way::Handler { router, key } => post(router, key, &players, &ids).await?,
                Way::Sql { client, statements } => write(client, statements, players, ids).await?,
            }
            events += BATCH;
        }
        Ok(events)
    }
}

/// The queue is never sent to: stakes call no rules.
fn handler(db: Db) -> Router {
    let nowhere = "http://127.0.0.1:9";
    let rewards = Queue::with_config(&lambda::aws::stand_in(nowhere), format!("{nowhere}/rewards"));
    activity::router(Activity { db, rewards }, lambda::clock::now)
}

/// What a stake earns stays below the next tier.
const AMOUNT: &str = "0.10";

async fn post(router: &Router, key: &str, players: &[String], ids: &[String]) -> Result<()> {
    let now = lambda::context().now;
    let event = |(player, id): (&String, &String)| {
        format!(
            concat!(
                r#"{{"event_id":"{id}","player_id":"{player}","type":"STAKE","occurred_at":"{now}","#,
                r#""amount":{AMOUNT},"game":"slots"}}"#
            ),
            id = id,
            player = player,
            now = now,
            AMOUNT = AMOUNT
        )
    };
    let events: Vec<String> = players.iter().zip(ids).map(event).collect();
    let request = Request::post("/api/activity")
        .header("authorization", format!("Bearer {key}"))
        .header("content-type", "application/json")
        .body(Body::from(format!(r#"{{"events":[{}]}}"#, events.join(","))))?;
    let response = router.clone().oneshot(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    let accepted = String::from_utf8_lossy(&body).matches(r#""status":"accepted""#).count();
    if accepted == ids.len() {
        Ok(())
    } else {
        Err(format!("{status}, {accepted} accepted: {}", String::from_utf8_lossy(&body)).into())
    }
}

/// The rows that the handler writes for stakes, in as few statements as sets allow: players locked in order, events,
/// postings with their balances, the lot of the day and its movements, wallets, totals, the day, and the players' last
/// activity.
const FLOOR: [&str; 10] = [
    "SELECT player_id FROM players WHERE player_id = ANY($1) ORDER BY player_id FOR NO KEY UPDATE",
    "INSERT INTO activity_events (player_id, event_id, type, occurred_at, recorded_at, amount, bonus_amount, game,
       lp_day, outcome)
     SELECT player_id, event_id, 'STAKE', now(), now(), 0.10, 0, 'slots', current_date, '{\"lp\":0.01}'
     FROM unnest($1::text[], $2::text[]) AS n (player_id, event_id)",
    "INSERT INTO postings (player_id, asset, version, transaction_id, kind, house, direction, amount, balance_after,
       reference, actor, created_at)
     SELECT n.player_id, 'LP', coalesce(w.version, 0) + n.place, gen_random_uuid(), 'stake', 'house:issuance', 1, 0.01,
       coalesce(w.balance, 0) + n.place * 0.01, n.event_id, 'bench', now()
     FROM (
       SELECT player_id, event_id, row_number() OVER (PARTITION BY player_id ORDER BY event_id) AS place
       FROM unnest($1::text[], $2::text[]) AS n (player_id, event_id)
     ) AS n
     LEFT JOIN wallets w ON w.player_id = n.player_id AND w.asset = 'LP'",
    "INSERT INTO point_lots (player_id, asset, version, earned, remaining, earned_at, play_day)
     SELECT DISTINCT player_id, 'LP', 1, 0.01, 0.01, now(), current_date
     FROM unnest($1::text[]) AS n (player_id)
     ON CONFLICT DO NOTHING",
    "WITH moved AS (
       INSERT INTO lot_movements (player_id, asset, version, lot_version, amount)
       SELECT n.player_id, 'LP', coalesce(w.version, 0) + n.place, 1, 0.01
       FROM (
         SELECT player_id, row_number() OVER (PARTITION BY player_id) AS place
         FROM unnest($1::text[]) AS n (player_id)
       ) AS n
       LEFT JOIN wallets w ON w.player_id = n.player_id AND w.asset = 'LP'
       WHERE coalesce(w.version, 0) + n.place > 1
       RETURNING player_id, amount
     )
     UPDATE point_lots l
     SET remaining = l.remaining + m.amount
     FROM (SELECT player_id, sum(amount) AS amount FROM moved GROUP BY player_id) AS m
     WHERE l.player_id = m.player_id AND l.asset = 'LP' AND l.version = 1",
    "INSERT INTO wallets AS w (player_id, asset, balance, version)
     SELECT player_id, 'LP', count(*) * 0.01, count(*)
     FROM unnest($1::text[]) AS n (player_id)
     GROUP BY player_id
     ON CONFLICT (player_id, asset) DO UPDATE
     SET balance = w.balance + EXCLUDED.balance, version = w.version + EXCLUDED.version",
    "UPDATE player_totals t
     SET total_wagered = t.total_wagered + n.stakes * 0.10, total_bets = coalesce(t.total_bets, 0) + n.stakes,
       updated_at = now()
     FROM (SELECT player_id, count(*) AS stakes FROM unnest($1::text[]) AS n (player_id) GROUP BY player_id) AS n
     WHERE t.player_id = n.player_id",
    "INSERT INTO player_daily AS d (player_id, day, deposited, wagered, won, withdrawn, lp_earned)
     SELECT player_id, current_date, 0, count(*) * 0.10, 0, 0, count(*) * 0.01
     FROM unnest($1::text[]) AS n (player_id)
     GROUP BY player_id
     ON CONFLICT (player_id, day) DO UPDATE
     SET wagered = d.wagered + EXCLUDED.wagered, lp_earned = d.lp_earned + EXCLUDED.lp_earned",
    "UPDATE players SET last_activity_at = now() WHERE player_id = ANY($1)",
    // Which of the events are known already; the last, so that nothing waits for it.
    "SELECT count(*) FROM unnest($1::text[], $2::text[]) AS n (player_id, event_id)
     JOIN activity_events e USING (player_id, event_id)",
];

async fn write(client: &mut Client, statements: &[Statement], players: Vec<String>, ids: Vec<String>) -> Result<()> {
    let tx = client.transaction().await?;
    for statement in statements {
        match statement.params().len() {
            1 => tx.execute(statement, &[&players]).await?,
            _ => tx.execute(statement, &[&players, &ids]).await?,
        };
    }
    Ok(tx.commit().await?)
}

/// Active players in the first tier, classified, who have done nothing yet.
async fn add_players(scratch: &Scratch, numbers: std::ops::Range<u64>) -> Result<()> {
    scratch.add_players(numbers.clone()).await?;
    let of = format!("FROM generate_series({}, {}) AS number", numbers.start, numbers.end - 1);
    let sql = format!(
        "INSERT INTO player_totals (player_id, total_deposited, total_wagered, total_won, total_withdrawn,
           session_count, playtime_hours, updated_at)
         SELECT number::text, 0, 0, 0, 0, 0, 0, now() {of};
         INSERT INTO player_segments (player_id, segment, since) SELECT number::text, 'NEW', now() {of};
         INSERT INTO segment_history (player_id, at, to_segment) SELECT number::text, now(), 'NEW' {of};
         INSERT INTO stats (counter, slot, value) VALUES ('segment:NEW', 0, {count})
         ON CONFLICT (counter, slot) DO UPDATE SET value = stats.value + excluded.value;
         ANALYZE",
        count = numbers.end - numbers.start,
    );
    scratch
        .owner
        .connect()
        .await?
        .batch_execute(&sql)
        .await
        .map_err(|problem| explain(&problem))
}
