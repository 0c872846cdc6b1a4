//! Activity events, what they did, and what those to come depend on. The caller holds the players' locks.

use crate::db::Tx;
use crate::error::{Error, Result};
use crate::players::segments::{segment_of, totals_of};
use crate::statement;
use crate::wallet::grants::status;
use crate::wallet::ledger::player_id;
use domain::activity::{
    Action, Day, Event, EventType, History, Outcome, Payout, Profile, Recorded, Stake, UnsettledStake,
};
use domain::bonus::{EndedGrant, GrantTerms, Round, RoundShare};
use domain::id::{EventId, GrantId, PlayerId};
use domain::metrics::Totals;
use domain::player::Standing;
use domain::segment::Segment;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::HashMap;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

const STANDINGS: &str = "
SELECT p.player_id, p.tier, p.is_active, p.is_blocked, p.self_excluded_until, p.kyc_completed, p.profile_depth, p.profile_at,
  p.last_activity_at, s.segment, t.total_deposited, t.total_wagered, t.total_won, t.total_withdrawn, t.session_count,
  t.playtime_hours, t.total_bets, t.last_deposit_date
FROM players p
JOIN player_totals t ON t.player_id = p.player_id
LEFT JOIN player_segments s ON s.player_id = p.player_id
WHERE p.player_id = ANY($1)
ORDER BY p.player_id";

const RECORDED: &str = "
SELECT e.player_id, e.event_id, e.type, e.occurred_at, e.amount, e.bonus_amount, e.game, e.round_id, e.voids, e.minutes, e.value,
  e.lp_lot, e.outcome
FROM unnest($1::text[], $2::text[]) AS n (player_id, event_id)
JOIN activity_events e ON e.player_id = n.player_id AND e.event_id = n.event_id";

const VOIDS: &str = "
SELECT e.player_id, e.voids, e.event_id
FROM unnest($1::text[], $2::text[]) AS n (player_id, event_id)
JOIN activity_events e ON e.player_id = n.player_id AND e.voids = n.event_id";

// Stakes that were voided count for nothing, but the round is known by them. A round without bonus money has one row.
const ROUNDS: &str = "
WITH rounds AS (
  SELECT n.player_id, n.round_id,
    coalesce(sum(e.amount) FILTER (WHERE e.type = 'STAKE' AND v.event_id IS NULL), 0) AS staked,
    bool_or(e.type = 'STAKE') AS known,
    bool_or(e.type = 'PAYOUT') AS paid
  FROM unnest($1::text[], $2::text[]) AS n (player_id, round_id)
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
ORDER BY r.player_id, r.round_id, s.grant_id";

const UNSETTLED: &str = "
SELECT player_id, grant_id, round_id, event_id
FROM unsettled_rounds
WHERE player_id = ANY($1)
  AND grant_id = ANY($2)
  AND recorded_at > $3";

// What a grant that is over released before counts against its conversion limit.
const ENDED: &str = "
SELECT g.player_id, g.grant_id, g.status, g.amount, g.terms, g.converted, r.released
FROM unnest($1::text[], $2::uuid[]) AS n (player_id, grant_id)
JOIN grants g ON g.player_id = n.player_id AND g.grant_id = n.grant_id
CROSS JOIN LATERAL (
  SELECT coalesce(sum(w.released), 0) AS released
  FROM grant_wagering w
  WHERE w.player_id = g.player_id
    AND w.grant_id = g.grant_id
) AS r
WHERE g.status NOT IN ('PENDING', 'ACTIVE')";

const ADD: &str = "
INSERT INTO activity_events (player_id, event_id, type, occurred_at, amount, bonus_amount, game, round_id, voids, minutes, value,
  lp, lp_lot, outcome, recorded_at)
SELECT n.*, $15
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::numeric[], $6::numeric[], $7::text[], $8::text[], $9::text[],
  $10::numeric[], $11::numeric[], $12::numeric[], $13::bigint[], $14::json[])
  AS n (player_id, event_id, type, occurred_at, amount, bonus_amount, game, round_id, voids, minutes, value, lp, lp_lot, outcome)";

const ADD_WAGERING: &str = "
INSERT INTO grant_wagering (player_id, event_id, grant_id, contribution, bonus, released)
SELECT *
FROM unnest($1::text[], $2::text[], $3::uuid[], $4::numeric[], $5::numeric[], $6::numeric[])";

const SAVE_TOTALS: &str = "
UPDATE player_totals t
SET total_deposited = n.deposited,
  total_wagered = n.wagered,
  total_won = n.won,
  total_withdrawn = n.withdrawn,
  session_count = n.session_count,
  playtime_hours = n.playtime_hours,
  total_bets = n.bets,
  last_deposit_date = n.last_deposit_date,
  updated_at = $10
FROM unnest($1::text[], $2::numeric[], $3::numeric[], $4::numeric[], $5::numeric[], $6::integer[], $7::numeric[], $8::bigint[], $9::date[])
  AS n (player_id, deposited, wagered, won, withdrawn, session_count, playtime_hours, bets, last_deposit_date)
WHERE t.player_id = n.player_id";

const ADD_DAYS: &str = "
INSERT INTO player_daily AS d (player_id, day, deposited, wagered, won, withdrawn)
SELECT *
FROM unnest($1::text[], $2::date[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[])
ON CONFLICT (player_id, day) DO UPDATE
SET deposited = d.deposited + EXCLUDED.deposited,
  wagered = d.wagered + EXCLUDED.wagered,
  won = d.won + EXCLUDED.won,
  withdrawn = d.withdrawn + EXCLUDED.withdrawn";

const SAVE_STANDINGS: &str = "
UPDATE players p
SET kyc_completed = n.kyc_completed,
  profile_depth = n.profile_depth,
  profile_at = n.profile_at,
  last_activity_at = n.last_activity_at
FROM unnest($1::text[], $2::boolean[], $3::numeric[], $4::timestamptz[], $5::timestamptz[])
  AS n (player_id, kyc_completed, profile_depth, profile_at, last_activity_at)
WHERE p.player_id = n.player_id";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    STANDINGS,
    RECORDED,
    VOIDS,
    ROUNDS,
    UNSETTLED,
    ENDED,
    ADD,
    ADD_WAGERING,
    SAVE_TOTALS,
    ADD_DAYS,
    SAVE_STANDINGS,
];

/// A player as events find them.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayerStanding {
    pub player_id: PlayerId,
    pub tier: String,
    pub standing: Standing,
    pub kyc_completed: bool,
    pub profile: Profile,
    pub last_activity_at: Option<Timestamp>,
    /// `None`: not classified yet.
    pub segment: Option<Segment>,
    pub totals: Totals,
}

/// In order of id.
pub async fn standings(tx: &Tx<'_>, player_ids: &[&str]) -> Result<Vec<PlayerStanding>> {
    statement::rows(tx, STANDINGS, &[&player_ids])
        .await?
        .iter()
        .map(standing)
        .collect()
}

fn standing(row: &Row) -> Result<PlayerStanding> {
    Ok(PlayerStanding {
        player_id: player_id(row)?,
        tier: row.try_get("tier")?,
        standing: Standing {
            is_active: row.try_get("is_active")?,
            is_blocked: row.try_get("is_blocked")?,
            self_excluded_until: row.try_get("self_excluded_until")?,
        },
        kyc_completed: row.try_get("kyc_completed")?,
        profile: Profile {
            depth: row.try_get("profile_depth")?,
            at: row.try_get("profile_at")?,
        },
        last_activity_at: row.try_get("last_activity_at")?,
        segment: segment_of(row)?,
        totals: totals_of(row)?,
    })
}

type Histories = HashMap<PlayerId, History>;

/// What these events depend on of what is recorded: themselves, what they void, and the rounds they belong to. At most three
/// statements, sent together.
pub async fn histories(tx: &Tx<'_>, events: &[&Event]) -> Result<Histories> {
    let mut histories = Histories::new();
    let (recorded, voids, rounds) = tokio::try_join!(recorded(tx, events), voids(tx, events), rounds(tx, events))?;
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
            .add_void(event_id(row, "voids")?, event_id(row, "event_id")?);
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

/// The events themselves, and those they void.
fn named<'a>(events: &[&'a Event]) -> (Vec<&'a str>, Vec<&'a str>) {
    let voided = events.iter().filter_map(|event| match &event.action {
        Action::Void { voids } => Some((event.player_id.as_str(), voids.as_str())),
        _ => None,
    });
    let mut named: Vec<_> = events
        .iter()
        .map(|event| (event.player_id.as_str(), event.event_id.as_str()))
        .chain(voided)
        .collect();
    named.sort_unstable();
    named.dedup();
    named.into_iter().unzip()
}

async fn recorded(tx: &Tx<'_>, events: &[&Event]) -> Result<Vec<Row>> {
    let (player_ids, event_ids) = named(events);
    statement::rows(tx, RECORDED, &[&player_ids, &event_ids]).await
}

async fn voids(tx: &Tx<'_>, events: &[&Event]) -> Result<Vec<Row>> {
    let (player_ids, event_ids) = named(events);
    statement::rows(tx, VOIDS, &[&player_ids, &event_ids]).await
}

/// Of payouts, and of stakes with bonus money.
async fn rounds(tx: &Tx<'_>, events: &[&Event]) -> Result<Vec<Row>> {
    let round_id = |event: &&Event| match &event.action {
        Action::Payout(Payout { round_id, .. }) => round_id.clone(),
        Action::Stake(stake) if stake.bonus_amount > Decimal::ZERO => stake.round_id.clone(),
        _ => None,
    };
    let mut rounds: Vec<(&str, String)> = events
        .iter()
        .filter_map(|event| Some((event.player_id.as_str(), round_id(event)?)))
        .collect();
    if rounds.is_empty() {
        return Ok(Vec::new());
    }
    rounds.sort_unstable();
    rounds.dedup();
    let (player_ids, round_ids): (Vec<&str>, Vec<String>) = rounds.into_iter().unzip();
    statement::rows(tx, ROUNDS, &[&player_ids, &round_ids]).await
}

fn event_id(row: &Row, column: &str) -> Result<EventId> {
    let text: String = row.try_get(column)?;
    EventId::parse(text.clone()).map_err(|error| Error::Row(format!("event id {text:?}: {error}")))
}

fn recorded_of(row: &Row) -> Result<Recorded> {
    let Json(outcome): Json<Outcome> = row.try_get("outcome")?;
    let event = Event {
        event_id: event_id(row, "event_id")?,
        player_id: player_id(row)?,
        occurred_at: row.try_get("occurred_at")?,
        action: action(row)?,
    };
    Ok(Recorded {
        event,
        outcome,
        lp_lot: row.try_get("lp_lot")?,
    })
}

fn action(row: &Row) -> Result<Action> {
    let text: &str = row.try_get("type")?;
    let event_type = EventType::parse(text).ok_or_else(|| Error::Row(format!("event type {text:?}")))?;
    let number =
        |column: &str| -> Result<Decimal> { Ok(row.try_get::<_, Option<Decimal>>(column)?.unwrap_or_default()) };
    Ok(match event_type {
        EventType::Deposit => Action::Deposit {
            amount: number("amount")?,
        },
        EventType::Stake => Action::Stake(Stake {
            amount: number("amount")?,
            game: row.try_get("game")?,
            round_id: row.try_get("round_id")?,
            bonus_amount: number("bonus_amount")?,
        }),
        EventType::Payout => Action::Payout(Payout {
            amount: number("amount")?,
            round_id: row.try_get("round_id")?,
        }),
        EventType::Withdrawal => Action::Withdrawal {
            amount: number("amount")?,
        },
        EventType::Void => Action::Void {
            voids: event_id(row, "voids")?,
        },
        EventType::Session => Action::Session {
            minutes: number("minutes")?,
        },
        EventType::KycCompleted => Action::KycCompleted,
        EventType::Profile => Action::Profile {
            depth: number("value")?,
        },
        EventType::Login => Action::Login,
    })
}

/// Stakes with money of these grants, a player's each, whose rounds have no result yet.
pub async fn unsettled(
    tx: &Tx<'_>,
    grants: &[(&str, GrantId)],
    rounds_since: Timestamp,
) -> Result<Vec<(PlayerId, UnsettledStake)>> {
    if grants.is_empty() {
        return Ok(Vec::new());
    }
    let player_ids: Vec<&str> = grants.iter().map(|(player_id, _)| *player_id).collect();
    let grant_ids: Vec<Uuid> = grants.iter().map(|(_, grant_id)| grant_id.0).collect();
    let rows = statement::rows(tx, UNSETTLED, &[&player_ids, &grant_ids, &rounds_since]).await?;
    let stake = |row: &Row| {
        let (grant_id, round_id) = (GrantId(row.try_get("grant_id")?), row.try_get("round_id")?);
        Ok((
            player_id(row)?,
            UnsettledStake {
                grant_id,
                round_id,
                event_id: event_id(row, "event_id")?,
            },
        ))
    };
    rows.iter().map(stake).collect()
}

/// Those of these grants, a player's each, that are over.
pub async fn ended(tx: &Tx<'_>, grants: &[(&str, GrantId)]) -> Result<Vec<(PlayerId, GrantId, EndedGrant)>> {
    if grants.is_empty() {
        return Ok(Vec::new());
    }
    let player_ids: Vec<&str> = grants.iter().map(|(player_id, _)| *player_id).collect();
    let grant_ids: Vec<Uuid> = grants.iter().map(|(_, grant_id)| grant_id.0).collect();
    let rows = statement::rows(tx, ENDED, &[&player_ids, &grant_ids]).await?;
    rows.iter()
        .map(|row| {
            let terms: Option<Json<GrantTerms>> = row.try_get("terms")?;
            let ended = EndedGrant {
                status: status(row.try_get("status")?)?,
                amount: row.try_get("amount")?,
                terms: terms.map(|Json(terms)| terms).unwrap_or_default(),
                converted: row.try_get("converted")?,
                released: row.try_get("released")?,
            };
            Ok((player_id(row)?, GrantId(row.try_get("grant_id")?), ended))
        })
        .collect()
}

/// Records events with what each did. The keys refuse an event, and a void of one, that was recorded before.
pub async fn add(tx: &Tx<'_>, recorded: &[&Recorded], now: Timestamp) -> Result<()> {
    if recorded.is_empty() {
        return Ok(());
    }
    let events = || recorded.iter().map(|recorded| &recorded.event);
    let stake = |event: &'_ Event| match &event.action {
        Action::Stake(stake) => Some(stake.clone()),
        _ => None,
    };
    let stakes: Vec<Option<Stake>> = events().map(stake).collect();
    let round_id = |event: &Event| match &event.action {
        Action::Stake(Stake { round_id, .. }) | Action::Payout(Payout { round_id, .. }) => round_id.clone(),
        _ => None,
    };
    let voids = |event: &Event| match &event.action {
        Action::Void { voids } => Some(voids.as_str().to_owned()),
        _ => None,
    };
    let minutes = |event: &Event| match event.action {
        Action::Session { minutes } => Some(minutes),
        _ => None,
    };
    let depth = |event: &Event| match event.action {
        Action::Profile { depth } => Some(depth),
        _ => None,
    };
    statement::execute(
        tx,
        ADD,
        &[
            &events().map(|event| event.player_id.as_str()).collect::<Vec<_>>(),
            &events().map(|event| event.event_id.as_str()).collect::<Vec<_>>(),
            &events()
                .map(|event| event.action.event_type().as_str())
                .collect::<Vec<_>>(),
            &events().map(|event| event.occurred_at).collect::<Vec<_>>(),
            &events().map(|event| event.action.amount()).collect::<Vec<_>>(),
            &stakes
                .iter()
                .map(|stake| stake.as_ref().map(|stake| stake.bonus_amount))
                .collect::<Vec<_>>(),
            &stakes
                .iter()
                .map(|stake| stake.as_ref()?.game.as_deref())
                .collect::<Vec<_>>(),
            &events().map(round_id).collect::<Vec<_>>(),
            &events().map(voids).collect::<Vec<_>>(),
            &events().map(minutes).collect::<Vec<_>>(),
            &events().map(depth).collect::<Vec<_>>(),
            &recorded
                .iter()
                .map(|recorded| recorded.lp_lot.map(|_| recorded.outcome.lp))
                .collect::<Vec<_>>(),
            &recorded.iter().map(|recorded| recorded.lp_lot).collect::<Vec<_>>(),
            &recorded
                .iter()
                .map(|recorded| Json(&recorded.outcome))
                .collect::<Vec<_>>(),
            &now,
        ],
    )
    .await?;
    add_wagering(tx, recorded).await
}

async fn add_wagering(tx: &Tx<'_>, recorded: &[&Recorded]) -> Result<()> {
    let effects: Vec<_> = recorded
        .iter()
        .flat_map(|recorded| {
            recorded
                .outcome
                .grants
                .iter()
                .map(move |effect| (&recorded.event, effect))
        })
        .collect();
    if effects.is_empty() {
        return Ok(());
    }
    statement::execute(
        tx,
        ADD_WAGERING,
        &[
            &effects
                .iter()
                .map(|(event, _)| event.player_id.as_str())
                .collect::<Vec<_>>(),
            &effects
                .iter()
                .map(|(event, _)| event.event_id.as_str())
                .collect::<Vec<_>>(),
            &effects.iter().map(|(_, effect)| effect.grant_id.0).collect::<Vec<_>>(),
            &effects
                .iter()
                .map(|(_, effect)| effect.contribution)
                .collect::<Vec<_>>(),
            &effects.iter().map(|(_, effect)| effect.bonus).collect::<Vec<_>>(),
            &effects.iter().map(|(_, effect)| effect.released).collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

pub async fn save_totals(tx: &Tx<'_>, totals: &[(&PlayerId, &Totals)], now: Timestamp) -> Result<()> {
    if totals.is_empty() {
        return Ok(());
    }
    statement::execute(
        tx,
        SAVE_TOTALS,
        &[
            &totals
                .iter()
                .map(|(player_id, _)| player_id.as_str())
                .collect::<Vec<_>>(),
            &totals.iter().map(|(_, t)| t.deposited).collect::<Vec<_>>(),
            &totals.iter().map(|(_, t)| t.wagered).collect::<Vec<_>>(),
            &totals.iter().map(|(_, t)| t.won).collect::<Vec<_>>(),
            &totals.iter().map(|(_, t)| t.withdrawn).collect::<Vec<_>>(),
            &totals.iter().map(|(_, t)| t.session_count).collect::<Vec<_>>(),
            &totals.iter().map(|(_, t)| t.playtime_hours).collect::<Vec<_>>(),
            &totals.iter().map(|(_, t)| t.bets).collect::<Vec<_>>(),
            &totals.iter().map(|(_, t)| t.last_deposit_date).collect::<Vec<_>>(),
            &now,
        ],
    )
    .await?;
    Ok(())
}

/// Adds to the days of the rollup; each day of a player comes once.
pub async fn add_days(tx: &Tx<'_>, days: &[(&PlayerId, Date, Day)]) -> Result<()> {
    if days.is_empty() {
        return Ok(());
    }
    statement::execute(
        tx,
        ADD_DAYS,
        &[
            &days
                .iter()
                .map(|(player_id, ..)| player_id.as_str())
                .collect::<Vec<_>>(),
            &days.iter().map(|(_, date, _)| *date).collect::<Vec<_>>(),
            &days.iter().map(|(.., day)| day.deposited).collect::<Vec<_>>(),
            &days.iter().map(|(.., day)| day.wagered).collect::<Vec<_>>(),
            &days.iter().map(|(.., day)| day.won).collect::<Vec<_>>(),
            &days.iter().map(|(.., day)| day.withdrawn).collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

/// What events say of the players themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedStanding<'a> {
    pub player_id: &'a PlayerId,
    pub kyc_completed: bool,
    pub profile: Profile,
    pub last_activity_at: Option<Timestamp>,
}

pub async fn save_standings(tx: &Tx<'_>, standings: &[SavedStanding<'_>]) -> Result<()> {
    if standings.is_empty() {
        return Ok(());
    }
    statement::execute(
        tx,
        SAVE_STANDINGS,
        &[
            &standings
                .iter()
                .map(|standing| standing.player_id.as_str())
                .collect::<Vec<_>>(),
            &standings
                .iter()
                .map(|standing| standing.kyc_completed)
                .collect::<Vec<_>>(),
            &standings
                .iter()
                .map(|standing| standing.profile.depth)
                .collect::<Vec<_>>(),
            &standings.iter().map(|standing| standing.profile.at).collect::<Vec<_>>(),
            &standings
                .iter()
                .map(|standing| standing.last_activity_at)
                .collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}
