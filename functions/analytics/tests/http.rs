//! `/api/analytics` through the router, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use app::Act;
use app::wallet::{AddBonus, AddLp};
use domain::id::PlayerId;
use serde_json::json;
use testing::{Player, TestApi, call, snapshot};

/// With players P001 (VIP, GOLD) and P002 (LOSING).
async fn program() -> TestApi {
    let api = TestApi::new("viewer", analytics::router).await;
    Player::new("P001").segment("VIP").tier("GOLD").insert(&api.db()).await;
    Player::new("P002").segment("LOSING").insert(&api.db()).await;
    api
}

/// Follows the `Link` headers and returns one field of every item.
async fn walk(program: &TestApi, path: &str, field: &str) -> Vec<String> {
    let (mut path, mut found) = (path.to_owned(), Vec::new());
    loop {
        let page = program.send("GET", &path, None).await;
        let link = page
            .header("link")
            .and_then(|link| link.split(['<', '>']).nth(1))
            .map(str::to_owned);
        found.extend(
            page.expect(200)
                .as_array()
                .unwrap()
                .iter()
                .map(|item| item[field].to_string()),
        );
        match link {
            Some(next) => path = next,
            None => return found,
        }
    }
}

async fn add_lp(program: &TestApi, player_id: &str, amount: i64) {
    let command = AddLp {
        player_id: PlayerId::parse(player_id).unwrap(),
        amount: amount.to_string().parse().unwrap(),
        reason: Some("gift".into()),
    };
    app::wallet::add_lp(&program.db(), &command, &Act::of("tester", lambda::context()))
        .await
        .unwrap();
}

async fn add_bonus(program: &TestApi, player_id: &str, amount: i64, wagering_required: i64) {
    let command = AddBonus {
        player_id: PlayerId::parse(player_id).unwrap(),
        amount: amount.to_string().parse().unwrap(),
        wagering_required: wagering_required.to_string().parse().unwrap(),
        expiry_hours: None,
        max_bet: None,
        eligible_games: None,
        reason: None,
    };
    app::wallet::add_bonus(&program.db(), &command, &Act::of("tester", lambda::context()))
        .await
        .unwrap();
}

/// Two grants of rules with their decisions.
const GRANTS: &str = r#"
INSERT INTO grants (player_id, grant_id, rule_id, rule_version, period_key, evaluation_id, reward_type, asset, amount,
  cost,
  expected_revenue, status, balance, wagering_required, issued_at, expires_at, closed_at)
VALUES
  ('P002', '019b0000-0000-7000-8000-000000000001', 'LOSS_CASHBACK', 3, 'ONCE', '019b0000-0000-7000-8000-0000000000e1',
   'BONUS_BALANCE', 'BONUS', 480, 362.1129, 450, 'ACTIVE', 480, 4800, '2026-03-01Z', '2026-03-03Z', NULL),
  ('P001', '019b0000-0000-7000-8000-000000000002', 'VIP_POINTS', 1, 'ONCE', NULL,
   'LOYALTY_POINTS', 'LP', 150, 1.5, 2, 'COMPLETED', 0, 0, '2026-03-02Z', NULL, '2026-03-02Z');
INSERT INTO reward_decisions (player_id, evaluation_id, evaluated_at, facts, decisions)
VALUES ('P002', '019b0000-0000-7000-8000-0000000000e1', '2026-03-01Z', '{}',
  '[{"rule_id": "BIG_LOSS_CASHBACK", "verdict": "REFUSED"},
    {"rule_id": "LOSS_CASHBACK", "verdict": "GRANTED", "amount": 480.00}]')"#;

#[tokio::test]
async fn the_dashboard_counts_without_scanning() {
    let program = program().await;
    add_bonus(&program, "P001", 100, 1000).await;
    // The figures must come from the counters, not the tables.
    program.tamper("DELETE FROM player_segments").await;
    let dashboard = program.get("/api/analytics/dashboard").await;
    insta::assert_snapshot!("dashboard", snapshot(&dashboard));
}

#[tokio::test]
async fn a_reward_shows_the_decision_about_its_rule() {
    let program = program().await;
    program.tamper(GRANTS).await;
    let rewards = program.get("/api/analytics/rewards?rule_id=LOSS_CASHBACK").await;
    assert_eq!(
        rewards.to_string(),
        concat!(
            r#"[{"amount":480.00,"balance":480.00,"closed_at":null,"cost":362.1129,"currency_type":"BONUS","#,
            r#""decision":{"amount":480.00,"rule_id":"LOSS_CASHBACK","verdict":"GRANTED"},"expected_revenue":450.00,"#,
            r#""expires_at":"2026-03-03T00:00:00Z","id":"019b0000-0000-7000-8000-000000000001","#,
            r#""issued_at":"2026-03-01T00:00:00Z","#,
            r#""player_id":"P002","reward_type":"BONUS_BALANCE","rule_id":"LOSS_CASHBACK","#,
            r#""rule_version":3,"status":"ACTIVE","#,
            r#""status_reason":null,"wagering_completed":0.00,"wagering_required":4800.00}]"#
        )
    );
}

#[tokio::test]
async fn rewards_are_filtered_and_walked_newest_first() {
    let program = program().await;
    program.tamper(GRANTS).await;
    assert_eq!(
        walk(&program, "/api/analytics/rewards?limit=1", "rule_id").await,
        ["\"VIP_POINTS\"", "\"LOSS_CASHBACK\""]
    );
    assert_eq!(
        walk(&program, "/api/analytics/rewards?player_id=P001", "rule_id").await,
        ["\"VIP_POINTS\""]
    );
    assert_eq!(
        walk(&program, "/api/analytics/rewards?status=ACTIVE", "amount").await,
        ["480.00"]
    );
    assert_eq!(program.get("/api/analytics/rewards?status=EXPIRED").await, json!([]));
    for (query, pointer) in [
        ("status=LOST", "?status"),
        ("player_id=", "?player_id"),
        ("rule=X", "?rule"),
        ("cursor=x", "?cursor"),
        ("skip=-1", "?skip"),
    ] {
        let problem = program
            .send("GET", &format!("/api/analytics/rewards?{query}"), None)
            .await
            .expect(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer, "{query}");
    }
}

#[tokio::test]
async fn transactions_are_signed_from_the_wallets_side() {
    let program = program().await;
    // Without wagering the bonus is converted at once.
    add_bonus(&program, "P001", 25, 0).await;
    let postings = program.get("/api/analytics/transactions?player_id=P001").await;
    let shown: Vec<String> = postings
        .as_array()
        .unwrap()
        .iter()
        .map(|p| {
            format!(
                "{} {} {} {} {}",
                p["version"], p["amount"], p["balance_after"], p["house"], p["actor"]
            )
        })
        .collect();
    assert_eq!(
        shown,
        [
            "2 -25.00 0.00 \"house:cash_out\" \"tester\"",
            "1 25.00 25.00 \"house:issuance\" \"tester\""
        ]
    );
    assert_eq!(
        [&postings[1]["kind"], &postings[0]["kind"]],
        ["manual_bonus", "bonus_conversion"]
    );
    let mut fields: Vec<&String> = postings[0].as_object().unwrap().keys().collect();
    fields.sort();
    assert_eq!(
        fields,
        [
            "actor",
            "amount",
            "asset",
            "balance_after",
            "created_at",
            "grant_id",
            "house",
            "kind",
            "player_id",
            "reason",
            "reference",
            "transaction_id",
            "version"
        ]
    );
}

#[tokio::test]
async fn transactions_are_walked_one_by_one_without_loss() {
    let program = program().await;
    add_lp(&program, "P001", 1).await;
    add_bonus(&program, "P001", 2, 0).await;
    add_lp(&program, "P002", 3).await;
    add_lp(&program, "P001", 4).await;
    let path = "/api/analytics/transactions";
    assert_eq!(
        walk(&program, &format!("{path}?limit=1"), "amount").await,
        ["4.00", "3.00", "-2.00", "2.00", "1.00"]
    );
    assert_eq!(
        walk(&program, &format!("{path}?limit=2&player_id=P001"), "amount").await,
        ["4.00", "-2.00", "2.00", "1.00"]
    );
    assert_eq!(program.get(&format!("{path}?player_id=P404")).await, json!([]));
    program
        .send("GET", &format!("{path}?cursor=x.LP.1"), None)
        .await
        .expect(422);
    program
        .send("GET", &format!("{path}?colour=red"), None)
        .await
        .expect(422);
}

#[tokio::test]
async fn readers_need_a_key() {
    let program = program().await;
    for path in ["dashboard", "rewards", "transactions"] {
        let path = format!("/api/analytics/{path}");
        program.send_unknown("GET", &path, None).await.expect(401);
        call(program.router(), "GET", &path, Some("nobody's"), None)
            .await
            .expect(401);
        program.send_as("ingest", "GET", &path, None).await.expect(403);
    }
}
