//! Recovery: resends messages for work that makes no progress because a message was lost. Duplicates are harmless,
//! since each effect marks itself done in its own transaction. So messages are sent first and recorded as sent
//! afterwards.

use crate::error::Result;
use crate::imports::{self, Ending};
use crate::runs::triggers::{self, TriggerMessage};
use crate::runs::{self, ShardMessage};
use domain::context::Context;
use domain::id::{ImportId, RunId, TriggerBatchId};
use jiff::SignedDuration;
use store::jobs::recovery::Stuck;
use store::{Db, Tx, transaction};

/// How long a run may go without finishing a shard before its messages count as lost: as long as a worker may take for
/// one shard.
const RUN_PATIENCE: SignedDuration = SignedDuration::from_mins(5);
/// The same for an import: longer than its worker can run, because it may read for a long time before it writes.
const IMPORT_PATIENCE: SignedDuration = SignedDuration::from_mins(17);
/// The same for a batch of triggers.
const TRIGGER_PATIENCE: SignedDuration = SignedDuration::from_mins(1);
/// Most items per pass; the next pass finds the rest.
const RUNS_MAX: i64 = 10;
const IMPORTS_MAX: i64 = 10;
const TRIGGER_BATCHES_MAX: i64 = 1_000;
/// Resends without progress before work is given up: about four hours for a run or import, five for triggers.
const RUN_RESENDS_MAX: i16 = 6;
const TRIGGER_RESENDS_MAX: i16 = 8;
const GIVEN_UP: &str = "given up: resent repeatedly without progress";

/// Work without progress.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Lost {
    runs: Vec<Stuck<RunId>>,
    imports: Vec<Stuck<ImportId>>,
    triggers: Vec<Stuck<TriggerBatchId>>,
    /// Messages for the segmentation queue.
    pub to_segment: Vec<String>,
    /// Messages for the reward queue.
    pub to_reward: Vec<String>,
    /// Messages for the import queue.
    pub to_import: Vec<String>,
    /// Runs, imports and batches that were resent too often and have been failed.
    pub given_up: usize,
}

impl Lost {
    /// Figures by name.
    pub fn counts(&self) -> Vec<(&'static str, i64)> {
        let figures = [
            ("runs_resent", self.runs.len()),
            (
                "messages_resent",
                self.to_segment.len() + self.to_reward.len() + self.to_import.len(),
            ),
            ("imports_resent", self.imports.len()),
            ("trigger_batches_resent", self.triggers.len()),
            ("given_up", self.given_up),
        ];
        figures
            .into_iter()
            .map(|(name, figure)| (name, i64::try_from(figure).unwrap_or(i64::MAX)))
            .collect()
    }
}

/// Finds work without progress and fails what was resent too often. The caller sends the messages and then calls
/// [`sent`].
pub async fn find(db: &Db, context: Context) -> Result<Lost> {
    let (runs, imports, batches) = {
        let client = db.client().await?;
        (
            store::jobs::recovery::stuck_runs(&client, RUN_PATIENCE, context.now, RUNS_MAX).await?,
            store::jobs::recovery::stuck_imports(&client, IMPORT_PATIENCE, context.now, IMPORTS_MAX).await?,
            store::jobs::recovery::waiting_triggers(&client, TRIGGER_PATIENCE, context.now, TRIGGER_BATCHES_MAX)
                .await?,
        )
    };
    let (runs, hopeless_runs) = split(runs, RUN_RESENDS_MAX);
    let (imports, hopeless_imports) = split(imports, RUN_RESENDS_MAX);
    let (batches, hopeless_triggers) = split(batches, TRIGGER_RESENDS_MAX);
    let given_up = hopeless_runs.len() + hopeless_imports.len() + hopeless_triggers.len();
    give_up_runs(db, &hopeless_runs, context).await?;
    for import_id in hopeless_imports {
        imports::end(
            db,
            import_id,
            &Ending::Failed {
                reason: GIVEN_UP.to_owned(),
            },
            context,
        )
        .await?;
    }
    for batch_id in hopeless_triggers {
        triggers::give_up(db, TriggerMessage { batch_id }, GIVEN_UP, context).await?;
    }
    let ids: Vec<RunId> = runs.iter().map(|stuck| stuck.id).collect();
    let shards = store::jobs::recovery::open_shards(&db.client().await?, &ids).await?;
    let (to_reward, to_segment): (Vec<_>, Vec<_>) = shards.into_iter().partition(|shard| shard.segmented);
    let bodies = |shards: Vec<store::jobs::recovery::OpenShard>| {
        shards
            .into_iter()
            .map(|open| {
                ShardMessage {
                    run_id: open.run_id,
                    shard: open.shard,
                }
                .to_json()
            })
            .collect::<Vec<_>>()
    };
    let mut to_reward = bodies(to_reward);
    to_reward.extend(
        batches
            .iter()
            .map(|stuck| TriggerMessage { batch_id: stuck.id }.to_json()),
    );
    let to_import = imports.iter().map(|stuck| import_message(stuck.id)).collect();
    Ok(Lost {
        runs,
        imports,
        triggers: batches,
        to_segment: bodies(to_segment),
        to_reward,
        to_import,
        given_up,
    })
}

/// Splits into work to resend and work to give up.
fn split<T>(stuck: Vec<Stuck<T>>, resends_max: i16) -> (Vec<Stuck<T>>, Vec<T>) {
    let (hopeless, stuck): (Vec<_>, Vec<_>) = stuck.into_iter().partition(|stuck| stuck.resends >= resends_max);
    (stuck, hopeless.into_iter().map(|stuck| stuck.id).collect())
}

async fn give_up_runs(db: &Db, runs: &[RunId], context: Context) -> Result<()> {
    let open = store::jobs::recovery::open_shards(&db.client().await?, runs).await?;
    for shard in open {
        runs::give_up(
            db,
            ShardMessage {
                run_id: shard.run_id,
                shard: shard.shard,
            },
            GIVEN_UP,
            context,
        )
        .await?;
    }
    Ok(())
}

/// Records that the messages were sent.
pub async fn sent(db: &Db, lost: &Lost, context: Context) -> Result<()> {
    transaction!(db, |tx| sent_in_tx(tx, lost, context))
}

async fn sent_in_tx(tx: &Tx<'_>, lost: &Lost, context: Context) -> Result<()> {
    store::jobs::recovery::runs_resent(tx, &lost.runs, context.now).await?;
    store::jobs::recovery::imports_resent(tx, &lost.imports, context.now).await?;
    store::jobs::recovery::triggers_resent(tx, &lost.triggers, context.now).await?;
    Ok(())
}

/// Makes the import worker continue this import.
fn import_message(import_id: ImportId) -> String {
    format!(r#"{{"import_id":"{import_id}"}}"#)
}
