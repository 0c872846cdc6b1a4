//! The embedded migrations, and the role that the functions log in as.

use crate::error::{Error, Result};
use crate::statement;
use std::ops::DerefMut;

refinery::embed_migrations!("../../migrations");

/// Brings the schema up to date. Needs the role that owns the schema. Returns the names of the migrations it applied.
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

const LOGIN: &str = "
SELECT rolcanlogin, rolsuper
FROM pg_roles
WHERE rolname = $1";

/// Every statement of this file, for the test that prepares each. A GRANT takes no parameters and is not among them.
pub const STATEMENTS: &[&str] = &[VERSION, LOGIN];

/// What a deployment must know about a role of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    Missing,
    /// A role that cannot log in.
    Group,
    Superuser,
    Usable,
}

pub async fn login(db: &crate::Db, role: &str) -> Result<Login> {
    let row = statement::optional_row(&db.client().await?, LOGIN, &[&role]).await?;
    let Some(row) = row else { return Ok(Login::Missing) };
    Ok(match (row.try_get("rolcanlogin")?, row.try_get("rolsuper")?) {
        (_, true) => Login::Superuser,
        (false, false) => Login::Group,
        (true, false) => Login::Usable,
    })
}

/// Makes `role` a member of `loyalty_runtime`, if it is not one yet. In PostgreSQL 15 any role with CREATEROLE may do
/// so; in later versions only the role that created `loyalty_runtime`: the owner, who ran the first migration.
pub async fn grant_runtime(db: &crate::Db, role: &str) -> Result<()> {
    let role = role.replace('"', "\"\"");
    db.client()
        .await?
        .batch_execute(&format!("GRANT loyalty_runtime TO \"{role}\""))
        .await?;
    Ok(())
}

/// The version of the schema in the database; `None` if no migration has been applied.
pub async fn version(db: &crate::Db) -> Result<Option<i32>> {
    Ok(statement::row(&db.client().await?, VERSION, &[]).await?.try_get(0)?)
}

/// The version of the schema that this program was built for.
pub fn newest_version() -> i32 {
    let versions = migrations::runner();
    versions
        .get_migrations()
        .iter()
        .map(|migration| migration.version())
        .max()
        .unwrap_or_default()
}
