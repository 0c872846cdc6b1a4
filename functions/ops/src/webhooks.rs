//! `/api/webhooks`.
//!
//! # Choices
//!
//! * A ping is delivered directly, returns the target's response and stores nothing. Like the relay it needs outbound
//!   access from the VPC.
//! * `POST /webhooks/{id}/deliveries/{delivery_id}/retry` sends a parked delivery again, out of order, which receivers
//!   see from `occurred_at`.

use crate::Ops;
use app::platform::webhooks::{self, NewWebhook, Webhook};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use domain::id::WebhookId;
use domain::problem::{FieldErrors, Refusal};
use domain::text::TextLimits;
use domain::webhook::{Attempt, DeliveryStatus, PING, Targets, check_event_types};
use lambda::webhook::{Letter, Limits, Messenger};
use lambda::{Acting, Clock, JsonBody, Page, Params, PathParams, Problem};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const DESCRIPTION: TextLimits = TextLimits::characters(200);

pub async fn list(State(ops): State<Ops>, page: Page) -> Result<Response, Problem> {
    let found = webhooks::list(&ops.db, &page.slice()?).await?;
    Ok(page.respond(found, |webhook| webhook.webhook_id.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    url: String,
    /// Absent: all event types.
    #[serde(default)]
    event_types: Option<Vec<String>>,
    #[serde(default)]
    description: Option<String>,
}

impl Create {
    async fn validate(self, targets: Targets) -> Result<NewWebhook, FieldErrors> {
        let mut errors = FieldErrors::default();
        let target = lambda::webhook::check("/url", &self.url, targets).await;
        let target = target.map_err(|error| errors.extend([error])).ok();
        errors.extend(self.event_types.as_deref().map(check_event_types).unwrap_or_default());
        if let Some(Err(error)) = self.description.as_deref().map(|text| DESCRIPTION.check(text)) {
            errors.push("/description", "format", error.to_string());
        }
        let Some(target) = target else { return Err(errors) };
        errors.none_or(NewWebhook {
            target,
            description: self.description,
            event_types: self.event_types,
        })
    }
}

#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    webhook: Webhook,
    /// Shown only once. It is stored to sign deliveries, but no endpoint returns it again.
    secret: String,
}

pub async fn create(
    State(ops): State<Ops>,
    Acting(act): Acting,
    JsonBody(body): JsonBody<Create>,
) -> Result<Response, Problem> {
    let new = body.validate(ops.targets).await?;
    let secret = lambda::id::webhook_secret().map_err(|error| Problem::internal(&error))?;
    let webhook = webhooks::create(&ops.db, &new, &secret, &act).await?;
    Ok((
        StatusCode::CREATED,
        [(CACHE_CONTROL, "no-store")],
        Json(Created { webhook, secret }),
    )
        .into_response())
}

pub async fn delete(
    State(ops): State<Ops>,
    Acting(act): Acting,
    PathParams(webhook_id): PathParams<WebhookId>,
) -> Result<Json<Webhook>, Problem> {
    Ok(Json(webhooks::delete(&ops.db, webhook_id, &act).await?))
}

#[derive(Serialize)]
pub struct Pinged {
    /// The target responded with 200 to 299.
    delivered: bool,
    event_id: Uuid,
    #[serde(flatten)]
    attempt: Attempt,
}

/// Calls the target immediately, as the relay would, and returns its response. Nothing is stored or retried.
pub async fn ping(
    State(ops): State<Ops>,
    clock: Clock,
    PathParams(webhook_id): PathParams<WebhookId>,
) -> Result<Json<Pinged>, Problem> {
    let endpoint = webhooks::endpoint(&ops.db, webhook_id).await?;
    let messenger = Messenger::new(ops.targets, Limits::default()).map_err(|error| Problem::internal(&error))?;
    let context = clock.context();
    let (event_id, body) = webhooks::ping(webhook_id, context);
    let letter = Letter {
        url: &endpoint.url,
        event_id,
        event_type: PING,
        body: &body,
        sent_at: context.now,
    };
    let attempt = messenger.send(letter, &endpoint.secret).await;
    Ok(Json(Pinged {
        delivered: attempt.is_delivered(),
        event_id,
        attempt,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    status: Option<String>,
}

pub async fn deliveries(
    State(ops): State<Ops>,
    page: Page,
    PathParams(webhook_id): PathParams<WebhookId>,
    Params(filter): Params<Filter>,
) -> Result<Response, Problem> {
    let status = filter.status.as_deref().map(known_status).transpose()?;
    let found = webhooks::deliveries(&ops.db, webhook_id, status, page.skip, page.limit).await?;
    Ok(page.respond_skipping(found))
}

fn known_status(text: &str) -> Result<DeliveryStatus, Refusal> {
    let known = DeliveryStatus::ALL.map(DeliveryStatus::as_str).join(", ");
    DeliveryStatus::parse(text)
        .ok_or_else(|| Refusal::invalid_at("?status", "unknown", format!("{text:?} is not one of {known}")))
}

#[derive(Serialize)]
pub struct Retried {
    delivery_id: i64,
    status: DeliveryStatus,
}

/// Makes the delivery pending again; the next relay sends it.
pub async fn retry(
    State(ops): State<Ops>,
    Acting(act): Acting,
    PathParams((webhook_id, delivery_id)): PathParams<(WebhookId, i64)>,
) -> Result<Json<Retried>, Problem> {
    webhooks::retry(&ops.db, webhook_id, delivery_id, &act).await?;
    Ok(Json(Retried {
        delivery_id,
        status: DeliveryStatus::Pending,
    }))
}
