use crate::program::{TestProgram, context};
use app::imports::{self, Ending};
use app::{rewards, runs};
use futures_util::future::join_all;
use serde_json::json;
use testing::Csv;

#[tokio::test]
async fn a_budget_for_a_hundred_grants_gives_a_hundred_whatever_the_number_of_workers() {
    // 500 LP cost 5.00 each: a budget of 500.00 is for 100 grants. 9,000 candidates in three shards.
    let rule = json!({ "rule_id": "BUDGETED", "name": "b", "priority": 1, "is_active": true, "conditions": { "total_wagered_min": 1 },
        "reward_config": { "type": "LOYALTY_POINTS", "amount": 500 }, "budget": { "total": 500 } });
    let program = TestProgram::new(&[rule]).await;
    let import = program.open("p.csv").await;
    let csv = Csv::players().numbered("P", 9_000).to_string();
    program.apply(&import, &crate::program::chunk(&csv, 0, 9_002)).await;
    imports::end(&program.db, import.import_id, &Ending::Read, context()).await.unwrap();
    let messages = runs::open_messages(&program.db, import.run_id).await.unwrap();
    assert_eq!(messages.len(), 3);
    join_all(messages.iter().map(|message| async {
        program.segment(*message).await;
        rewards::run_shard(&program.db, *message, context()).await.unwrap();
    }))
    .await;
    assert_eq!(program.text("SELECT count(*) || ' ' || round(sum(cost), 2) FROM grants").await, "100 500.00");
    assert_eq!(program.text("SELECT string_agg(round(reserved, 2)::text, ' ') FROM rule_budgets").await, "500.00 500.00");
    program.audit().await;
}
