//! Grants: every reward issued, and the decisions behind them.

use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::page::Page;
use crate::statement;
use domain::id::{EvaluationId, GrantId, PlayerId, RunId};
use domain::money::Asset;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use uuid::Uuid;

const ADD: &str = include_str!("../sql/grants_add.sql");

const ADD_DECISIONS: &str = "
INSERT INTO reward_decisions (player_id, evaluation_id, run_id, evaluated_at, facts, decisions)
SELECT player_id, evaluation_id, $5, $6, facts, decisions
FROM unnest($1::text[], $2::uuid[], $3::json[], $4::json[]) AS n (player_id, evaluation_id, facts, decisions)";

const OPEN_BUDGETS: &str = "
INSERT INTO rule_budgets (rule_id, day, reserved)
SELECT rule_id, day, 0
FROM unnest($1::text[]) AS r (rule_id)
CROSS JOIN (VALUES (NULL::date), ($2::date)) AS d (day)
ORDER BY rule_id, day
ON CONFLICT (rule_id, day) DO NOTHING";

const LOCK_BUDGETS: &str = "
SELECT rule_id, day, reserved
FROM rule_budgets
WHERE rule_id = ANY($1)
  AND (day IS NULL OR day = $2)
ORDER BY rule_id, day
FOR UPDATE";

const RESERVE: &str = "
UPDATE rule_budgets b
SET reserved = b.reserved + n.cost
FROM unnest($1::text[], $2::numeric[]) AS n (rule_id, cost)
WHERE b.rule_id = n.rule_id
  AND (b.day IS NULL OR b.day = $3)";

const DECISIONS: &str = "
SELECT evaluation_id, run_id, evaluated_at, facts, decisions
FROM reward_decisions
WHERE player_id = $1
  AND ($2::uuid IS NULL OR evaluation_id < $2)
ORDER BY evaluation_id DESC
OFFSET $3
LIMIT $4";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[ADD, ADD_DECISIONS, OPEN_BUDGETS, LOCK_BUDGETS, RESERVE, OPEN_GRANTS, DECISIONS];

/// A grant as it is made.
#[derive(Debug, Clone, PartialEq)]
pub struct NewGrant {
    pub player_id: PlayerId,
    pub grant_id: GrantId,
    /// `None`: given by a person.
    pub rule: Option<GrantedRule>,
    pub reward_type: &'static str,
    pub asset: Asset,
    pub amount: Decimal,
    /// Expected, in money.
    pub cost: Decimal,
    pub expected_revenue: Option<Decimal>,
    pub status: &'static str,
    /// What the grant holds: its amount while it is open, 0 for points and tickets.
    pub balance: Decimal,
    pub wagering_required: Decimal,
    /// JSON of the terms of a BONUS grant.
    pub terms: Option<Value>,
    pub issued_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedRule {
    pub rule_id: String,
    pub version: i32,
    pub period_key: String,
    pub evaluation_id: EvaluationId,
}

/// Writes the grants in one statement. The unique key (player, rule, period) refuses a second one.
pub async fn add(tx: &Tx<'_>, grants: &[NewGrant]) -> Result<()> {
    if grants.is_empty() {
        return Ok(());
    }
    let rules: Vec<Option<&GrantedRule>> = grants.iter().map(|grant| grant.rule.as_ref()).collect();
    statement::execute(
        tx,
        ADD,
        &[
            &grants.iter().map(|grant| grant.player_id.as_str()).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.grant_id.0).collect::<Vec<_>>(),
            &rules.iter().map(|rule| rule.map(|rule| rule.rule_id.as_str())).collect::<Vec<_>>(),
            &rules.iter().map(|rule| rule.map(|rule| rule.version)).collect::<Vec<_>>(),
            &rules.iter().map(|rule| rule.map(|rule| rule.period_key.as_str())).collect::<Vec<_>>(),
            &rules.iter().map(|rule| rule.map(|rule| rule.evaluation_id.0)).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.reward_type).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.asset.as_str()).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.amount).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.cost).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.expected_revenue).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.status).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.balance).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.wagering_required).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.terms.as_ref()).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.issued_at).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.expires_at).collect::<Vec<_>>(),
            &grants.iter().map(|grant| grant.closed_at).collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

/// What one evaluation of a player decided, already written as JSON.
#[derive(Debug)]
pub struct NewDecision {
    pub player_id: PlayerId,
    pub evaluation_id: EvaluationId,
    pub facts: Box<RawValue>,
    pub decisions: Box<RawValue>,
}

pub async fn add_decisions(tx: &Tx<'_>, decisions: &[NewDecision], run_id: Option<RunId>, now: Timestamp) -> Result<()> {
    if decisions.is_empty() {
        return Ok(());
    }
    statement::execute(
        tx,
        ADD_DECISIONS,
        &[
            &decisions.iter().map(|decision| decision.player_id.as_str()).collect::<Vec<_>>(),
            &decisions.iter().map(|decision| decision.evaluation_id.0).collect::<Vec<_>>(),
            &decisions.iter().map(|decision| Json(&decision.facts)).collect::<Vec<_>>(),
            &decisions.iter().map(|decision| Json(&decision.decisions)).collect::<Vec<_>>(),
            &run_id.map(|id| id.0),
            &now,
        ],
    )
    .await?;
    Ok(())
}

/// What one evaluation decided about a player for whom a rule matched.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoredDecisions {
    pub evaluation_id: EvaluationId,
    pub run_id: Option<RunId>,
    pub evaluated_at: Timestamp,
    /// Those that the matching rules read.
    pub facts: Value,
    /// In order of priority, refused ones too, each with the figures of its gates.
    pub decisions: Value,
}

/// Newest first.
pub async fn decisions(executor: &impl Executor, player_id: &PlayerId, page: &Page<Uuid>) -> Result<Vec<StoredDecisions>> {
    let params: statement::Params<'_> = &[&player_id.as_str(), &page.after, &page.skip, &page.limit];
    statement::rows(executor, DECISIONS, params)
        .await?
        .iter()
        .map(|row| {
            let run_id: Option<Uuid> = row.try_get("run_id")?;
            Ok(StoredDecisions {
                evaluation_id: EvaluationId(row.try_get("evaluation_id")?),
                run_id: run_id.map(RunId),
                evaluated_at: row.try_get("evaluated_at")?,
                facts: row.try_get("facts")?,
                decisions: row.try_get("decisions")?,
            })
        })
        .collect()
}

/// Money that grants of a rule have reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    pub rule_id: String,
    /// `None`: over the whole life of the rule.
    pub day: Option<Date>,
    pub reserved: Decimal,
}

/// Locks what rules with a budget have reserved, for their life and for `today`. Whoever grants one of them waits for
/// us until we commit: that is what keeps a budget exact.
pub async fn lock_budgets(tx: &Tx<'_>, rule_ids: &[&str], today: Date) -> Result<Vec<Reserved>> {
    if rule_ids.is_empty() {
        return Ok(Vec::new());
    }
    statement::execute(tx, OPEN_BUDGETS, &[&rule_ids, &today]).await?;
    let rows = statement::rows(tx, LOCK_BUDGETS, &[&rule_ids, &today]).await?;
    rows.iter()
        .map(|row| Ok(Reserved { rule_id: row.try_get("rule_id")?, day: row.try_get("day")?, reserved: row.try_get("reserved")? }))
        .collect()
}

/// Adds the cost of grants to the locked budgets of their rules. Each rule comes once.
pub async fn reserve(tx: &Tx<'_>, costs: &[(&str, Decimal)], today: Date) -> Result<()> {
    if costs.is_empty() {
        return Ok(());
    }
    let (rule_ids, costs): (Vec<&str>, Vec<Decimal>) = costs.iter().copied().unzip();
    statement::execute(tx, RESERVE, &[&rule_ids, &costs, &today]).await?;
    Ok(())
}

/// A BONUS grant that is not over.
#[derive(Debug, Clone, PartialEq)]
pub struct OpenGrant {
    pub grant_id: GrantId,
    pub rule_id: Option<String>,
    pub status: String,
    pub amount: Decimal,
    pub balance: Decimal,
    pub wagering_required: Decimal,
    pub wagering_completed: Decimal,
    pub issued_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

const OPEN_GRANTS: &str = "
SELECT grant_id, rule_id, status, amount, balance, wagering_required, wagering_completed, issued_at, expires_at
FROM grants
WHERE player_id = $1
  AND status IN ('PENDING', 'ACTIVE')
ORDER BY expires_at NULLS LAST, grant_id";

/// In the order in which stakes feed them.
pub async fn open_grants(executor: &impl Executor, player_id: &PlayerId) -> Result<Vec<OpenGrant>> {
    let rows = statement::rows(executor, OPEN_GRANTS, &[&player_id.as_str()]).await?;
    rows.iter()
        .map(|row| {
            Ok(OpenGrant {
                grant_id: GrantId(row.try_get("grant_id")?),
                rule_id: row.try_get("rule_id")?,
                status: row.try_get("status")?,
                amount: row.try_get("amount")?,
                balance: row.try_get("balance")?,
                wagering_required: row.try_get("wagering_required")?,
                wagering_completed: row.try_get("wagering_completed")?,
                issued_at: row.try_get("issued_at")?,
                expires_at: row.try_get("expires_at")?,
            })
        })
        .collect::<Result<Vec<_>, Error>>()
}
