//! Rules that events trigger.

use crate::program::{TestProgram, at, d, occurrence, player_id, stake};
use app::Act;
use app::activity::{Action, Payout};
use app::runs::triggers::{self, TriggerMessage};
use app::runs::{self, Rewards};
use app::runs::{rewards, segmentation};
use domain::settings::Settings;
use futures_util::future::join_all;
use serde_json::{Value, json};

fn rule(id: &str, trigger: &str, more: Value) -> Value {
    let mut rule = json!({ "rule_id": id, "name": id, "priority": 10, "is_active": true, "trigger": [trigger],
        "conditions": { "total_deposited_min": 0 },
        "reward_config": { "type": "LOYALTY_POINTS", "amount": 10 } });
    rule.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    rule
}

/// P1 has a high expected revenue, so that the profit gate passes all rewards.
async fn promising() -> TestProgram {
    let program = TestProgram::new(&["P1".to_owned()]).await;
    let mut settings = Settings::default();
    for wager in settings.profit.prior_wager.values_mut() {
        *wager = d("1000000");
    }
    settings.profit.on_unprofitable = domain::settings::OnUnprofitable::Refuse;
    app::program::settings::put(&program.db, &json!(settings), &Act::of("test", at(-60)))
        .await
        .unwrap();
    program
}

fn deposit(id: &str, amount: &str, minutes: i64) -> app::activity::Occurrence {
    occurrence("P1", id, Action::Deposit { amount: d(amount) }, at(minutes).now)
}

/// A bonus as large as the deposit; both must be staked once.
fn welcome() -> Value {
    let reward = json!({ "type": "BONUS_BALANCE", "formula": "event_amount", "max_amount": 200,
        "wagering_requirement": 2, "expiry_hours": 48 });
    rule(
        "WELCOME",
        "DEPOSIT",
        json!({ "cadence": "PER_EVENT", "conditions": { "event_amount_min": 20 }, "reward_config": reward }),
    )
}

#[tokio::test]
async fn a_bonus_goes_through_its_life_by_events_alone() {
    let program = promising().await;
    program.rule(welcome()).await;
    let events = vec![
        deposit("d1", "100", 0),
        occurrence("P1", "s1", stake(d("60"), d("20"), "slots", Some("r1")), at(10).now),
        occurrence(
            "P1",
            "p1",
            Action::Payout(Payout {
                amount: d("90"),
                round_id: Some("r1".into()),
            }),
            at(11).now,
        ),
        occurrence("P1", "s2", stake(d("140"), d("0"), "slots", Some("r2")), at(12).now),
    ];
    // Each event comes after the rules that the previous one triggered, as in live play.
    for (minutes, event) in [0, 10, 11, 12].into_iter().zip(events.clone()) {
        program.react(vec![event], at(minutes)).await;
    }
    // 20 of the 60 staked were bonus money, so a third of the 90 is bonus money too: 100 - 20 + 30.
    let grant = "SELECT concat_ws(' ', status, round(amount, 2), round(wagering_required, 2),
        round(wagering_completed, 2), round(converted, 2)) FROM grants";
    assert_eq!(program.text(grant).await, "COMPLETED 100.00 200.00 200.00 110.00");
    let cashier = "SELECT string_agg(event_type || coalesce(' ' || (payload ->> 'cash_amount'), ''), ', '
        ORDER BY outbox_id) FROM outbox WHERE event_type LIKE 'bonus.%' OR event_type LIKE 'reward.%'";
    assert_eq!(program.text(cashier).await, "reward.granted, bonus.completed 110.00");
    let before = program.dump().await;
    let again = program.react(events.into_iter().rev().collect(), at(30)).await;
    assert!(again.recordings.iter().all(Result::is_ok) && again.triggers.is_empty());
    assert_eq!(program.dump().await, before);
    assert_eq!(program.text("SELECT count(*) FROM grants").await, "1");
    program.audit().await;
}

#[tokio::test]
async fn what_comes_back_late_in_one_batch_stays_within_the_conversion_limit() {
    let program = promising().await;
    let reward = json!({ "type": "BONUS_BALANCE", "amount": 100, "wagering_requirement": 1, "max_conversion": 1.2 });
    program
        .rule(rule("CAPPED", "DEPOSIT", json!({ "reward_config": reward })))
        .await;
    program.react(vec![deposit("d1", "100", 0)], at(0)).await;
    let bet = |id: &str, round: &str| occurrence("P1", id, stake(d("50"), d("50"), "slots", Some(round)), at(1).now);
    let won = |id: &str, round: &str| {
        occurrence(
            "P1",
            id,
            Action::Payout(Payout {
                amount: d("100"),
                round_id: Some(round.into()),
            }),
            at(2).now,
        )
    };
    // Nothing was left to convert when it was wagered; of the 200 that return, 120 may convert.
    let recordings = program
        .record(
            vec![bet("s1", "r1"), bet("s2", "r2"), won("p1", "r1"), won("p2", "r2")],
            at(2),
        )
        .await
        .recordings;
    let late: Vec<_> = recordings
        .into_iter()
        .skip(2)
        .map(|recording| recording.unwrap().into_inner())
        .collect();
    let amounts: Vec<_> = late
        .iter()
        .map(|outcome| (outcome.real_amount, outcome.forfeited_amount))
        .collect();
    assert_eq!(amounts, [(d("100"), d("0")), (d("20"), d("80"))]);
    assert_eq!(
        program
            .text("SELECT status || ' ' || round(converted, 2) FROM grants")
            .await,
        "COMPLETED 0.00"
    );
    program.audit().await;
}

#[tokio::test]
async fn every_deposit_of_a_batch_is_an_evaluation_of_its_own() {
    let program = promising().await;
    program.rule(welcome()).await;
    program
        .react(
            vec![
                deposit("d1", "30", 0),
                deposit("d2", "19.99", 1),
                deposit("d3", "50", 2),
            ],
            at(3),
        )
        .await;
    let granted = "SELECT string_agg(period_key || ' ' || round(amount, 2), ', ' ORDER BY period_key) FROM grants";
    assert_eq!(program.text(granted).await, "event:d1 30.00, event:d3 50.00");
    assert_eq!(
        program
            .text("SELECT count(*) FROM reward_triggers WHERE evaluated_at IS NULL")
            .await,
        "0"
    );
    program.audit().await;
}

#[tokio::test]
async fn a_batch_that_several_workers_get_is_evaluated_once() {
    let program = promising().await;
    program.rule(welcome()).await;
    // Would grant to anyone evaluated a second time.
    program
        .rule(rule(
            "LOWER",
            "DEPOSIT",
            json!({ "priority": 1, "cadence": "PER_EVENT" }),
        ))
        .await;
    let deposits = (0..20).map(|number| deposit(&format!("d{number}"), "20", 0)).collect();
    let batch = program.record(deposits, at(1)).await;
    let message = TriggerMessage {
        batch_id: batch.triggers[0],
    };
    let workers: Vec<_> = (0..4)
        .map(|_| app::Db::new(&program.database.url(), None).unwrap())
        .collect();
    let totals = join_all(workers.iter().map(|db| triggers::run_batch(db, message, at(2)))).await;
    assert_eq!(
        totals.into_iter().map(|totals| totals.unwrap().granted).sum::<usize>(),
        20
    );
    assert_eq!(
        program.text("SELECT count(*) || ' ' || min(rule_id) FROM grants").await,
        "20 WELCOME"
    );
    program.audit().await;
}

#[tokio::test]
async fn a_batch_that_was_given_up_says_why_and_is_left_alone() {
    let program = promising().await;
    program.rule(welcome()).await;
    let batch = program.record(vec![deposit("d1", "30", 0)], at(1)).await;
    let message = TriggerMessage {
        batch_id: batch.triggers[0],
    };
    triggers::give_up(&program.db, message, "rewards: no luck", at(2))
        .await
        .unwrap();
    assert_eq!(
        triggers::run_batch(&program.db, message, at(3)).await.unwrap().players,
        0
    );
    assert_eq!(
        program.text("SELECT error FROM reward_triggers").await,
        "rewards: no luck"
    );
}

#[tokio::test]
async fn the_first_verification_of_the_identity_calls_its_rules_once() {
    let program = promising().await;
    program
        .rule(rule("VERIFIED", "KYC_COMPLETED", json!({ "cadence": "PER_EVENT" })))
        .await;
    for (minutes, id) in (0..).zip(["k1", "k2"]) {
        program
            .react(
                vec![occurrence("P1", id, Action::KycCompleted, at(minutes).now)],
                at(minutes),
            )
            .await;
    }
    assert_eq!(
        program.text("SELECT string_agg(period_key, ' ') FROM grants").await,
        "event:k1"
    );
}

#[tokio::test]
async fn a_tier_that_is_reached_calls_its_rules() {
    let program = promising().await;
    program
        .rule(rule(
            "TO_SILVER",
            "TIER_CHANGED",
            json!({ "conditions": { "tier": "SILVER" } }),
        ))
        .await;
    program
        .react(
            vec![occurrence(
                "P1",
                "s1",
                stake(d("10000"), d("0"), "slots", None),
                at(0).now,
            )],
            at(0),
        )
        .await;
    assert_eq!(program.text("SELECT rule_id FROM grants").await, "TO_SILVER");
    program.audit().await;
}

#[tokio::test]
async fn what_happens_calls_a_rule_that_names_no_trigger_once_and_not_for_its_consequences_too() {
    let program = promising().await;
    for (id, priority) in [("FIRST", 9), ("SECOND", 8), ("THIRD", 7)] {
        let mut untriggered = rule(id, "DEPOSIT", json!({ "priority": priority }));
        untriggered.as_object_mut().unwrap().remove("trigger");
        program.rule(untriggered).await;
    }
    // A deposit, and a stake that changes segment and tier.
    program
        .record(
            vec![occurrence("P1", "s0", stake(d("10"), d("0"), "slots", None), at(0).now)],
            at(0),
        )
        .await;
    let big = occurrence("P1", "s1", stake(d("20000"), d("0"), "slots", None), at(1).now);
    program.react(vec![deposit("d1", "30", 1), big], at(1)).await;
    assert_eq!(
        program
            .text("SELECT string_agg(trigger, ' ' ORDER BY trigger) FROM reward_triggers")
            .await,
        "DEPOSIT SEGMENT_CHANGED TIER_CHANGED"
    );
    assert_eq!(
        program
            .text("SELECT count(*) FROM reward_triggers WHERE evaluated_at IS NULL")
            .await,
        "0"
    );
    assert_eq!(
        program.text("SELECT string_agg(rule_id, ' ') FROM grants").await,
        "FIRST"
    );
    program.audit().await;
}

#[tokio::test]
async fn a_segment_that_changes_calls_its_rules_by_events_and_in_runs() {
    let program = promising().await;
    program
        .rule(rule(
            "LOSER",
            "SEGMENT_CHANGED",
            json!({ "conditions": { "segment": "LOSING" }, "cadence": "PER_EVENT" }),
        ))
        .await;
    program
        .rule(rule(
            "ONCE_LOSER",
            "SEGMENT_CHANGED",
            json!({ "priority": 5, "conditions": { "segment": "LOSING" } }),
        ))
        .await;
    // A first classification is not a segment change.
    program
        .react(
            vec![occurrence("P1", "s1", stake(d("10"), d("0"), "slots", None), at(0).now)],
            at(0),
        )
        .await;
    assert_eq!(program.text("SELECT count(*) FROM grants").await, "0");
    program
        .react(
            vec![occurrence(
                "P1",
                "s2",
                stake(d("2000"), d("0"), "slots", None),
                at(1).now,
            )],
            at(1),
        )
        .await;
    assert_eq!(
        program.text("SELECT string_agg(rule_id, ' ') FROM grants").await,
        "LOSER"
    );
    // Corrected totals make the run find another segment.
    for (won, minutes) in [("1990", 2), ("0", 4)] {
        program
            .database
            .tamper(&format!("UPDATE player_totals SET total_won = {won}"))
            .await;
        let run = runs::start_batch(
            &program.db,
            &[player_id("P1")],
            Rewards::Evaluate,
            &Act::of("test", at(minutes)),
        )
        .await
        .unwrap();
        for message in run.messages() {
            segmentation::run_shard(&program.db, message, at(minutes))
                .await
                .unwrap();
            rewards::run_shard(&program.db, message, at(minutes + 1)).await.unwrap();
        }
    }
    // A run has no event, so a rule that pays per event has no period.
    assert_eq!(
        program
            .text("SELECT string_agg(rule_id, ' ' ORDER BY issued_at) FROM grants")
            .await,
        "LOSER ONCE_LOSER"
    );
    program.audit().await;
}
