//! Delivers the events of the outbox to webhooks: at least once, and in order for each player.

use app::platform::webhooks::{self, Due, Endpoint, Recorded};
use app::{Context, Db};
use domain::id::WebhookId;
use domain::webhook::{Attempt, Targets};
use futures_util::StreamExt;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use jiff::{SignedDuration, Timestamp};
use lambda::webhook::{Letter, Limits, Messenger};
use serde::Serialize;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// The schedule starts a relay every minute. One that still has work then runs beside the next one.
const RUN_FOR: SignedDuration = SignedDuration::from_secs(50);
/// Time a turn needs to end: one target timeout, and recording the outcome.
const RESERVE: SignedDuration = SignedDuration::from_secs(15);
/// Concurrent calls to one webhook, each for a different player.
const IN_FLIGHT: i64 = 32;
/// How often the outbox is read while deliveries go on.
const DISPATCH_EVERY: Duration = Duration::from_secs(1);

/// The result of one invocation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Relayed {
    /// Events moved from the outbox to deliveries.
    pub dispatched: usize,
    pub delivered: usize,
    /// Failed attempts.
    pub failed: usize,
    pub parked: usize,
    /// Deliveries whose claim expired during the attempt, so that another relay owns them now.
    pub lost: usize,
}

impl Relayed {
    fn add(&mut self, recorded: Recorded) {
        self.delivered += recorded.delivered;
        self.failed += recorded.failed;
        self.parked += recorded.parked;
        self.lost += recorded.lost;
    }
}

/// Runs one relay; the content of the event is ignored. `deadline` is the end of the invocation, if it has one.
pub async fn handle(db: &Db, targets: Targets, deadline: Option<Timestamp>) -> Result<Relayed, lambda::Error> {
    let now = lambda::context().now;
    let until = deadline.map_or(now + RUN_FOR, |deadline| (now + RUN_FOR).min(deadline - RESERVE));
    let relay = Relay {
        db: db.clone(),
        messenger: Messenger::new(targets, Limits::default())?,
        clock: lambda::context,
    };
    let relayed = relay.drain(until).await.inspect_err(|error| {
        tracing::error!(cause = lambda::problem::causes(error), "the relay failed");
    })?;
    tracing::info!(?relayed, "relayed");
    Ok(relayed)
}

pub struct Relay<Clock> {
    pub db: Db,
    pub messenger: Messenger,
    pub clock: Clock,
}

/// The result of a webhook's turn: one claim, its calls, and the recorded outcomes.
enum Turn {
    /// Nothing is due.
    Idle,
    Went(Recorded),
    /// The target is unreachable: the other deliveries wait for the next invocation, instead of each running into a
    /// timeout.
    Away(Recorded),
}

impl<Clock: Fn() -> Context> Relay<Clock> {
    /// Works until nothing is due, or until `until`; calls in flight then are completed. Each webhook has its own
    /// turns, so that a slow or unreachable one does not delay the others.
    pub async fn drain(&self, until: Timestamp) -> app::Result<Relayed> {
        let (mut relayed, mut board, mut endpoints) = (Relayed::default(), Board::default(), Vec::new());
        let mut turns = FuturesUnordered::new();
        let mut dispatched_at: Option<Instant> = None;
        while (self.clock)().now < until {
            let mut moved = 0;
            if turns.is_empty() || dispatched_at.is_none_or(|at| at.elapsed() >= DISPATCH_EVERY) {
                moved = webhooks::dispatch(&self.db, (self.clock)()).await?;
                if moved > 0 || dispatched_at.is_none() {
                    endpoints = webhooks::endpoints(&self.db).await?.into_iter().map(Arc::new).collect();
                    board.idle.clear();
                }
                relayed.dispatched += moved;
                dispatched_at = Some(Instant::now());
            }
            let free = endpoints.iter().filter(|endpoint| board.begin(endpoint.webhook_id));
            turns.extend(free.map(|endpoint| self.turn(Arc::clone(endpoint))));
            match timeout(DISPATCH_EVERY, turns.next()).await {
                Ok(Some((webhook_id, turn))) => relayed.add(board.end(webhook_id, turn?)),
                Ok(None) if moved == 0 => break,
                Ok(None) | Err(_) => {}
            }
        }
        while let Some((webhook_id, turn)) = turns.next().await {
            relayed.add(board.end(webhook_id, turn?));
        }
        Ok(relayed)
    }

    async fn turn(&self, endpoint: Arc<Endpoint>) -> (WebhookId, app::Result<Turn>) {
        (endpoint.webhook_id, self.try_turn(&endpoint).await)
    }

    async fn try_turn(&self, endpoint: &Endpoint) -> app::Result<Turn> {
        let claim = webhooks::claim(&self.db, endpoint.webhook_id, IN_FLIGHT, (self.clock)()).await?;
        if claim.due.is_empty() {
            return Ok(Turn::Idle);
        }
        let tried = join_all(claim.due.into_iter().map(|due| self.attempt(endpoint, due))).await;
        let recorded = webhooks::record(&self.db, endpoint.webhook_id, claim.claim_id, &tried, (self.clock)()).await?;
        let away = tried.iter().all(|(_, attempt)| attempt.target_is_away());
        Ok(if away {
            Turn::Away(recorded)
        } else {
            Turn::Went(recorded)
        })
    }

    async fn attempt(&self, endpoint: &Endpoint, due: Due) -> (Due, Attempt) {
        let body = webhooks::body(&due);
        let sent_at = (self.clock)().now;
        let letter = Letter {
            url: &endpoint.url,
            event_id: due.event_id,
            event_type: &due.event_type,
            body: &body,
            sent_at,
        };
        let attempt = self.messenger.send(letter, &endpoint.secret).await;
        if !attempt.is_delivered() {
            let Attempt { status_code, error, .. } = &attempt;
            tracing::warn!(
                webhook_id = %endpoint.webhook_id,
                event_id = %due.event_id,
                attempts = due.attempts + 1,
                status_code,
                error,
                "not delivered"
            );
        }
        (due, attempt)
    }
}

/// The webhooks that get no turn now.
#[derive(Default)]
struct Board {
    /// It has a turn already.
    running: HashSet<WebhookId>,
    /// Nothing was due; waits until the outbox has more.
    idle: HashSet<WebhookId>,
    /// Unreachable; waits until the next invocation.
    away: HashSet<WebhookId>,
}

impl Board {
    /// Begins a turn for this webhook, unless it gets none now. Returns whether it did.
    fn begin(&mut self, webhook_id: WebhookId) -> bool {
        !self.idle.contains(&webhook_id) && !self.away.contains(&webhook_id) && self.running.insert(webhook_id)
    }

    fn end(&mut self, webhook_id: WebhookId, turn: Turn) -> Recorded {
        self.running.remove(&webhook_id);
        match turn {
            Turn::Idle => {
                self.idle.insert(webhook_id);
                Recorded::default()
            }
            Turn::Went(recorded) => recorded,
            Turn::Away(recorded) => {
                self.away.insert(webhook_id);
                recorded
            }
        }
    }
}
