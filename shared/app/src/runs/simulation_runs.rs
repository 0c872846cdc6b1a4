//! Simulations of more players than a request can wait for: runs with progress, and a report at the end.
//!
//! # Choices
//!
//! * One worker makes the whole pass, because budgets and caps are used up in player order. Shards only measure
//!   progress: the message of shard 0 drives the run and completes with the report; messages of other shards change
//!   nothing. If the message is delivered again, the new attempt takes over from the start, and the earlier one stops
//!   when it notices, at the latest at its end.
//! * The run fails if the rule can no longer be simulated (it was archived, or the ladder lost a benefit), and after
//!   ten attempts.

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

/// Most players that are simulated within a request; the figures are in `infra/bench/README.md`.
pub const DIRECT_PLAYERS_MAX: i64 = 1_000_000;

/// Limits restarts, because a simulation could crash its worker every time.
const ATTEMPTS_MAX: i32 = 10;

#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    Report(Box<Simulated>),
    /// The message of shard 0 drives the whole run.
    Run(RunStarted),
}

/// Simulates immediately, or starts a run if there are more than `direct_players_max` players. An empty population is
/// always simulated immediately.
///
/// # Errors
/// As [`simulate`], also before a run is started.
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

/// The state or report of a simulation run.
pub async fn report(db: &Db, run_id: RunId) -> Result<Outcome> {
    let outcome = store::rules::simulations::get(&db.client().await?, run_id).await?;
    outcome.ok_or_else(|| Error::not_found("simulation", run_id))
}

/// Simulates all players and stores the report. Does nothing for messages of other shards than 0, or once the run has
/// ended.
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
        // A database error may be gone at the next delivery. Any other error would return, so the run fails with it.
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
        let reason = format!("gave up after {ATTEMPTS_MAX} attempts");
        store::rules::simulations::fail(tx, run_id, &reason, context.now).await?;
        return Ok(None);
    }
    store::rules::simulations::begin(tx, run_id, pending.attempt).await?;
    Ok(Some(pending))
}

/// Returns the number of players; 0 if another attempt took the run over.
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

/// Progress of an attempt, saved once per shard or per hundredth of the run, whichever is more.
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

    /// Returns `false` if another attempt is known to have taken the run over. Never waits for a connection: the pass
    /// holds some, and two passes could wait for each other forever.
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

/// Fails the run when the message of shard 0 failed at its last delivery; other messages do not matter.
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
