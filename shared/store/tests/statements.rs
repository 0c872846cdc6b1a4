//! Every statement fits the migrated schema, for the role the functions run as.

use testing::TestDb;

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let test = TestDb::new().await;
    let client = test.db().client().await.unwrap();
    let files: &[(&str, &[&str])] = &[
        ("activity", store::activity::STATEMENTS),
        ("analytics", store::platform::analytics::STATEMENTS),
        ("audit_log", store::platform::audit_log::STATEMENTS),
        ("grants", store::wallet::grants::STATEMENTS),
        ("idempotency", store::platform::idempotency::STATEMENTS),
        ("imports", store::imports::STATEMENTS),
        ("keys", store::platform::keys::STATEMENTS),
        ("ledger", store::wallet::ledger::STATEMENTS),
        ("outbox", store::platform::outbox::STATEMENTS),
        ("players", store::players::STATEMENTS),
        ("population", store::rules::population::STATEMENTS),
        ("recovery", store::jobs::recovery::STATEMENTS),
        ("redemptions", store::wallet::redemptions::STATEMENTS),
        ("retention", store::jobs::retention::STATEMENTS),
        ("risk_facts", store::players::risk_facts::STATEMENTS),
        ("rules", store::rules::STATEMENTS),
        ("runs", store::runs::STATEMENTS),
        ("schedules", store::jobs::schedules::STATEMENTS),
        ("segments", store::players::segments::STATEMENTS),
        ("settings", store::program::settings::STATEMENTS),
        ("signals", store::players::signals::STATEMENTS),
        ("simulations", store::rules::simulations::STATEMENTS),
        ("snapshots", store::program::snapshots::STATEMENTS),
        ("stats", store::platform::stats::STATEMENTS),
        ("tiers", store::tiers::STATEMENTS),
        ("triggers", store::runs::triggers::STATEMENTS),
        ("shards", store::runs::shards::STATEMENTS),
        ("totals", store::players::totals::STATEMENTS),
        ("webhooks", store::platform::webhooks::STATEMENTS),
        ("deliveries", store::platform::deliveries::STATEMENTS),
    ];
    let mut refused = Vec::new();
    for (file, statements) in files {
        for statement in *statements {
            if let Err(error) = client.prepare(statement).await {
                refused.push(format!("{file}: {:?}\n{statement}", error.as_db_error()));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n\n"));
}
