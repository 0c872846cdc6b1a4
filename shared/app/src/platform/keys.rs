//! API keys: made, listed, revoked. A key's text is its holder's only; what comes here is its hash.

use crate::{Context, Db, Error, Result};
use domain::access::{ApiKey, Role};
use jiff::Timestamp;
use serde_json::{Value, json};
use std::pin::Pin;
use store::platform::audit_log::{self, Entry};
use store::{Page, Tx, transaction};
use uuid::Uuid;

type Found = Pin<Box<dyn Future<Output = Result<Option<ApiKey>>> + Send>>;

/// For `lambda::Auth`: finds the key with a SHA-256, valid or not.
pub fn lookup(db: Db) -> impl Fn([u8; 32]) -> Found {
    move |hash| {
        let db = db.clone();
        Box::pin(async move { Ok(store::platform::keys::find(&db.client().await?, &hash).await?) })
    }
}

/// In the order in which they were made, the invalid ones too.
pub async fn list(db: &Db, page: &Page<Uuid>) -> Result<Vec<ApiKey>> {
    Ok(store::platform::keys::list(&db.client().await?, page).await?)
}

#[derive(Debug, Clone)]
pub struct NewKey {
    pub name: String,
    pub role: Role,
    pub expires_at: Option<Timestamp>,
    /// SHA-256 of its text.
    pub hash: [u8; 32],
}

pub async fn create(db: &Db, new: &NewKey, actor: &str, context: Context) -> Result<ApiKey> {
    transaction!(db, |tx| create_in_tx(tx, new, actor, context))
}

async fn create_in_tx(tx: &Tx<'_>, new: &NewKey, actor: &str, context: Context) -> Result<ApiKey> {
    let key = ApiKey {
        key_id: (context.new_id)(),
        name: new.name.clone(),
        role: new.role,
        created_at: context.now,
        expires_at: new.expires_at,
        revoked_at: None,
    };
    store::platform::keys::insert(tx, &key, &new.hash).await?;
    audit(tx, "key.create", None, &key, actor, context).await?;
    Ok(key)
}

/// Ends a key, within a minute in every warm function. A revoked key stays as it is.
pub async fn revoke(db: &Db, key_id: Uuid, actor: &str, context: Context) -> Result<ApiKey> {
    transaction!(db, |tx| revoke_in_tx(tx, key_id, actor, context))
}

async fn revoke_in_tx(tx: &Tx<'_>, key_id: Uuid, actor: &str, context: Context) -> Result<ApiKey> {
    let key = store::platform::keys::lock(tx, key_id)
        .await?
        .ok_or_else(|| Error::not_found("key", key_id))?;
    if key.revoked_at.is_some() {
        return Ok(key);
    }
    store::platform::keys::revoke(tx, key_id, context.now).await?;
    let revoked = ApiKey {
        revoked_at: Some(context.now),
        ..key.clone()
    };
    audit(tx, "key.revoke", Some(json!(key)), &revoked, actor, context).await?;
    Ok(revoked)
}

async fn audit(
    tx: &Tx<'_>,
    action: &str,
    before: Option<Value>,
    key: &ApiKey,
    actor: &str,
    context: Context,
) -> Result<()> {
    let entry = Entry {
        audit_id: (context.new_id)(),
        at: context.now,
        actor: actor.into(),
        action: action.into(),
        subject: format!("key:{}", key.key_id),
        before,
        after: Some(json!(key)),
        reason: None,
    };
    Ok(audit_log::append(tx, &entry).await?)
}
