//! API keys: created, listed, revoked. Only the hash of a key's text comes here; its holder alone has the text.

use crate::platform::audit_log::{self, Action, Sides, Subject};
use crate::{Db, Error, Result};
use domain::access::{ApiKey, Role};
use domain::act::Act;
use domain::page::Page;
use jiff::Timestamp;
use std::pin::Pin;
use store::{Tx, transaction};
use uuid::Uuid;

type Found = Pin<Box<dyn Future<Output = Result<Option<ApiKey>>> + Send>>;

/// For `lambda::Auth`: the key with this SHA-256, valid or not.
pub fn lookup(db: Db) -> impl Fn([u8; 32]) -> Found {
    move |hash| {
        let db = db.clone();
        Box::pin(async move { Ok(store::platform::keys::find(&db.client().await?, &hash).await?) })
    }
}

/// The oldest valid admin key.
pub async fn valid_admin(db: &Db, now: Timestamp) -> Result<Option<ApiKey>> {
    Ok(store::platform::keys::valid_admin(&db.client().await?, now).await?)
}

/// Oldest first, including invalid ones.
pub async fn list(db: &Db, page: &Page<Uuid>) -> Result<Vec<ApiKey>> {
    Ok(store::platform::keys::list(&db.client().await?, page).await?)
}

#[derive(Debug, Clone)]
pub struct NewKey {
    pub name: String,
    pub role: Role,
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of the key's text.
    pub hash: [u8; 32],
}

pub async fn create(db: &Db, new: &NewKey, act: &Act) -> Result<ApiKey> {
    transaction!(db, |tx| create_in_tx(tx, new, act))
}

pub(crate) async fn create_in_tx(tx: &Tx<'_>, new: &NewKey, act: &Act) -> Result<ApiKey> {
    let key = ApiKey {
        key_id: (act.context.new_id)(),
        name: new.name.clone(),
        role: new.role,
        created_at: act.context.now,
        expires_at: new.expires_at,
        revoked_at: None,
    };
    store::platform::keys::insert(tx, &key, &new.hash).await?;
    let sides = Sides::made(&key);
    audit_log::append(tx, act, Action::KeyCreate, Subject::Key(key.key_id), sides).await?;
    Ok(key)
}

/// Revokes a key; warm functions accept it for up to a minute longer. Revoking it again changes nothing.
pub async fn revoke(db: &Db, key_id: Uuid, act: &Act) -> Result<ApiKey> {
    transaction!(db, |tx| revoke_in_tx(tx, key_id, act))
}

async fn revoke_in_tx(tx: &Tx<'_>, key_id: Uuid, act: &Act) -> Result<ApiKey> {
    let key = store::platform::keys::lock(tx, key_id)
        .await?
        .ok_or_else(|| Error::not_found("key", key_id))?;
    if key.revoked_at.is_some() {
        return Ok(key);
    }
    store::platform::keys::revoke(tx, key_id, act.context.now).await?;
    let revoked = ApiKey {
        revoked_at: Some(act.context.now),
        ..key.clone()
    };
    let sides = Sides::changed(&key, &revoked);
    audit_log::append(tx, act, Action::KeyRevoke, Subject::Key(key_id), sides).await?;
    Ok(revoked)
}
