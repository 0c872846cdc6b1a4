use crate::program;
use app::Act;
use serde_json::{Value, json};
use testing::Player;

fn names(tiers: &Value) -> Vec<String> {
    tiers
        .as_array()
        .unwrap()
        .iter()
        .map(|tier| format!("{} {}", tier["tier_level"].as_str().unwrap(), tier["lp_min"]))
        .collect()
}

#[tokio::test]
async fn an_empty_program_has_the_default_ladder() {
    let program = program().await;
    let tiers = program.get("/api/tiers").await;
    assert_eq!(
        names(&tiers),
        ["BRONZE 0", "SILVER 1000", "GOLD 10000", "PLATINUM 50000"]
    );
    let sample: Value = serde_json::from_str(include_str!("../../../../events/sample/tiers.json")).unwrap();
    for (tier, sample) in tiers.as_array().unwrap().iter().zip(sample.as_array().unwrap()) {
        assert_eq!(tier["benefits"], sample["benefits"], "{}", tier["tier_level"]);
    }
}

#[tokio::test]
async fn tiers_are_added_changed_and_deleted() {
    let program = program().await;
    let requirements = json!({ "kyc_completed": true, "monthly_active_days_min": 5 });
    let diamond = json!({
        "tier_level": "DIAMOND", "lp_min": 100000, "benefits": { "gift_value": 50.5 }, "requirements": requirements,
    });
    assert_eq!(program.post("/api/tiers", diamond.clone()).await.expect(201), diamond);
    program.post("/api/tiers", diamond).await.expect(409);
    let changed = program
        .send("PUT", "/api/tiers/DIAMOND", Some(json!({ "lp_min": "20000.50" })))
        .await
        .expect(200);
    assert_eq!(
        changed.to_string(),
        concat!(
            r#"{"benefits":{"gift_value":50.5},"lp_min":20000.5,"#,
            r#""requirements":{"kyc_completed":true,"monthly_active_days_min":5},"tier_level":"DIAMOND"}"#
        )
    );
    // Deeply: a benefit more, and a requirement less.
    let patch =
        json!({ "benefits": { "vip_perks": true }, "requirements": { "kyc_completed": null }, "lp_max": 49999 });
    let changed = program
        .send("PUT", "/api/tiers/DIAMOND", Some(patch.clone()))
        .await
        .expect(200);
    assert_eq!(
        changed.to_string(),
        concat!(
            r#"{"benefits":{"gift_value":50.5,"vip_perks":true},"lp_min":20000.5,"#,
            r#""requirements":{"monthly_active_days_min":5},"tier_level":"DIAMOND"}"#
        )
    );
    program.send("PUT", "/api/tiers/DIAMOND", Some(patch)).await.expect(200);
    let cleared = json!({ "benefits": null, "requirements": null });
    let cleared = program
        .send("PUT", "/api/tiers/DIAMOND", Some(cleared))
        .await
        .expect(200);
    assert_eq!(
        cleared.to_string(),
        r#"{"benefits":{},"lp_min":20000.5,"tier_level":"DIAMOND"}"#
    );
    assert_eq!(
        names(&program.get("/api/tiers").await),
        [
            "BRONZE 0",
            "SILVER 1000",
            "GOLD 10000",
            "DIAMOND 20000.5",
            "PLATINUM 50000"
        ]
    );
    program.send("DELETE", "/api/tiers/DIAMOND", None).await.expect(200);
    program.send("DELETE", "/api/tiers/DIAMOND", None).await.expect(404);
    program
        .send("PUT", "/api/tiers/DIAMOND", Some(json!({ "lp_min": 1 })))
        .await
        .expect(404);
    let audit = "SELECT string_agg(action, ' ' ORDER BY audit_id) FROM audit_log WHERE subject = 'tier:DIAMOND'";
    // The patch that came twice changed nothing the second time.
    assert_eq!(
        program.text(audit).await,
        "tier.create tier.update tier.update tier.update tier.delete"
    );
}

/// SILVER begins at 1000, GOLD at 10000, and PLATINUM is the highest.
#[tokio::test]
async fn the_end_of_a_tier_is_accepted_where_it_fits_the_ladder() {
    let program = program().await;
    for end in [json!(10000), json!("9999.99"), json!(9999), json!(null)] {
        let patch = json!({ "lp_max": end });
        program.send("PUT", "/api/tiers/SILVER", Some(patch)).await.expect(200);
    }
    for (tier, end) in [("SILVER", 9998), ("SILVER", 10001), ("PLATINUM", 1_000_000)] {
        let place = format!("/api/tiers/{tier}");
        let patch = json!({ "lp_max": end });
        assert_eq!(
            program.errors("PUT", &place, Some(patch)).await,
            ["/lp_max range"],
            "{tier} {end}"
        );
    }
    let tier = |end: u32| json!({ "tier_level": "X", "lp_min": 5000, "lp_max": end });
    assert_eq!(
        program.errors("POST", "/api/tiers", Some(tier(50000))).await,
        ["/lp_max range"]
    );
    program.post("/api/tiers", tier(10000)).await.expect(201);
    assert_eq!(
        program
            .errors("PUT", "/api/tiers/X", Some(json!({ "lp_min": null })))
            .await,
        ["/lp_min required"]
    );
}

#[tokio::test]
async fn a_broken_ladder_is_refused_with_the_place() {
    let program = program().await;
    let tier = |lp_min: Value| json!({ "tier_level": "X", "lp_min": lp_min });
    let benefit = |name: &str, value: Value| json!({ "tier_level": "X", "lp_min": 7, "benefits": { name: value } });
    for (body, expected) in [
        (tier(json!(1000)), "/lp_min range"),
        (tier(json!(0)), "/lp_min range"),
        (tier(json!(-1)), "/lp_min range"),
        (tier(json!(0.001)), "/lp_min range"),
        (json!({ "tier_level": "X" }), "/lp_min required"),
        (json!({ "lp_min": 7 }), "/tier_level required"),
        (json!({ "tier_level": "X Y", "lp_min": 7 }), "/tier_level format"),
        (benefit("gift", json!("a car")), "/benefits/gift type"),
        (benefit("net_loss", json!(1)), "/benefits/net_loss duplicate"),
        (benefit("a-b", json!(1)), "/benefits/a-b format"),
        (
            json!({ "tier_level": "X", "lp_min": 7, "requirements": { "kyc_complete": true } }),
            "/requirements/kyc_complete unknown",
        ),
    ] {
        assert_eq!(
            program.errors("POST", "/api/tiers", Some(body.clone())).await[0],
            expected,
            "{body}"
        );
    }
    assert_eq!(
        program
            .errors("PUT", "/api/tiers/BRONZE", Some(json!({ "lp_min": 1 })))
            .await,
        ["/lp_min range"]
    );
    assert_eq!(
        program
            .errors(
                "PUT",
                "/api/tiers/GOLD",
                Some(json!({ "tier_level": "SILVER", "lp_min": 1 }))
            )
            .await,
        ["/tier_level range"]
    );
    // Without players only the ladder itself prevents deleting the lowest tier.
    program.send("DELETE", "/api/tiers/BRONZE", None).await.expect(422);
    assert_eq!(
        names(&program.get("/api/tiers").await),
        ["BRONZE 0", "SILVER 1000", "GOLD 10000", "PLATINUM 50000"]
    );
}

#[tokio::test]
async fn a_tier_that_the_redemption_catalogue_names_stays() {
    let program = program().await;
    let rule = json!({
        "rule_id": "CASH_5", "name": "Five in cash", "cost": 500, "target": "CASH", "amount": 5, "tier_min": "GOLD",
    });
    app::wallet::redemption::create(&program.db(), &rule, &Act::of("test", lambda::context()))
        .await
        .unwrap();
    let problem = program.send("DELETE", "/api/tiers/GOLD", None).await.expect(409);
    assert_eq!(problem["type"], "urn:loyalty:problem:tier_in_use");
    assert_eq!(problem["detail"], "redemption rule CASH_5 is for tier GOLD and above");
    program.send("DELETE", "/api/tiers/PLATINUM", None).await.expect(200);
}

#[tokio::test]
async fn a_tier_with_players_stays() {
    let program = program().await;
    Player::new("P001").tier("GOLD").insert(&program.db()).await;
    assert_eq!(
        program.send("DELETE", "/api/tiers/GOLD", None).await.expect(409)["type"],
        "urn:loyalty:problem:tier_in_use"
    );
    program.send("DELETE", "/api/tiers/PLATINUM", None).await.expect(200);
}

#[tokio::test]
async fn a_benefit_that_a_rule_reads_stays_on_the_ladder() {
    let program = program().await;
    let rule = json!({
        "rule_id": "GIFT", "name": "Gift", "is_active": false, "conditions": { "gift_value_min": 1 },
        "reward_config": { "type": "LOYALTY_POINTS", "formula": "gift_value * 2" },
    });
    assert_eq!(
        program.errors("POST", "/api/rules", Some(rule.clone())).await[0],
        "/conditions/gift_value_min unknown"
    );
    program
        .send(
            "PUT",
            "/api/tiers/GOLD",
            Some(json!({ "lp_min": 10000, "benefits": { "gift_value": 5 } })),
        )
        .await
        .expect(200);
    program.post("/api/rules", rule).await.expect(201);
    program
        .send(
            "PUT",
            "/api/tiers/GOLD",
            Some(json!({ "benefits": { "gift_value": null } })),
        )
        .await
        .expect(409);
    program.send("DELETE", "/api/tiers/GOLD", None).await.expect(409);
    program.send("DELETE", "/api/rules/GIFT", None).await.expect(200);
    program.send("DELETE", "/api/tiers/GOLD", None).await.expect(200);
}

#[tokio::test]
async fn ladder_edits_wait_for_each_other() {
    let program = program().await;
    let tasks: Vec<_> = (0..6)
        .map(|n| {
            let program = program.clone();
            let tier = json!({ "tier_level": format!("T{n}"), "lp_min": 777 });
            tokio::spawn(async move { program.post("/api/tiers", tier).await.status })
        })
        .collect();
    let mut statuses = Vec::new();
    for task in tasks {
        statuses.push(task.await.unwrap());
    }
    statuses.sort_unstable();
    // Each later request sees the first and gets a validation error instead of a constraint violation.
    assert_eq!(statuses, [201, 422, 422, 422, 422, 422]);
}

#[tokio::test]
async fn nobody_enters_a_tier_while_it_is_deleted() {
    let program = program().await;
    let client = program.owner();
    let mut client = client.client().await.unwrap();
    // An uncommitted transaction that moves a player into GOLD.
    let tx = store::begin(&mut client).await.unwrap();
    store::tiers::pin(&tx).await.unwrap();
    tx.batch_execute("INSERT INTO players (player_id, tier, created_at) VALUES ('P001', 'GOLD', now())")
        .await
        .unwrap();
    let deleting = program.clone();
    let delete = tokio::spawn(async move { deleting.send("DELETE", "/api/tiers/GOLD", None).await.status });
    let waiting = "SELECT count(*) FROM pg_locks WHERE relation = 'tiers'::regclass AND NOT granted";
    while program.text(waiting).await == "0" && !delete.is_finished() {}
    store::commit(tx).await.unwrap();
    assert_eq!(delete.await.unwrap(), 409);
}
