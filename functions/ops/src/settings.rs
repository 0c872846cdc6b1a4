//! `GET` and `PUT /api/settings`.

use crate::Ops;
use axum::Json;
use axum::extract::State;
use domain::settings::Settings;
use lambda::{Acting, JsonText, Problem};

pub async fn get(State(ops): State<Ops>) -> Result<Json<Settings>, Problem> {
    Ok(Json(app::program::settings::get(&ops.db).await?))
}

/// A JSON merge patch, deep: `{"caps": {"day": 400}}` changes that cap and leaves the others. Null is "none" for
/// settings that have such a value, and removes an entry of a map, such as a game's edge.
pub async fn put(State(ops): State<Ops>, Acting(act): Acting, body: JsonText) -> Result<Json<Settings>, Problem> {
    // Names and types first, with their places.
    body.read::<Settings>()?;
    Ok(Json(app::program::settings::put(&ops.db, &body.read()?, &act).await?))
}
