//! Players, as staff view and change them.

pub mod risk;

use crate::error::{Error, Result};
use crate::platform::analytics::Reward;
use crate::platform::audit_log::{self, Action, Sides, Subject};
use crate::program::Program;
use crate::wallet::books;
use domain::act::Act;
use domain::facts::Facts;
use domain::id::PlayerId;
use domain::import::row;
use domain::metrics::Totals;
use domain::page::Page;
use domain::problem::FieldErrors;
use domain::segment::classify;
use domain::text::TextLimits;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Map, Value};
use store::platform::analytics::RewardFilter;
use store::platform::stats::{self, Counter, Slot, Total};
use store::players::segments::SegmentChange;
pub use store::players::{Filter, Player};
use store::players::{NewPlayer, Profile, SegmentMove};
pub use store::rules::decisions::StoredDecisions;
use store::{Db, Executor, Tx, transaction};
use uuid::Uuid;

/// Longest search text, in bytes: an email address.
const PREFIX: TextLimits = TextLimits::bytes(row::EMAIL_BYTES_MAX);

/// Why a player cannot be created, credited or debited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlayerError {
    #[error("player {player_id} already exists")]
    Exists { player_id: PlayerId },
    #[error("player {player_id} is blocked")]
    Blocked { player_id: PlayerId },
    #[error("player {player_id} is not active")]
    Inactive { player_id: PlayerId },
    #[error("player {player_id} is self-excluded")]
    SelfExcluded { player_id: PlayerId, until: Timestamp },
}

impl PlayerError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "duplicate",
            Self::Blocked { .. } => "player_blocked",
            Self::Inactive { .. } => "player_inactive",
            Self::SelfExcluded { .. } => "player_self_excluded",
        }
    }
}

/// By id.
pub async fn list(db: &Db, filter: &Filter, page: &Page<String>) -> Result<Vec<Player>> {
    let client = db.client().await?;
    check_filter(&client, filter).await?;
    let ids = store::players::find(&client, filter, page).await?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    Ok(store::players::load(&client, &ids).await?)
}

async fn check_filter(executor: &impl Executor, filter: &Filter) -> Result<()> {
    let mut errors = FieldErrors::default();
    if let Some(tier) = &filter.tier
        && crate::tiers::ladder(executor).await?.rank(tier).is_none()
    {
        errors.push("?tier", "unknown", format!("there is no tier {tier:?}"));
    }
    if let Some(prefix) = &filter.prefix
        && let Err(error) = PREFIX.check(prefix)
    {
        errors.push("?q", "format", error.to_string());
    }
    Ok(errors.none_or(())?)
}

pub async fn get(db: &Db, player_id: &PlayerId) -> Result<Player> {
    load(&db.client().await?, player_id).await
}

async fn load(executor: &impl Executor, player_id: &PlayerId) -> Result<Player> {
    let mut players = store::players::load(executor, &[player_id.as_str()]).await?;
    players.pop().ok_or_else(|| missing(player_id))
}

fn missing(player_id: &PlayerId) -> Error {
    Error::not_found("player", player_id)
}

/// The input to create a player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    pub player_id: PlayerId,
    pub email: Option<String>,
    pub name: Option<String>,
}

/// Creates a player, in the lowest tier and in the segment of players without stakes.
///
/// # Errors
/// [`PlayerError::Exists`]; `Validation`.
pub async fn create(db: &Db, registration: &Registration, act: &Act) -> Result<Player> {
    check_profile(registration.email.as_deref(), registration.name.as_deref())?;
    transaction!(db, |tx| create_in_tx(tx, registration, act))
}

async fn create_in_tx(tx: &Tx<'_>, registration: &Registration, act: &Act) -> Result<Player> {
    let Registration { player_id, email, name } = registration;
    store::tiers::pin(tx).await?;
    let tier = crate::tiers::ladder(tx).await?.lowest().tier_level.clone();
    let segment = classify(&Totals::default(), &crate::program::settings::load(tx).await?.segments);
    let new = NewPlayer {
        player_id: player_id.clone(),
        email: email.clone(),
        name: name.clone(),
        tier: tier.clone(),
    };
    if !store::players::insert(tx, &new, act.context.now).await? {
        let player_id = player_id.clone();
        return Err(PlayerError::Exists { player_id }.into());
    }
    let first = SegmentChange {
        player_id: player_id.clone(),
        from: None,
        to: segment,
    };
    store::players::segments::change(tx, &[first], None, act.context.now).await?;
    let player = load(tx, player_id).await?;
    let sides = Sides::made(&player.profile);
    audit_log::append(tx, act, Action::PlayerCreate, Subject::Player(player_id), sides).await?;
    let counters = [
        Counter::Total(Total::Players),
        Counter::Total(Total::PlayersActive),
        Counter::Segment(segment),
        Counter::Tier(tier),
    ];
    stats::add(
        tx,
        &counters.map(|counter| (counter, Decimal::ONE)),
        Slot::of(player_id),
    )
    .await?;
    Ok(player)
}

/// What to change; an outer `None` leaves a value as it is, an inner one clears it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Changes {
    pub email: Option<Option<String>>,
    pub name: Option<Option<String>>,
    pub is_active: Option<bool>,
    pub is_blocked: Option<bool>,
    pub self_excluded_until: Option<Option<Timestamp>>,
}

impl Changes {
    /// Stops rewards; the player keeps everything else.
    pub fn deactivation() -> Self {
        Self {
            is_active: Some(false),
            ..Self::default()
        }
    }

    fn excludes(&self, now: Timestamp) -> bool {
        self.self_excluded_until.flatten().is_some_and(|until| now < until)
    }

    fn apply(&self, before: &Profile) -> Profile {
        Profile {
            email: self.email.clone().unwrap_or_else(|| before.email.clone()),
            name: self.name.clone().unwrap_or_else(|| before.name.clone()),
            is_active: self.is_active.unwrap_or(before.is_active),
            is_blocked: self.is_blocked.unwrap_or(before.is_blocked),
            self_excluded_until: self.self_excluded_until.unwrap_or(before.self_excluded_until),
        }
    }
}

/// Changes a player and records who did it. Writes nothing if nothing changes.
pub async fn update(db: &Db, player_id: &PlayerId, changes: &Changes, act: &Act) -> Result<Player> {
    check_profile(
        changes.email.as_ref().and_then(|email| email.as_deref()),
        changes.name.as_ref().and_then(|name| name.as_deref()),
    )?;
    transaction!(db, |tx| update_in_tx(tx, player_id, changes, act))
}

async fn update_in_tx(tx: &Tx<'_>, player_id: &PlayerId, changes: &Changes, act: &Act) -> Result<Player> {
    let before = store::players::lock(tx, player_id)
        .await?
        .ok_or_else(|| missing(player_id))?;
    let after = changes.apply(&before);
    if after != before {
        store::players::save_profile(tx, player_id, &after).await?;
        intervene(tx, player_id, (&before, &after), changes.excludes(act.context.now), act).await?;
        let sides = Sides::changed(&before, &after);
        audit_log::append(tx, act, Action::PlayerUpdate, Subject::Player(player_id), sides).await?;
        let delta = Decimal::from(i32::from(after.is_active) - i32::from(before.is_active));
        stats::add(
            tx,
            &[(Counter::Total(Total::PlayersActive), delta)],
            Slot::of(player_id),
        )
        .await?;
    }
    load(tx, player_id).await
}

/// What the change does to the player's bonuses. A self-excluded player loses all of them at once. The play of a blocked
/// or inactive player completes nothing until they are neither; what was fulfilled meanwhile completes then.
async fn intervene(
    tx: &Tx<'_>,
    player_id: &PlayerId,
    (before, after): (&Profile, &Profile),
    is_excluded: bool,
    act: &Act,
) -> Result<()> {
    let is_suspended = |profile: &Profile| profile.is_blocked || !profile.is_active;
    if !is_excluded && is_suspended(before) == is_suspended(after) {
        return Ok(());
    }
    let cause = act.because(is_excluded.then_some("self_exclusion"));
    let account = books::account(tx, player_id, &cause).await?;
    let mut account = account.suspended(is_suspended(before));
    match (is_suspended(before), is_suspended(after)) {
        (false, true) => account.suspend(&cause)?,
        (true, false) => account.resume(&cause)?,
        _ => {}
    }
    if is_excluded {
        account.forfeit_all(&cause)?;
    }
    let _scheduled = books::write(tx, &account.into_journal(), &[], Slot::of(player_id), act.context).await?;
    Ok(())
}

/// Every fact by name, null if unknown: what a rule sees of the player.
pub async fn facts(db: &Db, player_id: &PlayerId, now: Timestamp) -> Result<Map<String, Value>> {
    let client = db.client().await?;
    let program = Program::load(&client, now).await?;
    let players = crate::program::snapshot::load_all(&client, &[player_id.as_str()], &program).await?;
    let player = players.first().ok_or_else(|| missing(player_id))?;
    let facts = Facts::of(player, &program.catalogue, &program.moment, None);
    Ok(facts.to_json(program.catalogue.all()))
}

/// Newest first.
pub async fn segments(db: &Db, player_id: &PlayerId, page: &Page<Timestamp>) -> Result<Vec<SegmentMove>> {
    let client = db.client().await?;
    check_exists(&client, player_id).await?;
    Ok(store::players::segment_history(&client, player_id, page).await?)
}

/// Decisions of evaluations about the player, newest first.
pub async fn decisions(db: &Db, player_id: &PlayerId, page: &Page<Uuid>) -> Result<Vec<StoredDecisions>> {
    let client = db.client().await?;
    check_exists(&client, player_id).await?;
    Ok(store::rules::decisions::list(&client, player_id, page).await?)
}

/// Newest first, each with its decision.
pub async fn grants(db: &Db, player_id: &PlayerId, page: &Page<Uuid>) -> Result<Vec<Reward>> {
    let client = db.client().await?;
    check_exists(&client, player_id).await?;
    let filter = RewardFilter {
        player_id: Some(player_id.clone()),
        ..RewardFilter::default()
    };
    Ok(store::platform::analytics::rewards(&client, &filter, page).await?)
}

async fn check_exists(executor: &impl Executor, player_id: &PlayerId) -> Result<()> {
    if store::players::exists(executor, player_id).await? {
        Ok(())
    } else {
        Err(missing(player_id))
    }
}

/// The same checks as for the rows of an import.
fn check_profile(email: Option<&str>, name: Option<&str>) -> Result<()> {
    let mut errors = FieldErrors::default();
    if let Some(Err(problem)) = email.map(row::email) {
        errors.push("/email", "format", problem.to_string());
    }
    if let Some(Err(problem)) = name.map(row::name) {
        errors.push("/name", "format", problem.to_string());
    }
    Ok(errors.none_or(())?)
}
