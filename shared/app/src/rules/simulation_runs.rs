//! Simulations of more players than a request can wait for: runs with progress, and a report when they are complete.
//!
//! Budgets and caps are counted in the order of ids, so one worker goes through everybody. Its message may come twice, and it
//! may be killed: whoever begins takes the run over, from the start, and who began before finds that out.

use crate::error::{BoxedCause, Error, Result};
use crate::rules::simulation::{Pass, Plan, Simulated, Subject, Within, simulate};
use crate::runs::{RunStarted, SHARD_PLAYERS, ShardMessage, create, give_up};
use domain::act::Act;
use domain::context::Context;
use domain::id::RunId;
use domain::run::{Rewards, RunKind, Scope};
use serde_json::value::to_raw_value;
pub use store::rules::simulations::Outcome;
use store::rules::simulations::Pending;
use store::runs::NewRun;
use store::runs::shards::RewardTotals;
use store::{Db, Tx, transaction};

/// Players that a request can be made to wait for: see the figures in ARCHITECTURE.md.
pub const DIRECT_PLAYERS_MAX: i64 = 1_000_000;

/// One that kills its worker each time must not begin for ever.
const ATTEMPTS_MAX: i32 = 10;

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Report(Box<Simulated>),
    /// One message, whose shard is 0, leads the whole of it.
    Run(RunStarted),
}

/// Simulates at once, or starts a run where there are more than `direct_players_max` players. Nobody is always simulated at
/// once.
///
/// # Errors
/// As [`simulate`]. A run is only made of what could be simulated now.
pub async fn answer(db: &Db, subject: &Subject, within: Within, direct_players_max: i64, act: &Act) -> Result<Answer> {
    if store::rules::population::count(db).await? <= direct_players_max.max(0) {
        let simulated = simulate(db, subject, within, act.context.now).await?;
        return Ok(Answer::Report(Box::new(simulated)));
    }
    let plan = Plan::load(db, subject, within, act.context.now).await?;
    let run = NewRun {
        run_id: RunId((act.context.new_id)()),
        kind: RunKind::Simulation,
        scope: Scope::All,
        rewards: Rewards::Evaluate,
        created_by: act.actor.clone(),
        created_at: act.context.now,
        rule_id: Some(plan.rule_id().clone()),
        reason: None,
    };
    let started: Result<()> = transaction!(db, |tx| start_in_tx(tx, &run, subject, within));
    started.map(|()| {
        Answer::Run(RunStarted {
            run_id: run.run_id,
            shards: 1,
        })
    })
}

async fn start_in_tx(tx: &Tx<'_>, run: &NewRun, subject: &Subject, within: Within) -> Result<()> {
    let draft = match subject {
        Subject::Draft(draft) => Some(draft),
        Subject::Saved(_) => None,
    };
    create(tx, run).await?;
    Ok(store::rules::simulations::add(tx, run.run_id, draft, within.as_str()).await?)
}

/// What became of a simulation that is a run.
pub async fn report(db: &Db, run_id: RunId) -> Result<Outcome> {
    let outcome = store::rules::simulations::get(&db.client().await?, run_id).await?;
    outcome.ok_or_else(|| Error::not_found("simulation", run_id))
}

/// Goes through all players, and stores the report. Only the message of shard 0 leads it, others change nothing; neither does
/// one that comes when it has ended.
pub(crate) async fn run(db: &Db, message: ShardMessage, context: Context) -> Result<RewardTotals> {
    let run_id = message.run_id;
    if message.shard != 0 {
        return Ok(RewardTotals::default());
    }
    let begun: Result<Option<Pending>> = transaction!(db, |tx| begin_in_tx(tx, run_id, context));
    let Some(pending) = begun? else {
        return Ok(RewardTotals::default());
    };
    match go_through(db, run_id, &pending, context).await {
        Ok(players) => Ok(RewardTotals {
            players,
            ..RewardTotals::default()
        }),
        // The database may answer at the next delivery; anything else is said by what was asked for.
        Err(error @ Error::Store(_)) => Err(error),
        Err(error) => {
            give_up(db, message, &error.reason(), context).await?;
            Ok(RewardTotals::default())
        }
    }
}

async fn begin_in_tx(tx: &Tx<'_>, run_id: RunId, context: Context) -> Result<Option<Pending>> {
    let Some(mut pending) = store::rules::simulations::lock(tx, run_id).await? else {
        return Ok(None);
    };
    pending.attempt += 1;
    if pending.attempt > ATTEMPTS_MAX {
        let reason = format!("it was begun {ATTEMPTS_MAX} times, and never came to its end");
        store::rules::simulations::fail(tx, run_id, &reason, context.now).await?;
        return Ok(None);
    }
    store::rules::simulations::begin(tx, run_id, pending.attempt).await?;
    Ok(Some(pending))
}

/// Answers the number of players; 0 when another attempt took the run over.
async fn go_through(db: &Db, run_id: RunId, pending: &Pending, context: Context) -> Result<usize> {
    let within = Within::parse(&pending.within).ok_or_else(|| unreadable(pending.within.as_str()))?;
    let subject = match &pending.draft {
        Some(draft) => Subject::Draft(draft.clone()),
        None => Subject::Saved(pending.rule_id.clone()),
    };
    let plan = Plan::load(db, &subject, within, context.now).await?;
    let mut pass = Pass::open(db, &plan).await?;
    let mut progress = Progress::new(pending);
    loop {
        match pass.step(|_, _, _| {}).await? {
            0 => break,
            players => {
                if !progress.advance(db, run_id, players, context).await? {
                    return Ok(0);
                }
            }
        }
    }
    let report = to_raw_value(&pass.end()?).map_err(unreadable)?;
    let (attempt, players) = (pending.attempt, count(progress.players));
    let ended: store::Result<bool> = transaction!(db, |tx| store::rules::simulations::end(
        tx,
        run_id,
        attempt,
        &report,
        players,
        context.now
    ));
    Ok(if ended? { progress.players } else { 0 })
}

/// How far an attempt has come, told in steps of a hundredth or a shard.
struct Progress {
    attempt: i32,
    shards_total: i32,
    step: usize,
    players: usize,
    told: usize,
}

impl Progress {
    fn new(pending: &Pending) -> Self {
        let shard = usize::try_from(SHARD_PLAYERS).unwrap_or(1);
        let step = shard * usize::try_from(pending.shards_total / 100).unwrap_or(0).max(1);
        Self {
            attempt: pending.attempt,
            shards_total: pending.shards_total,
            step,
            players: 0,
            told: 0,
        }
    }

    /// Answers whether the attempt still has the run, as far as is known. It waits for no connection: the pass holds some, and
    /// two that wait for each other's would wait for ever.
    async fn advance(&mut self, db: &Db, run_id: RunId, players: usize, context: Context) -> Result<bool> {
        self.players += players;
        if self.players - self.told < self.step {
            return Ok(true);
        }
        let Some(client) = db.free_client().await else {
            return Ok(true);
        };
        self.told = self.players;
        let shards_done = (count(self.players) / SHARD_PLAYERS).min(self.shards_total - 1);
        Ok(store::rules::simulations::progress(
            &client,
            run_id,
            self.attempt,
            shards_done,
            count(self.players),
            context.now,
        )
        .await?)
    }
}

/// The run of a message that failed at its last delivery ends with it; messages of other shards lead nothing.
pub(crate) async fn give_up_in_tx(tx: &Tx<'_>, message: ShardMessage, error: &str, context: Context) -> Result<()> {
    if message.shard == 0 {
        store::rules::simulations::fail(tx, message.run_id, error, context.now).await?;
    }
    Ok(())
}

fn unreadable(cause: impl Into<BoxedCause>) -> Error {
    Error::stored("simulation", cause)
}

fn count(number: usize) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}
