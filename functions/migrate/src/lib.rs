//! Brings the schema up to date, as its owner. Invoked by a deployment, before the functions that need the schema.

use app::{Db, migrate};
use serde::Serialize;

#[derive(Debug, PartialEq, Serialize)]
pub struct Migrated {
    /// The migrations applied now, in order; none when the schema was up to date.
    pub applied: Vec<String>,
    pub schema_version: Option<i32>,
}

/// Whatever the event holds.
pub async fn handle(db: &Db) -> Result<Migrated, lambda::Error> {
    let applied = migrate::run(db).await.inspect_err(|error| {
        tracing::error!(cause = lambda::problem::causes(error), "migration failed");
    })?;
    tracing::info!(?applied, "migrated");
    Ok(Migrated {
        applied,
        schema_version: migrate::version(db).await?,
    })
}
