//! The redemption catalogue.

use crate::error::{Error, Result};
use domain::context::Context;
use domain::id::RedemptionRuleId;
use domain::problem::FieldError;
use domain::redemption::RedemptionRule;
use serde_json::{Value, json};
use store::audit_log::{self, Entry};
pub use store::redemptions::StoredRedemptionRule;
use store::{Db, Executor, Page, Tx, transaction};

/// The catalogue, in the order of the entries' ids.
pub async fn list(db: &Db, is_active: Option<bool>, page: &Page<RedemptionRuleId>) -> Result<Vec<StoredRedemptionRule>> {
    Ok(store::redemptions::list(&db.client().await?, is_active, page).await?)
}

pub async fn get(db: &Db, rule_id: &RedemptionRuleId) -> Result<StoredRedemptionRule> {
    load(&db.client().await?, rule_id).await
}

async fn load(executor: &impl Executor, rule_id: &RedemptionRuleId) -> Result<StoredRedemptionRule> {
    store::redemptions::get(executor, rule_id).await?.ok_or_else(|| Error::not_found("redemption rule", rule_id))
}

/// Puts an entry into the catalogue.
///
/// # Errors
/// `Validation`, each wrong place with its pointer; `Conflict` when the id is taken.
pub async fn create(db: &Db, rule: &Value, actor: &str, context: Context) -> Result<StoredRedemptionRule> {
    transaction!(db, |tx| create_in_tx(tx, rule, actor, context))
}

async fn create_in_tx(tx: &Tx<'_>, rule: &Value, actor: &str, context: Context) -> Result<StoredRedemptionRule> {
    let rule = parse(tx, rule).await?;
    if !store::redemptions::insert(tx, &rule, context.now).await? {
        return Err(Error::conflict("duplicate", format!("there is a redemption rule {} already", rule.rule_id)));
    }
    audit(tx, "redemption_rule.create", None, &rule, actor, context).await?;
    load(tx, &rule.rule_id).await
}

/// Replaces an entry; what was redeemed before keeps its figures. `rule` need not say its id again.
///
/// # Errors
/// `NotFound`; `Validation`.
pub async fn update(db: &Db, rule_id: &RedemptionRuleId, rule: &Value, actor: &str, context: Context) -> Result<StoredRedemptionRule> {
    let mut rule = rule.clone();
    if let Value::Object(fields) = &mut rule {
        let given = fields.entry("rule_id").or_insert_with(|| json!(rule_id));
        if *given != json!(rule_id) {
            return Err(Error::Validation(vec![FieldError::new("/rule_id", "range", format!("must be {rule_id} or absent"))]));
        }
    }
    transaction!(db, |tx| update_in_tx(tx, rule_id, &rule, actor, context))
}

async fn update_in_tx(
    tx: &Tx<'_>,
    rule_id: &RedemptionRuleId,
    rule: &Value,
    actor: &str,
    context: Context,
) -> Result<StoredRedemptionRule> {
    if !store::redemptions::lock(tx, rule_id).await? {
        return Err(Error::not_found("redemption rule", rule_id));
    }
    let before = load(tx, rule_id).await?;
    let rule = parse(tx, rule).await?;
    store::redemptions::update(tx, &rule, context.now).await?;
    audit(tx, "redemption_rule.update", Some(&before.rule), &rule, actor, context).await?;
    load(tx, rule_id).await
}

/// Reads an entry under the ladder and the settings as they are, and keeps the ladder so until the entry is saved.
async fn parse(tx: &Tx<'_>, rule: &Value) -> Result<RedemptionRule> {
    store::tiers::pin(tx).await?;
    let (ladder, settings) = (crate::tiers::ladder(tx).await?, crate::settings::load(tx).await?);
    RedemptionRule::parse(rule, &ladder, &settings).map_err(Error::Validation)
}

async fn audit(
    tx: &Tx<'_>,
    action: &str,
    before: Option<&RedemptionRule>,
    after: &RedemptionRule,
    actor: &str,
    context: Context,
) -> Result<()> {
    let entry = Entry {
        audit_id: (context.new_id)(),
        at: context.now,
        actor: actor.into(),
        action: action.into(),
        subject: format!("redemption_rule:{}", after.rule_id),
        before: before.map(|rule| Value::Object(rule.definition())),
        after: Some(Value::Object(after.definition())),
        reason: None,
    };
    Ok(audit_log::append(tx, &entry).await?)
}
