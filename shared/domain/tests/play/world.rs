//! One player's books in memory, as the store keeps them. Every operation loads what the store would load, and every
//! write is audited.

use crate::audit::{self, Checked, check};
use domain::account::{Account, Adjustment, Book, Intervention, Journal, What};
use domain::activity::{
    Action, Day, Earning, Event, EventError, History, Outcome, Place, Player, Profile, Program, Recorded,
};
use domain::bonus::{Grant, NewGrant, ROUND_OPEN_HOURS};
use domain::context::Context;
use domain::id::{EventId, GrantId, PlayerId, TransactionId};
use domain::idempotency::Answer;
use domain::ledger::{Cause, Kind, Wallet};
use domain::metrics::Totals;
use domain::money::Asset;
use domain::period::Moment;
use domain::settings::Settings;
use domain::tier::{Ladder, Tier};
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use uuid::Uuid;

thread_local! {
    static IDS: Cell<u128> = const { Cell::new(0) };
}

/// Ids rise, as those of UUIDv7 do, above all that a history names.
fn new_id() -> Uuid {
    Uuid::from_u128((1 << 64) + IDS.replace(IDS.get() + 1))
}

/// The configuration, and the clock's start.
pub struct Casino {
    pub settings: Settings,
    ladder: Ladder,
}

impl Casino {
    pub fn new(settings: Settings) -> Self {
        let lowest = Tier {
            tier_level: "BRONZE".into(),
            lp_min: domain::money::Points::ZERO,
            benefits: serde_json::Map::new(),
            requirements: None,
        };
        let ladder = Ladder::new(vec![lowest]).unwrap();
        Self { settings, ladder }
    }
}

pub fn start() -> Timestamp {
    "2026-11-02T12:00:00Z".parse().unwrap()
}

pub fn player_id() -> PlayerId {
    PlayerId::parse("P").unwrap()
}

type Answers = Vec<Result<Answer<Outcome>, EventError>>;

pub struct World<'a> {
    casino: &'a Casino,
    pub now: Timestamp,
    pub recorded: BTreeMap<EventId, Recorded>,
    /// All grants by id, with the closed ones of chains.
    pub grants: BTreeMap<GrantId, Grant>,
    /// Those of them that another one continues.
    corrected: BTreeSet<GrantId>,
    pub interventions: Vec<Intervention>,
    pub totals: Totals,
    pub days: BTreeMap<Date, Day>,
    pub played: Option<Place>,
    pub wallet: Wallet,
    /// The sums of postings by bonus and house account: above 0 into the bonus.
    pub moved: BTreeMap<(GrantId, &'static str), Decimal>,
    /// The cash that conversions, answers and adjustments told, by bonus.
    pub told: BTreeMap<GrantId, Decimal>,
    pub adjustments: Vec<Adjustment>,
    is_suspended: bool,
}

impl<'a> World<'a> {
    pub fn new(casino: &'a Casino) -> Self {
        Self {
            casino,
            now: start(),
            recorded: BTreeMap::new(),
            grants: BTreeMap::new(),
            corrected: BTreeSet::new(),
            interventions: Vec::new(),
            totals: Totals::default(),
            days: BTreeMap::new(),
            played: None,
            wallet: Wallet::empty(player_id(), Asset::Bonus),
            moved: BTreeMap::new(),
            told: BTreeMap::new(),
            adjustments: Vec::new(),
            is_suspended: false,
        }
    }

    /// The current grant of a bonus.
    pub fn bonus(&self, root_id: GrantId) -> &Grant {
        self.tails().find(|grant| grant.root_id == root_id).unwrap()
    }

    pub fn tails(&self) -> impl Iterator<Item = &Grant> {
        self.grants
            .values()
            .filter(|grant| !self.corrected.contains(&grant.grant_id))
    }

    pub fn issue(&mut self, new: NewGrant) -> Checked {
        let cause = self.cause();
        let mut account = self.account(&self.history(&[], self.now));
        let operation = cause.operation(Kind::ManualBonus, new.grant_id.to_string());
        account
            .issue(new, &operation, &cause)
            .map_err(|error| error.to_string())?;
        self.write(account.into_journal())
    }

    /// What people do, as far as it can be done.
    pub fn act(&mut self, what: What) -> Checked<TransactionId> {
        let cause = self.cause();
        let history = self.history(&[], self.now);
        let mut account = self.account(&history);
        let held = |root_id| history.holds(root_id, self.now);
        account
            .settle_play(self.now, held, &cause)
            .map_err(|error| error.to_string())?;
        let operation = cause.operation(Kind::ManualDebit, "");
        account
            .intervene(what, &operation, &cause)
            .map_err(|error| error.to_string())?;
        account
            .settle_play(self.now, held, &cause)
            .map_err(|error| error.to_string())?;
        self.is_suspended = account.is_suspended();
        self.raise(Place::act(self.now, operation.transaction_id));
        self.write(account.into_journal())?;
        Ok(operation.transaction_id)
    }

    /// Ends what is due.
    pub fn sweep(&mut self) -> Checked {
        let cause = self.cause();
        let history = self.history(&[], self.now);
        let mut account = self.account(&history);
        let held = |root_id| history.holds(root_id, self.now);
        account
            .settle_play(self.now, held, &cause)
            .map_err(|error| error.to_string())?;
        self.write(account.into_journal())
    }

    /// Records a batch of events.
    pub fn deliver(&mut self, events: Vec<Event>) -> Checked<Answers> {
        let cause = self.cause();
        let moment = Moment::new(self.now, &self.casino.settings).map_err(|error| error.to_string())?;
        let program = Program {
            settings: &self.casino.settings,
            ladder: &self.casino.ladder,
            moment: &moment,
        };
        let mut player = self.load(&events);
        let answers = player.record(events, &program, &cause);
        if player.recorded().next().is_some() {
            self.save(player)?;
        }
        Ok(answers)
    }

    fn load(&self, events: &[Event]) -> Player {
        let (from, is_late) = self.from(events);
        let mut history = self.history(events, from);
        let mut account = self.account(&history);
        if is_late {
            self.load_since(&mut history, from);
            let since = |grant: &&Grant| grant.ended_at.is_some_and(|ended_at| ended_at >= from);
            let reached: Vec<_> = self.tails().filter(since).cloned().collect();
            for grant in reached {
                account.add_grant(grant);
            }
            let reached: Vec<_> = self.touched(&history);
            for grant in reached {
                account.add_grant(grant);
            }
        }
        Player {
            account,
            totals: self.totals.clone(),
            play_days: Default::default(),
            earning: Earning::Nothing,
            kyc_completed: true,
            profile: Profile::default(),
            last_activity_at: None,
            history,
            played: self.played.clone(),
            days: BTreeMap::new(),
            happened: Vec::new(),
            changes: Default::default(),
        }
    }

    /// The earliest instant that new events change, and whether something was played at or after it.
    fn from(&self, events: &[Event]) -> (Timestamp, bool) {
        let is_new = |event: &&Event| !self.recorded.contains_key(&event.event_id);
        let places = events.iter().filter(is_new).filter_map(|event| match &event.action {
            Action::Void { voids } => self.recorded.get(voids).map(|target| Place::of(&target.event)),
            _ => Some(Place::of(event)),
        });
        match places.min() {
            None => (self.now, false),
            Some(place) => (
                place.at.min(self.now),
                self.played.as_ref().is_some_and(|played| *played >= place),
            ),
        }
    }

    /// Adds everything since `from`, and the rounds that may hold a bonus there.
    fn load_since(&self, history: &mut History, from: Timestamp) {
        let since = from - SignedDuration::from_hours(ROUND_OPEN_HOURS.into());
        let ids = self
            .recorded
            .values()
            .filter(|recorded| recorded.event.occurred_at >= since);
        self.add(history, ids.map(|recorded| recorded.event.event_id.clone()).collect());
        let acts = self.interventions.iter();
        let named: Vec<TransactionId> = acts
            .clone()
            .filter(|act| act.at >= from)
            .filter_map(deduction_of)
            .collect();
        for act in acts.filter(|act| act.at >= from || named.contains(&act.id)) {
            history.add_intervention(act.clone());
        }
    }

    /// What events depend on: those of the same ids, what they void and what voids them, and their rounds; and the
    /// rounds since `from`, less a day, that hold open bonuses.
    fn history(&self, events: &[Event], from: Timestamp) -> History {
        let mut history = History::default();
        let since = from - SignedDuration::from_hours(ROUND_OPEN_HOURS.into());
        let mut ids: BTreeSet<EventId> = BTreeSet::new();
        let mut rounds: BTreeSet<&str> = BTreeSet::new();
        for event in events {
            ids.insert(event.event_id.clone());
            rounds.extend(event.action.round_id());
            if let Action::Void { voids } = &event.action {
                ids.insert(voids.clone());
            }
        }
        let open = self.tails().filter(|grant| grant.status.is_open());
        let open: BTreeSet<GrantId> = open.map(|grant| grant.root_id).collect();
        for recorded in self.recorded.values() {
            let Some(round_id) = recorded.event.action.round_id() else {
                continue;
            };
            if recorded.event.occurred_at > since
                && recorded.effects.iter().any(|effect| open.contains(&effect.grant_id))
            {
                rounds.insert(round_id);
            }
        }
        let of_rounds = self.recorded.values().filter(|recorded| {
            let round_id = recorded.event.action.round_id();
            round_id.is_some_and(|round_id| rounds.contains(round_id))
        });
        ids.extend(of_rounds.map(|recorded| recorded.event.event_id.clone()));
        self.add(&mut history, ids);
        history
    }

    /// Adds these events, those of their rounds, and what voids any of them.
    fn add(&self, history: &mut History, ids: BTreeSet<EventId>) {
        let rounds: BTreeSet<&str> = ids
            .iter()
            .filter_map(|event_id| self.recorded.get(event_id)?.event.action.round_id())
            .collect();
        for recorded in self.recorded.values() {
            let event = &recorded.event;
            let is_of_round = event
                .action
                .round_id()
                .is_some_and(|round_id| rounds.contains(round_id));
            if is_of_round || ids.contains(&event.event_id) {
                history.add_recorded(recorded.clone());
            }
            if let Action::Void { voids } = &event.action {
                let target = self.recorded.get(voids);
                let target_round = target.and_then(|target| target.event.action.round_id());
                if ids.contains(voids) || target_round.is_some_and(|round_id| rounds.contains(round_id)) {
                    history.add_void(voids.clone(), event.event_id.clone(), recorded.is_in_play);
                }
            }
        }
    }

    /// The open grants, and the ended ones that the history touches.
    fn account(&self, history: &History) -> Account {
        let open: Vec<Grant> = self.tails().filter(|grant| grant.status.is_open()).cloned().collect();
        let book = Book::new(player_id(), vec![self.wallet.clone()]);
        let mut account = Account::new(book, Vec::new(), open).suspended(self.is_suspended);
        let reached: Vec<_> = self.touched(history);
        for grant in reached {
            account.add_grant(grant);
        }
        for act in self
            .interventions
            .iter()
            .filter(|act| matches!(act.what, What::Deduct { .. }))
        {
            account.add_deduction(act.id, act.parts.clone());
        }
        account
    }

    fn touched(&self, history: &History) -> Vec<Grant> {
        let deducted = self.interventions.iter().flat_map(|act| act.parts.keys().copied());
        let roots: BTreeSet<GrantId> = history.roots().chain(deducted).collect();
        self.tails()
            .filter(|grant| roots.contains(&grant.root_id))
            .cloned()
            .collect()
    }

    fn cause(&self) -> Cause<'static> {
        Cause {
            actor: "test",
            reason: None,
            context: Context { now: self.now, new_id },
        }
    }

    fn raise(&mut self, place: Place) {
        self.played = self.played.take().max(Some(place));
    }

    fn save(&mut self, player: Player) -> Checked {
        self.totals = player.totals.clone();
        for (date, day) in &player.days {
            let sum = self.days.entry(*date).or_default();
            sum.deposited += day.deposited;
            sum.wagered += day.wagered;
            sum.won += day.won;
            sum.withdrawn += day.withdrawn;
        }
        self.played = player.played.clone();
        let new = player.recorded().map(|recorded| &recorded.event.event_id);
        let told: BTreeSet<EventId> = new
            .chain(player.resolved().map(|recorded| &recorded.event.event_id))
            .cloned()
            .collect();
        let changed = player.recorded().chain(player.resolved()).chain(player.refolded());
        let changed: Vec<Recorded> = changed.cloned().collect();
        self.write_down(player.account.into_journal())?;
        for recorded in changed {
            check!(
                recorded
                    .effects
                    .iter()
                    .all(|effect| self.grants.contains_key(&effect.grant_id)),
                "effects name bonuses by their roots: {recorded:?}"
            );
            let event_id = recorded.event.event_id.clone();
            self.recorded.insert(
                event_id,
                Recorded {
                    played: None,
                    ..recorded
                },
            );
        }
        for event_id in &told {
            let recorded = &self.recorded[event_id];
            audit::payout_is_split(recorded)?;
            for effect in &recorded.outcome.grants {
                let root_id = self.grants[&effect.grant_id].root_id;
                *self.told.entry(root_id).or_default() += effect.released;
            }
        }
        audit::books(self)
    }

    fn write(&mut self, journal: Journal) -> Checked {
        self.write_down(journal)?;
        audit::books(self)
    }

    fn write_down(&mut self, journal: Journal) -> Checked {
        for (_, grant) in journal.new_grants {
            self.grants.insert(grant.grant_id, grant);
        }
        for (_, grant) in journal.successors {
            let corrects = grant.corrects.unwrap();
            check!(self.corrected.insert(corrects), "two grants continue {corrects}");
            self.raise_to(&grant);
            self.grants.insert(grant.grant_id, grant);
        }
        for (_, grant) in journal.grants {
            let before = &self.grants[&grant.grant_id];
            check!(before.status.is_open(), "an ended grant moved: {before:?} to {grant:?}");
            self.raise_to(&grant);
            self.grants.insert(grant.grant_id, grant);
        }
        for (_, grant) in journal.remarked {
            let before = &self.grants[&grant.grant_id];
            let same = Grant {
                released: grant.released,
                ended_at: grant.ended_at,
                ..before.clone()
            };
            check!(
                same == grant && !before.status.is_open(),
                "an ended grant moved: {before:?} to {grant:?}"
            );
            self.raise_to(&grant);
            self.grants.insert(grant.grant_id, grant);
        }
        for corrected in &self.corrected {
            let is_ended = self.grants.get(corrected).is_some_and(|grant| !grant.status.is_open());
            check!(is_ended, "{corrected} is continued and has not ended");
        }
        for transition in &journal.transitions {
            let grant = &self.grants[&transition.grant_id];
            check!(
                transition.step <= grant.transitions,
                "a step beyond its grant's: {transition:?}"
            );
            check!(transition.cash >= Decimal::ZERO, "a conversion below 0: {transition:?}");
            *self.told.entry(grant.root_id).or_default() += transition.cash;
        }
        for adjustment in journal.adjustments {
            *self.told.entry(adjustment.root_id).or_default() += adjustment.cash_delta;
            self.adjustments.push(adjustment);
        }
        for posting in journal.postings {
            check!(
                posting.version == self.wallet.version + 1,
                "a gap in the wallet: {posting:?}"
            );
            (self.wallet.version, self.wallet.balance) = (posting.version, posting.balance_after);
            let root_id = self.grants[&posting.grant_id.unwrap()].root_id;
            *self.moved.entry((root_id, posting.house.as_str())).or_default() +=
                Decimal::from(posting.direction.sign()) * posting.amount;
        }
        self.interventions
            .extend(journal.interventions.into_iter().map(|(_, act)| act));
        for (_, replayed) in journal.replayed {
            let known = self.interventions.iter_mut().find(|act| act.id == replayed.id).unwrap();
            known.parts = replayed.parts;
        }
        Ok(())
    }

    /// What ends at an instant changes what is played there.
    fn raise_to(&mut self, grant: &Grant) {
        if let Some(ended_at) = grant.ended_at {
            self.raise(Place::last_at(ended_at));
        }
    }
}

fn deduction_of(act: &Intervention) -> Option<TransactionId> {
    match act.what {
        What::Restore { deduction } => Some(deduction),
        _ => None,
    }
}
