//! `GET` and `PUT /api/settings`.

use crate::Ops;
use axum::Json;
use axum::extract::State;
use domain::settings::Settings;
use lambda::{Acting, JsonText, Problem};
use serde_json::{Map, Value};

pub async fn get(State(ops): State<Ops>) -> Result<Json<Settings>, Problem> {
    Ok(Json(app::program::settings::get(&ops.db).await?))
}

/// The body holds the keys to change, each with its complete new value.
pub async fn put(State(ops): State<Ops>, Acting(act): Acting, body: JsonText) -> Result<Json<Settings>, Problem> {
    let given: Settings = body.read()?;
    let keys: Vec<String> = body
        .read::<Map<String, Value>>()?
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    if keys.is_empty() {
        return get(State(ops)).await;
    }
    Ok(Json(app::program::settings::put(&ops.db, &given, &keys, &act).await?))
}
