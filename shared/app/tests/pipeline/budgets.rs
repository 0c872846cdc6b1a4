use crate::program::{TestProgram, chunk, context};
use app::Act;
use app::Context;
use app::imports::{self, Ending};
use app::program::Program;
use app::runs::Rewards;
use app::runs::{self, rewards};
use domain::settings::Settings;
use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use testing::Csv;

#[tokio::test]
async fn a_budget_for_a_hundred_grants_gives_a_hundred_whatever_the_number_of_workers() {
    // 500 LP cost 5.00, so a budget of 500.00 allows 100 grants. 10,000 candidates in three shards.
    let rule = json!({ "rule_id": "BUDGETED", "name": "b", "priority": 1, "is_active": true,
        "conditions": { "total_wagered_min": 1 },
        "reward_config": { "type": "LOYALTY_POINTS", "amount": 500 }, "budget": { "total": 500 } });
    let program = TestProgram::new(&[rule]).await;
    let import = program.open("p.csv").await;
    let csv = Csv::players().numbered("P", 10_000).to_string();
    program.apply(&import, &chunk(&csv, 0, 10_002)).await;
    imports::end(&program.db, import.import_id, &Ending::Read, context())
        .await
        .unwrap();
    let messages = runs::open_messages(&program.db, import.run_id).await.unwrap();
    assert_eq!(messages.len(), 3);
    join_all(messages.iter().map(|message| async {
        program.segment(*message).await;
        rewards::run_shard(&program.db, *message, context()).await.unwrap();
    }))
    .await;
    assert_eq!(
        program
            .text("SELECT count(*) || ' ' || round(sum(cost), 2) FROM grants")
            .await,
        "100 500.00"
    );
    assert_eq!(
        program
            .text("SELECT string_agg(round(reserved, 2)::text, ' ') FROM rule_budgets")
            .await,
        "500.00 500.00"
    );
    program.audit().await;
}

/// The number of grants of an evaluation of all players at this instant.
async fn granted_at(program: &TestProgram, now: Timestamp) -> usize {
    let context = Context { now, ..context() };
    let run = runs::start_recalculation(&program.db, Rewards::Evaluate, &Act::of("test", context))
        .await
        .unwrap();
    let message = run.messages().next().unwrap();
    app::runs::segmentation::run_shard(&program.db, message, context)
        .await
        .unwrap();
    rewards::run_shard(&program.db, message, context).await.unwrap().granted
}

#[tokio::test]
async fn the_budget_of_a_day_begins_anew_at_midnight_of_the_program_also_when_the_clock_is_changed() {
    // 500 LP cost 5.00, so 10.00 allow two grants a day. Eight players, each granted once.
    let rule = json!({ "rule_id": "DAILY_BUDGET", "name": "b", "priority": 1, "is_active": true,
        "conditions": { "total_wagered_min": 1 },
        "reward_config": { "type": "LOYALTY_POINTS", "amount": 500 }, "budget": { "per_day": 10 } });
    // In Berlin, 29 March 2026 has 23 hours and 25 October has 25.
    for (day, first, next_day) in [
        ("2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"),
        ("2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"),
    ] {
        let [first, next_day] = [first, next_day].map(|at| at.parse::<Timestamp>().unwrap());
        let second = SignedDuration::from_secs(1);
        let program = TestProgram::new(std::slice::from_ref(&rule)).await;
        let berlin = Settings {
            time_zone: "Europe/Berlin".to_owned(),
            ..Settings::default()
        };
        app::program::settings::put(&program.db, &json!(berlin), &Act::of("test", context()))
            .await
            .unwrap();

        // Staked a week before, so that the players' revenue is in the last 30 days.
        let context = Context {
            now: first - SignedDuration::from_hours(24 * 7),
            ..context()
        };
        let import = program.open("p.csv").await;
        let loaded = Program::load(&program.db.client().await.unwrap(), context.now)
            .await
            .unwrap();
        let csv = Csv::players().numbered("P", 8).to_string();
        imports::apply(&program.db, &import, &chunk(&csv, 0, 10), &loaded, context)
            .await
            .unwrap();

        let mut granted = Vec::new();
        for now in [first - second, first, next_day - second, next_day] {
            granted.push(granted_at(&program, now).await);
        }
        assert_eq!(granted, [2, 2, 0, 2], "{day}");
        let of_day = format!("SELECT round(reserved, 2) FROM rule_budgets WHERE day = '{day}'");
        assert_eq!(program.text(&of_day).await, "10.00");
        program.audit().await;
    }
}
