#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use migrate::Migrated;
use testing::TestDb;

#[tokio::test]
async fn a_schema_that_is_up_to_date_stays_as_it_is() {
    let test = TestDb::new().await;
    let migrated = migrate::handle(&test.owner()).await.unwrap();
    assert_eq!(
        migrated,
        Migrated {
            applied: vec![],
            schema_version: Some(store::migrate::newest_version())
        }
    );
}

#[tokio::test]
async fn an_empty_database_gets_every_migration_in_order() {
    let test = TestDb::new().await;
    test.tamper("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    let migrated = migrate::handle(&test.owner()).await.unwrap();
    assert_eq!(migrated.applied.first().map(String::as_str), Some("V1__schema"));
    assert_eq!(migrated.schema_version, Some(store::migrate::newest_version()));
    assert_eq!(test.text("SELECT count(*) FROM tiers").await, "4");
    let planner = "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE d.datname = current_database()";
    assert_eq!(test.text(planner).await, "{jit=off,random_page_cost=1.1}");
}

#[tokio::test]
async fn the_runtime_role_cannot_migrate() {
    let test = TestDb::new().await;
    test.tamper("DELETE FROM refinery_schema_history WHERE version > 1")
        .await;
    assert!(migrate::handle(&test.db()).await.is_err());
}

/// Applies the files up to a version, as they are, to an empty schema.
async fn migrate_to(test: &TestDb, versions: std::ops::RangeInclusive<usize>) {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in &files[versions.start() - 1..*versions.end()] {
        test.tamper(&std::fs::read_to_string(file).unwrap()).await;
    }
}

#[tokio::test]
async fn points_posted_before_days_knew_them_are_counted_on_their_days() {
    let test = TestDb::new().await;
    test.tamper(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE refinery_schema_history (version integer)",
    )
    .await;
    migrate_to(&test, 1..=8).await;
    test.tamper(
        "INSERT INTO settings VALUES ('time_zone', '\"Europe/Berlin\"', now(), 'test');
         INSERT INTO player_daily VALUES ('P1', '2026-10-25', 5, 6, 7, 8);
         INSERT INTO postings (player_id, asset, version, transaction_id, kind, house, direction, amount, balance_after, reference, actor, created_at)
         VALUES ('P1', 'LP', 1, gen_random_uuid(), 'manual_credit', 'house:issuance', 1, 100, 100, 'a', 't', '2026-10-24T21:59:59Z'),
           ('P1', 'LP', 2, gen_random_uuid(), 'manual_credit', 'house:issuance', 1, 200, 300, 'b', 't', '2026-10-24T22:00:00Z'),
           ('P1', 'LP', 3, gen_random_uuid(), 'redemption', 'house:redemption', -1, 50, 250, 'c', 't', '2026-10-25T10:00:00Z'),
           ('P1', 'LP', 4, gen_random_uuid(), 'reversal', 'house:issuance', -1, 30, 220, 'd', 't', '2026-10-25T22:59:59Z'),
           ('P1', 'RP', 1, gen_random_uuid(), 'manual_credit', 'house:issuance', 1, 9, 9, 'e', 't', '2026-10-25T10:00:00Z')",
    )
    .await;
    migrate_to(&test, 9..=9).await;
    let days =
        "string_agg(concat_ws(' ', day, deposited::integer, wagered::integer, lp_earned::integer), ', ' ORDER BY day)";
    assert_eq!(
        test.text(&format!("SELECT {days} FROM player_daily")).await,
        "2026-10-24 0 0 100, 2026-10-25 5 6 170"
    );
}
