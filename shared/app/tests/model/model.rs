//! The oracle: what players own and what each operation does to it, in memory, as designed. Written independently and
//! as simply as possible: it shares the names of assets, kinds and states with the program, but none of its
//! calculations.

use crate::commands::{Command, Request};
use crate::play::Action;
use crate::points::day;
use crate::timeline::Deed;
use domain::activity::Remark;
use domain::bonus::GrantStatus;
use domain::ledger::Kind;
use domain::money::Asset;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, BTreeSet};

/// Balances stay below this.
pub const LIMIT: Decimal = Decimal::from_parts(2_764_472_320, 232_830, 0, false, 0);

pub type Answer = Result<Reply, Refusal>;

#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub replayed: bool,
    pub said: Said,
}

/// The reply to an operation. Grants and transactions are given by their index in the model.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Receipt {
        transaction: Option<usize>,
        grant: Option<usize>,
        asset: Asset,
        new_balance: Decimal,
    },
    Grant {
        grant: usize,
        status: GrantStatus,
        balance: Decimal,
        new_balance: Decimal,
    },
    Reversal {
        transaction: usize,
        reversed: usize,
        balances: Vec<(Asset, Decimal)>,
    },
    Redeemed {
        transaction: usize,
        grant: Option<usize>,
        new_balance: Decimal,
    },
    Outcome(Outcome),
    Expired {
        players: usize,
        expired: usize,
        depleted: usize,
        lots: usize,
    },
    Rewarded(Vec<Given>),
    Changed,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Outcome {
    pub effects: Vec<Effect>,
    pub real: Decimal,
    pub forfeited: Decimal,
    pub overdrawn: Decimal,
    pub lp: Decimal,
    pub overspent: Decimal,
    pub remark: Option<Remark>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    pub grant: usize,
    pub contribution: Decimal,
    pub bonus: Decimal,
    pub released: Decimal,
    pub status: GrantStatus,
}

/// What a rule granted to a player.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Given {
    pub player: usize,
    pub rule: usize,
    /// A bonus.
    pub grant: Option<usize>,
    /// `None` for a pending bonus.
    pub transaction: Option<usize>,
}

#[derive(Debug, Clone, PartialEq)]
pub enum Refusal {
    NotFound,
    Conflict(&'static str),
    Insufficient {
        available: Decimal,
        requested: Decimal,
    },
    /// The pointer of the first error.
    Invalid(String),
    KeyReused,
    Overflow,
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    pub players: Vec<Player>,
    pub grants: Vec<Grant>,
    pub transactions: Vec<Transaction>,
    pub rules: Vec<Rule>,
    keys: BTreeMap<String, (Request, Said)>,
}

#[derive(Debug, Clone, Default)]
pub struct Player {
    pub blocked: bool,
    pub inactive: bool,
    pub excluded_until: Option<Timestamp>,
    /// In earning order, including empty ones.
    pub lots: Vec<Lot>,
    pub tickets: Decimal,
    pub events: BTreeMap<String, Played>,
    /// Ids of voided events, including events that never arrived, and whether that changes bonuses.
    pub voided: BTreeMap<String, bool>,
    /// What people did to the bonuses.
    pub deeds: Vec<Deed>,
    /// When the program looked at the bonuses last: what is due later has not ended yet.
    pub looked: Timestamp,
    /// Blocked or inactive, as far as play has come.
    pub suspended: bool,
    /// Entry, month and transaction of each redemption.
    pub redeemed: Vec<(usize, String, usize)>,
    /// Rules with a grant.
    pub paid: BTreeSet<usize>,
    /// LP that count for the tier, by the day on which they were earned, less those taken back.
    pub counted: BTreeMap<Date, Decimal>,
    /// Stakes that earn, and percent of a tenth of a point per unit, by day.
    pub play: BTreeMap<Date, (Decimal, Decimal)>,
    /// LP owed.
    pub debt: Decimal,
    /// Moves between tiers, by rank. Without a qualification period only voids lead down.
    pub moves: Vec<Move>,
    /// Kinds of the transactions in the program's ledger.
    pub kinds: BTreeSet<String>,
}

#[derive(Debug, Clone, Copy)]
pub struct Move {
    pub at: Timestamp,
    pub from: usize,
    pub to: usize,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Lot {
    pub asset: Asset,
    pub earned_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub remaining: Decimal,
    pub has_expired: bool,
    /// The day whose points it collects.
    pub play_day: Option<Date>,
}

#[derive(Debug, Clone)]
pub struct Grant {
    pub player: usize,
    pub status: GrantStatus,
    pub reason: Option<&'static str>,
    pub amount: Decimal,
    pub balance: Decimal,
    pub required: Decimal,
    pub wagered: Decimal,
    pub terms: Terms,
    pub issued_at: Timestamp,
    pub activated_at: Option<Timestamp>,
    pub expires_at: Option<Timestamp>,
    pub converted: Decimal,
    pub released: Decimal,
    /// Whether the program continued it with another grant.
    pub is_continued: bool,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Terms {
    pub games: Option<Vec<&'static str>>,
    pub weights: BTreeMap<&'static str, Decimal>,
    pub max_bet: Option<Decimal>,
    pub max_bet_forfeits: bool,
    pub max_conversion: Option<Decimal>,
    pub kept_on_withdrawal: bool,
    pub opt_in: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub asset: Asset,
    pub amount: Decimal,
    pub multiplier: Decimal,
    pub expiry_hours: Option<i64>,
    pub terms: Terms,
}

/// A recorded event.
#[derive(Debug, Clone)]
pub struct Played {
    pub at: Timestamp,
    /// Whether it came in time to change bonuses.
    pub is_in_play: bool,
    pub action: Action,
    /// The answer to its sender.
    pub outcome: Outcome,
    /// What it does to bonuses as of now.
    pub play: Option<Outcome>,
    /// The day for whose points it counts.
    pub lp_day: Option<Date>,
}

#[derive(Debug, Clone)]
pub struct Transaction {
    pub player: usize,
    pub kind: Kind,
    pub parts: Vec<Part>,
    pub reversed: bool,
}

/// What a transaction moved.
#[derive(Debug, Clone)]
pub enum Part {
    Earned {
        asset: Asset,
        lot: usize,
        amount: Decimal,
    },
    Spent {
        asset: Asset,
        amount: Decimal,
        lots: Vec<(usize, Decimal)>,
    },
    /// Negative: debited.
    Tickets(Decimal),
    Granted {
        grant: usize,
    },
    /// Bonus money, by a deed of the player's.
    Taken {
        deed: usize,
    },
}

/// Which players an operation is open to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    Give,
    Take,
    Correct,
}

impl Model {
    pub fn new(players: usize) -> Self {
        Self {
            players: vec![Player::default(); players],
            ..Self::default()
        }
    }

    /// Applies a command and returns the reply the program must give. A refused command changes nothing.
    pub fn apply(&mut self, command: &Command, now: Timestamp) -> Answer {
        let before = self.clone();
        let answer = self.once(command, now);
        if answer.is_err() {
            *self = before;
        }
        answer
    }

    /// A key has one effect and belongs to one request.
    fn once(&mut self, Command { key, request }: &Command, now: Timestamp) -> Answer {
        self.validate(request)?;
        if let Some((first, said)) = key.as_ref().and_then(|key| self.keys.get(key)) {
            if first != request {
                return Err(Refusal::KeyReused);
            }
            return Ok(Reply {
                replayed: true,
                said: said.clone(),
            });
        }
        let reply = self.perform(request, now)?;
        if let Some(key) = key {
            self.keys.insert(key.clone(), (request.clone(), reply.said.clone()));
        }
        Ok(reply)
    }

    pub fn check(&self, player: usize, purpose: Purpose, now: Timestamp) -> Result<(), Refusal> {
        let player = self.players.get(player).ok_or(Refusal::NotFound)?;
        let is_excluded = player.excluded_until.is_some_and(|until| now < until);
        match purpose {
            Purpose::Give | Purpose::Take if player.blocked => Err(Refusal::Conflict("player_blocked")),
            Purpose::Give | Purpose::Take if player.inactive => Err(Refusal::Conflict("player_inactive")),
            Purpose::Give if is_excluded => Err(Refusal::Conflict("player_self_excluded")),
            _ => Ok(()),
        }
    }

    pub fn balance(&self, player: usize, asset: Asset) -> Decimal {
        match asset {
            Asset::Bonus => self
                .grants
                .iter()
                .filter(|grant| grant.player == player)
                .map(|grant| grant.balance)
                .sum(),
            Asset::Tickets => self.players[player].tickets,
            points => self.players[player]
                .lots
                .iter()
                .filter(|lot| lot.asset == points)
                .map(|lot| lot.remaining)
                .sum(),
        }
    }

    /// Lots that are not empty, in spending order.
    pub fn open_lots(&self, player: usize, asset: Asset) -> Vec<usize> {
        let lots = &self.players[player].lots;
        let mut open: Vec<usize> = (0..lots.len())
            .filter(|index| lots[*index].asset == asset && lots[*index].remaining > Decimal::ZERO)
            .collect();
        open.sort_by_key(|index| {
            (
                lots[*index].expires_at.unwrap_or(Timestamp::MAX),
                lots[*index].earned_at,
                *index,
            )
        });
        open
    }

    /// Open bonuses, in wagering order.
    pub fn open_grants(&self, player: usize) -> Vec<usize> {
        let is_open = |grant: &Grant| grant.player == player && grant.status.is_open();
        let mut open: Vec<usize> = (0..self.grants.len())
            .filter(|index| is_open(&self.grants[*index]))
            .collect();
        open.sort_by_key(|index| {
            let grant = &self.grants[*index];
            (grant.expires_at.unwrap_or(Timestamp::MAX), grant.issued_at, *index)
        });
        open
    }

    /// Adds points.
    pub fn earn(
        &mut self,
        player: usize,
        asset: Asset,
        amount: Decimal,
        expires_at: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Part, Refusal> {
        if self.balance(player, asset) + amount >= LIMIT {
            return Err(Refusal::Overflow);
        }
        if asset == Asset::Lp {
            self.count(player, day(now), amount);
            self.climb(player, now);
        }
        let lot = self.new_lot(player, asset, expires_at, now);
        self.players[player].lots[lot].remaining = amount;
        if asset == Asset::Lp {
            self.repay(player, amount, Some(lot));
        }
        Ok(Part::Earned { asset, lot, amount })
    }

    /// An empty lot.
    pub fn new_lot(&mut self, player: usize, asset: Asset, expires_at: Option<Timestamp>, now: Timestamp) -> usize {
        let lots = &mut self.players[player].lots;
        lots.push(Lot {
            asset,
            earned_at: now,
            expires_at,
            remaining: Decimal::ZERO,
            has_expired: false,
            play_day: None,
        });
        lots.len() - 1
    }

    /// Deducts points (from the lot `first` if given) or tickets.
    pub fn spend(
        &mut self,
        player: usize,
        asset: Asset,
        amount: Decimal,
        first: Option<usize>,
    ) -> Result<Part, Refusal> {
        let available = self.balance(player, asset);
        if amount > available {
            return Err(Refusal::Insufficient {
                available,
                requested: amount,
            });
        }
        if asset == Asset::Tickets {
            self.players[player].tickets -= amount;
            return Ok(Part::Tickets(-amount));
        }
        let mut order = self.open_lots(player, asset);
        order.sort_by_key(|lot| Some(*lot) != first);
        let (mut left, mut lots) = (amount, Vec::new());
        for lot in order {
            let part = left.min(self.players[player].lots[lot].remaining);
            self.players[player].lots[lot].remaining -= part;
            left -= part;
            lots.push((lot, part));
        }
        Ok(Part::Spent { asset, amount, lots })
    }

    pub fn note(&mut self, player: usize, kind: Kind, parts: Vec<Part>) -> usize {
        self.transactions.push(Transaction {
            player,
            kind,
            parts,
            reversed: false,
        });
        self.transactions.len() - 1
    }

    /// Adds a bonus; a pending one gets no money yet.
    pub fn grant(&mut self, grant: Grant) -> usize {
        let player = grant.player;
        self.grants.push(grant);
        self.replay(player);
        self.grants.len() - 1
    }

    pub fn conversion_limit(&self, index: usize) -> Option<Decimal> {
        self.grants[index].conversion_limit()
    }

    /// Ends what is due; returns the number of bonuses that expired, of those that were used up, and of lots.
    pub fn settle(&mut self, player: usize, now: Timestamp) -> (usize, usize, usize) {
        let count = |model: &Self, status: GrantStatus| {
            let own = model.grants.iter().filter(|grant| grant.player == player);
            own.filter(|grant| grant.status == status).count()
        };
        let ended = |model: &Self| [GrantStatus::Expired, GrantStatus::Depleted].map(|status| count(model, status));
        let [expired, depleted] = ended(self);
        self.players[player].looked = now;
        self.replay(player);
        let [expired_by_now, depleted_by_now] = ended(self);
        let lots = self.settle_lots(player, now);
        (expired_by_now - expired, depleted_by_now - depleted, lots)
    }

    /// Expires points; returns the number of lots.
    pub fn settle_lots(&mut self, player: usize, now: Timestamp) -> usize {
        let is_due = |lot: &&mut Lot| lot.remaining > Decimal::ZERO && lot.expires_at.is_some_and(|at| at <= now);
        let mut lots = 0;
        for lot in self.players[player].lots.iter_mut().filter(is_due) {
            (lot.remaining, lot.has_expired) = (Decimal::ZERO, true);
            lots += 1;
        }
        lots
    }
}

impl Grant {
    pub fn conversion_limit(&self) -> Option<Decimal> {
        let multiple = self.terms.max_conversion?;
        Some((self.amount * multiple).trunc_with_scale(2))
    }
}
