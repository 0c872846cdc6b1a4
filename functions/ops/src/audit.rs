//! `GET /api/audit`.

use crate::Ops;
use axum::extract::State;
use axum::response::Response;
use lambda::{Page, Params, Problem};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// `noun:id`, e.g. `player:P001`.
    subject: Option<String>,
}

pub async fn list(State(ops): State<Ops>, page: Page, Params(filter): Params<Filter>) -> Result<Response, Problem> {
    let writes = app::platform::audit_log::list(&ops.db, filter.subject.as_deref(), &page.slice()?).await?;
    Ok(page.respond(writes, |written| written.entry.audit_id.to_string()))
}
