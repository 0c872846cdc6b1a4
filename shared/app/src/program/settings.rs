//! The program's settings: stored values over the defaults.

use crate::error::BoxedCause;
use crate::platform::audit_log::{self, Action, Sides, Subject};
use crate::{Db, Error, Result};
use domain::act::Act;
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

/// Replaces the values of `keys` (top-level names of [`Settings`]) by those of `given`, and returns all settings. A key
/// is replaced as a whole: fields left out inside it get their defaults. Refuses values out of range, each with its
/// place.
pub async fn put(db: &Db, given: &Settings, keys: &[String], act: &Act) -> Result<Settings> {
    store::transaction!(db, |tx| put_in_tx(tx, given, keys, act))
}

async fn put_in_tx(tx: &Tx<'_>, given: &Settings, keys: &[String], act: &Act) -> Result<Settings> {
    store::program::settings::lock(tx).await?;
    let before = object(&load(tx).await?)?;
    let given = object(given)?;
    let pick = |from: &Map<String, Value>| -> Map<String, Value> {
        keys.iter()
            .filter_map(|key| Some((key.clone(), from.get(key)?.clone())))
            .collect()
    };
    let changed = pick(&given);
    let mut after = before.clone();
    after.extend(changed.clone());
    let settings = read(after)?;
    settings.validate().none_or(())?;
    store::program::settings::save(tx, &changed, &act.actor, act.context.now).await?;
    let sides = Sides::changed(&pick(&before), &changed);
    audit_log::append(tx, act, Action::SettingsUpdate, Subject::Settings, sides).await?;
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
