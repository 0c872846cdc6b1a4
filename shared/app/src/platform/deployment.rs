//! What a deployment needs besides the schema: the rights of the functions' login role and a first admin key.

use super::keys::{self, NewKey};
use crate::{Context, Db, Error};
use domain::access::{ApiKey, Role};
use domain::act::Act;
use domain::text::{TextError, TextLimits};
use store::migrate::{self, Login};
use store::platform::keys as stored;
use store::{RetryCause, Tx, transaction};
use uuid::Uuid;

/// PostgreSQL truncates longer names, which could then name another role.
const ROLE: TextLimits = TextLimits::bytes(63).not_empty();
const KEY_NAME: TextLimits = TextLimits::characters(100).not_blank();

/// Shown to the deployer, not to clients of the API.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    #[error("{field} {error}")]
    Name { field: &'static str, error: TextError },
    #[error("there is no role {0:?}: create it with CREATE ROLE … LOGIN PASSWORD …, then invoke migrate again")]
    NoRole(String),
    #[error("the role {0:?} cannot log in: functions connect as a role that was created with LOGIN")]
    NoLogin(String),
    #[error("the role {0:?} is a superuser: functions connect as a role without any rights of its own")]
    Superuser(String),
    #[error("the admin key {name:?} ({key_id}) is valid: use it to create other keys with POST /api/keys")]
    AdminKeyExists { key_id: Uuid, name: String },
    #[error("the database failed")]
    Store(#[from] store::Error),
    #[error(transparent)]
    Key(#[from] Error),
}

impl RetryCause for DeploymentError {
    fn cause(&self) -> Option<&store::Error> {
        match self {
            Self::Store(error) => Some(error),
            Self::Key(error) => error.cause(),
            _ => None,
        }
    }
}

/// Grants the functions' rights to an existing login role. The deployer creates the role, so that its password never
/// passes through this program.
pub async fn grant_runtime(db: &Db, role: &str) -> Result<(), DeploymentError> {
    let wrong = |error| DeploymentError::Name {
        field: "runtime_login",
        error,
    };
    ROLE.check(role).map_err(wrong)?;
    match migrate::login(db, role).await? {
        Login::Missing => Err(DeploymentError::NoRole(role.to_owned())),
        Login::Group => Err(DeploymentError::NoLogin(role.to_owned())),
        Login::Superuser => Err(DeploymentError::Superuser(role.to_owned())),
        Login::Usable => Ok(migrate::grant_runtime(db, role).await?),
    }
}

/// Creates an admin key without expiry if no admin key is valid; `hash` is the SHA-256 of its text.
pub async fn create_first_admin(
    db: &Db,
    name: &str,
    hash: [u8; 32],
    context: Context,
) -> Result<ApiKey, DeploymentError> {
    let name = name.trim();
    let wrong = |error| DeploymentError::Name {
        field: "admin_key",
        error,
    };
    KEY_NAME.check(name).map_err(wrong)?;
    let new = NewKey {
        name: name.to_owned(),
        role: Role::Admin,
        expires_at: None,
        hash,
    };
    transaction!(db, |tx| create_first_admin_in_tx(tx, &new, context))
}

async fn create_first_admin_in_tx(tx: &Tx<'_>, new: &NewKey, context: Context) -> Result<ApiKey, DeploymentError> {
    stored::lock_all(tx).await?;
    match stored::valid_admin(tx, context.now).await? {
        Some(ApiKey { key_id, name, .. }) => Err(DeploymentError::AdminKeyExists { key_id, name }),
        None => Ok(keys::create_in_tx(tx, new, &Act::of("migrate", context)).await?),
    }
}
