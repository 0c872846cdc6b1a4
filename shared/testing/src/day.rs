//! Generates a day of play: the events that an operator's games and cashier would send, in chronological order.
//!
//! The same seed, date, players and rounds always give the same events. Players deposit before they stake and never
//! stake more than they have. Every stake gets a payout, 0 for a loss. One stake in a hundred is voided, after its
//! payout if it won. Nobody plays with bonus money.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

/// Most rounds per player: their events have to fit into the milliseconds of a day.
pub const ROUNDS_MAX: u32 = 1_000_000;

const HOUR_MS: u64 = 3_600_000;
/// Longest pause between two events of a player.
const PAUSE_MS_MAX: u64 = 60_000;

/// Game, wins per 1,000 rounds, and the largest win in stakes. The house edges are 5 %, 1/37, 0.5 % and 5 %.
const GAMES: [(&str, u64, u64); 4] = [
    ("slots", 271, 6),
    ("roulette", 486, 3),
    ("blackjack", 497, 3),
    ("live", 475, 3),
];

/// ```
/// use testing::day::{Day, numbered};
/// let day = Day::new(1, "2026-11-22".parse().unwrap(), numbered("P", 2), 10);
/// assert_eq!(day.events().filter(|event| event["type"] == "STAKE").count(), 20);
/// ```
#[derive(Debug, Clone)]
pub struct Day {
    seed: u64,
    date: Date,
    players: Vec<String>,
    rounds_per_player: u32,
}

/// The totals of one player's events. Amounts have two decimal places and are in the program's currency.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Totals {
    pub deposited: Decimal,
    pub withdrawn: Decimal,
    /// Without voided stakes; `won` likewise. Every stake is a multiple of 0.10, so that its points are exact at 1 LP
    /// per 10 staked.
    pub wagered: Decimal,
    pub won: Decimal,
    /// Number of stakes that were not voided.
    pub bets: u64,
    pub voided_bets: u64,
    pub logins: u64,
    pub sessions: u64,
    /// Minutes of all sessions. Each session has a multiple of 3, so that its hours are exact with two decimal places.
    pub minutes: u64,
    pub kyc_completed: bool,
    /// Per cent; `None` without a PROFILE event.
    pub profile_depth: Option<Decimal>,
}

/// Ids as in [`Csv::numbered`](crate::Csv::numbered): `{prefix}000001` and so on.
pub fn numbered(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix}{number:06}")).collect()
}

impl Day {
    /// A day in UTC. Each player stakes exactly `rounds_per_player` times, at most [`ROUNDS_MAX`], and deposits when
    /// the balance is too low. Player ids have at most 30 bytes, so that an event's id can contain one.
    pub fn new(seed: u64, date: Date, players: Vec<String>, rounds_per_player: u32) -> Self {
        assert!(
            rounds_per_player <= ROUNDS_MAX,
            "{rounds_per_player} rounds: at most {ROUNDS_MAX}"
        );
        Self {
            seed,
            date,
            players,
            rounds_per_player,
        }
    }

    /// The events in chronological order, with at most one per player at an instant.
    pub fn events(&self) -> Events<'_> {
        let mut players: Vec<PlayerDay<'_>> = (0..self.players.len())
            .map(|index| PlayerDay::new(self, index))
            .collect();
        let first = players
            .iter_mut()
            .enumerate()
            .filter_map(|(index, player)| Some(Reverse((player.peek()?, index))));
        let next = first.collect();
        Events { players, next }
    }

    /// Request bodies for `POST /api/activity` with at most `size` events each.
    pub fn bodies(&self, size: usize) -> impl Iterator<Item = Value> + '_ {
        let mut events = self.events();
        std::iter::from_fn(move || {
            let batch: Vec<Value> = events.by_ref().take(size).collect();
            (!batch.is_empty()).then(|| json!({ "events": batch }))
        })
    }

    /// The totals by player. Generates the whole day.
    pub fn totals(&self) -> BTreeMap<String, Totals> {
        let player = |index| {
            let mut player = PlayerDay::new(self, index);
            while player.take().is_some() {}
            (self.players[index].clone(), player.totals)
        };
        (0..self.players.len()).map(player).collect()
    }
}

/// Keeps only the current round of each player in memory.
#[derive(Debug)]
pub struct Events<'a> {
    players: Vec<PlayerDay<'a>>,
    /// `(time in ms, player index)` of each player's next event.
    next: BinaryHeap<Reverse<(u64, usize)>>,
}

impl Iterator for Events<'_> {
    type Item = Value;

    fn next(&mut self) -> Option<Value> {
        let Reverse((_, index)) = self.next.pop()?;
        let player = &mut self.players[index];
        let event = player.take();
        self.next.extend(player.peek().map(|at| Reverse((at, index))));
        event
    }
}

/// The state of one player. Amounts are in cents.
#[derive(Debug)]
struct PlayerDay<'a> {
    day: &'a Day,
    number: usize,
    chance: Chance,
    /// Milliseconds since the beginning of the day.
    now_ms: u64,
    pause_ms_max: u64,
    rounds_left: u32,
    rounds_per_session: u32,
    /// The session's start in ms, and its remaining rounds.
    session: Option<(u64, u32)>,
    is_over: bool,
    balance: u64,
    events: u64,
    waiting: VecDeque<(u64, Value)>,
    totals: Totals,
}

impl<'a> PlayerDay<'a> {
    fn new(day: &'a Day, index: usize) -> Self {
        let mut chance = Chance::new(day.seed, index);
        // The first event is before 06:00, all events take at most 12 hours, and two breaks at most 2 hours each.
        let now_ms = chance.below(6 * HOUR_MS);
        let events_max = u64::from(day.rounds_per_player) * 5 + 20;
        let sessions = 1 + chance.below(3);
        Self {
            day,
            number: index + 1,
            chance,
            now_ms,
            pause_ms_max: (12 * HOUR_MS / events_max).clamp(1, PAUSE_MS_MAX),
            rounds_left: day.rounds_per_player,
            rounds_per_session: day.rounds_per_player.div_ceil(u32::try_from(sessions).unwrap_or(1)),
            session: None,
            is_over: false,
            balance: 0,
            events: 0,
            waiting: VecDeque::new(),
            totals: Totals::default(),
        }
    }

    /// The time of the next event, in ms; `None` at the end of the player's day.
    fn peek(&mut self) -> Option<u64> {
        while self.waiting.is_empty() && !self.is_over {
            self.go_on();
        }
        self.waiting.front().map(|(at, _)| *at)
    }

    fn take(&mut self) -> Option<Value> {
        self.peek()?;
        self.waiting.pop_front().map(|(_, event)| event)
    }

    fn go_on(&mut self) {
        match self.session {
            None => self.begin_session(),
            Some((began, left)) if left > 0 => {
                self.session = Some((began, left - 1));
                self.rounds_left -= 1;
                self.play_round();
            }
            Some((began, _)) => self.end_session(began),
        }
    }

    fn begin_session(&mut self) {
        let (number, is_first) = (self.number, self.totals.sessions == 0);
        self.session = Some((self.now_ms, self.rounds_per_session.min(self.rounds_left)));
        let address = format!("203.0.113.{}", 1 + number % 250);
        self.tell(
            "LOGIN",
            json!({ "device_id": format!("device-{}", self.day.players[number - 1]), "ip": address }),
        );
        self.totals.logins += 1;
        if is_first && number % 10 == 1 {
            self.tell("KYC_COMPLETED", json!({}));
            self.totals.kyc_completed = true;
        }
        if is_first && number % 10 == 2 {
            let depth = Decimal::from(40 + self.chance.below(13) * 5);
            self.tell("PROFILE", json!({ "value": depth }));
            self.totals.profile_depth = Some(depth);
        }
        if is_first {
            self.deposit();
        }
    }

    fn deposit(&mut self) {
        let amount = (20 + self.chance.below(19) * 10) * 100 * self.scale();
        let method = format!("card-{}", self.day.players[self.number - 1]);
        self.tell("DEPOSIT", json!({ "amount": money(amount), "payment_method": method }));
        self.balance += amount;
        self.totals.deposited += money(amount);
    }

    /// One player in twenty plays for ten times the amounts.
    fn scale(&self) -> u64 {
        if self.number.is_multiple_of(20) { 10 } else { 1 }
    }

    fn play_round(&mut self) {
        let stake = (2 + self.chance.below(99)) * 10 * self.scale();
        if self.balance < stake {
            self.deposit();
        }
        let (game, wins, most) = GAMES[usize::try_from(self.chance.below(GAMES.len() as u64)).unwrap_or(0)];
        let round = format!(
            "{}-{}-{}",
            self.day.date.strftime("%Y%m%d"),
            self.day.seed,
            self.events + 1
        );
        let play = |amount| json!({ "amount": money(amount), "game": game, "round_id": round });
        let staked = self.tell("STAKE", play(stake));
        // Between one and `most` stakes in steps of a quarter: `(1 + most) / 2` on average.
        let paid = if self.chance.below(1000) < wins {
            stake * (4 + self.chance.below((most - 1) * 4 + 1)) / 4
        } else {
            0
        };
        if self.chance.below(100) == 0 {
            if paid > 0 {
                let paid = self.tell("PAYOUT", play(paid));
                self.tell("VOID", json!({ "voids": paid }));
            }
            self.tell("VOID", json!({ "voids": staked }));
            self.totals.voided_bets += 1;
            return;
        }
        self.tell("PAYOUT", play(paid));
        self.balance = self.balance - stake + paid;
        self.totals.wagered += money(stake);
        self.totals.won += money(paid);
        self.totals.bets += 1;
    }

    fn end_session(&mut self, began: u64) {
        const UNIT: u64 = 3;
        let minutes = (self.now_ms - began).div_ceil(60_000 * UNIT).max(1) * UNIT;
        self.tell("SESSION", json!({ "minutes": minutes }));
        self.totals.sessions += 1;
        self.totals.minutes += minutes;
        self.session = None;
        if self.rounds_left > 0 {
            self.now_ms += self.chance.below(2 * HOUR_MS);
            return;
        }
        let whole = self.balance / 200 * 100;
        if whole >= 2_000 && self.chance.below(3) == 0 {
            self.tell(
                "WITHDRAWAL",
                json!({
                    "amount": money(whole),
                    "payment_method": format!("card-{}", self.day.players[self.number - 1]),
                }),
            );
            self.totals.withdrawn += money(whole);
        }
        self.is_over = true;
    }

    /// Adds an event and returns its id.
    fn tell(&mut self, event_type: &str, mut event: Value) -> String {
        let (day, player) = (self.day, &self.day.players[self.number - 1]);
        self.events += 1;
        self.now_ms += 1 + self.chance.below(self.pause_ms_max);
        let event_id = format!("{}-{}-{player}-{}", day.date.strftime("%Y%m%d"), day.seed, self.events);
        event["event_id"] = json!(event_id);
        event["player_id"] = json!(player);
        event["type"] = json!(event_type);
        event["occurred_at"] = json!(instant(day.date, self.now_ms));
        self.waiting.push_back((self.now_ms, event));
        event_id
    }
}

fn instant(date: Date, ms: u64) -> Timestamp {
    let midnight = date.to_zoned(TimeZone::UTC).expect("a day of UTC").timestamp();
    midnight + SignedDuration::from_millis(i64::try_from(ms).expect("within the day"))
}

fn money(cents: u64) -> Decimal {
    Decimal::new(i64::try_from(cents).expect("an amount of play"), 2)
}

/// `SplitMix64` by Steele, Lea and Flood (2014): small, and the same on every platform.
#[derive(Debug)]
struct Chance(u64);

impl Chance {
    /// An independent stream for each player.
    fn new(seed: u64, index: usize) -> Self {
        let mut of_seed = Self(seed);
        Self(of_seed.next() ^ Self(index as u64).next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// 0 to `bound - 1`. The modulo bias is negligible for bounds as small as these.
    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
