//! Activity events, each of which counts once, ever. A batch is one transaction with a fixed number of statements. Each
//! of its events is accepted, replayed or rejected on its own, and the books end as if they came one at a time. An
//! outcome says what its event did within the batch: a payout that comes with its stake does not wait.
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
use domain::activity::{Changes, Earning, Happened, PlayDay, Player, Recorded};
use domain::bonus::{Grant, GrantStatus};
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
use store::activity::history::Histories;
use store::activity::points::{DayKey, StoredDay, VoidedKey};
use store::activity::{PlayerState, SavedPlayer};
use store::platform::stats::{self, Slot};
use store::players::segments::SegmentChange;
use store::players::totals;
use store::runs::triggers::NewTrigger;
use store::wallet::grants::{SinceKey, SinceKeys};
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
    let recordings = players.record(events, &program, &cause);
    let first = events.iter().zip(&recordings);
    let first = first.filter(|(_, recording)| matches!(recording, Ok(Answer::First(_))));
    let traces = first.flat_map(|((event, traces), _)| traces.of(&event.player_id));
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
            let account = account.with_lots(days.into_iter().filter_map(|day| day.lot).collect());
            let mut account = account.suspended(state.standing.is_blocked || !state.standing.is_active);
            account.expire_points(cause)?;
            let player = Player {
                totals: state.totals.clone(),
                earning: earning(&state.standing, cause.context.now),
                play_days,
                kyc_completed: state.kyc_completed,
                profile: state.profile,
                last_activity_at: state.last_activity_at,
                history: histories.remove(&state.player_id).unwrap_or_default(),
                played: state.played.clone(),
                days: BTreeMap::new(),
                happened: Vec::new(),
                changes: Changes::default(),
                account,
            };
            players.insert(state.player_id.clone(), (player, state));
        }
        let mut players = Self(players);
        players.load_play(tx, &events, program, cause).await?;
        Ok(players)
    }

    /// Reads what play on bonuses depends on beyond the events' own rounds: for a player whose events come after
    /// everything so far, the rounds that hold emptied bonuses; otherwise everything since the first of the events.
    async fn load_play(&mut self, tx: &Tx<'_>, events: &[&Event], program: &Program, cause: &Cause<'_>) -> Result<()> {
        let program = judged_by(program);
        let mut emptied: Vec<(PlayerId, GrantId)> = Vec::new();
        let mut late: Vec<(PlayerId, Timestamp)> = Vec::new();
        for (player_id, (player, _)) in &self.0 {
            let own = || events.iter().copied().filter(|event| event.player_id == *player_id);
            if let Some(from) = player.replays_from(own(), &program) {
                late.push((player_id.clone(), from));
            }
            let may_empty = own().any(|event| match &event.action {
                Action::Stake(stake) => !stake.bonus_amount.is_zero(),
                Action::Void { .. } => true,
                _ => false,
            });
            let active = player.account.grants().iter();
            let active = active.filter(|grant| grant.status == GrantStatus::Active);
            let held = active.filter(|grant| grant.balance.is_zero() || may_empty);
            emptied.extend(held.map(|grant| (player_id.clone(), grant.root_id)));
        }
        let mut histories: Histories = self.take_histories();
        let emptied: Vec<_> = emptied
            .iter()
            .map(|(player_id, root_id)| (player_id, *root_id))
            .collect();
        let first = events
            .iter()
            .map(|event| event.occurred_at)
            .min()
            .unwrap_or(cause.context.now);
        let since = books::rounds_since(first.min(cause.context.now));
        store::activity::history::load_unsettled(tx, &mut histories, &emptied, since).await?;
        let ended = load_late(tx, &mut histories, &late).await?;
        for (player_id, history) in histories {
            if let Some((player, _)) = self.0.get_mut(&player_id) {
                player.history = history;
            }
        }
        self.add_grants(ended);
        let unknown: Vec<(PlayerId, GrantId)> = self.0.iter().flat_map(unknown_bonuses).collect();
        let unknown: Vec<_> = unknown
            .iter()
            .map(|(player_id, root_id)| (player_id, *root_id))
            .collect();
        self.add_grants(store::wallet::grants::of_roots(tx, &unknown).await?);
        Ok(())
    }

    fn take_histories(&mut self) -> Histories {
        let players = self.0.iter_mut();
        players
            .map(|(player_id, (player, _))| (player_id.clone(), std::mem::take(&mut player.history)))
            .collect()
    }

    fn add_grants(&mut self, grants: Vec<(PlayerId, Grant)>) {
        for (player_id, grant) in grants {
            if let Some((player, _)) = self.0.get_mut(&player_id) {
                player.account.add_grant(grant);
            }
        }
    }

    /// Records the events of each player, and returns the results in the order of the events.
    fn record(&mut self, events: &[(&Event, &Traces)], program: &Program, cause: &Cause<'_>) -> Vec<Recording> {
        let program = judged_by(program);
        let mut of_players: BTreeMap<&PlayerId, Vec<usize>> = BTreeMap::new();
        for (index, (event, _)) in events.iter().enumerate() {
            of_players.entry(&event.player_id).or_default().push(index);
        }
        let mut recordings: BTreeMap<usize, Recording> = BTreeMap::new();
        for (player_id, indices) in of_players {
            let Some((player, _)) = self.0.get_mut(player_id) else {
                recordings.extend(
                    indices
                        .iter()
                        .map(|index| (*index, Err(Error::not_found("player", player_id)))),
                );
                continue;
            };
            let own = indices.iter().map(|index| events[*index].0.clone()).collect();
            let results = player.record(own, &program, cause);
            recordings.extend(indices.into_iter().zip(results.into_iter().map(|result| Ok(result?))));
        }
        recordings.into_values().collect()
    }

    /// Whether anything but corrections was recorded. What a void takes back was no event, so it calls no rules.
    fn has_played(&self, player_id: &PlayerId) -> bool {
        let is_void = |recorded: &Recorded| matches!(recorded.event.action, Action::Void { .. });
        self.0
            .get(player_id)
            .is_some_and(|(player, _)| !player.recorded().all(is_void))
    }

    /// Writes the results. Returns the trigger batches to send to the reward queue.
    async fn write(self, tx: &Tx<'_>, program: &Program, cause: &Cause<'_>) -> Result<Vec<TriggerBatchId>> {
        let now = cause.context.now;
        let changed = || self.0.values().filter(|(player, _)| player.recorded().next().is_some());
        let recorded: Vec<&Recorded> = changed().flat_map(|(player, _)| player.recorded()).collect();
        store::activity::add(tx, &recorded, now).await?;
        let refolded: Vec<&Recorded> = changed().flat_map(|(player, _)| player.refolded()).collect();
        store::activity::refold(tx, &refolded).await?;
        let resolved: Vec<&Recorded> = changed().flat_map(|(player, _)| player.resolved()).collect();
        store::activity::resolve(tx, &resolved).await?;
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
        let drawn: BTreeMap<PlayerId, Finding> = changed().filter_map(|(player, _)| overdrawn(player)).collect();
        let ids: Vec<PlayerId> = changed().map(|(player, _)| player.player_id().clone()).collect();
        let mut journal = Journal::default();
        // A player without a recorded event keeps even what has expired by now: a rejected event changes no row.
        for (player, _) in self
            .0
            .into_values()
            .filter(|(player, _)| player.recorded().next().is_some())
        {
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
        risk::raise(tx, &drawn, &program.settings, cause.context).await?;
        Ok([own, of_tiers].into_iter().flatten().collect())
    }
}

/// Reads everything that reaches bonuses since the players' instants, and returns the bonuses that ended since.
async fn load_late(
    tx: &Tx<'_>,
    histories: &mut Histories,
    late: &[(PlayerId, Timestamp)],
) -> Result<Vec<(PlayerId, Grant)>> {
    if late.is_empty() {
        return Ok(Vec::new());
    }
    let keys = |since: fn(Timestamp) -> Timestamp| -> SinceKeys<'_> {
        let key = late.iter().map(|(player_id, from)| SinceKey {
            player_id,
            since: since(*from),
        });
        key.collect()
    };
    // Rounds staked before may still be open.
    store::activity::history::load_since(tx, histories, &keys(books::rounds_since)).await?;
    let since = keys(|from| from);
    let (ended, interventions) = try_join!(
        store::wallet::grants::ended_since(tx, &since),
        store::wallet::interventions::since(tx, &since)
    )?;
    for (player_id, intervention) in interventions {
        histories.entry(player_id).or_default().add_intervention(intervention);
    }
    Ok(ended)
}

/// The bonuses that a player's history names and the account does not hold.
fn unknown_bonuses((player_id, (player, _)): (&PlayerId, &(Player, PlayerState))) -> Vec<(PlayerId, GrantId)> {
    let roots: BTreeSet<GrantId> = player.history.roots().collect();
    let unknown = roots
        .into_iter()
        .filter(|root_id| player.account.grant_of(*root_id).is_none());
    unknown.map(|root_id| (player_id.clone(), root_id)).collect()
}

fn judged_by(program: &Program) -> domain::activity::Program<'_> {
    domain::activity::Program {
        settings: &program.settings,
        ladder: &program.ladder,
        moment: &program.moment,
    }
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

/// The bonus money that the player's stakes named beyond what there was.
fn overdrawn(player: &Player) -> Option<(PlayerId, Finding)> {
    let drawn: Decimal = player.recorded().map(|event| event.outcome.overdrawn).sum();
    (!drawn.is_zero()).then(|| (player.player_id().clone(), Finding::overdrawn(drawn)))
}

/// What the player's voids took back of points that were spent.
fn overspent(player: &Player) -> Option<(PlayerId, Finding)> {
    let spent: Decimal = player.recorded().map(|event| event.outcome.lp_overspent).sum();
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
        played_at: player.played.as_ref().map(|place| place.at),
        played_rank: player.played.as_ref().map(|place| place.rank.as_str()),
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
