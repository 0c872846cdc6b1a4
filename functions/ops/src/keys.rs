//! `/api/keys`.

use crate::Ops;
use app::platform::keys::NewKey;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::CACHE_CONTROL;
use axum::response::{IntoResponse, Response};
use domain::access::{ApiKey, Role};
use domain::problem::FieldErrors;
use domain::text::TextLimits;
use jiff::Timestamp;
use lambda::{Acting, JsonBody, Page, PathParams, Problem};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

const NAME: TextLimits = TextLimits::characters(100).not_blank();

pub async fn list(State(ops): State<Ops>, page: Page) -> Result<Response, Problem> {
    let keys = app::platform::keys::list(&ops.db, &page.slice()?).await?;
    Ok(page.respond(keys, |key| key.key_id.to_string()))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Create {
    name: String,
    role: Role,
    #[serde(default)]
    expires_at: Option<Timestamp>,
}

impl Create {
    fn validate(&self, now: Timestamp) -> Result<(), FieldErrors> {
        let mut errors = FieldErrors::default();
        if let Err(error) = NAME.check(self.name.trim()) {
            errors.push("/name", "format", error.to_string());
        }
        if self.expires_at.is_some_and(|expires_at| expires_at <= now) {
            errors.push("/expires_at", "range", "must be in the future");
        }
        errors.none_or(())
    }
}

#[derive(Serialize)]
struct Created {
    #[serde(flatten)]
    known: ApiKey,
    /// Shown only once; only its hash is stored.
    key: String,
}

pub async fn create(
    State(ops): State<Ops>,
    Acting(act): Acting,
    JsonBody(body): JsonBody<Create>,
) -> Result<Response, Problem> {
    body.validate(act.context.now)?;
    let key = lambda::id::api_key().map_err(|error| Problem::internal(&error))?;
    let new = NewKey {
        name: body.name.trim().to_owned(),
        role: body.role,
        expires_at: body.expires_at,
        hash: lambda::auth::hash(&key),
    };
    let known = app::platform::keys::create(&ops.db, &new, &act).await?;
    Ok((
        StatusCode::CREATED,
        [(CACHE_CONTROL, "no-store")],
        Json(Created { known, key }),
    )
        .into_response())
}

pub async fn revoke(
    State(ops): State<Ops>,
    Acting(act): Acting,
    PathParams(key_id): PathParams<Uuid>,
) -> Result<Json<ApiKey>, Problem> {
    Ok(Json(app::platform::keys::revoke(&ops.db, key_id, &act).await?))
}
