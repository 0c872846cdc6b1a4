//! Ticks at times that the tests choose, on a real PostgreSQL; the queues are a stand-in.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod jobs;
mod recovery;
mod retention;
mod times;

use app::Act;
use app::Context;
use app::jobs::schedules::Job;
use jiff::{SignedDuration, Timestamp};
use lambda::{Clock, aws, sqs::Queue};
use scheduler::{Event, Scheduler};
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use testing::{StandIn, TestClock, TestDb, accept_messages};

pub fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

pub struct Program {
    pub test: TestDb,
    queues: StandIn,
    is_reachable: Arc<AtomicBool>,
    clock: TestClock,
    pub scheduler: Scheduler,
}

impl Program {
    /// A program at this instant that has never ticked.
    pub async fn at(now: &str) -> Self {
        let test = TestDb::new().await;
        let is_reachable = Arc::new(AtomicBool::new(true));
        let answers = is_reachable.clone();
        let queues = StandIn::start(move |request| match answers.load(Ordering::Relaxed) {
            true => accept_messages(request),
            false => (
                400,
                json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"}).to_string(),
            ),
        })
        .await;
        let queue = |name: &str| Queue::with_config(&aws::stand_in(&queues.url), format!("{}/1/{name}", queues.url));
        let clock = TestClock::standing_at(at(now));
        let reader = clock.clone();
        let scheduler = Scheduler {
            db: test.db(),
            segmentation: queue("segmentation"),
            rewards: queue("rewards"),
            imports: queue("imports"),
            clock: Clock::new(move || reader.now()),
        };
        Self {
            test,
            queues,
            is_reachable,
            clock,
            scheduler,
        }
    }

    pub fn context(&self) -> Context {
        self.scheduler.clock.context()
    }

    pub fn set(&self, now: &str) {
        self.clock.set(at(now));
    }

    pub fn wait(&self, time: SignedDuration) {
        self.clock.advance(time);
    }

    pub fn reachable(&self, is_reachable: bool) {
        self.is_reachable.store(is_reachable, Ordering::Relaxed);
    }

    /// Returns the jobs that were worked on.
    pub async fn tick(&self) -> Vec<Job> {
        let worked = self.scheduler.handle(Event::default()).await.unwrap();
        worked.schedule_runs.into_iter().map(|run| run.job).collect()
    }

    pub async fn start(&self, job: Job) -> Value {
        let worked = self
            .scheduler
            .handle(Event {
                job: Some(job),
                scheduled_for: None,
            })
            .await
            .unwrap();
        serde_json::to_value(&worked.schedule_runs[0]).unwrap()
    }

    pub async fn settings(&self, settings: Value) {
        app::program::settings::put(&self.test.db(), &settings, &Act::of("test", self.context()))
            .await
            .unwrap();
    }

    /// `job scheduled_for status`, one per line, without the jobs that run every few minutes.
    pub async fn runs(&self) -> String {
        let runs = "SELECT string_agg(
              job || ' ' || to_char(scheduled_for AT TIME ZONE 'UTC', 'MM-DD HH24:MI') || ' ' || status,
              E'\n' ORDER BY scheduled_for, job)
                    FROM schedule_runs WHERE job NOT IN ('recover', 'expire')";
        self.test.text(runs).await
    }

    /// Queue and body of every message sent so far.
    pub fn sent(&self) -> Vec<(String, Value)> {
        self.queues.messages()
    }
}

/// Only these jobs, each with its default settings or as given.
pub fn only(schedules: Value) -> Value {
    let mut all = json!({
        "recalculate": null, "tier_review": null, "risk_scan": null, "retention": null, "audit": null,
        "expire_every_minutes": null, "recover_every_minutes": null,
    });
    for (name, value) in schedules.as_object().unwrap() {
        all[name] = value.clone();
    }
    json!({ "schedules": all })
}
