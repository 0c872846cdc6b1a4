//! One wallet posting through the handler, against pgbench with the same statements, in one run.

use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use rust_decimal::Decimal;

use crate::Result;
use crate::capture::{self, Sent};
use crate::database::Scratch;
use crate::floor::{Done, Floor};
use crate::handler::{self, Instance, Told};
use crate::script::{self, Call};

const CALLERS: usize = 8;
const PLAYERS: u64 = 2_000;
/// Each side has players of its own: the wallets of both are as old and as busy.
const OURS: u64 = 1_000_001;
const THEIRS: u64 = 2_000_001;
const CAPTURED: u64 = 3_000_001;
/// Versions of the captured wallet: beyond what a count of rows or a slot could be taken for.
const CAPTURED_AT: i64 = 42;

#[derive(Debug)]
pub struct Plan {
    pub owner: String,
    pub runtime: String,
    pub of_a_round: Duration,
    pub rounds: u32,
    pub pgbench: PathBuf,
    pub script: Script,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Script {
    Printed,
    Quiet,
}

/// Whom the callers credit.
struct Case {
    name: &'static str,
    ours: Range<u64>,
    theirs: Range<u64>,
}

pub async fn run(plan: Plan) -> Result<()> {
    let scratch = Scratch::create(&plan.owner, &plan.runtime).await?;
    let outcome = measure(&plan, &scratch).await;
    scratch.drop().await?;
    outcome
}

async fn measure(plan: &Plan, scratch: &Scratch) -> Result<()> {
    // The one after the last is the hot player.
    let ranges = [OURS, THEIRS].map(|first| first..first + PLAYERS + 1);
    for range in ranges.clone() {
        scratch.add_players(range).await?;
    }
    scratch.add_players(CAPTURED..CAPTURED + 1).await?;
    let key = scratch.add_key().await?;
    let mut instances = (1..=CALLERS)
        .map(|number| Instance::new(&scratch.runtime, &key, number))
        .collect::<Result<Vec<_>>>()?;
    for range in ranges.clone() {
        handler::credit_each(&mut instances, range).await?;
    }
    let floor = floor(plan, scratch, &key).await?;

    let (mut ours_told, mut theirs_done) = (ranges[0].clone().count(), ranges[1].clone().count());
    println!(
        "\n{:<20}{:>11}{:>11}{:>7}{:>9}{:>9}{:>16}",
        "", "handler/s", "pgbench/s", "ratio", "p50 ms", "p99 ms", "processor µs"
    );
    for case in cases() {
        let (mut told, mut done) = (Told::default(), Done::default());
        for round in 0..plan.rounds {
            for ours in [round % 2 == 0, round % 2 == 1] {
                if ours {
                    let (again, more) = handler::run(instances, case.ours.clone(), plan.of_a_round).await?;
                    instances = again;
                    told.add(more);
                } else {
                    done.add(floor.run(case.theirs.clone(), CALLERS, plan.of_a_round).await?);
                }
            }
        }
        ours_told += told.credits();
        theirs_done += done.transactions;
        tell_rates(case.name, told, done);
    }

    let [ours, theirs] = ranges;
    expect("told to our callers", ours_told, points(scratch, ours).await?)?;
    expect("done by pgbench", theirs_done, points(scratch, theirs).await?)?;
    scratch.audit().await?;
    println!("\nratio: goal 0.6. p50, p99: of our calls. processor: time of our process and of pgbench, a call.");
    println!(
        "{ours_told} credits were told to our callers and are stored, {theirs_done} those of pgbench; \
         the audit is clean"
    );
    Ok(())
}

fn tell_rates(name: &str, mut told: Told, done: Done) {
    let [p50, p99] = [50, 99].map(|of_hundred| told.percentile(of_hundred).as_secs_f64() * 1_000.0);
    let (ours, theirs) = (told.rate(), done.rate());
    let each = |time: Duration, calls: usize| time.as_micros() / u128::try_from(calls.max(1)).unwrap_or(1);
    let processor = format!(
        "{} : {}",
        each(told.processor, told.credits()),
        each(done.processor, done.transactions)
    );
    println!(
        "{name:<20}{ours:>11.0}{theirs:>11.0}{:>7.2}{p50:>9.2}{p99:>9.2}{processor:>16}",
        ours / theirs
    );
}

fn cases() -> [Case; 2] {
    [
        Case {
            name: "different players",
            ours: OURS..OURS + PLAYERS,
            theirs: THEIRS..THEIRS + PLAYERS,
        },
        Case {
            name: "one hot player",
            ours: OURS + PLAYERS..OURS + PLAYERS + 1,
            theirs: THEIRS + PLAYERS..THEIRS + PLAYERS + 1,
        },
    ]
}

/// pgbench, with the statements of a call of a warm instance.
async fn floor(plan: &Plan, scratch: &Scratch, key: &str) -> Result<Floor> {
    let (proxied, log) = capture::listen(&scratch.runtime).await?;
    let mut instance = Instance::new(&proxied, key, 0)?;
    for _ in 1..CAPTURED_AT {
        instance.credit(CAPTURED).await?;
    }
    log.take();
    instance.credit(CAPTURED).await?;
    let sent = log.take();
    let call = Call {
        player: CAPTURED.to_string(),
        key: instance.idempotency_key(),
        amount: Decimal::new(100, 2),
        version: CAPTURED_AT,
        balance: CAPTURED_AT.into(),
    };
    tell(&sent);
    let script = script::write(&mut scratch.owner.connect().await?, &sent, &call).await?;
    if plan.script == self::Script::Printed {
        println!("{}", script.text);
    }
    Floor::new(&plan.pgbench, &scratch.runtime, script)
}

/// Round trips of a call, and what each is for.
fn tell(sent: &[Sent]) {
    println!("a call makes {} round trips:", sent.len());
    for sent in sent {
        let text = match sent {
            Sent::Query(sql) if sql.is_empty() => "(is the connection alive? not in the script)",
            Sent::Query(sql) | Sent::Execute { sql, .. } => sql,
        };
        let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
        println!("  {}", line.chars().take(100).collect::<String>());
    }
}

/// LP of the players under these numbers, together.
async fn points(scratch: &Scratch, numbers: Range<u64>) -> Result<Decimal> {
    let sql = "SELECT coalesce(sum(balance), 0) FROM wallets
        WHERE asset = 'LP' AND player_id::bigint >= $1 AND player_id::bigint < $2";
    let bounds = (i64::try_from(numbers.start)?, i64::try_from(numbers.end)?);
    Ok(scratch
        .owner
        .connect()
        .await?
        .query_one(sql, &[&bounds.0, &bounds.1])
        .await?
        .get(0))
}

fn expect(who: &str, credits: usize, stored: Decimal) -> Result<()> {
    if stored == Decimal::from(credits) {
        Ok(())
    } else {
        Err(format!("{credits} credits {who}, {stored} LP stored").into())
    }
}
