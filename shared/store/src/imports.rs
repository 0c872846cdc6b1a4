//! Imports: files, their watermark, their errors, and the rows that reached players.

use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::players::segments::totals_of;
use crate::statement;
use domain::id::{ImportId, PlayerId, RunId};
use domain::import::plan::{DailyDelta, Existing, ProfileChange};
use domain::import::row::{PlayerRow, RowError};
use domain::metrics::Totals;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use tokio_postgres::Row;

const OPEN: &str = "
INSERT INTO imports (import_id, run_id, bucket, object_key, object_version, size_bytes, status, created_at)
VALUES ($1, $2, $3, $4, $5, $6, 'RUNNING', $7)
ON CONFLICT (bucket, object_key, object_version) DO NOTHING";

const FIND: &str = "
SELECT *
FROM imports
WHERE bucket = $1
  AND object_key = $2
  AND ($3::text IS NULL OR object_version = $3)
ORDER BY import_id DESC
LIMIT 1";

const GET: &str = "
SELECT *
FROM imports
WHERE import_id = $1";

const LIST: &str = "
SELECT *
FROM imports
ORDER BY import_id DESC
OFFSET $1
LIMIT $2";

const LOCK: &str = "
SELECT status, next_line
FROM imports
WHERE import_id = $1
FOR UPDATE";

const FIRST_LINES: &str = "
SELECT player_id, line
FROM run_players
WHERE run_id = $1
  AND player_id = ANY($2)";

const EXISTING: &str = "
SELECT p.player_id, p.email, p.name, p.registered_at, t.total_deposited, t.total_wagered, t.total_won, t.total_withdrawn,
  t.session_count, t.playtime_hours, t.total_bets, t.last_deposit_date
FROM players p
JOIN player_totals t ON t.player_id = p.player_id
WHERE p.player_id = ANY($1)";

const CREATE_PLAYERS: &str = "
INSERT INTO players (player_id, email, name, registered_at, tier, created_at)
SELECT player_id, email, name, registered_at, $5, $6
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS n (player_id, email, name, registered_at)
ORDER BY player_id
ON CONFLICT (player_id) DO NOTHING
RETURNING player_id";

const UPDATE_PROFILES: &str = "
UPDATE players p
SET email = coalesce(n.email, p.email),
  name = coalesce(n.name, p.name),
  registered_at = coalesce(n.registered_at, p.registered_at)
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[]) AS n (player_id, email, name, registered_at)
WHERE p.player_id = n.player_id";

const SAVE_TOTALS: &str = "
INSERT INTO player_totals (player_id, total_deposited, total_wagered, total_won, total_withdrawn, session_count,
  playtime_hours, total_bets, last_deposit_date, updated_at)
SELECT *, $10
FROM unnest($1::text[], $2::numeric[], $3::numeric[], $4::numeric[], $5::numeric[], $6::integer[], $7::numeric[],
  $8::bigint[], $9::date[])
ON CONFLICT (player_id) DO UPDATE
SET total_deposited = EXCLUDED.total_deposited,
  total_wagered = EXCLUDED.total_wagered,
  total_won = EXCLUDED.total_won,
  total_withdrawn = EXCLUDED.total_withdrawn,
  session_count = EXCLUDED.session_count,
  playtime_hours = EXCLUDED.playtime_hours,
  total_bets = EXCLUDED.total_bets,
  last_deposit_date = EXCLUDED.last_deposit_date,
  updated_at = EXCLUDED.updated_at";

const ADD_DAILY: &str = "
INSERT INTO player_daily AS d (player_id, day, deposited, wagered, won, withdrawn)
SELECT *
FROM unnest($1::text[], $2::date[], $3::numeric[], $4::numeric[], $5::numeric[], $6::numeric[])
ON CONFLICT (player_id, day) DO UPDATE
SET deposited = d.deposited + EXCLUDED.deposited,
  wagered = d.wagered + EXCLUDED.wagered,
  won = d.won + EXCLUDED.won,
  withdrawn = d.withdrawn + EXCLUDED.withdrawn";

const ADD_PLAYERS: &str = "
INSERT INTO run_players (run_id, player_id, line, changed)
SELECT $1, player_id, line, changed
FROM unnest($2::text[], $3::bigint[], $4::boolean[]) AS n (player_id, line, changed)";

const ADD_ERRORS: &str = "
INSERT INTO import_errors (import_id, line, ordinal, column_name, value, reason)
SELECT $1, line, ordinal, column_name, value, reason
FROM unnest($2::bigint[], $3::smallint[], $4::text[], $5::text[], $6::text[]) AS n (line, ordinal, column_name, value, reason)";

const ADVANCE: &str = "
UPDATE imports
SET format = $2,
  total_rows = total_rows + $3 + $4 + $5 + $6,
  created_rows = created_rows + $3,
  updated_rows = updated_rows + $4,
  unchanged_rows = unchanged_rows + $5,
  rejected_rows = rejected_rows + $6,
  next_byte = $7,
  next_line = $8,
  chunks = chunks + 1,
  advanced_at = $10,
  warnings = CASE WHEN jsonb_array_length(warnings) >= 100 THEN warnings ELSE warnings || $9 END
WHERE import_id = $1";

const FINISH: &str = "
UPDATE imports
SET status = $2,
  failure = $3,
  finished_at = $4
WHERE import_id = $1
  AND status = 'RUNNING'
RETURNING *";

const ERRORS: &str = "
SELECT line, ordinal, column_name, value, reason
FROM import_errors
WHERE import_id = $1
  AND (line, ordinal) > ($2, $3)
ORDER BY line, ordinal
LIMIT $4";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    OPEN,
    FIND,
    GET,
    LIST,
    LOCK,
    FIRST_LINES,
    EXISTING,
    CREATE_PLAYERS,
    UPDATE_PROFILES,
    SAVE_TOTALS,
    ADD_DAILY,
    ADD_PLAYERS,
    ADD_ERRORS,
    ADVANCE,
    FINISH,
    ERRORS,
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    pub key: String,
    /// Version id, or the ETag where the bucket keeps no versions.
    pub version: String,
    pub size_bytes: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ImportStatus {
    Running,
    Completed,
    /// Some rows were rejected.
    CompletedWithErrors,
    /// Nothing more will be read; `Import::failure` says why.
    Failed,
}

impl ImportStatus {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Completed => "COMPLETED",
            Self::CompletedWithErrors => "COMPLETED_WITH_ERRORS",
            Self::Failed => "FAILED",
        }
    }

    fn parse(text: &str) -> Result<Self> {
        [Self::Running, Self::Completed, Self::CompletedWithErrors, Self::Failed]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| Error::Row(format!("import status {text:?}")))
    }
}

/// One file. Every row of it is counted once: total = created + updated + unchanged + rejected.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    pub import_id: ImportId,
    pub run_id: RunId,
    pub bucket: String,
    pub object_key: String,
    pub object_version: String,
    pub format: Option<String>,
    pub size_bytes: Option<i64>,
    pub status: ImportStatus,
    pub failure: Option<String>,
    pub warnings: Value,
    pub total_rows: i64,
    pub created_rows: i64,
    pub updated_rows: i64,
    pub unchanged_rows: i64,
    pub rejected_rows: i64,
    pub next_byte: i64,
    pub next_line: i64,
    pub chunks: i32,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

fn import(row: &Row) -> Result<Import> {
    Ok(Import {
        import_id: ImportId(row.try_get("import_id")?),
        run_id: RunId(row.try_get("run_id")?),
        bucket: row.try_get("bucket")?,
        object_key: row.try_get("object_key")?,
        object_version: row.try_get("object_version")?,
        format: row.try_get("format")?,
        size_bytes: row.try_get("size_bytes")?,
        status: ImportStatus::parse(row.try_get("status")?)?,
        failure: row.try_get("failure")?,
        warnings: row.try_get("warnings")?,
        total_rows: row.try_get("total_rows")?,
        created_rows: row.try_get("created_rows")?,
        updated_rows: row.try_get("updated_rows")?,
        unchanged_rows: row.try_get("unchanged_rows")?,
        rejected_rows: row.try_get("rejected_rows")?,
        next_byte: row.try_get("next_byte")?,
        next_line: row.try_get("next_line")?,
        chunks: row.try_get("chunks")?,
        created_at: row.try_get("created_at")?,
        finished_at: row.try_get("finished_at")?,
    })
}

/// The import of this object: a new one under the ids given, or the one that exists.
pub async fn open(
    executor: &impl Executor,
    object: &Object,
    import_id: ImportId,
    run_id: RunId,
    now: Timestamp,
) -> Result<Import> {
    let params: statement::Params<'_> = &[
        &import_id.0,
        &run_id.0,
        &object.bucket,
        &object.key,
        &object.version,
        &object.size_bytes,
        &now,
    ];
    statement::execute(executor, OPEN, params).await?;
    import(&statement::row(executor, FIND, &[&object.bucket, &object.key, &Some(&object.version)]).await?)
}

/// The newest import of an object of this name.
pub async fn find_by_key(executor: &impl Executor, bucket: &str, key: &str) -> Result<Option<Import>> {
    let any_version: Option<&str> = None;
    statement::optional_row(executor, FIND, &[&bucket, &key, &any_version])
        .await?
        .as_ref()
        .map(import)
        .transpose()
}

pub async fn get(executor: &impl Executor, import_id: ImportId) -> Result<Option<Import>> {
    statement::optional_row(executor, GET, &[&import_id.0])
        .await?
        .as_ref()
        .map(import)
        .transpose()
}

/// Newest first.
pub async fn list(executor: &impl Executor, skip: i64, limit: i64) -> Result<Vec<Import>> {
    statement::rows(executor, LIST, &[&skip, &limit])
        .await?
        .iter()
        .map(import)
        .collect()
}

/// Locks the import; answers its watermark while it is running.
pub async fn lock(tx: &Tx<'_>, import_id: ImportId) -> Result<Option<i64>> {
    let row = statement::row(tx, LOCK, &[&import_id.0]).await?;
    let running = ImportStatus::parse(row.try_get("status")?)? == ImportStatus::Running;
    Ok(if running { Some(row.try_get("next_line")?) } else { None })
}

/// The lines on which this import met these players before.
pub async fn first_lines(tx: &Tx<'_>, run_id: RunId, player_ids: &[&str]) -> Result<HashMap<String, i64>> {
    let rows = statement::rows(tx, FIRST_LINES, &[&run_id.0, &player_ids]).await?;
    rows.iter()
        .map(|row| Ok((row.try_get("player_id")?, row.try_get("line")?)))
        .collect()
}

/// What is stored about players that are locked.
pub async fn existing(tx: &Tx<'_>, player_ids: &[&str]) -> Result<HashMap<String, Existing>> {
    let rows = statement::rows(tx, EXISTING, &[&player_ids]).await?;
    rows.iter()
        .map(|row| {
            let existing = Existing {
                totals: totals_of(row)?,
                email: row.try_get("email")?,
                name: row.try_get("name")?,
                registered_at: row.try_get("registered_at")?,
            };
            Ok((row.try_get("player_id")?, existing))
        })
        .collect()
}

/// What the rows of one chunk write about one player.
#[derive(Debug, Clone, PartialEq)]
pub struct PlayerWrite {
    pub player_id: PlayerId,
    pub profile: ProfileChange,
    pub totals: Totals,
    pub daily: DailyDelta,
}

/// Makes those of the players that do not exist, in the lowest tier, and answers their ids. Both the made ones and those
/// that another transaction was making are settled when this returns. `rows` are sorted by id.
pub async fn create_players(
    tx: &Tx<'_>,
    rows: &[&PlayerRow],
    tier_level: &str,
    now: Timestamp,
) -> Result<HashSet<String>> {
    let created = statement::rows(
        tx,
        CREATE_PLAYERS,
        &[
            &rows.iter().map(|row| row.player_id.as_str()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.email.as_deref()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.name.as_deref()).collect::<Vec<_>>(),
            &rows.iter().map(|row| row.registered_at).collect::<Vec<_>>(),
            &tier_level,
            &now,
        ],
    )
    .await?;
    created.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Writes profile changes of players that exist.
pub async fn update_profiles(tx: &Tx<'_>, writes: &[&PlayerWrite]) -> Result<()> {
    let changed: Vec<&PlayerWrite> = writes
        .iter()
        .copied()
        .filter(|write| write.profile != ProfileChange::default())
        .collect();
    if changed.is_empty() {
        return Ok(());
    }
    statement::execute(
        tx,
        UPDATE_PROFILES,
        &[
            &changed.iter().map(|write| write.player_id.as_str()).collect::<Vec<_>>(),
            &changed
                .iter()
                .map(|write| write.profile.email.as_deref())
                .collect::<Vec<_>>(),
            &changed
                .iter()
                .map(|write| write.profile.name.as_deref())
                .collect::<Vec<_>>(),
            &changed
                .iter()
                .map(|write| write.profile.registered_at)
                .collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

/// Writes totals, and adds what changed to the day.
pub async fn save_activity(tx: &Tx<'_>, writes: &[&PlayerWrite], now: Timestamp) -> Result<()> {
    if writes.is_empty() {
        return Ok(());
    }
    let totals: Vec<&Totals> = writes.iter().map(|write| &write.totals).collect();
    statement::execute(
        tx,
        SAVE_TOTALS,
        &[
            &writes.iter().map(|write| write.player_id.as_str()).collect::<Vec<_>>(),
            &totals.iter().map(|t| t.deposited).collect::<Vec<_>>(),
            &totals.iter().map(|t| t.wagered).collect::<Vec<_>>(),
            &totals.iter().map(|t| t.won).collect::<Vec<_>>(),
            &totals.iter().map(|t| t.withdrawn).collect::<Vec<_>>(),
            &totals.iter().map(|t| t.session_count).collect::<Vec<_>>(),
            &totals.iter().map(|t| t.playtime_hours).collect::<Vec<_>>(),
            &totals.iter().map(|t| t.bets).collect::<Vec<_>>(),
            &totals.iter().map(|t| t.last_deposit_date).collect::<Vec<_>>(),
            &now,
        ],
    )
    .await?;
    let moved: Vec<&PlayerWrite> = writes.iter().copied().filter(|write| !write.daily.is_zero()).collect();
    statement::execute(
        tx,
        ADD_DAILY,
        &[
            &moved.iter().map(|write| write.player_id.as_str()).collect::<Vec<_>>(),
            &moved.iter().map(|write| write.daily.day).collect::<Vec<_>>(),
            &moved.iter().map(|write| write.daily.deposited).collect::<Vec<_>>(),
            &moved.iter().map(|write| write.daily.wagered).collect::<Vec<_>>(),
            &moved.iter().map(|write| write.daily.won).collect::<Vec<_>>(),
            &moved.iter().map(|write| write.daily.withdrawn).collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

/// Remembers on which line the import met each player, and whether the row changed anything.
pub async fn add_players(tx: &Tx<'_>, run_id: RunId, met: &[(&str, i64, bool)]) -> Result<()> {
    if met.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = met.iter().map(|(player_id, ..)| *player_id).collect();
    let lines: Vec<i64> = met.iter().map(|(_, line, _)| *line).collect();
    let changed: Vec<bool> = met.iter().map(|(.., changed)| *changed).collect();
    statement::execute(tx, ADD_PLAYERS, &[&run_id.0, &ids, &lines, &changed]).await?;
    Ok(())
}

pub async fn add_errors(tx: &Tx<'_>, import_id: ImportId, errors: &[RowError]) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    let mut ordinals: Vec<i16> = Vec::with_capacity(errors.len());
    for (index, error) in errors.iter().enumerate() {
        let same_line = index > 0 && errors[index - 1].line == error.line;
        ordinals.push(if same_line { ordinals[index - 1] + 1 } else { 1 });
    }
    statement::execute(
        tx,
        ADD_ERRORS,
        &[
            &import_id.0,
            &errors.iter().map(|error| stored_line(error.line)).collect::<Vec<_>>(),
            &ordinals,
            &errors.iter().map(|error| error.column.as_deref()).collect::<Vec<_>>(),
            &errors.iter().map(|error| error.value.as_deref()).collect::<Vec<_>>(),
            &errors.iter().map(|error| error.reason.to_string()).collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

/// A line number, as stored.
pub fn stored_line(line: u64) -> i64 {
    i64::try_from(line).unwrap_or(i64::MAX)
}

/// What one chunk adds to its import.
#[derive(Debug, Clone, PartialEq)]
pub struct Advance<'a> {
    pub format: &'a str,
    pub created: i64,
    pub updated: i64,
    pub unchanged: i64,
    pub rejected: i64,
    pub next_byte: i64,
    pub next_line: i64,
    /// A JSON array of texts.
    pub warnings: Value,
}

/// Moves the watermark, in the transaction that wrote the chunk's rows.
pub async fn advance(tx: &Tx<'_>, import_id: ImportId, by: &Advance<'_>, now: Timestamp) -> Result<()> {
    let params: statement::Params<'_> = &[
        &import_id.0,
        &by.format,
        &by.created,
        &by.updated,
        &by.unchanged,
        &by.rejected,
        &by.next_byte,
        &by.next_line,
        &by.warnings,
        &now,
    ];
    statement::execute(tx, ADVANCE, params).await?;
    Ok(())
}

/// Ends the import; `None` when it had ended before.
pub async fn finish(
    tx: &Tx<'_>,
    import_id: ImportId,
    status: ImportStatus,
    failure: Option<&str>,
    now: Timestamp,
) -> Result<Option<Import>> {
    statement::optional_row(tx, FINISH, &[&import_id.0, &status.as_str(), &failure, &now])
        .await?
        .as_ref()
        .map(import)
        .transpose()
}

/// One thing that was wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRowError {
    pub line: i64,
    pub ordinal: i16,
    pub column: Option<String>,
    pub value: Option<String>,
    pub reason: String,
}

/// In order of line, from behind `after` (line and ordinal).
pub async fn errors(
    executor: &impl Executor,
    import_id: ImportId,
    after: (i64, i16),
    limit: i64,
) -> Result<Vec<StoredRowError>> {
    let rows = statement::rows(
        executor,
        ERRORS,
        &[
            &import_id.0 as &(dyn tokio_postgres::types::ToSql + Sync),
            &after.0,
            &after.1,
            &limit,
        ],
    )
    .await?;
    rows.iter()
        .map(|row| {
            Ok(StoredRowError {
                line: row.try_get("line")?,
                ordinal: row.try_get("ordinal")?,
                column: row.try_get("column_name")?,
                value: row.try_get("value")?,
                reason: row.try_get("reason")?,
            })
        })
        .collect()
}
