//! Which rules are evaluated, in which order, and when evaluation stops.

use crate::support::{
    NOW, catalogue, d, deposit, evaluate_player, evaluate_with, moment, parse_rule, player, rule, rule_set,
    sample_player,
};
use domain::evaluate::{BudgetRooms, Candidate, Evaluation, RuleSet, Verdict, evaluate};
use domain::facts::{EventFacts, Facts};
use domain::period::{Moment, Stretch};
use domain::player::{Claim, Entry, PastGrant, PlayerSnapshot};
use domain::rule::{Rule, Trigger};
use domain::settings::Settings;
use serde_json::{Value, json};

/// A player for whom every reward is profitable.
fn anyone() -> PlayerSnapshot {
    player("A", "0", "1000000", "1000000", 10)
}

fn at_most(max_rewards_per_evaluation: u32) -> Settings {
    Settings {
        max_rewards_per_evaluation,
        ..Settings::default()
    }
}

/// Rules from id, priority, and the differences to [`rule`].
type Definitions<'a> = Vec<(&'a str, i32, Value)>;

fn rules(rules: &[(&str, i32, Value)]) -> RuleSet {
    let with_priority = |(rule_id, priority, changes): &(&str, i32, Value)| {
        let mut changes = changes.clone();
        changes["priority"] = json!(priority);
        rule(rule_id, changes)
    };
    rule_set(rules.iter().map(with_priority).collect())
}

fn granted(evaluation: &Evaluation) -> Vec<&str> {
    evaluation.grants.iter().map(|grant| grant.rule_id.as_str()).collect()
}

const NEVER: fn() -> Value = || json!({"conditions": {"segment": "VIP"}});
const REFUSED: fn() -> Value = || json!({"reward_config": {"type": "TICKETS", "amount": 900_000}});
const NO_AMOUNT: fn() -> Value =
    || json!({"reward_config": {"type": "LOYALTY_POINTS", "formula": "net_loss / total_won * 0"}});

fn past_grant(rule_id: &str, period_key: &str) -> PastGrant {
    PastGrant {
        rule_id: rule_id.into(),
        claim: Claim {
            period_key: period_key.into(),
            ..Claim::default()
        },
    }
}

fn in_group(group: &str) -> Value {
    json!({"exclusive_group": group})
}

#[test]
fn the_highest_priority_that_passes_wins_and_exclusivity_only_excludes_what_is_below() {
    let any = || json!({});
    let in_the_group = |mut changes: Value| {
        changes["exclusive_group"] = json!("g");
        changes
    };
    // Rules, most rewards per evaluation, granted.
    let constellations: Vec<(Definitions<'_>, u32, Vec<&str>)> = vec![
        (vec![("A", 1, any()), ("B", 2, any())], 1, vec!["B"]),
        (vec![("B", 1, any()), ("A", 1, any())], 1, vec!["A"]),
        (vec![("A", -1, any()), ("B", 0, any())], 1, vec!["B"]),
        (vec![("A", 3, NEVER()), ("B", 2, any()), ("C", 1, any())], 1, vec!["B"]),
        (
            vec![("A", 3, REFUSED()), ("B", 2, any()), ("C", 1, any())],
            1,
            vec!["B"],
        ),
        (vec![("A", 3, NO_AMOUNT()), ("B", 2, any())], 1, vec!["B"]),
        (
            vec![("A", 3, any()), ("B", 2, any()), ("C", 1, any())],
            2,
            vec!["A", "B"],
        ),
        (
            vec![("A", 3, any()), ("B", 2, any()), ("C", 1, any())],
            10,
            vec!["A", "B", "C"],
        ),
        (vec![("A", 3, any())], 0, vec![]),
        (
            vec![("A", 3, in_group("g")), ("B", 2, in_group("g")), ("C", 1, any())],
            10,
            vec!["A", "C"],
        ),
        (
            vec![("A", 3, any()), ("B", 2, in_group("g")), ("C", 1, in_group("g"))],
            10,
            vec!["A", "B"],
        ),
        (
            vec![
                ("A", 3, in_group("g")),
                ("B", 2, in_group("h")),
                ("C", 1, in_group("g")),
            ],
            10,
            vec!["A", "B"],
        ),
        (
            vec![("A", 3, in_the_group(REFUSED())), ("B", 2, in_group("g"))],
            10,
            vec!["B"],
        ),
        (vec![("A", 3, REFUSED()), ("B", 2, REFUSED())], 10, vec![]),
        (
            vec![
                ("A", 3, in_the_group(NEVER())),
                ("B", 2, in_group("g")),
                ("C", 1, in_group("g")),
            ],
            10,
            vec!["B"],
        ),
        (
            vec![
                ("A", 3, in_the_group(NO_AMOUNT())),
                ("B", 2, in_group("g")),
                ("C", 1, in_group("g")),
            ],
            10,
            vec!["B"],
        ),
        (
            vec![
                ("A", 4, in_group("g")),
                ("B", 3, in_group("g")),
                ("C", 2, any()),
                ("D", 1, any()),
            ],
            2,
            vec!["A", "C"],
        ),
        (vec![("B", 1, in_group("g")), ("A", 1, in_group("g"))], 10, vec!["A"]),
    ];
    assert!(constellations.len() >= 12);
    for (definitions, max, expected) in constellations {
        let evaluation = evaluate_player(&anyone(), &rules(&definitions), &at_most(max));
        assert_eq!(granted(&evaluation), expected, "{definitions:?}, at most {max}");
    }
}

#[test]
fn what_does_not_match_is_not_recorded_and_what_is_refused_is() {
    let set = rules(&[
        ("A", 3, NEVER()),
        ("B", 2, REFUSED()),
        ("C", 1, json!({})),
        ("D", 0, json!({})),
    ]);
    let evaluation = evaluate_player(&anyone(), &set, &at_most(1));
    let decided: Vec<_> = evaluation
        .decisions
        .iter()
        .map(|decision| (decision.rule_id.as_str(), decision.verdict))
        .collect();
    assert_eq!(decided, [("B", Verdict::Refused), ("C", Verdict::Granted)]); // D is below what was granted
}

#[test]
fn a_player_without_a_matching_rule_leaves_nothing() {
    assert_eq!(
        evaluate_player(&anyone(), &rules(&[("A", 1, NEVER())]), &at_most(1)),
        Evaluation::default()
    );
}

#[test]
fn what_cannot_be_computed_is_not_applicable_with_the_reason() {
    let reason = |formula: &str| {
        let set = rules(&[(
            "A",
            1,
            json!({"reward_config": {"type": "LOYALTY_POINTS", "formula": formula}}),
        )]);
        let evaluation = evaluate_player(&anyone(), &set, &at_most(1));
        assert_eq!(
            (evaluation.grants.len(), evaluation.decisions[0].verdict),
            (0, Verdict::NotApplicable)
        );
        assert!(evaluation.decisions[0].gates.is_empty());
        evaluation.decisions[0].reason.clone().unwrap()
    };
    assert_eq!(reason("avg_bet_size * 2"), "avg_bet_size is not known for this player");
    assert_eq!(reason("100 / net_loss"), "division by zero");
    assert_eq!(reason("total_wagered ^ 8"), "the value is too large");
    assert_eq!(reason("net_loss"), "the amount is not above 0");
    assert_eq!(reason("0 - 5"), "the amount is not above 0");
    assert_eq!(reason("0.009"), "the amount rounds down to 0");
    assert_eq!(
        reason("999999999999999 * 10 + net_loss"),
        "the amount or its cost is too large"
    );
}

#[test]
fn conditions_that_cannot_be_computed_are_not_applicable_with_the_reason() {
    // `anyone` staked and won 1,000,000, so the net loss is 0, and the number of bets is unknown.
    let decided = |conditions: Value| {
        let set = rules(&[("A", 2, json!({"conditions": conditions})), ("B", 1, json!({}))]);
        let evaluation = evaluate_player(&anyone(), &set, &at_most(1));
        let decision = &evaluation.decisions[0];
        let of_a =
            (decision.rule_id.as_str() == "A").then(|| (decision.verdict, decision.reason.clone().unwrap_or_default()));
        (of_a, granted(&evaluation).join(" "))
    };
    let not_applicable = |reason: &str| (Some((Verdict::NotApplicable, reason.to_owned())), "B".to_owned());
    assert_eq!(
        decided(json!({"when": "100 / net_loss > 1"})),
        not_applicable("division by zero")
    );
    assert_eq!(
        decided(json!({"not": {"when": "100 / net_loss > 1"}})),
        not_applicable("division by zero")
    );
    assert_eq!(
        decided(json!({"any": [{"when": "total_wagered ^ 8 > 1"}, {"segment": "VIP"}]})),
        not_applicable("the value is too large")
    );
    // A part that decides alone does so, in any order.
    let matched = (Some((Verdict::Granted, String::new())), "A".to_owned());
    assert_eq!(
        decided(json!({"any": [{"when": "100 / net_loss > 1"}, {"net_loss": 0}]})),
        matched
    );
    assert_eq!(
        decided(json!({"any": [{"net_loss": 0}, {"when": "100 / net_loss > 1"}]})),
        matched
    );
    assert_eq!(
        decided(json!({"when": "100 / net_loss > 1", "segment": "VIP"})),
        (None, "B".to_owned())
    );
    // An unknown fact fails its comparison, so the rule does not match.
    assert_eq!(decided(json!({"when": "total_bets > 1"})), (None, "B".to_owned()));
}

#[test]
fn amounts_are_held_between_their_limits_and_rounded_down() {
    let amounts = |config: Value| {
        let evaluation = evaluate_player(
            &anyone(),
            &rules(&[("A", 1, json!({"reward_config": config}))]),
            &at_most(1),
        );
        (
            evaluation.decisions[0].formula_amount.unwrap(),
            evaluation.decisions[0].amount,
        )
    };
    assert_eq!(
        amounts(json!({"type": "LOYALTY_POINTS", "formula": "7.777"})),
        (d("7.777"), d("7.77"))
    );
    assert_eq!(
        amounts(json!({"type": "TICKETS", "formula": "7.777"})),
        (d("7.777"), d("7"))
    );
    assert_eq!(
        amounts(json!({"type": "LOYALTY_POINTS", "formula": "7.777", "min_amount": 10})),
        (d("7.777"), d("10"))
    );
    assert_eq!(
        amounts(json!({"type": "LOYALTY_POINTS", "formula": "7.777", "max_amount": 5})),
        (d("7.777"), d("5"))
    );
}

#[test]
fn one_reward_per_rule_and_period() {
    let paid = |period_key: &str| PlayerSnapshot {
        past_grants: vec![past_grant("A", period_key)],
        ..anyone()
    };
    for (cadence, period_key) in [
        ("ONCE", "ONCE"),
        ("DAILY", "2026-11-23"),
        ("WEEKLY", "2026-W48"),
        ("MONTHLY", "2026-11"),
    ] {
        let set = rules(&[("A", 2, json!({"cadence": cadence})), ("B", 1, json!({}))]);
        let evaluation = evaluate_player(&paid(period_key), &set, &at_most(1));
        assert_eq!(granted(&evaluation), ["B"], "{cadence}");
        assert_eq!(evaluation.decisions.len(), 1);
        let before = evaluate_player(&paid("2025"), &set, &at_most(1));
        assert_eq!(
            (granted(&before), before.grants[0].claim.period_key.as_str()),
            (vec!["A"], period_key)
        );
    }
}

#[test]
fn a_rule_per_event_pays_once_for_each_event_and_never_without_one() {
    let set = rules(&[(
        "A",
        1,
        json!({"cadence": "PER_EVENT", "reward_config": {"type": "LOYALTY_POINTS", "formula": "event_amount"}}),
    )]);
    let mut budgets = BudgetRooms::default();
    assert_eq!(evaluate_player(&anyone(), &set, &at_most(1)), Evaluation::default());
    let first = evaluate_with(&anyone(), &set, &at_most(1), Some(&deposit("E1", "40")), &mut budgets);
    assert_eq!(
        (first.grants[0].claim.period_key.as_str(), first.grants[0].amount),
        ("event:E1", d("40"))
    );
    let paid = PlayerSnapshot {
        past_grants: vec![past_grant("A", "event:E1")],
        ..anyone()
    };
    assert!(
        evaluate_with(&paid, &set, &at_most(1), Some(&deposit("E1", "40")), &mut budgets)
            .grants
            .is_empty()
    );
    assert!(
        !evaluate_with(&paid, &set, &at_most(1), Some(&deposit("E2", "40")), &mut budgets)
            .grants
            .is_empty()
    );
}

#[test]
fn a_paid_period_covers_its_instants_in_whatever_zone_it_was_cut() {
    // NOW is noon on Monday 23 November in UTC.
    let paid = |period_key: &str, from: &str, until: &str| {
        let mut past = past_grant("A", period_key);
        past.claim.span = Some(Stretch {
            from: from.parse().unwrap(),
            until: until.parse().unwrap(),
        });
        let player = PlayerSnapshot {
            past_grants: vec![past],
            ..anyone()
        };
        let set = rules(&[("A", 1, json!({"cadence": "DAILY"}))]);
        evaluate_player(&player, &set, &at_most(1)).grants.is_empty()
    };
    // In Kiritimati, 14 hours ahead, the 24th began at ten; in Berlin the 22nd ended at eleven the night before.
    assert!(paid("2026-11-24", "2026-11-23T10:00:00Z", "2026-11-24T10:00:00Z"));
    assert!(!paid("2026-11-22", "2026-11-21T23:00:00Z", "2026-11-22T23:00:00Z"));
    // Another cadence that the rule once had.
    assert!(!paid("2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"));
}

#[test]
fn an_entry_is_paid_once_in_thirty_days_per_rule_or_group_and_in_any_order() {
    let entered = |what: &str, at: &str| Entry {
        entered: what.into(),
        at: at.parse().unwrap(),
    };
    let set = |group: Value| {
        let per_event = json!({"trigger": ["TIER_CHANGED"], "cadence": "PER_EVENT", "exclusive_group": group});
        rules(&[("A", 1, per_event)])
    };
    let is_paid = |rule_id: &str, group: Option<&str>, before: Entry| {
        let mut past = past_grant(rule_id, "event:tier:1");
        (past.claim.exclusive_group, past.claim.entry) = (group.map(str::to_owned), Some(before));
        let player = PlayerSnapshot {
            past_grants: vec![past],
            ..anyone()
        };
        let event = EventFacts {
            trigger: Trigger::TierChanged,
            amount: None,
            entry: Some(entered("TIER_CHANGED:GOLD", NOW)),
            ..deposit("tier:2", "1")
        };
        let (catalogue, moment, settings) = (catalogue(), moment(), at_most(1));
        let candidate = Candidate {
            player: &player,
            facts: &Facts::of(&player, &catalogue, &moment, Some(&event)),
            event: Some(&event),
        };
        let set = set(group.map_or(Value::Null, Value::from));
        let called = set.called(Trigger::TierChanged, &moment, moment.now());
        evaluate(&candidate, &called, &settings, &mut BudgetRooms::default())
            .grants
            .is_empty()
    };
    // NOW is noon on 23 November.
    let gold = "TIER_CHANGED:GOLD";
    assert!(is_paid("A", None, entered(gold, "2026-10-24T12:00:01Z")));
    assert!(!is_paid("A", None, entered(gold, "2026-10-24T12:00:00Z")));
    assert!(is_paid("A", None, entered(gold, "2026-12-23T11:59:59Z")));
    assert!(!is_paid("A", None, entered("TIER_CHANGED:SILVER", NOW)));
    assert!(!is_paid("A", None, entered("SEGMENT_CHANGED:GOLD", NOW)));
    assert!(!is_paid("B", None, entered(gold, NOW)));
    assert!(is_paid("B", Some("g"), entered(gold, NOW)));
}

fn is_live(changes: Value, trigger: Trigger, now: &str, time_zone: &str) -> bool {
    let settings = Settings {
        time_zone: time_zone.into(),
        ..Settings::default()
    };
    let moment = Moment::new(now.parse().unwrap(), &settings).unwrap();
    !rule_set(vec![rule("A", changes)]).live(trigger, &moment).is_empty()
}

#[test]
fn rules_apply_while_they_are_active_in_their_time_and_on_their_days() {
    let at = |changes: Value, now: &str| is_live(changes, Trigger::Import, now, "UTC");
    let monday = "2026-11-23T12:00:00Z";
    assert!(at(json!({}), monday));
    assert!(!at(json!({"is_active": false}), monday));
    let times = || json!({"starts_at": "2026-11-23T12:00:00Z", "ends_at": "2026-11-24T12:00:00Z"});
    assert!(!at(times(), "2026-11-23T11:59:59Z"));
    assert!(at(times(), "2026-11-23T12:00:00Z"));
    assert!(at(times(), "2026-11-24T11:59:59Z"));
    assert!(!at(times(), "2026-11-24T12:00:00Z"));
    assert!(at(json!({"days_of_week": ["MON", "TUE"]}), monday));
    assert!(!at(json!({"days_of_week": ["SUN"]}), monday));
    // 23:30 UTC on Sunday is already Monday in Berlin.
    assert!(is_live(
        json!({"days_of_week": ["MON"]}),
        Trigger::Import,
        "2026-11-22T23:30:00Z",
        "Europe/Berlin"
    ));
    assert!(!is_live(
        json!({"days_of_week": ["MON"]}),
        Trigger::Import,
        "2026-11-22T23:30:00Z",
        "UTC"
    ));
}

#[test]
fn days_of_the_week_are_those_of_the_clock_on_the_wall_when_it_is_changed() {
    // Berlin: Sunday 29 March 2026 has 23 hours, from 23:00 to 22:00 UTC; Sunday 25 October has 25, from 22:00 to
    // 23:00 UTC.
    for (first, last) in [
        ("2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z"),
        ("2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z"),
    ] {
        let second = jiff::SignedDuration::from_secs(1);
        let [before, after] = [
            first.parse::<jiff::Timestamp>().unwrap() - second,
            last.parse::<jiff::Timestamp>().unwrap() + second,
        ];
        for (now, day) in [
            (before.to_string(), "SAT"),
            (first.into(), "SUN"),
            (last.into(), "SUN"),
            (after.to_string(), "MON"),
        ] {
            let days: Vec<&str> = ["SAT", "SUN", "MON"]
                .into_iter()
                .filter(|name| is_live(json!({"days_of_week": [name]}), Trigger::Import, &now, "Europe/Berlin"))
                .collect();
            assert_eq!(days, [day], "{now}");
        }
    }
}

#[test]
fn rules_apply_to_their_triggers() {
    let live = |changes: Value, trigger| is_live(changes, trigger, "2026-11-23T12:00:00Z", "UTC");
    // A rule without triggers runs for all triggers but consequences.
    use Trigger::{Deposit, Import, KycCompleted, Profile, Recalculation, SegmentChanged, TierChanged};
    assert!(
        [Import, Recalculation, Deposit, KycCompleted, Profile]
            .into_iter()
            .all(|trigger| live(json!({}), trigger))
    );
    assert!(!live(json!({}), SegmentChanged) && !live(json!({}), TierChanged));
    assert!(live(json!({"trigger": ["TIER_CHANGED"]}), TierChanged));
    assert!(live(json!({"trigger": ["DEPOSIT", "IMPORT"]}), Trigger::Import));
    assert!(!live(json!({"trigger": ["DEPOSIT"]}), Trigger::Import));
}

fn deposit_bonus() -> Rule {
    rule(
        "D",
        json!({"reward_config": {
            "type": "BONUS_BALANCE", "formula": "event_amount", "max_amount": 100, "wagering_requirement": 5,
            "wagering_basis": "DEPOSIT_PLUS_BONUS", "max_bet": 10,
        }}),
    )
}

#[test]
fn a_deposit_bonus_is_wagered_with_its_deposit() {
    let evaluation = evaluate_with(
        &anyone(),
        &rule_set(vec![deposit_bonus()]),
        &at_most(1),
        Some(&deposit("E", "100")),
        &mut BudgetRooms::default(),
    );
    assert_eq!(
        (evaluation.grants[0].amount, evaluation.grants[0].wagering_required),
        (d("100"), d("1000"))
    );
}

#[test]
fn a_deposit_bonus_without_a_deposit_is_not_applicable() {
    let mut definition = deposit_bonus().definition().clone();
    definition["reward_config"]["formula"] = json!("100");
    let evaluation = evaluate_player(&anyone(), &rule_set(vec![parse_rule(&definition)]), &at_most(1));
    assert_eq!(
        evaluation.decisions[0].reason.as_deref(),
        Some("the wagering requirement counts a deposit and there is none")
    );
}

#[test]
fn a_grant_carries_its_terms_and_when_it_ends() {
    let set = rules(&[
        (
            "A",
            2,
            json!({"reward_config": {
                "type": "FREE_PLAY", "amount": 10, "wagering_requirement": 2.5, "expiry_hours": 48,
                "eligible_games": ["slots"], "max_bet": 5, "max_bet_action": "FORFEIT", "max_conversion": 3,
                "on_withdrawal": "KEEP", "requires_opt_in": true,
            }}),
        ),
        (
            "B",
            1,
            json!({"reward_config": {"type": "REWARD_POINTS", "amount": 10, "lp_expiry_days": 30}}),
        ),
    ]);
    let evaluation = evaluate_player(&anyone(), &set, &at_most(2));
    let [bonus, points] = evaluation.grants.as_slice() else {
        panic!("{:#?}", evaluation.decisions)
    };
    assert_eq!(bonus.wagering_required, d("25"));
    assert_eq!(bonus.expires_at.unwrap().to_string(), "2026-11-25T12:00:00Z");
    assert_eq!(
        serde_json::to_value(bonus.terms.as_ref().unwrap()).unwrap(),
        json!({
            "wagering_requirement": 2.5, "wagering_basis": "BONUS", "expiry_hours": 48, "eligible_games": ["slots"],
            "max_bet": 5, "max_bet_action": "FORFEIT", "max_conversion": 3, "on_withdrawal": "KEEP",
            "requires_opt_in": true,
        })
    );
    assert_eq!(
        (points.terms.as_ref(), points.expires_at, points.wagering_required),
        (None, None, d("0"))
    );
    assert_eq!(points.lp_expires_at.unwrap().to_string(), "2026-12-23T12:00:00Z");
}

#[test]
fn facts_of_the_event_and_of_days_come_from_the_program_time_zone() {
    let settings = Settings {
        time_zone: "Europe/Berlin".into(),
        ..Settings::default()
    };
    let moment = Moment::new("2026-11-22T23:30:00Z".parse().unwrap(), &settings).unwrap();
    let mut player = sample_player("P002");
    player.totals.last_deposit_date = Some("2026-11-16".parse().unwrap());
    player.registered_at = Some("2026-11-21T23:00:00Z".parse().unwrap()); // the 22nd in Berlin
    let catalogue = catalogue();
    let event = EventFacts {
        game: Some("slots".into()),
        ..deposit("E", "12.5")
    };
    let facts = Facts::of(
        &player,
        &catalogue,
        &moment,
        Some(&EventFacts {
            occurred_at: moment.now(),
            ..event.clone()
        }),
    )
    .to_json(catalogue.all());
    assert_eq!(facts["days_since_last_deposit"], json!(7));
    assert_eq!(facts["account_age_days"], json!(1));
    assert_eq!(facts["day_of_week"], json!("MON"));
    assert_eq!(
        (facts["event_amount"].to_string(), &facts["event_game"]),
        ("12.5".to_owned(), &json!("slots"))
    );
}

#[test]
fn unknown_facts_are_null() {
    let (catalogue, moment) = (catalogue(), moment());
    let player = PlayerSnapshot {
        segment: None,
        tier: "WOOD".into(),
        ..anyone()
    };
    let facts = Facts::of(&player, &catalogue, &moment, None).to_json(catalogue.all());
    let nulls: Vec<&str> = facts
        .iter()
        .filter(|(_, value)| value.is_null())
        .map(|(name, _)| name.as_str())
        .collect();
    let expected = [
        "account_age_days",
        "avg_bet_size",
        "cashback_multiplier",
        "days_since_last_deposit",
        "event_amount",
        "event_game",
        "is_first_deposit",
        "lp_multiplier",
        "segment",
        "total_bets",
    ];
    assert_eq!(nulls, expected);
}

#[test]
fn the_name_of_a_program_fact_is_not_taken_by_a_benefit() {
    let mut tiers = crate::support::ladder().tiers().to_vec();
    tiers[0].benefits.insert("net_loss".into(), json!(7));
    let catalogue = domain::facts::Catalogue::new(&domain::tier::Ladder::new(tiers).unwrap());
    let (player, moment) = (sample_player("P002"), moment());
    let facts = Facts::of(&player, &catalogue, &moment, None).to_json(catalogue.id("net_loss"));
    assert_eq!(facts["net_loss"], json!(4800));
    assert_eq!(catalogue.defs().iter().filter(|def| def.name == "net_loss").count(), 1);
}

#[test]
fn the_kept_facts_give_the_same_amount_again() {
    let set = crate::support::sample_set();
    let (catalogue, moment) = (catalogue(), moment());
    for player_id in ["P001", "P002", "P003", "P004", "P006", "P008", "P010"] {
        let player = sample_player(player_id);
        let first = evaluate_player(&player, &set, &Settings::default());
        let facts = Facts::of(&player, &catalogue, &moment, None).to_json(first.facts_read.iter().copied());
        let again = Facts::from_json(&facts, &catalogue);
        for decision in &first.decisions {
            let (rule, _) = set.get(&decision.rule_id).unwrap();
            let only_this = rule_set(vec![rule.clone()]);
            let candidate = Candidate {
                player: &player,
                facts: &again,
                event: None,
            };
            let repeated = evaluate(
                &candidate,
                &only_this.live(Trigger::Import, &moment),
                &Settings::default(),
                &mut BudgetRooms::default(),
            );
            assert_eq!(&repeated.decisions[0], decision);
        }
    }
}
