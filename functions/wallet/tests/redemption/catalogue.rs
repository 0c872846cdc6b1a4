//! Maintaining the catalogue.

use super::*;
use serde_json::{Value, json};

#[tokio::test]
async fn a_saved_entry_is_given_back_with_its_defaults() {
    let program = program().await;
    let created = offer(&program, cash(json!({ "tier_min": "GOLD", "monthly_limit": 2 }))).await;
    let mut shown = created.clone();
    for time in ["created_at", "updated_at"] {
        assert!(
            shown.as_object_mut().unwrap().remove(time).unwrap().is_string(),
            "{time}"
        );
    }
    assert_eq!(
        shown.to_string(),
        concat!(
            r#"{"amount":5.00,"cost":500.00,"cost_currency":"RP","is_active":true,"monthly_limit":2,"#,
            r#""name":"Five in cash","rule_id":"CASH_5","target":"CASH","tier_min":"GOLD"}"#
        )
    );
    assert_eq!(program.get("/api/redemption/rules/CASH_5").await, created);
    assert_eq!(program.get(RULES).await, json!([created]));
    assert_eq!(
        program.post(RULES, cash(json!({}))).await.expect(409)["type"],
        "urn:loyalty:problem:duplicate"
    );
    program
        .send("GET", "/api/redemption/rules/OTHER", None)
        .await
        .expect(404);
}

#[tokio::test]
async fn the_terms_of_a_bonus_come_back_as_they_were_given() {
    let program = program().await;
    let terms = json!({ "target": "BONUS", "wagering_requirement": 10, "expiry_hours": 48,
        "eligible_games": ["slots"], "max_bet": "5.50" });
    let created = offer(&program, cash(terms)).await;
    assert_eq!(
        (
            created["wagering_requirement"].to_string(),
            created["max_bet"].to_string()
        ),
        ("10".into(), "5.50".into())
    );
    assert_eq!(
        (&created["expiry_hours"], &created["eligible_games"]),
        (&json!(48), &json!(["slots"]))
    );
    assert_eq!(created.get("max_conversion"), None);
}

#[tokio::test]
async fn a_save_changes_what_it_names_and_is_audited() {
    let program = program().await;
    let terms = json!({ "monthly_limit": 2, "target": "BONUS", "max_bet": 5, "tier_min": "GOLD" });
    offer(&program, cash(terms)).await;
    let path = "/api/redemption/rules/CASH_5";
    assert_eq!(
        program.errors("PUT", path, Some(json!({ "target": "CASH" }))).await,
        ["/wagering_requirement unknown", "/max_bet unknown"]
    );
    let patch = json!({ "rule_id": null, "cost": 600, "is_active": false, "monthly_limit": null, "target": "TICKETS",
        "wagering_requirement": null, "max_bet": null });
    let updated = program.send("PUT", path, Some(patch)).await.expect(200);
    let mut shown = updated.clone();
    for time in ["created_at", "updated_at"] {
        shown.as_object_mut().unwrap().remove(time);
    }
    assert_eq!(
        shown.to_string(),
        concat!(
            r#"{"amount":5,"cost":600.00,"cost_currency":"RP","is_active":false,"name":"Five in cash","#,
            r#""rule_id":"CASH_5","target":"TICKETS","tier_min":"GOLD"}"#
        )
    );
    assert_eq!(program.get(path).await, updated);
    for patch in [json!({}), json!({ "cost": "600.0", "balance_min": null })] {
        assert_eq!(program.send("PUT", path, Some(patch)).await.expect(200), updated);
    }
    assert_eq!(
        program.errors("PUT", path, Some(json!({ "name": null }))).await,
        ["/name required"]
    );

    program
        .send(
            "PUT",
            "/api/redemption/rules/OTHER",
            Some(cash(json!({ "rule_id": null }))),
        )
        .await
        .expect(404);
    assert_eq!(
        program
            .errors("PUT", path, Some(cash(json!({ "rule_id": "OTHER" }))))
            .await,
        ["/rule_id range"]
    );
    assert_eq!(
        program.errors("PUT", path, Some(cash(json!({ "cost": 0 })))).await,
        ["/cost range"]
    );
    let audit = "SELECT string_agg(action || ' ' || coalesce(before ->> 'cost', '-') || '>' || (after ->> 'cost'),
        ',' ORDER BY audit_id)
                 FROM audit_log WHERE subject = 'redemption_rule:CASH_5'";
    assert_eq!(
        program.text(audit).await,
        "redemption_rule.create ->500.00,redemption_rule.update 500.00>600.00"
    );
}

#[tokio::test]
async fn wrong_entries_are_refused_with_the_places() {
    let program = program().await;
    program
        .tamper("INSERT INTO settings VALUES ('max_wagering_multiplier', '10', now(), 'test')")
        .await;
    for (rule, expected) in [
        (
            cash(json!({ "cost": "NaN", "amount": 0.001 })),
            vec!["/cost type", "/amount range"],
        ),
        (cash(json!({ "tier_min": "DIAMOND" })), vec!["/tier_min unknown"]),
        (
            cash(json!({ "target": "TICKETS", "amount": 1.5 })),
            vec!["/amount range"],
        ),
        (
            cash(json!({ "target": "BONUS", "wagering_requirement": 11 })),
            vec!["/wagering_requirement range"],
        ),
        (cash(json!({ "max_bet": 5 })), vec!["/max_bet unknown"]),
        (
            cash(json!({ "rule_id": "a\u{0}b", "name": "a\u{0}" })),
            vec!["/rule_id format", "/name format"],
        ),
        (cash(json!({ "monthly_limt": 1 })), vec!["/monthly_limt unknown"]),
    ] {
        assert_eq!(
            program.errors("POST", RULES, Some(rule.clone())).await,
            expected,
            "{rule}"
        );
    }
    assert_eq!(program.text("SELECT count(*) FROM redemption_rules").await, "0");
    assert_eq!(program.text("SELECT count(*) FROM audit_log").await, "0");
}

#[tokio::test]
async fn the_catalogue_is_filtered_and_walked() {
    let program = program().await;
    for (id, is_active) in [("C", true), ("A", false), ("B", true)] {
        offer(&program, cash(json!({ "rule_id": id, "is_active": is_active }))).await;
    }
    let ids = |rules: Value| -> Vec<String> {
        rules
            .as_array()
            .unwrap()
            .iter()
            .map(|r| r["rule_id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids(program.get(RULES).await), ["A", "B", "C"]);
    assert_eq!(ids(program.get(&format!("{RULES}?is_active=true")).await), ["B", "C"]);
    assert_eq!(ids(program.get(&format!("{RULES}?is_active=false")).await), ["A"]);
    assert_eq!(ids(program.get(&format!("{RULES}?skip=1&limit=1")).await), ["B"]);
    let first = program.send("GET", &format!("{RULES}?limit=2"), None).await;
    assert_eq!(
        first.header("link"),
        Some("</api/redemption/rules?limit=2&cursor=B>; rel=\"next\"")
    );
    assert_eq!(ids(program.get(&format!("{RULES}?limit=2&cursor=B")).await), ["C"]);
    for (query, pointer) in [
        ("is_active=maybe", "?is_active"),
        ("colour=red", "?colour"),
        ("cursor=a%00", "?cursor"),
    ] {
        let problem = program.send("GET", &format!("{RULES}?{query}"), None).await.expect(422);
        assert_eq!(problem["errors"][0]["pointer"], pointer);
    }
}

#[tokio::test]
async fn everybody_reads_the_catalogue_and_admins_write_it() {
    let program = program().await;
    offer(&program, cash(json!({}))).await;
    let path = "/api/redemption/rules/CASH_5";
    for role in ["viewer", "operator"] {
        program.send_as(role, "GET", RULES, None).await.expect(200);
        program.send_as(role, "GET", path, None).await.expect(200);
        program
            .send_as(role, "POST", RULES, Some(cash(json!({}))))
            .await
            .expect(403);
        program
            .send_as(role, "PUT", path, Some(cash(json!({}))))
            .await
            .expect(403);
    }
    program.send_unknown("GET", RULES, None).await.expect(401);
}
