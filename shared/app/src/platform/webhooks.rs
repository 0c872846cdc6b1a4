//! Webhooks: their administration, and the relay's steps: turn outbox events into deliveries, claim them, record
//! attempts.
//!
//! The relay's loop and the HTTP calls are in its function. No transaction is open while a target is called.
//!
//! # An event on its way
//!
//! 1. A use case adds the event to `outbox` in its own transaction, under the player's lock, if a webhook wants it. So
//!    a player's events are numbered and committed in the order in which they happened.
//! 2. `outbox-relay` starts every minute. It takes the lowest committed numbers, writes one row of `webhook_deliveries`
//!    per webhook that wants the event, and removes the event, in one transaction. There is no "last number seen": an
//!    event whose transaction commits late is still there the next time.
//! 3. A row of `webhook_streams` exists per player and webhook while something is pending. A relay claims up to 32 due
//!    streams of a webhook for a minute (`SKIP LOCKED`), so a player's events are sent one after another however many
//!    relays run. It reads their heads in the next statement, which sees what was committed before it.
//! 4. `lambda::webhook` signs the body and calls the target outside of any transaction. Its resolver checks each
//!    address (`domain::webhook::may_connect`) and gives the connector exactly those addresses.
//! 5. `record` takes the streams that this relay still holds, records the results, and advances each stream to the next
//!    delivery or a later time, or removes it. Removal takes the stream's lock, as the dispatching transaction does, so
//!    no event is lost in between. If a relay crashes before that, its claim expires and the event is sent again under
//!    the same id.
//!
//! # Choices
//!
//! * If a target is unavailable (no response, 429, 500 or above, for a whole turn), its webhook gets no more turns in
//!   that invocation. So an outage costs 32 attempts a minute whatever the backlog, and deliveries that were not
//!   attempted are not parked.
//! * An event arrives at least once. `X-Event-Id` (also in the body) is the same at each attempt and for each webhook.
//!   A relay that was paused for longer than its claim may repeat an event after a later one.
//! * A webhook receives events written after its registration. Events that no webhook subscribes to are not written.
//!   There are at most 20 webhooks. A deleted one receives nothing more: its row stays without the secret, and
//!   retention deletes its deliveries.
//! * Secrets are stored in plain text, because each delivery is signed with them. They have 256 random bits and are
//!   shown once. To change one, register the target again and delete the old webhook.

use crate::platform::audit_log::{self, Action, Sides, Subject};
use crate::{Context, Db, Error, Result};
use domain::act::Act;
use domain::id::{PlayerId, WebhookId};
use domain::page::Page;
use domain::webhook::{Attempt, DeliveryStatus, Message, Next, PING, Target, check_event_types};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use std::collections::HashSet;
use store::platform::deliveries::Tried;
pub use store::platform::deliveries::{Delivery, Due};
pub use store::platform::webhooks::{Endpoint, Webhook};
use store::platform::{deliveries, outbox, webhooks};
use store::{Tx, transaction};
use uuid::Uuid;

/// Most webhooks: each event is stored once per webhook.
pub const WEBHOOKS_MAX: i64 = 20;

const DISPATCHED_AT_A_TIME: i64 = 1_000;

/// How long a claim lasts. Longer than a call may take, because calls start right after the claim.
const CLAIMED_FOR: SignedDuration = SignedDuration::from_secs(60);

/// Why a webhook is not created or a delivery not retried.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    #[error("there are already {max} webhooks, the most allowed")]
    TooMany { max: i64 },
    #[error("only a parked delivery can be retried")]
    NotParked { delivery_id: i64, status: DeliveryStatus },
}

impl WebhookError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooMany { .. } => "too_many_webhooks",
            Self::NotParked { .. } => "delivery_not_parked",
        }
    }
}

/// The input to register a webhook.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    pub target: Target,
    pub description: Option<String>,
    /// `None`: all.
    pub event_types: Option<Vec<String>>,
}

/// Creates a webhook, which receives the events dispatched from now on. `secret` is stored in plain text, because every
/// delivery is signed with it, and is never returned.
pub async fn create(db: &Db, new: &NewWebhook, secret: &str, act: &Act) -> Result<Webhook> {
    let errors = new.event_types.as_deref().map(check_event_types);
    errors.unwrap_or_default().none_or(())?;
    transaction!(db, |tx| create_in_tx(tx, new, secret, act))
}

async fn create_in_tx(tx: &Tx<'_>, new: &NewWebhook, secret: &str, act: &Act) -> Result<Webhook> {
    webhooks::lock_all(tx).await?;
    if webhooks::count(tx).await? >= WEBHOOKS_MAX {
        return Err(WebhookError::TooMany { max: WEBHOOKS_MAX }.into());
    }
    let webhook = Webhook {
        webhook_id: WebhookId((act.context.new_id)()),
        url: new.target.as_str().to_owned(),
        description: new.description.clone(),
        event_types: new.event_types.clone(),
        created_at: act.context.now,
        created_by: act.actor.clone(),
    };
    webhooks::insert(tx, &webhook, secret).await?;
    let subject = Subject::Webhook(webhook.webhook_id);
    audit_log::append(tx, act, Action::WebhookCreate, subject, Sides::made(&webhook)).await?;
    Ok(webhook)
}

/// Oldest first.
pub async fn list(db: &Db, page: &Page<Uuid>) -> Result<Vec<Webhook>> {
    Ok(webhooks::list(&db.client().await?, page).await?)
}

/// Deletes a webhook. Nothing more is sent to it, including pending deliveries.
pub async fn delete(db: &Db, webhook_id: WebhookId, act: &Act) -> Result<Webhook> {
    transaction!(db, |tx| delete_in_tx(tx, webhook_id, act))
}

async fn delete_in_tx(tx: &Tx<'_>, webhook_id: WebhookId, act: &Act) -> Result<Webhook> {
    let webhook = webhooks::lock(tx, webhook_id)
        .await?
        .ok_or_else(|| not_found(webhook_id))?;
    webhooks::delete(tx, webhook_id, act.context.now).await?;
    let subject = Subject::Webhook(webhook_id);
    audit_log::append(tx, act, Action::WebhookDelete, subject, Sides::ended(&webhook)).await?;
    Ok(webhook)
}

/// What is needed to call a webhook.
pub async fn endpoint(db: &Db, webhook_id: WebhookId) -> Result<Endpoint> {
    let found = webhooks::endpoints(&db.client().await?, Some(webhook_id)).await?;
    found.into_iter().next().ok_or_else(|| not_found(webhook_id))
}

/// All webhooks that receive deliveries.
pub async fn endpoints(db: &Db) -> Result<Vec<Endpoint>> {
    Ok(webhooks::endpoints(&db.client().await?, None).await?)
}

/// Newest first; deliveries of one status or of all.
pub async fn deliveries(
    db: &Db,
    webhook_id: WebhookId,
    status: Option<DeliveryStatus>,
    skip: i64,
    limit: i64,
) -> Result<Vec<Delivery>> {
    endpoint(db, webhook_id).await?;
    let statuses = status.map_or_else(|| DeliveryStatus::ALL.to_vec(), |status| vec![status]);
    Ok(deliveries::deliveries(&db.client().await?, webhook_id, &statuses, skip, limit).await?)
}

/// Retries a parked delivery, starting at its first attempt. The player's later events may already have been delivered.
pub async fn retry(db: &Db, webhook_id: WebhookId, delivery_id: i64, act: &Act) -> Result<()> {
    transaction!(db, |tx| retry_in_tx(tx, webhook_id, delivery_id, act))
}

async fn retry_in_tx(tx: &Tx<'_>, webhook_id: WebhookId, delivery_id: i64, act: &Act) -> Result<()> {
    webhooks::lock(tx, webhook_id)
        .await?
        .ok_or_else(|| not_found(webhook_id))?;
    let found = deliveries::find(tx, webhook_id, delivery_id).await?;
    let (player_id, status) = found.ok_or_else(|| Error::not_found("delivery", delivery_id))?;
    let parked = status == DeliveryStatus::Parked
        && deliveries::reopen(tx, webhook_id, &player_id, delivery_id, act.context.now).await?;
    if !parked {
        return Err(WebhookError::NotParked { delivery_id, status }.into());
    }
    let after = json!({"delivery_id": delivery_id, "player_id": player_id, "status": DeliveryStatus::Pending});
    let subject = Subject::Webhook(webhook_id);
    audit_log::append(tx, act, Action::WebhookRetry, subject, Sides::made(&after)).await
}

fn not_found(webhook_id: WebhookId) -> Error {
    Error::not_found("webhook", webhook_id)
}

/// Turns a bounded number of outbox events into deliveries, one per subscribed webhook. Returns the number of events; 0
/// if there are none or another relay is dispatching.
pub async fn dispatch(db: &Db, context: Context) -> Result<usize> {
    if !outbox::any(&db.client().await?).await? {
        return Ok(0);
    }
    transaction!(db, |tx| dispatch_in_tx(tx, context))
}

async fn dispatch_in_tx(tx: &Tx<'_>, context: Context) -> Result<usize> {
    if !outbox::try_be_dispatcher(tx).await? {
        return Ok(0);
    }
    let outbox_ids = outbox::first(tx, DISPATCHED_AT_A_TIME).await?;
    let event_ids: Vec<Uuid> = outbox_ids.iter().map(|_| (context.new_id)()).collect();
    outbox::fan_out(tx, &outbox_ids, &event_ids, context.now).await?;
    Ok(outbox_ids.len())
}

/// Deliveries that this relay may attempt, at most one per player.
#[derive(Debug)]
pub struct Claim {
    pub claim_id: Uuid,
    pub due: Vec<Due>,
}

/// Claims due deliveries of a webhook. A claim that is not [`record`]ed within a minute goes to the next relay that
/// asks.
pub async fn claim(db: &Db, webhook_id: WebhookId, limit: i64, context: Context) -> Result<Claim> {
    let claim_id = (context.new_id)();
    let client = db.client().await?;
    let streams = deliveries::claim(
        &client,
        webhook_id,
        claim_id,
        limit,
        context.now,
        context.now + CLAIMED_FOR,
    )
    .await?;
    let due = if streams.is_empty() {
        Vec::new()
    } else {
        deliveries::heads(&client, webhook_id, &streams).await?
    };
    Ok(Claim { claim_id, due })
}

/// The body of a delivery, identical at each attempt.
pub fn body(due: &Due) -> String {
    let message = Message {
        event_id: due.event_id,
        event_type: &due.event_type,
        player_id: Some(due.player_id.as_str()),
        occurred_at: due.occurred_at,
        data: &due.payload,
    };
    message.to_json()
}

/// A test event: its id and body.
pub fn ping(webhook_id: WebhookId, context: Context) -> (Uuid, String) {
    let event_id = (context.new_id)();
    let data = json!({ "webhook_id": webhook_id });
    let message = Message {
        event_id,
        event_type: PING,
        player_id: None,
        occurred_at: context.now,
        data: &data,
    };
    (event_id, message.to_json())
}

/// How many attempts ended which way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Recorded {
    pub delivered: usize,
    /// Will be retried.
    pub failed: usize,
    pub parked: usize,
    /// The claim had expired, and another relay has taken over the delivery.
    pub lost: usize,
}

/// Records the attempts of a claim and releases each player's next event.
pub async fn record(
    db: &Db,
    webhook_id: WebhookId,
    claim_id: Uuid,
    tried: &[(Due, Attempt)],
    context: Context,
) -> Result<Recorded> {
    transaction!(db, |tx| record_in_tx(tx, webhook_id, claim_id, tried, context.now))
}

async fn record_in_tx(
    tx: &Tx<'_>,
    webhook_id: WebhookId,
    claim_id: Uuid,
    tried: &[(Due, Attempt)],
    now: Timestamp,
) -> Result<Recorded> {
    let players: Vec<&str> = tried.iter().map(|(due, _)| due.player_id.as_str()).collect();
    let held: HashSet<PlayerId> = deliveries::hold(tx, webhook_id, claim_id, &players)
        .await?
        .into_iter()
        .collect();
    let ours: Vec<Tried<'_>> = tried
        .iter()
        .filter(|(due, _)| held.contains(&due.player_id))
        .map(|(due, attempt)| outcome(due, attempt, now))
        .collect();
    deliveries::record(tx, webhook_id, claim_id, &ours, now).await?;
    let count = |status| ours.iter().filter(|one| one.status == status).count();
    Ok(Recorded {
        delivered: count(DeliveryStatus::Delivered),
        failed: count(DeliveryStatus::Pending),
        parked: count(DeliveryStatus::Parked),
        lost: tried.len() - ours.len(),
    })
}

fn outcome<'a>(due: &'a Due, attempt: &'a Attempt, now: Timestamp) -> Tried<'a> {
    let next = attempt.next(due.attempts);
    let due_at = match next {
        Next::TryAgain { due_at } => due_at,
        Next::Delivered | Next::Parked => now,
    };
    Tried {
        player_id: &due.player_id,
        delivery_id: due.delivery_id,
        attempt,
        status: next.into(),
        due_at,
    }
}

/// Deletes deliveries that were delivered before `older_than`, and those of deleted webhooks, at most `limit` of each.
/// Returns how many. Parked ones stay as long as their webhook.
pub async fn forget_delivered(db: &Db, older_than: Timestamp, limit: i64) -> Result<u64> {
    let client = db.client().await?;
    let delivered = deliveries::forget_delivered(&client, older_than, limit).await?;
    Ok(delivered + deliveries::forget_deleted(&client, limit).await?)
}
