use crate::{after_hours, d};
use domain::id::GrantId;
use domain::metrics::Totals;
use domain::risk::{
    CashierEvent, CashierKind, GameStakes, PlayedGrant, ReceivedBonus, RecentStakes, RiskFacts, Shared, SharedKind,
    SignalType, detect,
};
use domain::settings::Settings;
use serde_json::{Value, json};
use uuid::Uuid;

/// A player who deposits and plays, and raises no signal.
fn honest() -> Totals {
    Totals {
        deposited: d("100"),
        wagered: d("5000"),
        won: d("4800"),
        ..Totals::default()
    }
}

fn raised(totals: &Totals, facts: &RiskFacts) -> Vec<&'static str> {
    detect(totals, facts, &Settings::default())
        .iter()
        .map(|finding| finding.signal_type.as_str())
        .collect()
}

fn evidence(totals: &Totals, facts: &RiskFacts, signal_type: SignalType) -> Value {
    let findings = detect(totals, facts, &Settings::default());
    findings
        .into_iter()
        .find(|finding| finding.signal_type == signal_type)
        .unwrap()
        .evidence
}

fn grant(id: u128) -> GrantId {
    GrantId(Uuid::from_u128(id))
}

#[test]
fn bonuses_without_a_deposit() {
    for (deposited, bonuses, expected) in [("0", 0, false), ("0", 1, true), ("0.01", 1, false), ("0", 7, true)] {
        let totals = Totals {
            deposited: d(deposited),
            ..Totals::default()
        };
        let facts = RiskFacts {
            bonuses_count: bonuses,
            ..RiskFacts::default()
        };
        assert_eq!(
            raised(&totals, &facts) == ["BONUS_ONLY_PLAY"],
            expected,
            "{deposited} deposited, {bonuses} bonuses"
        );
    }
}

fn withdrawal(hours: i64, amount: &str) -> CashierEvent {
    CashierEvent {
        kind: CashierKind::Withdrawal,
        event_id: format!("w{hours}"),
        at: after_hours(hours),
        amount: d(amount),
    }
}

fn deposit(hours: i64, amount: &str) -> CashierEvent {
    CashierEvent {
        kind: CashierKind::Deposit,
        event_id: format!("d{hours}"),
        at: after_hours(hours),
        amount: d(amount),
    }
}

fn bonus(hours: i64) -> ReceivedBonus {
    ReceivedBonus {
        grant_id: grant(7),
        at: after_hours(hours),
    }
}

#[test]
fn a_withdrawal_within_a_day_after_a_bonus() {
    let facts = |withdrawn_at: &[i64]| RiskFacts {
        cashier: withdrawn_at.iter().map(|hours| withdrawal(*hours, "50")).collect(),
        bonuses: vec![bonus(0)],
        ..RiskFacts::default()
    };
    for (hours, expected) in [(-1, false), (0, true), (24, true), (25, false)] {
        assert_eq!(
            raised(&honest(), &facts(&[hours])) == ["IMMEDIATE_WITHDRAWAL"],
            expected,
            "{hours} hours after"
        );
    }
    let seen = evidence(&honest(), &facts(&[2, 20, 30]), SignalType::ImmediateWithdrawal);
    assert_eq!(
        (&seen["event_id"], seen["amount"].to_string()),
        (&json!("w20"), "50.00".to_owned())
    );
}

fn played(is_active: bool, recent: (i64, &str, &str), games: &[(&str, i64, &str)]) -> PlayedGrant {
    let (count, smallest, largest) = recent;
    let games = games.iter().map(|(game, count, staked)| GameStakes {
        game: (*game).into(),
        count: *count,
        staked: d(staked),
    });
    let recent = RecentStakes {
        count,
        smallest: d(smallest),
        largest: d(largest),
    };
    PlayedGrant {
        grant_id: grant(7),
        is_active,
        recent,
        games: games.collect(),
    }
}

#[test]
fn stakes_of_very_different_size_on_an_active_bonus() {
    for (is_active, recent, expected) in [
        (true, (10, "1", "10.01"), true),
        (true, (10, "1", "10"), false),
        (true, (9, "1", "500"), false),
        (true, (20, "0.50", "5.01"), true),
        (false, (20, "1", "500"), false),
    ] {
        let facts = RiskFacts {
            played: vec![played(is_active, recent, &[("slots", 20, "100")])],
            ..RiskFacts::default()
        };
        assert_eq!(
            raised(&honest(), &facts) == ["BET_MANIPULATION"],
            expected,
            "{is_active} {recent:?}"
        );
    }
}

#[test]
fn a_bonus_wagered_on_games_with_a_small_edge() {
    for (games, expected) in [
        (&[("blackjack", 5, "80.01"), ("slots", 5, "19.99")][..], true),
        (&[("blackjack", 5, "80"), ("slots", 5, "20")], false),
        (&[("roulette", 10, "100")], false), // 0.027
        (&[("", 10, "100")], false),         // unknown: the program's 0.05
        (&[("blackjack", 1, "5")], true),
    ] {
        for is_active in [true, false] {
            let facts = RiskFacts {
                played: vec![played(is_active, (2, "5", "5"), games)],
                ..RiskFacts::default()
            };
            assert_eq!(
                raised(&honest(), &facts) == ["LOW_RISK_WAGERING"],
                expected,
                "{games:?}"
            );
        }
    }
}

#[test]
fn a_return_that_luck_does_not_explain() {
    // With edge 0.05 and a standard deviation of 5 bets, 10,000 bets return 0.95 ± 0.05: four deviations are 1.15.
    for (wagered, won, bets, expected) in [
        ("1000", "1150", Some(10_000), false),
        ("1000", "1150.01", Some(10_000), true),
        ("1000", "500", Some(1_000_000), false), // improbably bad luck is no fraud
        ("999.99", "9999", Some(10_000), false),
        ("1000", "2000", None, false),
        ("1000", "2000.01", None, true),
        ("999.99", "9999", None, false),
        ("1000", "2500", Some(100), false), // few bets: 2.5 is within 0.95 ± 4 · 0.5
        ("1000", "2950.01", Some(100), true),
        ("1000", "2500", Some(0), true), // no bets counted: unknown
        ("999999999999999", "999999999999999", Some(i64::MAX), true),
    ] {
        let totals = Totals {
            wagered: d(wagered),
            won: d(won),
            bets,
            ..honest()
        };
        assert_eq!(
            raised(&totals, &RiskFacts::default()) == ["ABNORMAL_WIN_RATE"],
            expected,
            "{won} of {wagered}, {bets:?} bets"
        );
    }
    let totals = Totals {
        wagered: d("1000"),
        won: d("1200"),
        bets: Some(10_000),
        ..honest()
    };
    let seen = evidence(&totals, &RiskFacts::default(), SignalType::AbnormalWinRate);
    assert_eq!(
        (seen["z_score"].to_string(), seen["ratio"].to_string()),
        ("5.00".to_owned(), "1.20".to_owned())
    );
}

fn shared(accounts: i64, rewarded: &[&str]) -> RiskFacts {
    let rewarded = rewarded.iter().map(|id| (*id).to_owned()).collect();
    RiskFacts {
        shared: vec![Shared {
            kind: SharedKind::Device,
            mark: "0a1b2c3d".into(),
            accounts,
            rewarded,
        }],
        ..RiskFacts::default()
    }
}

#[test]
fn things_shared_with_a_rewarded_account() {
    for (accounts, rewarded, expected) in [
        (2, &["P002"][..], true),
        (2, &[], false),
        (20, &["P002"], true),
        (21, &["P002"], false),
        (5, &["P002", "P003"], true),
    ] {
        assert_eq!(
            raised(&honest(), &shared(accounts, rewarded)) == ["MULTI_ACCOUNT"],
            expected,
            "{accounts} accounts, {rewarded:?}"
        );
    }
    let seen = evidence(&honest(), &shared(5, &["P002"]), SignalType::MultiAccount);
    let expected =
        json!({ "shared": [{ "kind": "DEVICE", "mark": "0a1b2c3d", "accounts": 5, "rewarded_players": ["P002"] }] });
    assert_eq!(seen, expected);
}

/// Deposit, bonus an hour later and withdrawal 100 hours later, for each `(hours after noon, deposited, withdrawn)`.
fn cycling(cycles: &[(i64, &str, &str)]) -> RiskFacts {
    let mut facts = RiskFacts::default();
    for (hours, deposited, withdrawn) in cycles {
        facts
            .cashier
            .extend([deposit(*hours, deposited), withdrawal(hours + 100, withdrawn)]);
        facts.bonuses.push(bonus(hours + 1));
    }
    facts
}

const DAY: i64 = 24;

#[test]
fn deposit_bonus_and_withdrawal_three_times_in_30_days() {
    let thrice = |third: i64, withdrawn| [(0, "100", "90"), (10 * DAY, "100", "100"), (third, "100", withdrawn)];
    for (cycles, expected) in [
        (&thrice(30 * DAY, "90")[..], true),
        (&thrice(30 * DAY + 1, "90"), false),
        (&thrice(30 * DAY, "89.99"), false),
        (&thrice(30 * DAY, "90")[..2], false),
    ] {
        assert_eq!(
            raised(&honest(), &cycling(cycles)) == ["DEPOSIT_CYCLING"],
            expected,
            "{cycles:?}"
        );
    }
    let seen = evidence(&honest(), &cycling(&thrice(20 * DAY, "90")), SignalType::DepositCycling);
    assert_eq!(seen, json!({ "cycles": 3, "withdrawals": ["w100", "w340", "w580"] }));
}

#[test]
fn a_cycle_needs_its_bonus_and_sums_parts() {
    let without_bonuses = RiskFacts {
        bonuses: Vec::new(),
        ..cycling(&[(0, "100", "90"), (DAY, "100", "90"), (2 * DAY, "100", "90")])
    };
    assert_eq!(raised(&honest(), &without_bonuses), [""; 0]);

    // Deposits of 60 and 40, withdrawals of 50 and 40: 90 of 100. Three such cycles, ten days apart.
    let mut facts = RiskFacts::default();
    for start in [0, 10 * DAY, 20 * DAY] {
        let events = [
            deposit(start, "60"),
            deposit(start + 2, "40"),
            withdrawal(start + 100, "50"),
            withdrawal(start + 101, "40"),
        ];
        facts.cashier.extend(events);
        facts.bonuses.push(bonus(start + 1));
    }
    assert_eq!(raised(&honest(), &facts), ["DEPOSIT_CYCLING"]);
    facts
        .cashier
        .iter_mut()
        .filter(|event| event.amount == d("40"))
        .for_each(|event| event.amount = d("39"));
    assert_eq!(raised(&honest(), &facts), [""; 0]); // 89 of 99 is below 89.10
}

#[test]
fn a_withdrawal_before_the_bonus_takes_of_the_deposit() {
    // 100 deposited and 100 withdrawn before the bonus: nothing is left to cycle.
    let mut facts = RiskFacts::default();
    for start in [0, 5 * DAY, 10 * DAY] {
        facts.cashier.extend([
            deposit(start, "100"),
            withdrawal(start + 1, "100"),
            withdrawal(start + 100, "90"),
        ]);
        facts.bonuses.push(bonus(start + 2));
    }
    assert_eq!(raised(&honest(), &facts), [""; 0]);
}

#[test]
fn an_honest_player_raises_nothing() {
    assert_eq!(raised(&honest(), &RiskFacts::default()), [""; 0]);
}
