//! `/api/rules` and `/api/tiers` through the router, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod moment;
mod order;
mod play;
mod rules;
mod runs;
mod simulate;
mod tiers;

use ::rules::Rules;
use lambda::{aws, sqs::Queue};
use serde_json::{Value, json};
use testing::{Request, TestApi, accept_messages};

pub async fn program() -> TestApi {
    program_with(accept_messages).await
}

pub async fn program_with(queue: impl Fn(&Request) -> (u16, String) + Send + Sync + 'static) -> TestApi {
    let api = TestApi::on_cloud("admin", queue, |db, now, url| {
        let segmentation = Queue::with_config(&aws::stand_in(url), format!("{url}/1/segmentation"));
        ::rules::router(Rules { db, segmentation }, now)
    })
    .await;
    api.subscribe().await;
    api
}

/// The sample rule `LOSS_CASHBACK`.
pub fn loss_cashback() -> Value {
    json!({
        "rule_id": "LOSS_CASHBACK", "name": "Ten per cent of the loss", "priority": 10, "is_active": true,
        "conditions": { "segment": "LOSING", "net_loss_min": 100, "session_count_min": 3 },
        "reward_config": {
            "type": "BONUS_BALANCE", "formula": "net_loss * 0.10", "max_amount": 500, "wagering_requirement": 10,
            "expiry_hours": 48,
        },
    })
}
