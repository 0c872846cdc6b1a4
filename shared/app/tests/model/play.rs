//! Events of play: what is accepted, and what the model says about it.

use crate::model::{Answer, Effect, Model, Outcome, Played, Purpose, Refusal, Reply, Said};
use crate::points::day;
use domain::activity::{EventType, Remark};
use domain::bonus::GrantStatus;
use domain::id::EventId;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

/// Older events are refused.
const AGE_DAYS_MAX: i64 = 30;
/// Older events change no bonus.
const WINDOW_DAYS: i64 = 7;

/// What a player does. The amounts may be any that a caller sends.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    Stake(Stake),
    Payout(Payout),
    Void { voids: EventId },
    Withdrawal { amount: Decimal },
}

impl Action {
    pub const fn event_type(&self) -> EventType {
        match self {
            Action::Stake(_) => EventType::Stake,
            Action::Payout(_) => EventType::Payout,
            Action::Void { .. } => EventType::Void,
            Action::Withdrawal { .. } => EventType::Withdrawal,
        }
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct Stake {
    pub amount: Decimal,
    pub game: Option<String>,
    pub round_id: Option<String>,
    pub bonus_amount: Decimal,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Payout {
    pub amount: Decimal,
    pub round_id: Option<String>,
}

impl Model {
    /// An event counts once, whoever sends it.
    pub fn event(&mut self, player: usize, name: &str, at: Timestamp, action: &Action, now: Timestamp) -> Answer {
        self.check(player, Purpose::Correct, now)?;
        if let Some(known) = self.players[player].events.get(name) {
            let is_same = known.at == at && known.action == *action;
            let said = Said::Outcome(known.outcome.clone());
            return if is_same {
                Ok(Reply { replayed: true, said })
            } else {
                Err(Refusal::Conflict("event_id_reused"))
            };
        }
        if now.duration_since(at) > SignedDuration::from_hours(24 * AGE_DAYS_MAX) {
            return Err(Refusal::Invalid("/occurred_at".into()));
        }
        self.check_void(player, action)?;
        self.settle_lots(player, now);
        let is_voided = !matches!(action, Action::Void { .. }) && self.players[player].voided.contains_key(name);
        let is_in_play = self.is_in_play(player, at, action, now);
        let mut outcome = Outcome::default();
        let mut lp_day = None;
        match action {
            Action::Stake(stake) if !is_voided && self.check(player, Purpose::Give, now).is_ok() => {
                outcome.lp = self.earn_by_play(player, stake.amount, at, now)?;
                lp_day = Some(day(at));
            }
            Action::Void { voids } => self.void(player, voids.as_str(), is_in_play, &mut outcome, now)?,
            _ => {}
        }
        let played = Played {
            at,
            is_in_play,
            action: action.clone(),
            outcome: Outcome::default(),
            play: None,
            lp_day,
        };
        outcome.remark = if is_voided {
            Some(Remark::Voided)
        } else if self.place(player, name, &played).is_none() {
            Some(Remark::Waiting)
        } else {
            (!is_in_play).then_some(Remark::OutsideWindow)
        };
        if let Action::Payout(payout) = action
            && !matches!(outcome.remark, Some(Remark::Voided | Remark::Waiting))
        {
            outcome.real = payout.amount;
        }
        let played = Played { outcome, ..played };
        self.players[player].events.insert(name.to_owned(), played);
        self.replay(player);
        self.conclude(player, name, now);
        let said = Said::Outcome(self.players[player].events[name].outcome.clone());
        Ok(Reply { replayed: false, said })
    }

    fn check_void(&self, player: usize, action: &Action) -> Result<(), Refusal> {
        let Action::Void { voids } = action else { return Ok(()) };
        let owner = &self.players[player];
        if owner.voided.contains_key(voids.as_str()) {
            return Err(Refusal::Conflict("already_voided"));
        }
        let target = owner.events.get(voids.as_str());
        if target.is_some_and(|target| matches!(target.action, Action::Void { .. })) {
            return Err(Refusal::Conflict("not_voidable"));
        }
        Ok(())
    }

    /// Whether the event, or what it voids, is young enough to change bonuses.
    fn is_in_play(&self, player: usize, at: Timestamp, action: &Action, now: Timestamp) -> bool {
        let is_young = |at: Timestamp| now.duration_since(at) <= SignedDuration::from_hours(24 * WINDOW_DAYS);
        match action {
            Action::Void { voids } => match self.players[player].events.get(voids.as_str()) {
                Some(target) => target.is_in_play && is_young(target.at),
                None => is_young(at),
            },
            _ => is_young(at),
        }
    }

    fn void(
        &mut self,
        player: usize,
        voids: &str,
        is_in_play: bool,
        outcome: &mut Outcome,
        now: Timestamp,
    ) -> Result<(), Refusal> {
        if let Some(target) = self.players[player].events.get(voids) {
            let effects = target.play.iter().flat_map(|play| &play.effects);
            let some = effects.filter(|effect| {
                is_in_play && [effect.contribution, effect.bonus, effect.released] != [Decimal::ZERO; 3]
            });
            let opposite = |effect: &Effect| Effect {
                contribution: -effect.contribution,
                bonus: -effect.bonus,
                released: Decimal::ZERO,
                ..effect.clone()
            };
            outcome.effects = some.map(opposite).collect();
            outcome.effects.sort_by_key(|effect| effect.grant);
            if target.play.is_some() && is_in_play {
                self.players[player].looked = now;
            }
            let target = &self.players[player].events[voids];
            if let (Some(day), Action::Stake(stake)) = (target.lp_day, &target.action) {
                let staked = stake.amount;
                (outcome.lp, outcome.overspent) = self.unearn_by_play(player, day, staked, now)?;
            }
        }
        self.players[player].voided.insert(voids.to_owned(), is_in_play);
        Ok(())
    }

    /// Tells what play did with a new event, and with payouts that waited for it. Play on bonuses ends what is due.
    fn conclude(&mut self, player: usize, name: &str, now: Timestamp) {
        if self.players[player].events[name].play.is_some() {
            self.players[player].looked = now;
        }
        self.replay(player);
        let statuses: Vec<_> = self.grants.iter().map(|grant| grant.status).collect();
        for (other, event) in &mut self.players[player].events {
            let has_waited = event.outcome.remark == Some(Remark::Waiting);
            if (other == name || has_waited)
                && let Some(play) = &event.play
            {
                event.outcome = Outcome {
                    lp: event.outcome.lp,
                    overspent: event.outcome.overspent,
                    ..play.clone()
                };
            }
            if other == name || has_waited {
                for effect in &mut event.outcome.effects {
                    effect.status = statuses[effect.grant];
                }
            }
        }
    }

    /// The share of a stake on this game that counts, and the reason if it is 0.
    pub fn weight(&self, grant: usize, game: Option<&str>) -> (Decimal, Remark) {
        let terms = &self.grants[grant].terms;
        let default = match game {
            Some("slots") => 100,
            Some("roulette") => 20,
            Some("blackjack") => 10,
            Some("live") => 5,
            _ => 0,
        };
        let own = game.and_then(|game| terms.weights.get(game).copied());
        let remark = if default == 0 && own.is_none() {
            Remark::UnknownGame
        } else {
            Remark::GameNotEligible
        };
        let is_eligible = terms
            .games
            .as_ref()
            .is_none_or(|games| games.iter().any(|eligible| Some(*eligible) == game));
        let weight = if is_eligible {
            own.unwrap_or_else(|| Decimal::new(default, 2))
        } else {
            Decimal::ZERO
        };
        (weight, remark)
    }
}

impl Outcome {
    pub fn effect(&mut self, grant: usize) -> &mut Effect {
        let known = self.effects.iter().position(|effect| effect.grant == grant);
        let index = known.unwrap_or_else(|| {
            let (contribution, bonus, released) = Default::default();
            self.effects.push(Effect {
                grant,
                contribution,
                bonus,
                released,
                status: GrantStatus::Active,
            });
            self.effects.len() - 1
        });
        &mut self.effects[index]
    }
}
