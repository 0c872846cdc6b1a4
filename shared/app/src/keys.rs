//! API keys: made, listed, revoked. A key's text is its holder's only; what comes here is its hash.

use crate::{Db, Error, Result};
use domain::access::ApiKey;
use jiff::Timestamp;
use serde_json::{Value, json};
use store::audit_log::{self, Entry};
use store::{Page, Tx};
use uuid::Uuid;

/// The key with this SHA-256, valid or not.
pub async fn find(db: &Db, hash: [u8; 32]) -> Result<Option<ApiKey>> {
    Ok(store::keys::find(&db.client().await?, &hash).await?)
}

/// In the order in which they were made.
pub async fn list(db: &Db, page: &Page<Uuid>) -> Result<Vec<ApiKey>> {
    Ok(store::keys::list(&db.client().await?, page).await?)
}

pub async fn create(db: &Db, key: &ApiKey, hash: [u8; 32], actor: &str, audit_id: Uuid) -> Result<()> {
    store::transaction!(db, |tx| async {
        store::keys::insert(tx, key, &hash).await?;
        audit(tx, audit_id, key.created_at, actor, "key.create", None, key).await
    })
}

/// Ends a key, within a minute in every warm function. A revoked key stays as it is.
pub async fn revoke(db: &Db, key_id: Uuid, actor: &str, audit_id: Uuid, now: Timestamp) -> Result<ApiKey> {
    store::transaction!(db, |tx| revoke_in_tx(tx, key_id, actor, audit_id, now))
}

async fn revoke_in_tx(tx: &Tx<'_>, key_id: Uuid, actor: &str, audit_id: Uuid, now: Timestamp) -> Result<ApiKey> {
    let key = store::keys::lock(tx, key_id).await?.ok_or_else(|| Error::not_found("key", key_id))?;
    if key.revoked_at.is_some() {
        return Ok(key);
    }
    store::keys::revoke(tx, key_id, now).await?;
    let revoked = ApiKey { revoked_at: Some(now), ..key.clone() };
    audit(tx, audit_id, now, actor, "key.revoke", Some(json!(key)), &revoked).await?;
    Ok(revoked)
}

async fn audit(tx: &Tx<'_>, audit_id: Uuid, at: Timestamp, actor: &str, action: &str, before: Option<Value>, key: &ApiKey) -> Result<()> {
    let entry = Entry {
        audit_id,
        at,
        actor: actor.into(),
        action: action.into(),
        subject: format!("key:{}", key.key_id),
        before,
        after: Some(json!(key)),
        reason: None,
    };
    Ok(audit_log::append(tx, &entry).await?)
}
