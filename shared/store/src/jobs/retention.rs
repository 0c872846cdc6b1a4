//! Deletes what is no longer needed, a bounded number of rows at a time.

use crate::db::Tx;
use crate::error::Result;
use crate::statement;
use jiff::Timestamp;

// The key itself stays, because postings refer to it.
const FORGET_ANSWERS: &str = "
UPDATE idempotency_keys
SET response = 'null',
  forgotten_at = $2
WHERE (scope, key) IN (
  SELECT scope, key
  FROM idempotency_keys
  WHERE forgotten_at IS NULL
    AND created_at < $1
  ORDER BY created_at
  LIMIT $3
  FOR UPDATE SKIP LOCKED
)";

// `players_kept` changes in the same statement, because the audit compares an import with its players.
const FORGET_RUN_PLAYERS: &str = "
WITH run AS (
  SELECT run_id
  FROM runs
  WHERE scope = 'LISTED'
    AND players_kept <> 'NONE'
    AND finished_at < $1
  ORDER BY finished_at
  LIMIT 1
  FOR UPDATE SKIP LOCKED
), forgotten AS (
  DELETE FROM run_players
  WHERE (run_id, player_id) IN (
    SELECT l.run_id, l.player_id
    FROM run_players l
    JOIN run USING (run_id)
    LIMIT $2
  )
  RETURNING 1
), counted AS (
  SELECT count(*) AS players
  FROM forgotten
)
UPDATE runs r
SET players_kept = CASE WHEN counted.players < $2 THEN 'NONE' ELSE 'SOME' END
FROM run, counted
WHERE r.run_id = run.run_id
RETURNING counted.players";

const FORGET_TRIGGERS: &str = "
DELETE FROM reward_triggers
WHERE (player_id, trigger, trigger_id) IN (
  SELECT player_id, trigger, trigger_id
  FROM reward_triggers
  WHERE (evaluated_at IS NOT NULL OR failed_at IS NOT NULL)
    AND created_at < $1
  ORDER BY created_at
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)";

// The last run of each job stays, to show when the job last ran.
const FORGET_SCHEDULE_RUNS: &str = "
DELETE FROM schedule_runs
WHERE (job, scheduled_for) IN (
  SELECT r.job, r.scheduled_for
  FROM schedule_runs r
  WHERE r.finished_at < $1
    AND EXISTS (
      SELECT
      FROM schedule_runs later
      WHERE later.job = r.job
        AND later.scheduled_for > r.scheduled_for
    )
  ORDER BY r.finished_at
  LIMIT $2
  FOR UPDATE SKIP LOCKED
)";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    FORGET_ANSWERS,
    FORGET_RUN_PLAYERS,
    FORGET_TRIGGERS,
    FORGET_SCHEDULE_RUNS,
];

/// Deletes the stored responses of keys that were used before `before`. Returns how many.
pub async fn forget_answers(tx: &Tx<'_>, before: Timestamp, limit: i64, now: Timestamp) -> Result<u64> {
    statement::execute(tx, FORGET_ANSWERS, &[&before, &now, &limit]).await
}

/// Deletes players of the oldest run that ended before `before` and still has some. Returns how many; `None` if there
/// is no such run.
pub async fn forget_run_players(tx: &Tx<'_>, before: Timestamp, limit: i64) -> Result<Option<u64>> {
    let row = statement::optional_row(tx, FORGET_RUN_PLAYERS, &[&before, &limit]).await?;
    row.map(|row| Ok(row.try_get::<_, i64>(0)?.unsigned_abs())).transpose()
}

/// Deletes triggers that are evaluated or failed and were created before `before`. Returns how many.
pub async fn forget_triggers(tx: &Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    statement::execute(tx, FORGET_TRIGGERS, &[&before, &limit]).await
}

/// Deletes scheduled runs that ended before `before`. Returns how many.
pub async fn forget_schedule_runs(tx: &Tx<'_>, before: Timestamp, limit: i64) -> Result<u64> {
    statement::execute(tx, FORGET_SCHEDULE_RUNS, &[&before, &limit]).await
}
