//! Activity events, and the standings that they change. The caller holds the players' locks.

pub mod history;
pub mod points;

use crate::columns;
use crate::db::Tx;
use crate::error::Result;
use crate::players::totals::{TOTALS, totals_of};
use crate::row::{optional_word, player_id};
use crate::statement::{self, text};
use domain::activity::{Action, EventType, Outcome, Place, Profile, Recorded};
use domain::id::{EventId, GrantId, PlayerId};
use domain::metrics::Totals;
use domain::player::AccountStanding;
use domain::segment::Segment;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

const STATES: &str = text!(
    "
SELECT p.player_id, ",
    TOTALS,
    ", p.tier, p.is_active, p.is_blocked, p.self_excluded_until, p.kyc_completed, p.profile_depth, p.profile_at,
  p.last_activity_at, p.played_at, p.played_rank, s.segment
FROM players p
JOIN player_totals t ON t.player_id = p.player_id
LEFT JOIN player_segments s ON s.player_id = p.player_id
WHERE p.player_id = ANY($1)
ORDER BY p.player_id"
);

columns! {
    struct EventRow<'a> => Events (recorded_at) {
        player_id: text = &'a PlayerId,
        event_id: text = &'a EventId,
        type_: text = EventType,
        occurred_at: timestamptz = Timestamp,
        amount: numeric = Option<Decimal>,
        bonus_amount: numeric = Option<Decimal>,
        game: text = Option<&'a str>,
        round_id: text = Option<&'a str>,
        voids: text = Option<&'a EventId>,
        minutes: numeric = Option<Decimal>,
        value: numeric = Option<Decimal>,
        is_in_play: boolean = bool,
        lp_day: date = Option<Date>,
        outcome: json = Json<&'a Outcome>,
    }
}

const ADD: &str = text!(
    "INSERT INTO activity_events (recorded_at, ",
    Events::NAMES,
    ")\nSELECT $1, ",
    Events::NAMES,
    "\nFROM ",
    Events::UNNEST
);

columns! {
    struct WageringRow<'a> => Wagering () {
        player_id: text = &'a PlayerId,
        event_id: text = &'a EventId,
        grant_id: uuid = GrantId,
        contribution: numeric = Decimal,
        bonus: numeric = Decimal,
        released: numeric = Decimal,
    }
}

columns! {
    struct ResolvedRow<'a> => Resolved () {
        player_id: text = &'a PlayerId,
        event_id: text = &'a EventId,
        outcome: json = Json<&'a Outcome>,
    }
}

const RESOLVE: &str = text!(
    "
UPDATE activity_events e
SET outcome = n.outcome
FROM ",
    Resolved::UNNEST,
    "
WHERE e.player_id = n.player_id
  AND e.event_id = n.event_id"
);

columns! {
    struct ChangedRow<'a> => Changed () {
        player_id: text = &'a PlayerId,
        event_id: text = &'a EventId,
    }
}

const REMOVE_WAGERING: &str = text!(
    "
DELETE FROM grant_wagering w
USING ",
    Changed::UNNEST,
    "
WHERE w.player_id = n.player_id
  AND w.event_id = n.event_id"
);

const ADD_WAGERING: &str = text!("INSERT INTO grant_wagering (", Wagering::NAMES, ")\n", Wagering::SELECT);

columns! {
    /// What events change about the players themselves.
    pub struct SavedPlayer<'a> => SavedPlayers () {
        player_id: text = &'a PlayerId,
        kyc_completed: boolean = bool,
        profile_depth: numeric = Decimal,
        profile_at: timestamptz = Option<Timestamp>,
        last_activity_at: timestamptz = Option<Timestamp>,
        played_at: timestamptz = Option<Timestamp>,
        played_rank: text = Option<&'a str>,
    }
}

const SAVE_PLAYERS: &str = text!(
    "
UPDATE players p
SET kyc_completed = n.kyc_completed,
  profile_depth = n.profile_depth,
  profile_at = n.profile_at,
  last_activity_at = n.last_activity_at,
  played_at = n.played_at,
  played_rank = n.played_rank
FROM ",
    SavedPlayers::UNNEST,
    "
WHERE p.player_id = n.player_id"
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[STATES, ADD, RESOLVE, REMOVE_WAGERING, ADD_WAGERING, SAVE_PLAYERS];

/// A player's state before the events.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayerState {
    pub player_id: PlayerId,
    pub tier: String,
    pub standing: AccountStanding,
    pub kyc_completed: bool,
    pub profile: Profile,
    pub last_activity_at: Option<Timestamp>,
    /// The last place of play on bonuses; `None`: there was none.
    pub played: Option<Place>,
    /// `None`: not classified yet.
    pub segment: Option<Segment>,
    pub totals: Totals,
}

/// Ordered by player id. Players that do not exist are left out.
pub async fn states(tx: &Tx<'_>, player_ids: &[&str]) -> Result<Vec<PlayerState>> {
    statement::rows(tx, STATES, &[&player_ids])
        .await?
        .iter()
        .map(state)
        .collect()
}

fn state(row: &Row) -> Result<PlayerState> {
    Ok(PlayerState {
        player_id: player_id(row)?,
        tier: row.try_get("tier")?,
        standing: AccountStanding {
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
        played: played(row)?,
        segment: optional_word(row, "segment")?,
        totals: totals_of(row, 1)?,
    })
}

fn played(row: &Row) -> Result<Option<Place>> {
    let (at, rank): (Option<Timestamp>, Option<String>) = (row.try_get("played_at")?, row.try_get("played_rank")?);
    Ok(at.zip(rank).map(|(at, rank)| Place { at, rank }))
}

/// Records events with their outcomes. The keys refuse an event that is already recorded, and a second void of an
/// event.
pub async fn add(tx: &Tx<'_>, recorded: &[&Recorded], now: Timestamp) -> Result<()> {
    if recorded.is_empty() {
        return Ok(());
    }
    let rows: Events<'_> = recorded.iter().map(|recorded| event_row(recorded)).collect();
    statement::execute(tx, ADD, &rows.params([&now])).await?;
    add_wagering(tx, recorded).await
}

fn event_row(recorded: &Recorded) -> EventRow<'_> {
    let Recorded {
        event,
        outcome,
        lp_day,
        is_in_play,
        ..
    } = recorded;
    let mut row = EventRow {
        player_id: &event.player_id,
        event_id: &event.event_id,
        type_: event.action.event_type(),
        occurred_at: event.occurred_at,
        amount: event.action.amount(),
        bonus_amount: None,
        game: None,
        round_id: None,
        voids: None,
        minutes: None,
        value: None,
        is_in_play: *is_in_play,
        lp_day: *lp_day,
        outcome: Json(outcome),
    };
    match &event.action {
        Action::Stake(stake) => {
            row.bonus_amount = Some(stake.bonus_amount.value());
            row.game = stake.game.as_deref();
            row.round_id = stake.round_id.as_deref();
        }
        Action::Payout(payout) => row.round_id = payout.round_id.as_deref(),
        Action::Void { voids } => row.voids = Some(voids),
        Action::Session { minutes } => row.minutes = Some(minutes.value()),
        Action::Profile { depth } => row.value = Some(depth.value()),
        Action::Deposit { .. } | Action::Withdrawal { .. } | Action::KycCompleted | Action::Login => {}
    }
    row
}

/// Saves what earlier events do to bonuses by now.
pub async fn refold(tx: &Tx<'_>, refolded: &[&Recorded]) -> Result<()> {
    let rows: Changed<'_> = refolded
        .iter()
        .map(|recorded| ChangedRow {
            player_id: &recorded.event.player_id,
            event_id: &recorded.event.event_id,
        })
        .collect();
    if rows.is_empty() {
        return Ok(());
    }
    statement::execute(tx, REMOVE_WAGERING, &rows.params([])).await?;
    add_wagering(tx, refolded).await
}

/// Saves the outcomes of payouts that waited until now.
pub async fn resolve(tx: &Tx<'_>, resolved: &[&Recorded]) -> Result<()> {
    let rows: Resolved<'_> = resolved
        .iter()
        .map(|recorded| ResolvedRow {
            player_id: &recorded.event.player_id,
            event_id: &recorded.event.event_id,
            outcome: Json(&recorded.outcome),
        })
        .collect();
    if !rows.is_empty() {
        statement::execute(tx, RESOLVE, &rows.params([])).await?;
    }
    Ok(())
}

async fn add_wagering(tx: &Tx<'_>, recorded: &[&Recorded]) -> Result<()> {
    let effects = recorded.iter().flat_map(|Recorded { event, effects, .. }| {
        effects.iter().map(move |effect| WageringRow {
            player_id: &event.player_id,
            event_id: &event.event_id,
            grant_id: effect.grant_id,
            contribution: effect.contribution,
            bonus: effect.bonus,
            released: effect.released,
        })
    });
    let rows: Wagering<'_> = effects.collect();
    if !rows.is_empty() {
        statement::execute(tx, ADD_WAGERING, &rows.params([])).await?;
    }
    Ok(())
}

pub async fn save_players<'a>(tx: &Tx<'_>, players: impl IntoIterator<Item = SavedPlayer<'a>>) -> Result<()> {
    let rows: SavedPlayers<'_> = players.into_iter().collect();
    if !rows.is_empty() {
        statement::execute(tx, SAVE_PLAYERS, &rows.params([])).await?;
    }
    Ok(())
}
