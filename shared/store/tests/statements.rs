//! Every statement fits the migrated schema, for the role the functions run as.

use testing::TestDb;

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let test = TestDb::new().await;
    let client = test.db().client().await.unwrap();
    let files: &[(&str, &[&str])] = &[
        ("activity", store::activity::STATEMENTS),
        ("analytics", store::analytics::STATEMENTS),
        ("audit_log", store::audit_log::STATEMENTS),
        ("grants", store::grants::STATEMENTS),
        ("idempotency", store::idempotency::STATEMENTS),
        ("imports", store::imports::STATEMENTS),
        ("keys", store::keys::STATEMENTS),
        ("ledger", store::ledger::STATEMENTS),
        ("outbox", store::outbox::STATEMENTS),
        ("players", store::players::STATEMENTS),
        ("population", store::population::STATEMENTS),
        ("recovery", store::recovery::STATEMENTS),
        ("redemptions", store::redemptions::STATEMENTS),
        ("retention", store::retention::STATEMENTS),
        ("risk_facts", store::risk_facts::STATEMENTS),
        ("rules", store::rules::STATEMENTS),
        ("runs", store::runs::STATEMENTS),
        ("schedules", store::schedules::STATEMENTS),
        ("segments", store::segments::STATEMENTS),
        ("settings", store::settings::STATEMENTS),
        ("signals", store::signals::STATEMENTS),
        ("simulations", store::simulations::STATEMENTS),
        ("snapshots", store::snapshots::STATEMENTS),
        ("stats", store::stats::STATEMENTS),
        ("tiers", store::tiers::STATEMENTS),
        ("triggers", store::triggers::STATEMENTS),
        ("webhooks", store::webhooks::STATEMENTS),
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
