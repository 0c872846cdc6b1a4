//! Grants: every reward issued, and the history of its status.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::row::{player_id, word};
use crate::statement::{self, text};
use domain::bonus::{Grant, GrantStatus, GrantTerms, NewGrant, Transition};
use domain::id::{EvaluationId, GrantId, PlayerId, TransactionId};
use domain::money::Asset;
use domain::rule::RewardType;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use std::collections::HashSet;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

columns! {
    struct NewGrantRow<'a> => NewGrants () {
        player_id: text = &'a PlayerId,
        grant_id: uuid = GrantId,
        rule_id: text = Option<&'a str>,
        rule_version: integer = Option<i32>,
        period_key: text = Option<&'a str>,
        period_from: timestamptz = Option<Timestamp>,
        period_until: timestamptz = Option<Timestamp>,
        exclusive_group: text = Option<&'a str>,
        entered: text = Option<&'a str>,
        evaluation_id: uuid = Option<EvaluationId>,
        reward_type: text = RewardType,
        asset: text = Asset,
        amount: numeric = Decimal,
        cost: numeric = Decimal,
        expected_revenue: numeric = Option<Decimal>,
        status: text = GrantStatus,
        balance: numeric = Decimal,
        wagering_required: numeric = Decimal,
        terms: json = Option<Json<&'a GrantTerms>>,
        issued_at: timestamptz = Timestamp,
        expires_at: timestamptz = Option<Timestamp>,
        closed_at: timestamptz = Option<Timestamp>,
        converted: numeric = Decimal,
        transitions: smallint = i16,
    }
}

const ADD: &str = text!("INSERT INTO grants (", NewGrants::NAMES, ")\n", NewGrants::SELECT);

columns! {
    struct GrantRow<'a> => Grants () {
        player_id: text = &'a PlayerId,
        grant_id: uuid = GrantId,
        status: text = GrantStatus,
        status_reason: text = Option<&'a str>,
        balance: numeric = Decimal,
        wagering_completed: numeric = Decimal,
        activated_at: timestamptz = Option<Timestamp>,
        closed_at: timestamptz = Option<Timestamp>,
        converted: numeric = Decimal,
        transitions: smallint = i16,
    }
}

const SAVE: &str = text!(
    "
UPDATE grants g
SET status = n.status,
  status_reason = n.status_reason,
  balance = n.balance,
  wagering_completed = n.wagering_completed,
  activated_at = n.activated_at,
  closed_at = n.closed_at,
  converted = n.converted,
  transitions = n.transitions
FROM ",
    Grants::UNNEST,
    "
WHERE g.player_id = n.player_id
  AND g.grant_id = n.grant_id
  AND g.status IN ('PENDING', 'ACTIVE')"
);

columns! {
    struct TransitionRow<'a> => Transitions () {
        player_id: text = &'a PlayerId,
        grant_id: uuid = GrantId,
        step: smallint = i16,
        transaction_id: uuid = TransactionId,
        at: timestamptz = Timestamp,
        from_status: text = GrantStatus,
        to_status: text = GrantStatus,
        reason: text = Option<&'a str>,
        actor: text = &'a str,
    }
}

const ADD_HISTORY: &str = text!(
    "INSERT INTO grant_history (",
    Transitions::NAMES,
    ")\n",
    Transitions::SELECT
);

// A grant that was issued as ACTIVE has no `activated_at`: it is active since it was issued.
const OPEN: &str = "
SELECT player_id, grant_id, rule_id, status, status_reason, amount, balance, wagering_required, wagering_completed,
  terms, issued_at, coalesce(activated_at, CASE WHEN status = 'ACTIVE' THEN issued_at END) AS activated_at,
  expires_at, closed_at, converted, transitions
FROM grants
WHERE player_id = ANY($1)
  AND status IN ('PENDING', 'ACTIVE')
ORDER BY player_id, expires_at NULLS LAST, issued_at, grant_id";

const GET: &str = "
SELECT player_id, grant_id, rule_id, status, status_reason, amount, balance, wagering_required, wagering_completed,
  terms, issued_at, activated_at, expires_at, closed_at, converted, transitions
FROM grants
WHERE grant_id = $1
  AND asset = 'BONUS'";

const HISTORY: &str = "
SELECT at, from_status, to_status, reason, actor, transaction_id
FROM grant_history
WHERE player_id = $1
  AND grant_id = $2
ORDER BY step";

// Each branch follows the partial index of its table, and needs a LIMIT of its own for that.
const DUE_PLAYERS: &str = "
SELECT DISTINCT player_id
FROM (
  (
    SELECT player_id
    FROM grants
    WHERE status IN ('PENDING', 'ACTIVE')
      AND expires_at IS NOT NULL
      AND expires_at <= $1
    ORDER BY expires_at
    LIMIT $3
  )
  UNION ALL
  (
    SELECT player_id
    FROM point_lots
    WHERE remaining > 0
      AND expires_at IS NOT NULL
      AND expires_at <= $1
    ORDER BY expires_at
    LIMIT $3
  )
  UNION ALL
  (
    SELECT g.player_id
    FROM grants g
    WHERE g.status = 'ACTIVE'
      AND g.balance = 0
      AND NOT EXISTS (
        SELECT
        FROM unsettled_rounds u
        WHERE u.player_id = g.player_id
          AND u.grant_id = g.grant_id
          AND u.recorded_at > $2
      )
    ORDER BY g.player_id, g.grant_id
    LIMIT $3
  )
) AS due
ORDER BY player_id
LIMIT $3";

columns! {
    /// Grants by their keys.
    pub(crate) struct GrantKey<'a> => GrantKeys (rounds_since) {
        player_id: text = &'a PlayerId,
        grant_id: uuid = GrantId,
    }
}

const IN_OPEN_ROUNDS: &str = text!(
    "
SELECT DISTINCT u.grant_id
FROM ",
    GrantKeys::UNNEST,
    "
JOIN unsettled_rounds u ON u.player_id = n.player_id AND u.grant_id = n.grant_id
WHERE u.recorded_at > $1"
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[ADD, SAVE, ADD_HISTORY, OPEN, GET, HISTORY, DUE_PLAYERS, IN_OPEN_ROUNDS];

/// Inserts grants. The unique key (player, rule, period) refuses a second grant.
pub async fn add(tx: &Tx<'_>, grants: &[(NewGrant, Grant)]) -> Result<()> {
    if grants.is_empty() {
        return Ok(());
    }
    let rows: NewGrants<'_> = grants.iter().map(new_grant_row).collect();
    statement::execute(tx, ADD, &rows.params([])).await?;
    Ok(())
}

fn new_grant_row((new, grant): &(NewGrant, Grant)) -> NewGrantRow<'_> {
    let rule = new.rule.as_ref();
    let claim = rule.map(|rule| &rule.claim);
    let entry = claim.and_then(|claim| claim.entry.as_ref());
    let span = claim.and_then(|claim| claim.span);
    NewGrantRow {
        player_id: &new.player_id,
        grant_id: new.grant_id,
        rule_id: rule.map(|rule| rule.rule_id.as_str()),
        rule_version: rule.map(|rule| rule.version),
        period_key: claim.map(|claim| claim.period_key.as_str()),
        period_from: span.map(|span| span.from).or(entry.map(|entry| entry.at)),
        period_until: span.map(|span| span.until),
        exclusive_group: claim.and_then(|claim| claim.exclusive_group.as_deref()),
        entered: entry.map(|entry| entry.entered.as_str()),
        evaluation_id: rule.map(|rule| rule.evaluation_id),
        reward_type: new.reward_type,
        asset: new.asset,
        amount: new.amount,
        cost: new.cost,
        expected_revenue: new.expected_revenue,
        status: grant.status,
        balance: grant.balance,
        wagering_required: new.wagering_required,
        terms: new.terms.as_ref().map(Json),
        issued_at: new.issued_at,
        expires_at: new.expires_at,
        closed_at: grant.closed_at,
        converted: grant.converted,
        transitions: grant.transitions,
    }
}

/// Saves open grants. The caller holds the players' locks.
///
/// # Errors
/// Fails when one of them is no longer open: a terminal grant never changes.
pub async fn save(tx: &Tx<'_>, grants: &[(PlayerId, Grant)]) -> Result<()> {
    if grants.is_empty() {
        return Ok(());
    }
    let rows: Grants<'_> = grants
        .iter()
        .map(|(player_id, grant)| GrantRow {
            player_id,
            grant_id: grant.grant_id,
            status: grant.status,
            status_reason: grant.reason.as_deref(),
            balance: grant.balance,
            wagering_completed: grant.wagering_completed,
            activated_at: grant.activated_at,
            closed_at: grant.closed_at,
            converted: grant.converted,
            transitions: grant.transitions,
        })
        .collect();
    let saved = statement::execute(tx, SAVE, &rows.params([])).await?;
    if usize::try_from(saved) != Ok(grants.len()) {
        return Err(Error::GrantsOver {
            saved,
            grants: grants.len(),
        });
    }
    Ok(())
}

pub async fn add_history(tx: &Tx<'_>, transitions: &[Transition]) -> Result<()> {
    if transitions.is_empty() {
        return Ok(());
    }
    let rows: Transitions<'_> = transitions
        .iter()
        .map(|transition| TransitionRow {
            player_id: &transition.player_id,
            grant_id: transition.grant_id,
            step: transition.step,
            transaction_id: transition.operation.transaction_id,
            at: transition.operation.at,
            from_status: transition.from,
            to_status: transition.to,
            reason: transition.reason.as_deref(),
            actor: &transition.operation.actor,
        })
        .collect();
    statement::execute(tx, ADD_HISTORY, &rows.params([])).await?;
    Ok(())
}

/// The open bonuses of the players. The bonuses of one player are in the order in which stakes feed them.
pub async fn open(executor: &impl Executor, player_ids: &[&str]) -> Result<Vec<(PlayerId, Grant)>> {
    statement::list(executor, OPEN, &[&player_ids], |row| Ok((player_id(row)?, grant(row)?))).await
}

/// A bonus, open or not, and its player.
pub async fn get(executor: &impl Executor, grant_id: GrantId) -> Result<Option<(PlayerId, Grant)>> {
    statement::optional(executor, GET, &[&grant_id.0], |row| Ok((player_id(row)?, grant(row)?))).await
}

fn grant(row: &Row) -> Result<Grant> {
    let terms: Option<Json<GrantTerms>> = row.try_get("terms")?;
    Ok(Grant {
        grant_id: GrantId(row.try_get("grant_id")?),
        rule_id: row.try_get("rule_id")?,
        status: word(row, "status")?,
        reason: row.try_get("status_reason")?,
        amount: row.try_get("amount")?,
        balance: row.try_get("balance")?,
        wagering_required: row.try_get("wagering_required")?,
        wagering_completed: row.try_get("wagering_completed")?,
        terms: terms.map(|Json(terms)| terms).unwrap_or_default(),
        issued_at: row.try_get("issued_at")?,
        activated_at: row.try_get("activated_at")?,
        expires_at: row.try_get("expires_at")?,
        closed_at: row.try_get("closed_at")?,
        converted: row.try_get("converted")?,
        transitions: row.try_get("transitions")?,
    })
}

/// One change of a bonus's status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HistoryStep {
    pub at: Timestamp,
    pub from: GrantStatus,
    pub to: GrantStatus,
    pub reason: Option<String>,
    pub actor: String,
    /// The transaction of its postings, if it moved money.
    pub transaction_id: TransactionId,
}

/// Oldest first. Not paged, because a bonus changes only a few times.
pub async fn history(executor: &impl Executor, player_id: &PlayerId, grant_id: GrantId) -> Result<Vec<HistoryStep>> {
    statement::list(executor, HISTORY, &[&player_id.as_str(), &grant_id.0], |row| {
        Ok(HistoryStep {
            at: row.try_get("at")?,
            from: word(row, "from_status")?,
            to: word(row, "to_status")?,
            reason: row.try_get("reason")?,
            actor: row.try_get("actor")?,
            transaction_id: TransactionId(row.try_get("transaction_id")?),
        })
    })
    .await
}

/// The players who have expired bonuses or points, or a bonus that is played out: at most `limit`, ordered by id.
/// Rounds recorded before `rounds_since` can no longer pay.
pub async fn due_players(
    executor: &impl Executor,
    now: Timestamp,
    rounds_since: Timestamp,
    limit: i64,
) -> Result<Vec<PlayerId>> {
    statement::list(executor, DUE_PLAYERS, &[&now, &rounds_since, &limit], player_id).await
}

/// Which of these grants, each given with its player, staked bonus money in a round that may still pay.
pub async fn in_open_rounds(
    executor: &impl Executor,
    grants: &[(&PlayerId, GrantId)],
    rounds_since: Timestamp,
) -> Result<HashSet<GrantId>> {
    if grants.is_empty() {
        return Ok(HashSet::new());
    }
    let keys: GrantKeys<'_> = grants
        .iter()
        .map(|&(player_id, grant_id)| GrantKey { player_id, grant_id })
        .collect();
    statement::list(executor, IN_OPEN_ROUNDS, &keys.params([&rounds_since]), |row| {
        Ok(GrantId(row.try_get("grant_id")?))
    })
    .await
}
