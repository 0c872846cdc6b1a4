//! Fraud signals and the risk scores they add up to. The caller of a write holds the players' locks.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::players::totals::{TOTALS, totals_of};
use crate::row::{player_id, small, word};
use crate::select::Select;
use crate::statement::{self, text};
use domain::id::{PlayerId, SignalId};
use domain::metrics::Totals;
use domain::page::Page;
use domain::risk::{Decision, Signal, SignalType};
use jiff::Timestamp;
use serde_json::Value;
use std::collections::HashMap;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

const SUBJECTS: &str = text!(
    "
SELECT p.player_id, ",
    TOTALS,
    ", p.risk_score
FROM players p
JOIN player_totals t ON t.player_id = p.player_id
WHERE p.player_id = ANY($1)
ORDER BY p.player_id"
);

const COLUMNS: &str = "player_id, signal_id, type, severity, evidence, raised_at, last_seen_at, status, decided_at, \
                       decided_by, note";

// A signal that is not resolved is always the latest of its type.
const LATEST: &str = text!(
    "SELECT DISTINCT ON (player_id, type) ",
    COLUMNS,
    "
FROM signals
WHERE player_id = ANY($1)
ORDER BY player_id, type, raised_at DESC, signal_id DESC"
);

const OPEN: &str = text!(
    "SELECT ",
    COLUMNS,
    "
FROM signals
WHERE player_id = $1
  AND status <> 'RESOLVED'
ORDER BY signal_id"
);

const GET: &str = text!("SELECT ", COLUMNS, "\nFROM signals\nWHERE signal_id = $1");

const LIST: &str = text!("SELECT ", COLUMNS, "\nFROM signals");

columns! {
    struct SignalRow<'a> => Signals () {
        player_id: text = &'a PlayerId,
        signal_id: uuid = SignalId,
        type_: text = SignalType,
        severity: smallint = u8,
        evidence: json = &'a Value,
        raised_at: timestamptz = Timestamp,
    }
}

const ADD: &str = text!(
    "INSERT INTO signals (",
    Signals::NAMES,
    ", last_seen_at, status)\nSELECT ",
    Signals::NAMES,
    ", raised_at, 'OPEN'\nFROM ",
    Signals::UNNEST
);

columns! {
    struct EvidenceRow<'a> => Evidence (now) {
        player_id: text = &'a PlayerId,
        signal_id: uuid = SignalId,
        evidence: json = &'a Value,
    }
}

const RENEW: &str = text!(
    "
UPDATE signals s
SET evidence = n.evidence,
  last_seen_at = greatest(s.last_seen_at, $1)
FROM ",
    Evidence::UNNEST,
    "
WHERE s.player_id = n.player_id
  AND s.signal_id = n.signal_id"
);

const JUDGE: &str = "
UPDATE signals
SET status = $3,
  decided_at = $4,
  decided_by = $5,
  note = $6
WHERE player_id = $1
  AND signal_id = $2";

columns! {
    struct ScoreRow<'a> => Scores () {
        player_id: text = &'a PlayerId,
        risk_score: smallint = u8,
    }
}

const SAVE_SCORES: &str = text!(
    "
UPDATE players p
SET risk_score = n.risk_score
FROM ",
    Scores::UNNEST,
    "
WHERE p.player_id = n.player_id
  AND p.risk_score <> n.risk_score"
);

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[SUBJECTS, LATEST, OPEN, GET, LIST, ADD, RENEW, JUDGE, SAVE_SCORES];

/// A player to check for signals.
#[derive(Debug, Clone, PartialEq)]
pub struct Subject {
    pub player_id: PlayerId,
    pub totals: Totals,
    /// 0 to 100, as stored.
    pub risk_score: u8,
}

/// The players that exist, ordered by id.
pub async fn subjects(executor: &impl Executor, player_ids: &[&str]) -> Result<Vec<Subject>> {
    statement::list(executor, SUBJECTS, &[&player_ids], |row| {
        Ok(Subject {
            player_id: player_id(row)?,
            totals: totals_of(row, 1)?,
            risk_score: small(row, "risk_score")?,
        })
    })
    .await
}

/// The latest signal of each type, by player. Players without signals are left out.
pub async fn latest(executor: &impl Executor, player_ids: &[&str]) -> Result<HashMap<PlayerId, Vec<Signal>>> {
    let mut signals: HashMap<PlayerId, Vec<Signal>> = HashMap::new();
    for row in statement::rows(executor, LATEST, &[&player_ids]).await? {
        let signal = signal(&row)?;
        signals.entry(signal.player_id.clone()).or_default().push(signal);
    }
    Ok(signals)
}

/// The player's open and confirmed signals, oldest first.
pub async fn open(executor: &impl Executor, player_id: &PlayerId) -> Result<Vec<Signal>> {
    statement::list(executor, OPEN, &[&player_id.as_str()], signal).await
}

pub async fn get(executor: &impl Executor, signal_id: SignalId) -> Result<Option<Signal>> {
    statement::optional(executor, GET, &[&signal_id.0], signal).await
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SignalFilter {
    /// `None`: signals in either state.
    pub state: Option<SignalState>,
    pub signal_type: Option<SignalType>,
    pub player_id: Option<PlayerId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalState {
    /// Open or confirmed: it counts towards the score.
    Open,
    Resolved,
}

/// Newest first.
pub async fn list(executor: &impl Executor, filter: &SignalFilter, page: &Page<Uuid>) -> Result<Vec<Signal>> {
    let mut select = Select::new(LIST);
    match filter.state {
        Some(SignalState::Open) => select.condition("status <> 'RESOLVED'".to_owned()),
        Some(SignalState::Resolved) => select.condition("status = 'RESOLVED'".to_owned()),
        None => {}
    }
    if let Some(signal_type) = filter.signal_type {
        select.equals("type", signal_type.as_str());
    }
    if let Some(player_id) = &filter.player_id {
        select.equals("player_id", player_id.as_str().to_owned());
    }
    if let Some(after) = page.after {
        let after = select.bind(after);
        select.condition(format!("signal_id < {after}"));
    }
    select
        .page(executor, "signal_id DESC", page.skip, page.limit)
        .await?
        .iter()
        .map(signal)
        .collect()
}

/// Adds open signals. The schema refuses a second unresolved signal of a player and type.
pub async fn add(tx: &Tx<'_>, signals: &[Signal]) -> Result<()> {
    if signals.is_empty() {
        return Ok(());
    }
    let rows: Signals<'_> = signals
        .iter()
        .map(|signal| SignalRow {
            player_id: &signal.player_id,
            signal_id: signal.signal_id,
            type_: signal.signal_type,
            severity: signal.severity,
            evidence: &signal.evidence,
            raised_at: signal.raised_at,
        })
        .collect();
    statement::execute(tx, ADD, &rows.params([])).await?;
    Ok(())
}

/// Saves new evidence of open signals. Their decay restarts at `now`.
pub async fn renew(tx: &Tx<'_>, signals: &[Signal], now: Timestamp) -> Result<()> {
    if signals.is_empty() {
        return Ok(());
    }
    let rows: Evidence<'_> = signals
        .iter()
        .map(|signal| EvidenceRow {
            player_id: &signal.player_id,
            signal_id: signal.signal_id,
            evidence: &signal.evidence,
        })
        .collect();
    statement::execute(tx, RENEW, &rows.params([&now])).await?;
    Ok(())
}

/// Saves a person's decision about a signal.
pub async fn judge(tx: &Tx<'_>, signal: &Signal) -> Result<()> {
    let (at, by, note) = match &signal.decision {
        Some(Decision { at, by, note }) => (Some(*at), Some(by), Some(note)),
        None => (None, None, None),
    };
    let params: statement::Params<'_> = &[
        &signal.player_id.as_str(),
        &signal.signal_id.0,
        &signal.status.as_str(),
        &at,
        &by,
        &note,
    ];
    statement::execute(tx, JUDGE, params).await?;
    Ok(())
}

pub async fn save_scores(tx: &Tx<'_>, scores: &[(PlayerId, u8)]) -> Result<()> {
    if scores.is_empty() {
        return Ok(());
    }
    let rows: Scores<'_> = scores
        .iter()
        .map(|(player_id, score)| ScoreRow {
            player_id,
            risk_score: *score,
        })
        .collect();
    statement::execute(tx, SAVE_SCORES, &rows.params([])).await?;
    Ok(())
}

fn signal(row: &Row) -> Result<Signal> {
    let Json(evidence) = row.try_get("evidence")?;
    let decided: (Option<Timestamp>, Option<String>, Option<String>) = (
        row.try_get("decided_at")?,
        row.try_get("decided_by")?,
        row.try_get("note")?,
    );
    let decision = match decided {
        (Some(at), Some(by), Some(note)) => Some(Decision { at, by, note }),
        _ => None,
    };
    Ok(Signal {
        signal_id: SignalId(row.try_get("signal_id")?),
        player_id: player_id(row)?,
        signal_type: word(row, "type")?,
        severity: small(row, "severity")?,
        evidence,
        raised_at: row.try_get("raised_at")?,
        last_seen_at: row.try_get("last_seen_at")?,
        status: word(row, "status")?,
        decision,
    })
}
