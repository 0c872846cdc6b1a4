//! Rules: validated and versioned at every save, and tested on one player.
//!
//! # Choices
//!
//! * An archived rule returns 409 to writes, and its id is never reused.

pub mod simulation;

use crate::error::{Error, Result};
use crate::platform::audit_log::{self, Action, Sides, Subject};
use crate::program::Program;
use domain::act::Act;
use domain::evaluate::{BudgetRooms, Candidate, Explanation, RuleSet, explain};
use domain::facts::{FactDef, Facts};
use domain::id::{PlayerId, RuleId};
use domain::page::Page;
use domain::patch;
use domain::problem::{FieldErrors, child};
use domain::rule::Rule;
use jiff::Timestamp;
use serde_json::{Map, Value};
pub use store::rules::{RuleVersion, StoredRule};
use store::{Db, Executor, Tx, transaction};

/// Paths under `/rules/` that are not rules.
const RESERVED_IDS: [&str; 2] = ["facts", "simulate"];

/// Why a rule is not saved or not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleError {
    #[error("rule {rule_id} already exists")]
    Exists { rule_id: RuleId },
    #[error("rule {rule_id} is archived since {at}")]
    Archived { rule_id: String, at: Timestamp },
}

impl RuleError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "duplicate",
            Self::Archived { .. } => "archived",
        }
    }
}

/// Rules that are not archived, by id.
pub async fn list(db: &Db, is_active: Option<bool>, page: &Page<String>) -> Result<Vec<StoredRule>> {
    Ok(store::rules::list(&db.client().await?, is_active, page).await?)
}

/// Archived or not.
pub async fn get(db: &Db, rule_id: &RuleId) -> Result<StoredRule> {
    load(&db.client().await?, rule_id).await
}

pub(crate) async fn load(executor: &impl Executor, rule_id: &RuleId) -> Result<StoredRule> {
    store::rules::get(executor, rule_id)
        .await?
        .ok_or_else(|| Error::not_found("rule", rule_id))
}

/// Newest first.
pub async fn versions(db: &Db, rule_id: &RuleId, page: &Page<i32>) -> Result<Vec<RuleVersion>> {
    let client = db.client().await?;
    load(&client, rule_id).await?;
    Ok(store::rules::versions(&client, rule_id, page).await?)
}

/// All facts that a rule can read.
pub async fn facts(db: &Db, now: Timestamp) -> Result<Vec<FactDef>> {
    Ok(Program::load(&db.client().await?, now).await?.catalogue.defs().to_vec())
}

/// Saves the first version of a rule.
///
/// # Errors
/// `Validation` with a pointer per error; [`RuleError::Exists`], also for the id of an archived rule.
pub async fn create(db: &Db, rule: &Value, act: &Act) -> Result<StoredRule> {
    transaction!(db, |tx| create_in_tx(tx, rule, act))
}

async fn create_in_tx(tx: &Tx<'_>, rule: &Value, act: &Act) -> Result<StoredRule> {
    let rule = parse(tx, rule, act.context.now).await?;
    if RESERVED_IDS.contains(&rule.rule_id.as_str()) {
        let detail = format!("{} is reserved for another path", rule.rule_id);
        return Err(Error::invalid("/rule_id", "range", detail));
    }
    if !store::rules::insert(tx, &rule.rule_id, rule.definition(), &act.actor, act.context.now).await? {
        let rule_id = rule.rule_id.clone();
        return Err(RuleError::Exists { rule_id }.into());
    }
    let (subject, sides) = (Subject::Rule(&rule.rule_id), Sides::made(rule.definition()));
    audit_log::append(tx, act, Action::RuleCreate, subject, sides).await?;
    load(tx, &rule.rule_id).await
}

/// Changes what `patch` names, as a JSON merge patch, and saves the result as the new current version. Existing grants
/// keep theirs. A patch that changes nothing saves nothing.
///
/// # Errors
/// `NotFound`; [`RuleError::Archived`]; `Validation`.
pub async fn update(db: &Db, rule_id: &RuleId, patch: &Value, act: &Act) -> Result<StoredRule> {
    transaction!(db, |tx| update_in_tx(tx, rule_id, patch, act))
}

async fn update_in_tx(tx: &Tx<'_>, rule_id: &RuleId, patch: &Value, act: &Act) -> Result<StoredRule> {
    let before = lock(tx, rule_id).await?;
    let after = patch::identified(&before.definition, patch, "rule_id")?;
    let rule = parse(tx, &after, act.context.now).await?;
    if *rule.definition() == before.definition {
        return Ok(before);
    }
    store::rules::save(
        tx,
        rule_id,
        before.version + 1,
        rule.definition(),
        &act.actor,
        act.context.now,
    )
    .await?;
    let sides = Sides::changed(&before.definition, rule.definition());
    audit_log::append(tx, act, Action::RuleUpdate, Subject::Rule(rule_id), sides).await?;
    load(tx, rule_id).await
}

/// Archives a rule permanently. Its grants and versions stay.
///
/// # Errors
/// `NotFound`; [`RuleError::Archived`].
pub async fn archive(db: &Db, rule_id: &RuleId, act: &Act) -> Result<StoredRule> {
    transaction!(db, |tx| archive_in_tx(tx, rule_id, act))
}

async fn archive_in_tx(tx: &Tx<'_>, rule_id: &RuleId, act: &Act) -> Result<StoredRule> {
    let before = lock(tx, rule_id).await?;
    store::rules::archive(tx, rule_id, act.context.now).await?;
    let sides = Sides::ended(&before.definition);
    audit_log::append(tx, act, Action::RuleArchive, Subject::Rule(rule_id), sides).await?;
    load(tx, rule_id).await
}

/// Locks a rule until the transaction ends.
async fn lock(tx: &Tx<'_>, rule_id: &RuleId) -> Result<StoredRule> {
    if !store::rules::lock(tx, rule_id).await? {
        return Err(Error::not_found("rule", rule_id));
    }
    not_archived(load(tx, rule_id).await?)
}

pub(crate) fn not_archived(rule: StoredRule) -> Result<StoredRule> {
    match rule.archived_at {
        None => Ok(rule),
        Some(at) => Err(RuleError::Archived {
            rule_id: rule.rule_id,
            at,
        }
        .into()),
    }
}

/// Parses a rule against the current ladder and settings, and pins the ladder until the commit.
async fn parse(tx: &Tx<'_>, rule: &Value, now: Timestamp) -> Result<Rule> {
    store::tiers::pin(tx).await?;
    let program = Program::load(tx, now).await?;
    let rule = check(rule, &program)?;
    check_group(tx, &rule, &program).await?;
    Ok(rule)
}

/// The active rules of an exclusive group have one cadence, because they share their period.
async fn check_group(tx: &Tx<'_>, rule: &Rule, program: &Program) -> Result<()> {
    let Some(group) = rule.exclusive_group.as_deref().filter(|_| rule.is_active) else {
        return Ok(());
    };
    store::rules::lock_all(tx).await?;
    let rules = program.rules(tx).await?;
    let other = rules.iter().map(|(other, _)| other).find(|other| {
        other.rule_id != rule.rule_id
            && other.exclusive_group.as_deref() == Some(group)
            && other.cadence != rule.cadence
    });
    let Some(other) = other else { return Ok(()) };
    let detail = format!(
        "the rules of the exclusive group {group:?} share their period, and {} pays {}",
        other.rule_id, other.cadence
    );
    Err(Error::invalid("/cadence", "group", detail))
}

/// Validates a rule before it is saved or simulated.
pub(crate) fn check(rule: &Value, program: &Program) -> Result<Rule, FieldErrors> {
    let mut errors = FieldErrors::default();
    refuse_nul(rule, "", &mut errors);
    errors.none_or(())?;
    Rule::parse(rule, &program.catalogue, &program.settings)
}

/// PostgreSQL cannot store U+0000.
fn refuse_nul(value: &Value, pointer: &str, errors: &mut FieldErrors) {
    let mut check = |text: &str| {
        if text.contains('\0') {
            errors.push(pointer, "format", "must not contain the character U+0000");
        }
    };
    match value {
        Value::String(text) => check(text),
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(index, item)| refuse_nul(item, &format!("{pointer}/{index}"), errors));
        }
        Value::Object(fields) => {
            fields.keys().for_each(|name| check(name));
            for (name, value) in fields {
                refuse_nul(value, &child(pointer, name), errors);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What a rule would do for a player now, and the facts it saw.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    pub explanation: Explanation,
    /// Whether the rule is active and applies now. The test assumes both.
    pub is_live: bool,
    /// Every fact by name, null if unknown.
    pub facts: Map<String, Value>,
}

/// Tests a rule on a player without writing anything.
///
/// # Errors
/// `NotFound` for the rule or the player; [`RuleError::Archived`].
pub async fn test(db: &Db, rule_id: &RuleId, player_id: &PlayerId, now: Timestamp) -> Result<Trial> {
    let client = db.client().await?;
    let stored = not_archived(load(&client, rule_id).await?)?;
    let program = Program::load(&client, now).await?;
    let players = crate::program::snapshot::load_all(&client, &[player_id.as_str()], &program).await?;
    let player = players.first().ok_or_else(|| Error::not_found("player", player_id))?;
    let rule = program.rule(&stored)?;

    let reserved = store::rules::budgets::reserved(&client, rule_id, program.moment.today()).await?;
    let budgets = BudgetRooms::of(&RuleSet::new(vec![(rule.clone(), stored.version)]), |_| reserved);
    let facts = Facts::of(player, &program.catalogue, &program.moment, None);
    let candidate = Candidate {
        player,
        facts: &facts,
        event: None,
    };
    let explanation = explain(
        &candidate,
        &rule,
        stored.version,
        &program.moment,
        &program.settings,
        &budgets,
    );
    Ok(Trial {
        explanation,
        is_live: rule.is_on(&program.moment),
        facts: facts.to_json(program.catalogue.all()),
    })
}
