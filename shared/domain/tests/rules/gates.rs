//! Every gate with its figures, tested through the evaluation of a player.

use crate::support::{d, evaluate_player, evaluate_with, player, rule, rule_set, sample_player};
use domain::evaluate::{BudgetRooms, Decision, Evaluation, Verdict};
use domain::gate::cost::CostModel;
use domain::gate::{GateFigures, GateVerdict, profit};
use domain::id::RuleId;
use domain::player::{PlayerSnapshot, RewardSpend};
use domain::rule::{RewardType, Rule};
use domain::settings::{OnUnprofitable, RevenueBasis, Settings};
use rust_decimal::Decimal;
use serde_json::{Value, json};

fn gate<'a>(decision: &'a Decision, name: &str) -> &'a GateFigures {
    decision
        .gates
        .iter()
        .find(|gate| gate.kind().as_str() == name)
        .unwrap_or_else(|| panic!("{name} was not asked"))
}

fn figures(decision: &Decision, name: &str) -> Value {
    serde_json::to_value(gate(decision, name)).unwrap()["figures"].clone()
}

fn bonus(amount: i64, wagering_requirement: i64) -> Rule {
    rule(
        "BONUS",
        json!({"reward_config": {
            "type": "BONUS_BALANCE", "amount": amount, "wagering_requirement": wagering_requirement,
        }}),
    )
}

fn points(amount: i64) -> Rule {
    rule(
        "POINTS",
        json!({"reward_config": {"type": "LOYALTY_POINTS", "amount": amount}}),
    )
}

fn decide(player: &PlayerSnapshot, rule: Rule, settings: &Settings) -> (Decision, Evaluation) {
    let evaluation = evaluate_player(player, &rule_set(vec![rule]), settings);
    (evaluation.decisions[0].clone(), evaluation)
}

// ------------------------------------------------------------------------------------------ eligibility

#[test]
fn only_players_in_good_standing_are_rewarded() {
    let now = crate::support::NOW;
    let cases = [
        ("ELIGIBLE", true, false, None),
        ("INACTIVE", false, false, None),
        ("BLOCKED", true, true, None),
        ("SELF_EXCLUDED", true, false, Some("2026-11-23T12:00:01Z")),
        ("ELIGIBLE", true, false, Some(now)), // over at this instant
    ];
    for (status, is_active, is_blocked, until) in cases {
        let mut player = sample_player("P010");
        let standing = player.standing.as_mut().unwrap();
        standing.is_active = is_active;
        standing.is_blocked = is_blocked;
        standing.self_excluded_until = until.map(|at| at.parse().unwrap());
        let (decision, evaluation) = decide(&player, points(10), &Settings::default());
        assert_eq!(figures(&decision, "eligibility")["status"], status);
        assert_eq!(evaluation.grants.len(), usize::from(status == "ELIGIBLE"), "{status}");
    }
}

#[test]
fn a_standing_that_cannot_be_read_refuses() {
    let player = PlayerSnapshot {
        standing: None,
        ..sample_player("P010")
    };
    let (decision, evaluation) = decide(&player, points(10), &Settings::default());
    assert_eq!(
        (decision.verdict, figures(&decision, "eligibility")["status"].clone()),
        (Verdict::Refused, json!("UNKNOWN"))
    );
    assert!(evaluation.grants.is_empty());
}

// ------------------------------------------------------------------------------------------------ fraud

fn at_risk(risk_score: u8) -> PlayerSnapshot {
    PlayerSnapshot {
        risk_score,
        ..player("R", "0", "1000000", "1000000", 10)
    }
}

#[test]
fn the_penalty_grows_with_the_risk_score() {
    for (risk_score, amount, required) in [
        (0, "100", "1000"),
        (30, "100", "1000"),
        (31, "50", "500"),
        (60, "50", "500"),
        (61, "100", "2000"),
        (80, "100", "2000"),
    ] {
        let (decision, evaluation) = decide(&at_risk(risk_score), bonus(100, 10), &Settings::default());
        assert_eq!(
            (decision.amount, evaluation.grants[0].wagering_required),
            (d(amount), d(required)),
            "score {risk_score}"
        );
    }
    for risk_score in [81, 100] {
        let (decision, _) = decide(&at_risk(risk_score), bonus(100, 10), &Settings::default());
        assert_eq!(decision.reason.as_deref(), Some("refused by the fraud gate"));
    }
}

#[test]
fn twice_the_wagering_is_copied_onto_the_grant_and_lowers_its_cost() {
    let grant = |score| {
        decide(&at_risk(score), bonus(100, 10), &Settings::default())
            .1
            .grants
            .remove(0)
    };
    assert_eq!(grant(70).terms.unwrap().wagering_requirement, d("20"));
    assert!(grant(70).cost < grant(0).cost);
}

#[test]
fn the_penalty_stays_within_what_the_jurisdiction_allows() {
    let settings = Settings {
        max_wagering_multiplier: Some(d("15")),
        ..Settings::default()
    };
    assert_eq!(
        decide(&at_risk(70), bonus(100, 10), &settings).1.grants[0].wagering_required,
        d("1500")
    );
}

#[test]
fn half_an_amount_is_rounded_once_and_down() {
    let odd = rule(
        "ODD",
        json!({"reward_config": {"type": "LOYALTY_POINTS", "formula": "0.555 * 3"}}),
    ); // 1.665
    let (decision, _) = decide(&at_risk(40), odd, &Settings::default());
    assert_eq!((decision.reward_amount, decision.amount), (d("1.66"), d("0.83"))); // 0.8325
    let ticket = rule("TICKET", json!({"reward_config": {"type": "TICKETS", "amount": 1}}));
    assert_eq!(
        decide(&at_risk(40), ticket, &Settings::default()).0.verdict,
        Verdict::Refused
    );
}

// ----------------------------------------------------------------------------------------------- profit

/// 500 a week for 4 weeks at edge 0.05: 25 a week, 100 in total.
fn steady_player() -> PlayerSnapshot {
    player("S", "0", "2000", "2000", 10)
}

fn profit_of(player: &PlayerSnapshot, cost: &str, settings: &Settings) -> (GateVerdict, Value) {
    let model = CostModel::PerUnit(Decimal::ONE);
    let gate = profit(
        player,
        RewardType::Tickets,
        d("0.05"),
        d(cost),
        &model,
        &settings.profit,
    )
    .unwrap()
    .gate;
    (gate.verdict, serde_json::to_value(&gate).unwrap()["figures"].clone())
}

#[test]
fn four_weeks_of_500_pay_for_10_a_week_and_not_for_100() {
    let (verdict, figures) = profit_of(&steady_player(), "40", &Settings::default());
    assert_eq!(
        (verdict, figures["profit"].to_string()),
        (GateVerdict::Approve, "60.00".to_owned())
    ); // 15 a week
    let (verdict, figures) = profit_of(&steady_player(), "400", &Settings::default());
    assert_eq!(
        (verdict, figures["profit"].to_string()),
        (GateVerdict::Refuse, "-300.00".to_owned())
    ); // −75 a week
}

#[test]
fn a_reward_that_costs_exactly_what_it_earns_passes() {
    assert_eq!(
        profit_of(&steady_player(), "100", &Settings::default()).0,
        GateVerdict::Approve
    );
    assert_eq!(
        profit_of(&steady_player(), "101", &Settings::default()).0,
        GateVerdict::Refuse
    );
}

#[test]
fn the_return_must_reach_its_minimum() {
    let mut settings = Settings::default();
    settings.profit.min_roi = d("0.25");
    let (verdict, figures) = profit_of(&steady_player(), "80", &settings);
    assert_eq!(
        (verdict, figures["roi"].to_string()),
        (GateVerdict::Approve, "0.25".to_owned())
    );
    assert_eq!(profit_of(&steady_player(), "81", &settings).0, GateVerdict::Refuse);
    settings.profit.min_roi = d("-1"); // a loss never passes
    assert_eq!(profit_of(&steady_player(), "101", &settings).0, GateVerdict::Refuse);
}

#[test]
fn the_revenue_can_be_the_increment_alone() {
    let mut settings = Settings::default();
    settings.profit.revenue_basis = RevenueBasis::Incremental;
    // P002: 5000 × (1.8 − 1) × 0.05 = 200 for a bonus; 375 would have been 125 for cashback.
    let (decision, _) = decide(&sample_player("P002"), bonus(100, 10), &settings);
    assert_eq!(figures(&decision, "profit")["revenue"].to_string(), "200.00");
    assert_eq!(figures(&decision, "profit")["multiplier"].to_string(), "0.8");
}

#[test]
fn the_base_is_the_last_30_days_or_the_prior_of_a_player_without_history() {
    let mut settings = Settings::default();
    settings
        .profit
        .prior_wager
        .insert(domain::segment::Segment::New, d("1000"));
    let fresh = player("F", "0", "0", "0", 0);
    assert_eq!(profit_of(&fresh, "50", &settings).1["revenue"].to_string(), "50.00");
    let mut idle = steady_player();
    idle.windows.wagered_30d = Decimal::ZERO; // has a history, and none of it recent
    assert_eq!(profit_of(&idle, "50", &settings).1["base_wager"].to_string(), "0.00");
}

#[test]
fn an_unprofitable_reward_can_be_reduced_to_the_largest_that_pays() {
    let mut settings = Settings::default();
    settings.profit.on_unprofitable = OnUnprofitable::Reduce;
    // P002: a bonus of 770 costs 580.89 and earns 450. The cost is 0.7544 of the bonus: 596.50.
    let (decision, evaluation) = decide(&sample_player("P002"), bonus(770, 10), &settings);
    assert_eq!(decision.verdict, Verdict::Reduced);
    assert_eq!(decision.reason.as_deref(), Some("reduced by the gates: profit"));
    let grant = &evaluation.grants[0];
    assert!(grant.cost <= d("450.00") && grant.cost > d("449.98"), "{}", grant.cost);
    assert_eq!(grant.wagering_required, grant.amount * d("10"));
    let one_cent_more = CostModel::bonus(grant.terms.as_ref().unwrap(), Decimal::ZERO, None, &settings.profit);
    assert!(one_cent_more.cost(grant.amount + d("0.01")).unwrap() > d("450.00"));
}

#[test]
fn nothing_pays_where_nothing_is_earned() {
    let mut settings = Settings::default();
    settings.profit.on_unprofitable = OnUnprofitable::Reduce;
    let fresh = player("F", "0", "0", "0", 0);
    assert_eq!(decide(&fresh, bonus(100, 10), &settings).0.verdict, Verdict::Refused);
}

#[test]
fn eligible_games_decide_the_edge() {
    let on_roulette = rule(
        "R",
        json!({"reward_config": {
            "type": "BONUS_BALANCE", "amount": 10, "wagering_requirement": 10,
            "eligible_games": ["roulette", "blackjack"],
        }}),
    );
    let (decision, _) = decide(&steady_player(), on_roulette, &Settings::default());
    assert_eq!(figures(&decision, "profit")["edge"].to_string(), "0.016");
}

#[test]
fn the_average_bet_of_the_player_decides_the_cost() {
    // As WELCOME_BONUS: bets of 5.
    let mut player = sample_player("P004");
    player.totals.bets = Some(100); // 500 / 100
    let (_, evaluation) = decide(&player, bonus(25, 10), &Settings::default());
    assert_eq!(evaluation.grants[0].cost, d("22.52"));
}

// ------------------------------------------------------------------------------------------------- caps

fn spent(day: &str, days_7: &str, days_30: &str) -> PlayerSnapshot {
    let spend = RewardSpend {
        day: d(day),
        days_7: d(days_7),
        days_30: d(days_30),
    };
    PlayerSnapshot {
        spend,
        ..player("C", "0", "10000000", "10000000", 10)
    }
}

#[test]
fn a_reward_above_the_room_of_any_cap_is_reduced_to_it() {
    // 100,000 points cost 1000.
    for (player, amount) in [
        (spent("0", "0", "0"), "100000"),
        (spent("900.01", "900.01", "900.01"), "9999"),
        (spent("0", "4990", "4990"), "1000"),
        (spent("0", "0", "19999.99"), "1"),
    ] {
        let (decision, evaluation) = decide(&player, points(150_000), &Settings::default());
        assert_eq!(
            (decision.verdict, decision.amount),
            (Verdict::Reduced, d(amount)),
            "{:?}",
            player.spend
        );
        assert_eq!(evaluation.grants[0].cost, d(amount) * d("0.01"));
    }
    let (decision, _) = decide(&spent("1000", "1000", "1000"), points(10), &Settings::default());
    assert_eq!(
        (decision.verdict, decision.reason.as_deref()),
        (Verdict::Refused, Some("refused by the caps gate"))
    );
    let (decision, _) = decide(&spent("1200", "1200", "1200"), points(10), &Settings::default()); // the cap was lowered
    assert_eq!(decision.verdict, Verdict::Refused);
}

#[test]
fn a_bonus_is_reduced_until_its_cost_fits() {
    let (decision, evaluation) = decide(&spent("900", "900", "900"), bonus(480, 10), &Settings::default());
    assert_eq!(decision.verdict, Verdict::Reduced);
    let grant = &evaluation.grants[0];
    assert!(grant.cost <= d("100") && grant.cost > d("99.98"), "{}", grant.cost);
    assert_eq!(grant.wagering_required, grant.amount * d("10"));
}

#[test]
fn the_room_shrinks_within_one_evaluation() {
    let settings = Settings {
        max_rewards_per_evaluation: 3,
        ..Settings::default()
    };
    let give = |rule_id: &str, priority: i32| {
        rule(
            rule_id,
            json!({"priority": priority, "reward_config": {"type": "LOYALTY_POINTS", "amount": 60_000}}),
        )
    };
    let rules = rule_set(vec![give("A", 3), give("B", 2), give("C", 1)]);
    let evaluation = evaluate_player(&spent("0", "0", "0"), &rules, &settings);
    let amounts: Vec<_> = evaluation
        .decisions
        .iter()
        .map(|decision| (decision.verdict, decision.amount))
        .collect();
    assert_eq!(
        amounts,
        [
            (Verdict::Granted, d("60000")),
            (Verdict::Reduced, d("40000")),
            (Verdict::Refused, d("0"))
        ]
    );
}

// ----------------------------------------------------------------------------------------------- budget

fn budgeted(total: Option<&str>, per_day: Option<&str>) -> Rule {
    rule(
        "B",
        json!({
            "budget": {"total": total, "per_day": per_day},
            "reward_config": {"type": "LOYALTY_POINTS", "amount": 1000},
        }),
    ) // costs 10
}

#[test]
fn a_budget_grants_whole_amounts_until_it_is_spent() {
    let rules = rule_set(vec![budgeted(Some("35"), None)]);
    let mut budgets = BudgetRooms::of(&rules, |_| Default::default());
    let granted: Vec<bool> = (0..5)
        .map(|_| {
            !evaluate_with(&steady_player(), &rules, &Settings::default(), None, &mut budgets)
                .grants
                .is_empty()
        })
        .collect();
    assert_eq!(granted, [true, true, true, false, false]); // 5 are left, and nobody gets 500 points
    assert_eq!(budgets.room(&RuleId::parse("B").unwrap()).unwrap().total, Some(d("5")));
}

#[test]
fn the_day_and_the_total_both_bind() {
    let granted = |total, day, reserved: (&str, &str)| {
        let rules = rule_set(vec![budgeted(total, day)]);
        let mut budgets = BudgetRooms::of(&rules, |_| (d(reserved.0), d(reserved.1)));
        !evaluate_with(&steady_player(), &rules, &Settings::default(), None, &mut budgets)
            .grants
            .is_empty()
    };
    assert!(granted(Some("100"), Some("20"), ("90", "10")));
    assert!(!granted(Some("100"), Some("20"), ("90.01", "0")));
    assert!(!granted(Some("100"), Some("20"), ("10", "10.01")));
    assert!(granted(None, Some("20"), ("1000", "10")));
    assert!(!granted(Some("100"), None, ("120", "0"))); // the budget was lowered
}

#[test]
fn a_budget_that_was_not_read_is_not_spent() {
    let rules = rule_set(vec![budgeted(Some("1000"), None)]);
    let evaluation = evaluate_with(
        &steady_player(),
        &rules,
        &Settings::default(),
        None,
        &mut BudgetRooms::default(),
    );
    assert_eq!(
        evaluation.decisions[0].reason.as_deref(),
        Some("refused by the budget gate")
    );
}
