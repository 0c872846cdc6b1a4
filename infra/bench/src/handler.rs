//! Our side: `POST /api/wallet/add-lp` through the function's router, in process.

use std::ops::Range;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::Request;
use futures_util::future::try_join_all;
use http_body_util::BodyExt;
use tower::ServiceExt;

use crate::Result;
use crate::database::Address;
use crate::processor;

/// One instance of the function: it has a connection of its own and works on one request at a time.
pub struct Instance {
    router: Router,
    key: String,
    /// Before the idempotency keys of this instance.
    number: usize,
    calls: u64,
}

impl Instance {
    pub fn new(address: &Address, key: &str, number: usize) -> Result<Self> {
        Ok(Self {
            router: ::wallet::router(address.db()?, lambda::clock::now),
            key: key.to_owned(),
            number,
            calls: 0,
        })
    }

    /// Credits 1.00 LP under a fresh key. A refusal is an error.
    pub async fn credit(&mut self, player: u64) -> Result<()> {
        self.calls += 1;
        let idempotency_key = self.idempotency_key();
        let request = Request::post("/api/wallet/add-lp")
            .header("authorization", format!("Bearer {}", self.key))
            .header("content-type", "application/json")
            .header("idempotency-key", idempotency_key)
            .body(Body::from(format!(
                r#"{{"player_id":"{player}","amount":1.00,"source":"bench"}}"#
            )))?;
        let response = self.router.clone().oneshot(request).await?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        if status.is_success() {
            Ok(())
        } else {
            Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into())
        }
    }

    /// Of the last call: 19 digits, as those of the floor.
    pub fn idempotency_key(&self) -> String {
        // Scattered by an odd factor, as keys of many clients are.
        let scattered =
            (self.calls * 1_000 + u64::try_from(self.number).unwrap_or_default()).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        format!("{:019}", scattered % 10_u64.pow(19))
    }
}

/// What the callers were told.
#[derive(Clone, Debug, Default)]
pub struct Told {
    pub latencies: Vec<Duration>,
    pub elapsed: Duration,
    /// Of this process.
    pub processor: Duration,
}

impl Told {
    pub fn credits(&self) -> usize {
        self.latencies.len()
    }

    pub fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.credits()).unwrap_or(u32::MAX)) / self.elapsed.as_secs_f64()
    }

    pub fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        self.elapsed += other.elapsed;
        self.processor += other.processor;
    }

    /// `of_hundred` is 50 for the median.
    pub fn percentile(&mut self, of_hundred: usize) -> Duration {
        self.latencies.sort_unstable();
        let index = (self.latencies.len() * of_hundred / 100).min(self.latencies.len().saturating_sub(1));
        self.latencies.get(index).copied().unwrap_or_default()
    }
}

/// A credit for each player, by all instances.
pub async fn credit_each(instances: &mut [Instance], players: Range<u64>) -> Result<()> {
    let callers = instances.len();
    let work = instances.iter_mut().enumerate().map(|(number, instance)| {
        let players = players.clone().skip(number).step_by(callers);
        async move {
            for player in players {
                instance.credit(player).await?;
            }
            Ok(())
        }
    });
    try_join_all(work).await.map(|_: Vec<()>| ())
}

/// Every instance credits one player after the other until the time is over. Each on a task of its own, so that they
/// share the processors as processes would.
pub async fn run(instances: Vec<Instance>, players: Range<u64>, time: Duration) -> Result<(Vec<Instance>, Told)> {
    let (begun, used) = (Instant::now(), processor::used().own);
    let tasks = instances.into_iter().enumerate().map(|(number, instance)| {
        let work = call_until(
            instance,
            u64::try_from(number).unwrap_or_default(),
            players.clone(),
            begun,
            time,
        );
        async { tokio::spawn(work).await? }
    });
    let ended = try_join_all(tasks).await?;
    let mut told = Told {
        latencies: Vec::new(),
        elapsed: begun.elapsed(),
        processor: processor::used().own - used,
    };
    let mut instances = Vec::new();
    for (instance, latencies) in ended {
        instances.push(instance);
        told.latencies.extend(latencies);
    }
    Ok((instances, told))
}

async fn call_until(
    mut instance: Instance,
    number: u64,
    players: Range<u64>,
    begun: Instant,
    time: Duration,
) -> Result<(Instance, Vec<Duration>)> {
    let count = players.end - players.start;
    // A step without a factor in common with the count: every player's turn comes, far from the last one's.
    let mut next = number * count / 8;
    let mut latencies = Vec::new();
    while begun.elapsed() < time {
        let called = Instant::now();
        instance.credit(players.start + next % count).await?;
        latencies.push(called.elapsed());
        next += 7_919;
    }
    Ok((instance, latencies))
}
