//! Rewards of a shard: lock its players, read what the rules need, decide in memory, and write grants, postings and
//! decisions in one transaction with the shard's mark. What was delivered twice finds the mark.

use crate::error::{Error, Result};
use crate::issue::{Act, Issued};
use crate::program::Program;
use crate::runs::ShardMessage;
use crate::segmentation::lock;
use crate::snapshot;
use domain::context::Context;
use domain::evaluate::{BudgetRooms, Candidate, Evaluation, GrantIntent, RuleSet, Verdict, evaluate};
use domain::facts::Facts;
use domain::gate::GateFigures;
use domain::id::{EvaluationId, GrantId, PlayerId, RuleId, TransactionId};
use domain::money::Asset;
use domain::rule::Trigger;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::value::to_raw_value;
use std::collections::{BTreeMap, HashMap};
use store::grants::{GrantedRule, NewDecision, NewGrant};
use store::ledger::Wallets;
pub use store::runs::RewardTotals;
use store::runs::{RunKind, Shard};
use store::stats::Slot;
use store::{Db, Tx, transaction};

const ACTOR: &str = "reward-worker";

/// Evaluates the players of a shard whose segments are done. Delivered again it changes nothing.
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
    let program = Program::load(tx, context.now).await?;
    let rules = program.rules(tx).await?;
    let ids = store::runs::lock_players(tx, &shard).await?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let players = snapshot::load(tx, &ids, &program).await?;
    let mut wallets = store::ledger::wallets(tx, &ids).await?;
    let mut budgets = lock_budgets(tx, &rules, &program).await?;

    let live = rules.live(trigger(&shard), &program.moment);
    let mut batch = Batch::new(context);
    for player in &players {
        let facts = Facts::of(player, &program.catalogue, &program.moment, None);
        let candidate = Candidate { player, facts: &facts, event: None };
        let evaluation = evaluate(&candidate, &live, &program.settings, &mut budgets);
        batch.add(&candidate, evaluation, &mut wallets)?;
    }
    batch.write(tx, &shard, &rules, program.moment.today()).await
}

fn trigger(shard: &Shard) -> Trigger {
    match shard.kind {
        RunKind::Import => Trigger::Import,
        RunKind::Recalculation | RunKind::Batch => Trigger::Recalculation,
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
    issued: Issued,
    decisions: Vec<NewDecision>,
    totals: RewardTotals,
}

impl Batch {
    fn new(context: Context) -> Self {
        Self { context, issued: Issued::default(), decisions: Vec::new(), totals: RewardTotals::default() }
    }

    fn add(&mut self, candidate: &Candidate<'_>, mut evaluation: Evaluation, wallets: &mut Wallets) -> Result<()> {
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
            let grant = self.grant(player_id, evaluation_id, intent)?;
            let act = Act { kind: "reward_grant", actor: ACTOR, reason: None, now: self.context.now };
            self.issued.issue(grant, TransactionId((self.context.new_id)()), expires, wallets, act)?;
        }
        Ok(())
    }

    fn grant(&self, player_id: &PlayerId, evaluation_id: EvaluationId, intent: GrantIntent) -> Result<NewGrant> {
        let is_bonus = intent.asset == Asset::Bonus;
        let waits = intent.terms.as_ref().is_some_and(|terms| terms.requires_opt_in);
        let status = match (is_bonus, waits) {
            (true, true) => "PENDING",
            (true, false) => "ACTIVE",
            (false, _) => "COMPLETED",
        };
        let now = self.context.now;
        Ok(NewGrant {
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
            status,
            balance: if status == "ACTIVE" { intent.amount } else { Decimal::ZERO },
            wagering_required: intent.wagering_required,
            terms: intent.terms.map(|terms| serde_json::to_value(&terms)).transpose().map_err(unwritable)?,
            issued_at: now,
            expires_at: intent.expires_at,
            closed_at: (!is_bonus).then_some(now),
        })
    }

    async fn write(mut self, tx: &Tx<'_>, shard: &Shard, rules: &RuleSet, today: Date) -> Result<RewardTotals> {
        let now = self.context.now;
        self.totals.cost = self.issued.cost();
        store::grants::reserve(tx, &budgeted_costs(&self.issued.grants, rules), today).await?;
        store::grants::add_decisions(tx, &self.decisions, Some(shard.run_id), now).await?;
        self.issued.write(tx, Slot::of((shard.run_id, shard.shard)), now).await?;
        store::runs::rewarded(tx, shard, &self.totals, now).await?;
        store::runs::shard_done(tx, shard.run_id, now).await?;
        Ok(self.totals)
    }
}

/// Cost of the grants, by rule, of the rules with a budget.
fn budgeted_costs<'a>(grants: &'a [NewGrant], rules: &RuleSet) -> Vec<(&'a str, Decimal)> {
    let mut costs: BTreeMap<&str, Decimal> = BTreeMap::new();
    for grant in grants {
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
