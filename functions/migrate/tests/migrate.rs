#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use migrate::Migrated;
use serde_json::{Value, json};
use store::Db;
use testing::TestDb;

/// Invokes with this JSON as the event.
async fn migrate(db: &Db, event: Value) -> Result<Migrated, String> {
    let request = serde_json::from_value(event).map_err(|error| error.to_string())?;
    let migrated = migrate::handle(db, request, lambda::context()).await;
    migrated.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_schema_that_is_up_to_date_stays_as_it_is() {
    let test = TestDb::new().await;
    let migrated = migrate(&test.owner(), json!({})).await.unwrap();
    assert_eq!(
        migrated,
        Migrated {
            applied: vec![],
            schema_version: Some(store::migrate::newest_version()),
            admin_key: None
        }
    );
}

#[tokio::test]
async fn an_empty_database_gets_every_migration_in_order() {
    let test = TestDb::new().await;
    test.tamper("DROP SCHEMA public CASCADE; CREATE SCHEMA public").await;
    let migrated = migrate(&test.owner(), json!({})).await.unwrap();
    assert_eq!(migrated.applied.first().map(String::as_str), Some("V1__schema"));
    assert_eq!(migrated.schema_version, Some(store::migrate::newest_version()));
    assert_eq!(test.text("SELECT count(*) FROM tiers").await, "4");
    let planner = "SELECT setconfig FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase
        WHERE d.datname = current_database()";
    assert_eq!(test.text(planner).await, "{jit=off,random_page_cost=1.1}");
}

#[tokio::test]
async fn the_runtime_role_cannot_migrate() {
    let test = TestDb::new().await;
    test.tamper("DELETE FROM refinery_schema_history WHERE version > 1")
        .await;
    assert!(migrate(&test.db(), json!({})).await.is_err());
}

/// Applies the migration files of these versions.
async fn migrate_to(test: &TestDb, versions: std::ops::RangeInclusive<u32>) {
    let directory = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../migrations");
    let mut files: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    for file in files {
        let name = file.file_name().unwrap().to_str().unwrap();
        let version = name.trim_start_matches('V').split("__").next().unwrap();
        if versions.contains(&version.parse().unwrap()) {
            test.tamper(&std::fs::read_to_string(file).unwrap()).await;
        }
    }
}

async fn empty() -> TestDb {
    let test = TestDb::new().await;
    test.tamper(
        "DROP SCHEMA public CASCADE; CREATE SCHEMA public; CREATE TABLE refinery_schema_history (version integer)",
    )
    .await;
    test
}

#[tokio::test]
async fn points_posted_before_days_knew_them_are_counted_on_their_days() {
    let test = empty().await;
    migrate_to(&test, 1..=8).await;
    test.tamper(
        "INSERT INTO settings VALUES ('time_zone', '\"Europe/Berlin\"', now(), 'test');
         INSERT INTO player_daily VALUES ('P1', '2026-10-25', 5, 6, 7, 8);
         INSERT INTO postings (player_id, asset, version, transaction_id, kind, house, direction, amount,
         balance_after, reference, actor, created_at)
         VALUES ('P1', 'LP', 1, gen_random_uuid(), 'manual_credit', 'house:issuance', 1, 100, 100, 'a', 't',
         '2026-10-24T21:59:59Z'),
           ('P1', 'LP', 2, gen_random_uuid(), 'manual_credit', 'house:issuance', 1, 200, 300, 'b', 't',
           '2026-10-24T22:00:00Z'),
           ('P1', 'LP', 3, gen_random_uuid(), 'redemption', 'house:redemption', -1, 50, 250, 'c', 't',
           '2026-10-25T10:00:00Z'),
           ('P1', 'LP', 4, gen_random_uuid(), 'reversal', 'house:issuance', -1, 30, 220, 'd', 't',
           '2026-10-25T22:59:59Z'),
           ('P1', 'RP', 1, gen_random_uuid(), 'manual_credit', 'house:issuance', 1, 9, 9, 'e', 't',
           '2026-10-25T10:00:00Z')",
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

#[tokio::test]
async fn grants_made_before_claims_get_theirs() {
    let test = empty().await;
    migrate_to(&test, 1..=13).await;
    // Rules of one group were paid in the same period.
    test.tamper(
        "INSERT INTO settings VALUES ('time_zone', '\"Europe/Berlin\"', now(), 'test');
         INSERT INTO rules SELECT id, 1, now(), now()
           FROM unnest('{EVENT,DAY,WEEK,MONTH,ONCE,OTHER}'::text[]) AS ids (id);
         INSERT INTO rule_versions SELECT id, 1, jsonb_strip_nulls(jsonb_build_object('cadence', cadence,
             'exclusive_group', exclusive_group)), now(), 'test'
           FROM (VALUES ('EVENT', 'PER_EVENT', NULL), ('DAY', 'DAILY', NULL), ('WEEK', 'WEEKLY', NULL),
             ('MONTH', 'MONTHLY', NULL), ('ONCE', 'ONCE', 'g'), ('OTHER', 'ONCE', 'g'))
             AS rules (id, cadence, exclusive_group);
         INSERT INTO grants (player_id, grant_id, rule_id, rule_version, period_key, reward_type, asset, amount, cost,
           status, issued_at)
         SELECT 'P1', ('00000000-0000-0000-0000-00000000000' || place)::uuid, id, 1, key, 'TICKETS', 'TICKETS', 1, 1,
           'COMPLETED', now()
         FROM (VALUES ('EVENT', '2026-11-27', 1), ('DAY', '2026-10-25', 2), ('WEEK', '2026-W44', 3),
           ('MONTH', '2026-11', 4), ('ONCE', 'ONCE', 5), ('OTHER', 'ONCE', 6)) AS grants (id, key, place)",
    )
    .await;
    migrate_to(&test, 14..=15).await;
    let claims =
        "SELECT string_agg(concat_ws(' ', rule_id, period_key, to_char(period_from AT TIME ZONE 'UTC', 'MM-DD HH24'),
        to_char(period_until AT TIME ZONE 'UTC', 'MM-DD HH24'), exclusive_group), ', ' ORDER BY grant_id) FROM grants";
    // Sunday 25 October has 25 hours in Berlin; the first grant of the group stands for it.
    assert_eq!(
        test.text(claims).await,
        "EVENT event:2026-11-27, DAY 2026-10-25 10-24 22 10-25 23, WEEK 2026-W44 10-25 23 11-01 23, \
         MONTH 2026-11 10-31 23 11-30 23, ONCE ONCE g, OTHER ONCE"
    );
}

/// The tests' owner is like a deployment's: no superuser, with CREATEROLE and its own database.
#[tokio::test]
async fn a_login_role_gets_the_rights_of_the_functions_from_an_owner_who_is_no_superuser() {
    let test = TestDb::new().await;
    assert_eq!(
        test.text("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
            .await,
        "false"
    );
    // Roles are shared by the whole server, so this test uses its own name, with characters that need quoting.
    let role = format!("Run \"time\"; {}", test.text("SELECT current_database()").await);
    let quoted = role.replace('"', "\"\"");
    test.tamper(&format!("CREATE ROLE \"{quoted}\" LOGIN")).await;
    for _ in ["the first time", "again"] {
        migrate(&test.owner(), json!({"runtime_login": role})).await.unwrap();
    }
    let literal = role.replace('\'', "''");
    let right = |right: &str| format!("SELECT has_table_privilege('{literal}', 'postings', '{right}')");
    assert_eq!(test.text(&right("INSERT")).await, "true");
    assert_eq!(test.text(&right("UPDATE")).await, "false");
    test.tamper(&format!("DROP ROLE \"{quoted}\"")).await;
}

#[tokio::test]
async fn a_role_that_cannot_be_the_functions_is_refused_with_the_reason() {
    let test = TestDb::new().await;
    let long = "x".repeat(64);
    for (role, reason) in [
        ("nobody_of_that_name", "there is no role \"nobody_of_that_name\""),
        ("loyalty_runtime", "cannot log in"),
        ("postgres", "is a superuser"),
        ("", "runtime_login must have 1 to 63 bytes"),
        (&long, "runtime_login must have 1 to 63 bytes"),
        ("a\0b", "no control characters"),
    ] {
        let problem = migrate(&test.owner(), json!({"runtime_login": role}))
            .await
            .unwrap_err();
        assert!(problem.contains(reason), "{problem}");
    }
    let problem = migrate(&test.owner(), json!({"runtime_user": "x"})).await.unwrap_err();
    assert!(problem.contains("unknown field `runtime_user`"), "{problem}");
}

#[tokio::test]
async fn the_first_admin_key_is_shown_once_and_does_not_expire() {
    let test = TestDb::new().await;
    let key = migrate(&test.owner(), json!({"admin_key": " Ops "}))
        .await
        .unwrap()
        .admin_key
        .unwrap();
    assert_eq!((key.len(), &key[..3]), (67, "lk_"));
    let hash = format!("sha256(convert_to('{key}', 'UTF8'))");
    let stored = format!("SELECT concat_ws(' ', name, role, expires_at) FROM api_keys WHERE key_hash = {hash}");
    assert_eq!(test.text(&stored).await, "Ops admin");
    let logged = "SELECT concat_ws(' ', actor, action) FROM audit_log";
    assert_eq!(test.text(logged).await, "migrate key.create");

    let problem = migrate(&test.owner(), json!({"admin_key": "Another"}))
        .await
        .unwrap_err();
    assert!(problem.starts_with("the admin key \"Ops\" ("), "{problem}");
    assert_eq!(test.text("SELECT count(*) FROM api_keys").await, "1");
}

#[tokio::test]
async fn an_admin_key_that_is_expired_or_revoked_and_keys_of_other_roles_do_not_stand_in_the_way() {
    let test = TestDb::new().await;
    test.tamper(
        "INSERT INTO api_keys (key_id, key_hash, name, role, created_at, expires_at, revoked_at)
         VALUES (gen_random_uuid(), '\\x01', 'expired', 'admin', now(), now() - interval '1 s', NULL),
           (gen_random_uuid(), '\\x02', 'revoked', 'admin', now(), NULL, now()),
           (gen_random_uuid(), '\\x03', 'operator', 'operator', now(), NULL, NULL)",
    )
    .await;
    assert!(
        migrate(&test.owner(), json!({"admin_key": "Ops"}))
            .await
            .unwrap()
            .admin_key
            .is_some()
    );
}

/// Two concurrent deployments: the second waits and is refused.
#[tokio::test]
async fn two_calls_at_once_make_one_key() {
    let test = TestDb::new().await;
    let owner = test.owner();
    let calls = (0..4).map(|_| migrate(&owner, json!({"admin_key": "Ops"})));
    let outcomes = futures_util::future::join_all(calls).await;
    assert_eq!(
        outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
        1,
        "{outcomes:?}"
    );
}
