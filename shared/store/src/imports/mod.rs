//! Imports: files, how far each has been read, and the rows that were rejected.
//!
//! # Choices
//!
//! * There are no staging tables. Rows go from the reader into `UNNEST` arrays; a `COPY` into an unlogged table would
//!   write each row once more and need cleaning up.
//! * `run_players` lists an import's players, to cut shards that are ranges and to find duplicates across chunks.

pub mod players;

use crate::columns;
use crate::columns::Param;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::row::{optional_word, word};
use crate::statement::{self, text};
use domain::id::{ImportId, RunId};
use domain::import::Format;
use domain::import::row::RowError;
use domain::run::RunStatus;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::Row;

columns! {
    struct OpenedRow<'a> => Opened () {
        import_id: uuid = ImportId,
        run_id: uuid = RunId,
        bucket: text = &'a str,
        object_key: text = &'a str,
        object_version: text = &'a str,
        size_bytes: bigint = Option<i64>,
        status: text = RunStatus,
        created_at: timestamptz = Timestamp,
    }
}

const OPEN: &str = text!(
    "INSERT INTO imports (",
    Opened::NAMES,
    ")\n",
    Opened::SELECT,
    "\nON CONFLICT (bucket, object_key, object_version) DO NOTHING"
);

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
pub const STATEMENTS: &[&str] = &[OPEN, FIND, GET, LIST, LOCK, ADD_ERRORS, ADVANCE, FINISH, ERRORS];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object {
    pub bucket: String,
    pub key: String,
    /// Version id, or the ETag where the bucket keeps no versions.
    pub version: String,
    pub size_bytes: Option<i64>,
}

/// One file. Every row is counted once: total = created + updated + unchanged + rejected.
#[derive(Debug, Clone, PartialEq)]
pub struct Import {
    pub import_id: ImportId,
    pub run_id: RunId,
    pub bucket: String,
    pub object_key: String,
    pub object_version: String,
    pub format: Option<Format>,
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
        format: optional_word(row, "format")?,
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

/// Returns the import of this object: a new one under the given ids, or the existing one.
pub async fn open(
    executor: &impl Executor,
    object: &Object,
    import_id: ImportId,
    run_id: RunId,
    now: Timestamp,
) -> Result<Import> {
    let opened = OpenedRow {
        import_id,
        run_id,
        bucket: &object.bucket,
        object_key: &object.key,
        object_version: &object.version,
        size_bytes: object.size_bytes,
        status: RunStatus::Running,
        created_at: now,
    };
    statement::execute(executor, OPEN, &Opened::from_iter([opened]).params([])).await?;
    import(&statement::row(executor, FIND, &[&object.bucket, &object.key, &Some(&object.version)]).await?)
}

/// The newest import of an object with this name, in any version.
pub async fn find_by_key(executor: &impl Executor, bucket: &str, key: &str) -> Result<Option<Import>> {
    let any_version: Option<&str> = None;
    statement::optional(executor, FIND, &[&bucket, &key, &any_version], import).await
}

pub async fn get(executor: &impl Executor, import_id: ImportId) -> Result<Option<Import>> {
    statement::optional(executor, GET, &[&import_id.0], import).await
}

/// Newest first.
pub async fn list(executor: &impl Executor, skip: i64, limit: i64) -> Result<Vec<Import>> {
    statement::list(executor, LIST, &[&skip, &limit], import).await
}

/// Locks the import. Returns its watermark, the next line to read, while it is running.
pub async fn lock(tx: &Tx<'_>, import_id: ImportId) -> Result<Option<i64>> {
    let row = statement::row(tx, LOCK, &[&import_id.0]).await?;
    let running = word::<RunStatus>(&row, "status")? == RunStatus::Running;
    Ok(if running { Some(row.try_get("next_line")?) } else { None })
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

/// The counts and the position that one chunk adds to its import.
#[derive(Debug, Clone, PartialEq)]
pub struct Advance {
    pub format: Format,
    pub created: i64,
    pub updated: i64,
    pub unchanged: i64,
    pub rejected: i64,
    pub next_byte: i64,
    pub next_line: i64,
    /// A JSON array of strings.
    pub warnings: Value,
}

/// Moves the watermark. Belongs in the transaction that wrote the chunk's rows.
pub async fn advance(tx: &Tx<'_>, import_id: ImportId, by: &Advance, now: Timestamp) -> Result<()> {
    let params: statement::Params<'_> = &[
        &import_id.0,
        &by.format.as_str(),
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

/// Ends the import; `None` when it has already ended.
pub async fn finish(
    tx: &Tx<'_>,
    import_id: ImportId,
    status: RunStatus,
    failure: Option<&str>,
    now: Timestamp,
) -> Result<Option<Import>> {
    statement::optional(tx, FINISH, &[&import_id.0, &status.as_str(), &failure, &now], import).await
}

/// One error in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredRowError {
    pub line: i64,
    pub ordinal: i16,
    pub column: Option<String>,
    pub value: Option<String>,
    pub reason: String,
}

/// Ordered by line and ordinal, starting behind `after` (line, ordinal).
pub async fn errors(
    executor: &impl Executor,
    import_id: ImportId,
    after: (i64, i16),
    limit: i64,
) -> Result<Vec<StoredRowError>> {
    statement::list(
        executor,
        ERRORS,
        &[&import_id.0 as Param<'_>, &after.0, &after.1, &limit],
        |row| {
            Ok(StoredRowError {
                line: row.try_get("line")?,
                ordinal: row.try_get("ordinal")?,
                column: row.try_get("column_name")?,
                value: row.try_get("value")?,
                reason: row.try_get("reason")?,
            })
        },
    )
    .await
}
