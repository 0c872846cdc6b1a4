//! Cases of time and of people's acts: the order at one instant, expiry, windows, blocks, deductions.

use crate::cases::{assert_bonus, bonus, d, given, in_every_order, kept, minute, payout, stake, withdrawal};
use crate::casino;
use crate::history::root;
use crate::world::{Casino, World};
use domain::account::What;
use domain::activity::{Event, EventError, Outcome, Remark};
use domain::bonus::{GrantStatus, GrantTerms};
use domain::idempotency::Answer;
use domain::settings::Settings;
use jiff::SignedDuration;

#[test]
fn what_was_played_while_blocked_completes_when_unblocked() {
    let casino = casino();
    let terms = GrantTerms {
        expiry_hours: Some(2),
        ..kept()
    };
    for (unblocked, status, cash) in [(100, GrantStatus::Completed, "100"), (121, GrantStatus::Expired, "0")] {
        for arrival in [20, 110, 130] {
            let mut world = given(&casino, bonus(0, 0, "100", "100", terms.clone()));
            let mut timeline = vec![
                (10, None),
                (arrival, Some(stake("s", 20, "r", "100", "0"))),
                (unblocked, None),
            ];
            timeline.sort_by_key(|(at, _)| *at);
            for (at, event) in timeline {
                world.now = minute(at);
                match event {
                    Some(event) => drop(world.deliver(vec![event]).unwrap()),
                    None if at == 10 => drop(world.act(What::Suspend).unwrap()),
                    None => drop(world.act(What::Resume).unwrap()),
                }
            }
            let grant = world.bonus(root(0));
            assert_eq!(
                (grant.status, grant.cash()),
                (status, d(cash)),
                "{unblocked}, {arrival}"
            );
        }
    }
}

#[test]
fn a_deduction_to_0_is_reversed_as_one_to_a_cent() {
    let casino = casino();
    for (deducted, left) in [("100", "0"), ("99.99", "0.01")] {
        let mut world = given(&casino, bonus(0, 0, "100", "1000", kept()));
        world.now = minute(10);
        let deduction = world.act(What::Deduct { amount: d(deducted) }).unwrap();
        assert_eq!(world.bonus(root(0)).balance, d(left));
        world.now = minute(20);
        world.act(What::Restore { deduction }).unwrap();
        assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "100", "0", "0"), deducted);
        // A stake from before takes its part first: the deduction took 70 at most, and gives that back.
        world.now = minute(30);
        world.deliver(vec![stake("s", 5, "r", "30", "30")]).unwrap();
        assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "70", "30", "0"), deducted);
        assert_eq!(world.interventions[0].parts[&root(0)], d("-70"));
    }
}

#[test]
fn a_stake_at_the_expiry_comes_too_late_and_one_before_counts_after_the_sweep() {
    let casino = casino();
    let terms = GrantTerms {
        expiry_hours: Some(1),
        ..kept()
    };
    let before = minute(60) - SignedDuration::from_micros(1);
    for (at, status, cash) in [
        (minute(60), GrantStatus::Expired, "0"),
        (before, GrantStatus::Completed, "100"),
    ] {
        for is_swept in [false, true] {
            let mut world = given(&casino, bonus(0, 0, "100", "100", terms.clone()));
            world.now = minute(61);
            if is_swept {
                world.sweep().unwrap();
                assert_eq!(world.bonus(root(0)).status, GrantStatus::Expired);
            }
            let stake = Event {
                occurred_at: at,
                ..stake("s", 0, "r", "100", "0")
            };
            world.deliver(vec![stake]).unwrap();
            let grant = world.bonus(root(0));
            assert_eq!(
                (grant.status, grant.cash()),
                (status, d(cash)),
                "{at}, swept: {is_swept}"
            );
        }
    }
}

fn answer(world: &mut World<'_>, event: Event) -> Result<Outcome, EventError> {
    match world.deliver(vec![event]).unwrap().remove(0)? {
        Answer::First(outcome) | Answer::Replayed(outcome) => Ok(outcome),
    }
}

#[test]
fn events_ahead_are_refused_and_old_ones_change_no_bonus() {
    let casino = Casino::new(Settings::default());
    let mut world = given(&casino, bonus(0, 0, "100", "1000", kept()));
    let days = |days: i64| 24 * 60 * days;
    world.now = minute(days(8));
    assert!(answer(&mut world, stake("a", days(8) + 5, "r", "10", "10")).is_ok());
    let ahead = answer(&mut world, stake("b", days(8) + 6, "r", "10", "10"));
    assert!(matches!(ahead, Err(EventError::InFuture { minutes_max: 5, .. })));
    assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "90", "10", "0"), "ahead");
    let old = answer(&mut world, stake("c", days(1) - 1, "q", "10", "10")).unwrap();
    assert_eq!(old.remark, Some(Remark::OutsideWindow));
    assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "90", "10", "0"), "old");
    assert_eq!(world.totals.wagered, d("20"));
    let within = answer(&mut world, stake("d", days(1), "q", "10", "10")).unwrap();
    assert_eq!(within.remark, None);
    assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "80", "20", "0"), "within");
    world.now = minute(days(30) + 1);
    let too_old = answer(&mut world, stake("e", 0, "r", "10", "10"));
    assert!(matches!(too_old, Err(EventError::TooOld { days_max: 30, .. })));
}

#[test]
fn a_stake_that_names_more_bonus_money_than_there_is_counts_the_rest_as_real() {
    let events = [stake("s", 10, "r", "100", "100"), payout("p", 20, "r", "200")];
    in_every_order(&bonus(0, 0, "40", "1000", kept()), &events, |world, order| {
        assert_bonus(world.bonus(root(0)), (GrantStatus::Active, "80", "100", "0"), order);
    });
    let casino = casino();
    let mut world = given(&casino, bonus(0, 0, "40", "1000", kept()));
    world.now = minute(20);
    let [staked, paid] = events;
    assert_eq!(answer(&mut world, staked).unwrap().overdrawn, d("60"));
    assert_eq!(answer(&mut world, paid).unwrap().real_amount, d("120"));
}

#[test]
fn at_one_instant_stakes_come_before_payouts_and_both_before_withdrawals() {
    let events = [
        withdrawal("a", 10),
        payout("b", 10, "r", "300"),
        stake("c", 10, "r", "100", "100"),
    ];
    // The withdrawal forfeits what the payout returned to the bonus.
    in_every_order(
        &bonus(0, 0, "100", "1000", GrantTerms::default()),
        &events,
        |world, order| {
            let grant = world.bonus(root(0));
            assert_bonus(grant, (GrantStatus::Forfeited, "0", "100", "0"), order);
            assert_eq!(grant.flows.lost, d("300"), "{order}");
        },
    );
}
