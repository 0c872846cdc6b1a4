//! The effect of each request on the model.

use crate::commands::{CATALOGUE, Entry, Gain, NewBonus, Request, Target};
use crate::model::{Answer, Given, Grant, LIMIT, Model, Part, Purpose, Refusal, Reply, Rule, Said, Terms};
use crate::operations::{AccountChange, Change};
use crate::play::{Action, Stake};
use crate::points::day;
use crate::timeline::What;
use domain::bonus::GrantStatus;
use domain::ledger::Kind;
use domain::money::Asset;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

fn said(said: Said) -> Answer {
    Ok(Reply { replayed: false, said })
}

pub fn hours(now: Timestamp, hours: i64) -> Timestamp {
    now + SignedDuration::from_hours(hours)
}

/// Checks that a wallet can hold the amount and that it is above 0, or 0 if allowed.
fn amount(value: Decimal, asset: Asset, least: Decimal, pointer: &str) -> Result<(), Refusal> {
    let is_too_fine = value.trunc_with_scale(asset.scale()) != value;
    let is_fine = !is_too_fine && value >= least && value < LIMIT;
    if is_fine {
        Ok(())
    } else {
        Err(Refusal::Invalid(pointer.to_owned()))
    }
}

const CENT: Decimal = Decimal::from_parts(1, 0, 0, false, 2);

impl Model {
    /// Refusals that do not depend on stored data.
    pub fn validate(&self, request: &Request) -> Result<(), Refusal> {
        match request {
            Request::AddLp { amount: value, .. } => amount(*value, Asset::Lp, Decimal::ZERO, "/amount"),
            Request::AddBonus(bonus) => validate_bonus(bonus),
            Request::Deduct {
                asset, amount: value, ..
            } if *asset == Asset::Tickets => amount(*value, *asset, Decimal::ONE, "/amount"),
            Request::Deduct {
                asset, amount: value, ..
            } => amount(*value, *asset, CENT, "/amount"),
            Request::Event {
                action:
                    Action::Stake(Stake {
                        amount: value,
                        bonus_amount,
                        ..
                    }),
                ..
            } => {
                amount(*value, Asset::Bonus, CENT, "/amount")?;
                amount(*bonus_amount, Asset::Bonus, Decimal::ZERO, "/bonus_amount")?;
                if bonus_amount > value {
                    Err(Refusal::Invalid("/bonus_amount".into()))
                } else {
                    Ok(())
                }
            }
            Request::Event {
                action: Action::Payout(payout),
                ..
            } => amount(payout.amount, Asset::Bonus, Decimal::ZERO, "/amount"),
            Request::Event {
                action: Action::Withdrawal { amount: value },
                ..
            } => amount(*value, Asset::Bonus, CENT, "/amount"),
            _ => Ok(()),
        }
    }

    pub fn perform(&mut self, request: &Request, now: Timestamp) -> Answer {
        match request {
            Request::AddLp { player, amount } => self.add_lp(*player, *amount, now),
            Request::AddBonus(bonus) => self.add_bonus(bonus, now),
            Request::Deduct { player, asset, amount } => self.deduct(*player, *asset, *amount, now),
            Request::Reverse(target) => self.reverse(target, now),
            Request::Redeem { player, entry } => self.redeem(*player, *entry, now),
            Request::Change { grant, to } => self.change(*grant, *to, now),
            Request::Reward { players } => self.reward(players, now),
            Request::Event {
                player,
                name,
                at,
                action,
            } => self.event(*player, name, *at, action, now),
            Request::Expire { .. } => self.expire(now),
            Request::AccountChange { player, to } => self.stand(*player, *to, now),
        }
    }

    fn add_lp(&mut self, player: usize, amount: Decimal, now: Timestamp) -> Answer {
        self.check(player, Purpose::Give, now)?;
        let mut transaction = None;
        if !amount.is_zero() {
            let part = self.earn(player, Asset::Lp, amount, None, now)?;
            transaction = Some(self.note(player, Kind::ManualCredit, vec![part]));
        }
        said(Said::Receipt {
            transaction,
            grant: None,
            asset: Asset::Lp,
            new_balance: self.balance(player, Asset::Lp),
        })
    }

    fn add_bonus(&mut self, bonus: &NewBonus, now: Timestamp) -> Answer {
        let player = bonus.player;
        self.check(player, Purpose::Give, now)?;
        self.settle(player, now);
        let terms = Terms {
            games: bonus.games.clone(),
            max_bet: bonus.max_bet,
            ..Terms::default()
        };
        let expires_at = bonus.hours.map(|after| hours(now, after));
        let grant = self.grant(new_grant(
            player,
            (bonus.amount, bonus.wagering),
            terms,
            expires_at,
            now,
        ));
        let transaction = self.note(player, Kind::ManualBonus, vec![Part::Granted { grant }]);
        let new_balance = self.balance(player, Asset::Bonus);
        said(Said::Receipt {
            transaction: Some(transaction),
            grant: Some(grant),
            asset: Asset::Bonus,
            new_balance,
        })
    }

    fn deduct(&mut self, player: usize, asset: Asset, amount: Decimal, now: Timestamp) -> Answer {
        self.check(player, Purpose::Take, now)?;
        self.settle(player, now);
        let parts = match asset {
            Asset::Bonus => {
                let available = self.balance(player, Asset::Bonus);
                if amount > available {
                    return Err(Refusal::Insufficient {
                        available,
                        requested: amount,
                    });
                }
                let deed = self.act(player, What::Deduct(amount), now);
                vec![Part::Taken { deed }]
            }
            asset => vec![self.spend(player, asset, amount, None)?],
        };
        let transaction = self.note(player, Kind::ManualDebit, parts);
        said(Said::Receipt {
            transaction: Some(transaction),
            grant: None,
            asset,
            new_balance: self.balance(player, asset),
        })
    }

    fn reverse(&mut self, target: &Target, now: Timestamp) -> Answer {
        let reversed = match target {
            Target::Transaction(index) => *index,
            Target::OfKind { player, kind }
                if self
                    .players
                    .get(*player)
                    .is_some_and(|player| player.kinds.contains(kind.as_str())) =>
            {
                return Err(Refusal::Conflict("not_reversible"));
            }
            Target::OfKind { .. } | Target::Nothing => return Err(Refusal::NotFound),
        };
        let player = self.transactions[reversed].player;
        if self.transactions[reversed].reversed {
            return Err(Refusal::Conflict("already_reversed"));
        }
        self.settle(player, now);
        let kind = self.transactions[reversed].kind;
        if !matches!(
            kind,
            Kind::RewardGrant | Kind::ManualBonus | Kind::ManualCredit | Kind::ManualDebit | Kind::Redemption
        ) {
            return Err(Refusal::Conflict("not_reversible"));
        }
        let mut assets = Vec::new();
        for part in self.transactions[reversed].parts.clone().iter().rev() {
            assets.push(self.take_back(player, part, now)?);
        }
        self.transactions[reversed].reversed = true;
        assets.sort_unstable();
        assets.dedup();
        let balances = assets
            .into_iter()
            .map(|asset| (asset, self.balance(player, asset)))
            .collect();
        let transaction = self.note(player, Kind::Reversal, Vec::new());
        said(Said::Reversal {
            transaction,
            reversed,
            balances,
        })
    }

    fn take_back(&mut self, player: usize, part: &Part, now: Timestamp) -> Result<Asset, Refusal> {
        match part {
            Part::Earned { asset, lot, amount } => {
                if self.players[player].lots[*lot].has_expired {
                    return Err(Refusal::Conflict("not_reversible"));
                }
                self.spend(player, *asset, *amount, Some(*lot))?;
                if *asset == Asset::Lp {
                    self.count(player, day(now), -amount);
                }
                Ok(*asset)
            }
            Part::Spent { asset, amount, lots } => {
                if self.balance(player, *asset) + *amount >= LIMIT {
                    return Err(Refusal::Overflow);
                }
                for (lot, part) in lots {
                    self.players[player].lots[*lot].remaining += part;
                }
                if *asset == Asset::Lp {
                    self.repay(player, *amount, None);
                }
                Ok(*asset)
            }
            Part::Tickets(amount) if amount.is_sign_negative() => {
                self.players[player].tickets -= amount;
                Ok(Asset::Tickets)
            }
            Part::Tickets(amount) => self
                .spend(player, Asset::Tickets, *amount, None)
                .map(|_| Asset::Tickets),
            Part::Taken { deed } => {
                let taken = self.players[player].deeds[*deed].parts.keys();
                let mut is_over = taken.map(|grant| !self.may_be_restored(*grant, now));
                if is_over.any(|is_over| is_over) {
                    return Err(Refusal::Conflict("grant_closed"));
                }
                self.act(player, What::Restore(*deed), now);
                Ok(Asset::Bonus)
            }
            Part::Granted { grant } => {
                let of = &self.grants[*grant];
                if !of.status.is_open() || of.is_continued {
                    return Err(Refusal::Conflict("grant_closed"));
                }
                if of.balance != of.amount || !of.wagered.is_zero() {
                    return Err(Refusal::Conflict("not_reversible"));
                }
                let (grant, to, reason) = (*grant, GrantStatus::Cancelled, "reversal");
                self.act(player, What::End { grant, to, reason }, now);
                Ok(Asset::Bonus)
            }
        }
    }

    fn redeem(&mut self, player: usize, number: usize, now: Timestamp) -> Answer {
        self.check(player, Purpose::Give, now)?;
        self.settle(player, now);
        let entry = CATALOGUE.get(number).ok_or(Refusal::NotFound)?;
        let month = now.strftime("%Y-%m").to_string();
        let counts = |(of, in_month, by): &&(usize, String, usize)| {
            *of == number && *in_month == month && !self.transactions[*by].reversed
        };
        let used = self.players[player].redeemed.iter().filter(counts).count();
        match entry {
            Entry { is_active: false, .. } => return Err(Refusal::Conflict("redemption_rule_inactive")),
            Entry {
                tier_min: Some("SILVER"),
                ..
            } if self.tier(player) == 0 => {
                return Err(Refusal::Conflict("tier_too_low"));
            }
            Entry {
                monthly_limit: Some(limit),
                ..
            } if used >= *limit => return Err(Refusal::Conflict("monthly_limit_reached")),
            Entry {
                balance_min: Some(least),
                ..
            } if self.balance(player, entry.cost_asset) < Decimal::from(*least) => {
                return Err(Refusal::Conflict("balance_below_minimum"));
            }
            _ => {}
        }
        let amount = Decimal::from(entry.amount);
        let mut parts = vec![self.spend(player, entry.cost_asset, Decimal::from(entry.cost), None)?];
        let mut grant = None;
        match entry.target {
            Gain::Cash => {}
            Gain::Tickets => {
                self.players[player].tickets += amount;
                parts.push(Part::Tickets(amount));
            }
            Gain::Bonus {
                wagering,
                hours: after,
                max_conversion,
            } => {
                let terms = Terms {
                    max_conversion: Some(Decimal::from(max_conversion)),
                    ..Terms::default()
                };
                let required = amount * Decimal::from(wagering);
                let bonus = self.grant(new_grant(
                    player,
                    (amount, required),
                    terms,
                    Some(hours(now, after)),
                    now,
                ));
                parts.push(Part::Granted { grant: bonus });
                grant = Some(bonus);
            }
        }
        let transaction = self.note(player, Kind::Redemption, parts);
        self.players[player].redeemed.push((number, month, transaction));
        said(Said::Redeemed {
            transaction,
            grant,
            new_balance: self.balance(player, entry.cost_asset),
        })
    }

    fn change(&mut self, grant: Option<usize>, to: Change, now: Timestamp) -> Answer {
        let grant = grant.ok_or(Refusal::NotFound)?;
        let player = self.grants[grant].player;
        self.check(
            player,
            if to == Change::Activate {
                Purpose::Give
            } else {
                Purpose::Correct
            },
            now,
        )?;
        self.settle(player, now);
        match (to, self.grants[grant].status) {
            (_, status) if !status.is_open() => return Err(Refusal::Conflict("grant_closed")),
            (Change::Activate, GrantStatus::Pending) => {
                self.grants[grant].activated_at = Some(now);
                self.replay(player);
            }
            (Change::Activate, _) => return Err(Refusal::Conflict("grant_not_pending")),
            (Change::Forfeit, _) => {
                let (to, reason) = (GrantStatus::Forfeited, "forfeit");
                self.act(player, What::End { grant, to, reason }, now);
            }
            (Change::Cancel, _) => {
                let (to, reason) = (GrantStatus::Cancelled, "cancel");
                self.act(player, What::End { grant, to, reason }, now);
            }
        }
        let Grant { status, balance, .. } = self.grants[grant];
        said(Said::Grant {
            grant,
            status,
            balance,
            new_balance: self.balance(player, Asset::Bonus),
        })
    }

    /// The newest rule that has not granted to the player.
    fn reward(&mut self, players: &[usize], now: Timestamp) -> Answer {
        let mut given = Vec::new();
        for player in players.iter().copied() {
            let newest = (0..self.rules.len())
                .rev()
                .find(|rule| !self.players[player].paid.contains(rule));
            let Some(rule) = newest.filter(|_| self.check(player, Purpose::Give, now).is_ok()) else {
                continue;
            };
            self.players[player].paid.insert(rule);
            let (grant, part) = self.give(player, &self.rules[rule].clone(), now)?;
            let transaction = part.map(|part| self.note(player, Kind::RewardGrant, vec![part]));
            given.push(Given {
                player,
                rule,
                grant,
                transaction,
            });
        }
        said(Said::Rewarded(given))
    }

    fn give(&mut self, player: usize, rule: &Rule, now: Timestamp) -> Result<(Option<usize>, Option<Part>), Refusal> {
        let expires_at = rule.expiry_hours.map(|after| hours(now, after));
        match rule.asset {
            Asset::Bonus => {
                let required = ceiling(rule.amount * rule.multiplier, CENT);
                let opt_in = rule.terms.opt_in;
                let grant = self.grant(new_grant(
                    player,
                    (rule.amount, required),
                    rule.terms.clone(),
                    expires_at,
                    now,
                ));
                Ok((Some(grant), (!opt_in).then_some(Part::Granted { grant })))
            }
            Asset::Tickets => {
                self.players[player].tickets += rule.amount;
                Ok((None, Some(Part::Tickets(rule.amount))))
            }
            points => Ok((None, Some(self.earn(player, points, rule.amount, expires_at, now)?))),
        }
    }

    fn expire(&mut self, now: Timestamp) -> Answer {
        let (mut players, mut expired, mut depleted, mut lots) = (0, 0, 0, 0);
        for player in 0..self.players.len() {
            let settled = self.settle(player, now);
            players += usize::from(settled != (0, 0, 0));
            expired += settled.0;
            depleted += settled.1;
            lots += settled.2;
        }
        said(Said::Expired {
            players,
            expired,
            depleted,
            lots,
        })
    }

    fn stand(&mut self, player: usize, to: AccountChange, now: Timestamp) -> Answer {
        let stands = self.players.get_mut(player).ok_or(Refusal::NotFound)?;
        let was_suspended = stands.blocked || stands.inactive;
        match to {
            AccountChange::Blocked(blocked) => stands.blocked = blocked,
            AccountChange::Active(active) => stands.inactive = !active,
            AccountChange::Included => stands.excluded_until = None,
            AccountChange::Excluded { hours: after } => {
                let until = Some(hours(now, after.into()));
                if stands.excluded_until != until {
                    stands.excluded_until = until;
                    self.settle(player, now);
                    self.act(player, What::Exclude, now);
                }
            }
        }
        let stands = &self.players[player];
        let is_suspended = stands.blocked || stands.inactive;
        if was_suspended != is_suspended {
            self.settle(player, now);
            self.act(player, if is_suspended { What::Suspend } else { What::Resume }, now);
        }
        said(Said::Changed)
    }
}

fn validate_bonus(bonus: &NewBonus) -> Result<(), Refusal> {
    amount(bonus.amount, Asset::Bonus, CENT, "/amount")?;
    amount(bonus.wagering, Asset::Bonus, Decimal::ZERO, "/wagering_requirement")?;
    if let Some(max_bet) = bonus.max_bet {
        amount(max_bet, Asset::Bonus, CENT, "/max_bet")?;
    }
    if let Some(place) = bonus.games.iter().flatten().position(|game| *game == "bingo") {
        return Err(Refusal::Invalid(format!("/eligible_games/{place}")));
    }
    if bonus.hours == Some(0) {
        Err(Refusal::Invalid("/expiry_hours".into()))
    } else {
        Ok(())
    }
}

fn new_grant(
    player: usize,
    (amount, required): (Decimal, Decimal),
    terms: Terms,
    expires_at: Option<Timestamp>,
    now: Timestamp,
) -> Grant {
    let status = if terms.opt_in {
        GrantStatus::Pending
    } else {
        GrantStatus::Active
    };
    Grant {
        player,
        status,
        reason: None,
        amount,
        balance: Decimal::ZERO,
        required,
        wagered: Decimal::ZERO,
        activated_at: (!terms.opt_in).then_some(now),
        terms,
        issued_at: now,
        expires_at,
        converted: Decimal::ZERO,
        released: Decimal::ZERO,
        is_continued: false,
    }
}

/// The smallest multiple of `unit` that is at least `value`.
pub fn ceiling(value: Decimal, unit: Decimal) -> Decimal {
    let below = value.trunc_with_scale(unit.scale());
    if below < value { below + unit } else { below }
}
