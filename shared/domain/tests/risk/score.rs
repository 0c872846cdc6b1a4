use crate::{after_hours, d, noon, open, signal};
use domain::risk::SignalType::{
    self, AbnormalWinRate, BetManipulation, BonusOnlyPlay, DepositCycling, ImmediateWithdrawal, LowRiskWagering,
    ManualReview, MultiAccount,
};
use domain::risk::{Decision, Finding, Judgement, Plan, Signal, SignalStatus, plan, score, weight};
use serde_json::json;

fn decision() -> Decision {
    Decision {
        at: noon(),
        by: "ann".into(),
        note: "seen".into(),
    }
}

fn judged(mut signal: Signal, judgements: &[Judgement]) -> Signal {
    for judgement in judgements {
        signal.judge(*judgement, decision()).unwrap();
    }
    signal
}

fn score_after(types: &[SignalType], days: i64) -> u8 {
    let signals: Vec<Signal> = types.iter().copied().map(open).collect();
    score(&signals, after_hours(24 * days), 90)
}

#[test]
fn severities_are_those_of_the_domain() {
    let severities = SignalType::ALL.map(|signal_type| (signal_type.as_str(), signal_type.severity()));
    let expected = [
        ("BONUS_ONLY_PLAY", 5),
        ("IMMEDIATE_WITHDRAWAL", 7),
        ("BET_MANIPULATION", 8),
        ("ABNORMAL_WIN_RATE", 9),
        ("LOW_RISK_WAGERING", 6),
        ("MULTI_ACCOUNT", 8),
        ("DEPOSIT_CYCLING", 6),
        ("POINTS_OVERSPENT", 5),
        ("BONUS_OVERDRAWN", 2),
        ("MANUAL_REVIEW", 10),
    ];
    assert_eq!(severities, expected);
}

#[test]
fn a_score_is_worked_by_hand() {
    let table: &[(&[SignalType], i64, u8)] = &[
        (&[], 0, 0),
        (&[BonusOnlyPlay], 0, 50),
        (&[BonusOnlyPlay], 89, 25),  // 50 · 2^(-89/90) = 25.19
        (&[BonusOnlyPlay], 90, 25),  // half
        (&[BonusOnlyPlay], 180, 13), // 12.5, half up
        (&[BonusOnlyPlay], 270, 6),  // 6.25
        (&[BonusOnlyPlay], 45, 35),  // 50 · 0.707107 = 35.36
        (&[MultiAccount], 0, 80),
        (&[MultiAccount], 90, 40),
        (&[MultiAccount], 180, 20),
        (&[ImmediateWithdrawal], 90, 35),
        (&[ImmediateWithdrawal], 180, 18), // 17.5
        (&[LowRiskWagering], 90, 30),      // of no consequence at the gate any more
        (&[ManualReview], 0, 100),
        (&[BonusOnlyPlay, LowRiskWagering], 0, 100), // 110
        (&[BonusOnlyPlay, LowRiskWagering], 90, 55),
        (&[BetManipulation, AbnormalWinRate, DepositCycling], 180, 58), // 230 / 4 = 57.5
        (&[ManualReview], 36_500, 0),
    ];
    for (types, days, expected) in table {
        assert_eq!(score_after(types, *days), *expected, "{types:?} after {days} days");
    }
}

#[test]
fn a_weight_halves_with_the_half_life_and_steps_by_whole_days() {
    for (age, half_life, expected) in [
        (0, 90, "1"),
        (90, 90, "0.5"),
        (180, 90, "0.25"),
        (30, 90, "0.793701"),
        (7, 14, "0.707107"),
        (1, 1, "0.5"),
        (4_000, 1, "0"),
    ] {
        assert_eq!(weight(age, half_life), d(expected), "{age} of {half_life}");
    }
    let hour_by_hour: Vec<i64> = [0, 23, 24, 47, 48]
        .into_iter()
        .map(|hours| open(MultiAccount).age_days(after_hours(hours)))
        .collect();
    assert_eq!(hour_by_hour, [0, 0, 1, 1, 2]);
    assert_eq!(
        open(MultiAccount).age_days(after_hours(-48)),
        0,
        "a clock that goes back does not add weight"
    );
}

#[test]
fn a_confirmed_signal_counts_in_full_and_a_resolved_one_not_at_all() {
    let confirmed = judged(open(MultiAccount), &[Judgement::Confirm]);
    assert_eq!(score([&confirmed], after_hours(24 * 180), 90), 80);
    let resolved = judged(open(MultiAccount), &[Judgement::Resolve]);
    assert_eq!(score([&resolved], noon(), 90), 0);
    assert_eq!(
        score(
            [&judged(open(MultiAccount), &[Judgement::Confirm, Judgement::Resolve])],
            noon(),
            90
        ),
        0
    );
}

#[test]
fn a_signal_is_confirmed_once_and_resolved_once() {
    let refused = |judgements: &[Judgement], next| {
        judged(open(MultiAccount), judgements)
            .judge(next, decision())
            .unwrap_err()
            .status
    };
    assert_eq!(
        refused(&[Judgement::Confirm], Judgement::Confirm),
        SignalStatus::Confirmed
    );
    assert_eq!(
        refused(&[Judgement::Resolve], Judgement::Resolve),
        SignalStatus::Resolved
    );
    assert_eq!(
        refused(&[Judgement::Resolve], Judgement::Confirm),
        SignalStatus::Resolved
    );
}

#[test]
fn what_is_known_by_its_evidence_changes_nothing() {
    let seen = json!({ "bonuses": 1 });
    let findings = |bonuses: i64| {
        vec![Finding {
            signal_type: BonusOnlyPlay,
            evidence: json!({ "bonuses": bonuses }),
        }]
    };
    let open = signal(BonusOnlyPlay, seen.clone());
    let confirmed = judged(open.clone(), &[Judgement::Confirm]);
    let resolved = judged(open.clone(), &[Judgement::Resolve]);
    for known in [&open, &confirmed, &resolved] {
        assert_eq!(
            plan(std::slice::from_ref(known), findings(1)),
            Plan::default(),
            "{:?}",
            known.status
        );
    }
    let raise = Plan {
        raise: findings(2),
        renew: Vec::new(),
    };
    assert_eq!(plan(&[], findings(2)), raise);
    assert_eq!(
        plan(std::slice::from_ref(&resolved), findings(2)),
        raise,
        "new evidence after a resolved signal"
    );
    let renewed = plan(std::slice::from_ref(&open), findings(2));
    assert_eq!(
        renewed,
        Plan {
            raise: Vec::new(),
            renew: vec![(open.signal_id, json!({ "bonuses": 2 }))]
        }
    );
    assert_eq!(
        plan(std::slice::from_ref(&confirmed), findings(2)),
        Plan::default(),
        "a person saw other evidence"
    );
    assert_eq!(
        plan(&[open], Vec::new()),
        Plan::default(),
        "a signal stays until it is resolved"
    );
}
