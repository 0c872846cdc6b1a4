//! The main job on real parts: a file dropped in the bucket becomes segmented, rewarded players.

mod stack;

use reqwest::Method;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use stack::Stack;
use store::Db;

const SAMPLE: &str = include_str!("../../../events/sample/players.csv");
const RULES: &str = include_str!("../../../events/sample/rules.json");

/// The sample's segments, by the default thresholds.
const SEGMENTS: [(&str, &str); 10] = [
    ("P001", "WINNING"),
    ("P002", "LOSING"),
    ("P003", "LOSING"),
    ("P004", "NEW"),
    ("P005", "WINNING"),
    ("P006", "LOSING"),
    ("P007", "WINNING"),
    ("P008", "NEW"),
    ("P009", "LOSING"),
    ("P010", "BREAKEVEN"),
];

#[tokio::test]
async fn a_file_in_the_bucket_becomes_rewarded_players() {
    let stack = Stack::up().await;
    let books = Db::new(stack.env("DATABASE_URL"), None).expect("the address of the database");

    only_health_is_public(&stack).await;
    save_the_sample_rules(&stack).await;
    import_the_sample(&stack).await;
    players_are_segmented(&stack).await;
    rewards_are_those_of_the_design(&stack, &books).await;
    testing::audit(&books).await;

    the_same_rows_change_nothing(&stack).await;
    an_uploaded_form_is_imported(&stack).await;
    the_dashboard_counts(&stack).await;
    testing::audit(&books).await;
    drop(books);
    stack.down().await;
}

async fn only_health_is_public(stack: &Stack) {
    assert_eq!(stack.get_without_key("/health").await.0, 200);
    assert_eq!(stack.get_without_key("/api/players").await.0, 401);
}

async fn save_the_sample_rules(stack: &Stack) {
    let rules: Vec<Value> = serde_json::from_str(RULES).expect("the sample rules");
    for rule in &rules {
        let (status, body) = stack.call(Method::POST, "/api/rules", Some(rule)).await;
        assert_eq!(status, 201, "{body}");
        assert_eq!(body["rule_id"], rule["rule_id"]);
    }
    let (status, _) = stack.call(Method::POST, "/api/rules", Some(&rules[0])).await;
    assert_eq!(status, 409, "a second rule of the same id");
    let broken = json!({
        "rule_id": "BROKEN", "name": "x", "conditions": {"luck_min": 3},
        "reward_config": {"type": "TICKETS", "amount": 1}
    });
    let (status, problem) = stack.call(Method::POST, "/api/rules", Some(&broken)).await;
    assert_eq!(
        (status, &problem["errors"][0]["pointer"]),
        (422, &json!("/conditions/luck_min"))
    );
    assert_eq!(stack.get("/api/rules").await.as_array().map(Vec::len), Some(15));
}

async fn import_the_sample(stack: &Stack) {
    let import = stack.drop_file("players.csv", SAMPLE).await;
    assert_eq!(import["status"], "COMPLETED", "{import}");
    assert_eq!(rows(&import), [10, 10, 0, 0, 0]);
    assert_eq!(import["run"]["status"], "COMPLETED", "{import}");
}

async fn players_are_segmented(stack: &Stack) {
    for (player_id, segment) in SEGMENTS {
        let player = stack.get(&format!("/api/players/{player_id}")).await;
        assert_eq!(player["segment"], segment, "{player}");
    }
}

async fn rewards_are_those_of_the_design(stack: &Stack, books: &Db) {
    let cashback = only_reward(stack, "P002").await;
    assert_eq!(
        (&cashback["rule_id"], &cashback["currency_type"]),
        (&json!("LOSS_CASHBACK"), &json!("BONUS")),
        "{cashback}"
    );
    assert_eq!(number(&cashback["amount"]), decimal("480.00"));
    assert_eq!(number(&cashback["wagering_required"]), decimal("4800.00"));

    let decisions = decisions(books, "P002").await;
    for (rule, amount, cost) in [
        ("BIG_LOSS_CASHBACK", "960.00", "753.12"),
        ("STEADY_LOSER", "770.00", "580.89"),
    ] {
        let decision = decisions
            .iter()
            .find(|decision| decision["rule_id"] == rule)
            .unwrap_or_else(|| panic!("{rule}: {decisions:?}"));
        assert_eq!(decision["verdict"], "REFUSED", "{decision}");
        assert_eq!(number(&decision["reward_amount"]), decimal(amount), "{decision}");
        assert!(holds_figure(decision, decimal(cost)), "{rule} costs {cost}: {decision}");
    }

    let welcome = only_reward(stack, "P004").await;
    assert_eq!(
        (&welcome["rule_id"], number(&welcome["amount"])),
        (&json!("WELCOME_BONUS"), decimal("25.00")),
        "{welcome}"
    );
    let points = only_reward(stack, "P010").await;
    assert_eq!(
        (&points["rule_id"], &points["currency_type"]),
        (&json!("BREAKEVEN_POINTS"), &json!("LP")),
        "{points}"
    );
    assert_eq!(number(&points["amount"]), decimal("150.00"));
    let player = stack.get("/api/players/P010").await;
    assert_eq!(number(&player["balances"]["lp_balance"]), decimal("150.00"));
}

async fn the_same_rows_change_nothing(stack: &Stack) {
    let before = stack.get("/api/analytics/rewards?limit=1000").await;
    let import = stack.drop_file("again.csv", SAMPLE).await;
    assert_eq!(import["status"], "COMPLETED", "{import}");
    assert_eq!(rows(&import), [10, 0, 0, 10, 0]);
    assert_eq!(stack.get("/api/analytics/rewards?limit=1000").await, before);
}

/// P010 went on to lose, P011 is new, and one row is invalid.
async fn an_uploaded_form_is_imported(stack: &Stack) {
    let file = "player_id,deposit,wagered,won,sessions\nP010,2000,9000,5000,13\nP011,500,500,400,2\nP012,much,1,1,1\n";
    let (status, answer) = stack.upload("second.csv", file).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(
        [
            &answer["total_rows"],
            &answer["players_created"],
            &answer["players_updated"]
        ],
        [&json!(3), &json!(1), &json!(1)],
        "{answer}"
    );
    let player = stack.get("/api/players/P010").await;
    assert_eq!(player["segment"], "LOSING", "{player}");
    let errors = answer["errors"].to_string();
    assert!(errors.contains("much") && errors.contains('4'), "{answer}");
}

async fn the_dashboard_counts(stack: &Stack) {
    let dashboard = stack.get("/api/analytics/dashboard").await;
    let rewards = stack.get("/api/analytics/rewards?limit=1000").await;
    assert_eq!(dashboard["total_players"], json!(11), "{dashboard}");
    assert_eq!(
        dashboard["total_rewards_issued"],
        json!(rewards.as_array().map(Vec::len)),
        "{dashboard}"
    );
    let segments = dashboard["segment_distribution"].as_array().expect("segments");
    let count = |name: &str| {
        segments
            .iter()
            .find(|share| share["segment"] == name)
            .map(|share| share["count"].to_string())
    };
    assert_eq!(
        count("LOSING"),
        Some("5".to_owned()),
        "P002, P003, P006, P009 and now P010"
    );
    assert_eq!(count("NEW"), Some("3".to_owned()), "P004, P008 and P011");
}

/// Row counts of an import: all, created, updated, unchanged, rejected.
fn rows(import: &Value) -> [u64; 5] {
    [
        "total_rows",
        "players_created",
        "players_updated",
        "players_unchanged",
        "rows_rejected",
    ]
    .map(|name| import[name].as_u64().unwrap_or_else(|| panic!("{name}: {import}")))
}

async fn only_reward(stack: &Stack, player_id: &str) -> Value {
    let rewards = stack
        .get(&format!("/api/analytics/rewards?player_id={player_id}"))
        .await;
    assert_eq!(rewards.as_array().map(Vec::len), Some(1), "{rewards}");
    rewards[0].clone()
}

async fn decisions(books: &Db, player_id: &str) -> Vec<Value> {
    let client = books.client().await.expect("connect to the database");
    let rows = client
        .query(
            "SELECT decisions::text FROM reward_decisions WHERE player_id = $1",
            &[&player_id],
        )
        .await
        .expect("decisions");
    rows.iter()
        .flat_map(|row| serde_json::from_str::<Vec<Value>>(row.get(0)).expect("a list of decisions"))
        .collect()
}

fn holds_figure(value: &Value, figure: Decimal) -> bool {
    match value {
        Value::Array(items) => items.iter().any(|item| holds_figure(item, figure)),
        Value::Object(entries) => entries.values().any(|item| holds_figure(item, figure)),
        Value::Number(number) => number.to_string().parse() == Ok(figure),
        _ => false,
    }
}

fn number(value: &Value) -> Decimal {
    value
        .to_string()
        .trim_matches('"')
        .parse()
        .unwrap_or_else(|_| panic!("{value} is no amount"))
}

fn decimal(text: &str) -> Decimal {
    text.parse().expect("an amount")
}
