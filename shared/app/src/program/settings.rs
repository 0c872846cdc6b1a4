//! The program's settings: stored values over the defaults.

use crate::error::BoxedCause;
use crate::platform::audit_log::{self, Action, Sides, Subject};
use crate::{Db, Error, Result};
use domain::act::Act;
use domain::patch::named;
use domain::settings::Settings;
use serde_json::{Map, Value};
use store::{Executor, Tx};

pub async fn get(db: &Db) -> Result<Settings> {
    load(&db.client().await?).await
}

/// Works inside or outside a transaction.
pub async fn load(executor: &impl Executor) -> Result<Settings> {
    read(store::program::settings::load(executor).await?)
}

/// Changes what `patch` names, deeply, and leaves the rest; returns all settings. Null stands for "none" where a
/// setting has such a value, and removes an entry of a map. A patch that changes nothing writes nothing.
///
/// # Errors
/// `Validation` with the place of each value out of range.
pub async fn put(db: &Db, patch: &Value, act: &Act) -> Result<Settings> {
    store::transaction!(db, |tx| put_in_tx(tx, patch, act))
}

async fn put_in_tx(tx: &Tx<'_>, patch: &Value, act: &Act) -> Result<Settings> {
    store::program::settings::lock(tx).await?;
    let before = object(&load(tx).await?)?;
    let settings: Settings = serde_json::from_value(named(&Value::Object(before.clone()), patch)).map_err(unusable)?;
    settings.validate().none_or(())?;
    let after = object(&settings)?;
    let (changed, replaced): (Map<_, _>, Map<_, _>) = after
        .into_iter()
        .filter(|(key, value)| before.get(key) != Some(value))
        .map(|(key, value)| {
            (
                (key.clone(), value),
                (key.clone(), before.get(&key).cloned().unwrap_or_default()),
            )
        })
        .unzip();
    if !changed.is_empty() {
        store::program::settings::save(tx, &changed, &act.actor, act.context.now).await?;
        let sides = Sides::changed(&replaced, &changed);
        audit_log::append(tx, act, Action::SettingsUpdate, Subject::Settings, sides).await?;
    }
    Ok(settings)
}

fn read(stored: Map<String, Value>) -> Result<Settings> {
    serde_json::from_value(Value::Object(stored)).map_err(unusable)
}

fn object(settings: &Settings) -> Result<Map<String, Value>> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(unusable("not an object")),
        Err(error) => Err(unusable(error)),
    }
}

fn unusable(cause: impl Into<BoxedCause>) -> Error {
    Error::stored("settings", cause)
}
