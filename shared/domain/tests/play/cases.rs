//! Cases with figures worked by hand, each in every order of arrival.

use crate::casino;
use crate::history::root;
use crate::world::{Casino, World, player_id, start};
use domain::activity::{Action, Event, Payout, Stake};
use domain::bonus::{Grant, GrantStatus, GrantTerms, MaxBetAction, NewGrant, OnWithdrawal};
use domain::id::EventId;
use domain::money::{Asset, Money, Positive};
use domain::rule::RewardType;
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;

pub fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

pub fn minute(minute: i64) -> Timestamp {
    start() + SignedDuration::from_mins(minute)
}

fn id(text: &str) -> EventId {
    EventId::parse(text).unwrap()
}

fn event(event_id: &str, at: i64, action: Action) -> Event {
    Event {
        event_id: id(event_id),
        player_id: player_id(),
        occurred_at: minute(at),
        action,
    }
}

fn amount(text: &str) -> Positive<Money> {
    Positive::<Money>::checked(d(text)).unwrap()
}

/// A stake on slots, of which `bonus` is bonus money.
pub fn stake(event_id: &str, at: i64, round_id: &str, staked: &str, bonus: &str) -> Event {
    let stake = Stake {
        amount: amount(staked),
        game: Some("slots".into()),
        round_id: Some(round_id.into()),
        bonus_amount: Money::of(d(bonus)),
    };
    event(event_id, at, Action::Stake(stake))
}

pub fn payout(event_id: &str, at: i64, round_id: &str, paid: &str) -> Event {
    let payout = Payout {
        amount: Money::of(d(paid)),
        round_id: Some(round_id.into()),
    };
    event(event_id, at, Action::Payout(payout))
}

fn void(event_id: &str, at: i64, voids: &str) -> Event {
    event(event_id, at, Action::Void { voids: id(voids) })
}

pub fn withdrawal(event_id: &str, at: i64) -> Event {
    event(event_id, at, Action::Withdrawal { amount: amount("10") })
}

/// A bonus that is given at this minute.
pub fn bonus(index: usize, at: i64, amount: &str, required: &str, terms: GrantTerms) -> NewGrant {
    NewGrant {
        player_id: player_id(),
        grant_id: root(index),
        rule: None,
        reward_type: RewardType::BonusBalance,
        asset: Asset::Bonus,
        amount: d(amount),
        cost: Decimal::ZERO,
        expected_revenue: None,
        wagering_required: d(required),
        expires_at: terms
            .expiry_hours
            .map(|hours| minute(at) + SignedDuration::from_hours(hours.into())),
        terms: Some(terms),
        issued_at: minute(at),
    }
}

pub fn kept() -> GrantTerms {
    GrantTerms {
        on_withdrawal: OnWithdrawal::Keep,
        ..GrantTerms::default()
    }
}

pub fn given<'a>(casino: &'a Casino, new: NewGrant) -> World<'a> {
    let mut world = World::new(casino);
    world.now = new.issued_at;
    world.issue(new).unwrap();
    world
}

/// The order of n things with this number.
fn permutation(n: usize, mut number: usize) -> Vec<usize> {
    let mut left: Vec<usize> = (0..n).collect();
    (1..=n)
        .rev()
        .map(|choices| {
            let pick = left.remove(number % choices);
            number /= choices;
            pick
        })
        .collect()
}

/// Gives the bonus, and delivers the events two hours later in every order: one at a time, in pairs, and together.
pub fn in_every_order(new: &NewGrant, events: &[Event], check: impl Fn(&World<'_>, &str)) {
    let casino = casino();
    let orders: usize = (1..=events.len()).product();
    for number in 0..orders {
        let order = permutation(events.len(), number);
        for size in [1, 2, events.len()] {
            let mut world = given(&casino, new.clone());
            world.now = minute(120);
            for batch in order.chunks(size) {
                let batch = batch.iter().map(|index| events[*index].clone()).collect();
                assert!(world.deliver(batch).unwrap().iter().all(Result::is_ok));
            }
            check(&world, &format!("{order:?} in batches of {size}"));
        }
    }
}

#[track_caller]
pub fn assert_bonus(grant: &Grant, (status, balance, wagered, owed): (GrantStatus, &str, &str, &str), order: &str) {
    let left = (grant.status, grant.balance, grant.wagering_completed, grant.cash());
    assert_eq!(left, (status, d(balance), d(wagered), d(owed)), "{order}");
}

#[test]
fn a_payout_waits_when_all_stakes_of_its_round_are_void() {
    let events = [
        stake("s", 10, "r", "100", "100"),
        void("v", 30, "s"),
        payout("p", 40, "r", "1000"),
    ];
    in_every_order(&bonus(0, 0, "100", "1000", kept()), &events, |world, order| {
        assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "100", "0", "0"), order);
        assert_eq!(world.totals.won, Decimal::ZERO, "{order}");
        assert_eq!(world.totals.wagered, Decimal::ZERO, "{order}");
    });
}

#[test]
fn a_withdrawal_between_stake_and_void_forfeits_all_of_the_bonus() {
    let events = [
        stake("s", 10, "r", "100", "100"),
        withdrawal("w", 20),
        void("v", 30, "s"),
        payout("p", 40, "r", "1000"),
    ];
    in_every_order(
        &bonus(0, 0, "100", "1000", GrantTerms::default()),
        &events,
        |world, order| {
            let grant = world.bonus(root(0));
            assert_bonus(grant, (GrantStatus::Forfeited, "0", "0", "0"), order);
            assert_eq!(grant.flows.lost, d("100"), "{order}");
            assert_eq!(world.totals.won, Decimal::ZERO, "{order}");
        },
    );
}

#[test]
fn a_completed_bonus_releases_no_more_than_its_limit_in_total() {
    let terms = GrantTerms {
        max_conversion: Some(d("0.2")),
        ..kept()
    };
    // The stake of real money completes it: the 50 left become 20 at most, and what comes back is beyond the limit.
    let events = [
        stake("s", 10, "r", "50", "50"),
        stake("t", 20, "q", "50", "0"),
        payout("p", 30, "r", "1000"),
        void("v", 40, "p"),
    ];
    in_every_order(&bonus(0, 0, "100", "100", terms), &events, |world, order| {
        let grant = world.bonus(root(0));
        assert_bonus(grant, (GrantStatus::Completed, "0", "100", "20"), order);
        assert_eq!(grant.flows.lost, d("30"), "{order}");
    });
}

#[test]
fn the_void_of_the_stake_that_emptied_a_bonus_brings_it_back() {
    let new = bonus(0, 0, "100", "1000", kept());
    let (s, v) = (stake("s", 10, "r", "100", "100"), void("v", 30, "s"));
    in_every_order(&new, &[s.clone(), v.clone()], |world, order| {
        assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "100", "0", "0"), order);
    });
    let (p, w) = (payout("p", 20, "r", "0"), void("w", 40, "p"));
    in_every_order(&new, &[s, v, p, w], |world, order| {
        assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "100", "0", "0"), order);
    });
}

#[test]
fn a_depleted_bonus_is_continued_by_a_successor() {
    let casino = casino();
    let mut world = given(&casino, bonus(0, 0, "100", "1000", kept()));
    world.now = minute(20);
    world
        .deliver(vec![stake("s", 10, "r", "100", "100"), payout("p", 20, "r", "0")])
        .unwrap();
    assert_bonus(world.bonus(root(0)), (GrantStatus::Depleted, "0", "100", "0"), "before");
    world.now = minute(30);
    world.deliver(vec![void("v", 30, "s")]).unwrap();
    let grant = world.bonus(root(0));
    assert_bonus(grant, (GrantStatus::Active, "100", "0", "0"), "after");
    assert_eq!(grant.corrects, Some(root(0)));
    assert_eq!(
        world.grants[&root(0)].status,
        GrantStatus::Depleted,
        "a terminal grant stays terminal"
    );
}

#[test]
fn a_withdrawal_from_before_a_bonus_leaves_it_alone() {
    let events = [withdrawal("w", 10), stake("s", 40, "r", "10", "10")];
    in_every_order(
        &bonus(0, 30, "100", "1000", GrantTerms::default()),
        &events,
        |world, order| {
            assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "90", "10", "0"), order);
        },
    );
}

#[test]
fn a_round_may_stake_and_pay_twice() {
    let events = [
        stake("s1", 10, "r", "50", "50"),
        payout("p1", 20, "r", "0"),
        stake("s2", 30, "r", "50", "50"),
        payout("p2", 40, "r", "200"),
    ];
    in_every_order(&bonus(0, 0, "100", "1000", kept()), &events, |world, order| {
        assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "200", "100", "0"), order);
    });
}

#[test]
fn the_void_of_a_late_payout_gives_the_limit_its_room_back() {
    let terms = GrantTerms {
        max_conversion: Some(d("0.2")),
        ..kept()
    };
    // All of 100 is staked in an open round when it completes; what comes back is the player's up to 20.
    let events = [
        stake("s", 10, "r", "100", "100"),
        payout("p", 20, "r", "20"),
        void("v", 30, "p"),
        payout("q", 40, "r", "15"),
    ];
    in_every_order(&bonus(0, 0, "100", "100", terms.clone()), &events, |world, order| {
        assert_bonus(world.bonus(root(0)), (GrantStatus::Completed, "0", "100", "15"), order);
    });
    let casino = casino();
    let mut world = given(&casino, bonus(0, 0, "100", "100", terms));
    for (at, event) in [10, 20, 30, 40].into_iter().zip(events) {
        world.now = minute(at);
        world.deliver(vec![event]).unwrap();
    }
    let told: Vec<_> = world
        .adjustments
        .iter()
        .map(|told| (told.cash_delta, told.total_owed))
        .collect();
    assert_eq!(told, [(d("-20"), d("0"))]);
}

#[test]
fn the_void_of_the_stake_that_completed_a_bonus_owes_the_conversion_back() {
    let events = [
        stake("s1", 10, "r", "60", "0"),
        stake("s2", 20, "q", "40", "0"),
        void("v", 30, "s2"),
    ];
    in_every_order(&bonus(0, 0, "100", "100", kept()), &events, |world, order| {
        assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "100", "60", "0"), order);
    });
    let casino = casino();
    let mut world = given(&casino, bonus(0, 0, "100", "100", kept()));
    for (at, event) in [10, 20, 30].into_iter().zip(events) {
        world.now = minute(at);
        world.deliver(vec![event]).unwrap();
    }
    let told: Vec<_> = world
        .adjustments
        .iter()
        .map(|told| (told.cash_delta, told.total_owed))
        .collect();
    assert_eq!(told, [(d("-100"), d("0"))]);
    assert_eq!(world.grants[&root(0)].status, GrantStatus::Completed);
    assert_eq!(world.bonus(root(0)).corrects, Some(root(0)));
}

#[test]
fn of_a_hundred_stakes_that_are_all_voided_nobody_keeps_cash() {
    let casino = casino();
    let mut world = given(&casino, bonus(0, 0, "100", "1000", kept()));
    for number in 0..100 {
        world.now = minute(number + 1);
        let round = format!("r{number}");
        world
            .deliver(vec![stake(&format!("s{number}"), number + 1, &round, "10", "0")])
            .unwrap();
    }
    assert_bonus(
        world.bonus(root(0)),
        (GrantStatus::Completed, "0", "1000", "100"),
        "staked",
    );
    world.now = minute(200);
    let voids = (0..100).map(|number| void(&format!("v{number}"), 150, &format!("s{number}")));
    for void in voids {
        world.deliver(vec![void]).unwrap();
    }
    assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "100", "0", "0"), "voided");
    let told: Decimal = world.adjustments.iter().map(|told| told.cash_delta).sum();
    assert_eq!(told, d("-100"));
}

#[test]
fn a_cancelled_withdrawal_forfeits_nothing() {
    let events = [withdrawal("w", 10), void("v", 20, "w"), stake("s", 30, "r", "10", "10")];
    in_every_order(
        &bonus(0, 0, "100", "1000", GrantTerms::default()),
        &events,
        |world, order| {
            assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "90", "10", "0"), order);
            assert_eq!(world.totals.withdrawn, Decimal::ZERO, "{order}");
            assert!(world.days.values().all(|day| day.withdrawn.is_zero()), "{order}");
        },
    );
}

#[test]
fn max_bet_bounds_what_a_round_contributes() {
    let terms = |max_bet_action| GrantTerms {
        max_bet: Some(d("5")),
        max_bet_action,
        ..kept()
    };
    let casino = casino();
    let events: Vec<Event> = (1..=20)
        .map(|at| stake(&format!("s{at:02}"), at, "r", "5", "0"))
        .collect();
    for size in [1, 3, 20] {
        for (action, status, wagered) in [
            (MaxBetAction::Ignore, GrantStatus::Active, "5"),
            (MaxBetAction::Forfeit, GrantStatus::Forfeited, "5"),
        ] {
            let mut world = given(&casino, bonus(0, 0, "100", "1000", terms(action)));
            world.now = minute(30);
            for batch in events.chunks(size) {
                world.deliver(batch.iter().rev().cloned().collect()).unwrap();
            }
            let grant = world.bonus(root(0));
            assert_eq!(
                (grant.status, grant.wagering_completed),
                (status, d(wagered)),
                "batches of {size}"
            );
        }
    }
    let single = [stake("a", 10, "r", "20", "0"), stake("b", 20, "q", "3", "0")];
    in_every_order(
        &bonus(0, 0, "100", "1000", terms(MaxBetAction::Ignore)),
        &single,
        |world, order| {
            assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "100", "8", "0"), order);
        },
    );
}

#[test]
fn a_payout_from_before_its_stake_stands_at_the_stake() {
    let events = [payout("p", 10, "r", "60"), stake("s", 20, "r", "40", "30")];
    in_every_order(&bonus(0, 0, "100", "1000", kept()), &events, |world, order| {
        // Three quarters of 60 return to the bonus.
        assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "115", "40", "0"), order);
        assert_eq!(world.totals.won, d("60"), "{order}");
    });
}
