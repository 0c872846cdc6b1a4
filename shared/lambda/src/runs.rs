//! The response to a request that starts a run over players.

use crate::problem::{Problem, causes};
use crate::sqs::Queue;
use axum::Json;
use axum::http::StatusCode;
use axum::http::header::LOCATION;
use axum::response::{IntoResponse, Response};
use domain::id::RunId;
use domain::problem::{Refusal, RefusalKind};
use serde_json::json;

/// Sends one message per shard and responds 202 with the run's URL. If sending fails, `give_up` ends the run with the
/// reason and the response is 503: the caller retries with a new run.
pub async fn send<F, Fut, E>(queue: &Queue, run_id: RunId, bodies: Vec<String>, give_up: F) -> Result<Response, Problem>
where
    F: FnOnce(&'static str) -> Fut,
    Fut: Future<Output = Result<(), E>>,
    Problem: From<E>,
{
    let shards = i32::try_from(bodies.len()).unwrap_or(i32::MAX);
    if let Err(error) = queue.send(bodies).await {
        tracing::error!(%run_id, cause = causes(&error), "the messages of a run could not be sent");
        give_up("the segmentation queue could not be reached").await?;
        let detail = "the segmentation queue is currently unavailable; the run was given up";
        return Err(Refusal::new(RefusalKind::Unavailable, "", detail)
            .with("run_id", json!(run_id))
            .into());
    }
    Ok(started(run_id, shards))
}

/// 202 with the run's URL.
pub fn started(run_id: RunId, shards: i32) -> Response {
    let place = format!("/api/runs/{run_id}");
    let body = Json(json!({"run_id": run_id, "shards": shards, "run_url": place}));
    (StatusCode::ACCEPTED, [(LOCATION, place)], body).into_response()
}
