//! Imports: one file, read in chunks. A chunk's rows and the new watermark are written in one transaction, so that an
//! import resumes after a crash and counts each row once.
//!
//! # Choices
//!
//! * A row that changes nothing is not evaluated, so importing the same file again brings no further reward, not even
//!   from a rule of lower priority.

use crate::error::{Error, Result};
use crate::program::Program;
use crate::runs::SHARD_PLAYERS;
use domain::context::Context;
use domain::id::{ImportId, RunId};
use domain::import::plan::{self, Outcome, RowPlan};
use domain::import::row::{PlayerRow, RowError, RowProblem};
use domain::import::{Format, Warning};
pub use domain::run::RunStatus;
use domain::run::{Rewards, RunKind, Scope};
use jiff::civil::Date;
use rust_decimal::Decimal;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use store::imports::players::MetPlayer;
use store::imports::{Advance, stored_line};
pub use store::imports::{Import, Object, StoredRowError};
use store::platform::stats::{self, Counter, Slot, Total};
use store::players::totals;
use store::runs::NewRun;
use store::{Db, Tx, transaction};

/// Most warnings that one chunk adds to its import.
const WARNINGS_PER_CHUNK_MAX: usize = 20;

/// The import of an object: created by the first event that names it, found by later ones.
pub async fn open(db: &Db, object: &Object, context: Context) -> Result<Import> {
    let client = db.client().await?;
    let (import_id, run_id) = (ImportId((context.new_id)()), RunId((context.new_id)()));
    Ok(store::imports::open(&client, object, import_id, run_id, context.now).await?)
}

pub async fn get(db: &Db, import_id: ImportId) -> Result<Import> {
    let found = store::imports::get(&db.client().await?, import_id).await?;
    found.ok_or_else(|| Error::not_found("import", import_id))
}

/// The newest import of an object of this name; `None` until its event arrives.
pub async fn find_by_object(db: &Db, bucket: &str, key: &str) -> Result<Option<Import>> {
    Ok(store::imports::find_by_key(&db.client().await?, bucket, key).await?)
}

/// Newest first.
pub async fn list(db: &Db, skip: i64, limit: i64) -> Result<Vec<Import>> {
    Ok(store::imports::list(&db.client().await?, skip, limit).await?)
}

/// Row errors, by line, after the position `after` (line and ordinal; `(0, 0)` for the start).
pub async fn errors(db: &Db, import_id: ImportId, after: (i64, i16), limit: i64) -> Result<Vec<StoredRowError>> {
    let client = db.client().await?;
    store::imports::get(&client, import_id)
        .await?
        .ok_or_else(|| Error::not_found("import", import_id))?;
    Ok(store::imports::errors(&client, import_id, after, limit).await?)
}

/// A piece of a file, as the reader delivers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Chunk {
    pub format: Format,
    pub rows: Vec<PlayerRow>,
    /// Errors of the rejected rows, by line.
    pub errors: Vec<RowError>,
    pub warnings: Vec<Warning>,
    /// Where the chunk starts: the watermark of the chunk before it.
    pub line: u64,
    /// Where the chunk ends: the new watermark.
    pub next_byte: u64,
    pub next_line: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    Advanced,
    /// The chunk does not start at the watermark: another delivery of the same file is working on it or has finished
    /// it.
    Overtaken,
}

/// Writes one chunk (players, totals, daily rollup, errors, counts and watermark) or nothing.
pub async fn apply(db: &Db, import: &Import, chunk: &Chunk, program: &Program, context: Context) -> Result<Applied> {
    transaction!(db, |tx| apply_in_tx(tx, import, chunk, program, context))
}

async fn apply_in_tx(
    tx: &Tx<'_>,
    import: &Import,
    chunk: &Chunk,
    program: &Program,
    context: Context,
) -> Result<Applied> {
    if store::imports::lock(tx, import.import_id).await? != Some(stored_line(chunk.line)) {
        return Ok(Applied::Overtaken);
    }
    // New players start in the lowest tier, which must stay on the ladder until the commit.
    store::tiers::pin(tx).await?;
    let lowest = crate::tiers::ladder(tx).await?.lowest().tier_level.clone();
    let (rows, mut errors) = drop_duplicates(tx, import.run_id, chunk).await?;
    errors.extend(chunk.errors.iter().cloned());
    errors.sort_by_key(|error| error.line);
    let rejected = errors.iter().map(|error| error.line).collect::<HashSet<_>>().len();

    let plans = plan_rows(tx, &rows, &lowest, context).await?;
    let counts = write(tx, import.run_id, &plans, program.day(context.now), context).await?;
    store::imports::add_errors(tx, import.import_id, &errors).await?;
    let warnings = chunk
        .warnings
        .iter()
        .chain(plans.iter().flat_map(|(_, plan)| &plan.warnings))
        .take(WARNINGS_PER_CHUNK_MAX);
    let advance = Advance {
        format: chunk.format,
        created: counts.created,
        updated: counts.updated,
        unchanged: counts.unchanged,
        rejected: i64::try_from(rejected).unwrap_or(i64::MAX),
        next_byte: stored_line(chunk.next_byte),
        next_line: stored_line(chunk.next_line),
        warnings: Value::Array(warnings.map(|warning| Value::String(warning.to_string())).collect()),
    };
    store::imports::advance(tx, import.import_id, &advance, context.now).await?;
    let created = [
        (Counter::Total(Total::Players), counts.created),
        (Counter::Total(Total::PlayersActive), counts.created),
        (Counter::Tier(lowest), counts.created),
    ];
    let deltas: Vec<(Counter, Decimal)> = created
        .into_iter()
        .map(|(counter, delta)| (counter, delta.into()))
        .collect();
    stats::add(tx, &deltas, Slot::of(import.import_id)).await?;
    Ok(Applied::Advanced)
}

/// The first row of a player counts; each later one becomes an error that names the first one's line. Returns the rows
/// that count, sorted by player, which is the lock order.
async fn drop_duplicates<'a>(
    tx: &Tx<'_>,
    run_id: RunId,
    chunk: &'a Chunk,
) -> Result<(Vec<&'a PlayerRow>, Vec<RowError>)> {
    let mut rows: Vec<&PlayerRow> = chunk.rows.iter().collect();
    rows.sort_by(|a, b| (&a.player_id, a.line).cmp(&(&b.player_id, b.line)));
    let ids: Vec<&str> = rows.iter().map(|row| row.player_id.as_str()).collect();
    let mut first_lines: HashMap<String, u64> = HashMap::new();
    for (player_id, line) in store::imports::players::first_lines(tx, run_id, &ids).await? {
        first_lines.insert(player_id, line.unsigned_abs());
    }
    let (mut kept, mut errors): (Vec<&PlayerRow>, Vec<RowError>) = (Vec::with_capacity(rows.len()), Vec::new());
    for row in rows {
        let in_chunk = kept
            .last()
            .filter(|last| last.player_id == row.player_id)
            .map(|last| last.line);
        match in_chunk.or_else(|| first_lines.get(row.player_id.as_str()).copied()) {
            Some(first_line) => errors.push(duplicate(row, first_line)),
            None => kept.push(row),
        }
    }
    Ok((kept, errors))
}

fn duplicate(row: &PlayerRow, first_line: u64) -> RowError {
    RowError {
        line: row.line,
        column: Some("player_id".into()),
        value: Some(domain::import::shown(row.player_id.as_str())),
        reason: RowProblem::Duplicate { first_line },
    }
}

/// Creates new players, locks the others, and decides what each row changes.
async fn plan_rows<'a>(
    tx: &Tx<'_>,
    rows: &[&'a PlayerRow],
    tier_level: &str,
    context: Context,
) -> Result<Vec<(&'a PlayerRow, RowPlan)>> {
    let created = store::imports::players::create(tx, rows, tier_level, context.now).await?;
    let known: Vec<&str> = rows
        .iter()
        .map(|row| row.player_id.as_str())
        .filter(|id| !created.contains(*id))
        .collect();
    let mut existing = HashMap::new();
    if !known.is_empty() {
        store::players::lock_all(tx, &known).await?;
        existing = store::imports::players::existing(tx, &known).await?;
    }
    let decide = |row: &'a PlayerRow| {
        let stored = existing.get(row.player_id.as_str());
        (row, plan::plan(row, stored, context.now))
    };
    Ok(rows.iter().copied().map(decide).collect())
}

#[derive(Default)]
struct Counts {
    created: i64,
    updated: i64,
    unchanged: i64,
}

async fn write(
    tx: &Tx<'_>,
    run_id: RunId,
    plans: &[(&PlayerRow, RowPlan)],
    import_day: Date,
    context: Context,
) -> Result<Counts> {
    let mut counts = Counts::default();
    for (_, plan) in plans {
        match plan.outcome {
            Outcome::Created => counts.created += 1,
            Outcome::Updated => counts.updated += 1,
            Outcome::Unchanged => counts.unchanged += 1,
        }
    }
    let updated = plans.iter().filter(|(_, plan)| plan.outcome == Outcome::Updated);
    let profiles = updated.map(|(row, plan)| (&row.player_id, &plan.profile));
    store::imports::players::update_profiles(tx, profiles).await?;
    let changed = || plans.iter().filter(|(_, plan)| plan.outcome != Outcome::Unchanged);
    let after = changed().map(|(row, plan)| (&row.player_id, &plan.totals));
    totals::save(tx, after, context.now).await?;
    let days = changed().map(|(row, plan)| (&row.player_id, import_day, &plan.daily));
    totals::add_days(tx, days).await?;
    let met = plans.iter().map(|(row, plan)| MetPlayer {
        player_id: &row.player_id,
        line: stored_line(row.line),
        changed: plan.outcome != Outcome::Unchanged,
    });
    store::imports::players::add_met(tx, run_id, met).await?;
    Ok(counts)
}

/// How reading a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ending {
    Read,
    /// The file cannot be read, or not further; the reason is for the person who uploaded it.
    Failed {
        reason: String,
    },
}

/// Ends the import and starts the run over the players it changed, even if the file broke off, because the rows before
/// the break are committed. Ending it again changes nothing.
pub async fn end(db: &Db, import_id: ImportId, ending: &Ending, context: Context) -> Result<Import> {
    transaction!(db, |tx| end_in_tx(tx, import_id, ending, context))
}

async fn end_in_tx(tx: &Tx<'_>, import_id: ImportId, ending: &Ending, context: Context) -> Result<Import> {
    store::imports::lock(tx, import_id).await?;
    let before = store::imports::get(tx, import_id)
        .await?
        .ok_or_else(|| Error::not_found("import", import_id))?;
    let (status, failure) = match ending {
        Ending::Failed { reason } => (RunStatus::Failed, Some(reason.as_str())),
        Ending::Read if before.rejected_rows > 0 => (RunStatus::CompletedWithErrors, None),
        Ending::Read => (RunStatus::Completed, None),
    };
    let Some(ended) = store::imports::finish(tx, import_id, status, failure, context.now).await? else {
        return Ok(before);
    };
    if ended.chunks > 0 {
        let run = NewRun {
            run_id: ended.run_id,
            kind: RunKind::Import,
            scope: Scope::Listed,
            rewards: Rewards::Evaluate,
            created_by: format!("import:{import_id}"),
            created_at: context.now,
            rule_id: None,
            reason: None,
        };
        store::runs::create(tx, &run, SHARD_PLAYERS).await?;
    }
    Ok(ended)
}
