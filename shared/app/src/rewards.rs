//! Rewards of a shard: lock its players, read what the rules need, decide in memory, and write grants, postings and
//! decisions in one transaction with the shard's mark. What was delivered twice finds the mark. The shards of a revocation
//! come the same way.

use crate::books;
use crate::error::{Error, Result};
use crate::program::Program;
use crate::rule_runs;
use crate::runs::ShardMessage;
use crate::segmentation::lock;
use crate::snapshot;
use domain::account::{Book, Journal};
use domain::bonus::{GrantedRule, NewGrant};
use domain::context::Context;
use domain::evaluate::{BudgetRooms, Candidate, Evaluation, GrantIntent, RuleSet, Verdict, evaluate};
use domain::facts::Facts;
use domain::gate::GateFigures;
use domain::id::{EvaluationId, GrantId, PlayerId, RuleId};
use domain::ledger::{Act, Kind};
use domain::rule::Trigger;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::value::to_raw_value;
use std::collections::{BTreeMap, HashMap};
use store::grants::NewDecision;
pub use store::runs::RewardTotals;
use store::runs::{RunKind, Shard};
use store::stats::Slot;
use store::{Db, Tx, transaction};

const ACTOR: &str = "reward-worker";

/// Evaluates the players of a shard whose segments are done, or takes back what the run's rule gave them. Delivered again it
/// changes nothing.
pub async fn run_shard(db: &Db, message: ShardMessage, context: Context) -> Result<RewardTotals> {
    transaction!(db, |tx| run_shard_in_tx(tx, message, context))
}

async fn run_shard_in_tx(tx: &Tx<'_>, message: ShardMessage, context: Context) -> Result<RewardTotals> {
    let shard = lock(tx, message).await?;
    if shard.failed || shard.rewarded {
        return Ok(RewardTotals::default());
    }
    if !shard.segmented {
        return Err(Error::conflict("not_segmented", format!("shard {} of run {} has no segments yet", shard.shard, shard.run_id)));
    }
    if shard.kind == RunKind::Revocation {
        return rule_runs::revoke_in_tx(tx, &shard, context).await;
    }
    let program = Program::load(tx, context.now).await?;
    let rules = program.rules(tx).await?;
    let rules = match &shard.rule_id {
        Some(rule_id) => rules.only(rule_id),
        None => rules,
    };
    let ids = store::runs::lock_players(tx, &shard).await?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let mut players = snapshot::load(tx, &ids, &program).await?;
    // The evaluation of one rule pays what its simulation showed: at the score that stands.
    if shard.kind != RunKind::Evaluation {
        crate::risk::scan_snapshots(tx, &mut players, &program.settings, context).await?;
    }
    let mut books = store::ledger::books(tx, &ids).await?;
    let mut budgets = lock_budgets(tx, &rules, &program).await?;

    let live = match trigger(&shard) {
        Some(trigger) => rules.live(trigger, &program.moment),
        None => rules.switched_on(&program.moment),
    };
    let mut batch = Batch::new(context);
    batch.totals.players = players.len();
    for player in &players {
        let facts = Facts::of(player, &program.catalogue, &program.moment, None);
        let candidate = Candidate { player, facts: &facts, event: None };
        let evaluation = evaluate(&candidate, &live, &program.settings, &mut budgets);
        let book = books.remove(player.player_id.as_str()).ok_or_else(|| Error::not_found("player", &player.player_id))?;
        batch.add(&candidate, evaluation, book)?;
    }
    batch.write(tx, &shard, &rules, program.moment.today()).await
}

/// `None`: a person asked for the rule, which needs no trigger then.
fn trigger(shard: &Shard) -> Option<Trigger> {
    match shard.kind {
        RunKind::Import => Some(Trigger::Import),
        RunKind::Recalculation | RunKind::Batch => Some(Trigger::Recalculation),
        RunKind::Evaluation | RunKind::Revocation => None,
    }
}

/// What is left of the budgets of the rules that have one; locked until we commit.
async fn lock_budgets(tx: &Tx<'_>, rules: &RuleSet, program: &Program) -> Result<BudgetRooms> {
    let budgeted: Vec<&str> = rules.iter().filter(|(rule, _)| rule.budget.is_some()).map(|(rule, _)| rule.rule_id.as_str()).collect();
    let mut reserved: HashMap<String, (Decimal, Decimal)> = HashMap::new();
    for row in store::grants::lock_budgets(tx, &budgeted, program.moment.today()).await? {
        let entry = reserved.entry(row.rule_id).or_default();
        match row.day {
            None => entry.0 = row.reserved,
            Some(_) => entry.1 = row.reserved,
        }
    }
    Ok(BudgetRooms::of(rules, |rule_id: &RuleId| reserved.get(rule_id.as_str()).copied().unwrap_or_default()))
}

/// What the evaluations of some players write.
struct Batch {
    context: Context,
    journal: Journal,
    decisions: Vec<NewDecision>,
    totals: RewardTotals,
}

impl Batch {
    fn new(context: Context) -> Self {
        Self { context, journal: Journal::default(), decisions: Vec::new(), totals: RewardTotals::default() }
    }

    fn add(&mut self, candidate: &Candidate<'_>, mut evaluation: Evaluation, mut book: Book) -> Result<()> {
        if evaluation.decisions.is_empty() {
            return Ok(());
        }
        let evaluation_id = EvaluationId((self.context.new_id)());
        let player_id = &candidate.player.player_id;
        let facts = candidate.facts.to_json(evaluation.facts_read.iter().copied());
        self.totals.matched += 1;
        self.totals.granted += evaluation.grants.len();
        self.totals.reduced += count(&evaluation, Verdict::Reduced);
        self.totals.refused += count(&evaluation, Verdict::Refused);
        // Gates that let the amount pass say nothing, and would be most of what is written.
        for decision in &mut evaluation.decisions {
            decision.gates.retain(GateFigures::is_kept);
        }
        self.decisions.push(NewDecision {
            player_id: player_id.clone(),
            evaluation_id,
            facts: to_raw_value(&facts).map_err(unwritable)?,
            decisions: to_raw_value(&evaluation.decisions).map_err(unwritable)?,
        });
        for intent in evaluation.grants {
            let expires = intent.lp_expires_at;
            let grant = self.grant(player_id, evaluation_id, intent);
            let act = Act { actor: ACTOR, reason: None, context: self.context };
            let operation = act.operation(Kind::RewardGrant, grant.grant_id.to_string());
            book.issue(grant, expires, &operation, &act)?;
        }
        self.journal.append(book.into_journal());
        Ok(())
    }

    fn grant(&self, player_id: &PlayerId, evaluation_id: EvaluationId, intent: GrantIntent) -> NewGrant {
        NewGrant {
            player_id: player_id.clone(),
            grant_id: GrantId((self.context.new_id)()),
            rule: Some(GrantedRule {
                rule_id: intent.rule_id.into(),
                version: intent.rule_version,
                period_key: intent.period_key,
                evaluation_id,
            }),
            reward_type: intent.reward_type.as_str(),
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

    async fn write(mut self, tx: &Tx<'_>, shard: &Shard, rules: &RuleSet, today: Date) -> Result<RewardTotals> {
        let now = self.context.now;
        self.totals.cost = self.journal.cost();
        store::grants::reserve(tx, &budgeted_costs(&self.journal, rules), today).await?;
        store::grants::add_decisions(tx, &self.decisions, Some(shard.run_id), now).await?;
        let _scheduled = books::write(tx, &self.journal, &[], Slot::of((shard.run_id, shard.shard)), self.context).await?;
        store::runs::rewarded(tx, shard, &self.totals, now).await?;
        store::runs::shard_done(tx, shard.run_id, now).await?;
        Ok(self.totals)
    }
}

/// Cost of the grants, by rule, of the rules with a budget.
fn budgeted_costs<'a>(journal: &'a Journal, rules: &RuleSet) -> Vec<(&'a str, Decimal)> {
    let mut costs: BTreeMap<&str, Decimal> = BTreeMap::new();
    for (grant, _) in &journal.new_grants {
        if let Some(rule) = &grant.rule {
            *costs.entry(rule.rule_id.as_str()).or_default() += grant.cost;
        }
    }
    let has_budget = |rule_id: &str| rules.iter().any(|(rule, _)| rule.rule_id.as_str() == rule_id && rule.budget.is_some());
    costs.into_iter().filter(|(rule_id, _)| has_budget(rule_id)).collect()
}

fn count(evaluation: &Evaluation, verdict: Verdict) -> usize {
    evaluation.decisions.iter().filter(|decision| decision.verdict == verdict).count()
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::Stored { what: "decision", detail: error.to_string() }
}
