//! The scheduler's jobs.
//!
//! # A night
//!
//! 1. EventBridge Scheduler invokes `scheduler` every minute with `{}`. `schedules::plan` asks `domain::schedule` for
//!    each job's last due time in the program's zone and writes a row of `schedule_runs` if that time came after the
//!    job was last looked at (`schedules.seen_at`, in the same transaction). So it does not matter how often the clock
//!    fires or whether it misses a time: of several missed times the last is made up for, and the row counts the others
//!    (`skipped`).
//! 2. `claim` takes the most urgent unclaimed row. Each page of work (a thousand players, 5,000 rows) saves its cursor
//!    and figures under the claim. A claim expires after a minute without a page, so that the next tick continues after
//!    a crash; a slow worker whose claim has expired saves nothing. A minute before Lambda's timeout the rest is left
//!    to the next tick.
//! 3. A failed page is recorded with its error and retried after 1, 2, 4, 8 and 16 minutes; then the row is FAILED. So
//!    is a row whose worker crashed six times without finishing a page.
//! 4. `recovery` finds runs without a finished shard for five minutes, imports whose watermark has not moved for 17
//!    minutes, and triggers that have waited for one minute. It resends their messages at growing intervals and finally
//!    gives up. Duplicates are harmless, because each effect marks itself done in its own transaction.
//! 5. `audit` stores the broken invariants with their first rows and logs an error for each. `GET /api/schedules` shows
//!    every job, its next due time and its last run; `cargo local tick JOB` and `POST /api/cron/…` start one manually.

pub mod audit;
pub mod expiry;
pub mod recovery;
pub mod retention;
pub mod schedules;
