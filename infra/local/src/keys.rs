//! API keys of the stack, created through the product's use cases as the schema's owner.

use app::platform::keys::{self, NewKey};
use app::{Context, Db};
use domain::access::Role;
use domain::act::Act;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::audit::causes;
use crate::postgres::{PostgresError, random_hex};

/// The key in the payloads of `events/`.
const SAMPLE_KEY: &str = "lk_0000000000000000000000000000000000000000000000000000000000000000";

#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("API keys: {}", causes(.0))]
    App(#[from] app::Error),
    #[error(transparent)]
    Random(#[from] PostgresError),
}

/// Creates a key and returns its text, which is not stored anywhere.
pub async fn create(owner_url: &str, role: Role, name: &str) -> Result<String, KeyError> {
    let text = format!("lk_{}", random_hex(32)?);
    insert(&connect(owner_url)?, &text, role, name).await?;
    Ok(text)
}

/// Creates the key of the payloads in `events/`, with a viewer's rights, unless it exists.
pub async fn create_sample(owner_url: &str) -> Result<(), KeyError> {
    let db = connect(owner_url)?;
    if keys::lookup(db.clone())(hash(SAMPLE_KEY)).await?.is_none() {
        insert(&db, SAMPLE_KEY, Role::Viewer, "events/*.json").await?;
    }
    Ok(())
}

/// Whether a key is valid and belongs to an administrator.
pub async fn is_admin(owner_url: &str, text: &str) -> Result<bool, KeyError> {
    let found = keys::lookup(connect(owner_url)?)(hash(text)).await?;
    Ok(found.is_some_and(|key| key.role == Role::Admin && key.is_valid(context().now)))
}

/// Whether any valid administrator key exists.
pub async fn has_admin(owner_url: &str) -> Result<bool, KeyError> {
    Ok(keys::valid_admin(&connect(owner_url)?, context().now).await?.is_some())
}

fn connect(owner_url: &str) -> Result<Db, app::Error> {
    Ok(Db::new(owner_url, None)?)
}

async fn insert(db: &Db, text: &str, role: Role, name: &str) -> Result<(), KeyError> {
    let new = NewKey {
        name: name.to_owned(),
        role,
        expires_at: None,
        hash: hash(text),
    };
    keys::create(db, &new, &Act::of("cargo local", context())).await?;
    Ok(())
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[expect(
    clippy::disallowed_methods,
    reason = "a command of the developer's machine, not a function"
)]
fn context() -> Context {
    Context {
        now: Timestamp::now(),
        new_id: Uuid::now_v7,
    }
}
