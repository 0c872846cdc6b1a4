//! Play on bonuses, in the order in which it happened. New events at the end are applied to the player's account; an
//! event before that takes the bonuses back to its instant, applies play again from there, and corrects the account.

use super::{EventError, GrantEffect, History, Place, Player, Recorded, Remark};
use crate::account::{Account, Intervention, Since, What};
use crate::id::{EventId, GrantId, TransactionId};
use crate::ledger::{Cause, Kind};
use jiff::Timestamp;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;

/// The last place that was played, earlier events whose effects turned out otherwise, and those of them that waited
/// until now.
pub(super) type Applied = (Option<Place>, Vec<EventId>, Vec<EventId>);

impl Player {
    /// Applies new events, the first of which stands at `from`. `new` are their ids, in their order.
    pub(super) fn apply(&mut self, from: &Place, new: &[EventId], cause: &Cause<'_>) -> Result<Applied, EventError> {
        let is_last = self.played.as_ref().is_none_or(|played| played < from);
        if is_last && !self.history.counts_again(from, new) {
            let last = run(&mut self.account, &mut self.history, from, cause)?;
            let (refolded, resolved) = self.history.changed(None, new);
            return Ok((last, refolded, resolved));
        }
        // The instant, not the place: what ended at the same instant ends again.
        let from = Place {
            at: from.at,
            rank: String::new(),
        };
        let since = self.history.since(&from);
        let is_suspended = self.history.was_suspended(from.at, self.account.is_suspended());
        let mut replayed = self.account.rewound(from.at, &since, is_suspended);
        let before = self.history.take_effects(&from);
        let interventions = self.history.interventions.clone();
        let last = run(&mut replayed, &mut self.history, &from, cause)?;
        let (refolded, resolved) = self.history.changed(Some(&before), new);
        let told = self.history.released(new.iter().chain(&resolved));
        if let Some(event_id) = new.first() {
            self.account.correct(&replayed, event_id, &told, cause)?;
        }
        let moved = self.history.interventions.iter().zip(interventions);
        for (after, _) in moved.filter(|(after, before)| after.parts != before.parts) {
            self.account.note_replayed(after.clone());
        }
        // Bonuses that wait for the opt-in are not replayed, but may be due.
        let now = Place::last_at(cause.context.now);
        let held = |root_id| self.history.may_still_pay(root_id, now.at, Bound::Included(&now));
        self.account.settle_play(now.at, held, cause)?;
        Ok((last, refolded, resolved))
    }
}

/// Applies everything from a place on, up to now. Returns the last place.
fn run(
    account: &mut Account,
    history: &mut History,
    from: &Place,
    cause: &Cause<'_>,
) -> Result<Option<Place>, EventError> {
    let mut last = None;
    for (place, entry) in history.timeline(from) {
        let held = |root_id| history.may_still_pay(root_id, place.at, Bound::Excluded(&place));
        account.settle_play(place.at, held, cause)?;
        match entry {
            Entry::Event(event_id) => play(account, history, &event_id, cause)?,
            Entry::Intervention(index) => intervene(account, history, index, cause)?,
        }
        let held = |root_id| history.may_still_pay(root_id, place.at, Bound::Included(&place));
        // What this fulfilled completes now, not when somebody looks: it may expire in between.
        account.settle_play(place.at, held, cause)?;
        last = Some(place);
    }
    let now = Place::last_at(cause.context.now);
    let held = |root_id| history.may_still_pay(root_id, now.at, Bound::Included(&now));
    account.settle_play(now.at, held, cause)?;
    Ok(last)
}

fn play(account: &mut Account, history: &mut History, event_id: &EventId, cause: &Cause<'_>) -> Result<(), EventError> {
    let Some(recorded) = history.recorded(event_id) else {
        return Ok(());
    };
    let Some((place, play)) = history.play(recorded) else {
        return Ok(());
    };
    let outcome = account.play(&play, event_id, place.at, cause)?;
    if let Some(recorded) = history.recorded_mut(event_id) {
        recorded.effects = outcome
            .grants
            .iter()
            .filter(|effect| effect.is_some())
            .cloned()
            .collect();
        recorded.played = Some(outcome);
    }
    Ok(())
}

fn intervene(account: &mut Account, history: &mut History, index: usize, cause: &Cause<'_>) -> Result<(), EventError> {
    let Intervention { id, at, what, .. } = history.interventions[index].clone();
    let restored = match &what {
        What::Restore { deduction } => history.taken(*deduction),
        _ => BTreeMap::new(),
    };
    let operation = cause.operation_as(id, Kind::BonusCorrection, "");
    history.interventions[index].parts = account.act(&what, &restored, at, &operation, cause)?;
    Ok(())
}

/// What stands in a player's timeline.
enum Entry {
    Event(EventId),
    /// By its index.
    Intervention(usize),
}

impl History {
    /// What stands at or after a place, in order.
    fn timeline(&self, from: &Place) -> Vec<(Place, Entry)> {
        let events = self.all().filter_map(|recorded| {
            let (place, _) = self.play(recorded)?;
            Some((place, Entry::Event(recorded.event.event_id.clone())))
        });
        let acts = self.interventions.iter().enumerate();
        let acts = acts.map(|(index, act)| (Place::act(act.at, act.id), Entry::Intervention(index)));
        let mut timeline: Vec<_> = events.chain(acts).filter(|(place, _)| place >= from).collect();
        timeline.sort_by(|(a, _), (b, _)| a.cmp(b));
        timeline
    }

    /// Whether a payout counts that counted before and had to wait meanwhile. Its money is posted, and taken back: what
    /// it does now is a correction.
    fn counts_again(&self, from: &Place, new: &[EventId]) -> bool {
        let timeline = self.timeline(from);
        let mut events = timeline.iter().filter_map(|(_, entry)| match entry {
            Entry::Event(event_id) => self.recorded(event_id),
            Entry::Intervention(_) => None,
        });
        events
            .any(|recorded| recorded.outcome.remark != Some(Remark::Waiting) && !new.contains(&recorded.event.event_id))
    }

    /// What play and people did to bonuses at or after a place, by root.
    fn since(&self, from: &Place) -> HashMap<GrantId, Since> {
        let mut since: HashMap<GrantId, Since> = HashMap::new();
        for recorded in self.all().filter(|recorded| self.stands_since(recorded, from)) {
            for effect in &recorded.effects {
                let since = since.entry(effect.grant_id).or_default();
                since.played += effect.bonus;
                since.contribution += effect.contribution;
                since.released += effect.released;
            }
        }
        for act in self.interventions.iter().filter(|act| act.at >= from.at) {
            for (root_id, part) in &act.parts {
                since.entry(*root_id).or_default().adjusted += part;
            }
        }
        since
    }

    /// Whether the effects of an event are those of a place at or after this one. An event that is removed or waits by
    /// now stood there before.
    fn stands_since(&self, recorded: &Recorded, from: &Place) -> bool {
        let event = &recorded.event;
        self.is_removed(&event.event_id) || self.place(event).is_none_or(|place| place >= *from)
    }

    /// Forgets the effects of the events at or after a place, and returns them.
    fn take_effects(&mut self, from: &Place) -> HashMap<EventId, Vec<GrantEffect>> {
        let standing: Vec<EventId> = self
            .all()
            .filter(|recorded| self.stands_since(recorded, from))
            .map(|recorded| recorded.event.event_id.clone())
            .collect();
        let mut taken = HashMap::new();
        for event_id in standing {
            if let Some(recorded) = self.recorded_mut(&event_id) {
                taken.insert(event_id, std::mem::take(&mut recorded.effects));
            }
        }
        taken
    }

    /// The recorded events, without new ones, whose effects differ from `before`, and those of them that waited. Where
    /// nothing is played again (`None`), all of them waited, perhaps not for the first time.
    fn changed(
        &self,
        before: Option<&HashMap<EventId, Vec<GrantEffect>>>,
        new: &[EventId],
    ) -> (Vec<EventId>, Vec<EventId>) {
        let old = |event_id: &EventId| before.and_then(|before| before.get(event_id));
        let is_played = |recorded: &&Recorded| recorded.played.is_some() || old(&recorded.event.event_id).is_some();
        let earlier = self
            .all()
            .filter(is_played)
            .filter(|recorded| !new.contains(&recorded.event.event_id));
        let (mut changed, mut resolved) = (Vec::new(), Vec::new());
        for recorded in earlier {
            let event_id = &recorded.event.event_id;
            let old = old(event_id).map(Vec::as_slice).unwrap_or_default();
            if amounts(old).ne(amounts(&recorded.effects)) {
                changed.push(event_id.clone());
            }
            let has_waited = before.is_none() || recorded.outcome.remark == Some(Remark::Waiting);
            if recorded.played.is_some() && has_waited {
                resolved.push(event_id.clone());
            }
        }
        (changed, resolved)
    }

    /// Money of ended bonuses that these events release to the player, by root.
    fn released<'a>(&self, events: impl Iterator<Item = &'a EventId>) -> HashMap<GrantId, Decimal> {
        let mut released: HashMap<GrantId, Decimal> = HashMap::new();
        for effect in events
            .filter_map(|event_id| self.recorded(event_id))
            .flat_map(|new| &new.effects)
        {
            *released.entry(effect.grant_id).or_default() += effect.released;
        }
        released
    }

    /// Whether the player was blocked or inactive just before `from`.
    fn was_suspended(&self, from: Timestamp, is_suspended: bool) -> bool {
        let changes = self.interventions.iter().filter(|act| act.at >= from);
        let first = changes
            .filter(|act| matches!(act.what, What::Suspend | What::Resume))
            .min_by_key(|act| (act.at, act.id));
        first.map_or(is_suspended, |act| act.what == What::Resume)
    }

    fn taken(&self, deduction: TransactionId) -> BTreeMap<GrantId, Decimal> {
        let found = self.interventions.iter().find(|act| act.id == deduction);
        found.map(|act| act.parts.clone()).unwrap_or_default()
    }
}

fn amounts(effects: &[GrantEffect]) -> impl Iterator<Item = (GrantId, [Decimal; 3])> {
    let amounts = |effect: &GrantEffect| (effect.grant_id, [effect.contribution, effect.bonus, effect.released]);
    effects.iter().map(amounts)
}
