//! Players as make_players.py draws them, and besides a last deposit for half of them and up to 999 points. Of the
//! rules of the sample only WINNING_STREAK meets none: nobody wins one and a half times the stake.

use domain::id::PlayerId;
use domain::metrics::{Totals, Windows};
use domain::player::{AccountStanding, Balances, PlayerSnapshot, RewardSpend};
use domain::segment::{SegmentThresholds, classify};
use jiff::ToSpan;
use jiff::civil::Date;
use rust_decimal::Decimal;

/// The same `seed` gives the same players.
pub fn players(count: u64, seed: u64, today: Date) -> Vec<PlayerSnapshot> {
    let mut random = Random(seed);
    (0..count).map(|number| player(number, &mut random, today)).collect()
}

fn player(number: u64, random: &mut Random, today: Date) -> PlayerSnapshot {
    let deposited = (6.0 + 1.5 * random.normal()).exp();
    let wagered = deposited * random.between(0.5, 8.0);
    let won = wagered * random.between(0.3, 1.3);
    let last_deposit = (random.between(0.0, 1.0) < 0.5).then(|| random.below(60));
    let totals = Totals {
        deposited: cents(deposited),
        wagered: cents(wagered),
        won: cents(won),
        session_count: 1 + i32::try_from(random.below(150)).expect("small"),
        playtime_hours: cents(random.between(1.0, 300.0)),
        last_deposit_date: last_deposit.map(|days| today.saturating_sub(i32::try_from(days).expect("small").days())),
        ..Totals::default()
    };
    let windows = Windows {
        wagered_30d: totals.wagered,
        won_30d: totals.won,
        deposited_30d: totals.deposited,
        active_days_30d: 1,
        ..Windows::default()
    };
    PlayerSnapshot {
        player_id: PlayerId::parse(&format!("B{number:08}")).expect("an id"),
        standing: Some(AccountStanding {
            is_active: true,
            is_blocked: false,
            self_excluded_until: None,
        }),
        segment: Some(classify(&totals, &SegmentThresholds::default())),
        tier: "BRONZE".to_owned(),
        totals,
        windows,
        losses: None,
        deposit_count: None,
        balances: Balances {
            lp: Decimal::from(random.below(1_000)),
            ..Balances::default()
        },
        risk_score: 0,
        kyc_completed: false,
        profile_depth: Decimal::ZERO,
        registered_at: None,
        spend: RewardSpend::default(),
        past_grants: Vec::new(),
    }
}

fn cents(amount: f64) -> Decimal {
    Decimal::new((amount * 100.0).round() as i64, 2)
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * ((self.next() >> 11) as f64 / (1_u64 << 53) as f64)
    }

    /// Box and Muller.
    fn normal(&mut self) -> f64 {
        let (u, v) = (self.between(f64::MIN_POSITIVE, 1.0), self.between(0.0, 1.0));
        (-2.0 * u.ln()).sqrt() * (std::f64::consts::TAU * v).cos()
    }
}
