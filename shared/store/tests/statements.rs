//! Every statement fits the migrated schema, for the role the functions run as.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::error::Error;
use testing::TestDb;
use tokio_postgres::types::private::BytesMut;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

const FILES: &[(&str, &[&str])] = &[
    ("activity", store::activity::STATEMENTS),
    ("activity/history", store::activity::history::STATEMENTS),
    ("activity/points", store::activity::points::STATEMENTS),
    ("analytics", store::platform::analytics::STATEMENTS),
    ("audit_log", store::platform::audit_log::STATEMENTS),
    ("budgets", store::rules::budgets::STATEMENTS),
    ("decisions", store::rules::decisions::STATEMENTS),
    ("deliveries", store::platform::deliveries::STATEMENTS),
    ("earlier", store::program::earlier::STATEMENTS),
    ("grants", store::wallet::grants::STATEMENTS),
    ("idempotency", store::platform::idempotency::STATEMENTS),
    ("imports", store::imports::STATEMENTS),
    ("interventions", store::wallet::interventions::STATEMENTS),
    ("imports/players", store::imports::players::STATEMENTS),
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
    ("shards", store::runs::shards::STATEMENTS),
    ("signals", store::players::signals::STATEMENTS),
    ("simulations", store::rules::simulations::STATEMENTS),
    ("snapshots", store::program::snapshots::STATEMENTS),
    ("stats", store::platform::stats::STATEMENTS),
    ("tiers", store::tiers::STATEMENTS),
    ("totals", store::players::totals::STATEMENTS),
    ("triggers", store::runs::triggers::STATEMENTS),
    ("webhooks", store::platform::webhooks::STATEMENTS),
];

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let test = TestDb::new().await;
    let client = test.db().client().await.unwrap();
    let mut refused = Vec::new();
    for (file, statements) in FILES {
        for statement in *statements {
            if let Err(error) = client.prepare(statement).await {
                refused.push(format!("{file}: {:?}\n{statement}", error.as_db_error()));
            }
        }
    }
    assert!(refused.is_empty(), "{}", refused.join("\n\n"));
}

/// NULL for a parameter of any type.
#[derive(Debug)]
struct Null;

impl ToSql for Null {
    fn to_sql(&self, _: &Type, _: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        Ok(IsNull::Yes)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A migration may add columns while running functions hold prepared statements.
#[tokio::test]
async fn a_column_that_is_added_breaks_no_prepared_statement() {
    let test = TestDb::new().await;
    let mut client = test.db().client().await.unwrap();
    let star = ("a star", "SELECT * FROM runs");
    let mut prepared = Vec::new();
    let all = FILES
        .iter()
        .flat_map(|(file, statements)| statements.iter().map(|text| (*file, *text)));
    for (file, text) in all.chain([star]) {
        prepared.push((file, text, client.prepare(text).await.unwrap()));
    }
    test.tamper(
        "DO $$
         DECLARE name regclass;
         BEGIN
           FOR name IN SELECT oid FROM pg_class
             WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND NOT relispartition
           LOOP
             EXECUTE format('ALTER TABLE %s ADD COLUMN added text', name);
           END LOOP;
         END $$",
    )
    .await;
    let mut broken = Vec::new();
    for (file, text, statement) in &prepared {
        let nulls: Vec<&(dyn ToSql + Sync)> = statement.params().iter().map(|_| &Null as _).collect();
        // Rolled back. Most writes fail because their values are NULL; only the plan matters here.
        let tx = store::begin(&mut client).await.unwrap();
        if let Err(error) = tx.query(statement, &nulls).await
            && error
                .as_db_error()
                .is_some_and(|db| db.message().contains("cached plan"))
        {
            broken.push((*file, *text));
        }
    }
    assert_eq!(broken, [star]);
}
