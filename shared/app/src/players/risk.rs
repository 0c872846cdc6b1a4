//! Fraud signals: detected in stored data, judged by people, and summed into the risk score that the gates read.
//!
//! # A fraud signal
//!
//! 1. `POST /api/activity` may name `device_id`, `payment_method` and `ip`; `player_traces` keeps their SHA-256 with
//!    the event. A mailbox needs no row: `mailbox(email)` is indexed.
//! 2. Before it evaluates, the reward worker reads the facts for signals (`store::players::risk_facts`) under the locks
//!    of its shard, and `domain::risk` decides: `detect` finds signals, `plan` compares them with the known ones,
//!    `score` adds them up. New signals count at once. `scan` does the same for any players.
//! 3. A new signal is a row of `signals` and the event `signal.raised`; `players.risk_score` follows in the same
//!    transaction. The fraud gate and rules read it. `GET /api/players/{id}/risk` shows it with the age, weight and
//!    contribution of each signal.
//! 4. People confirm or resolve a signal under the player's lock, with a note and a row of the audit log; the score
//!    follows.
//!
//! # Choices
//!
//! * Traces (device, payment method, IP) are not part of an event's content: an event that is sent again does not
//!   change them. IP addresses are stored but not used for detection.

use crate::error::{Error, Result};
use crate::platform::audit_log::{self, Action, Sides};
use crate::wallet::books::{self, Purpose};
use domain::act::Act;
use domain::context::Context;
use domain::event::Event;
use domain::gate::Penalty;
use domain::id::{PlayerId, SignalId};
use domain::page::Page;
use domain::player::PlayerSnapshot;
use domain::problem::{FieldError, FieldErrors};
use domain::risk::{AlreadyJudged, Contribution, Decision, Finding, RiskFacts, TraceKind, detect, plan, score};
pub use domain::risk::{Judgement, Signal, SignalStatus, SignalType};
use domain::settings::Settings;
use domain::text::TextLimits;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use store::players::risk_facts::Trace;
pub use store::players::signals::{SignalFilter, SignalState, Subject};
use store::{Db, Tx, transaction};
use uuid::Uuid;

/// Longest note, in characters.
const NOTE: TextLimits = TextLimits::characters(1_000).not_blank().of_many_lines();

/// Why a signal is not raised or not judged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RiskError {
    #[error("player {player_id} is already flagged: signal {signal_id}")]
    AlreadyFlagged { player_id: PlayerId, signal_id: SignalId },
    #[error(transparent)]
    NotOpen(#[from] AlreadyJudged),
}

impl RiskError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::AlreadyFlagged { .. } => "already_flagged",
            Self::NotOpen(_) => "signal_not_open",
        }
    }
}

/// What a scan did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ScanTotals {
    pub players: usize,
    pub raised: usize,
    /// Open signals with new evidence.
    pub renewed: usize,
    pub scores_changed: usize,
}

/// Detects signals of these players and updates their scores. Takes a fixed number of statements: pass thousands at a
/// time. Skips unknown ids. Repeating it on unchanged facts changes no signal, and on the same day no score.
pub async fn scan(db: &Db, player_ids: &[PlayerId], context: Context) -> Result<ScanTotals> {
    transaction!(db, |tx| scan_players(tx, player_ids, context))
}

async fn scan_players(tx: &Tx<'_>, player_ids: &[PlayerId], context: Context) -> Result<ScanTotals> {
    let ids: Vec<&str> = player_ids.iter().map(PlayerId::as_str).collect();
    store::players::lock_all(tx, &ids).await?;
    let settings = crate::program::settings::load(tx).await?;
    let mut subjects = store::players::signals::subjects(tx, &ids).await?;
    scan_in_tx(tx, &mut subjects, &settings, context).await
}

/// Scans players before their evaluation, so that new signals count at once.
pub(crate) async fn scan_snapshots(
    tx: &Tx<'_>,
    players: &mut [PlayerSnapshot],
    settings: &Settings,
    context: Context,
) -> Result<()> {
    let subject = |player: &PlayerSnapshot| Subject {
        player_id: player.player_id.clone(),
        totals: player.totals.clone(),
        risk_score: player.risk_score,
    };
    let mut subjects: Vec<Subject> = players.iter().map(subject).collect();
    scan_in_tx(tx, &mut subjects, settings, context).await?;
    for (player, subject) in players.iter_mut().zip(subjects) {
        player.risk_score = subject.risk_score;
    }
    Ok(())
}

/// The caller holds the players' locks. Updates the subjects' scores in place.
async fn scan_in_tx(
    tx: &Tx<'_>,
    subjects: &mut [Subject],
    settings: &Settings,
    context: Context,
) -> Result<ScanTotals> {
    let ids: Vec<&str> = subjects.iter().map(|subject| subject.player_id.as_str()).collect();
    let undeposited = subjects.iter().filter(|subject| subject.totals.deposited.is_zero());
    let undeposited: Vec<&str> = undeposited.map(|subject| subject.player_id.as_str()).collect();
    let facts = store::players::risk_facts::load(tx, &ids, &undeposited, context.now, &settings.risk).await?;
    let latest = store::players::signals::latest(tx, &ids).await?;
    let (mut scan, nothing) = (Scan::new(latest, settings, context), RiskFacts::default());
    for subject in subjects.iter_mut() {
        let facts = facts.get(&subject.player_id).unwrap_or(&nothing);
        scan.look_at(subject, detect(&subject.totals, facts, settings));
    }
    scan.write(tx, subjects.len()).await
}

/// Raises or renews signals that are not found by a scan. The caller holds the players' locks.
pub(crate) async fn raise(
    tx: &Tx<'_>,
    findings: &BTreeMap<PlayerId, Finding>,
    settings: &Settings,
    context: Context,
) -> Result<()> {
    if findings.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = findings.keys().map(PlayerId::as_str).collect();
    let subjects = store::players::signals::subjects(tx, &ids).await?;
    let latest = store::players::signals::latest(tx, &ids).await?;
    let mut scan = Scan::new(latest, settings, context);
    for mut subject in subjects {
        if let Some(finding) = findings.get(&subject.player_id).cloned() {
            let finding = match scan.open(&subject.player_id, finding.signal_type) {
                Some(open) => finding.added_to(open),
                None => finding,
            };
            scan.look_at(&mut subject, vec![finding]);
        }
    }
    scan.write(tx, ids.len()).await?;
    Ok(())
}

/// The input of a scan and what it will write.
struct Scan<'a> {
    latest: HashMap<PlayerId, Vec<Signal>>,
    settings: &'a Settings,
    context: Context,
    raised: Vec<Signal>,
    renewed: Vec<Signal>,
    scores: Vec<(PlayerId, u8)>,
}

impl<'a> Scan<'a> {
    fn new(latest: HashMap<PlayerId, Vec<Signal>>, settings: &'a Settings, context: Context) -> Self {
        Self {
            latest,
            settings,
            context,
            raised: Vec::new(),
            renewed: Vec::new(),
            scores: Vec::new(),
        }
    }

    fn open(&self, player_id: &PlayerId, signal_type: SignalType) -> Option<&Signal> {
        let mut signals = self.latest.get(player_id)?.iter();
        signals.find(|signal| signal.signal_type == signal_type && signal.status == SignalStatus::Open)
    }

    fn look_at(&mut self, subject: &mut Subject, findings: Vec<Finding>) {
        let (id, now) = (&subject.player_id, self.context.now);
        let mut signals = self.latest.remove(id).unwrap_or_default();
        let plan = plan(&signals, findings);
        for (signal_id, evidence) in plan.renew {
            if let Some(signal) = signals.iter_mut().find(|signal| signal.signal_id == signal_id) {
                signal.evidence = evidence;
                signal.last_seen_at = now;
                self.renewed.push(signal.clone());
            }
        }
        for finding in plan.raise {
            let signal = Signal::raised(SignalId((self.context.new_id)()), id.clone(), finding, now);
            self.raised.push(signal.clone());
            signals.push(signal);
        }
        let score = score(&signals, now, self.settings.risk.half_life_days);
        if score != subject.risk_score {
            self.scores.push((id.clone(), score));
            subject.risk_score = score;
        }
    }

    async fn write(self, tx: &Tx<'_>, players: usize) -> Result<ScanTotals> {
        let now = self.context.now;
        store::players::signals::add(tx, &self.raised).await?;
        store::players::signals::renew(tx, &self.renewed, now).await?;
        store::players::signals::save_scores(tx, &self.scores).await?;
        store::platform::outbox::add(
            tx,
            &self.raised.iter().map(Event::signal_raised).collect::<Vec<_>>(),
            now,
        )
        .await?;
        let (raised, renewed, scores_changed) = (self.raised.len(), self.renewed.len(), self.scores.len());
        Ok(ScanTotals {
            players,
            raised,
            renewed,
            scores_changed,
        })
    }
}

/// Newest first.
pub async fn list(db: &Db, filter: &SignalFilter, page: &Page<Uuid>) -> Result<Vec<Signal>> {
    Ok(store::players::signals::list(&db.client().await?, filter, page).await?)
}

/// A signal as the API shows one.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SignalView {
    pub signal_id: SignalId,
    pub player_id: PlayerId,
    #[serde(rename = "type")]
    pub signal_type: SignalType,
    pub severity: u8,
    pub status: SignalStatus,
    pub evidence: Value,
    pub raised_at: Timestamp,
    /// When the evidence last changed.
    pub last_seen_at: Timestamp,
    /// Who confirmed or resolved the signal, when and why.
    pub decided_by: Option<String>,
    pub decided_at: Option<Timestamp>,
    pub note: Option<String>,
}

impl From<Signal> for SignalView {
    fn from(signal: Signal) -> Self {
        let Signal {
            signal_id,
            player_id,
            signal_type,
            severity,
            evidence,
            raised_at,
            last_seen_at,
            status,
            decision,
        } = signal;
        let (decided_at, decided_by, note) = match decision {
            Some(Decision { at, by, note }) => (Some(at), Some(by), Some(note)),
            None => (None, None, None),
        };
        Self {
            signal_id,
            player_id,
            signal_type,
            severity,
            status,
            evidence,
            raised_at,
            last_seen_at,
            decided_by,
            decided_at,
            note,
        }
    }
}

/// A player's risk score and what contributes to it.
#[derive(Debug, Clone, PartialEq)]
pub struct RiskProfile {
    pub player_id: PlayerId,
    /// The stored score, which the gates read: that of the last scan or judgement.
    pub risk_score: u8,
    /// The score that a scan would give now.
    pub current_score: u8,
    /// The penalty of the stored score.
    pub penalty: Penalty,
    pub half_life_days: u32,
    /// Open and confirmed signals, oldest first, each with its current contribution.
    pub signals: Vec<(Signal, Contribution)>,
}

pub async fn profile(db: &Db, player_id: &PlayerId, now: Timestamp) -> Result<RiskProfile> {
    let mut client = db.client().await?;
    let tx = store::snapshot(&mut client).await?;
    let half_life_days = crate::program::settings::load(&tx).await?.risk.half_life_days;
    let subject = store::players::signals::subjects(&tx, &[player_id.as_str()])
        .await?
        .pop();
    let risk_score = subject.ok_or_else(|| Error::not_found("player", player_id))?.risk_score;
    let signals = store::players::signals::open(&tx, player_id).await?;
    let current_score = score(&signals, now, half_life_days);
    let with_contribution = |signal: Signal| (signal.contribution(now, half_life_days), signal);
    let signals = signals
        .into_iter()
        .map(with_contribution)
        .map(|(contribution, signal)| (signal, contribution))
        .collect();
    Ok(RiskProfile {
        player_id: player_id.clone(),
        risk_score,
        current_score,
        penalty: Penalty::of(risk_score),
        half_life_days,
        signals,
    })
}

/// Confirms a signal (it counts in full from now on) or resolves it (it no longer counts), and updates the score.
///
/// # Errors
/// `NotFound`; [`RiskError::NotOpen`], except that a confirmed signal can be resolved; `Validation`.
pub async fn judge(db: &Db, signal_id: SignalId, judgement: Judgement, note: &str, act: &Act) -> Result<Signal> {
    check_note(note)?;
    transaction!(db, |tx| judge_in_tx(tx, signal_id, judgement, note, act))
}

async fn judge_in_tx(tx: &Tx<'_>, signal_id: SignalId, judgement: Judgement, note: &str, act: &Act) -> Result<Signal> {
    let missing = || Error::not_found("signal", signal_id);
    let owner = store::players::signals::get(tx, signal_id)
        .await?
        .ok_or_else(missing)?
        .player_id;
    books::lock(tx, &owner, Purpose::Correct, act.context.now).await?;
    // Read again under the lock: somebody may have judged it meanwhile.
    let before = store::players::signals::get(tx, signal_id).await?.ok_or_else(missing)?;
    let mut after = before.clone();
    let decision = Decision {
        at: act.context.now,
        by: act.actor.clone(),
        note: note.to_owned(),
    };
    after.judge(judgement, decision).map_err(RiskError::from)?;
    store::players::signals::judge(tx, &after).await?;
    save_score(tx, &owner, act.context.now).await?;
    let action = match judgement {
        Judgement::Confirm => Action::SignalConfirm,
        Judgement::Resolve => Action::SignalResolve,
    };
    let sides = Sides::changed(&audited(&before), &audited(&after)).because(note);
    audit_log::append(tx, act, action, audit_log::Subject::Signal(signal_id), sides).await?;
    Ok(after)
}

/// Raises MANUAL_REVIEW: the player gets no rewards until the signal is resolved or has decayed.
///
/// # Errors
/// `NotFound`; [`RiskError::AlreadyFlagged`]; `Validation`.
pub async fn flag(db: &Db, player_id: &PlayerId, note: &str, act: &Act) -> Result<Signal> {
    check_note(note)?;
    transaction!(db, |tx| flag_in_tx(tx, player_id, note, act))
}

async fn flag_in_tx(tx: &Tx<'_>, player_id: &PlayerId, note: &str, act: &Act) -> Result<Signal> {
    books::lock(tx, player_id, Purpose::Correct, act.context.now).await?;
    let open = store::players::signals::open(tx, player_id).await?;
    if let Some(signal) = open
        .iter()
        .find(|signal| signal.signal_type == SignalType::ManualReview)
    {
        return Err(RiskError::AlreadyFlagged {
            player_id: player_id.clone(),
            signal_id: signal.signal_id,
        }
        .into());
    }
    let finding = Finding {
        signal_type: SignalType::ManualReview,
        evidence: json!({ "note": note, "by": &act.actor }),
    };
    let signal = Signal::raised(
        SignalId((act.context.new_id)()),
        player_id.clone(),
        finding,
        act.context.now,
    );
    store::players::signals::add(tx, std::slice::from_ref(&signal)).await?;
    save_score(tx, player_id, act.context.now).await?;
    store::platform::outbox::add(tx, &[Event::signal_raised(&signal)], act.context.now).await?;
    let sides = Sides::made(&audited(&signal)).because(note);
    audit_log::append(
        tx,
        act,
        Action::SignalFlag,
        audit_log::Subject::Signal(signal.signal_id),
        sides,
    )
    .await?;
    Ok(signal)
}

async fn save_score(tx: &Tx<'_>, player_id: &PlayerId, now: Timestamp) -> Result<()> {
    let half_life_days = crate::program::settings::load(tx).await?.risk.half_life_days;
    let score = score(
        &store::players::signals::open(tx, player_id).await?,
        now,
        half_life_days,
    );
    Ok(store::players::signals::save_scores(tx, &[(player_id.clone(), score)]).await?)
}

fn check_note(note: &str) -> Result<()> {
    NOTE.check(note)
        .map_err(|error| Error::invalid("/note", "format", error.to_string()))
}

fn audited(signal: &Signal) -> Value {
    json!({
        "player_id": signal.player_id,
        "type": signal.signal_type,
        "status": signal.status,
        "severity": signal.severity,
    })
}

/// Device, payment method and address that an event came with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traces {
    pub device_id: Option<String>,
    pub payment_method: Option<String>,
    /// Stored for investigations; no detection uses it.
    pub ip: Option<String>,
}

/// Longest trace, in characters.
const TRACE: TextLimits = TextLimits::characters(200).not_blank();

impl Traces {
    pub(crate) fn check(&self) -> Result<()> {
        let texts = BTreeMap::from([
            ("/device_id", &self.device_id),
            ("/payment_method", &self.payment_method),
            ("/ip", &self.ip),
        ]);
        let errors: FieldErrors = texts
            .into_iter()
            .filter_map(|(pointer, text)| Some((pointer, TRACE.check(text.as_deref()?).err()?)))
            .map(|(pointer, error)| FieldError::new(pointer, "format", error.to_string()))
            .collect();
        Ok(errors.none_or(())?)
    }

    /// The traces to fingerprint, trimmed.
    pub(crate) fn of<'a>(&'a self, player_id: &'a PlayerId) -> impl Iterator<Item = Trace<'a>> {
        let kinds = [
            (TraceKind::Device, &self.device_id),
            (TraceKind::PaymentMethod, &self.payment_method),
            (TraceKind::Ip, &self.ip),
        ];
        kinds.into_iter().filter_map(move |(kind, text)| {
            Some(Trace {
                player_id,
                kind,
                value: text.as_deref()?.trim(),
            })
        })
    }
}
