use crate::{loss_cashback, program};
use serde_json::{Value, json};
use testing::{Player, snapshot};

fn with(field: &str, value: Value) -> Value {
    let mut rule = loss_cashback();
    rule[field] = value;
    rule
}

#[tokio::test]
async fn a_saved_rule_is_given_back_with_its_version() {
    let program = program().await;
    let created = program.post("/api/rules", loss_cashback()).await.expect(201);
    insta::assert_snapshot!("rule", snapshot(&created));
    assert_eq!(program.get("/api/rules/LOSS_CASHBACK").await, created);
    assert_eq!(program.get("/api/rules").await, json!([created]));
    assert_eq!(
        program.post("/api/rules", loss_cashback()).await.expect(409)["type"],
        "urn:loyalty:problem:duplicate"
    );
}

#[tokio::test]
async fn every_save_adds_a_version_and_is_audited() {
    let program = program().await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    let mut rule = with("priority", json!(11));
    rule.as_object_mut().unwrap().remove("rule_id");
    let updated = program
        .send("PUT", "/api/rules/LOSS_CASHBACK", Some(rule))
        .await
        .expect(200);
    assert_eq!(
        (&updated["version"], &updated["priority"], &updated["rule_id"]),
        (&json!(2), &json!(11), &json!("LOSS_CASHBACK"))
    );

    let versions = program.get("/api/rules/LOSS_CASHBACK/versions").await;
    let shown: Vec<String> = versions
        .as_array()
        .unwrap()
        .iter()
        .map(|v| format!("{} {}", v["version"], v["definition"]["priority"]))
        .collect();
    assert_eq!(shown, ["2 11", "1 10"]);
    assert!(versions[0]["created_by"].as_str().unwrap().starts_with("test ("));

    let audit = "SELECT string_agg(action || ' ' || coalesce(before ->> 'priority', '-') || '>' ||
           (after ->> 'priority'), ',' ORDER BY audit_id)
                 FROM audit_log WHERE subject = 'rule:LOSS_CASHBACK'";
    assert_eq!(program.text(audit).await, "rule.create ->10,rule.update 10>11");
}

#[tokio::test]
async fn a_put_changes_what_it_names_and_null_clears() {
    let program = program().await;
    let created = program.post("/api/rules", loss_cashback()).await.expect(201);
    let patch = json!({
        "rule_id": null,
        "priority": null,
        "conditions": { "segment": null, "net_loss_min": 200, "tier": "GOLD" },
        "reward_config": { "max_amount": null, "expiry_hours": 24 },
    });
    let mut expected = created.clone();
    expected["priority"] = json!(0);
    expected["conditions"] = json!({ "net_loss_min": 200, "session_count_min": 3, "tier": "GOLD" });
    expected["reward_config"]["expiry_hours"] = json!(24);
    expected["reward_config"].as_object_mut().unwrap().remove("max_amount");
    expected["version"] = json!(2);
    let mut changed = program
        .send("PUT", "/api/rules/LOSS_CASHBACK", Some(patch))
        .await
        .expect(200);
    assert_eq!(program.get("/api/rules/LOSS_CASHBACK").await, changed);
    changed["updated_at"] = created["updated_at"].clone();
    assert_eq!(changed, expected);

    // What changes nothing makes no version.
    for patch in [
        json!({}),
        json!({ "conditions": { "net_loss_min": 200 }, "budget": null }),
    ] {
        let same = program
            .send("PUT", "/api/rules/LOSS_CASHBACK", Some(patch))
            .await
            .expect(200);
        assert_eq!(same["version"], json!(2));
    }
    for (patch, expected) in [
        (json!({ "name": null }), "/name required"),
        (json!({ "conditions": null }), "/conditions required"),
        (json!({ "conditions": { "colour": 1 } }), "/conditions/colour unknown"),
        (json!([]), " type"),
    ] {
        let errors = program
            .errors("PUT", "/api/rules/LOSS_CASHBACK", Some(patch.clone()))
            .await;
        assert_eq!(errors, [expected], "{patch}");
    }
    let counts =
        "SELECT (SELECT count(*) FROM rule_versions) || ' ' || count(*) FROM audit_log WHERE subject LIKE 'rule:%'";
    assert_eq!(program.text(counts).await, "2 2");
}

#[tokio::test]
async fn concurrent_saves_make_dense_versions() {
    let program = program().await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    let tasks: Vec<_> = (0..8)
        .map(|n| {
            let (program, rule) = (program.clone(), with("priority", json!(n)));
            tokio::spawn(async move { program.send("PUT", "/api/rules/LOSS_CASHBACK", Some(rule)).await.status })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    assert_eq!(
        program
            .text("SELECT string_agg(version::text, ' ' ORDER BY version) FROM rule_versions")
            .await,
        "1 2 3 4 5 6 7 8 9"
    );
    assert_eq!(program.text("SELECT current_version FROM rules").await, "9");
}

#[tokio::test]
async fn an_archived_rule_stays_readable_and_cannot_be_changed() {
    let program = program().await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    let archived = program
        .send("DELETE", "/api/rules/LOSS_CASHBACK", None)
        .await
        .expect(200);
    assert!(archived["archived_at"].is_string());
    assert_eq!(program.get("/api/rules").await, json!([]));
    assert_eq!(program.get("/api/rules/LOSS_CASHBACK").await, archived);
    for (method, path, body) in [
        ("PUT", "/api/rules/LOSS_CASHBACK", Some(loss_cashback())),
        ("DELETE", "/api/rules/LOSS_CASHBACK", None),
        ("POST", "/api/rules", Some(loss_cashback())),
        (
            "POST",
            "/api/rules/LOSS_CASHBACK/test",
            Some(json!({ "player_id": "P002" })),
        ),
    ] {
        program.send(method, path, body).await.expect(409);
    }
    assert_eq!(program.text("SELECT count(*) FROM rule_versions").await, "1");
}

#[tokio::test]
async fn wrong_rules_are_refused_with_the_place() {
    let program = program().await;
    for (rule, expected) in [
        (
            with("conditions", json!({ "net_los_min": 100 })),
            "/conditions/net_los_min unknown",
        ),
        (with("conditions", json!({ "segment": 7 })), "/conditions/segment type"),
        (with("conditions", json!({ "any": [] })), "/conditions/any range"),
        (
            with(
                "reward_config",
                json!({ "type": "BONUS_BALANCE", "formula": "net_loss = 1" }),
            ),
            "/reward_config/formula formula",
        ),
        (
            with(
                "reward_config",
                json!({ "type": "LOYALTY_POINTS", "formula": "(".repeat(10_000) }),
            ),
            "/reward_config/formula formula",
        ),
        (with("rule_id", json!("facts")), "/rule_id range"),
        (with("rule_id", json!("a b")), "/rule_id format"),
        (with("colour", json!("red")), "/colour unknown"),
        (with("name", json!("a\u{0}")), "/name format"),
        (
            with("conditions", json!({ "event_game": ["a\u{0}"] })),
            "/conditions/event_game/0 format",
        ),
        (json!([]), " type"),
    ] {
        assert_eq!(
            program.errors("POST", "/api/rules", Some(rule.clone())).await[0],
            expected,
            "{rule}"
        );
    }
    program.post("/api/rules", loss_cashback()).await.expect(201);
    assert_eq!(
        program
            .errors("PUT", "/api/rules/LOSS_CASHBACK", Some(with("rule_id", json!("OTHER"))))
            .await,
        ["/rule_id range"]
    );
    assert_eq!(program.text("SELECT count(*) FROM rule_versions").await, "1");
}

#[tokio::test]
async fn lists_are_filtered_and_walked() {
    let program = program().await;
    for (id, is_active) in [("C", true), ("A", false), ("B", true)] {
        let mut rule = with("rule_id", json!(id));
        rule["is_active"] = json!(is_active);
        program.post("/api/rules", rule).await.expect(201);
    }
    let ids = |rules: Value| -> Vec<String> {
        rules
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["rule_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(program.get("/api/rules").await), ["A", "B", "C"]);
    assert_eq!(ids(program.get("/api/rules?is_active=true").await), ["B", "C"]);
    assert_eq!(ids(program.get("/api/rules?is_active=false").await), ["A"]);
    let first = program.send("GET", "/api/rules?limit=2", None).await;
    assert_eq!(
        first.header("link"),
        Some("</api/rules?limit=2&cursor=B>; rel=\"next\"")
    );
    assert_eq!(ids(program.get("/api/rules?limit=2&cursor=B").await), ["C"]);
    program
        .send("GET", "/api/rules?is_active=perhaps", None)
        .await
        .expect(422);
}

#[tokio::test]
async fn the_facts_name_their_types_and_the_benefits_of_tiers() {
    let program = program().await;
    let facts = program.get("/api/rules/facts").await;
    let fact = |name: &str| {
        facts
            .as_array()
            .unwrap()
            .iter()
            .find(|fact| fact["name"] == name)
            .cloned()
            .unwrap()
    };
    assert_eq!(
        (&fact("net_loss")["type"], &fact("net_loss")["unit"]),
        (&json!("number"), &json!("currency"))
    );
    assert_eq!(fact("tier")["values"], json!(["BRONZE", "SILVER", "GOLD", "PLATINUM"]));
    assert_eq!(fact("cashback_multiplier")["type"], "number");
}

#[tokio::test]
async fn a_test_says_what_the_rule_would_do_and_why() {
    let program = program().await;
    let db = program.db();
    Player::new("P002")
        .deposited("1000")
        .wagered("5000")
        .won("200")
        .sessions(10)
        .segment("LOSING")
        .insert(&db)
        .await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    let trial = program
        .post("/api/rules/LOSS_CASHBACK/test", json!({ "player_id": "P002" }))
        .await
        .expect(200);
    assert_eq!(trial["matches"], json!(true));
    assert_eq!(
        (trial["reward_amount"].to_string(), trial["granted_amount"].to_string()),
        ("480.00".into(), "480.00".into())
    );
    assert_eq!(trial["verdict"], "GRANTED");
    assert_eq!(trial["player_state"]["net_loss"].to_string(), "4800");
    let conditions: Vec<String> = trial["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| {
            format!(
                "{} {} {} {}",
                c["pointer"].as_str().unwrap(),
                c["expected"],
                c["actual"],
                c["met"]
            )
        })
        .collect();
    assert_eq!(
        conditions,
        [
            "/conditions/net_loss_min 100 4800 true",
            "/conditions/segment \"LOSING\" \"LOSING\" true",
            "/conditions/session_count_min 3 10 true"
        ]
    );
    assert_eq!(trial["gates"].as_array().unwrap().len(), 5);
    assert_eq!(program.text("SELECT count(*) FROM grants").await, "0");
}

#[tokio::test]
async fn a_test_shows_the_formula_before_and_after_limits_and_rounding() {
    let program = program().await;
    let db = program.db();
    // net_loss 1234.57: a tenth is 123.457, and at most 100 are given; half of it at this risk.
    Player::new("A")
        .deposited("1000")
        .wagered("5000")
        .won("3765.43")
        .sessions(10)
        .segment("LOSING")
        .insert(&db)
        .await;
    program.tamper("UPDATE players SET risk_score = 45").await;
    Player::new("NULL")
        .deposited("1000")
        .wagered("0")
        .won("0")
        .segment("NEW")
        .insert(&db)
        .await;
    let mut rule = loss_cashback();
    rule["is_active"] = json!(false);
    program.post("/api/rules", rule.clone()).await.expect(201);
    let try_on = async |player: &str| {
        let trial = program
            .post("/api/rules/LOSS_CASHBACK/test", json!({ "player_id": player }))
            .await
            .expect(200);
        let amounts = ["formula_amount", "reward_amount", "granted_amount"]
            .map(|name| trial[name].to_string())
            .join(" ");
        (amounts, trial)
    };
    let (amounts, trial) = try_on("A").await;
    assert_eq!(
        (amounts.as_str(), &trial["rule_version"], &trial["is_live"]),
        ("123.457 123.45 61.72", &json!(1), &json!(false))
    );
    rule["reward_config"]["max_amount"] = json!(100);
    program
        .send("PUT", "/api/rules/LOSS_CASHBACK", Some(rule.clone()))
        .await
        .expect(200);
    assert_eq!(try_on("A").await.0, "123.457 100.00 50.00");

    // Although nothing matches and the formula has no value, the gates are shown, with the reason.
    rule["reward_config"]["formula"] = json!("net_loss / total_wagered");
    program
        .send("PUT", "/api/rules/LOSS_CASHBACK", Some(rule))
        .await
        .expect(200);
    let (amounts, trial) = try_on("NULL").await;
    assert_eq!(
        (amounts.as_str(), &trial["matches"], &trial["verdict"]),
        ("null 0.00 0.00", &json!(false), &json!("NOT_APPLICABLE"))
    );
    assert!(
        trial["reason"].as_str().unwrap().contains("zero"),
        "{}",
        trial["reason"]
    );
    let gates: Vec<&str> = trial["gates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|gate| gate["name"].as_str().unwrap())
        .collect();
    assert_eq!(gates, ["eligibility", "fraud", "profit", "caps", "budget"]);
    assert!(
        trial["gates"]
            .as_array()
            .unwrap()
            .iter()
            .all(|gate| gate["figures"].is_object())
    );
}

#[tokio::test]
async fn a_test_explains_a_rule_that_does_not_match() {
    let program = program().await;
    Player::new("P004")
        .deposited("500")
        .wagered("500")
        .won("500")
        .sessions(5)
        .segment("NEW")
        .insert(&program.db())
        .await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    let trial = program
        .post("/api/rules/LOSS_CASHBACK/test", json!({ "player_id": "P004" }))
        .await
        .expect(200);
    assert_eq!(
        (&trial["matches"], trial["granted_amount"].to_string()),
        (&json!(false), "0.00".into())
    );
    let unmet: Vec<&str> = trial["conditions"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|c| c["met"] == json!(false))
        .map(|c| c["pointer"].as_str().unwrap())
        .collect();
    assert_eq!(unmet, ["/conditions/net_loss_min", "/conditions/segment"]);
}

#[tokio::test]
async fn unknown_rules_and_players_are_not_found() {
    let program = program().await;
    program.post("/api/rules", loss_cashback()).await.expect(201);
    for (method, path, body) in [
        ("GET", "/api/rules/NONE", None),
        ("GET", "/api/rules/NONE/versions", None),
        ("PUT", "/api/rules/NONE", Some(with("rule_id", json!("NONE")))),
        ("DELETE", "/api/rules/NONE", None),
        ("POST", "/api/rules/NONE/test", Some(json!({ "player_id": "P002" }))),
        (
            "POST",
            "/api/rules/LOSS_CASHBACK/test",
            Some(json!({ "player_id": "P404" })),
        ),
    ] {
        program.send(method, path, body).await.expect(404);
    }
}

#[tokio::test]
async fn only_admins_save_rules_and_tiers() {
    let program = program().await;
    for (method, path) in [
        ("POST", "/api/rules"),
        ("PUT", "/api/rules/X"),
        ("DELETE", "/api/rules/X"),
        ("POST", "/api/tiers"),
        ("PUT", "/api/tiers/GOLD"),
        ("DELETE", "/api/tiers/GOLD"),
    ] {
        program
            .send_as("operator", method, path, Some(json!({})))
            .await
            .expect(403);
        program.send_unknown(method, path, Some(json!({}))).await.expect(401);
    }
    program.send_as("operator", "GET", "/api/rules", None).await.expect(200);
    program.send_as("operator", "GET", "/api/tiers", None).await.expect(200);
}
