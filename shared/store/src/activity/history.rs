//! What new events depend on among those recorded. The caller holds the players' locks.

use crate::columns;
use crate::db::Tx;
use crate::error::{Error, Result};
use crate::row::{id, optional_id, player_id, word};
use crate::statement::{self, text};
use crate::wallet::grants::SinceKeys;
use domain::activity::{
    Action, Event, EventType, GrantEffect, History, Outcome, Payout, ProfileDepth, Recorded, SessionMinutes, Stake,
};
use domain::id::{EventId, GrantId, PlayerId};
use domain::money::{AmountError, Money, Positive};
use jiff::Timestamp;
use rust_decimal::Decimal;
use std::collections::HashMap;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

columns! {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct EventKey<'a> => EventKeys () {
        player_id: text = &'a PlayerId,
        event_id: text = &'a EventId,
    }
}

columns! {
    #[derive(PartialEq, Eq, PartialOrd, Ord)]
    struct RoundKey<'a> => RoundKeys (player_ids, event_ids) {
        player_id: text = &'a PlayerId,
        round_id: text = &'a str,
    }
}

// The members' content, what voids them, and what they do to bonuses. Voids of events that are not known are members.
const MEMBERS: &str = "
SELECT e.player_id, e.event_id, e.type, e.occurred_at, e.amount, e.bonus_amount, e.game, e.round_id, e.voids,
  e.minutes, e.value, e.is_in_play, e.lp_day, e.outcome, v.event_id AS voided_by, v.is_in_play AS is_void_in_play,
  w.effects
FROM members m
JOIN activity_events e ON e.player_id = m.player_id AND e.event_id = m.event_id
LEFT JOIN activity_events v ON v.player_id = e.player_id AND v.voids = e.event_id
LEFT JOIN LATERAL (
  SELECT json_agg(json_build_object('grant_id', grant_id, 'contribution', contribution, 'bonus', bonus,
    'released', released, 'status', 'ACTIVE') ORDER BY grant_id) AS effects
  FROM grant_wagering
  WHERE player_id = e.player_id
    AND event_id = e.event_id
) w ON true";

// Events by their ids, the voids of these ids, and all events of the rounds of both and of the named rounds.
const NAMED: &str = text!(
    "
WITH named AS (
  SELECT e.player_id, e.event_id, e.round_id
  FROM unnest($1::text[], $2::text[]) AS k (player_id, event_id)
  JOIN activity_events e ON e.player_id = k.player_id AND e.event_id = k.event_id
  UNION ALL
  SELECT e.player_id, e.event_id, NULL
  FROM unnest($1::text[], $2::text[]) AS k (player_id, event_id)
  JOIN activity_events e ON e.player_id = k.player_id AND e.voids = k.event_id
), members AS (
  SELECT player_id, event_id
  FROM named
  UNION
  SELECT e.player_id, e.event_id
  FROM (
    SELECT player_id, round_id
    FROM named
    WHERE round_id IS NOT NULL
    UNION
    SELECT player_id, round_id
    FROM ",
    RoundKeys::UNNEST,
    "
  ) AS r
  JOIN activity_events e ON e.player_id = r.player_id AND e.round_id = r.round_id
)",
    MEMBERS
);

columns! {
    struct BonusKey<'a> => BonusKeys (rounds_since) {
        player_id: text = &'a PlayerId,
        root_id: uuid = GrantId,
    }
}

const UNSETTLED: &str = text!(
    "
WITH members AS (
  SELECT e.player_id, e.event_id
  FROM (
    SELECT DISTINCT u.player_id, u.round_id
    FROM ",
    BonusKeys::UNNEST,
    "
    JOIN unsettled_rounds u ON u.player_id = n.player_id AND u.root_id = n.root_id
    WHERE u.occurred_at > $1
  ) AS r
  JOIN activity_events e ON e.player_id = r.player_id AND e.round_id = r.round_id
)",
    MEMBERS
);

// A payout of before may stand at a later stake of its round, hence whole rounds.
const SINCE: &str = text!(
    "
WITH late AS (
  SELECT e.player_id, e.event_id, e.round_id
  FROM ",
    SinceKeys::UNNEST,
    "
  JOIN activity_events e ON e.player_id = n.player_id AND e.occurred_at >= n.since
  WHERE e.type IN ('STAKE', 'PAYOUT', 'WITHDRAWAL')
), members AS (
  SELECT player_id, event_id
  FROM late
  UNION
  SELECT e.player_id, e.event_id
  FROM (
    SELECT DISTINCT player_id, round_id
    FROM late
    WHERE round_id IS NOT NULL
  ) AS r
  JOIN activity_events e ON e.player_id = r.player_id AND e.round_id = r.round_id
)",
    MEMBERS
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[NAMED, UNSETTLED, SINCE];

pub type Histories = HashMap<PlayerId, History>;

/// Reads what these events depend on: events already recorded under the same ids, the events they void, what voids
/// them, and their rounds.
pub async fn load(tx: &Tx<'_>, events: &[&Event]) -> Result<Histories> {
    let mut histories = Histories::new();
    let named = named(events);
    let mut rounds: Vec<RoundKey<'_>> = events.iter().filter_map(|event| round_of(event)).collect();
    rounds.sort_unstable();
    rounds.dedup();
    let rounds: RoundKeys<'_> = rounds.into_iter().collect();
    let keys = rounds.params([&named.player_id, &named.event_id]);
    add(&mut histories, &statement::rows(tx, NAMED, &keys).await?)?;
    Ok(histories)
}

/// Adds the rounds with money of these bonuses, each given with its player by its first grant, that may still pay.
pub async fn load_unsettled(
    tx: &Tx<'_>,
    histories: &mut Histories,
    bonuses: &[(&PlayerId, GrantId)],
    rounds_since: Timestamp,
) -> Result<()> {
    if bonuses.is_empty() {
        return Ok(());
    }
    let keys: BonusKeys<'_> = bonuses
        .iter()
        .map(|&(player_id, root_id)| BonusKey { player_id, root_id })
        .collect();
    add(
        histories,
        &statement::rows(tx, UNSETTLED, &keys.params([&rounds_since])).await?,
    )
}

/// Adds everything that reaches bonuses since the player's instant.
pub async fn load_since(tx: &Tx<'_>, histories: &mut Histories, keys: &SinceKeys<'_>) -> Result<()> {
    add(histories, &statement::rows(tx, SINCE, &keys.params([])).await?)
}

fn add(histories: &mut Histories, rows: &[Row]) -> Result<()> {
    for row in rows {
        let recorded = recorded_of(row)?;
        let history = histories.entry(recorded.event.player_id.clone()).or_default();
        if let Some(by) = optional_id(row, "voided_by")? {
            history.add_void(recorded.event.event_id.clone(), by, row.try_get("is_void_in_play")?);
        }
        history.add_recorded(recorded);
    }
    Ok(())
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

fn round_of(event: &Event) -> Option<RoundKey<'_>> {
    Some(RoundKey {
        player_id: &event.player_id,
        round_id: event.action.round_id()?,
    })
}

fn recorded_of(row: &Row) -> Result<Recorded> {
    let Json(outcome): Json<Outcome> = row.try_get("outcome")?;
    let event = Event {
        event_id: id(row, "event_id")?,
        player_id: player_id(row)?,
        occurred_at: row.try_get("occurred_at")?,
        action: action(row)?,
    };
    let effects: Option<Json<Vec<GrantEffect>>> = row.try_get("effects")?;
    Ok(Recorded {
        event,
        outcome,
        effects: effects.map(|Json(effects)| effects).unwrap_or_default(),
        played: None,
        is_in_play: row.try_get("is_in_play")?,
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
