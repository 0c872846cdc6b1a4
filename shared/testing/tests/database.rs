//! Tests of the test database itself.

use testing::{Player, TestDb};

#[tokio::test]
async fn every_test_has_a_database_of_its_own() {
    let (one, other) = (TestDb::new().await, TestDb::new().await);
    Player::new("P001").insert(&one.db()).await;
    assert_eq!(one.text("SELECT count(*) FROM players").await, "1");
    assert_eq!(other.text("SELECT count(*) FROM players").await, "0");
}

#[tokio::test]
async fn functions_connect_as_a_member_of_the_runtime_role() {
    let test = TestDb::new().await;
    let client = test.db().client().await.unwrap();
    let row = client
        .query_one(
            "SELECT current_user::text, pg_has_role(current_user, 'loyalty_runtime', 'member')",
            &[],
        )
        .await
        .unwrap();
    assert_eq!(
        (row.get::<_, String>(0), row.get::<_, bool>(1)),
        ("loyalty_app".to_owned(), true)
    );
    for statement in [
        "UPDATE postings SET amount = 1",
        "DELETE FROM postings",
        "TRUNCATE postings",
    ] {
        let refusal = client.batch_execute(statement).await.unwrap_err();
        assert_eq!(refusal.code().map(|code| code.code()), Some("42501"), "{statement}");
    }
}

#[tokio::test]
async fn a_database_is_gone_after_its_test() {
    let survivor = TestDb::new().await;
    let gone = TestDb::new().await;
    let name = gone.text("SELECT current_database()").await;
    drop(gone);
    assert_eq!(
        survivor
            .text(&format!("SELECT count(*) FROM pg_database WHERE datname = '{name}'"))
            .await,
        "0"
    );
}
