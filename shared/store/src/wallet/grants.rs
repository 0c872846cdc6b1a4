//! Grants: every reward issued, and the history of its status.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::row::{player_id, word};
use crate::statement::{self, text};
use domain::account::Adjustment;
use domain::bonus::{Flows, Grant, GrantStatus, GrantTerms, NewGrant, Transition};
use domain::id::{EvaluationId, EventId, GrantId, PlayerId, TransactionId};
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
        activated_at: timestamptz = Option<Timestamp>,
        expires_at: timestamptz = Option<Timestamp>,
        closed_at: timestamptz = Option<Timestamp>,
        ended_at: timestamptz = Option<Timestamp>,
        lost: numeric = Decimal,
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
        played: numeric = Decimal,
        adjusted: numeric = Decimal,
        lost: numeric = Decimal,
        converted: numeric = Decimal,
        released: numeric = Decimal,
        wagering_completed: numeric = Decimal,
        activated_at: timestamptz = Option<Timestamp>,
        closed_at: timestamptz = Option<Timestamp>,
        ended_at: timestamptz = Option<Timestamp>,
        transitions: smallint = i16,
        root_id: uuid = GrantId,
        corrects: uuid = Option<GrantId>,
    }
}

const SAVE: &str = text!(
    "
UPDATE grants g
SET status = n.status,
  status_reason = n.status_reason,
  balance = n.balance,
  played = n.played,
  adjusted = n.adjusted,
  lost = n.lost,
  converted = n.converted,
  released = n.released,
  wagering_completed = n.wagering_completed,
  activated_at = n.activated_at,
  closed_at = n.closed_at,
  ended_at = n.ended_at,
  transitions = n.transitions
FROM ",
    Grants::UNNEST,
    "
WHERE g.player_id = n.player_id
  AND g.grant_id = n.grant_id
  AND g.status IN ('PENDING', 'ACTIVE')"
);

// A successor has the terms of the bonus that it continues, but no period and no cost of its own.
const CONTINUE: &str = text!(
    "
INSERT INTO grants (reward_type, asset, amount, cost, wagering_required, terms, issued_at, expires_at, ",
    Grants::NAMES,
    ")
SELECT b.reward_type, b.asset, b.amount, 0, b.wagering_required, b.terms, b.issued_at, b.expires_at, ",
    Grants::NAMES,
    "
FROM ",
    Grants::UNNEST,
    "
JOIN (
  SELECT player_id AS owner, grant_id AS bonus, reward_type, asset, amount, wagering_required, terms, issued_at, expires_at
  FROM grants
) AS b ON b.owner = n.player_id AND b.bonus = n.root_id"
);

const CONTINUED: &str = text!(
    "
UPDATE grants g
SET corrected_by = n.grant_id
FROM ",
    Grants::UNNEST,
    "
WHERE g.player_id = n.player_id
  AND g.grant_id = n.corrects"
);

// An ended grant never moves. Where in play it ended, and what came back to it afterwards, may turn out otherwise.
const REMARK: &str = text!(
    "
UPDATE grants g
SET released = n.released,
  ended_at = n.ended_at
FROM ",
    Grants::UNNEST,
    "
WHERE g.player_id = n.player_id
  AND g.grant_id = n.grant_id
  AND g.status NOT IN ('PENDING', 'ACTIVE')"
);

columns! {
    struct AdjustmentRow<'a> => Adjustments () {
        player_id: text = &'a PlayerId,
        root_id: uuid = GrantId,
        event_id: text = &'a EventId,
        grant_id: uuid = GrantId,
        at: timestamptz = Timestamp,
        cash_delta: numeric = Decimal,
        total_owed: numeric = Decimal,
    }
}

const ADJUST: &str = text!(
    "INSERT INTO bonus_adjustments (",
    Adjustments::NAMES,
    ")\n",
    Adjustments::SELECT
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
        cash: numeric = Decimal,
        actor: text = &'a str,
    }
}

const ADD_HISTORY: &str = text!(
    "INSERT INTO grant_history (",
    Transitions::NAMES,
    ")\n",
    Transitions::SELECT
);

const GRANT: &str = "
SELECT g.player_id, g.grant_id, coalesce(g.root_id, g.grant_id) AS root_id, g.corrects, g.rule_id, g.status,
  g.status_reason, g.amount, g.balance, g.played, g.adjusted, g.lost, g.converted, g.released, g.wagering_required,
  g.wagering_completed, g.terms, g.issued_at, g.activated_at, g.expires_at, g.closed_at, g.ended_at, g.transitions";

const OPEN: &str = text!(
    GRANT,
    ", p.is_blocked OR NOT p.is_active AS is_suspended
FROM grants g
JOIN players p ON p.player_id = g.player_id
WHERE g.player_id = ANY($1)
  AND g.status IN ('PENDING', 'ACTIVE')
ORDER BY g.player_id, g.expires_at NULLS LAST, g.issued_at, root_id"
);

const GET: &str = text!(
    GRANT,
    "
FROM grants g
WHERE g.grant_id = $1
  AND g.asset = 'BONUS'"
);

columns! {
    struct RootKey<'a> => RootKeys () {
        player_id: text = &'a PlayerId,
        root_id: uuid = GrantId,
    }
}

const OF_ROOTS: &str = text!(
    GRANT,
    "
FROM ",
    RootKeys::UNNEST,
    "
JOIN grants g ON g.player_id = n.player_id AND (g.grant_id = n.root_id OR g.root_id = n.root_id)
WHERE g.corrected_by IS NULL"
);

columns! {
    pub struct SinceKey<'a> => SinceKeys () {
        player_id: text = &'a PlayerId,
        since: timestamptz = Timestamp,
    }
}

const ENDED_SINCE: &str = text!(
    GRANT,
    "
FROM ",
    SinceKeys::UNNEST,
    "
JOIN grants g ON g.player_id = n.player_id AND g.ended_at >= n.since
WHERE g.corrected_by IS NULL
  AND g.asset = 'BONUS'"
);

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
          AND u.root_id = coalesce(g.root_id, g.grant_id)
          AND u.occurred_at > $2
      )
    ORDER BY g.player_id, g.grant_id
    LIMIT $3
  )
  UNION ALL
  (
    SELECT g.player_id
    FROM grants g
    JOIN players p ON p.player_id = g.player_id
    WHERE g.status = 'ACTIVE'
      AND g.wagering_completed = g.wagering_required
      AND p.is_active
      AND NOT p.is_blocked
    ORDER BY g.player_id, g.grant_id
    LIMIT $3
  )
) AS due
ORDER BY player_id
LIMIT $3";

const IN_OPEN_ROUNDS: &str = text!(
    "
SELECT DISTINCT u.root_id
FROM ",
    SinceRoots::UNNEST,
    "
JOIN unsettled_rounds u ON u.player_id = n.player_id AND u.root_id = n.root_id
WHERE u.occurred_at > $1"
);

columns! {
    /// Bonuses by their keys.
    struct SinceRoot<'a> => SinceRoots (rounds_since) {
        player_id: text = &'a PlayerId,
        root_id: uuid = GrantId,
    }
}

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    ADD,
    SAVE,
    CONTINUE,
    CONTINUED,
    REMARK,
    ADJUST,
    ADD_HISTORY,
    OPEN,
    GET,
    OF_ROOTS,
    ENDED_SINCE,
    HISTORY,
    DUE_PLAYERS,
    IN_OPEN_ROUNDS,
];

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
        activated_at: grant.activated_at,
        expires_at: new.expires_at,
        closed_at: grant.closed_at,
        ended_at: grant.ended_at,
        lost: grant.flows.lost,
        converted: grant.flows.converted,
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
    let rows = grant_rows(grants);
    let saved = statement::execute(tx, SAVE, &rows.params([])).await?;
    if usize::try_from(saved) != Ok(grants.len()) {
        return Err(Error::GrantsOver {
            saved,
            grants: grants.len(),
        });
    }
    Ok(())
}

fn grant_rows(grants: &[(PlayerId, Grant)]) -> Grants<'_> {
    grants
        .iter()
        .map(|(player_id, grant)| GrantRow {
            player_id,
            grant_id: grant.grant_id,
            status: grant.status,
            status_reason: grant.reason.as_deref(),
            balance: grant.balance,
            played: grant.flows.played,
            adjusted: grant.flows.adjusted,
            lost: grant.flows.lost,
            converted: grant.flows.converted,
            released: grant.released,
            wagering_completed: grant.wagering_completed,
            activated_at: grant.activated_at,
            closed_at: grant.closed_at,
            ended_at: grant.ended_at,
            transitions: grant.transitions,
            root_id: grant.root_id,
            corrects: grant.corrects,
        })
        .collect()
}

/// Adds the grants that continue ended ones.
pub async fn continue_ended(tx: &Tx<'_>, successors: &[(PlayerId, Grant)]) -> Result<()> {
    if successors.is_empty() {
        return Ok(());
    }
    let rows = grant_rows(successors);
    statement::execute(tx, CONTINUE, &rows.params([])).await?;
    statement::execute(tx, CONTINUED, &rows.params([])).await?;
    Ok(())
}

/// Saves what may change about ended grants: the instant of play at which they ended, and what came back since.
pub async fn remark(tx: &Tx<'_>, grants: &[(PlayerId, Grant)]) -> Result<()> {
    if !grants.is_empty() {
        statement::execute(tx, REMARK, &grant_rows(grants).params([])).await?;
    }
    Ok(())
}

pub async fn adjust(tx: &Tx<'_>, adjustments: &[Adjustment]) -> Result<()> {
    if adjustments.is_empty() {
        return Ok(());
    }
    let rows: Adjustments<'_> = adjustments
        .iter()
        .map(|adjustment| AdjustmentRow {
            player_id: &adjustment.player_id,
            root_id: adjustment.root_id,
            event_id: &adjustment.event_id,
            grant_id: adjustment.grant_id,
            at: adjustment.at,
            cash_delta: adjustment.cash_delta,
            total_owed: adjustment.total_owed,
        })
        .collect();
    statement::execute(tx, ADJUST, &rows.params([])).await?;
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
            cash: transition.cash,
            actor: &transition.operation.actor,
        })
        .collect();
    statement::execute(tx, ADD_HISTORY, &rows.params([])).await?;
    Ok(())
}

/// The open bonuses of the players, and whether play completes nothing for them. The bonuses of one player are in the
/// order in which stakes feed them.
pub async fn open(executor: &impl Executor, player_ids: &[&str]) -> Result<Vec<(PlayerId, Grant, bool)>> {
    statement::list(executor, OPEN, &[&player_ids], |row| {
        Ok((player_id(row)?, grant(row)?, row.try_get("is_suspended")?))
    })
    .await
}

/// The present grants of these bonuses, each given with its player by its first grant.
pub async fn of_roots(executor: &impl Executor, roots: &[(&PlayerId, GrantId)]) -> Result<Vec<(PlayerId, Grant)>> {
    if roots.is_empty() {
        return Ok(Vec::new());
    }
    let keys: RootKeys<'_> = roots
        .iter()
        .map(|&(player_id, root_id)| RootKey { player_id, root_id })
        .collect();
    statement::list(executor, OF_ROOTS, &keys.params([]), |row| {
        Ok((player_id(row)?, grant(row)?))
    })
    .await
}

/// The bonuses that ended at or after the player's instant.
pub async fn ended_since(executor: &impl Executor, keys: &SinceKeys<'_>) -> Result<Vec<(PlayerId, Grant)>> {
    statement::list(executor, ENDED_SINCE, &keys.params([]), |row| {
        Ok((player_id(row)?, grant(row)?))
    })
    .await
}

/// A bonus, open or not, and its player.
pub async fn get(executor: &impl Executor, grant_id: GrantId) -> Result<Option<(PlayerId, Grant)>> {
    statement::optional(executor, GET, &[&grant_id.0], |row| Ok((player_id(row)?, grant(row)?))).await
}

fn grant(row: &Row) -> Result<Grant> {
    let terms: Option<Json<GrantTerms>> = row.try_get("terms")?;
    Ok(Grant {
        grant_id: GrantId(row.try_get("grant_id")?),
        root_id: GrantId(row.try_get("root_id")?),
        corrects: row.try_get::<_, Option<_>>("corrects")?.map(GrantId),
        rule_id: row.try_get("rule_id")?,
        status: word(row, "status")?,
        reason: row.try_get("status_reason")?,
        amount: row.try_get("amount")?,
        balance: row.try_get("balance")?,
        flows: Flows {
            played: row.try_get("played")?,
            adjusted: row.try_get("adjusted")?,
            lost: row.try_get("lost")?,
            converted: row.try_get("converted")?,
        },
        released: row.try_get("released")?,
        wagering_required: row.try_get("wagering_required")?,
        wagering_completed: row.try_get("wagering_completed")?,
        terms: terms.map(|Json(terms)| terms).unwrap_or_default(),
        issued_at: row.try_get("issued_at")?,
        activated_at: row.try_get("activated_at")?,
        expires_at: row.try_get("expires_at")?,
        closed_at: row.try_get("closed_at")?,
        ended_at: row.try_get("ended_at")?,
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
/// Rounds staked before `rounds_since` can no longer pay.
pub async fn due_players(
    executor: &impl Executor,
    now: Timestamp,
    rounds_since: Timestamp,
    limit: i64,
) -> Result<Vec<PlayerId>> {
    statement::list(executor, DUE_PLAYERS, &[&now, &rounds_since, &limit], player_id).await
}

/// Which of these bonuses, each given with its player by its first grant, staked money in a round that may still pay.
pub async fn in_open_rounds(
    executor: &impl Executor,
    bonuses: &[(&PlayerId, GrantId)],
    rounds_since: Timestamp,
) -> Result<HashSet<GrantId>> {
    if bonuses.is_empty() {
        return Ok(HashSet::new());
    }
    let keys: SinceRoots<'_> = bonuses
        .iter()
        .map(|&(player_id, root_id)| SinceRoot { player_id, root_id })
        .collect();
    statement::list(executor, IN_OPEN_ROUNDS, &keys.params([&rounds_since]), |row| {
        Ok(GrantId(row.try_get("root_id")?))
    })
    .await
}
