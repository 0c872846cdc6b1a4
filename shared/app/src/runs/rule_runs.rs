//! Runs of one rule: its evaluation over all players, and the revocation of its open grants.
//!
//! Their messages take the same path as all shards. Segments stay unchanged, so that an evaluation grants what its
//! simulation showed.
//!
//! # Choices
//!
//! * A manual evaluation needs no trigger, only an active rule that applies now. Each shard uses the version that is
//!   current at its time.
//! * A revocation cancels the grants that are open when their shard is processed; due grants expire instead. Converted
//!   money stays, the budget stays reserved, and the player does not get the rule again in the same period. Players who
//!   are granted the rule during the run may keep it: switch the rule off first.

use crate::error::{Error, Result};
use crate::platform::audit_log::{self, Action, Sides, Subject};
use crate::program::Program;
use crate::rules;
use crate::runs::{RunStarted, create};
use crate::wallet::books;
use domain::account::Journal;
use domain::act::Act;
use domain::bonus::GrantStatus;
use domain::context::Context;
use domain::id::{RuleId, RunId};
use domain::ledger::Cause;
use domain::period::{Cadence, Moment};
use domain::rule::Rule;
use domain::run::{Rewards, RunKind, Scope};
use domain::text::TextLimits;
use serde_json::json;
use store::platform::stats::Slot;
use store::runs::NewRun;
use store::runs::shards::{self, RewardTotals, Shard};
use store::{Db, Tx, transaction};

const REASON: TextLimits = TextLimits::characters(500).not_blank().of_many_lines();

/// Why a rule cannot be evaluated now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RuleRunError {
    #[error("rule {rule_id} is switched off")]
    NotActive { rule_id: RuleId },
    #[error("rule {rule_id} does not apply now: see its starts_at, ends_at and days_of_week")]
    NotLive { rule_id: RuleId },
    #[error("rule {rule_id} pays per event, and an evaluation has none")]
    NeedsEvent { rule_id: RuleId },
}

impl RuleRunError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotActive { .. } => "not_active",
            Self::NotLive { .. } => "not_live",
            Self::NeedsEvent { .. } => "needs_event",
        }
    }
}

/// Starts a run over all players that evaluates only this rule, whatever its triggers. Each shard uses the version that
/// is current at its time, and grants nothing if the rule has been switched off.
///
/// # Errors
/// `NotFound`; `RuleError::Archived`; [`RuleRunError`].
pub async fn start_evaluation(db: &Db, rule_id: &RuleId, act: &Act) -> Result<RunStarted> {
    transaction!(db, |tx| start_evaluation_in_tx(tx, rule_id, act))
}

async fn start_evaluation_in_tx(tx: &Tx<'_>, rule_id: &RuleId, act: &Act) -> Result<RunStarted> {
    let stored = rules::not_archived(rules::load(tx, rule_id).await?)?;
    let program = Program::load(tx, act.context.now).await?;
    applies_now(&program.rule(&stored)?, &program.moment)?;
    let run = new_run(RunKind::Evaluation, Scope::All, rule_id, None, act);
    let started = create(tx, &run).await?;
    let sides = Sides::made(&json!({ "run_id": run.run_id }));
    audit_log::append(tx, act, Action::RuleEvaluate, Subject::Rule(rule_id), sides).await?;
    Ok(started)
}

fn applies_now(rule: &Rule, moment: &Moment) -> Result<(), RuleRunError> {
    let rule_id = rule.rule_id.clone();
    if !rule.is_active {
        Err(RuleRunError::NotActive { rule_id })
    } else if !rule.is_on(moment) {
        Err(RuleRunError::NotLive { rule_id })
    } else if rule.cadence == Cadence::PerEvent {
        Err(RuleRunError::NeedsEvent { rule_id })
    } else {
        Ok(())
    }
}

/// Starts a run that cancels the open grants of all versions of a rule, archived or not. Money that their bonuses hold
/// returns to issuance; converted or spent money is not touched, and budgets stay reserved. Players who are granted the
/// rule during the run may keep it: switch it off first.
///
/// # Errors
/// `NotFound`; `Validation` of the reason.
pub async fn start_revocation(db: &Db, rule_id: &RuleId, reason: &str, act: &Act) -> Result<RunStarted> {
    REASON
        .check(reason)
        .map_err(|error| Error::invalid("/reason", "format", error.to_string()))?;
    transaction!(db, |tx| start_revocation_in_tx(tx, rule_id, reason, act))
}

async fn start_revocation_in_tx(tx: &Tx<'_>, rule_id: &RuleId, reason: &str, act: &Act) -> Result<RunStarted> {
    rules::load(tx, rule_id).await?;
    let run = new_run(RunKind::Revocation, Scope::Holders, rule_id, Some(reason), act);
    let started = create(tx, &run).await?;
    let sides = Sides::made(&json!({ "run_id": run.run_id })).because(reason);
    audit_log::append(tx, act, Action::RuleRevoke, Subject::Rule(rule_id), sides).await?;
    Ok(started)
}

fn new_run(kind: RunKind, scope: Scope, rule_id: &RuleId, reason: Option<&str>, act: &Act) -> NewRun {
    NewRun {
        run_id: RunId((act.context.new_id)()),
        kind,
        scope,
        rewards: Rewards::Evaluate,
        created_by: act.actor.clone(),
        created_at: act.context.now,
        rule_id: Some(rule_id.clone()),
        reason: reason.map(str::to_owned),
    }
}

/// Cancels the open grants that players of a locked shard hold of the run's rule. The actor is the person who started
/// the run.
pub(crate) async fn revoke_in_tx(tx: &Tx<'_>, shard: &Shard, context: Context) -> Result<RewardTotals> {
    let rule_id = shard.rule_id.as_ref().map(RuleId::as_str);
    let revoke = Cause {
        actor: &shard.created_by,
        reason: shard.reason.as_deref(),
        context,
    };
    let ids = shards::lock_players(tx, shard).await?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut journal = Journal::default();
    let mut accounts = store::wallet::accounts::load(tx, &ids).await?;
    // Grants that are due to expire expire; they are not cancelled.
    books::settle(tx, &mut accounts, &Cause { reason: None, ..revoke }).await?;
    for mut account in accounts {
        let held = account
            .grants()
            .iter()
            .filter(|grant| grant.status.is_open() && grant.rule_id.as_deref() == rule_id);
        for grant_id in held.map(|grant| grant.grant_id).collect::<Vec<_>>() {
            account.end_grant(grant_id, GrantStatus::Cancelled, &revoke)?;
        }
        journal.append(account.into_journal());
    }
    let cancelled = journal
        .transitions
        .iter()
        .filter(|step| step.to == GrantStatus::Cancelled);
    let totals = RewardTotals {
        players: ids.len(),
        revoked: cancelled.clone().count(),
        taken_back: cancelled.map(|step| step.lost).sum(),
        ..RewardTotals::default()
    };
    let _scheduled = books::write(tx, &journal, &[], Slot::of((shard.run_id, shard.shard)), context).await?;
    shards::rewarded(tx, shard, &totals, context.now).await?;
    shards::done(tx, shard.run_id, context.now).await?;
    Ok(totals)
}
