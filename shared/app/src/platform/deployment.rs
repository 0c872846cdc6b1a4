//! What a deployment needs besides the schema: the rights of the functions' login role and a first admin key.

use super::keys::{self, NewKey};
use crate::{Context, Db, Error};
use domain::access::{ApiKey, Role};
use domain::act::Act;
use store::migrate::{self, Login};
use store::platform::keys as stored;
use store::{RetryCause, Tx, transaction};
use uuid::Uuid;

/// PostgreSQL truncates longer names, which could then name another role.
const ROLE_BYTES_MAX: usize = 63;
const KEY_NAME_CHARACTERS_MAX: usize = 100;

/// Shown to the deployer, not to clients of the API.
#[derive(Debug, thiserror::Error)]
pub enum DeploymentError {
    #[error("{field} must have 1 to {length_max} {unit} and no control characters")]
    Name {
        field: &'static str,
        length_max: usize,
        unit: &'static str,
    },
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
    if !is_name(role, role.len(), ROLE_BYTES_MAX) {
        return Err(DeploymentError::Name {
            field: "runtime_login",
            length_max: ROLE_BYTES_MAX,
            unit: "bytes",
        });
    }
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
    if !is_name(name, name.chars().count(), KEY_NAME_CHARACTERS_MAX) {
        return Err(DeploymentError::Name {
            field: "admin_key",
            length_max: KEY_NAME_CHARACTERS_MAX,
            unit: "characters",
        });
    }
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

fn is_name(name: &str, length: usize, length_max: usize) -> bool {
    (1..=length_max).contains(&length) && !name.chars().any(char::is_control)
}
