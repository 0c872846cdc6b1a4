//! `/api/rules` and `/api/tiers` through the router, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod rules;
mod tiers;

use axum::Router;
use serde_json::{Value, json};
use testing::{Response, TestDb, api_key, call};

pub struct Program {
    pub test: TestDb,
    pub router: Router,
    pub key: String,
}

impl Program {
    pub async fn new() -> Self {
        let test = TestDb::new().await;
        let key = api_key(&test.db(), "admin").await;
        Self { router: ::rules::router(test.db()), key, test }
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
        problem["errors"].as_array().unwrap().iter().map(|error| format!("{} {}", text(&error["pointer"]), text(&error["code"]))).collect()
    }
}

/// `LOSS_CASHBACK` of the sample.
pub fn loss_cashback() -> Value {
    json!({
        "rule_id": "LOSS_CASHBACK", "name": "Ten per cent of the loss", "priority": 10, "is_active": true,
        "conditions": { "segment": "LOSING", "net_loss_min": 100, "session_count_min": 3 },
        "reward_config": { "type": "BONUS_BALANCE", "formula": "net_loss * 0.10", "max_amount": 500, "wagering_requirement": 10, "expiry_hours": 48 },
    })
}
