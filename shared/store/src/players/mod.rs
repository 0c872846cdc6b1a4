//! Players: their profile, status and totals.

pub mod risk_facts;
pub mod segments;
pub mod signals;
pub mod totals;

use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::players::totals::totals_of;
use crate::row::{optional_word, player_id, small, word};
use crate::select::Select;
use crate::statement;
use domain::id::{PlayerId, RunId};
use domain::metrics::Totals;
use domain::page::Page;
use domain::player::Balances;
use domain::segment::Segment;
use jiff::Timestamp;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use uuid::Uuid;

const LOAD: &str = include_str!("load.sql");
const INSERT: &str = include_str!("insert.sql");

// After the wait, the columns of this row are current. Read other tables in a later statement: this one has an older
// snapshot of them.
const LOCK: &str = "
SELECT email, name, is_active, is_blocked, self_excluded_until
FROM players
WHERE player_id = $1
FOR NO KEY UPDATE";

const LOCK_ALL: &str = "
SELECT player_id
FROM players
WHERE player_id = ANY($1)
ORDER BY player_id
FOR NO KEY UPDATE";

const IDS_AFTER: &str = "
SELECT player_id
FROM players
WHERE player_id > $1
ORDER BY player_id
LIMIT $2";

const EXISTS: &str = "
SELECT EXISTS (
  SELECT 1
  FROM players
  WHERE player_id = $1
) AS found";

const RISK_SCORE: &str = "
SELECT risk_score
FROM players
WHERE player_id = $1";

const SAVE_PROFILE: &str = "
UPDATE players
SET email = $2,
  name = $3,
  is_active = $4,
  is_blocked = $5,
  self_excluded_until = $6
WHERE player_id = $1";

const SEGMENT_HISTORY: &str = "
SELECT from_segment, to_segment, run_id, at
FROM segment_history
WHERE player_id = $1
  AND at < coalesce($2::timestamptz, 'infinity')
ORDER BY at DESC
OFFSET $3
LIMIT $4";

/// Every statement of this file with a fixed text, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    LOAD,
    INSERT,
    LOCK,
    LOCK_ALL,
    IDS_AFTER,
    EXISTS,
    RISK_SCORE,
    SAVE_PROFILE,
    SEGMENT_HISTORY,
];

/// A player as the API shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct Player {
    pub player_id: String,
    pub profile: Profile,
    /// `None`: not classified yet.
    pub segment: Option<Segment>,
    pub tier: String,
    /// 0 to 100.
    pub risk_score: i16,
    pub created_at: Timestamp,
    pub last_activity_at: Option<Timestamp>,
    pub totals: Totals,
    pub balances: Balances,
    pub open_bonus: OpenBonus,
}

/// The part of a player that staff can change.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Profile {
    pub email: Option<String>,
    pub name: Option<String>,
    pub is_active: bool,
    pub is_blocked: bool,
    pub self_excluded_until: Option<Timestamp>,
}

/// The totals of a player's open bonus grants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenBonus {
    pub wagering_required: Decimal,
    pub wagering_completed: Decimal,
    /// The expiry of the grant that expires first.
    pub next_expiry: Option<Timestamp>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    pub segment: Option<Segment>,
    pub tier: Option<String>,
    pub is_active: Option<bool>,
    /// The start of the player id (as written, in upper case or in lower case) or of the email (in any case).
    pub prefix: Option<String>,
}

/// Returns the player ids of one page, ordered.
pub async fn find(executor: &impl Executor, filter: &Filter, page: &Page<String>) -> Result<Vec<String>> {
    let mut select = Select::new("SELECT p.player_id\nFROM players p");
    // Orders by the table that leads the join, so that its index gives the order.
    let mut key = "p.player_id";
    if let Some(segment) = filter.segment {
        key = "s.player_id";
        select.clause("JOIN player_segments s ON s.player_id = p.player_id");
        select.equals("s.segment", segment.as_str());
    }
    if let Some(tier) = &filter.tier {
        select.equals("p.tier", tier.clone());
    }
    match filter.is_active {
        Some(true) => select.condition("p.is_active".into()),
        Some(false) => select.condition("NOT p.is_active".into()),
        None => {}
    }
    if let Some(after) = &page.after {
        let after = select.bind(after.clone());
        // For both tables: PostgreSQL does not infer an inequality across a join.
        select.condition(format!("p.player_id > {after}"));
        if filter.segment.is_some() {
            select.condition(format!("s.player_id > {after}"));
        }
    }
    let rows = match &filter.prefix {
        None => select.page(executor, key, page.skip, page.limit).await?,
        Some(prefix) => {
            let ranges = beginnings(prefix, &mut select);
            select
                .page_of_any(executor, &ranges, key, page.skip, page.limit)
                .await?
        }
    };
    Ok(rows
        .iter()
        .map(|row| row.try_get("player_id"))
        .collect::<Result<_, _>>()?)
}

/// Sorts after every other character in byte order: the end of a prefix's range.
const LAST_CHARACTER: &str = "\u{10FFFF}";

/// The conditions for a prefix: the id in each spelling, and the email.
fn beginnings(prefix: &str, select: &mut Select) -> Vec<String> {
    let mut range = |column: &str, beginning: &str, [from, to]: [&str; 2]| {
        let (first, end) = (
            select.bind(beginning.to_owned()),
            select.bind(format!("{beginning}{LAST_CHARACTER}")),
        );
        format!("{column} {from} {first} AND {column} {to} {end}")
    };
    let mut spellings = vec![prefix.to_owned(), prefix.to_uppercase(), prefix.to_lowercase()];
    spellings.sort();
    spellings.dedup();
    let ids: Vec<String> = spellings
        .iter()
        .map(|spelling| range("p.player_id", spelling, [">=", "<"]))
        .collect();
    // These operators compare bytes, as the index does.
    let email = range("lower(p.email)", &prefix.to_lowercase(), ["~>=~", "~<~"]);
    ids.into_iter().chain([email]).collect()
}

/// The players that exist, ordered by id.
pub async fn load(executor: &impl Executor, player_ids: &[&str]) -> Result<Vec<Player>> {
    statement::list(executor, LOAD, &[&player_ids], player).await
}

/// Returns the player and keeps it locked until the transaction ends.
pub async fn lock(tx: &Tx<'_>, player_id: &PlayerId) -> Result<Option<Profile>> {
    statement::optional(tx, LOCK, &[&player_id.as_str()], profile_of).await
}

/// The risk score of a player that exists. The caller holds the lock.
pub async fn risk_score(tx: &Tx<'_>, player_id: &PlayerId) -> Result<u8> {
    small(&statement::row(tx, RISK_SCORE, &[&player_id.as_str()]).await?, 0)
}

/// Locks the players that exist, ordered by id, and returns their ids.
pub async fn lock_all(tx: &Tx<'_>, player_ids: &[&str]) -> Result<Vec<String>> {
    let rows = statement::rows(tx, LOCK_ALL, &[&player_ids]).await?;
    Ok(rows
        .iter()
        .map(|row| row.try_get("player_id"))
        .collect::<Result<_, _>>()?)
}

/// The next `limit` ids behind `after`, ordered; without `after`, the first ones.
pub async fn ids_after(executor: &impl Executor, after: Option<&str>, limit: i64) -> Result<Vec<PlayerId>> {
    statement::list(executor, IDS_AFTER, &[&after.unwrap_or_default(), &limit], player_id).await
}

pub async fn exists(executor: &impl Executor, player_id: &PlayerId) -> Result<bool> {
    Ok(statement::row(executor, EXISTS, &[&player_id.as_str()])
        .await?
        .try_get("found")?)
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPlayer {
    pub player_id: PlayerId,
    pub email: Option<String>,
    pub name: Option<String>,
    pub tier: String,
}

/// Adds an active player whose totals are 0. Returns false, and adds nothing, when the id is taken.
pub async fn insert(tx: &Tx<'_>, new: &NewPlayer, now: Timestamp) -> Result<bool> {
    let added = statement::execute(
        tx,
        INSERT,
        &[&new.player_id.as_str(), &new.email, &new.name, &new.tier, &now],
    )
    .await?;
    Ok(added == 1)
}

/// The caller holds the player's lock.
pub async fn save_profile(tx: &Tx<'_>, player_id: &PlayerId, profile: &Profile) -> Result<()> {
    let Profile {
        email,
        name,
        is_active,
        is_blocked,
        self_excluded_until,
    } = profile;
    let params: statement::Params<'_> = &[
        &player_id.as_str(),
        email,
        name,
        is_active,
        is_blocked,
        self_excluded_until,
    ];
    statement::execute(tx, SAVE_PROFILE, params).await?;
    Ok(())
}

/// One change of a player's segment.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct SegmentMove {
    /// `None`: the first classification.
    pub from: Option<Segment>,
    pub to: Segment,
    /// The run that made the change; `None` if no run did.
    pub run_id: Option<RunId>,
    pub at: Timestamp,
}

/// Newest first; `page.after` is an instant.
pub async fn segment_history(
    executor: &impl Executor,
    player_id: &PlayerId,
    page: &Page<Timestamp>,
) -> Result<Vec<SegmentMove>> {
    let params: statement::Params<'_> = &[&player_id.as_str(), &page.after, &page.skip, &page.limit];
    statement::list(executor, SEGMENT_HISTORY, params, |row| {
        let run_id: Option<Uuid> = row.try_get("run_id")?;
        Ok(SegmentMove {
            from: optional_word(row, "from_segment")?,
            to: word(row, "to_segment")?,
            run_id: run_id.map(RunId),
            at: row.try_get("at")?,
        })
    })
    .await
}

fn profile_of(row: &Row) -> Result<Profile> {
    Ok(Profile {
        email: row.try_get("email")?,
        name: row.try_get("name")?,
        is_active: row.try_get("is_active")?,
        is_blocked: row.try_get("is_blocked")?,
        self_excluded_until: row.try_get("self_excluded_until")?,
    })
}

fn player(row: &Row) -> Result<Player> {
    Ok(Player {
        player_id: row.try_get("player_id")?,
        profile: profile_of(row)?,
        segment: optional_word(row, "segment")?,
        tier: row.try_get("tier")?,
        risk_score: row.try_get("risk_score")?,
        created_at: row.try_get("created_at")?,
        last_activity_at: row.try_get("last_activity_at")?,
        totals: totals_of(row, 1)?,
        balances: Balances {
            lp: row.try_get("lp")?,
            rp: row.try_get("rp")?,
            bonus: row.try_get("bonus")?,
            tickets: row.try_get("tickets")?,
        },
        open_bonus: OpenBonus {
            wagering_required: row.try_get("wagering_required")?,
            wagering_completed: row.try_get("wagering_completed")?,
            next_expiry: row.try_get("next_expiry")?,
        },
    })
}
