//! The schema, embedded.

use crate::error::{Error, Result};
use std::ops::DerefMut;

refinery::embed_migrations!("../../migrations");

/// Brings the schema up to date, as its owner. Answers the names of the migrations applied now.
pub async fn run(db: &crate::Db) -> Result<Vec<String>> {
    let mut client = db.client().await?;
    let connection: &mut tokio_postgres::Client = client.deref_mut().deref_mut();
    let report = migrations::runner().run_async(connection).await.map_err(|error| Error::Migration(Box::new(error)))?;
    Ok(report.applied_migrations().iter().map(|migration| migration.to_string()).collect())
}
