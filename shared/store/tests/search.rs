//! Searches for players and rewards among many.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use domain::page::Page;
use store::Db;
use store::players::{Filter, find};
use testing::TestDb;

async fn many() -> TestDb {
    let test = TestDb::new().await;
    test.tamper(
        "INSERT INTO players (player_id, email, tier, is_active, created_at)
         SELECT 'P' || lpad(n::text, 6, '0'), 'Player' || n || '@example.com',
           CASE WHEN n % 1000 = 0 THEN 'GOLD' ELSE 'BRONZE' END, n % 500 <> 0, now()
         FROM generate_series(1, 20000) AS n;
         INSERT INTO player_segments (player_id, segment, since)
         SELECT player_id, CASE WHEN right(player_id, 3) = '007' THEN 'VIP' ELSE 'NEW' END, now() FROM players;
         ANALYZE players, player_segments",
    )
    .await;
    test
}

async fn ids(db: &Db, filter: Filter, after: Option<&str>, skip: i64, limit: i64) -> Vec<String> {
    let page = Page {
        after: after.map(str::to_owned),
        skip,
        limit,
    };
    find(&db.client().await.unwrap(), &filter, &page).await.unwrap()
}

fn prefix(text: &str) -> Filter {
    Filter {
        prefix: Some(text.into()),
        ..Filter::default()
    }
}

#[tokio::test]
async fn a_prefix_finds_ids_and_emails_and_nothing_else() {
    let test = many().await;
    let db = test.db();
    assert_eq!(
        ids(&db, prefix("P00012"), None, 0, 3).await,
        ["P000120", "P000121", "P000122"]
    );
    assert_eq!(ids(&db, prefix("p000123"), None, 0, 3).await, ["P000123"]);
    assert_eq!(
        ids(&db, prefix("PLAYER1999"), None, 0, 3).await,
        ["P001999", "P019990", "P019991"]
    );
    assert_eq!(ids(&db, prefix("player7@"), None, 0, 3).await, ["P000007"]);
    assert!(ids(&db, prefix("%"), None, 0, 3).await.is_empty());
    assert!(ids(&db, prefix("' OR true --"), None, 0, 3).await.is_empty());
    assert_eq!(
        ids(&db, prefix("player"), Some("P019998"), 0, 9).await,
        ["P019999", "P020000"]
    );
    // A player who matches by id and by email is listed once.
    test.tamper("UPDATE players SET email = 'p000120@example.com' WHERE player_id = 'P000120'")
        .await;
    assert_eq!(ids(&db, prefix("P00012"), None, 0, 2).await, ["P000120", "P000121"]);
    assert_eq!(ids(&db, prefix("P00012"), None, 1, 2).await, ["P000121", "P000122"]);
}

#[tokio::test]
async fn filters_are_combined_and_pages_follow_each_other() {
    let test = many().await;
    let db = test.db();
    let gold = Filter {
        tier: Some("GOLD".into()),
        is_active: Some(false),
        ..Filter::default()
    };
    assert_eq!(ids(&db, gold.clone(), None, 0, 2).await, ["P001000", "P002000"]);
    assert_eq!(
        ids(&db, gold.clone(), Some("P002000"), 0, 2).await,
        ["P003000", "P004000"]
    );
    assert_eq!(ids(&db, gold, None, 3, 1).await, ["P004000"]);
    let vip = Filter {
        segment: Some(domain::segment::Segment::Vip),
        is_active: Some(true),
        ..Filter::default()
    };
    assert_eq!(ids(&db, vip, Some("P001007"), 0, 2).await, ["P002007", "P003007"]);
}

/// PostgreSQL's plan for a statement with these values.
async fn plan(test: &TestDb, sql: &str) -> String {
    let client = test.db().client().await.unwrap();
    let rows = client.query(&format!("EXPLAIN {sql}"), &[]).await.unwrap();
    rows.iter()
        .map(|row| row.get::<_, String>(0))
        .collect::<Vec<_>>()
        .join("\n")
}

#[tokio::test]
async fn rare_players_are_found_by_an_index() {
    let test = many().await;
    for (condition, index) in [
        (
            "lower(email) ~>=~ 'player777@' AND lower(email) ~<~ 'player777@\u{10FFFF}'",
            "players_by_email",
        ),
        ("tier = 'GOLD'", "players_by_tier"),
        ("NOT is_active", "players_inactive"),
    ] {
        let plan = plan(
            &test,
            &format!("SELECT player_id FROM players WHERE {condition} ORDER BY player_id LIMIT 100"),
        )
        .await;
        assert!(plan.contains(index), "{condition}:\n{plan}");
    }
}
