//! `/api/rules` and `/api/tiers` through the router, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod rules;
mod runs;
mod simulate;
mod tiers;

use ::rules::Rules;
use axum::Router;
use lambda::{aws, sqs::Queue};
use serde_json::{Value, json};
use testing::{Request, Response, StandIn, TestDb, api_key, call};

pub struct Program {
    pub test: TestDb,
    pub queue: StandIn,
    pub router: Router,
    pub key: String,
}

impl Program {
    pub async fn new() -> Self {
        Self::with_queue(|request| (200, accept(&request.text()))).await
    }

    pub async fn with_queue(answer: impl Fn(&Request) -> (u16, String) + Send + Sync + 'static) -> Self {
        let test = TestDb::new().await;
        test.subscribe().await;
        let key = api_key(&test.db(), "admin").await;
        let queue = StandIn::start(answer).await;
        let segmentation = Queue::with_config(&aws::stand_in(&queue.url), format!("{}/1/segmentation", queue.url));
        let router = ::rules::router(
            Rules {
                db: test.db(),
                segmentation,
            },
            lambda::clock::now,
        );
        Self {
            test,
            queue,
            router,
            key,
        }
    }

    pub async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        call(&self.router, method, path, Some(&self.key), body).await
    }

    pub async fn get(&self, path: &str) -> Value {
        self.send("GET", path, None).await.expect(200)
    }

    /// `pointer code` of every error of a 422.
    pub async fn errors(&self, method: &str, path: &str, body: Value) -> Vec<String> {
        let problem = self.send(method, path, Some(body)).await.expect(422);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| format!("{} {}", text(&error["pointer"]), text(&error["code"])))
            .collect()
    }
}

/// The response of SQS to a batch of messages.
fn accept(batch: &str) -> String {
    let batch: Value = serde_json::from_str(batch).unwrap();
    let accept = |entry: &Value| json!({ "Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "" });
    let accepted: Vec<Value> = batch["Entries"].as_array().unwrap().iter().map(accept).collect();
    json!({ "Successful": accepted, "Failed": [] }).to_string()
}

/// The sample rule `LOSS_CASHBACK`.
pub fn loss_cashback() -> Value {
    json!({
        "rule_id": "LOSS_CASHBACK", "name": "Ten per cent of the loss", "priority": 10, "is_active": true,
        "conditions": { "segment": "LOSING", "net_loss_min": 100, "session_count_min": 3 },
        "reward_config": { "type": "BONUS_BALANCE", "formula": "net_loss * 0.10", "max_amount": 500, "wagering_requirement": 10, "expiry_hours": 48 },
    })
}
