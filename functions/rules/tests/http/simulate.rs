use crate::{Program, loss_cashback};
use serde_json::{Value, json};
use testing::{Player, api_key, call};

/// P002 of the domain gets 480.00, which costs 362.11 and earns 450.00. X is as P002 and suspicious: half of it. P004 is not
/// one for the rule.
async fn with_players() -> Program {
    let program = Program::new().await;
    let db = program.test.db();
    let losing = |id: &str| Player::new(id).deposited("1000").wagered("5000").won("200").sessions(10).segment("LOSING");
    losing("P002").insert(&db).await;
    losing("X").tier("GOLD").insert(&db).await;
    program.test.tamper("UPDATE players SET risk_score = 45 WHERE player_id = 'X'").await;
    Player::new("P004").deposited("500").wagered("500").won("500").sessions(5).segment("NEW").insert(&db).await;
    program
}

fn shown(figures: &Value) -> String {
    let figure = |name: &str| figures[name].to_string();
    ["matched", "granted", "reduced", "amount", "cost", "expected_revenue", "expected_profit"].map(figure).join(" ")
}

#[tokio::test]
async fn a_draft_is_put_in_front_of_everybody_and_nothing_is_written() {
    let program = with_players().await;
    let body = json!({ "rule": loss_cashback() });
    let simulated = program.send("POST", "/api/rules/simulate", Some(body)).await.expect(200);
    // Half of 480 costs 240 - 0.05 * E[...]; the sum of both costs is what the gates say of each.
    let costs: f64 = simulated["samples"].as_array().unwrap().iter().map(profit_cost).sum::<f64>();
    assert_eq!((&simulated["players"], &simulated["rule_version"], &simulated["is_live"]), (&json!(3), &json!(1), &json!(true)));
    assert_eq!(simulated["amount"].to_string(), "720.00");
    assert_eq!(simulated["cost"].to_string(), format!("{costs:.2}"));
    assert_eq!(simulated["expected_revenue"].to_string(), "900.00");
    assert_eq!((&simulated["currency_type"], &simulated["within"]), (&json!("BONUS"), &json!("ALONE")));
    let groups: Vec<String> = simulated["by_tier"]
        .as_array()
        .unwrap()
        .iter()
        .map(|group| format!("{} {} {}", group["name"], group["players"], group["amount"]))
        .collect();
    assert_eq!(groups, [r#""BRONZE" 2 480.00"#, r#""GOLD" 1 240.00"#]);
    let losing = &simulated["by_segment"][0];
    assert_eq!((&losing["name"], shown(losing)), (&json!("LOSING"), shown(&simulated)));
    let fraud = &simulated["gates"][1];
    let held = (&fraud["name"], &fraud["refused"]["count"], &fraud["reduced"]["count"], fraud["reduced"]["amount"].to_string());
    assert_eq!(held, (&json!("fraud"), &json!(0), &json!(1), "240.00".to_owned()));
    let outcomes: Vec<String> = simulated["samples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sample| format!("{} {} {}", sample["player_id"], sample["outcome"], sample["conditions"].as_array().unwrap().len()))
        .collect();
    assert_eq!(outcomes, [r#""P002" "GRANTED" 3"#, r#""P004" "NO_MATCH" 3"#, r#""X" "REDUCED" 3"#]);
    assert_eq!((&simulated["difference"], &simulated["budget"]), (&Value::Null, &Value::Null));
    assert_eq!(program.test.text("SELECT count(*) FROM (SELECT 1 FROM rules UNION ALL SELECT 1 FROM grants UNION ALL SELECT 1 FROM reward_decisions UNION ALL SELECT 1 FROM audit_log) x").await, "0");
}

fn profit_cost(sample: &Value) -> f64 {
    let gates = sample["decision"]["gates"].as_array();
    gates.and_then(|gates| gates.iter().find(|gate| gate["name"] == "profit")).map_or(0.0, |gate| gate["figures"]["cost"].as_f64().unwrap())
}

#[tokio::test]
async fn a_saved_rule_is_simulated_within_the_active_set() {
    let program = with_players().await;
    program.send("POST", "/api/rules", Some(loss_cashback())).await.expect(201);
    let mut higher = loss_cashback();
    (higher["rule_id"], higher["priority"]) = (json!("HIGHER"), json!(99));
    higher["conditions"] = json!({ "tier": "GOLD" });
    program.send("POST", "/api/rules", Some(higher)).await.expect(201);
    let body = json!({ "rule_id": "LOSS_CASHBACK", "within": "ACTIVE_SET" });
    let simulated = program.send("POST", "/api/rules/simulate", Some(body)).await.expect(200);
    let figures = (&simulated["matched"], &simulated["granted"], &simulated["displaced"], &simulated["all_rules"]["granted"]);
    assert_eq!(figures, (&json!(2), &json!(1), &json!(1), &json!(2)));
    let mut draft = loss_cashback();
    draft["reward_config"]["max_amount"] = json!(100);
    let simulated = program.send("POST", "/api/rules/simulate", Some(json!({ "rule": draft }))).await.expect(200);
    assert_eq!((&simulated["rule_version"], &simulated["difference"]["version"]), (&json!(2), &json!(1)));
    // 480 and 240 against 100 and 50.
    assert_eq!(simulated["difference"]["amount"].to_string(), "-570.00");
}

#[tokio::test]
async fn a_simulation_wants_one_rule_and_an_operator() {
    let program = with_players().await;
    program.send("POST", "/api/rules", Some(loss_cashback())).await.expect(201);
    let mut wrong = loss_cashback();
    wrong["reward_config"]["formula"] = json!("net_loss *");
    for (body, expected) in [
        (json!({}), "/rule required"),
        (json!({ "rule": loss_cashback(), "rule_id": "LOSS_CASHBACK" }), "/rule required"),
        (json!({ "rule": wrong }), "/rule/reward_config/formula formula"),
        (json!({ "rule_id": "LOSS_CASHBACK", "within": "SOMETIMES" }), "/within unknown"),
        (json!({ "rule_id": "LOSS_CASHBACK", "player_id": "P002" }), "/player_id unknown"),
    ] {
        assert_eq!(program.errors("POST", "/api/rules/simulate", body.clone()).await, [expected], "{body}");
    }
    program.send("POST", "/api/rules/simulate", Some(json!({ "rule_id": "NONE" }))).await.expect(404);
    let viewer = api_key(&program.test.db(), "viewer").await;
    call(&program.router, "POST", "/api/rules/simulate", Some(&viewer), Some(json!({ "rule_id": "LOSS_CASHBACK" }))).await.expect(403);
}
