use migrate::Migrated;
use testing::TestDb;

#[tokio::test]
async fn a_schema_that_is_up_to_date_stays_as_it_is() {
    let test = TestDb::new().await;
    let migrated = migrate::handle(&test.owner()).await.unwrap();
    assert_eq!(migrated, Migrated { applied: vec![], schema_version: Some(store::migrate::newest_version()) });
}

#[tokio::test]
async fn an_empty_database_gets_every_migration_in_order() {
    let test = TestDb::new().await;
    test.tamper("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    let migrated = migrate::handle(&test.owner()).await.unwrap();
    assert_eq!(migrated.applied.first().map(String::as_str), Some("V1__schema"));
    assert_eq!(migrated.schema_version, Some(store::migrate::newest_version()));
    assert_eq!(test.text("SELECT count(*) FROM tiers").await, "4");
}

#[tokio::test]
async fn the_runtime_role_cannot_migrate() {
    let test = TestDb::new().await;
    test.tamper("DELETE FROM refinery_schema_history WHERE version > 1").await;
    assert!(migrate::handle(&test.db()).await.is_err());
}
