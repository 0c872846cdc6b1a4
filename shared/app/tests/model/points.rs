//! The points of the model: what play earns on a day, what is owed, and the tiers.

use crate::model::{LIMIT, Model, Move, Refusal};
use domain::money::Asset;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

/// LP and percent of the points of play, by rank.
const TIERS: [(i64, i64); 4] = [(0, 100), (1_000, 110), (10_000, 125), (50_000, 150)];

pub fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn reached(lp: Decimal) -> usize {
    let missing = |(least, _): &(i64, i64)| lp < Decimal::from(*least);
    TIERS.iter().position(missing).unwrap_or(TIERS.len()).saturating_sub(1)
}

fn points((staked, percent): (Decimal, Decimal)) -> Decimal {
    (staked * percent / Decimal::ONE_THOUSAND).trunc_with_scale(2)
}

impl Model {
    pub fn tier(&self, player: usize) -> usize {
        self.players[player].moves.last().map_or(0, |last| last.to)
    }

    pub fn count(&mut self, player: usize, day: Date, lp: Decimal) {
        *self.players[player].counted.entry(day).or_default() += lp;
    }

    /// The LP that count, at the end of a day if given.
    fn counted(&self, player: usize, until: Option<Date>) -> Decimal {
        let days = self.players[player].counted.iter();
        days.filter(|(day, _)| until.is_none_or(|until| **day <= until))
            .map(|(_, lp)| lp)
            .sum()
    }

    pub fn climb(&mut self, player: usize, now: Timestamp) {
        let (from, to) = (self.tier(player), reached(self.counted(player, None)));
        if to > from {
            self.go(player, from, to, now);
        }
    }

    fn go(&mut self, player: usize, from: usize, to: usize, now: Timestamp) {
        let moves = &mut self.players[player].moves;
        let after = moves.last().map(|last| last.at + SignedDuration::from_micros(1));
        let at = after.map_or(now, |after| after.max(now));
        moves.push(Move { at, from, to });
    }

    /// Takes back climbs whose days no longer have the points.
    fn rejudge(&mut self, player: usize, now: Timestamp) {
        let (held, today) = (self.tier(player), reached(self.counted(player, None)));
        if today >= held {
            return;
        }
        let mut kept = held;
        for climb in self.players[player].moves.iter().rev() {
            if climb.from >= kept || climb.to < kept {
                continue;
            }
            let then = reached(self.counted(player, Some(day(climb.at))));
            kept = then.clamp(climb.from, kept);
            if kept > climb.from {
                break;
            }
        }
        let kept = kept.max(today);
        if kept < held {
            self.go(player, held, kept, now);
        }
    }

    /// What is owed comes first out of what was credited.
    pub fn repay(&mut self, player: usize, credited: Decimal, first: Option<usize>) {
        let repaid = self.players[player].debt.min(credited);
        self.players[player].debt -= repaid;
        if !repaid.is_zero() {
            self.spend(player, Asset::Lp, repaid, first).unwrap();
        }
    }

    fn percent(&self, player: usize, on: Date) -> Decimal {
        let start = on.to_zoned(TimeZone::UTC).unwrap().timestamp();
        let moves = self.players[player].moves.iter().rev();
        let rank = moves.clone().find(|step| step.at <= start).map_or(0, |step| step.to);
        Decimal::from(TIERS[rank].1)
    }

    /// A tenth of a point per unit staked on a day, times the multiplier of the tier at its start.
    pub fn earn_by_play(
        &mut self,
        player: usize,
        staked: Decimal,
        at: Timestamp,
        now: Timestamp,
    ) -> Result<Decimal, Refusal> {
        let day = day(at);
        let before = *self.players[player]
            .play
            .get(&day)
            .unwrap_or(&(Decimal::ZERO, self.percent(player, day)));
        let after = (before.0 + staked, before.1);
        let earned = points(after) - points(before);
        self.players[player].play.insert(day, after);
        if points(after) >= LIMIT || self.balance(player, Asset::Lp) + earned >= LIMIT {
            return Err(Refusal::Overflow);
        }
        if earned.is_zero() {
            return Ok(earned);
        }
        let lot = match self.play_lot(player, day) {
            Some(lot) => lot,
            None => self.new_lot(player, Asset::Lp, None, now),
        };
        let of_day = &mut self.players[player].lots[lot];
        of_day.remaining += earned;
        of_day.play_day = Some(day);
        self.count(player, day, earned);
        self.climb(player, now);
        self.repay(player, earned, Some(lot));
        Ok(earned)
    }

    /// Takes back a stake of a day. Returns the points, as negative, and what of them was spent. Points of play do not
    /// expire here.
    pub fn unearn_by_play(
        &mut self,
        player: usize,
        day: Date,
        staked: Decimal,
        now: Timestamp,
    ) -> Result<(Decimal, Decimal), Refusal> {
        let before = self.players[player].play[&day];
        let after = (before.0 - staked, before.1);
        let back = points(before) - points(after);
        self.players[player].play.insert(day, after);
        if back.is_zero() {
            return Ok((back, back));
        }
        let there = back.min(self.balance(player, Asset::Lp));
        let lot = self.play_lot(player, day);
        self.spend(player, Asset::Lp, there, lot)?;
        self.players[player].debt += back - there;
        self.count(player, day, -back);
        self.rejudge(player, now);
        Ok((-back, back - there))
    }

    fn play_lot(&self, player: usize, day: Date) -> Option<usize> {
        let lots = self.players[player].lots.iter();
        lots.clone().position(|lot| lot.play_day == Some(day))
    }
}
