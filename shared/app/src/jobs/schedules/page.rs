//! The pages of the jobs: each is short, and the next one starts where it ended.

use super::ScheduleError;
use crate::error::Result;
use crate::jobs::retention;
use crate::runs::triggers::TriggerMessage;
use domain::context::Context;
use domain::id::PlayerId;
use domain::schedule::Job;
use serde::Serialize;
use store::Db;
use store::jobs::schedules::ScheduleRun;

/// Players per page: about a second of work.
const EXPIRE_PLAYERS: u16 = 500;
const REVIEW_PLAYERS: u16 = 2_000;
const SCAN_PLAYERS: i64 = 1_000;
/// Rows named per broken invariant.
const EXAMPLES_MAX: usize = 5;

/// The result of one page of a job.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// Where the next page starts; `None` after the last.
    pub next: Option<String>,
    /// Figures, which are added to those of earlier pages.
    pub counts: Vec<(&'static str, i64)>,
    /// Broken invariants, of an audit.
    pub broken: Vec<Broken>,
    /// Triggers of a tier review, to be sent; otherwise the recovery job sends them.
    pub triggers: Option<TriggerMessage>,
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    pub invariant: &'static str,
    /// How many rows break it.
    pub rows: i64,
    /// Keys of the first few.
    pub first: Vec<String>,
}

pub(super) async fn page(db: &Db, run: &ScheduleRun, context: Context) -> Result<Page> {
    match run.job {
        Job::Expire => expire(db, context).await,
        Job::TierReview => review(db, run.cursor.as_deref(), context).await,
        Job::RiskScan => scan(db, run.cursor.as_deref(), context).await,
        Job::Retention => forget(db, run.cursor.as_deref(), context).await,
        Job::Audit => audit(db).await,
        Job::Recover | Job::Recalculate => Err(ScheduleError::NotPaged { job: run.job }.into()),
    }
}

async fn expire(db: &Db, context: Context) -> Result<Page> {
    let expired = crate::jobs::expiry::expire_due(db, EXPIRE_PLAYERS, context).await?;
    let ended = expired.bonuses_expired + expired.bonuses_depleted + expired.point_lots_expired;
    // Without `ended > 0`, due players of whom nothing expires would be found again forever.
    let next = (expired.players == usize::from(EXPIRE_PLAYERS) && ended > 0).then(String::new);
    let counts = vec![
        ("players", count(expired.players)),
        ("bonuses_expired", count(expired.bonuses_expired)),
        ("bonuses_depleted", count(expired.bonuses_depleted)),
        ("point_lots_expired", count(expired.point_lots_expired)),
    ];
    Ok(Page {
        next,
        counts,
        ..Page::default()
    })
}

async fn review(db: &Db, after: Option<&str>, context: Context) -> Result<Page> {
    let reviewed = crate::tiers::review::review(db, after, REVIEW_PLAYERS, context).await?;
    let counts = vec![
        ("players", count(reviewed.players)),
        ("promoted", count(reviewed.promoted)),
        ("demoted", count(reviewed.demoted)),
        ("due_announced", count(reviewed.due_announced)),
        ("recovered", count(reviewed.recovered)),
    ];
    let triggers = reviewed.batch_id.map(|batch_id| TriggerMessage { batch_id });
    Ok(Page {
        next: reviewed.last_player_id.map(String::from),
        counts,
        triggers,
        ..Page::default()
    })
}

async fn scan(db: &Db, after: Option<&str>, context: Context) -> Result<Page> {
    let ids = store::players::ids_after(&db.client().await?, after, SCAN_PLAYERS).await?;
    let totals = crate::players::risk::scan(db, &ids, context).await?;
    let is_full = i64::try_from(ids.len()).is_ok_and(|players| players == SCAN_PLAYERS);
    let next = ids.last().map(PlayerId::to_string).filter(|_| is_full);
    let counts = vec![
        ("players", count(totals.players)),
        ("signals_raised", count(totals.raised)),
        ("signals_renewed", count(totals.renewed)),
        ("scores_changed", count(totals.scores_changed)),
    ];
    Ok(Page {
        next,
        counts,
        ..Page::default()
    })
}

async fn forget(db: &Db, cursor: Option<&str>, context: Context) -> Result<Page> {
    let kind = retention::Kind::at(cursor);
    let (rows, next) = retention::forget(db, kind, context).await?;
    let counts = vec![(kind.as_str(), i64::try_from(rows).unwrap_or(i64::MAX))];
    Ok(Page {
        next: next.map(|kind| kind.as_str().to_owned()),
        counts,
        ..Page::default()
    })
}

async fn audit(db: &Db) -> Result<Page> {
    let invariants = crate::jobs::audit::run(db).await?;
    let checked = count(invariants.len());
    let broken: Vec<Broken> = invariants
        .into_iter()
        .filter(|invariant| !invariant.holds())
        .map(|invariant| Broken {
            invariant: invariant.name,
            rows: invariant.broken,
            first: invariant.examples.into_iter().take(EXAMPLES_MAX).collect(),
        })
        .collect();
    let rows = broken.iter().map(|broken| broken.rows).sum();
    let counts = vec![
        ("invariants", checked),
        ("invariants_broken", count(broken.len())),
        ("rows_broken", rows),
    ];
    Ok(Page {
        counts,
        broken,
        ..Page::default()
    })
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
