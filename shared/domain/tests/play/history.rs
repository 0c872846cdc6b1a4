//! Random histories: what happens to a player, when, and when each event arrives. A step is drawn as one number, so that
//! a history shrinks step by step.

use crate::world::{player_id, start};
use domain::account::What;
use domain::activity::{Action, Event, Payout, Stake};
use domain::bonus::{GrantStatus, GrantTerms, MaxBetAction, NewGrant, OnWithdrawal};
use domain::id::{EventId, GrantId};
use domain::money::{Asset, Money, Positive};
use domain::rule::RewardType;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use std::fmt;
use uuid::Uuid;

#[derive(Debug, Clone)]
pub struct Step {
    pub at: Timestamp,
    pub what: Happening,
}

#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "a history has a few of them")]
pub enum Happening {
    Grant(NewGrant),
    Event {
        event: Event,
        arrival: Arrival,
    },
    /// `undoes`: the index of the deduction that is given back.
    Act {
        what: What,
        undoes: Option<usize>,
    },
}

/// How an event arrives in the drawn order.
#[derive(Debug, Clone, Copy)]
pub struct Arrival {
    pub at: Timestamp,
    pub again_at: Option<Timestamp>,
    /// Orders what arrives at one instant.
    pub key: u8,
    /// Whether a batch ends with it.
    pub is_cut: bool,
    /// Whether a sweep runs after its batch.
    pub is_swept: bool,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.at.strftime("%d %H:%M"))?;
        match &self.what {
            Happening::Grant(new) => write!(
                f,
                "grant {} of {}, wagers {}, until {:?}, {:?}",
                new.grant_id, new.amount, new.wagering_required, new.expires_at, new.terms
            ),
            Happening::Event { event, arrival } => write!(
                f,
                "{} {:?}, at {} and {:?}, {arrival:?}",
                event.event_id,
                event.action,
                arrival.at.strftime("%d %H:%M"),
                arrival.again_at
            ),
            Happening::Act { what, undoes } => write!(f, "{what:?} {undoes:?}"),
        }
    }
}

pub fn root(index: usize) -> GrantId {
    GrantId(Uuid::from_u128(index as u128 + 1))
}

pub fn event_id(index: usize) -> EventId {
    EventId::parse(format!("e{index:02}")).unwrap()
}

pub fn steps(drawn: &[u64]) -> Vec<Step> {
    let mut drawer = Drawer {
        count: drawn.len(),
        ..Drawer::default()
    };
    let mut steps = Vec::with_capacity(drawn.len());
    for (index, number) in drawn.iter().enumerate() {
        let step = drawer.step(index, number.to_be_bytes());
        steps.push(step);
    }
    steps
}

#[derive(Default)]
struct Drawer {
    count: usize,
    minutes: i64,
    grants: Vec<GrantId>,
    deductions: Vec<usize>,
    is_suspended: bool,
}

const AMOUNTS: [&str; 8] = ["10", "2", "5", "20", "30", "50", "100", "3.33"];
const PAYOUTS: [&str; 8] = ["0", "0", "5", "20", "50", "100", "200", "33.33"];
const GAMES: [Option<&str>; 8] = [
    Some("slots"),
    Some("slots"),
    Some("slots"),
    Some("slots"),
    Some("slots"),
    Some("roulette"),
    Some("live"),
    None,
];

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

impl Drawer {
    fn step(&mut self, index: usize, [kind, gap, a, b, c, e, arrival, bits]: [u8; 8]) -> Step {
        let is_grant = index < 2 || (214..226).contains(&kind);
        let is_act = (226..252).contains(&kind) && index >= 2;
        self.minutes += match gap {
            0..80 if is_grant || is_act || index == 2 => 1,
            0..80 => 0,
            80..180 => i64::from(gap - 79),
            180..240 => 60 * i64::from((gap - 180) / 12 + 1),
            _ => 60 * i64::from(gap - 234),
        };
        let at = start() + SignedDuration::from_mins(self.minutes);
        let what = if is_grant {
            Happening::Grant(self.grant(index, at, [a, b, c, e]))
        } else if is_act {
            self.act(index, kind, a)
        } else {
            let action = self.action(kind, [a, b, c, e]);
            Happening::Event {
                event: Event {
                    event_id: event_id(index),
                    player_id: player_id(),
                    occurred_at: at,
                    action,
                },
                arrival: arrival_of(at, arrival, bits),
            }
        };
        // Nothing else happens at the instant of a grant or an act.
        if is_grant || is_act {
            self.minutes += 1;
        }
        Step { at, what }
    }

    fn grant(&mut self, index: usize, at: Timestamp, [a, b, c, e]: [u8; 4]) -> NewGrant {
        let grant_id = root(index);
        self.grants.push(grant_id);
        let amount = d(["100", "20", "10", "5"][usize::from(a % 4)]);
        let hours = match c % 8 {
            0 | 1 => None,
            2 => Some(i64::from(c / 8 % 6 + 1)),
            _ => Some(i64::from(c / 8 + 8)),
        };
        let terms = GrantTerms {
            eligible_games: (e % 8 == 7).then(|| vec!["slots".to_owned()]),
            game_weights: (e % 8 == 6).then(|| [("roulette".to_owned(), d("0.5"))].into()),
            max_bet: [None, None, None, Some(d("5")), Some(d("20"))][usize::from(e / 8 % 5)],
            max_bet_action: if e % 3 == 0 {
                MaxBetAction::Forfeit
            } else {
                MaxBetAction::Ignore
            },
            max_conversion: [None, None, Some(d("0.2")), Some(d("1")), Some(d("3"))][usize::from(a / 4 % 5)],
            on_withdrawal: if e % 2 == 0 {
                OnWithdrawal::Forfeit
            } else {
                OnWithdrawal::Keep
            },
            ..GrantTerms::default()
        };
        NewGrant {
            player_id: player_id(),
            grant_id,
            rule: None,
            reward_type: RewardType::BonusBalance,
            asset: Asset::Bonus,
            amount,
            cost: Decimal::ZERO,
            expected_revenue: None,
            wagering_required: d(["100", "10", "20", "50", "200", "500", "30", "7.77"][usize::from(b % 8)]),
            terms: Some(terms),
            issued_at: at,
            expires_at: hours.map(|hours| at + SignedDuration::from_hours(hours)),
        }
    }

    fn act(&mut self, index: usize, kind: u8, a: u8) -> Happening {
        let mut undoes = None;
        let what = match kind {
            226..231 => What::End {
                root_id: self.grants[usize::from(a) % self.grants.len()],
                to: if a < 200 {
                    GrantStatus::Forfeited
                } else {
                    GrantStatus::Cancelled
                },
                reason: Some("asked".into()),
            },
            231..238 => {
                self.deductions.push(index);
                What::Deduct {
                    amount: d(AMOUNTS[usize::from(a % 8)]),
                }
            }
            238..243 if !self.deductions.is_empty() => {
                undoes = Some(self.deductions.remove(usize::from(a) % self.deductions.len()));
                What::Restore {
                    deduction: domain::id::TransactionId(Uuid::nil()),
                }
            }
            238..250 => {
                self.is_suspended = !self.is_suspended;
                if self.is_suspended { What::Suspend } else { What::Resume }
            }
            _ => What::Exclude {
                reason: Some("self_exclusion".into()),
            },
        };
        Happening::Act { what, undoes }
    }

    fn action(&self, kind: u8, [a, b, c, e]: [u8; 4]) -> Action {
        let money = |text: &str| Money::of(d(text));
        let round_id = (b % 8 != 7).then(|| format!("r{}", b % 3));
        let amount = Positive::<Money>::checked(d(AMOUNTS[usize::from(a % 8)])).unwrap();
        match kind {
            // Shrinks to this.
            0 => Action::Login,
            1..100 => Action::Stake(Stake {
                amount,
                game: GAMES[usize::from(e % 8)].map(str::to_owned),
                round_id,
                bonus_amount: match c {
                    0..40 => Money::of(Decimal::ZERO),
                    40..220 => Money::of(amount.value()),
                    _ => Money::of((amount.value() / Decimal::TWO).round_dp(2)),
                },
            }),
            100..150 => Action::Payout(Payout {
                amount: money(PAYOUTS[usize::from(a % 8)]),
                round_id,
            }),
            150..198 => Action::Void {
                voids: event_id(usize::from(a) % (self.count + 1)),
            },
            198..202 => Action::Deposit { amount },
            202..211 => Action::Withdrawal { amount },
            _ => Action::Login,
        }
    }
}

fn arrival_of(at: Timestamp, arrival: u8, bits: u8) -> Arrival {
    let minutes = match arrival {
        0..70 => 0,
        70..130 => i64::from(arrival - 69) / 4,
        130..200 => 30 * i64::from(arrival - 129),
        _ => 60 * 24 * i64::from((arrival - 200) / 8),
    };
    let later = |minutes: i64| {
        let exact = at + SignedDuration::from_mins(minutes);
        // Some wait for others.
        let seconds = if bits & 1 == 1 { 6 * 3600 } else { 60 };
        let late = exact.duration_since(start()).as_secs();
        start() + SignedDuration::from_secs((late + seconds - 1) / seconds * seconds)
    };
    Arrival {
        at: later(minutes),
        again_at: (bits & 0x30 == 0x30).then(|| later(minutes + 200)),
        key: arrival ^ bits,
        is_cut: bits & 2 == 2,
        is_swept: bits & 0xc == 0xc,
    }
}
