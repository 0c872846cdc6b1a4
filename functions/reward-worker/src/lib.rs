//! Evaluates rules and issues the rewards they grant: for the players of a shard, and for the events of single
//! players.

use app::runs::ShardMessage;
use app::runs::triggers::TriggerMessage;
use app::runs::{self, rewards, triggers};
use app::{Context, Db};
use lambda::batch::Delivery;
use serde::Deserialize;

/// Must match the template: after this delivery the queue parks the message.
const RECEIVES_MAX: u32 = 5;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum Message {
    Shard(ShardMessage),
    Triggers(TriggerMessage),
}

pub struct Worker {
    pub db: Db,
}

impl Worker {
    pub async fn handle(&self, delivery: Delivery<Message>) -> Result<(), app::Error> {
        let message = delivery.message;
        let outcome = self.evaluate(message).await;
        if let (Err(error), true) = (&outcome, delivery.receives >= RECEIVES_MAX) {
            self.give_up(message, &format!("rewards: {}", error.reason()), lambda::context())
                .await?;
        }
        outcome
    }

    async fn evaluate(&self, message: Message) -> Result<(), app::Error> {
        let totals = match message {
            Message::Shard(shard) => rewards::run_shard(&self.db, shard, lambda::context()).await?,
            Message::Triggers(batch) => triggers::run_batch(&self.db, batch, lambda::context()).await?,
        };
        tracing::info!(
            ?message,
            players = totals.players,
            matched = totals.matched,
            granted = totals.granted,
            refused = totals.refused,
            "rewarded"
        );
        Ok(())
    }

    async fn give_up(&self, message: Message, error: &str, context: Context) -> Result<(), app::Error> {
        match message {
            Message::Shard(shard) => runs::give_up(&self.db, shard, error, context).await,
            Message::Triggers(batch) => triggers::give_up(&self.db, batch, error, context).await,
        }
    }
}
