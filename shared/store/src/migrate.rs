//! The schema, embedded.

use crate::error::{Error, Result};
use crate::statement;
use std::ops::DerefMut;

refinery::embed_migrations!("../../migrations");

/// Brings the schema up to date, as its owner. Answers the names of the migrations applied now.
pub async fn run(db: &crate::Db) -> Result<Vec<String>> {
    let mut client = db.client().await?;
    let connection: &mut tokio_postgres::Client = client.deref_mut().deref_mut();
    let report = migrations::runner()
        .run_async(connection)
        .await
        .map_err(|error| Error::Migration(Box::new(error)))?;
    Ok(report
        .applied_migrations()
        .iter()
        .map(|migration| migration.to_string())
        .collect())
}

const VERSION: &str = "
SELECT max(version)
FROM refinery_schema_history";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[VERSION];

/// The version of the schema in the database; `None` before the first migration ended.
pub async fn version(db: &crate::Db) -> Result<Option<i32>> {
    Ok(statement::row(&db.client().await?, VERSION, &[]).await?.try_get(0)?)
}

/// The version this program was built for.
pub fn newest_version() -> i32 {
    let versions = migrations::runner();
    versions
        .get_migrations()
        .iter()
        .map(|migration| migration.version())
        .max()
        .unwrap_or_default()
}
