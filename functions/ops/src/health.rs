//! Health: whether the database responds and its schema is the one this program was built for.

use crate::Ops;
use app::migrate;
use axum::Json;
use axum::extract::State;
use domain::problem::{Refusal, RefusalKind};
use lambda::Problem;
use serde::Serialize;
use serde_json::json;

#[derive(Serialize)]
pub struct Health {
    status: &'static str,
    version: &'static str,
    /// The number of the latest migration.
    schema_version: i32,
}

pub async fn get(State(ops): State<Ops>) -> Result<Json<Health>, Problem> {
    let schema_version = migrate::version(&ops.db)
        .await
        .map_err(app::Error::from)?
        .unwrap_or_default();
    let expected = migrate::newest_version();
    if schema_version < expected {
        let refusal = Refusal::new(
            RefusalKind::Unavailable,
            "schema_behind",
            "the database schema is older than the program",
        );
        return Err(refusal
            .with("schema_version", json!(schema_version))
            .with("schema_version_expected", json!(expected))
            .into());
    }
    Ok(Json(Health {
        status: "ok",
        version: env!("CARGO_PKG_VERSION"),
        schema_version,
    }))
}
