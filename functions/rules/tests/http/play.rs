//! A program in play: events, rules and rewards together, at a time of the test's.

use crate::program;
use app::runs::rewards;
use app::runs::segmentation::{self, Next};
use app::runs::triggers;
use app::runs::{self, Rewards};
use app::{Act, Context};
use lambda::{aws, sqs::Queue};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicUsize, Ordering};
use testing::{Player, TestApi};

/// A program at a time of the test's, with player P1, who is NEW.
pub struct Play {
    pub rules: TestApi,
    pub activity: TestApi,
    pub wallet: TestApi,
    delivered: AtomicUsize,
}

impl Play {
    pub async fn at(now: &str) -> Self {
        let rules = program().await;
        rules.clock().set(now.parse().unwrap());
        Player::new("P1").segment("NEW").insert(&rules.db()).await;
        let url = rules.cloud().url.clone();
        let activity = rules.beside(|db, now| {
            let rewards = Queue::with_config(&aws::stand_in(&url), format!("{url}/1/rewards"));
            ::activity::router(::activity::Activity { db, rewards }, now)
        });
        let play = Self {
            wallet: rules.beside(::wallet::router),
            rules,
            activity,
            delivered: AtomicUsize::new(0),
        };
        // The profit gate and the caps pass what these tests give.
        let wagers = json!({ "NEW": 1_000_000, "LOSING": 1_000_000 });
        let generous = json!({ "LOYALTY_POINTS": 100_000, "REWARD_POINTS": 100_000, "BONUS_BALANCE": 100_000 });
        play.set(json!({ "profit": { "prior_wager": wagers, "retention_multiplier":
            { "NEW": generous, "LOSING": generous, "WINNING": generous, "BREAKEVEN": generous } },
            "caps": { "day": 1_000_000_000, "days_7": 1_000_000_000, "days_30": 1_000_000_000 } }))
            .await;
        play
    }

    pub fn context(&self) -> Context {
        Context {
            now: self.rules.clock().now(),
            new_id: uuid::Uuid::now_v7,
        }
    }

    pub fn travel(&self, now: &str) {
        self.rules.clock().set(now.parse().unwrap());
    }

    pub async fn set(&self, settings: Value) {
        app::program::settings::put(&self.rules.db(), &settings, &Act::of("test", self.context()))
            .await
            .unwrap();
    }

    /// Saves a rule that gives 10 LP, with these changes.
    pub async fn rule(&self, rule_id: &str, changes: Value) {
        self.rules.post("/api/rules", rule(rule_id, changes)).await.expect(201);
    }

    /// Records events and evaluates what they called.
    pub async fn record(&self, events: Value) {
        let body = self
            .activity
            .post("/api/activity", json!({ "events": events }))
            .await
            .expect(200);
        for result in body["results"].as_array().unwrap() {
            assert_eq!(result["status"], "accepted", "{result}");
        }
        self.deliver().await;
    }

    /// Delivers the messages that were sent since the last time.
    pub async fn deliver(&self) {
        let messages = self.rules.cloud().messages();
        let from = self.delivered.swap(messages.len(), Ordering::SeqCst);
        for (queue, message) in &messages[from..] {
            if queue == "rewards" {
                let message = serde_json::from_value(message.clone()).unwrap();
                triggers::run_batch(&self.rules.db(), message, self.context())
                    .await
                    .unwrap();
            } else {
                self.work(serde_json::from_value(message.clone()).unwrap()).await;
            }
        }
    }

    async fn work(&self, message: runs::ShardMessage) {
        let db = self.rules.db();
        if segmentation::run_shard(&db, message, self.context()).await.unwrap() == Next::Rewards {
            rewards::run_shard(&db, message, self.context()).await.unwrap();
        }
    }

    /// What the nightly recalculation does.
    pub async fn recalculate(&self) {
        let act = Act::of("test", self.context());
        let run = runs::start_recalculation(&self.rules.db(), Rewards::Evaluate, &act)
            .await
            .unwrap();
        for message in run.messages() {
            self.work(message).await;
        }
    }

    /// `rule period amount` of each grant.
    pub async fn grants(&self) -> String {
        let grants = "SELECT coalesce(string_agg(concat_ws(' ', rule_id, period_key, trim_scale(amount)), ', '
            ORDER BY grant_id), '') FROM grants";
        self.rules.text(grants).await
    }

    pub async fn end(self) {
        self.rules.audit().await;
    }
}

pub fn rule(rule_id: &str, changes: Value) -> Value {
    let mut rule = json!({ "rule_id": rule_id, "name": rule_id, "conditions": {},
        "reward_config": { "type": "LOYALTY_POINTS", "amount": 10 } });
    rule.as_object_mut()
        .unwrap()
        .extend(changes.as_object().unwrap().clone());
    rule
}

pub fn event(id: &str, kind: &str, at: &str, more: Value) -> Value {
    let mut event = json!({ "event_id": id, "player_id": "P1", "type": kind, "occurred_at": at });
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

pub fn deposit(id: &str, amount: &str, at: &str) -> Value {
    event(id, "DEPOSIT", at, json!({ "amount": amount }))
}

pub fn stake(id: &str, amount: &str, at: &str) -> Value {
    event(id, "STAKE", at, json!({ "amount": amount, "game": "slots" }))
}

pub fn void(id: &str, voids: &str, at: &str) -> Value {
    event(id, "VOID", at, json!({ "voids": voids }))
}
