//! `/api/settings`: a merge patch, checked and audited.

use super::*;

#[tokio::test]
async fn settings_begin_with_their_defaults() {
    let api = program().await;
    let settings = api.get("/api/settings").await;
    assert_eq!(
        (&settings["currency"], settings["caps"]["day"].to_string().as_str()),
        (&json!("USD"), "1000")
    );
}

#[tokio::test]
async fn a_put_changes_the_keys_it_names_and_is_audited() {
    let api = program().await;
    let body = json!({"caps": {"day": 500}, "time_zone": "Europe/Vienna"});
    let settings = api.send("PUT", "/api/settings", Some(body)).await.expect(200);
    assert_eq!(
        settings["caps"].to_string(),
        r#"{"day":500,"days_30":20000,"days_7":5000}"#
    );
    let body = json!({"tier_qualification_days": null});
    api.send("PUT", "/api/settings", Some(body)).await.expect(200);
    let settings = api.get("/api/settings").await;
    let seen = (
        &settings["time_zone"],
        settings["caps"]["day"].to_string(),
        &settings["tier_qualification_days"],
    );
    assert_eq!(seen, (&json!("Europe/Vienna"), "500".to_owned(), &Value::Null));

    let audit = api.get("/api/audit?subject=settings").await;
    assert_eq!(audit.as_array().unwrap().len(), 2);
    assert_eq!(
        (&audit[0]["before"], &audit[0]["after"]),
        (
            &json!({"tier_qualification_days": 365}),
            &json!({"tier_qualification_days": null})
        )
    );
    assert_eq!(
        audit[0]["changes"],
        json!([{"pointer": "/tier_qualification_days", "before": 365, "after": null}])
    );
    assert_eq!(audit[1]["before"]["time_zone"], "UTC");
    assert_eq!(
        audit[1]["changes"],
        json!([
            {"pointer": "/caps/day", "before": 1000, "after": 500},
            {"pointer": "/time_zone", "before": "UTC", "after": "Europe/Vienna"},
        ])
    );
    assert!(
        audit[1]["actor"].as_str().unwrap().starts_with("test ("),
        "{}",
        audit[1]["actor"]
    );
}

#[tokio::test]
async fn a_put_is_deep_and_null_removes_an_entry_of_a_map() {
    let api = program().await;
    let put = async |body: Value| api.send("PUT", "/api/settings", Some(body)).await.expect(200);
    let edges = json!({"slots": 0.04, "roulette": 0.027});
    put(json!({"caps": {"day": 400, "days_7": 4000}, "profit": {"game_edge": edges}})).await;
    let patch = json!({"caps": {"day": 300}, "profit": {"game_edge": {"slots": null}, "min_roi": 0.1}});
    let settings = put(patch.clone()).await;
    assert_eq!(
        settings["caps"].to_string(),
        r#"{"day":300,"days_30":20000,"days_7":4000}"#
    );
    assert_eq!(settings["profit"]["game_edge"].get("slots"), None);
    assert_eq!(settings["profit"]["game_edge"]["roulette"].to_string(), "0.027");
    // The same again changes nothing and leaves no trace.
    put(patch).await;
    put(json!({})).await;
    assert_eq!(api.text("SELECT count(*) FROM audit_log").await, "2");
    assert_eq!(api.text("SELECT count(*) FROM settings").await, "2");
}

#[tokio::test]
async fn wrong_settings_are_refused_with_their_places_and_change_nothing() {
    let api = program().await;
    for (body, expected) in [
        (json!({"time_zone": "Mars/Olympus"}), "/time_zone unknown"),
        (
            json!({"unit_cost": {"redemption_rate": 1.01}}),
            "/unit_cost/redemption_rate range",
        ),
        (json!({"profit": {"house_edge": -0.01}}), "/profit/house_edge range"),
        (json!({"segments": {"margin": "much"}}), "/segments/margin format"),
        (json!({"segmentz": {}}), "/segmentz unknown"),
        (json!({"caps": {"dya": 1}}), "/caps/dya unknown"),
        (json!({"currency": null}), "/currency type"),
        (
            json!({"schedules": {"recalculate": "3 am"}}),
            "/schedules/recalculate format",
        ),
        (json!({"schedules": {"recalculate": 3}}), "/schedules/recalculate type"),
        (
            json!({"schedules": {"recalcualte": "03:00"}}),
            "/schedules/recalcualte unknown",
        ),
        (
            json!({"schedules": {"expire_every_minutes": 0}}),
            "/schedules/expire_every_minutes range",
        ),
        (
            json!({"retention": {"run_player_days": 0}}),
            "/retention/run_player_days range",
        ),
    ] {
        assert_eq!(
            api.errors("PUT", "/api/settings", Some(body.clone())).await[0],
            expected,
            "{body}"
        );
    }
    assert_eq!(api.text("SELECT count(*) FROM settings").await, "0");
    assert_eq!(api.text("SELECT count(*) FROM audit_log").await, "0");
}
