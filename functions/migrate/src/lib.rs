//! Migrates the schema, as its owner. A deployment invokes it before the functions that need the new schema.
//!
//! # Choices
//!
//! * The functions connect as a login role that is a member of `loyalty_runtime`; `migrate` connects as the owner of
//!   the database, because a migration sets planner options of that database (`jit`, `random_page_cost`).

use app::platform::deployment;
use app::{Context, Db, migrate};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// An existing login role to grant the functions' rights to. Repeating it changes nothing.
    pub runtime_login: Option<String>,
    /// The name of the first admin key to create. Refused while any admin key is valid.
    pub admin_key: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Migrated {
    /// The migrations applied now, in order; empty if the schema was up to date.
    pub applied: Vec<String>,
    pub schema_version: Option<i32>,
    /// The text of the new key. Shown only once; only its hash is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_key: Option<String>,
}

/// Applies migrations, then rights, then the key. Steps before a refusal stay applied, and a repeated call skips them.
pub async fn handle(db: &Db, request: Request, context: Context) -> Result<Migrated, lambda::Error> {
    let applied = migrate::run(db).await.inspect_err(log)?;
    tracing::info!(?applied, "migrated");
    if let Some(role) = &request.runtime_login {
        deployment::grant_runtime(db, role).await.inspect_err(log)?;
    }
    let admin_key = match &request.admin_key {
        None => None,
        Some(name) => {
            let text = lambda::id::api_key()?;
            let hash = lambda::auth::hash(&text);
            let key = deployment::create_first_admin(db, name, hash, context)
                .await
                .inspect_err(log)?;
            tracing::info!(key_id = %key.key_id, "first admin key created");
            Some(text)
        }
    };
    Ok(Migrated {
        applied,
        schema_version: migrate::version(db).await?,
        admin_key,
    })
}

fn log(error: &(impl std::error::Error + 'static)) {
    tracing::error!(cause = lambda::problem::causes(error), "migrate failed");
}
