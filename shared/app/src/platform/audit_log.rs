//! The audit log: writes by people, with what they changed.
//!
//! # Choices
//!
//! * The differences of an audited write are computed when it is read (`changes` of `GET /audit`: pointer, before,
//!   after). Lists are compared as a whole. Creations and removals have none.

use crate::{Db, Result};
use domain::act::Act;
use domain::id::{PlayerId, RedemptionRuleId, RuleId, SignalId, WebhookId};
use domain::page::Page;
use domain::problem::child;
use domain::text_enum;
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::fmt;
use store::Tx;
pub use store::platform::audit_log::Entry;
use uuid::Uuid;

text_enum! {
    /// The actions that people take.
    pub enum Action as "audited action" {
        KeyCreate = "key.create",
        KeyRevoke = "key.revoke",
        PlayerCreate = "player.create",
        PlayerUpdate = "player.update",
        RedemptionRuleCreate = "redemption_rule.create",
        RedemptionRuleUpdate = "redemption_rule.update",
        RuleCreate = "rule.create",
        RuleUpdate = "rule.update",
        RuleArchive = "rule.archive",
        RuleEvaluate = "rule.evaluate",
        RuleRevoke = "rule.revoke",
        SettingsUpdate = "settings.update",
        SignalConfirm = "signal.confirm",
        SignalFlag = "signal.flag",
        SignalResolve = "signal.resolve",
        TierCreate = "tier.create",
        TierUpdate = "tier.update",
        TierDelete = "tier.delete",
        WebhookCreate = "webhook.create",
        WebhookDelete = "webhook.delete",
        WebhookRetry = "webhook.retry",
    }
}

/// What an action is applied to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Subject<'a> {
    Key(Uuid),
    Player(&'a PlayerId),
    RedemptionRule(&'a RedemptionRuleId),
    Rule(&'a RuleId),
    Settings,
    Signal(SignalId),
    Tier(&'a str),
    Webhook(WebhookId),
}

/// `noun:id`.
impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Player(id) => write!(f, "player:{id}"),
            Self::RedemptionRule(id) => write!(f, "redemption_rule:{id}"),
            Self::Rule(id) => write!(f, "rule:{id}"),
            Self::Settings => f.write_str("settings"),
            Self::Signal(id) => write!(f, "signal:{id}"),
            Self::Tier(level) => write!(f, "tier:{level}"),
            Self::Webhook(id) => write!(f, "webhook:{id}"),
        }
    }
}

/// What a write changed, and the reason given for it.
#[derive(Debug, Default)]
pub(crate) struct Sides<'a> {
    before: Option<Value>,
    after: Option<Value>,
    reason: Option<&'a str>,
}

impl<'a> Sides<'a> {
    /// For something new: no `before`.
    pub fn made(after: &impl Serialize) -> Self {
        Self {
            after: Some(json!(after)),
            ..Self::default()
        }
    }

    pub fn changed(before: &impl Serialize, after: &impl Serialize) -> Self {
        Self {
            before: Some(json!(before)),
            ..Self::made(after)
        }
    }

    /// For something removed: no `after`.
    pub fn ended(before: &impl Serialize) -> Self {
        Self {
            before: Some(json!(before)),
            ..Self::default()
        }
    }

    pub fn because(self, reason: &'a str) -> Self {
        Self {
            reason: Some(reason),
            ..self
        }
    }
}

/// Records a write, in the transaction of that write.
pub(crate) async fn append(
    tx: &Tx<'_>,
    act: &Act,
    action: Action,
    subject: Subject<'_>,
    sides: Sides<'_>,
) -> Result<()> {
    let entry = Entry {
        audit_id: (act.context.new_id)(),
        at: act.context.now,
        actor: act.actor.clone(),
        action: action.to_string(),
        subject: subject.to_string(),
        before: sides.before,
        after: sides.after,
        reason: sides.reason.map(str::to_owned),
    };
    Ok(store::platform::audit_log::append(tx, &entry).await?)
}

/// One write by a person and what it changed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Written {
    #[serde(flatten)]
    pub entry: Entry,
    /// By pointer; empty if the entry has no `before` or no `after`.
    pub changes: Vec<Change>,
}

/// One difference.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// JSON pointer into `before` and `after`.
    pub pointer: String,
    /// `None`: it did not exist before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// `None`: it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// Newest first; entries of one subject (`noun:id`) or of all.
pub async fn list(db: &Db, subject: Option<&str>, page: &Page<Uuid>) -> Result<Vec<Written>> {
    let entries = store::platform::audit_log::list(&db.client().await?, subject, page).await?;
    Ok(entries.into_iter().map(written).collect())
}

fn written(entry: Entry) -> Written {
    let mut changes = Vec::new();
    if let (Some(before), Some(after)) = (&entry.before, &entry.after) {
        compare("", Some(before), Some(after), &mut changes);
    }
    Written { entry, changes }
}

/// Compares objects field by field and everything else as a whole: a changed list is easier to read in full.
fn compare(pointer: &str, before: Option<&Value>, after: Option<&Value>, changes: &mut Vec<Change>) {
    match (before, after) {
        (Some(Value::Object(before)), Some(Value::Object(after))) => compare_fields(pointer, before, after, changes),
        (before, after) if before == after => {}
        (before, after) => changes.push(Change {
            pointer: pointer.to_owned(),
            before: before.cloned(),
            after: after.cloned(),
        }),
    }
}

fn compare_fields(pointer: &str, before: &Map<String, Value>, after: &Map<String, Value>, changes: &mut Vec<Change>) {
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    for name in names {
        let pointer = child(pointer, name);
        compare(&pointer, before.get(name), after.get(name), changes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changes(before: &Value, after: &Value) -> Value {
        let mut changes = Vec::new();
        compare("", Some(before), Some(after), &mut changes);
        json!(changes)
    }

    #[test]
    fn a_change_names_the_place_and_both_sides() {
        let before = json!({
            "priority": 10, "conditions": { "segment": ["LOSING"], "net_loss_min": 100 },
            "reward_config": { "formula": "net_loss * 0.10", "max_amount": 500 }, "a/b~c": null,
        });
        let after = json!({
            "priority": 11, "conditions": { "segment": ["LOSING", "VIP"], "session_count_min": 3 },
            "reward_config": { "formula": "net_loss * 0.10", "max_amount": 500 }, "a/b~c": 1,
        });
        let expected = json!([
            { "pointer": "/a~1b~0c", "before": null, "after": 1 },
            { "pointer": "/conditions/net_loss_min", "before": 100 },
            { "pointer": "/conditions/segment", "before": ["LOSING"], "after": ["LOSING", "VIP"] },
            { "pointer": "/conditions/session_count_min", "after": 3 },
            { "pointer": "/priority", "before": 10, "after": 11 },
        ]);
        assert_eq!(changes(&before, &after), expected);
        assert_eq!(changes(&before, &before), json!([]));
        assert_eq!(
            changes(&json!("USD"), &json!("EUR")),
            json!([{ "pointer": "", "before": "USD", "after": "EUR" }])
        );
    }

    #[test]
    fn what_was_made_or_ended_has_no_changes() {
        let entry = |before: Option<Value>, after: Option<Value>| Entry {
            audit_id: Uuid::nil(),
            at: jiff::Timestamp::UNIX_EPOCH,
            actor: "test".to_owned(),
            action: "rule.create".to_owned(),
            subject: "rule:R".to_owned(),
            before,
            after,
            reason: None,
        };
        let rule = || Some(json!({ "priority": 1 }));
        for (before, after, count) in [
            (None, rule(), 0),
            (rule(), None, 0),
            (rule(), rule(), 0),
            (rule(), Some(json!({})), 1),
        ] {
            assert_eq!(written(entry(before, after)).changes.len(), count);
        }
    }
}
