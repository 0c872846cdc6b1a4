//! Rewards of a shard: lock its players, read what the rules need, decide in memory, and write grants, postings and
//! decisions in one transaction that also marks the shard as done. A second delivery finds the mark and does nothing.
//! Revocations take the same path, and [`crate::runs::triggers`] evaluates and writes events of single players with the
//! same code.
//!
//! # Choices
//!
//! * A decision stores the figures of the profit gate and of every gate that changed the amount. Storing all five gates
//!   for each rule took two thirds of what a run writes; `POST /rules/{id}/test` still shows all.
//! * A grant that would leave the range of a wallet is not applicable, with the reason. Its player's other grants of
//!   the same evaluation are withdrawn too, their budget is free again, and the other players of the shard are paid.

use crate::error::{Error, Result};
use crate::program::Program;
use crate::program::snapshot;
use crate::runs::ShardMessage;
use crate::runs::rule_runs;
use crate::runs::segmentation::lock;
use crate::runs::simulation_runs;
use crate::wallet::books;
use domain::account::{AccountError, Book, Journal};
use domain::bonus::{GrantedRule, NewGrant};
use domain::context::Context;
use domain::evaluate::{BudgetRooms, Candidate, Evaluation, GrantIntent, LiveRules, RuleSet, Verdict, evaluate};
use domain::facts::{FactSource, Facts};
use domain::gate::GateFigures;
use domain::id::{EvaluationId, GrantId, PlayerId, RuleId, RunId};
use domain::ledger::{Cause, Kind, LedgerError};
use domain::rule::Trigger;
use domain::run::RunKind;
use rust_decimal::Decimal;
use serde_json::value::to_raw_value;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use store::platform::stats::Slot;
use store::rules::decisions::NewDecision;
pub use store::runs::shards::RewardTotals;
use store::runs::shards::{self, Shard};
use store::{Db, Tx, transaction};

const ACTOR: &str = "reward-worker";

/// Why a shard cannot be evaluated yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RewardError {
    #[error("shard {shard} of run {run_id} has no segments yet")]
    NotSegmented { run_id: RunId, shard: i32 },
}

impl RewardError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NotSegmented { .. } => "not_segmented",
        }
    }
}

/// Evaluates the players of a segmented shard, or revokes their grants of the run's rule. A second delivery changes
/// nothing.
pub async fn run_shard(db: &Db, message: ShardMessage, context: Context) -> Result<RewardTotals> {
    let done: Result<_> = transaction!(db, |tx| run_shard_in_tx(tx, message, context));
    match done? {
        Some(totals) => Ok(totals),
        None => Box::pin(simulation_runs::run(db, message, context)).await,
    }
}

/// Returns `None` for a simulation, which does not fit into one transaction.
async fn run_shard_in_tx(tx: &Tx<'_>, message: ShardMessage, context: Context) -> Result<Option<RewardTotals>> {
    let shard = lock(tx, message).await?;
    if shard.failed || shard.rewarded {
        return Ok(Some(RewardTotals::default()));
    }
    if shard.kind == RunKind::Simulation {
        return Ok(None);
    }
    if !shard.segmented {
        return Err(RewardError::NotSegmented {
            run_id: shard.run_id,
            shard: shard.shard,
        }
        .into());
    }
    if shard.kind == RunKind::Revocation {
        return rule_runs::revoke_in_tx(tx, &shard, context).await.map(Some);
    }
    let program = Program::load(tx, context.now).await?;
    let rules = program.rules(tx).await?;
    let rules = match &shard.rule_id {
        Some(rule_id) => rules.only(rule_id),
        None => rules,
    };
    let ids = shards::lock_players(tx, &shard).await?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let live = Applying::to(&shard, &rules, &program);
    let mut players = snapshot::load(tx, &ids, &program, live.sources(&program)).await?;
    // An evaluation of one rule must grant what its simulation showed, so it keeps the stored risk scores.
    if shard.kind != RunKind::Evaluation {
        crate::players::risk::scan_snapshots(tx, &mut players, &program.settings, context).await?;
    }
    let mut books = store::wallet::ledger::books(tx, &ids).await?;
    let mut batch = Batch::open(tx, &rules, &program, context).await?;
    let moved = live.moved(tx, &shard).await?;
    for player in &players {
        let facts = Facts::of(player, &program.catalogue, &program.moment, None);
        let candidate = Candidate {
            player,
            facts: &facts,
            event: None,
        };
        let rules = if moved.contains(player.player_id.as_str()) {
            &live.to_moved
        } else {
            &live.to_all
        };
        let evaluation = evaluate(&candidate, rules, &program.settings, batch.budgets());
        let book = books
            .remove(player.player_id.as_str())
            .ok_or_else(|| Error::not_found("player", &player.player_id))?;
        batch.add(&candidate, evaluation, book)?;
    }
    let mut totals = batch
        .write(tx, Some(shard.run_id), Slot::of((shard.run_id, shard.shard)), &program)
        .await?;
    totals.players = players.len();
    shards::rewarded(tx, &shard, &totals, context.now).await?;
    shards::done(tx, shard.run_id, context.now).await?;
    Ok(Some(totals))
}

/// The rules that apply to the players of a shard. A player whose segment the run changed is evaluated once, for the
/// run's trigger and the segment change together.
struct Applying<'a> {
    to_all: LiveRules<'a>,
    to_moved: LiveRules<'a>,
}

impl<'a> Applying<'a> {
    fn to(shard: &Shard, rules: &'a RuleSet, program: &Program) -> Self {
        let moment = &program.moment;
        match trigger(shard) {
            None => Self {
                to_all: rules.switched_on(moment),
                to_moved: rules.switched_on(moment),
            },
            Some(trigger) => Self {
                to_all: rules.live(trigger, moment),
                to_moved: rules.live_where(moment, |rule| {
                    rule.is_live(trigger, moment) || rule.is_live(Trigger::SegmentChanged, moment)
                }),
            },
        }
    }

    /// What the rules read.
    fn sources(&self, program: &Program) -> BTreeSet<FactSource> {
        let rules = [&self.to_all, &self.to_moved];
        rules
            .into_iter()
            .flat_map(|rules| rules.sources(&program.catalogue))
            .collect()
    }

    /// Players whose segment the run changed; empty if that makes no difference.
    async fn moved(&self, tx: &Tx<'_>, shard: &Shard) -> Result<HashSet<String>> {
        if self.to_all.len() == self.to_moved.len() {
            return Ok(HashSet::new());
        }
        Ok(
            store::players::segments::changed_by(tx, shard.run_id, &shard.first_player_id, &shard.last_player_id)
                .await?,
        )
    }
}

/// `None`: a person started the run for one rule, which needs no trigger.
fn trigger(shard: &Shard) -> Option<Trigger> {
    match shard.kind {
        RunKind::Import => Some(Trigger::Import),
        RunKind::Recalculation | RunKind::Batch => Some(Trigger::Recalculation),
        RunKind::Evaluation | RunKind::Revocation | RunKind::Simulation => None,
    }
}

/// The remaining budgets of the rules that have one, locked until the commit.
async fn lock_budgets(tx: &Tx<'_>, rules: &RuleSet, program: &Program) -> Result<BudgetRooms> {
    let budgeted: Vec<&str> = rules
        .iter()
        .filter(|(rule, _)| rule.budget.is_some())
        .map(|(rule, _)| rule.rule_id.as_str())
        .collect();
    let mut reserved: HashMap<String, (Decimal, Decimal)> = HashMap::new();
    for row in store::rules::budgets::lock(tx, &budgeted, program.moment.today()).await? {
        let entry = reserved.entry(row.rule_id).or_default();
        match row.day {
            None => entry.0 = row.reserved,
            Some(_) => entry.1 = row.reserved,
        }
    }
    Ok(BudgetRooms::of(rules, |rule_id: &RuleId| {
        reserved.get(rule_id.as_str()).copied().unwrap_or_default()
    }))
}

/// Collects the evaluations of locked players.
pub(crate) struct Batch<'a> {
    context: Context,
    rules: &'a RuleSet,
    budgets: BudgetRooms,
    journal: Journal,
    decisions: Vec<NewDecision>,
    totals: RewardTotals,
}

impl<'a> Batch<'a> {
    /// Locks the budgets of the rules until the commit.
    pub async fn open(tx: &Tx<'_>, rules: &'a RuleSet, program: &Program, context: Context) -> Result<Self> {
        let budgets = lock_budgets(tx, rules, program).await?;
        Ok(Self {
            context,
            rules,
            budgets,
            journal: Journal::default(),
            decisions: Vec::new(),
            totals: RewardTotals::default(),
        })
    }

    /// The remaining budgets.
    pub fn budgets(&mut self) -> &mut BudgetRooms {
        &mut self.budgets
    }

    pub fn add(&mut self, candidate: &Candidate<'_>, mut evaluation: Evaluation, book: Book) -> Result<()> {
        if evaluation.decisions.is_empty() {
            return Ok(());
        }
        let evaluation_id = EvaluationId((self.context.new_id)());
        let player_id = &candidate.player.player_id;
        match self.issue(player_id, evaluation_id, &evaluation.grants, book) {
            Ok(journal) => self.journal.append(journal),
            Err(AccountError::Ledger(full @ LedgerError::OutOfRange { .. })) => {
                evaluation.withdraw(&full.to_string(), &mut self.budgets);
            }
            Err(error) => return Err(error.into()),
        }
        let facts = candidate.facts.to_json(evaluation.facts_read.iter().copied());
        self.totals.matched += 1;
        self.totals.granted += evaluation.grants.len();
        self.totals.reduced += count(&evaluation, Verdict::Reduced);
        self.totals.refused += count(&evaluation, Verdict::Refused);
        // Gates that passed the amount unchanged carry no information and would dominate what is stored.
        for decision in &mut evaluation.decisions {
            decision.gates.retain(GateFigures::is_kept);
        }
        self.decisions.push(NewDecision {
            player_id: player_id.clone(),
            evaluation_id,
            facts: to_raw_value(&facts).map_err(unwritable)?,
            decisions: to_raw_value(&evaluation.decisions).map_err(unwritable)?,
        });
        Ok(())
    }

    /// What the grants change in the player's book: all of them, or nothing.
    fn issue(
        &self,
        player_id: &PlayerId,
        evaluation_id: EvaluationId,
        grants: &[GrantIntent],
        mut book: Book,
    ) -> Result<Journal, AccountError> {
        let cause = Cause {
            actor: ACTOR,
            reason: None,
            context: self.context,
        };
        for intent in grants {
            let grant = self.grant(player_id, evaluation_id, intent.clone());
            let operation = cause.operation(Kind::RewardGrant, grant.grant_id.to_string());
            book.issue(grant, intent.lp_expires_at, &operation, &cause)?;
        }
        Ok(book.into_journal())
    }

    fn grant(&self, player_id: &PlayerId, evaluation_id: EvaluationId, intent: GrantIntent) -> NewGrant {
        NewGrant {
            player_id: player_id.clone(),
            grant_id: GrantId((self.context.new_id)()),
            rule: Some(GrantedRule {
                rule_id: intent.rule_id.into(),
                version: intent.rule_version,
                claim: intent.claim,
                evaluation_id,
            }),
            reward_type: intent.reward_type,
            asset: intent.asset,
            amount: intent.amount,
            cost: intent.cost,
            expected_revenue: Some(intent.expected_revenue),
            wagering_required: intent.wagering_required,
            terms: intent.terms,
            issued_at: self.context.now,
            expires_at: intent.expires_at,
        }
    }

    /// `run_id`: the run, if there is one.
    pub async fn write(
        mut self,
        tx: &Tx<'_>,
        run_id: Option<RunId>,
        slot: Slot,
        program: &Program,
    ) -> Result<RewardTotals> {
        let now = self.context.now;
        self.totals.cost = self.journal.cost();
        store::rules::budgets::reserve(tx, &budgeted_costs(&self.journal, self.rules), program.moment.today()).await?;
        store::rules::decisions::add(tx, &self.decisions, run_id, now).await?;
        // The scheduler sends the resulting triggers: a worker cannot send to its own queue.
        let _tiers = books::write(tx, &self.journal, &[], slot, self.context).await?;
        Ok(self.totals)
    }
}

/// Cost of the new grants by rule, for rules with a budget.
fn budgeted_costs<'a>(journal: &'a Journal, rules: &RuleSet) -> Vec<(&'a str, Decimal)> {
    let mut costs: BTreeMap<&str, Decimal> = BTreeMap::new();
    for (grant, _) in &journal.new_grants {
        if let Some(rule) = &grant.rule {
            *costs.entry(rule.rule_id.as_str()).or_default() += grant.cost;
        }
    }
    let has_budget = |rule_id: &str| {
        rules
            .iter()
            .any(|(rule, _)| rule.rule_id.as_str() == rule_id && rule.budget.is_some())
    };
    costs.into_iter().filter(|(rule_id, _)| has_budget(rule_id)).collect()
}

fn count(evaluation: &Evaluation, verdict: Verdict) -> usize {
    evaluation
        .decisions
        .iter()
        .filter(|decision| decision.verdict == verdict)
        .count()
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::stored("decision", error)
}
