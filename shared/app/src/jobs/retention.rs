//! Retention: deletes operational data that is no longer needed. The books are never deleted.
//!
//! # Choices
//!
//! * The player list of a run is deleted 90 days after its end; from then on the audit no longer compares an import
//!   with it (`runs.players_kept`). Triggers and scheduled runs are deleted after 30 days, except the last run of each
//!   job.

use crate::error::Result;
use domain::context::Context;
use domain::settings::Settings;
use domain::text_enum;
use jiff::{SignedDuration, Timestamp};
use store::{Db, Tx, transaction};

/// Rows per transaction, which takes a fraction of a second.
const ROWS_MAX: i64 = 5_000;

text_enum! {
    /// What is deleted, in this order. The text is the cursor and the name of the figure.
    pub enum Kind as "kind of retained rows" {
        /// Responses under idempotency keys. The keys stay: a manual posting is identified by its key, and a second
        /// effect of the same key would break I6.
        Answers = "answers_forgotten",
        RunPlayers = "run_players_forgotten",
        Triggers = "triggers_forgotten",
        ScheduleRuns = "schedule_runs_forgotten",
        /// Completed deliveries, and all deliveries of deleted webhooks.
        Deliveries = "deliveries_forgotten",
    }
}

impl Kind {
    /// The kind of a cursor; the first one without a cursor.
    pub fn at(cursor: Option<&str>) -> Self {
        cursor.and_then(Self::parse).unwrap_or(Self::Answers)
    }

    /// The kind to continue with after deleting `rows` rows: after a full page there may be more of the same.
    fn after(self, rows: u64) -> Option<Self> {
        if rows >= ROWS_MAX.unsigned_abs() {
            Some(self)
        } else {
            Self::ALL.into_iter().skip_while(|kind| *kind != self).nth(1)
        }
    }

    fn days(self, settings: &Settings) -> u32 {
        let retention = &settings.retention;
        match self {
            Self::Answers => retention.idempotency_answer_days,
            Self::RunPlayers => retention.run_player_days,
            Self::Triggers => retention.trigger_days,
            Self::ScheduleRuns => retention.schedule_run_days,
            Self::Deliveries => retention.delivery_days,
        }
    }
}

/// Deletes one page of a kind. Returns the number of rows and the kind to continue with.
pub async fn forget(db: &Db, kind: Kind, context: Context) -> Result<(u64, Option<Kind>)> {
    let settings = crate::program::settings::get(db).await?;
    let before = days_before(context.now, kind.days(&settings));
    if kind == Kind::Deliveries {
        let rows = crate::platform::webhooks::forget_delivered(db, before, ROWS_MAX).await?;
        return Ok((rows, kind.after(rows)));
    }
    transaction!(db, |tx| forget_in_tx(tx, kind, before, context))
}

async fn forget_in_tx(tx: &Tx<'_>, kind: Kind, before: Timestamp, context: Context) -> Result<(u64, Option<Kind>)> {
    let rows = match kind {
        Kind::Answers => store::jobs::retention::forget_answers(tx, before, ROWS_MAX, context.now).await?,
        Kind::Triggers => store::jobs::retention::forget_triggers(tx, before, ROWS_MAX).await?,
        Kind::ScheduleRuns => store::jobs::retention::forget_schedule_runs(tx, before, ROWS_MAX).await?,
        // One run at a time, so a short page does not mean the end.
        Kind::RunPlayers => match store::jobs::retention::forget_run_players(tx, before, ROWS_MAX).await? {
            Some(rows) => return Ok((rows, Some(kind))),
            None => 0,
        },
        Kind::Deliveries => 0,
    };
    Ok((rows, kind.after(rows)))
}

fn days_before(now: Timestamp, days: u32) -> Timestamp {
    now.checked_sub(SignedDuration::from_hours(24 * i64::from(days)))
        .unwrap_or(Timestamp::MIN)
}
