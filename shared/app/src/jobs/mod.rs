//! The scheduler's jobs.
//!
//! # A night
//!
//! 1. EventBridge Scheduler invokes `scheduler` every minute with `{}`. `schedules::plan` asks `domain::schedule` for
//!    each job's last due time in the program's zone and writes a row of `schedule_runs` if that time came after the
//!    job was last looked at (`schedules.seen_at`, in the same transaction). So it does not matter how often the clock
//!    fires, or whether it missed: of several missed times the last is made good, and says how many it stands for.
//! 2. `claim` takes the most urgent row that nobody works on; one page of work (a thousand players, 5,000 rows) saves
//!    its cursor and figures under the claim. A claim ends after a minute without a page: the next tick continues after
//!    a crash, and a slow worker finds its claim gone and saves nothing. A minute before Lambda's time is up, the rest
//!    is left to the next tick.
//! 3. A page that fails is recorded with its error and tried again after 1, 2, 4, 8 and 16 minutes; then the row is
//!    FAILED. So is a row whose worker died six times without a page.
//! 4. `recovery` finds runs without a finished shard for five minutes, imports whose watermark stood still for 17, and
//!    triggers that waited for one. It sends their messages again, at growing intervals, and finally gives up. The
//!    marks in the transactions of the effects make a second message harmless.
//! 5. `audit` keeps the broken invariants with their first rows and logs an error for each. `GET /api/schedules` shows
//!    every job, when it is due next, and how it last ended; `cargo local tick JOB` and `POST /api/cron/…` start one by
//!    hand.

pub mod audit;
pub mod expiry;
pub mod recovery;
pub mod retention;
pub mod schedules;
