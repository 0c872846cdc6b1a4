//! The rules that raise signals, each a function of facts. None of them looks at the clock: the same facts give the same
//! evidence at any time.

use super::SignalType;
use crate::id::GrantId;
use crate::metrics::Totals;
use crate::money::{MONEY_SCALE, shown};
use crate::settings::{ProfitSettings, RiskSettings, Settings};
use crate::text_enum;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

/// A signal that the facts call for.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    pub signal_type: SignalType,
    pub evidence: Value,
}

/// What is known about a player beside the totals.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RiskFacts {
    /// Bonuses the player received; counted only where nothing was deposited.
    pub bonuses_count: i64,
    pub shared: Vec<Shared>,
    /// Bonuses that were played, the newest first.
    pub played: Vec<PlayedGrant>,
    /// In the order of time.
    pub cashier: Vec<CashierEvent>,
    /// Around the cashier's events, in the order of time.
    pub bonuses: Vec<ReceivedBonus>,
}

/// A thing that several accounts use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shared {
    pub kind: SharedKind,
    /// Beginning of its fingerprint; empty for an email.
    pub mark: String,
    /// Accounts that use it, this one included; counted up to one more than a hub may have.
    pub accounts: i64,
    /// The other accounts that were rewarded, by id.
    pub rewarded: Vec<String>,
}

text_enum! {
    /// An address on the network is none of them: many people share one.
    pub enum SharedKind as "shared trace" {
        Device = "DEVICE",
        PaymentMethod = "PAYMENT_METHOD",
        Email = "EMAIL",
    }
}

/// The stakes that fed a bonus or were paid from it, without voided ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlayedGrant {
    pub grant_id: GrantId,
    pub is_active: bool,
    /// The last ones, as many as the setting says.
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
    /// Empty: the stakes named none.
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
    /// As the events' types.
    pub enum CashierKind as "event type" {
        Deposit = "DEPOSIT",
        Withdrawal = "WITHDRAWAL",
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReceivedBonus {
    pub grant_id: GrantId,
    /// When its money was there to be played.
    pub at: Timestamp,
}

/// Every signal that the facts call for, at most one of a type.
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

/// The latest withdrawal that came within the hours after a bonus.
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
                "amount": shown(withdrawal.amount, MONEY_SCALE),
                "withdrawn_at": withdrawal.at,
                "grant_id": bonus.grant_id,
                "granted_at": bonus.at,
            })
        })
    })
}

/// The newest active bonus whose last stakes differ too much.
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
                "smallest": shown(smallest, MONEY_SCALE),
                "largest": shown(largest, MONEY_SCALE),
            })
        })
    })
}

/// With the number of bets, the return is compared with what the games give, in standard deviations of the mean of that
/// many equal bets: `z = (won/wagered − (1 − edge)) · √bets / sd`. Without it only a very high ratio counts.
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
        "wagered": shown(totals.wagered, MONEY_SCALE),
        "won": shown(totals.won, MONEY_SCALE),
        "ratio": shown(ratio.round_dp(4), MONEY_SCALE),
        "bets": totals.bets,
        "z_score": z_squared.and_then(square_root).map(|z| shown(z, MONEY_SCALE)),
    }))
}

/// By Newton's steps, rounded down to cents.
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

/// The newest bonus of which too much money was staked on games with a small edge.
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
                "staked": shown(staked, MONEY_SCALE),
                "staked_at_low_risk": shown(low, MONEY_SCALE),
            })
        })
    })
}

/// More things than these are not named: the first tell enough.
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

/// A round of deposit, bonus and withdrawal that is under way.
#[derive(Debug, Default)]
struct Cycle {
    deposited: Decimal,
    withdrawn: Decimal,
    has_bonus: bool,
}

impl Cycle {
    /// Answers true when the step ends the cycle: enough was withdrawn after a bonus. Amounts are in range: their sums are.
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
            // Not after a bonus: what was deposited is gone.
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

/// Deposit → bonus → withdrawal of most of the deposit, several times within the days. Deposits before the withdrawal add
/// up, and so do withdrawals before the next deposit.
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
