use crate::runs::{start, work_off};
use crate::{loss_cashback, program, program_with};
use serde_json::{Value, json};
use testing::{Player, TestApi};

/// P002 of the domain gets 480.00, which costs 362.11 and earns 450.00. X is as P002 and suspicious: half of it. P004
/// is not one for the rule.
async fn with_players() -> TestApi {
    let program = program().await;
    let db = program.db();
    let losing = |id: &str| {
        Player::new(id)
            .deposited("1000")
            .wagered("5000")
            .won("200")
            .sessions(10)
            .segment("LOSING")
    };
    losing("P002").insert(&db).await;
    losing("X").tier("GOLD").insert(&db).await;
    program
        .tamper("UPDATE players SET risk_score = 45 WHERE player_id = 'X'")
        .await;
    Player::new("P004")
        .deposited("500")
        .wagered("500")
        .won("500")
        .sessions(5)
        .segment("NEW")
        .insert(&db)
        .await;
    program
}

fn shown(figures: &Value) -> String {
    let figure = |name: &str| figures[name].to_string();
    [
        "matched",
        "granted",
        "reduced",
        "amount",
        "cost",
        "expected_revenue",
        "expected_profit",
    ]
    .map(figure)
    .join(" ")
}

#[tokio::test]
async fn a_draft_is_put_in_front_of_everybody_and_nothing_is_written() {
    let program = with_players().await;
    let body = json!({ "rule": loss_cashback() });
    let simulated = program.post("/api/rules/simulate", body).await.expect(200);
    // Half of 480 costs 240 - 0.05 * E[...]; the sum of both costs is what the gates say of each.
    let costs: f64 = simulated["samples"]
        .as_array()
        .unwrap()
        .iter()
        .map(profit_cost)
        .sum::<f64>();
    assert_eq!(
        (&simulated["players"], &simulated["rule_version"], &simulated["is_live"]),
        (&json!(3), &json!(1), &json!(true))
    );
    assert_eq!(simulated["amount"].to_string(), "720.00");
    assert_eq!(simulated["cost"].to_string(), format!("{costs:.2}"));
    assert_eq!(simulated["expected_revenue"].to_string(), "900.00");
    assert_eq!(
        (&simulated["currency_type"], &simulated["within"]),
        (&json!("BONUS"), &json!("ALONE"))
    );
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
    let held = (
        &fraud["name"],
        &fraud["refused"]["count"],
        &fraud["reduced"]["count"],
        fraud["reduced"]["amount"].to_string(),
    );
    assert_eq!(held, (&json!("fraud"), &json!(0), &json!(1), "240.00".to_owned()));
    let outcomes: Vec<String> = simulated["samples"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sample| {
            format!(
                "{} {} {}",
                sample["player_id"],
                sample["outcome"],
                sample["conditions"].as_array().unwrap().len()
            )
        })
        .collect();
    assert_eq!(
        outcomes,
        [r#""P002" "GRANTED" 3"#, r#""P004" "NO_MATCH" 3"#, r#""X" "REDUCED" 3"#]
    );
    // 500 bets of 9.60 from 50 of them at even money, where X has half of both; the gate computes with slots.
    let wagering = &simulated["samples"][0]["wagering"];
    let figure = |wagering: &Value, model: &str, name: &str| wagering[model][name].to_string();
    assert_eq!(
        (wagering["amount"].to_string(), wagering["requirement"].to_string()),
        ("480.00".into(), "4800.00".into())
    );
    assert_eq!(
        (figure(wagering, "exact", "bet"), figure(wagering, "exact", "bet_sd")),
        ("9.60".into(), "0.9987".into())
    );
    assert_eq!(
        (
            figure(wagering, "closed_form", "cost"),
            figure(wagering, "closed_form", "bet_sd")
        ),
        ("362.11".into(), "5.00".into())
    );
    assert_eq!(figure(wagering, "exact", "expected_stake"), "4583.5003");
    assert_eq!(
        figure(&simulated["samples"][2]["wagering"], "exact", "expected_stake"),
        "2291.7501"
    );
    assert_eq!(simulated["samples"][1]["wagering"], Value::Null);
    assert_eq!(
        (&simulated["difference"], &simulated["budget"]),
        (&Value::Null, &Value::Null)
    );
    let written = "SELECT count(*)
        FROM (SELECT FROM rules UNION ALL SELECT FROM grants UNION ALL SELECT FROM reward_decisions
              UNION ALL SELECT FROM audit_log) x";
    assert_eq!(program.text(written).await, "0");
}

#[tokio::test]
async fn a_bonus_that_is_refused_is_explained_with_the_amount_that_was_asked() {
    let program = with_players().await;
    let mut rule = loss_cashback();
    (rule["reward_config"]["formula"], rule["reward_config"]["max_amount"]) = (json!("net_loss * 0.20"), json!(5000));
    rule["reward_config"]["wagering_requirement"] = json!(8);
    let body = |rule| Some(json!({ "rule": rule }));
    let simulated = program
        .send("POST", "/api/rules/simulate", body(rule.clone()))
        .await
        .expect(200);
    let sample = &simulated["samples"][0];
    let wagering = &sample["wagering"];
    let shown = [
        &wagering["amount"],
        &wagering["requirement"],
        &wagering["closed_form"]["cost"],
    ]
    .map(Value::to_string);
    assert_eq!(
        (&sample["outcome"], shown.join(" ")),
        (&json!("REFUSED"), "960.00 7680.00 753.12".into())
    );
    rule["reward_config"] = json!({ "type": "LOYALTY_POINTS", "amount": 100 });
    let simulated = program
        .send("POST", "/api/rules/simulate", body(rule))
        .await
        .expect(200);
    assert_eq!(
        (
            &simulated["samples"][0]["outcome"],
            &simulated["samples"][0]["wagering"]
        ),
        (&json!("GRANTED"), &Value::Null)
    );
}

fn profit_cost(sample: &Value) -> f64 {
    let gates = sample["decision"]["gates"].as_array();
    gates
        .and_then(|gates| gates.iter().find(|gate| gate["name"] == "profit"))
        .map_or(0.0, |gate| gate["figures"]["cost"].as_f64().unwrap())
}

#[tokio::test]
async fn a_saved_rule_is_simulated_within_the_active_set() {
    let program = with_players().await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    let mut higher = loss_cashback();
    (higher["rule_id"], higher["priority"]) = (json!("HIGHER"), json!(99));
    higher["conditions"] = json!({ "tier": "GOLD" });
    program.post("/api/rules", higher).await.expect(201);
    let body = json!({ "rule_id": "LOSS_CASHBACK", "within": "ACTIVE_SET" });
    let simulated = program.post("/api/rules/simulate", body).await.expect(200);
    let figures = (
        &simulated["matched"],
        &simulated["granted"],
        &simulated["displaced"],
        &simulated["all_rules"]["granted"],
    );
    assert_eq!(figures, (&json!(2), &json!(1), &json!(1), &json!(2)));
    let mut draft = loss_cashback();
    draft["reward_config"]["max_amount"] = json!(100);
    let simulated = program
        .post("/api/rules/simulate", json!({ "rule": draft }))
        .await
        .expect(200);
    assert_eq!(
        (&simulated["rule_version"], &simulated["difference"]["version"]),
        (&json!(2), &json!(1))
    );
    // 480 and 240 against 100 and 50.
    assert_eq!(simulated["difference"]["amount"].to_string(), "-570.00");
}

#[tokio::test]
async fn a_simulation_wants_one_rule_and_an_operator() {
    let program = with_players().await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    let mut wrong = loss_cashback();
    wrong["reward_config"]["formula"] = json!("net_loss *");
    for (body, expected) in [
        (json!({}), "/rule required"),
        (
            json!({ "rule": loss_cashback(), "rule_id": "LOSS_CASHBACK" }),
            "/rule required",
        ),
        (json!({ "rule": wrong }), "/rule/reward_config/formula formula"),
        (
            json!({ "rule_id": "LOSS_CASHBACK", "within": "SOMETIMES" }),
            "/within unknown",
        ),
        (
            json!({ "rule_id": "LOSS_CASHBACK", "player_id": "P002" }),
            "/player_id unknown",
        ),
        (
            json!({ "rule": wrong, "as_run": true }),
            "/rule/reward_config/formula formula",
        ),
        (json!({ "as_run": true }), "/rule required"),
        (json!({ "rule_id": "LOSS_CASHBACK", "as_run": 1 }), "/as_run type"),
    ] {
        assert_eq!(
            program.errors("POST", "/api/rules/simulate", Some(body.clone())).await,
            [expected],
            "{body}"
        );
    }
    for body in [
        json!({ "rule_id": "NONE" }),
        json!({ "rule_id": "NONE", "as_run": true }),
    ] {
        program.post("/api/rules/simulate", body).await.expect(404);
    }
    assert_eq!(
        program.text("SELECT count(*) FROM runs").await,
        "0",
        "no run is made of what cannot be simulated"
    );
    program
        .send_as(
            "viewer",
            "POST",
            "/api/rules/simulate",
            Some(json!({ "rule_id": "LOSS_CASHBACK" })),
        )
        .await
        .expect(403);
}

#[tokio::test]
async fn a_simulation_as_a_run_has_the_report_of_the_direct_one() {
    let program = with_players().await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    let mut draft = loss_cashback();
    draft["reward_config"]["max_amount"] = json!(100.50);
    let body = |as_run| json!({ "rule": draft, "within": "ACTIVE_SET", "as_run": as_run });
    let started = start(&program, "/api/rules/simulate", Some(body(true))).await;
    let place = format!("/api/rules/simulations/{}", started["run_id"].as_str().unwrap());
    let problem = program.send("GET", &place, None).await.expect(409);
    assert_eq!(
        (&problem["type"], &problem["run_url"]),
        (&json!("urn:loyalty:problem:not_ended"), &started["run_url"])
    );
    work_off(&program, 2).await;
    let mut report = program.send_as("viewer", "GET", &place, None).await.expect(200);
    let mut direct = program.post("/api/rules/simulate", body(false)).await.expect(200);
    // They differ in the evaluation time only.
    for answer in [&mut report, &mut direct] {
        assert!(answer["evaluated_at"].take().is_string());
    }
    assert_eq!(report.to_string(), direct.to_string());
    assert_eq!(report["amount"].to_string(), "150.75", "100.50, and half of it");
    let run = "SELECT kind || ' ' || status || ' ' || rule_id || ' ' || shards_done FROM runs";
    assert_eq!(program.text(run).await, "SIMULATION COMPLETED LOSS_CASHBACK 1");
}

#[tokio::test]
async fn a_simulation_that_failed_says_why_and_others_are_not_found() {
    let program = with_players().await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    let evaluation = start(&program, "/api/rules/LOSS_CASHBACK/evaluate", None).await;
    for other in [
        evaluation["run_id"].as_str().unwrap(),
        "00000000-0000-0000-0000-000000000000",
    ] {
        program
            .send("GET", &format!("/api/rules/simulations/{other}"), None)
            .await
            .expect(404);
    }
    let started = start(
        &program,
        "/api/rules/simulate",
        Some(json!({ "rule_id": "LOSS_CASHBACK", "as_run": true })),
    )
    .await;
    program
        .send("DELETE", "/api/rules/LOSS_CASHBACK", None)
        .await
        .expect(200);
    work_off(&program, 1).await;
    let place = format!("/api/rules/simulations/{}", started["run_id"].as_str().unwrap());
    let problem = program.send("GET", &place, None).await.expect(409);
    assert_eq!(problem["type"], "urn:loyalty:problem:simulation_failed");
    assert!(
        problem["detail"]
            .as_str()
            .unwrap()
            .starts_with("the simulation failed: rule LOSS_CASHBACK is archived"),
        "{problem}"
    );
}

#[tokio::test]
async fn a_simulation_whose_message_cannot_be_sent_has_failed() {
    let refuse = |_: &testing::Request| {
        (
            400,
            json!({"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"}).to_string(),
        )
    };
    let program = program_with(refuse).await;
    Player::new("P001").insert(&program.db()).await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    program
        .post(
            "/api/rules/simulate",
            json!({ "rule_id": "LOSS_CASHBACK", "as_run": true }),
        )
        .await
        .expect(503);
    assert_eq!(
        program
            .text("SELECT status || ' ' || (finished_at IS NOT NULL) FROM runs")
            .await,
        "FAILED true"
    );
    testing::audit(&program.owner()).await;
}
