//! Imports: files, their watermark, their errors, and the rows that reached players.

use crate::columns;
use crate::columns::Param;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::players::totals::{TOTALS, totals_of};
use crate::row::word;
use crate::statement::{self, text};
use domain::id::{ImportId, PlayerId, RunId};
use domain::import::plan::{Existing, ProfileChange};
use domain::import::row::{PlayerRow, RowError};
use domain::run::RunStatus;
use jiff::Timestamp;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use tokio_postgres::Row;

const OPEN: &str = "
INSERT INTO imports (import_id, run_id, bucket, object_key, object_version, size_bytes, status, created_at)
VALUES ($1, $2, $3, $4, $5, $6, 'RUNNING', $7)
ON CONFLICT (bucket, object_key, object_version) DO NOTHING";

const COLUMNS: &str = "import_id, run_id, bucket, object_key, object_version, format, size_bytes, status, failure, \
                       warnings, total_rows, created_rows, updated_rows, unchanged_rows, rejected_rows, next_byte, \
                       next_line, chunks, created_at, finished_at";

const FIND: &str = text!(
    "SELECT ",
    COLUMNS,
    "
FROM imports
WHERE bucket = $1
  AND object_key = $2
  AND ($3::text IS NULL OR object_version = $3)
ORDER BY import_id DESC
LIMIT 1"
);

const GET: &str = text!(
    "SELECT ",
    COLUMNS,
    "
FROM imports
WHERE import_id = $1"
);

const LIST: &str = text!(
    "SELECT ",
    COLUMNS,
    "
FROM imports
ORDER BY import_id DESC
OFFSET $1
LIMIT $2"
);

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

const EXISTING: &str = text!(
    "
SELECT p.player_id, ",
    TOTALS,
    ", p.email, p.name, p.registered_at
FROM players p
JOIN player_totals t ON t.player_id = p.player_id
WHERE p.player_id = ANY($1)"
);

columns! {
    struct NewPlayerRow<'a> => NewPlayers (tier, created_at) {
        player_id: text = &'a PlayerId,
        email: text = Option<&'a str>,
        name: text = Option<&'a str>,
        registered_at: timestamptz = Option<Timestamp>,
    }
}

const CREATE_PLAYERS: &str = text!(
    "INSERT INTO players (tier, created_at, ",
    NewPlayers::NAMES,
    ")\nSELECT $1, $2, ",
    NewPlayers::NAMES,
    "\nFROM ",
    NewPlayers::UNNEST,
    "
ORDER BY player_id
ON CONFLICT (player_id) DO NOTHING
RETURNING player_id"
);

columns! {
    struct ProfileRow<'a> => Profiles () {
        player_id: text = &'a PlayerId,
        email: text = Option<&'a str>,
        name: text = Option<&'a str>,
        registered_at: timestamptz = Option<Timestamp>,
    }
}

const UPDATE_PROFILES: &str = text!(
    "
UPDATE players p
SET email = coalesce(n.email, p.email),
  name = coalesce(n.name, p.name),
  registered_at = coalesce(n.registered_at, p.registered_at)
FROM ",
    Profiles::UNNEST,
    "
WHERE p.player_id = n.player_id"
);

columns! {
    /// A player whom an import met.
    pub struct MetPlayer<'a> => MetPlayers (run_id) {
        player_id: text = &'a PlayerId,
        line: bigint = i64,
        changed: boolean = bool,
    }
}

const ADD_PLAYERS: &str = text!(
    "INSERT INTO run_players (run_id, ",
    MetPlayers::NAMES,
    ")\nSELECT $1, ",
    MetPlayers::NAMES,
    "\nFROM ",
    MetPlayers::UNNEST
);

columns! {
    struct ErrorRow<'a> => Errors (import_id) {
        line: bigint = i64,
        ordinal: smallint = i16,
        column_name: text = Option<&'a str>,
        value: text = Option<&'a str>,
        reason: text = String,
    }
}

const ADD_ERRORS: &str = text!(
    "INSERT INTO import_errors (import_id, ",
    Errors::NAMES,
    ")\nSELECT $1, ",
    Errors::NAMES,
    "\nFROM ",
    Errors::UNNEST
);

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

const FINISH: &str = text!(
    "
UPDATE imports
SET status = $2,
  failure = $3,
  finished_at = $4
WHERE import_id = $1
  AND status = 'RUNNING'
RETURNING ",
    COLUMNS
);

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
    pub status: RunStatus,
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
        status: word(row, "status")?,
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
    let running = word::<RunStatus>(&row, "status")? == RunStatus::Running;
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
                totals: totals_of(row, 1)?,
                email: row.try_get("email")?,
                name: row.try_get("name")?,
                registered_at: row.try_get("registered_at")?,
            };
            Ok((row.try_get("player_id")?, existing))
        })
        .collect()
}

/// Makes those of the players that do not exist, in the lowest tier, and answers their ids. Both the made ones and those
/// that another transaction was making are settled when this returns. `rows` are sorted by id.
pub async fn create_players(
    tx: &Tx<'_>,
    rows: &[&PlayerRow],
    tier_level: &str,
    now: Timestamp,
) -> Result<HashSet<String>> {
    let rows: NewPlayers<'_> = rows
        .iter()
        .map(|row| NewPlayerRow {
            player_id: &row.player_id,
            email: row.email.as_deref(),
            name: row.name.as_deref(),
            registered_at: row.registered_at,
        })
        .collect();
    let created = statement::rows(tx, CREATE_PLAYERS, &rows.params([&tier_level, &now])).await?;
    created.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Writes profile changes of players that exist.
pub async fn update_profiles<'a>(
    tx: &Tx<'_>,
    changes: impl IntoIterator<Item = (&'a PlayerId, &'a ProfileChange)>,
) -> Result<()> {
    let rows: Profiles<'_> = changes
        .into_iter()
        .filter(|(_, change)| **change != ProfileChange::default())
        .map(|(player_id, change)| ProfileRow {
            player_id,
            email: change.email.as_deref(),
            name: change.name.as_deref(),
            registered_at: change.registered_at,
        })
        .collect();
    if !rows.is_empty() {
        statement::execute(tx, UPDATE_PROFILES, &rows.params([])).await?;
    }
    Ok(())
}

/// Remembers on which line the import met each player, and whether the row changed anything.
pub async fn add_players<'a>(tx: &Tx<'_>, run_id: RunId, met: impl IntoIterator<Item = MetPlayer<'a>>) -> Result<()> {
    let rows: MetPlayers<'_> = met.into_iter().collect();
    if !rows.is_empty() {
        statement::execute(tx, ADD_PLAYERS, &rows.params([&run_id.0])).await?;
    }
    Ok(())
}

pub async fn add_errors(tx: &Tx<'_>, import_id: ImportId, errors: &[RowError]) -> Result<()> {
    if errors.is_empty() {
        return Ok(());
    }
    let mut rows = Errors::with_capacity(errors.len());
    let (mut line, mut ordinal) = (None, 0);
    for error in errors {
        ordinal = if line == Some(error.line) { ordinal + 1 } else { 1 };
        line = Some(error.line);
        rows.push(ErrorRow {
            line: stored_line(error.line),
            ordinal,
            column_name: error.column.as_deref(),
            value: error.value.as_deref(),
            reason: error.reason.to_string(),
        });
    }
    statement::execute(tx, ADD_ERRORS, &rows.params([&import_id.0])).await?;
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
    status: RunStatus,
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
        &[&import_id.0 as Param<'_>, &after.0, &after.1, &limit],
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
