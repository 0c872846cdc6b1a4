//! Evaluates the rules for the players of a shard and issues what they grant.

use app::runs::ShardMessage;
use app::{Db, rewards, runs};
use lambda::batch::Delivery;

/// As the template has it: the delivery after which the queue parks a message.
const RECEIVES_MAX: u32 = 5;

pub struct Worker {
    pub db: Db,
}

impl Worker {
    pub async fn handle(&self, delivery: Delivery<ShardMessage>) -> Result<(), app::Error> {
        let message = delivery.message;
        match rewards::run_shard(&self.db, message, lambda::context()).await {
            Ok(totals) => {
                tracing::info!(
                    run_id = %message.run_id, shard = message.shard, matched = totals.matched, granted = totals.granted,
                    refused = totals.refused, "rewarded"
                );
                Ok(())
            }
            Err(error) if delivery.receives >= RECEIVES_MAX => {
                runs::give_up(&self.db, message, &format!("rewards: {error}"), lambda::context()).await?;
                Err(error)
            }
            Err(error) => Err(error),
        }
    }
}
