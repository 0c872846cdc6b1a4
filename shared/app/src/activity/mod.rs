//! Activity events, each of which counts once, ever. A batch is one transaction with a fixed number of statements. Each
//! of its events is accepted, replayed or rejected on its own, with the same results as if they came one at a time.
//!
//! # Choices
//!
//! * The segment follows the totals in the same transaction, so there is no second path through the segmentation queue.
//!   In a run with rewards, a player whose segment changed is evaluated once, for the run and the change together.

use crate::error::{Error, Result};
use crate::players::risk;
pub use crate::players::risk::Traces;
use crate::program::Program;
use crate::runs::segmentation;
use crate::runs::triggers::segment_changed;
use crate::wallet::books;
use domain::account::{Account, Journal, LpVoidPolicy};
use domain::act::Act;
pub use domain::activity::{Action, Event, GrantEffect, Outcome, Payout, Remark, Stake};
use domain::activity::{Earning, Happened, PlayDay, Player, Recorded};
use domain::bonus::GrantStatus;
use domain::id::{EventId, GrantId, PlayerId, TriggerBatchId};
use domain::idempotency::Answer;
use domain::ledger::Cause;
use domain::player::{AccountStanding, Eligibility};
use domain::risk::Finding;
use domain::segment::{Segment, classify};
use domain::text::TextLimits;
use domain::tier::Rank;
use futures_util::try_join;
use jiff::{Timestamp, Unit};
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use store::activity::points::{DayKey, StoredDay, VoidedKey};
use store::activity::{PlayerState, SavedPlayer};
use store::platform::stats::{self, Slot};
use store::players::segments::SegmentChange;
use store::players::totals;
use store::runs::triggers::NewTrigger;
use store::{Db, Tx, transaction};

/// Longest name of a game or round, in characters.
const NAME: TextLimits = TextLimits::characters(64).not_empty();

/// A reported event, not yet validated.
#[derive(Debug, Clone, PartialEq)]
pub struct Occurrence {
    /// Counts once, ever.
    pub event_id: EventId,
    pub player_id: PlayerId,
    pub at: Timestamp,
    pub action: Action,
    /// Not part of the event's content: ignored if the event is sent again.
    pub traces: Traces,
}

/// What a recorded event did, now or when it was first sent; or why it was rejected.
pub type Recording = Result<Answer<Outcome>>;

#[derive(Debug)]
pub struct Batch {
    /// In input order.
    pub recordings: Vec<Recording>,
    /// To be sent to the reward queue. The scheduler resends lost ones.
    pub triggers: Vec<TriggerBatchId>,
}

/// Records events of any players, in any order, in one transaction. A rejected event (`NotFound` player, `Validation`,
/// `EventError`) changes nothing and does not stop the others.
///
/// # Errors
/// Internal failures only. Nothing was recorded then, and the caller can send the batch again.
pub async fn record(db: &Db, occurrences: Vec<Occurrence>, act: &Act) -> Result<Batch> {
    let checked: Vec<Result<(Event, Traces)>> = occurrences.into_iter().map(Occurrence::check).collect();
    let valid: Vec<(&Event, &Traces)> = checked
        .iter()
        .filter_map(|checked| checked.as_ref().ok())
        .map(|(event, traces)| (event, traces))
        .collect();
    let cause = act.because(None);
    let written: Result<Written> = if valid.is_empty() {
        Ok(Written::default())
    } else {
        transaction!(db, |tx| record_in_tx(tx, &valid, cause))
    };
    let mut written = written?;
    let mut recordings = written.recordings.drain(..);
    let recordings = checked.into_iter().map(|checked| match checked {
        // There is one recording per valid event.
        Ok(_) => recordings.next().unwrap_or_else(|| Err(no_result())),
        Err(error) => Err(error),
    });
    Ok(Batch {
        recordings: recordings.collect(),
        triggers: written.triggers,
    })
}

fn no_result() -> Error {
    Error::stored("batch", "an event has no result")
}

/// Like [`record`], for one event.
pub async fn record_one(db: &Db, occurrence: Occurrence, act: &Act) -> Recording {
    let mut batch = record(db, vec![occurrence], act).await?;
    batch.recordings.pop().unwrap_or_else(|| Err(no_result()))
}

impl Occurrence {
    /// Rounds instants to the microsecond, PostgreSQL's precision.
    fn check(self) -> Result<(Event, Traces)> {
        let Self {
            event_id,
            player_id,
            at,
            action,
            traces,
        } = self;
        traces.check()?;
        check_action(&action)?;
        let invalid = |_| Error::invalid("/occurred_at", "range", "is out of range");
        let event = Event {
            event_id,
            player_id,
            occurred_at: at.round(Unit::Microsecond).map_err(invalid)?,
            action,
        };
        Ok((event, traces))
    }
}

fn check_action(action: &Action) -> Result<()> {
    match action {
        Action::Stake(stake) => {
            let (bonus, staked) = (stake.bonus_amount.value(), stake.amount.value());
            if bonus > staked {
                let detail = format!("{bonus} is more than the stake of {staked}");
                return Err(Error::invalid("/bonus_amount", "range", detail));
            }
            check_name("/game", stake.game.as_deref())?;
            check_name("/round_id", stake.round_id.as_deref())?;
        }
        Action::Payout(payout) => check_name("/round_id", payout.round_id.as_deref())?,
        Action::Deposit { .. }
        | Action::Withdrawal { .. }
        | Action::Void { .. }
        | Action::Session { .. }
        | Action::KycCompleted
        | Action::Profile { .. }
        | Action::Login => {}
    }
    Ok(())
}

fn check_name(pointer: &str, name: Option<&str>) -> Result<()> {
    name.map_or(Ok(()), |name| NAME.check(name))
        .map_err(|error| Error::invalid(pointer, "format", error.to_string()))
}

#[derive(Default)]
struct Written {
    recordings: Vec<Recording>,
    triggers: Vec<TriggerBatchId>,
}

async fn record_in_tx(tx: &Tx<'_>, events: &[(&Event, &Traces)], cause: Cause<'_>) -> Result<Written> {
    let ids: Vec<&str> = events
        .iter()
        .map(|(event, _)| event.player_id.as_str())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    // Events of blocked players are recorded too: they happened.
    let locked = store::players::lock_all(tx, &ids).await?;
    let ids: Vec<&str> = locked.iter().map(String::as_str).collect();
    let program = Program::load(tx, cause.context.now).await?;
    let mut players = Players::load(tx, &ids, events, &program, &cause).await?;
    let mut recordings = Vec::with_capacity(events.len());
    let mut seen = Vec::new();
    for (event, traces) in events {
        let recording = players.record(event, &program, &cause);
        if let Ok(Answer::First(_)) = recording {
            seen.push((&event.player_id, *traces));
        }
        recordings.push(recording);
    }
    let traces = seen.into_iter().flat_map(|(player_id, traces)| traces.of(player_id));
    store::players::risk_facts::add_traces(tx, traces, cause.context.now).await?;
    let triggers = players.write(tx, &program, &cause).await?;
    Ok(Written { recordings, triggers })
}

/// The players of a batch, by id.
struct Players(BTreeMap<PlayerId, (Player, PlayerState)>);

impl Players {
    /// The caller holds the locks.
    async fn load(
        tx: &Tx<'_>,
        ids: &[&str],
        events: &[(&Event, &Traces)],
        program: &Program,
        cause: &Cause<'_>,
    ) -> Result<Self> {
        let events: Vec<&Event> = events
            .iter()
            .map(|(event, _)| *event)
            .filter(|event| ids.binary_search(&event.player_id.as_str()).is_ok())
            .collect();
        let (stakes, voided) = (staked_days(&events, program), voided(&events));
        let (states, accounts, mut histories, days) = try_join!(
            store::activity::states(tx, ids),
            store::wallet::accounts::load(tx, ids),
            store::activity::history::load(tx, &events),
            store::activity::points::days(tx, stakes, voided, cause.context.now)
        )?;
        let mut days_of: HashMap<PlayerId, Vec<StoredDay>> = HashMap::new();
        for day in days {
            days_of.entry(day.player_id.clone()).or_default().push(day);
        }
        let mut accounts: HashMap<PlayerId, Account> = accounts
            .into_iter()
            .map(|account| (account.player_id().clone(), account))
            .collect();
        let mut players = BTreeMap::new();
        for state in states {
            let account = accounts
                .remove(&state.player_id)
                .ok_or_else(|| Error::not_found("player", &state.player_id))?;
            let days = days_of.remove(&state.player_id).unwrap_or_default();
            let play_days = days.iter().map(|day| (day.day, play_day(day, program))).collect();
            let mut account = account.with_lots(days.into_iter().filter_map(|day| day.lot).collect());
            account.settle(cause)?;
            let history = histories.remove(&state.player_id).unwrap_or_default();
            let player = Player {
                totals: state.totals.clone(),
                earning: earning(&state.standing, cause.context.now),
                play_days,
                kyc_completed: state.kyc_completed,
                profile: state.profile,
                last_activity_at: state.last_activity_at,
                history,
                days: BTreeMap::new(),
                recorded: Vec::new(),
                happened: Vec::new(),
                account,
            };
            players.insert(state.player_id.clone(), (player, state));
        }
        let mut players = Self(players);
        players.load_grants(tx, &events, cause).await?;
        Ok(players)
    }

    /// Of the grants that the events may touch: those that have ended, and the open rounds that may still pay the
    /// others.
    async fn load_grants(&mut self, tx: &Tx<'_>, events: &[&Event], cause: &Cause<'_>) -> Result<()> {
        let may_empty = |event: &&&Event| match &event.action {
            Action::Stake(stake) => !stake.bonus_amount.is_zero(),
            Action::Void { .. } => true,
            _ => false,
        };
        let emptying: BTreeSet<&str> = events
            .iter()
            .filter(may_empty)
            .map(|event| event.player_id.as_str())
            .collect();
        let (mut touched, mut emptied) = (BTreeSet::new(), Vec::new());
        for (player_id, (player, _)) in &self.0 {
            touched.extend(
                player
                    .history
                    .grants()
                    .filter(|id| !is_open(&player.account, *id))
                    .map(|id| (player_id.as_str(), id)),
            );
            let active = player
                .account
                .grants()
                .iter()
                .filter(|grant| grant.status == GrantStatus::Active);
            let may_be_emptied =
                active.filter(|grant| grant.balance.is_zero() || emptying.contains(player_id.as_str()));
            emptied.extend(may_be_emptied.map(|grant| (player_id.as_str(), grant.grant_id)));
        }
        let touched: Vec<_> = touched.into_iter().collect();
        let since = books::rounds_since(cause.context.now);
        let (ended, unsettled) = try_join!(
            store::activity::history::ended(tx, &touched),
            store::activity::history::unsettled(tx, &emptied, since)
        )?;
        for (player_id, grant_id, grant) in ended {
            if let Some((player, _)) = self.0.get_mut(&player_id) {
                player.history.add_ended(grant_id, grant);
            }
        }
        for (player_id, stake) in unsettled {
            if let Some((player, _)) = self.0.get_mut(&player_id) {
                player.history.add_unsettled(stake);
            }
        }
        Ok(())
    }

    fn record(&mut self, event: &Event, program: &Program, cause: &Cause<'_>) -> Recording {
        let (player, _) = self
            .0
            .get_mut(&event.player_id)
            .ok_or_else(|| Error::not_found("player", &event.player_id))?;
        let program = domain::activity::Program {
            settings: &program.settings,
            ladder: &program.ladder,
            moment: &program.moment,
        };
        Ok(player.record(event.clone(), &program, cause)?)
    }

    /// Whether anything but corrections was recorded. What a void takes back was no event, so it calls no rules.
    fn has_played(&self, player_id: &PlayerId) -> bool {
        let is_void = |recorded: &Recorded| matches!(recorded.event.action, Action::Void { .. });
        self.0
            .get(player_id)
            .is_some_and(|(player, _)| !player.recorded.iter().all(is_void))
    }

    /// Writes the results. Returns the trigger batches to send to the reward queue.
    async fn write(self, tx: &Tx<'_>, program: &Program, cause: &Cause<'_>) -> Result<Vec<TriggerBatchId>> {
        let now = cause.context.now;
        let changed = || self.0.values().filter(|(player, _)| !player.recorded.is_empty());
        let recorded: Vec<&Recorded> = changed().flat_map(|(player, _)| &player.recorded).collect();
        store::activity::add(tx, &recorded, now).await?;
        let after = changed()
            .filter(|(player, standing)| player.totals != standing.totals)
            .map(|(player, _)| (player.player_id(), &player.totals));
        totals::save(tx, after, now).await?;
        let days: Vec<_> = changed()
            .flat_map(|(player, _)| player.days.iter().map(|(date, day)| (player.player_id(), *date, day)))
            .collect();
        totals::add_days(tx, days).await?;
        store::activity::save_players(tx, changed().map(|(player, _)| saved(player))).await?;
        let segments: Vec<SegmentChange> = changed()
            .filter_map(|(player, standing)| segment_change(player, standing.segment, program))
            .collect();
        store::players::segments::change(tx, &segments, None, now).await?;

        let mut triggers: Vec<NewTrigger> = changed()
            .flat_map(|(player, _)| {
                player
                    .happened
                    .iter()
                    .map(|happened| new_trigger(player.player_id(), happened))
            })
            .collect();
        triggers.extend(
            segments
                .iter()
                .filter(|change| self.has_played(&change.player_id))
                .filter_map(|change| segment_changed(change, cause.context)),
        );
        let batch_id = TriggerBatchId((cause.context.new_id)());
        store::runs::triggers::add(tx, batch_id, &triggers, now).await?;
        let own = (!triggers.is_empty()).then_some(batch_id);

        let findings: BTreeMap<PlayerId, Finding> = match program.settings.activity.lp_void_policy {
            LpVoidPolicy::Debt => BTreeMap::new(),
            LpVoidPolicy::Signal => changed().filter_map(|(player, _)| overspent(player)).collect(),
        };
        let ids: Vec<PlayerId> = changed().map(|(player, _)| player.player_id().clone()).collect();
        let mut journal = Journal::default();
        // A player without a recorded event keeps even what has expired by now: a rejected event changes no row.
        for (player, _) in self.0.into_values().filter(|(player, _)| !player.recorded.is_empty()) {
            journal.append(player.account.into_journal());
        }
        let slot = Slot::of(ids.first());
        let changed: Vec<&str> = ids.iter().map(PlayerId::as_str).collect();
        let of_tiers = books::write_changed(
            tx,
            &journal,
            &segmentation::events(&segments),
            &changed,
            slot,
            cause.context,
        )
        .await?;
        stats::add(tx, &segmentation::counters(&segments), slot).await?;
        risk::raise(tx, &findings, &program.settings, cause.context).await?;
        Ok([own, of_tiers].into_iter().flatten().collect())
    }
}

fn is_open(account: &Account, grant_id: GrantId) -> bool {
    account
        .grants()
        .iter()
        .any(|grant| grant.grant_id == grant_id && grant.status.is_open())
}

/// The days on which the stakes count.
fn staked_days<'a>(events: &[&'a Event], program: &Program) -> BTreeSet<DayKey<'a>> {
    let day = |event: &&'a Event| {
        let day = program.day(event.occurred_at);
        matches!(event.action, Action::Stake(_)).then(|| DayKey {
            player_id: &event.player_id,
            day,
            starts_at: program.moment.start_of(day),
        })
    };
    events.iter().filter_map(day).collect()
}

fn voided<'a>(events: &[&'a Event]) -> BTreeSet<VoidedKey<'a>> {
    let voided = |event: &&'a Event| match &event.action {
        Action::Void { voids } => Some(VoidedKey {
            player_id: &event.player_id,
            event_id: voids,
        }),
        _ => None,
    };
    events.iter().filter_map(voided).collect()
}

fn play_day(stored: &StoredDay, program: &Program) -> PlayDay {
    PlayDay {
        staked: stored.staked,
        rate: stored.rate,
        points: stored.points,
        expired: stored.expired,
        ..PlayDay::new(program.ladder.rank(&stored.tier).unwrap_or(Rank(0)))
    }
}

/// What the player's voids took back of points that were spent.
fn overspent(player: &Player) -> Option<(PlayerId, Finding)> {
    let spent: Decimal = player.recorded.iter().map(|event| event.outcome.lp_overspent).sum();
    (!spent.is_zero()).then(|| (player.player_id().clone(), Finding::overspent(spent)))
}

/// Play of players who may not receive rewards earns nothing, now or later.
fn earning(standing: &AccountStanding, now: Timestamp) -> Earning {
    match standing.eligibility(now) {
        Eligibility::Eligible => Earning::Earns,
        _ => Earning::Nothing,
    }
}

fn saved(player: &Player) -> SavedPlayer<'_> {
    SavedPlayer {
        player_id: player.player_id(),
        kyc_completed: player.kyc_completed,
        profile_depth: player.profile.depth,
        profile_at: player.profile.at,
        last_activity_at: player.last_activity_at,
    }
}

fn segment_change(player: &Player, from: Option<Segment>, program: &Program) -> Option<SegmentChange> {
    let to = classify(&player.totals, &program.settings.segments);
    (from != Some(to)).then(|| SegmentChange {
        player_id: player.player_id().clone(),
        from,
        to,
    })
}

fn new_trigger(player_id: &PlayerId, happened: &Happened) -> NewTrigger {
    NewTrigger {
        player_id: player_id.clone(),
        trigger: happened.trigger,
        trigger_id: happened.event_id.clone(),
        occurred_at: happened.occurred_at,
        amount: happened.amount,
        game: None,
        entered: None,
    }
}
