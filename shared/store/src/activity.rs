//! Activity events, and what they did to bonuses. The caller holds the player's lock.

use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::grants::status;
use crate::statement;
use domain::activity::{Action, Event, GrantEffect, Outcome, PastEffect, Payout, Stake};
use domain::bonus::{EndedGrant, GrantTerms, Round, RoundShare};
use domain::id::{EventId, GrantId, PlayerId};
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

const FIND: &str = "
SELECT type, occurred_at, amount, bonus_amount, game, round_id, voids, outcome
FROM activity_events
WHERE player_id = $1
  AND event_id = $2";

const ADD: &str = "
INSERT INTO activity_events (player_id, event_id, type, occurred_at, recorded_at, amount, bonus_amount, game, round_id, voids, outcome)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

const ADD_WAGERING: &str = "
INSERT INTO grant_wagering (player_id, event_id, grant_id, contribution, bonus, released)
SELECT $1, $2, grant_id, contribution, bonus, released
FROM unnest($3::uuid[], $4::numeric[], $5::numeric[], $6::numeric[]) AS n (grant_id, contribution, bonus, released)";

const VOIDED_BY: &str = "
SELECT event_id
FROM activity_events
WHERE player_id = $1
  AND voids = $2";

// What a grant that is over released before counts against its conversion limit.
const ROUND: &str = "
WITH stakes AS (
  SELECT e.player_id, e.event_id, e.amount
  FROM activity_events e
  WHERE e.player_id = $1
    AND e.round_id = $2
    AND e.type = 'STAKE'
    AND NOT EXISTS (
      SELECT
      FROM activity_events v
      WHERE v.player_id = e.player_id
        AND v.voids = e.event_id
    )
), shares AS (
  SELECT w.player_id, w.grant_id, -sum(w.bonus) AS bonus
  FROM stakes s
  JOIN grant_wagering w ON w.player_id = s.player_id AND w.event_id = s.event_id
  GROUP BY w.player_id, w.grant_id
  HAVING sum(w.bonus) < 0
)
SELECT (SELECT sum(amount) FROM stakes) AS staked, h.bonus, g.grant_id, g.status, g.amount, g.terms, g.converted,
  (SELECT sum(r.released) FROM grant_wagering r WHERE r.player_id = g.player_id AND r.grant_id = g.grant_id) AS released
FROM shares h
JOIN grants g ON g.player_id = h.player_id AND g.grant_id = h.grant_id
ORDER BY g.grant_id";

const EFFECTS: &str = "
SELECT w.contribution, w.bonus, g.grant_id, g.status, g.amount, g.terms, g.converted,
  (SELECT sum(r.released) FROM grant_wagering r WHERE r.player_id = g.player_id AND r.grant_id = g.grant_id) AS released
FROM grant_wagering w
JOIN grants g ON g.player_id = w.player_id AND g.grant_id = w.grant_id
WHERE w.player_id = $1
  AND w.event_id = $2
ORDER BY g.grant_id";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[FIND, ADD, ADD_WAGERING, VOIDED_BY, ROUND, EFFECTS];

/// An event that was recorded, and what it did.
pub async fn find(executor: &impl Executor, player_id: &PlayerId, event_id: &EventId) -> Result<Option<(Event, Outcome)>> {
    let Some(row) = statement::optional_row(executor, FIND, &[&player_id.as_str(), &event_id.as_str()]).await? else {
        return Ok(None);
    };
    let Json(outcome) = row.try_get("outcome")?;
    let (player_id, event_id) = (player_id.clone(), event_id.clone());
    let event = Event { event_id, player_id, occurred_at: row.try_get("occurred_at")?, action: action(&row)? };
    Ok(Some((event, outcome)))
}

fn action(row: &Row) -> Result<Action> {
    let (kind, amount): (&str, Option<Decimal>) = (row.try_get("type")?, row.try_get("amount")?);
    let amount = amount.unwrap_or_default();
    Ok(match kind {
        "STAKE" => {
            let bonus_amount: Option<Decimal> = row.try_get("bonus_amount")?;
            let (game, round_id) = (row.try_get("game")?, row.try_get("round_id")?);
            Action::Stake(Stake { amount, game, round_id, bonus_amount: bonus_amount.unwrap_or_default() })
        }
        "PAYOUT" => Action::Payout(Payout { amount, round_id: row.try_get("round_id")? }),
        "WITHDRAWAL" => Action::Withdrawal { amount },
        "VOID" => {
            let voids: String = row.try_get("voids")?;
            let voids = EventId::parse(voids).map_err(|error| Error::Row(format!("voided event: {error}")))?;
            Action::Void { voids }
        }
        other => return Err(Error::Row(format!("event type {other:?}"))),
    })
}

/// Records an event with what it did to each grant. The keys refuse an event, and a void of one, that was recorded before.
pub async fn add(tx: &Tx<'_>, event: &Event, outcome: &Outcome, now: Timestamp) -> Result<()> {
    add_event(tx, event, outcome, now).await?;
    add_wagering(tx, event, &outcome.grants).await
}

async fn add_event(tx: &Tx<'_>, event: &Event, outcome: &Outcome, now: Timestamp) -> Result<()> {
    let (game, round_id, bonus_amount) = match &event.action {
        Action::Stake(stake) => (stake.game.as_deref(), stake.round_id.as_deref(), Some(stake.bonus_amount)),
        Action::Payout(payout) => (None, payout.round_id.as_deref(), None),
        _ => (None, None, None),
    };
    let voids = match &event.action {
        Action::Void { voids } => Some(voids.as_str()),
        _ => None,
    };
    statement::execute(
        tx,
        ADD,
        &[
            &event.player_id.as_str(),
            &event.event_id.as_str(),
            &event.action.type_name(),
            &event.occurred_at,
            &now,
            &event.action.amount(),
            &bonus_amount,
            &game,
            &round_id,
            &voids,
            &Json(outcome),
        ],
    )
    .await?;
    Ok(())
}

async fn add_wagering(tx: &Tx<'_>, event: &Event, effects: &[GrantEffect]) -> Result<()> {
    if effects.is_empty() {
        return Ok(());
    }
    statement::execute(
        tx,
        ADD_WAGERING,
        &[
            &event.player_id.as_str(),
            &event.event_id.as_str(),
            &effects.iter().map(|effect| effect.grant_id.0).collect::<Vec<_>>(),
            &effects.iter().map(|effect| effect.contribution).collect::<Vec<_>>(),
            &effects.iter().map(|effect| effect.bonus).collect::<Vec<_>>(),
            &effects.iter().map(|effect| effect.released).collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

/// The void of an event, whether or not the event came yet.
pub async fn voided_by(tx: &Tx<'_>, player_id: &PlayerId, event_id: &EventId) -> Result<Option<String>> {
    let row = statement::optional_row(tx, VOIDED_BY, &[&player_id.as_str(), &event_id.as_str()]).await?;
    Ok(row.map(|row| row.try_get("event_id")).transpose()?)
}

/// What was staked in a round, as far as bonuses paid for it.
pub async fn round(tx: &Tx<'_>, player_id: &PlayerId, round_id: &str) -> Result<Round> {
    let mut round = Round::default();
    for row in statement::rows(tx, ROUND, &[&player_id.as_str(), &round_id]).await? {
        round.staked = row.try_get("staked")?;
        let (grant_id, bonus) = (GrantId(row.try_get("grant_id")?), row.try_get("bonus")?);
        round.shares.push(RoundShare { grant_id, bonus, ended: ended(&row)? });
    }
    Ok(round)
}

/// What an event did to bonuses.
pub async fn effects(tx: &Tx<'_>, player_id: &PlayerId, event_id: &EventId) -> Result<Vec<PastEffect>> {
    let rows = statement::rows(tx, EFFECTS, &[&player_id.as_str(), &event_id.as_str()]).await?;
    rows.iter()
        .map(|row| {
            Ok(PastEffect {
                grant_id: GrantId(row.try_get("grant_id")?),
                contribution: row.try_get("contribution")?,
                bonus: row.try_get("bonus")?,
                ended: ended(row)?,
            })
        })
        .collect()
}

/// `None`: the grant is open.
fn ended(row: &Row) -> Result<Option<EndedGrant>> {
    let status = status(row.try_get("status")?)?;
    if status.is_open() {
        return Ok(None);
    }
    let terms: Option<Json<GrantTerms>> = row.try_get("terms")?;
    let released: Option<Decimal> = row.try_get("released")?;
    Ok(Some(EndedGrant {
        status,
        amount: row.try_get("amount")?,
        terms: terms.map(|Json(terms)| terms).unwrap_or_default(),
        converted: row.try_get("converted")?,
        released: released.unwrap_or_default(),
    }))
}
