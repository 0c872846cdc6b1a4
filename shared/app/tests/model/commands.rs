//! Requests to the program and the model: operations with their picks resolved.

use crate::model::{Model, Rule, Terms};
use crate::operations::{self, AccountChange, Amount, Change, Named, Operation, RuleTerms, Who};
use crate::play::{Action, Payout, Stake};
use domain::bonus::GrantStatus;
use domain::id::EventId;
use domain::ledger::Kind;
use domain::money::Asset;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

/// Number of players; higher numbers do not exist.
pub const PLAYERS: usize = 2;

/// A redemption catalogue entry.
#[derive(Debug)]
pub struct Entry {
    pub cost: i64,
    pub cost_asset: Asset,
    pub target: Gain,
    pub amount: i64,
    pub tier_min: Option<&'static str>,
    pub balance_min: Option<i64>,
    pub monthly_limit: Option<usize>,
    pub is_active: bool,
}

#[derive(Debug, Clone, Copy)]
pub enum Gain {
    Cash,
    Tickets,
    Bonus {
        wagering: i64,
        hours: i64,
        max_conversion: i64,
    },
}

const fn entry(cost: i64, cost_asset: Asset, amount: i64, target: Gain) -> Entry {
    Entry {
        cost,
        cost_asset,
        target,
        amount,
        tier_min: None,
        balance_min: None,
        monthly_limit: None,
        is_active: true,
    }
}

/// One entry per reason to refuse a redemption.
pub const CATALOGUE: [Entry; 7] = [
    entry(5, Asset::Rp, 1, Gain::Cash),
    Entry {
        monthly_limit: Some(2),
        ..entry(
            10,
            Asset::Rp,
            20,
            Gain::Bonus {
                wagering: 2,
                hours: 20,
                max_conversion: 3,
            },
        )
    },
    entry(
        2,
        Asset::Lp,
        5,
        Gain::Bonus {
            wagering: 0,
            hours: 1,
            max_conversion: 1,
        },
    ),
    Entry {
        monthly_limit: Some(1),
        ..entry(1, Asset::Lp, 2, Gain::Tickets)
    },
    Entry {
        balance_min: Some(20),
        ..entry(4, Asset::Rp, 3, Gain::Cash)
    },
    Entry {
        tier_min: Some("SILVER"),
        ..entry(1, Asset::Lp, 1, Gain::Cash)
    },
    Entry {
        is_active: false,
        ..entry(1, Asset::Lp, 1, Gain::Cash)
    },
];

#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// An idempotency key.
    pub key: Option<String>,
    pub request: Request,
}

/// Players, grants and transactions are given by their index in the model.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    AddLp {
        player: usize,
        amount: Decimal,
    },
    AddBonus(NewBonus),
    Deduct {
        player: usize,
        asset: Asset,
        amount: Decimal,
    },
    Reverse(Target),
    Redeem {
        player: usize,
        entry: usize,
    },
    Change {
        grant: Option<usize>,
        to: Change,
    },
    Reward {
        players: Vec<usize>,
    },
    Event {
        player: usize,
        name: String,
        at: Timestamp,
        action: Action,
    },
    /// Expires until nothing is due.
    Expire {
        players_max: u16,
    },
    AccountChange {
        player: usize,
        to: AccountChange,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewBonus {
    pub player: usize,
    pub amount: Decimal,
    pub wagering: Decimal,
    pub hours: Option<i64>,
    pub max_bet: Option<Decimal>,
    pub games: Option<Vec<&'static str>>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Target {
    Transaction(usize),
    /// The first transaction of this kind.
    OfKind {
        player: usize,
        kind: Kind,
    },
    Nothing,
}

/// The requests so far, and a source of new names.
#[derive(Debug, Default)]
pub struct Script {
    asked: Vec<Command>,
    names: usize,
    /// Event ids that were voided before the event, or the other way round.
    ahead: Vec<String>,
}

impl Script {
    /// `None` if there is nothing to repeat, or the operation only waits.
    pub fn command(&mut self, operation: &Operation, model: &mut Model, now: Timestamp) -> Option<Command> {
        let command = match operation {
            Operation::Repeat { back } => self.back(*back)?,
            Operation::Altered { back } => altered(self.back(*back)?),
            _ => {
                let request = self.request(operation, model, now)?;
                Command {
                    key: is_keyed(operation).then(|| self.name("key")),
                    request,
                }
            }
        };
        self.asked.push(command.clone());
        Some(command)
    }

    fn back(&self, back: u8) -> Option<Command> {
        counted_back(self.asked.len(), back).map(|place| self.asked[place].clone())
    }

    fn name(&mut self, what: &str) -> String {
        self.names += 1;
        format!("{what}-{}", self.names)
    }

    fn request(&mut self, operation: &Operation, model: &mut Model, now: Timestamp) -> Option<Request> {
        Some(match operation {
            Operation::AddLp { player, amount, .. } => Request::AddLp {
                player: (*player).into(),
                amount: cents(*amount, Decimal::TEN),
            },
            Operation::AddBonus { player, bonus, .. } => Request::AddBonus(new_bonus((*player).into(), bonus)),
            Operation::Deduct {
                player, asset, amount, ..
            } => deduct((*player).into(), *asset, *amount, model),
            Operation::Reverse { back, .. } => match counted_back(model.transactions.len(), *back) {
                Some(transaction) => Request::Reverse(Target::Transaction(transaction)),
                None if *back < 4 => return None,
                None => Request::Reverse(Target::Nothing),
            },
            Operation::Redeem { player, entry, .. } => redeem((*player).into(), (*entry).into(), model)?,
            Operation::ReverseOther { player, kind } => Request::Reverse(Target::OfKind {
                player: (*player).into(),
                kind: *kind,
            }),
            Operation::Change { grant, to, .. } => {
                let changed = changed(model, *grant, *to);
                if changed.is_none() && *grant < 4 {
                    return None;
                }
                Request::Change {
                    grant: changed,
                    to: *to,
                }
            }
            Operation::Reward { rule, who } => {
                model.rules.extend(rule.iter().map(new_rule));
                let players = match who {
                    Who::One(player) => vec![usize::from(*player)],
                    Who::All => (0..PLAYERS).collect(),
                };
                Request::Reward { players }
            }
            Operation::Expire { players_max } => Request::Expire {
                players_max: *players_max,
            },
            Operation::AccountChange { player, to } => Request::AccountChange {
                player: (*player).into(),
                to: *to,
            },
            Operation::Stake { .. }
            | Operation::Payout { .. }
            | Operation::Void { .. }
            | Operation::Withdraw { .. } => self.event(operation, model, now)?,
            Operation::Wait { .. } | Operation::Repeat { .. } | Operation::Altered { .. } | Operation::Together(..) => {
                return None;
            }
        })
    }

    fn event(&mut self, operation: &Operation, model: &Model, now: Timestamp) -> Option<Request> {
        let (player, name, late_minutes, action) = match operation {
            Operation::Stake {
                player,
                amount,
                bonus,
                game,
                round,
                late_minutes,
                named,
            } => {
                let available = model
                    .players
                    .get(usize::from(*player))
                    .map_or(Decimal::ZERO, |_| model.balance((*player).into(), Asset::Bonus));
                let amount = played(*amount, available);
                let bonus_amount = match bonus {
                    Amount::All { more: 0 } | Amount::Cents(_) | Amount::Part(_) => {
                        cents(*bonus, available).min(available).min(amount.max(Decimal::ZERO))
                    }
                    bonus => cents(*bonus, available),
                };
                let stake = Stake {
                    amount,
                    bonus_amount,
                    game: game.map(str::to_owned),
                    round_id: round.map(round_name),
                };
                (*player, self.event_name(*named), *late_minutes, Action::Stake(stake))
            }
            Operation::Payout {
                player,
                amount,
                round,
                named,
            } => {
                let payout = Payout {
                    amount: played(*amount, Decimal::TEN),
                    round_id: round.map(round_name),
                };
                (*player, self.event_name(*named), 0, Action::Payout(payout))
            }
            Operation::Void { player, event, named } => {
                let voids = self.voided_name((*player).into(), *event, *named, model);
                (
                    *player,
                    self.name("event"),
                    0,
                    Action::Void {
                        voids: EventId::parse(voids).ok()?,
                    },
                )
            }
            Operation::Withdraw { player, amount } => (
                *player,
                self.name("event"),
                0,
                Action::Withdrawal {
                    amount: played(*amount, Decimal::TEN),
                },
            ),
            _ => return None,
        };
        let at = now - SignedDuration::from_mins(late_minutes.into());
        Some(Request::Event {
            player: player.into(),
            name,
            at,
            action,
        })
    }

    fn event_name(&mut self, named: Named) -> String {
        match (named, self.ahead.pop()) {
            (Named::Ahead, Some(name)) => name,
            (_, kept) => {
                self.ahead.extend(kept);
                self.name("event")
            }
        }
    }

    /// The id of one of the player's events, counted back from the last, or of an event that does not exist.
    fn voided_name(&mut self, player: usize, event: u8, named: Named, model: &Model) -> String {
        let known = model
            .players
            .get(player)
            .map(|player| &player.events)
            .filter(|events| !events.is_empty());
        match (named, known) {
            (Named::Anew, Some(events)) => {
                let is_play = |action: &Action| matches!(action, Action::Stake(_) | Action::Payout(_));
                let names = events
                    .iter()
                    .filter(|(_, played)| event == 4 || is_play(&played.action));
                let mut names: Vec<&String> = names.map(|(name, _)| name).collect();
                names.sort_by_key(|name| (name.len(), *name));
                counted_back(names.len(), event).map_or_else(|| self.name("event"), |place| names[place].clone())
            }
            _ => {
                let name = self.name("event");
                self.ahead.push(name.clone());
                name
            }
        }
    }
}

/// A bonus that allows this change, or any bonus.
fn changed(model: &Model, grant: u8, to: Change) -> Option<usize> {
    let fits = |status: GrantStatus| {
        if to == Change::Activate {
            status == GrantStatus::Pending
        } else {
            status.is_open()
        }
    };
    let fitting: Vec<usize> = (0..model.grants.len())
        .filter(|index| grant == 4 || fits(model.grants[*index].status))
        .collect();
    counted_back(fitting.len(), grant).map(|place| fitting[place])
}

/// `None` if the player can pay for no entry that is open to all.
fn redeem(player: usize, entry: usize, model: &Model) -> Option<Request> {
    const OPEN_TO_ALL: usize = 5;
    let is_payable =
        |entry: &usize| model.balance(player, CATALOGUE[*entry].cost_asset) >= Decimal::from(CATALOGUE[*entry].cost);
    if entry >= OPEN_TO_ALL || player >= PLAYERS {
        return Some(Request::Redeem { player, entry });
    }
    let payable = (entry..OPEN_TO_ALL).chain(0..entry).find(is_payable)?;
    Some(Request::Redeem { player, entry: payable })
}

fn deduct(player: usize, asset: Asset, amount: Amount, model: &Model) -> Request {
    let available = |asset: &Asset| {
        if player < PLAYERS {
            model.balance(player, *asset)
        } else {
            Decimal::ZERO
        }
    };
    let held = [asset]
        .into_iter()
        .chain(Asset::ALL)
        .find(|asset| !available(asset).is_zero());
    let asset = held.unwrap_or(asset);
    let amount = match cents(amount, available(&asset)) {
        pieces if asset == Asset::Tickets && amount != Amount::Fine => pieces.ceil(),
        amount => amount,
    };
    Request::Deduct { player, asset, amount }
}

/// An index, counted back from the last of `count`; `None` if there are none.
fn counted_back(count: usize, back: u8) -> Option<usize> {
    (count > 0).then(|| count - 1 - usize::from(back) % count)
}

fn round_name(round: u8) -> String {
    format!("round-{round}")
}

fn is_keyed(operation: &Operation) -> bool {
    match operation {
        Operation::AddLp { keyed, .. } | Operation::AddBonus { keyed, .. } | Operation::Deduct { keyed, .. } => *keyed,
        Operation::Reverse { keyed, .. } | Operation::Redeem { keyed, .. } => *keyed,
        Operation::Change { to, keyed, .. } => *keyed && *to != Change::Cancel,
        _ => false,
    }
}

fn cents(amount: Amount, all: Decimal) -> Decimal {
    match amount {
        Amount::Cents(cents) => Decimal::new(cents.into(), 2),
        Amount::All { more } if all.is_zero() => Decimal::TEN + Decimal::new(more.into(), 2),
        Amount::All { more } => all + Decimal::new(more.into(), 2),
        Amount::Part(per_cent) => (all * Decimal::new(per_cent.into(), 2))
            .trunc_with_scale(2)
            .max(Decimal::new(1, 2)),
        Amount::Huge => Decimal::new(99_999_999_999_999_999, 2),
        Amount::Negative => Decimal::NEGATIVE_ONE,
        Amount::Fine => Decimal::new(1, 3),
    }
}

/// Smaller than [`cents`] for `Huge`: lifetime totals add up, and no sequence must overflow them.
fn played(amount: Amount, all: Decimal) -> Decimal {
    if amount == Amount::Huge {
        Decimal::new(999_999_999_999_999, 2)
    } else {
        cents(amount, all)
    }
}

fn new_bonus(player: usize, bonus: &operations::Bonus) -> NewBonus {
    // Limited, because a manual bonus counts against the caps of rule rewards and must not use them up.
    let amount = if bonus.amount == Amount::Huge {
        Decimal::from(1_000_000)
    } else {
        cents(bonus.amount, Decimal::TEN)
    };
    NewBonus {
        player,
        amount,
        wagering: Decimal::new(bonus.wagering.into(), 2),
        hours: bonus.hours.map(i64::from),
        max_bet: bonus.max_bet.map(|cents| Decimal::new(cents.into(), 2)),
        games: bonus.games.clone(),
    }
}

fn new_rule(rule: &operations::Rule) -> Rule {
    let operations::Rule {
        asset,
        amount,
        expiry,
        terms,
    } = rule;
    let tenths = |tenths: &u8| Decimal::new((*tenths).into(), 1);
    let RuleTerms {
        multiplier,
        games,
        weights,
        max_bet,
        max_bet_forfeits,
        max_conversion,
        kept_on_withdrawal,
        opt_in,
    } = terms;
    let per_cent = |per_cent: &u8| Decimal::new((*per_cent).into(), 2);
    Rule {
        asset: *asset,
        amount: if *asset == Asset::Tickets {
            Decimal::from(*amount)
        } else {
            Decimal::new((*amount).into(), 2)
        },
        multiplier: tenths(multiplier),
        expiry_hours: match asset {
            Asset::Bonus => expiry.map(|some| i64::from(some) * 7),
            Asset::Tickets => None,
            Asset::Lp | Asset::Rp => expiry.map(|days| i64::from(days) * 24),
        },
        terms: Terms {
            games: games.clone(),
            weights: weights.iter().map(|(game, share)| (*game, per_cent(share))).collect(),
            max_bet: max_bet.map(|cents| Decimal::new(cents.into(), 2)),
            max_bet_forfeits: *max_bet_forfeits,
            max_conversion: max_conversion.as_ref().map(tenths),
            kept_on_withdrawal: *kept_on_withdrawal,
            opt_in: *opt_in,
        },
    }
}

/// Changes the request but keeps its key or event id.
fn altered(mut command: Command) -> Command {
    match &mut command.request {
        Request::AddLp { amount, .. } | Request::Deduct { amount, .. } => *amount += Decimal::ONE,
        Request::AddBonus(bonus) => bonus.amount += Decimal::ONE,
        Request::Reverse(target) => *target = Target::Nothing,
        Request::Redeem { entry, .. } => *entry += 1,
        Request::Change { to, .. } => {
            *to = if *to == Change::Activate {
                Change::Forfeit
            } else {
                Change::Activate
            }
        }
        Request::Event {
            action: Action::Stake(Stake { amount, .. }),
            ..
        } => *amount += Decimal::ONE,
        Request::Event {
            action: Action::Payout(Payout { amount, .. }) | Action::Withdrawal { amount },
            ..
        } => *amount += Decimal::ONE,
        Request::Event { at, .. } => *at += SignedDuration::from_secs(1),
        Request::Reward { .. } | Request::Expire { .. } | Request::AccountChange { .. } => {}
    }
    command
}
