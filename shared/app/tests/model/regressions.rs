//! Sequences that once failed, each with what was wrong, and some that random generation rarely finds.

use crate::operations::{Amount, Named, Operation, Rule, RuleTerms, Who};
use crate::run::Sequences;
use domain::money::Asset;

const TERMS: RuleTerms = RuleTerms {
    multiplier: 10,
    games: None,
    weights: Vec::new(),
    max_bet: None,
    max_bet_forfeits: false,
    max_conversion: None,
    kept_on_withdrawal: false,
    opt_in: false,
};

fn reward(asset: Asset, amount: u32, expiry: Option<u8>) -> Operation {
    Operation::Reward {
        rule: Some(Rule {
            asset,
            amount,
            expiry,
            terms: TERMS,
        }),
        who: Who::One(0),
    }
}

fn stake(cents: u32, round: u8) -> Operation {
    let amount = Amount::Cents(cents);
    Operation::Stake {
        player: 0,
        amount,
        bonus: amount,
        game: Some("slots"),
        round: Some(round),
        late_minutes: 0,
        named: Named::Anew,
    }
}

fn payout(cents: u32, round: u8) -> Operation {
    Operation::Payout {
        player: 0,
        amount: Amount::Cents(cents),
        round: Some(round),
        named: Named::Anew,
    }
}

fn agrees(operations: &[Operation]) {
    Sequences::new().run(operations).unwrap();
}

/// The expired bonus was recorded with the reason of the operation that happened to find it.
#[test]
fn what_expired_or_was_played_away_says_so_whatever_came_upon_it() {
    let other = reward(Asset::Rp, 100, None);
    agrees(&[
        reward(Asset::Bonus, 100, Some(1)),
        other,
        Operation::Wait { minutes: 420 },
        Operation::Reverse { back: 0, keyed: false },
    ]);
}

/// Due points expired and were deducted a second time from the player's other points.
#[test]
fn points_that_expire_as_they_are_taken_back_are_not_taken_twice() {
    let (due, other) = (reward(Asset::Rp, 100, Some(1)), reward(Asset::Rp, 300, None));
    agrees(&[
        due,
        other,
        Operation::Wait { minutes: 1_440 },
        Operation::Reverse { back: 1, keyed: false },
    ]);
}

/// A bonus of 10.00 to wager once, of which at most 10.00 convert. Two rounds of 5.00 complete it and pay 8.00 each:
/// the first becomes real money, of the second only 2.00.
#[test]
fn what_comes_back_late_counts_against_the_conversion_limit() {
    let terms = RuleTerms {
        max_conversion: Some(10),
        ..TERMS
    };
    let bonus = Operation::Reward {
        rule: Some(Rule {
            asset: Asset::Bonus,
            amount: 1_000,
            expiry: None,
            terms,
        }),
        who: Who::One(0),
    };
    agrees(&[bonus, stake(500, 0), stake(500, 1), payout(800, 0), payout(800, 1)]);
}

/// The payout counts with the first stake, waits when that is voided, and counts again with the second: it was posted
/// twice under one key.
#[test]
fn a_payout_that_counts_again_is_a_correction() {
    let void = Operation::Void {
        player: 0,
        event: 1,
        named: Named::Anew,
    };
    agrees(&[
        reward(Asset::Bonus, 2_000, None),
        stake(500, 0),
        payout(300, 0),
        void,
        stake(500, 0),
    ]);
}
