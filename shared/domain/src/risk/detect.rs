//! Detects fraud signals. Each detector is a function of facts and does not read the clock: the same facts always give
//! the same evidence.
//!
//! # Choices
//!
//! * "Granted" and "rewarded" exclude grants that wait or were cancelled. Signals about bonuses look at BONUS grants
//!   only.
//! * The stakes of a bonus are those that fed it or were paid from it and were not voided; a stake above its `max_bet`
//!   is not one of them. LOW_RISK_WAGERING weighs money, from `low_risk_stakes_min` stakes on, and includes bonuses
//!   that ended within 30 days. A game without an edge of its own has the program's.
//! * The z-score uses the program's edge and `bet_sd`, and assumes bets of equal size.
//! * A hub is anything that more than `hub_accounts` accounts share, mailboxes included: placeholders such as
//!   `none@example.com`.
//! * A mailbox is the address in lower case; for gmail.com and googlemail.com without dots and without what follows a
//!   plus sign.
//! * DEPOSIT_CYCLING reads DEPOSIT events only: the daily sums of imports do not tell the order of deposit, bonus and
//!   withdrawal.

use super::{Signal, SignalType};
use crate::id::GrantId;
use crate::metrics::Totals;
use crate::money::{MONEY_SCALE, Money, Plain, Points};
use crate::settings::{ProfitSettings, RiskSettings, Settings};
use crate::text_enum;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

/// A signal that the facts justify, with its evidence.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub signal_type: SignalType,
    pub evidence: Value,
}

impl Finding {
    /// What a void took back of points that the player had spent.
    pub fn overspent(lp: Decimal) -> Self {
        Self {
            signal_type: SignalType::PointsOverspent,
            evidence: json!({ "lp": Points::of(lp) }),
        }
    }

    /// Bonus money that stakes named beyond what there was.
    pub fn overdrawn(bonus: Decimal) -> Self {
        Self {
            signal_type: SignalType::BonusOverdrawn,
            evidence: json!({ "bonus_amount": Money::of(bonus) }),
        }
    }

    /// Adds the finding to what an open signal of its type shows, for evidence that is a sum.
    pub fn added_to(self, open: &Signal) -> Self {
        let of = |key: &str| [&open.evidence, &self.evidence].map(|evidence| plain(&evidence[key]));
        match self.signal_type {
            SignalType::PointsOverspent => match of("lp") {
                [Some(before), Some(more)] => Self::overspent(before + more),
                _ => self,
            },
            SignalType::BonusOverdrawn => match of("bonus_amount") {
                [Some(before), Some(more)] => Self::overdrawn(before + more),
                _ => self,
            },
            _ => self,
        }
    }
}

fn plain(amount: &Value) -> Option<Decimal> {
    serde_json::from_value::<Plain>(amount.clone()).ok().map(Plain::value)
}

/// Facts about a player besides the totals.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RiskFacts {
    /// Bonuses the player received; counted only for players without deposits.
    pub bonuses_count: i64,
    pub shared: Vec<Shared>,
    /// Bonuses that the player wagered, newest first.
    pub played: Vec<PlayedGrant>,
    /// In chronological order.
    pub cashier: Vec<CashierEvent>,
    /// Those around the cashier events, in chronological order.
    pub bonuses: Vec<ReceivedBonus>,
}

/// A device, payment method or email that several accounts use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    pub kind: SharedKind,
    /// Prefix of its fingerprint; empty for an email.
    pub mark: String,
    /// Number of accounts that use it, including this one; counted only up to `hub_accounts + 1`.
    pub accounts: i64,
    /// The other accounts that received rewards, ordered by id.
    pub rewarded: Vec<String>,
}

text_enum! {
    /// No IP addresses: many people share one.
    pub enum SharedKind as "shared trace" {
        Device = "DEVICE",
        PaymentMethod = "PAYMENT_METHOD",
        Email = "EMAIL",
    }
}

/// The stakes that counted towards a bonus or were paid from it, without voided ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayedGrant {
    pub grant_id: GrantId,
    pub is_active: bool,
    /// The last stakes, as many as the settings say.
    pub recent: RecentStakes,
    pub games: Vec<GameStakes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecentStakes {
    pub count: i64,
    pub smallest: Decimal,
    pub largest: Decimal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GameStakes {
    /// Empty if the stakes named no game.
    pub game: String,
    pub count: i64,
    pub staked: Decimal,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CashierEvent {
    pub kind: CashierKind,
    pub event_id: String,
    pub at: Timestamp,
    pub amount: Decimal,
}

text_enum! {
    /// Named like the event types.
    pub enum CashierKind as "event type" {
        Deposit = "DEPOSIT",
        Withdrawal = "WITHDRAWAL",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedBonus {
    pub grant_id: GrantId,
    /// When its money became available to play.
    pub at: Timestamp,
}

/// Returns every signal that the facts justify, at most one of each type.
pub fn detect(totals: &Totals, facts: &RiskFacts, settings: &Settings) -> Vec<Finding> {
    let risk = &settings.risk;
    let found = [
        (SignalType::BonusOnlyPlay, bonus_only_play(totals, facts, risk)),
        (SignalType::ImmediateWithdrawal, immediate_withdrawal(facts, risk)),
        (SignalType::BetManipulation, bet_manipulation(facts, risk)),
        (
            SignalType::AbnormalWinRate,
            abnormal_win_rate(totals, risk, &settings.profit),
        ),
        (
            SignalType::LowRiskWagering,
            low_risk_wagering(facts, risk, &settings.profit),
        ),
        (SignalType::MultiAccount, multi_account(facts, risk)),
        (SignalType::DepositCycling, deposit_cycling(facts, risk)),
    ];
    let finding = |(signal_type, evidence): (_, Option<Value>)| {
        Some(Finding {
            signal_type,
            evidence: evidence?,
        })
    };
    found.into_iter().filter_map(finding).collect()
}

fn bonus_only_play(totals: &Totals, facts: &RiskFacts, risk: &RiskSettings) -> Option<Value> {
    let raised = totals.deposited.is_zero() && facts.bonuses_count >= i64::from(risk.bonus_only_grants_min);
    raised.then(|| json!({ "bonuses": facts.bonuses_count }))
}

/// The latest withdrawal within `immediate_withdrawal_hours` after a bonus; 0 hours switch the detector off.
fn immediate_withdrawal(facts: &RiskFacts, risk: &RiskSettings) -> Option<Value> {
    if risk.immediate_withdrawal_hours == 0 {
        return None;
    }
    let limit = SignedDuration::from_hours(i64::from(risk.immediate_withdrawal_hours));
    let withdrawals = facts
        .cashier
        .iter()
        .filter(|event| event.kind == CashierKind::Withdrawal);
    withdrawals.rev().find_map(|withdrawal| {
        let bonus = facts.bonuses.iter().rev().find(|bonus| bonus.at <= withdrawal.at)?;
        (withdrawal.at.duration_since(bonus.at) <= limit).then(|| {
            json!({
                "event_id": withdrawal.event_id,
                "amount": Money::of(withdrawal.amount),
                "withdrawn_at": withdrawal.at,
                "grant_id": bonus.grant_id,
                "granted_at": bonus.at,
            })
        })
    })
}

/// The newest active bonus whose last stakes differ too much in size: `largest > smallest · bet_spread_above`.
fn bet_manipulation(facts: &RiskFacts, risk: &RiskSettings) -> Option<Value> {
    facts.played.iter().filter(|grant| grant.is_active).find_map(|grant| {
        let RecentStakes {
            count,
            smallest,
            largest,
        } = grant.recent;
        let limit = smallest.checked_mul(risk.bet_spread_above)?;
        (count >= i64::from(risk.bet_stakes_min) && largest > limit).then(|| {
            json!({
                "grant_id": grant.grant_id,
                "stakes": count,
                "smallest": Money::of(smallest),
                "largest": Money::of(largest),
            })
        })
    })
}

/// Compares the return with that of the games, in standard deviations of the mean of `bets` equal bets:
/// `z = (won/wagered − (1 − edge)) · √bets / sd`. If the number of bets is unknown, only a very high ratio counts.
fn abnormal_win_rate(totals: &Totals, risk: &RiskSettings, profit: &ProfitSettings) -> Option<Value> {
    if totals.wagered < risk.win_staked_min || totals.wagered.is_zero() {
        return None;
    }
    let ratio = totals.won.checked_div(totals.wagered)?;
    let z_squared = match totals.bets.filter(|bets| *bets > 0) {
        None if ratio > risk.suspicious_win_ratio => None,
        None => return None,
        Some(bets) => {
            let excess = ratio - (Decimal::ONE - profit.house_edge);
            if excess <= Decimal::ZERO {
                return None;
            }
            let deviations = excess.checked_div(profit.bet_sd)?;
            let z_squared = deviations.checked_mul(deviations)?.checked_mul(Decimal::from(bets))?;
            if z_squared <= risk.win_z_above.checked_mul(risk.win_z_above)? {
                return None;
            }
            Some(z_squared)
        }
    };
    Some(json!({
        "wagered": Money::of(totals.wagered),
        "won": Money::of(totals.won),
        "ratio": Plain::of(ratio.round_dp(4)),
        "bets": totals.bets,
        "z_score": z_squared.and_then(square_root).map(Plain::of),
    }))
}

/// Newton's method, rounded down to [`MONEY_SCALE`] decimal places.
fn square_root(value: Decimal) -> Option<Decimal> {
    let mut root = value.max(Decimal::ONE);
    loop {
        let next = (root + value.checked_div(root)?).checked_div(Decimal::TWO)?;
        if next >= root {
            return Some(root.round_dp_with_strategy(MONEY_SCALE, RoundingStrategy::ToZero));
        }
        root = next;
    }
}

/// The newest bonus with too large a share of its stakes on games with a small house edge.
fn low_risk_wagering(facts: &RiskFacts, risk: &RiskSettings, profit: &ProfitSettings) -> Option<Value> {
    let is_low =
        |game: &str| profit.game_edge.get(game).copied().unwrap_or(profit.house_edge) < risk.low_risk_edge_below;
    facts.played.iter().find_map(|grant| {
        let stakes: i64 = grant.games.iter().map(|stakes| stakes.count).sum();
        let staked: Decimal = grant.games.iter().map(|stakes| stakes.staked).sum();
        let low: Decimal = grant
            .games
            .iter()
            .filter(|stakes| is_low(&stakes.game))
            .map(|stakes| stakes.staked)
            .sum();
        let limit = staked.checked_mul(risk.low_risk_share_above)?;
        (stakes >= i64::from(risk.low_risk_stakes_min) && low > limit).then(|| {
            json!({
                "grant_id": grant.grant_id,
                "stakes": stakes,
                "staked": Money::of(staked),
                "staked_at_low_risk": Money::of(low),
            })
        })
    })
}

/// Most shared items in the evidence: the first ones are enough for a person to judge.
const SHARED_MAX: usize = 20;

fn multi_account(facts: &RiskFacts, risk: &RiskSettings) -> Option<Value> {
    let counts = |shared: &&Shared| shared.accounts <= i64::from(risk.hub_accounts) && !shared.rewarded.is_empty();
    let view = |shared: &Shared| {
        let Shared {
            kind,
            mark,
            accounts,
            rewarded,
        } = shared;
        json!({ "kind": kind, "mark": mark, "accounts": accounts, "rewarded_players": rewarded })
    };
    let shared: Vec<Value> = facts.shared.iter().filter(counts).take(SHARED_MAX).map(view).collect();
    (!shared.is_empty()).then(|| json!({ "shared": shared }))
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Deposit(Decimal),
    Bonus,
    Withdrawal(&'a CashierEvent),
}

/// A cycle of deposit, bonus and withdrawal in progress.
#[derive(Debug, Default)]
struct Cycle {
    deposited: Decimal,
    withdrawn: Decimal,
    has_bonus: bool,
}

impl Cycle {
    /// Returns whether the step completes the cycle: enough was withdrawn after a bonus. Amounts are below 1e15, so
    /// their sums do not overflow.
    fn step(&mut self, step: Step<'_>, share: Decimal) -> bool {
        match step {
            Step::Deposit(amount) if self.withdrawn > Decimal::ZERO => {
                *self = Self {
                    deposited: amount,
                    ..Self::default()
                }
            }
            Step::Deposit(amount) => self.deposited += amount,
            Step::Bonus => self.has_bonus = self.deposited > Decimal::ZERO,
            // A withdrawal before the bonus takes the deposit out of the cycle.
            Step::Withdrawal(event) if !self.has_bonus => {
                self.deposited = (self.deposited - event.amount).max(Decimal::ZERO)
            }
            Step::Withdrawal(event) => {
                self.withdrawn += event.amount;
                return self
                    .deposited
                    .checked_mul(share)
                    .is_some_and(|least| self.withdrawn >= least);
            }
        }
        false
    }
}

/// Deposit → bonus → withdrawal of most of the deposit, at least `cycles_min` times within `cycle_days`. Deposits
/// before the withdrawal add up, and so do withdrawals before the next deposit.
fn deposit_cycling(facts: &RiskFacts, risk: &RiskSettings) -> Option<Value> {
    let events = facts.cashier.iter().map(|event| match event.kind {
        CashierKind::Deposit => (event.at, 0, Step::Deposit(event.amount)),
        CashierKind::Withdrawal => (event.at, 2, Step::Withdrawal(event)),
    });
    let mut steps: Vec<_> = facts
        .bonuses
        .iter()
        .map(|bonus| (bonus.at, 1, Step::Bonus))
        .chain(events)
        .collect();
    steps.sort_by_key(|(at, order, _)| (*at, *order));

    let mut ends: Vec<&CashierEvent> = Vec::new();
    let mut cycle = Cycle::default();
    for (_, _, step) in steps {
        if cycle.step(step, risk.cycle_withdrawn_share) {
            cycle = Cycle::default();
            if let Step::Withdrawal(event) = step {
                ends.push(event);
            }
        }
    }
    let count = usize::try_from(risk.cycles_min).ok()?.max(1);
    let last = &ends[ends.len().checked_sub(count)?..];
    let (first, latest) = (last.first()?, last.last()?);
    let limit = SignedDuration::from_hours(24 * i64::from(risk.cycle_days));
    (latest.at.duration_since(first.at) <= limit).then(
        || json!({ "cycles": count, "withdrawals": last.iter().map(|event| &event.event_id).collect::<Vec<_>>() }),
    )
}
