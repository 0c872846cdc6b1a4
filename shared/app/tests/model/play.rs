//! The effect of play on the model.

use crate::model::{Answer, Effect, LIMIT, Model, Outcome, Played, Purpose, Refusal, Reply, Said};
use crate::points::day;
use domain::activity::{EventType, Remark};
use domain::bonus::GrantStatus;
use domain::id::EventId;
use domain::ledger::Kind;
use domain::money::Asset;
use jiff::Timestamp;
use rust_decimal::Decimal;
use std::collections::BTreeMap;

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
        self.settle(player, now);
        let is_voided = self.players[player].voided.contains(name);
        let mut outcome = match action {
            Action::Stake(_) | Action::Payout(_) if is_voided => Outcome {
                remark: Some(Remark::Voided),
                ..Outcome::default()
            },
            Action::Stake(stake) => self.stake(player, stake, at, now)?,
            Action::Payout(payout) => self.payout(player, payout)?,
            Action::Void { voids } => self.void(player, voids.as_str(), now)?,
            Action::Withdrawal { .. } => self.withdraw(player),
        };
        for effect in &mut outcome.effects {
            effect.status = self.grants[effect.grant].status;
        }
        let earns = !is_voided && self.check(player, Purpose::Give, now).is_ok();
        let lp_day = (matches!(action, Action::Stake(_)) && earns).then(|| day(at));
        let played = Played {
            at,
            recorded_at: now,
            action: action.clone(),
            outcome: outcome.clone(),
            lp_day,
        };
        self.players[player].events.insert(name.to_owned(), played);
        self.deplete(player, now);
        Ok(Reply {
            replayed: false,
            said: Said::Outcome(outcome),
        })
    }

    fn stake(&mut self, player: usize, stake: &Stake, at: Timestamp, now: Timestamp) -> Result<Outcome, Refusal> {
        let mut outcome = Outcome::default();
        for (grant, part) in self.take_bonus(player, stake.bonus_amount)? {
            outcome.effect(grant).bonus -= part;
            self.players[player].moved.insert(Kind::Stake.as_str());
        }
        if self.check(player, Purpose::Give, now).is_ok() {
            outcome.lp = self.earn_by_play(player, stake.amount, at, now)?;
        }
        let mut left = stake.amount;
        for grant in self.active_grants(player) {
            let fed = &self.grants[grant];
            let is_fed = fed.activated_at.is_some_and(|activated| activated <= at)
                && fed.expires_at.is_none_or(|expires| at < expires);
            if !is_fed {
                continue;
            }
            if fed.terms.max_bet.is_some_and(|max_bet| stake.amount > max_bet) {
                if fed.terms.max_bet_forfeits {
                    self.end(grant, GrantStatus::Forfeited, Some("max_bet"), Kind::BonusForfeiture);
                    outcome.effect(grant);
                }
                outcome.remark = Some(Remark::AboveMaxBet);
                break;
            }
            let (weight, remark) = self.weight(grant, stake.game.as_deref());
            if weight.is_zero() {
                outcome.remark = Some(remark);
                break;
            }
            left = self.feed(grant, left, weight, &mut outcome);
            if left.is_zero() {
                break;
            }
        }
        Ok(outcome)
    }

    /// Returns the rest of the stake, for the next bonus.
    fn feed(&mut self, grant: usize, stake: Decimal, weight: Decimal, outcome: &mut Outcome) -> Decimal {
        let required = self.grants[grant].required - self.grants[grant].wagered;
        let contribution = (stake * weight).trunc_with_scale(4);
        outcome.effect(grant).contribution += contribution.min(required);
        if contribution < required {
            self.grants[grant].wagered += contribution;
            return Decimal::ZERO;
        }
        self.grants[grant].wagered = self.grants[grant].required;
        self.complete(grant);
        // The smallest stake, in hundredths of a cent, that contributes the requirement.
        let unit = Decimal::new(1, 4);
        let used = (required / weight).trunc_with_scale(4);
        let used = if used * weight < required { used + unit } else { used };
        (stake - used).max(Decimal::ZERO)
    }

    /// The share of a stake on this game that counts, and the reason if it is 0.
    fn weight(&self, grant: usize, game: Option<&str>) -> (Decimal, Remark) {
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

    fn payout(&mut self, player: usize, payout: &Payout) -> Result<Outcome, Refusal> {
        let mut outcome = Outcome {
            real: payout.amount,
            ..Outcome::default()
        };
        let of_round =
            |event: &Played| matches!(&event.action, Action::Stake(stake) if stake.round_id == payout.round_id);
        if payout.round_id.is_some() && !self.players[player].events.values().any(of_round) {
            return Err(Refusal::Conflict("stake_unknown"));
        }
        let (mut staked, mut shares) = (Decimal::ZERO, BTreeMap::<usize, Decimal>::new());
        for (name, event) in &self.players[player].events {
            let Action::Stake(stake) = &event.action else { continue };
            let is_of_round = payout.round_id.is_some() && stake.round_id == payout.round_id;
            if is_of_round && !self.players[player].voided.contains(name) {
                staked += stake.amount;
                for effect in event.outcome.effects.iter().filter(|effect| !effect.bonus.is_zero()) {
                    *shares.entry(effect.grant).or_default() -= effect.bonus;
                }
            }
        }
        let (mut bonus, mut given) = (Decimal::ZERO, Decimal::ZERO);
        for (grant, share) in shares {
            bonus += share;
            let part = (payout.amount * bonus / staked).trunc_with_scale(2) - given;
            given += part;
            outcome.real -= part;
            self.give_back(player, grant, part, Kind::Payout, &mut outcome)?;
        }
        Ok(outcome)
    }

    /// Bonus money returns to its grant (leaves it if negative), or to the player if the bonus has been wagered
    /// meanwhile.
    fn give_back(
        &mut self,
        player: usize,
        index: usize,
        amount: Decimal,
        kind: Kind,
        outcome: &mut Outcome,
    ) -> Result<(), Refusal> {
        let limit = self.conversion_limit(index);
        let held = self.balance(player, Asset::Bonus);
        let grant = &mut self.grants[index];
        if grant.status.is_open() {
            if held + amount >= LIMIT {
                return Err(Refusal::Overflow);
            }
            if grant.balance + amount < Decimal::ZERO {
                return Err(Refusal::Insufficient {
                    available: grant.balance,
                    requested: -amount,
                });
            }
            grant.balance += amount;
            outcome.effect(index).bonus += amount;
            if !amount.is_zero() {
                self.players[player].moved.insert(kind.as_str());
            }
            return Ok(());
        }
        let room = match (grant.status, limit) {
            (GrantStatus::Completed, None) => amount,
            (GrantStatus::Completed, Some(limit)) => (limit - grant.converted - grant.released).max(Decimal::ZERO),
            _ => Decimal::ZERO,
        };
        let released = amount.min(room);
        grant.released += released;
        outcome.real += released;
        outcome.forfeited += amount - released;
        outcome.effect(index).released += released;
        Ok(())
    }

    fn void(&mut self, player: usize, voids: &str, now: Timestamp) -> Result<Outcome, Refusal> {
        let mut outcome = Outcome::default();
        if !self.players[player].voided.insert(voids.to_owned()) {
            return Err(Refusal::Conflict("already_voided"));
        }
        let Some(voided) = self.players[player].events.get(voids) else {
            return Ok(outcome);
        };
        if !matches!(voided.action, Action::Stake(_) | Action::Payout(_)) {
            return Err(Refusal::Conflict("not_voidable"));
        }
        let played = match (voided.lp_day, &voided.action) {
            (Some(day), Action::Stake(stake)) => Some((day, stake.amount)),
            _ => None,
        };
        let mut effects = voided.outcome.effects.clone();
        if let Some((day, staked)) = played {
            (outcome.lp, outcome.overspent) = self.unearn_by_play(player, day, staked, now)?;
        }
        effects.sort_by_key(|effect| effect.grant);
        for effect in effects {
            let is_open = self.grants[effect.grant].status.is_open();
            if is_open || effect.bonus < Decimal::ZERO {
                self.give_back(player, effect.grant, -effect.bonus, Kind::Void, &mut outcome)?;
            }
            if is_open {
                self.grants[effect.grant].wagered -= effect.contribution;
                outcome.effect(effect.grant).contribution -= effect.contribution;
            }
        }
        Ok(outcome)
    }

    fn withdraw(&mut self, player: usize) -> Outcome {
        let mut outcome = Outcome::default();
        for grant in self.active_grants(player) {
            if !self.grants[grant].terms.kept_on_withdrawal {
                self.end(grant, GrantStatus::Forfeited, Some("withdrawal"), Kind::BonusForfeiture);
                outcome.effect(grant);
            }
        }
        outcome
    }
}

impl Outcome {
    fn effect(&mut self, grant: usize) -> &mut Effect {
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
