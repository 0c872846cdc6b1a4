//! Bonuses of the model: all play of a player, from the beginning, in the order in which it happened. Nothing is kept from
//! one operation to the next but what was accepted.

use crate::model::{Grant, Model, Outcome, Played};
use crate::play::{Action, Stake};
use domain::activity::Remark;
use domain::bonus::GrantStatus;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::collections::BTreeMap;

/// What a person did to bonuses.
#[derive(Debug, Clone)]
pub struct Deed {
    pub at: Timestamp,
    pub what: What,
    /// What it moved, by bonus.
    pub parts: BTreeMap<usize, Decimal>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum What {
    End {
        grant: usize,
        to: GrantStatus,
        reason: &'static str,
    },
    Exclude,
    Deduct(Decimal),
    /// Gives back what a deed took.
    Restore(usize),
    Suspend,
    Resume,
}

/// An instant, and the order at it.
pub type Place = (Timestamp, String);

#[derive(Debug, Clone)]
enum Entry {
    Activation(usize),
    Event(String),
    Deed(usize),
}

impl Model {
    pub fn act(&mut self, player: usize, what: What, now: Timestamp) -> usize {
        let deed = Deed {
            at: now,
            what,
            parts: BTreeMap::new(),
        };
        self.players[player].deeds.push(deed);
        self.replay(player);
        self.players[player].deeds.len() - 1
    }

    fn own(&self, player: usize) -> Vec<usize> {
        let mut own: Vec<usize> = (0..self.grants.len())
            .filter(|grant| self.grants[*grant].player == player)
            .collect();
        own.sort_by_key(|index| {
            let grant = &self.grants[*index];
            (grant.expires_at.unwrap_or(Timestamp::MAX), grant.issued_at, *index)
        });
        own
    }

    /// Plays everything of a player, up to the instant at which the program looked at the player's bonuses last.
    pub fn replay(&mut self, player: usize) {
        for grant in self.own(player) {
            let grant = &mut self.grants[grant];
            (grant.status, grant.reason) = (GrantStatus::Pending, None);
            (grant.balance, grant.wagered) = Default::default();
            (grant.converted, grant.released) = Default::default();
        }
        for event in self.players[player].events.values_mut() {
            event.play = None;
        }
        self.players[player].suspended = false;
        for (place, entry) in self.timeline(player) {
            match entry {
                // Giving a bonus looks at no other.
                Entry::Activation(grant) => {
                    let of = &mut self.grants[grant];
                    (of.status, of.balance) = (GrantStatus::Active, of.amount);
                    if of.required.is_zero() {
                        complete(of);
                    }
                    continue;
                }
                Entry::Event(name) => {
                    self.end_due(player, &place, false);
                    let outcome = self.play(player, &name, &place);
                    self.players[player].events.get_mut(&name).unwrap().play = Some(outcome);
                }
                Entry::Deed(deed) => {
                    self.end_due(player, &place, false);
                    self.players[player].deeds[deed].parts = self.do_deed(player, deed, place.0);
                }
            }
            self.end_due(player, &place, true);
        }
        let looked = self.players[player].looked;
        self.end_due(player, &(looked, "9".to_owned()), true);
    }

    fn timeline(&self, player: usize) -> Vec<(Place, Entry)> {
        let own = self.own(player).into_iter();
        let activations = own.filter_map(|grant| {
            let at = self.grants[grant].activated_at?;
            Some(((at, format!("0{grant:06}")), Entry::Activation(grant)))
        });
        let owner = &self.players[player];
        let events = owner.events.iter().filter_map(|(name, event)| {
            let is_play = match &event.action {
                Action::Stake(_) | Action::Withdrawal { .. } => true,
                Action::Payout(payout) => payout.round_id.is_some(),
                Action::Void { .. } => false,
            };
            let counts = is_play && event.is_in_play && !self.is_removed(player, name);
            Some((
                self.place(player, name, event).filter(|_| counts)?,
                Entry::Event(name.clone()),
            ))
        });
        let deeds = owner.deeds.iter().enumerate();
        let deeds = deeds.map(|(index, deed)| ((deed.at, format!("8{index:06}")), Entry::Deed(index)));
        let mut timeline: Vec<_> = activations.chain(events).chain(deeds).collect();
        timeline.sort_by(|(a, _), (b, _)| a.cmp(b));
        timeline
    }

    pub fn is_removed(&self, player: usize, name: &str) -> bool {
        self.players[player].voided.get(name) == Some(&true)
    }

    /// `None` for a payout that waits for a stake.
    pub fn place(&self, player: usize, name: &str, event: &Played) -> Option<Place> {
        let class = match &event.action {
            Action::Stake(_) => 2,
            Action::Payout(_) => 3,
            Action::Withdrawal { .. } => 4,
            Action::Void { .. } => 5,
        };
        let mut at = event.at;
        if let Action::Payout(payout) = &event.action
            && let Some(round) = &payout.round_id
        {
            let stakes = self.stakes(player, round).into_iter();
            at = at.max(stakes.map(|((at, _), ..)| at).min()?);
        }
        Some((at, format!("{class}{name}")))
    }

    /// The live stakes of a round.
    fn stakes(&self, player: usize, round: &str) -> Vec<(Place, &Stake, &Played)> {
        let events = self.players[player].events.iter();
        events
            .filter(|(name, _)| !self.is_removed(player, name))
            .filter_map(|(name, event)| match &event.action {
                Action::Stake(stake) if stake.round_id.as_deref() == Some(round) => {
                    Some(((event.at, format!("2{name}")), stake, event))
                }
                _ => None,
            })
            .collect()
    }

    /// Ends what is due at a place, before or after what stands there.
    fn end_due(&mut self, player: usize, place: &Place, after: bool) {
        for index in self.own(player) {
            let grant = &mut self.grants[index];
            if is_open(grant, place.0) && grant.expires_at.is_some_and(|expires_at| expires_at <= place.0) {
                let is_played_out = grant.status == GrantStatus::Active && grant.balance.is_zero();
                end(
                    grant,
                    if is_played_out {
                        GrantStatus::Depleted
                    } else {
                        GrantStatus::Expired
                    },
                    None,
                );
            }
        }
        for index in self.own(player) {
            let is_empty = is_active(&self.grants[index], place.0) && self.grants[index].balance.is_zero();
            if is_empty && !self.may_still_win(player, index, place, after) {
                end(&mut self.grants[index], GrantStatus::Depleted, None);
            }
        }
        self.complete_fulfilled(player, place.0);
    }

    fn complete_fulfilled(&mut self, player: usize, at: Timestamp) {
        for index in self.own(player) {
            let grant = &mut self.grants[index];
            if !self.players[player].suspended && is_active(grant, at) && grant.wagered == grant.required {
                complete(grant);
            }
        }
    }

    /// Whether bonus money is in a round of the last day without a payout since.
    fn may_still_win(&self, player: usize, grant: usize, place: &Place, after: bool) -> bool {
        let is_known = |other: &Place| if after { other <= place } else { other < place };
        let events = &self.players[player].events;
        let rounds = events.values().filter_map(|event| match &event.action {
            Action::Stake(stake) => stake.round_id.clone(),
            _ => None,
        });
        rounds.into_iter().any(|round| {
            let stakes = self.stakes(player, &round).into_iter();
            let paid_by_it = |event: &Played| {
                let effects = event.play.iter().flat_map(|play| &play.effects);
                effects
                    .into_iter()
                    .any(|effect| effect.grant == grant && effect.bonus < Decimal::ZERO)
            };
            let is_recent = |at: Timestamp| place.0 - SignedDuration::from_hours(24) < at;
            let last = stakes
                .filter(|(stake, _, event)| is_known(stake) && is_recent(stake.0) && paid_by_it(event))
                .map(|(stake, ..)| stake)
                .max();
            let is_paid = |last: &Place| {
                events.iter().any(|(name, event)| {
                    matches!(&event.action, Action::Payout(payout) if payout.round_id.as_ref() == Some(&round))
                        && !self.is_removed(player, name)
                        && self
                            .place(player, name, event)
                            .is_some_and(|paid| *last < paid && is_known(&paid))
                })
            };
            last.is_some_and(|last| !is_paid(&last))
        })
    }

    fn play(&mut self, player: usize, name: &str, place: &Place) -> Outcome {
        match self.players[player].events[name].action.clone() {
            Action::Stake(stake) => self.stake(player, &stake, place),
            Action::Payout(payout) => {
                let round = payout.round_id.unwrap_or_default();
                self.payout(player, payout.amount, &round, place)
            }
            Action::Withdrawal { .. } => self.withdraw(player, place.0),
            Action::Void { .. } => Outcome::default(),
        }
    }

    /// Bonus money from active bonuses, in their order, as far as there is any.
    fn take(&mut self, player: usize, amount: Decimal, at: Timestamp) -> Vec<(usize, Decimal)> {
        let (mut left, mut taken) = (amount, Vec::new());
        for index in self.own(player) {
            let grant = &mut self.grants[index];
            let part = left.min(grant.balance);
            if is_active(grant, at) && part > Decimal::ZERO {
                grant.balance -= part;
                left -= part;
                taken.push((index, part));
            }
        }
        taken
    }

    fn stake(&mut self, player: usize, stake: &Stake, place: &Place) -> Outcome {
        let mut outcome = Outcome {
            overdrawn: stake.bonus_amount,
            ..Outcome::default()
        };
        for (grant, part) in self.take(player, stake.bonus_amount, place.0) {
            outcome.effect(grant).bonus -= part;
            outcome.overdrawn -= part;
        }
        let round = stake.round_id.iter().flat_map(|round| self.stakes(player, round));
        let earlier: Vec<_> = round
            .filter(|(other, ..)| other < place)
            .map(|((at, _), other, _)| (at, other.amount))
            .collect();
        let mut left = stake.amount;
        for grant in self.own(player) {
            let fed = &self.grants[grant];
            if !is_active(fed, place.0) || fed.wagered == fed.required {
                continue;
            }
            if let Some(max_bet) = fed.terms.max_bet {
                let counted = earlier.iter().filter(|(at, _)| fed.activated_at.unwrap() <= *at);
                let staked: Decimal = counted.map(|(_, amount)| amount).sum();
                let room = (max_bet - staked).max(Decimal::ZERO);
                if left > room {
                    outcome.remark = Some(Remark::AboveMaxBet);
                    left = room;
                    if fed.terms.max_bet_forfeits {
                        end(&mut self.grants[grant], GrantStatus::Forfeited, Some("max_bet"));
                        outcome.effect(grant);
                        break;
                    }
                }
            }
            if left.is_zero() {
                break;
            }
            let (weight, remark) = self.weight(grant, stake.game.as_deref());
            if weight.is_zero() {
                outcome.remark = Some(remark);
                break;
            }
            left = self.feed(player, (grant, left, weight), place.0, &mut outcome);
            if left.is_zero() {
                break;
            }
        }
        outcome
    }

    /// Returns the rest of the stake, for the next bonus.
    fn feed(
        &mut self,
        player: usize,
        (grant, stake, weight): (usize, Decimal, Decimal),
        at: Timestamp,
        outcome: &mut Outcome,
    ) -> Decimal {
        let required = self.grants[grant].required - self.grants[grant].wagered;
        let contribution = (stake * weight).trunc_with_scale(4).min(required);
        outcome.effect(grant).contribution += contribution;
        self.grants[grant].wagered += contribution;
        if contribution < required {
            return Decimal::ZERO;
        }
        self.complete_fulfilled(player, at);
        // The smallest stake, in hundredths of a cent, that contributes the requirement.
        let unit = Decimal::new(1, 4);
        let used = (required / weight).trunc_with_scale(4);
        let used = if used * weight < required { used + unit } else { used };
        (stake - used).max(Decimal::ZERO)
    }

    fn payout(&mut self, player: usize, amount: Decimal, round: &str, place: &Place) -> Outcome {
        let mut outcome = Outcome {
            real: amount,
            ..Outcome::default()
        };
        let (mut staked, mut shares) = (Decimal::ZERO, BTreeMap::<usize, Decimal>::new());
        for (_, stake, event) in self.stakes(player, round).into_iter().filter(|(at, ..)| at <= place) {
            staked += stake.amount;
            for effect in event.play.iter().flat_map(|play| &play.effects) {
                if !effect.bonus.is_zero() {
                    *shares.entry(effect.grant).or_default() -= effect.bonus;
                }
            }
        }
        let (mut bonus, mut given) = (Decimal::ZERO, Decimal::ZERO);
        for (index, share) in shares {
            bonus += share;
            let part = (amount * bonus / staked).trunc_with_scale(2) - given;
            given += part;
            outcome.real -= part;
            let limit = self.conversion_limit(index);
            let grant = &mut self.grants[index];
            if part > Decimal::ZERO {
                revive(grant, place.0);
            }
            if grant.status == GrantStatus::Active {
                grant.balance += part;
                outcome.effect(index).bonus += part;
                continue;
            }
            let room = match (grant.status, limit) {
                (GrantStatus::Completed, None) => part,
                (GrantStatus::Completed, Some(limit)) => (limit - grant.converted - grant.released).max(Decimal::ZERO),
                _ => Decimal::ZERO,
            };
            let released = part.min(room);
            grant.released += released;
            outcome.real += released;
            outcome.forfeited += part - released;
            outcome.effect(index).released += released;
        }
        outcome
    }

    fn withdraw(&mut self, player: usize, at: Timestamp) -> Outcome {
        let mut outcome = Outcome::default();
        for index in self.own(player) {
            let grant = &mut self.grants[index];
            if is_active(grant, at) && !grant.terms.kept_on_withdrawal {
                end(grant, GrantStatus::Forfeited, Some("withdrawal"));
                outcome.effect(index);
            }
        }
        outcome
    }

    fn do_deed(&mut self, player: usize, deed: usize, at: Timestamp) -> BTreeMap<usize, Decimal> {
        let mut parts = BTreeMap::new();
        match self.players[player].deeds[deed].what.clone() {
            What::End { grant, to, reason } => {
                if is_open(&self.grants[grant], at) {
                    end(&mut self.grants[grant], to, Some(reason));
                }
            }
            What::Exclude => {
                for index in self.own(player) {
                    let grant = &mut self.grants[index];
                    if is_open(grant, at) {
                        end(grant, GrantStatus::Forfeited, Some("self_exclusion"));
                    }
                }
            }
            What::Deduct(amount) => {
                let taken = self.take(player, amount, at).into_iter();
                parts = taken.map(|(grant, part)| (grant, -part)).collect();
            }
            What::Restore(deduction) => {
                for (index, part) in self.players[player].deeds[deduction].parts.clone() {
                    let grant = &mut self.grants[index];
                    revive(grant, at);
                    if is_active(grant, at) {
                        grant.balance -= part;
                        parts.insert(index, -part);
                    }
                }
            }
            What::Suspend => self.players[player].suspended = true,
            What::Resume => {
                self.players[player].suspended = false;
                self.complete_fulfilled(player, at);
            }
        }
        parts
    }

    pub fn may_be_restored(&self, grant: usize, now: Timestamp) -> bool {
        let grant = &self.grants[grant];
        let is_over = grant.expires_at.is_some_and(|expires_at| expires_at <= now);
        grant.status.is_open() || (grant.status == GrantStatus::Depleted && !is_over)
    }
}

fn is_active(grant: &Grant, at: Timestamp) -> bool {
    grant.status == GrantStatus::Active && grant.activated_at.is_some_and(|activated| activated <= at)
}

fn is_open(grant: &Grant, at: Timestamp) -> bool {
    is_active(grant, at) || (grant.status == GrantStatus::Pending && grant.terms.opt_in && grant.issued_at <= at)
}

fn revive(grant: &mut Grant, at: Timestamp) {
    let is_over = grant.expires_at.is_some_and(|expires_at| expires_at <= at);
    if grant.status == GrantStatus::Depleted && grant.activated_at.is_some_and(|activated| activated <= at) && !is_over
    {
        grant.status = GrantStatus::Active;
    }
}

/// Converts the balance to cash, up to the limit.
fn complete(grant: &mut Grant) {
    grant.converted = grant
        .conversion_limit()
        .map_or(grant.balance, |limit| limit.min(grant.balance));
    end(grant, GrantStatus::Completed, None);
}

fn end(grant: &mut Grant, status: GrantStatus, reason: Option<&'static str>) {
    (grant.balance, grant.status, grant.reason) = (Decimal::ZERO, status, reason);
}
