//! What new events depend on among those recorded. The caller holds the players' locks.

use crate::columns;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::row::{id, player_id, word};
use crate::statement::{self, text};
use domain::activity::{
    Action, Event, EventType, History, Outcome, Payout, ProfileDepth, Recorded, SessionMinutes, Stake, UnsettledStake,
};
use domain::bonus::{EndedGrant, GrantTerms, Round, RoundShare};
use domain::id::{EventId, GrantId, PlayerId};
use domain::money::{AmountError, Money, Positive};
use jiff::Timestamp;
use rust_decimal::Decimal;
use std::collections::HashMap;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

columns! {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct EventKey<'a> => EventKeys () {
        player_id: text = &'a PlayerId,
        event_id: text = &'a EventId,
    }
}

const RECORDED: &str = text!(
    "
SELECT e.player_id, e.event_id, e.type, e.occurred_at, e.amount, e.bonus_amount, e.game, e.round_id, e.voids,
  e.minutes, e.value, e.lp_day, e.outcome
FROM ",
    EventKeys::UNNEST,
    "
JOIN activity_events e ON e.player_id = n.player_id AND e.event_id = n.event_id"
);

const VOIDS: &str = text!(
    "
SELECT e.player_id, e.voids, e.event_id
FROM ",
    EventKeys::UNNEST,
    "
JOIN activity_events e ON e.player_id = n.player_id AND e.voids = n.event_id"
);

columns! {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct RoundKey<'a> => RoundKeys () {
        player_id: text = &'a PlayerId,
        round_id: text = &'a str,
    }
}

// Voided stakes add nothing, but their round counts as known. A round without bonus money has one row.
const ROUNDS: &str = text!(
    "
WITH rounds AS (
  SELECT n.player_id, n.round_id,
    coalesce(sum(e.amount) FILTER (WHERE e.type = 'STAKE' AND v.event_id IS NULL), 0) AS staked,
    bool_or(e.type = 'STAKE') AS known,
    bool_or(e.type = 'PAYOUT') AS paid
  FROM ",
    RoundKeys::UNNEST,
    "
  JOIN activity_events e ON e.player_id = n.player_id AND e.round_id = n.round_id
  LEFT JOIN activity_events v ON v.player_id = e.player_id AND v.voids = e.event_id
  GROUP BY n.player_id, n.round_id
), shares AS (
  SELECT r.player_id, r.round_id, w.grant_id, -sum(w.bonus) AS bonus
  FROM rounds r
  JOIN activity_events e ON e.player_id = r.player_id AND e.round_id = r.round_id AND e.type = 'STAKE'
  JOIN grant_wagering w ON w.player_id = e.player_id AND w.event_id = e.event_id AND w.bonus < 0
  WHERE NOT EXISTS (
    SELECT
    FROM activity_events v
    WHERE v.player_id = e.player_id
      AND v.voids = e.event_id
  )
  GROUP BY r.player_id, r.round_id, w.grant_id
)
SELECT r.player_id, r.round_id, r.staked, r.known, r.paid, s.grant_id, s.bonus
FROM rounds r
LEFT JOIN shares s ON s.player_id = r.player_id AND s.round_id = r.round_id
ORDER BY r.player_id, r.round_id, s.grant_id"
);

const UNSETTLED: &str = "
SELECT player_id, grant_id, round_id, event_id
FROM unsettled_rounds
WHERE player_id = ANY($1)
  AND grant_id = ANY($2)
  AND recorded_at > $3";

columns! {
    struct GrantKey<'a> => GrantKeys () {
        player_id: text = &'a str,
        grant_id: uuid = GrantId,
    }
}

// What a terminal grant released before counts towards its conversion limit.
const ENDED: &str = text!(
    "
SELECT g.player_id, g.grant_id, g.status, g.amount, g.terms, g.converted, r.released
FROM ",
    GrantKeys::UNNEST,
    "
JOIN grants g ON g.player_id = n.player_id AND g.grant_id = n.grant_id
CROSS JOIN LATERAL (
  SELECT coalesce(sum(w.released), 0) AS released
  FROM grant_wagering w
  WHERE w.player_id = g.player_id
    AND w.grant_id = g.grant_id
) AS r
WHERE g.status NOT IN ('PENDING', 'ACTIVE')"
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[RECORDED, VOIDS, ROUNDS, UNSETTLED, ENDED];

type Histories = HashMap<PlayerId, History>;

/// Reads what these events depend on: events already recorded under the same ids, the events they void, what voids
/// them, and their rounds. At most three statements, sent together.
pub async fn load(tx: &Tx<'_>, events: &[&Event]) -> Result<Histories> {
    let mut histories = Histories::new();
    let keys = named(events);
    let named = keys.params([]);
    let (recorded, voids, rounds) = tokio::try_join!(
        statement::rows(tx, RECORDED, &named),
        statement::rows(tx, VOIDS, &named),
        rounds(tx, events)
    )?;
    for row in &recorded {
        let recorded = recorded_of(row)?;
        histories
            .entry(recorded.event.player_id.clone())
            .or_default()
            .add_recorded(recorded);
    }
    for row in &voids {
        histories
            .entry(player_id(row)?)
            .or_default()
            .add_void(id(row, "voids")?, id(row, "event_id")?);
    }
    let mut found: HashMap<(PlayerId, String), Round> = HashMap::new();
    for row in &rounds {
        let (player_id, round_id): (PlayerId, String) = (player_id(row)?, row.try_get("round_id")?);
        if row.try_get("paid")? {
            histories
                .entry(player_id.clone())
                .or_default()
                .add_paid_round(round_id.clone());
        }
        if row.try_get("known")? {
            let round = found.entry((player_id, round_id)).or_default();
            round.staked = row.try_get("staked")?;
            if let Some(grant_id) = row.try_get::<_, Option<Uuid>>("grant_id")? {
                round.shares.push(RoundShare {
                    grant_id: GrantId(grant_id),
                    bonus: row.try_get("bonus")?,
                    ended: None,
                });
            }
        }
    }
    for ((player_id, round_id), round) in found {
        histories.entry(player_id).or_default().add_round(round_id, round);
    }
    Ok(histories)
}

/// The keys of the events and of the events they void.
fn named<'a>(events: &[&'a Event]) -> EventKeys<'a> {
    let key = |event_id: &'a EventId, event: &'a Event| EventKey {
        player_id: &event.player_id,
        event_id,
    };
    let voided = events.iter().filter_map(|event| match &event.action {
        Action::Void { voids } => Some(key(voids, event)),
        _ => None,
    });
    let mut named: Vec<_> = events
        .iter()
        .map(|event| key(&event.event_id, event))
        .chain(voided)
        .collect();
    named.sort_unstable();
    named.dedup();
    named.into_iter().collect()
}

/// The rounds of payouts and of stakes with bonus money.
async fn rounds(tx: &Tx<'_>, events: &[&Event]) -> Result<Vec<Row>> {
    let mut rounds: Vec<RoundKey<'_>> = events
        .iter()
        .filter_map(|event| {
            let round_id = match &event.action {
                Action::Payout(payout) => payout.round_id.as_deref(),
                Action::Stake(stake) if !stake.bonus_amount.is_zero() => stake.round_id.as_deref(),
                _ => None,
            };
            Some(RoundKey {
                player_id: &event.player_id,
                round_id: round_id?,
            })
        })
        .collect();
    if rounds.is_empty() {
        return Ok(Vec::new());
    }
    rounds.sort_unstable();
    rounds.dedup();
    let keys: RoundKeys<'_> = rounds.into_iter().collect();
    statement::rows(tx, ROUNDS, &keys.params([])).await
}

fn recorded_of(row: &Row) -> Result<Recorded> {
    let Json(outcome): Json<Outcome> = row.try_get("outcome")?;
    let event = Event {
        event_id: id(row, "event_id")?,
        player_id: player_id(row)?,
        occurred_at: row.try_get("occurred_at")?,
        action: action(row)?,
    };
    Ok(Recorded {
        event,
        outcome,
        lp_day: row.try_get("lp_day")?,
    })
}

fn action(row: &Row) -> Result<Action> {
    let number =
        |column: &str| -> Result<Decimal> { Ok(row.try_get::<_, Option<Decimal>>(column)?.unwrap_or_default()) };
    let bounded = |column: &'static str| move |source: AmountError| Error::Amount { column, source };
    let positive = || Positive::checked(number("amount")?).map_err(bounded("amount"));
    Ok(match word(row, "type")? {
        EventType::Deposit => Action::Deposit { amount: positive()? },
        EventType::Stake => Action::Stake(Stake {
            amount: positive()?,
            game: row.try_get("game")?,
            round_id: row.try_get("round_id")?,
            bonus_amount: Money::of(number("bonus_amount")?),
        }),
        EventType::Payout => Action::Payout(Payout {
            amount: Money::of(number("amount")?),
            round_id: row.try_get("round_id")?,
        }),
        EventType::Withdrawal => Action::Withdrawal { amount: positive()? },
        EventType::Void => Action::Void {
            voids: id(row, "voids")?,
        },
        EventType::Session => Action::Session {
            minutes: SessionMinutes::checked(number("minutes")?).map_err(bounded("minutes"))?,
        },
        EventType::KycCompleted => Action::KycCompleted,
        EventType::Profile => Action::Profile {
            depth: ProfileDepth::checked(number("value")?).map_err(bounded("value"))?,
        },
        EventType::Login => Action::Login,
    })
}

/// Stakes with money of these grants, each given with its player, whose rounds have no result yet.
pub async fn unsettled(
    tx: &Tx<'_>,
    grants: &[(&str, GrantId)],
    rounds_since: Timestamp,
) -> Result<Vec<(PlayerId, UnsettledStake)>> {
    if grants.is_empty() {
        return Ok(Vec::new());
    }
    let (player_ids, grant_ids): (Vec<&str>, Vec<Uuid>) = grants
        .iter()
        .map(|(player_id, grant_id)| (*player_id, grant_id.0))
        .unzip();
    let rows = statement::rows(tx, UNSETTLED, &[&player_ids, &grant_ids, &rounds_since]).await?;
    let stake = |row: &Row| {
        let (grant_id, round_id) = (GrantId(row.try_get("grant_id")?), row.try_get("round_id")?);
        Ok((
            player_id(row)?,
            UnsettledStake {
                grant_id,
                round_id,
                event_id: id(row, "event_id")?,
            },
        ))
    };
    rows.iter().map(stake).collect()
}

/// Those of these grants, each given with its player, that are terminal.
pub async fn ended(tx: &Tx<'_>, grants: &[(&str, GrantId)]) -> Result<Vec<(PlayerId, GrantId, EndedGrant)>> {
    if grants.is_empty() {
        return Ok(Vec::new());
    }
    let keys: GrantKeys<'_> = grants
        .iter()
        .map(|&(player_id, grant_id)| GrantKey { player_id, grant_id })
        .collect();
    let rows = statement::rows(tx, ENDED, &keys.params([])).await?;
    rows.iter()
        .map(|row| {
            let terms: Option<Json<GrantTerms>> = row.try_get("terms")?;
            let ended = EndedGrant {
                status: word(row, "status")?,
                amount: row.try_get("amount")?,
                terms: terms.map(|Json(terms)| terms).unwrap_or_default(),
                converted: row.try_get("converted")?,
                released: row.try_get("released")?,
            };
            Ok((player_id(row)?, GrantId(row.try_get("grant_id")?), ended))
        })
        .collect()
}
