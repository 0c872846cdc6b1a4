//! Brings the schema up to date, as its owner. Invoked by a deployment, before the functions that need the schema.

use app::platform::deployment;
use app::{Context, Db, migrate};
use serde::{Deserialize, Serialize};

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// An existing login role, which is to have the rights of the functions. Repeating it changes nothing.
    pub runtime_login: Option<String>,
    /// The name of the first admin key, where one is wanted. Refused while any admin key is valid.
    pub admin_key: Option<String>,
}

#[derive(Debug, PartialEq, Serialize)]
pub struct Migrated {
    /// The migrations applied now, in order; none when the schema was up to date.
    pub applied: Vec<String>,
    pub schema_version: Option<i32>,
    /// The text of the new key. It is shown this once; only its hash is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub admin_key: Option<String>,
}

/// In this order: migrations, rights, key. What came before a refusal stays, and the repeated call finds it done.
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
            tracing::info!(key_id = %key.key_id, "first admin key made");
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
