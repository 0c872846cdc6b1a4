//! Classifies the players of a shard and passes the shard on to the reward queue.

use app::runs::ShardMessage;
use app::runs::segmentation::{self, Next};
use app::{Db, runs};
use lambda::batch::Delivery;
use lambda::sqs::{Queue, SqsError};

/// Must match the template: after this delivery the queue parks the message.
const RECEIVES_MAX: u32 = 5;

#[derive(Debug, thiserror::Error)]
pub enum WorkError {
    #[error("the players of a shard could not be classified")]
    App(#[from] app::Error),
    #[error("messages could not be sent to the reward queue")]
    Queue(#[from] SqsError),
}

pub struct Worker {
    pub db: Db,
    pub rewards: Queue,
}

impl Worker {
    pub async fn handle(&self, delivery: Delivery<ShardMessage>) -> Result<(), WorkError> {
        let message = delivery.message;
        let outcome = self.segment(message).await;
        if let (Err(error), true) = (&outcome, delivery.receives >= RECEIVES_MAX) {
            runs::give_up(&self.db, message, &format!("segmentation: {error}"), lambda::context()).await?;
        }
        outcome
    }

    async fn segment(&self, message: ShardMessage) -> Result<(), WorkError> {
        let next = segmentation::run_shard(&self.db, message, lambda::context()).await?;
        tracing::info!(run_id = %message.run_id, shard = message.shard, ?next, "segmented");
        if next == Next::Rewards {
            self.rewards.send(vec![message.to_json()]).await?;
        }
        Ok(())
    }
}
