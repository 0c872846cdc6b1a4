//! Runs: a fan-out of work over players, in shards.

pub mod rewards;
pub mod rule_runs;
pub mod run_view;
pub mod segmentation;
pub mod simulation_runs;
pub mod triggers;

use crate::error::{Error, Result};

use domain::act::Act;
use domain::context::Context;
use domain::id::{PlayerId, RunId};
use domain::problem::{FieldError, FieldErrors};
use domain::run::Scope;
pub use domain::run::{Rewards, RunKind, RunStatus};
use serde::{Deserialize, Serialize};
pub use store::runs::Run;
use store::runs::{NewRun, shards};
use store::{Db, Tx, transaction};

/// Players per shard: few enough for 128 MiB and a transaction of a second, many enough that a million players take
/// only a few hundred messages.
pub const SHARD_PLAYERS: i32 = 4_000;

/// The queue message of a shard. It names a range, never a list of players.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardMessage {
    pub run_id: RunId,
    pub shard: i32,
}

impl ShardMessage {
    /// The message body.
    pub fn to_json(self) -> String {
        format!(r#"{{"run_id":"{}","shard":{}}}"#, self.run_id, self.shard)
    }
}

/// A new run. The caller sends one message per shard to the segmentation queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStarted {
    pub run_id: RunId,
    pub shards: i32,
}

impl RunStarted {
    pub fn messages(self) -> impl Iterator<Item = ShardMessage> {
        (0..self.shards).map(move |shard| ShardMessage {
            run_id: self.run_id,
            shard,
        })
    }

    /// The message bodies.
    pub fn bodies(self) -> Vec<String> {
        self.messages().map(ShardMessage::to_json).collect()
    }
}

/// Starts a run over these players.
///
/// # Errors
/// `Validation`, naming the ids that do not exist.
pub async fn start_batch(db: &Db, player_ids: &[PlayerId], rewards: Rewards, act: &Act) -> Result<RunStarted> {
    transaction!(db, |tx| start_batch_in_tx(tx, player_ids, rewards, act))
}

async fn start_batch_in_tx(tx: &Tx<'_>, player_ids: &[PlayerId], rewards: Rewards, act: &Act) -> Result<RunStarted> {
    let mut ids: Vec<&str> = player_ids.iter().map(PlayerId::as_str).collect();
    ids.sort_unstable();
    ids.dedup();
    let known = store::players::lock_all(tx, &ids).await?;
    let unknown = |id: &PlayerId| known.binary_search_by(|known| known.as_str().cmp(id.as_str())).is_err();
    let errors: FieldErrors = player_ids
        .iter()
        .enumerate()
        .filter(|(_, id)| unknown(id))
        .map(|(index, id)| {
            FieldError::new(
                format!("/player_ids/{index}"),
                "unknown",
                format!("player {id} does not exist"),
            )
        })
        .collect();
    errors.none_or(())?;
    let run_id = RunId((act.context.new_id)());
    store::runs::list_players(tx, run_id, &ids).await?;
    let run = NewRun {
        run_id,
        kind: RunKind::Batch,
        scope: Scope::Listed,
        ..everybody(rewards, act)
    };
    create(tx, &run).await
}

/// Starts a run over all players.
pub async fn start_recalculation(db: &Db, rewards: Rewards, act: &Act) -> Result<RunStarted> {
    transaction!(db, |tx| start_recalculation_in_tx(tx, rewards, act))
}

pub(crate) async fn start_recalculation_in_tx(tx: &Tx<'_>, rewards: Rewards, act: &Act) -> Result<RunStarted> {
    create(tx, &everybody(rewards, act)).await
}

fn everybody(rewards: Rewards, act: &Act) -> NewRun {
    NewRun {
        run_id: RunId((act.context.new_id)()),
        kind: RunKind::Recalculation,
        scope: Scope::All,
        rewards,
        created_by: act.actor.clone(),
        created_at: act.context.now,
        rule_id: None,
        reason: None,
    }
}

pub(crate) async fn create(tx: &Tx<'_>, run: &NewRun) -> Result<RunStarted> {
    let shards = store::runs::create(tx, run, SHARD_PLAYERS).await?;
    Ok(RunStarted {
        run_id: run.run_id,
        shards,
    })
}

pub async fn get(db: &Db, run_id: RunId) -> Result<Run> {
    find(db, run_id).await?.ok_or_else(|| Error::not_found("run", run_id))
}

/// The run of an import; `None` if it has not started, or the file changed no player.
pub async fn find(db: &Db, run_id: RunId) -> Result<Option<Run>> {
    Ok(store::runs::get(&db.client().await?, run_id).await?)
}

/// Newest first.
pub async fn list(db: &Db, status: Option<RunStatus>, skip: i64, limit: i64) -> Result<Vec<Run>> {
    Ok(store::runs::list(&db.client().await?, status, skip, limit).await?)
}

/// The messages of the shards that are not yet segmented: to send or resend a run's work.
pub async fn open_messages(db: &Db, run_id: RunId) -> Result<Vec<ShardMessage>> {
    let shards = shards::open(&db.client().await?, run_id).await?;
    Ok(shards.into_iter().map(|shard| ShardMessage { run_id, shard }).collect())
}

/// Marks a shard that failed at its last delivery as failed, so that its run can end.
pub async fn give_up(db: &Db, message: ShardMessage, error: &str, context: Context) -> Result<()> {
    transaction!(db, |tx| give_up_in_tx(tx, message, error, context))
}

/// Fails a run whose messages could not be sent, so that it does not stay open forever.
pub async fn give_up_all(db: &Db, started: RunStarted, error: &str, context: Context) -> Result<()> {
    for message in started.messages() {
        give_up(db, message, error, context).await?;
    }
    Ok(())
}

async fn give_up_in_tx(tx: &Tx<'_>, message: ShardMessage, error: &str, context: Context) -> Result<()> {
    if store::rules::simulations::is_one(tx, message.run_id).await? {
        return simulation_runs::give_up_in_tx(tx, message, error, context).await;
    }
    if shards::failed(tx, message.run_id, message.shard, error, context.now).await? {
        shards::done(tx, message.run_id, context.now).await?;
    }
    Ok(())
}
