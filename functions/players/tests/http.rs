//! `/api/players` through the router, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use app::Act;
use serde_json::{Value, json};
use testing::{Player, TestApi, snapshot};

async fn program() -> TestApi {
    TestApi::new("operator", players::router).await
}

async fn ids(api: &TestApi, path: &str) -> Vec<String> {
    let players = api.get(path).await;
    let players = players.as_array().unwrap().iter();
    players
        .map(|player| player["player_id"].as_str().unwrap().to_owned())
        .collect()
}

async fn counters(api: &TestApi) -> String {
    let sums = "SELECT counter, sum(value)::bigint AS value FROM stats GROUP BY counter HAVING sum(value) <> 0";
    api.text(&format!(
        "SELECT string_agg(counter || '=' || value, ' ' ORDER BY counter) FROM ({sums}) AS s"
    ))
    .await
}

fn p002() -> Player {
    Player::new("P002")
        .deposited("1000")
        .wagered("5000")
        .won("200")
        .sessions(10)
        .segment("LOSING")
}

#[tokio::test]
async fn a_player_looks_as_the_api_says() {
    let program = program().await;
    p002().insert(&program.db()).await;
    let player = program.get("/api/players/P002").await;
    assert!(player["created_at"].as_str().unwrap().ends_with('Z'));
    insta::assert_snapshot!("player", snapshot(&player));
}

#[tokio::test]
async fn open_bonuses_show_in_the_balances() {
    let program = program().await;
    p002().insert(&program.db()).await;
    for (amount, required, hours) in [("480", "4800", 48), ("20", "100.5", 24)] {
        let command = app::wallet::AddBonus {
            player_id: domain::id::PlayerId::parse("P002").unwrap(),
            amount: amount.parse().unwrap(),
            wagering_required: required.parse().unwrap(),
            expiry_hours: Some(hours),
            max_bet: None,
            eligible_games: None,
            reason: None,
        };
        let context = app::Context {
            now: "2026-03-01T12:00:00Z".parse().unwrap(),
            new_id: lambda::id::uuid_v7,
        };
        app::wallet::add_bonus(&program.db(), &command, &Act::of("test", context))
            .await
            .unwrap();
    }
    assert_eq!(
        program.get("/api/players/P002").await["balances"].to_string(),
        concat!(
            r#"{"bonus_balance":500.00,"bonus_expiry":"2026-03-02T12:00:00Z","bonus_wagering_completed":0.00,"#,
            r#""bonus_wagering_required":4900.50,"lp_balance":0.00,"rp_balance":0.00,"tickets_balance":0}"#
        )
    );
    let grants = program.get("/api/players/P002/grants").await;
    let shown: Vec<String> = grants
        .as_array()
        .unwrap()
        .iter()
        .map(|grant| format!("{} {}", grant["amount"], grant["status"]))
        .collect();
    assert_eq!(shown, ["20.00 \"ACTIVE\"", "480.00 \"ACTIVE\""]);
}

#[tokio::test]
async fn a_new_player_has_done_nothing_and_is_counted() {
    let program = program().await;
    let body = json!({ "player_id": "N1", "email": "n@example.com", "name": "=HYPERLINK(\"x\")" });
    let created = program.post("/api/players", body).await.expect(201);
    assert_eq!(created, program.get("/api/players/N1").await);
    assert_eq!(
        [
            &created["segment"],
            &created["tier"],
            &created["is_active"],
            &created["name"]
        ],
        [
            &json!("NEW"),
            &json!("BRONZE"),
            &json!(true),
            &json!("=HYPERLINK(\"x\")")
        ]
    );
    assert_eq!(
        counters(&program).await,
        "players_active=1 players_total=1 segment:NEW=1 tier:BRONZE=1"
    );
    let history = program.get("/api/players/N1/segments").await;
    assert_eq!((&history[0]["from"], &history[0]["to"]), (&Value::Null, &json!("NEW")));
    assert_eq!(
        program
            .text("SELECT string_agg(action || ' ' || subject || ' ' || (after ->> 'email'), ',') FROM audit_log")
            .await,
        "player.create player:N1 n@example.com"
    );
    program.audit().await;
}

#[tokio::test]
async fn a_taken_id_is_a_conflict_and_changes_nothing() {
    let program = program().await;
    p002().insert(&program.db()).await;
    let before = counters(&program).await;
    let problem = program
        .post(
            "/api/players",
            json!({ "player_id": "P002", "email": "other@example.com" }),
        )
        .await;
    assert_eq!(problem.header("content-type"), Some("application/problem+json"));
    assert_eq!(problem.expect(409)["type"], "urn:loyalty:problem:duplicate");
    assert_eq!(counters(&program).await, before);
    assert_eq!(program.get("/api/players/P002").await["email"], Value::Null);
    assert_eq!(program.text("SELECT count(*) FROM audit_log").await, "0");
}

#[tokio::test]
async fn wrong_players_are_refused_with_the_place() {
    let program = program().await;
    let wrong = |pointer: &str, code: &str| vec![format!("{pointer} {code}")];
    for (body, expected) in [
        (json!({}), wrong("/player_id", "required")),
        (json!({ "player_id": "" }), wrong("/player_id", "format")),
        (json!({ "player_id": "a b" }), wrong("/player_id", "format")),
        (json!({ "player_id": "x".repeat(65) }), wrong("/player_id", "format")),
        (json!({ "player_id": 7 }), wrong("/player_id", "type")),
        (json!({ "player_id": "N1", "mail": "a@b" }), wrong("/mail", "unknown")),
        (
            json!({ "player_id": "N1", "email": "nobody" }),
            wrong("/email", "format"),
        ),
        (
            json!({ "player_id": "N1", "email": "a b@c" }),
            wrong("/email", "format"),
        ),
        (
            json!({ "player_id": "N1", "name": "a\u{0}b" }),
            wrong("/name", "format"),
        ),
        (
            json!({ "player_id": "N1", "name": "x".repeat(201) }),
            wrong("/name", "format"),
        ),
    ] {
        assert_eq!(
            program.errors("POST", "/api/players", Some(body.clone())).await,
            expected,
            "{body}"
        );
    }
    assert_eq!(program.text("SELECT count(*) FROM players").await, "0");
}

#[tokio::test]
async fn a_change_keeps_what_it_does_not_name() {
    let program = program().await;
    program
        .post(
            "/api/players",
            json!({ "player_id": "N1", "email": "n@example.com", "name": "N" }),
        )
        .await
        .expect(201);
    let body = json!({ "name": null, "is_blocked": true, "self_excluded_until": "2027-01-01T00:00:00Z" });
    let changed = program
        .send("PUT", "/api/players/N1", Some(body.clone()))
        .await
        .expect(200);
    assert_eq!(
        [
            &changed["email"],
            &changed["name"],
            &changed["is_active"],
            &changed["is_blocked"],
            &changed["self_excluded_until"]
        ],
        [
            &json!("n@example.com"),
            &Value::Null,
            &json!(true),
            &json!(true),
            &json!("2027-01-01T00:00:00Z")
        ]
    );
    // Repeating it changes nothing.
    program.send("PUT", "/api/players/N1", Some(body)).await.expect(200);
    let audit = "SELECT string_agg((before ->> 'name') || '>' || coalesce(after ->> 'name', '-') || ' ' ||
        (after ->> 'is_blocked'), ',')
                 FROM audit_log WHERE action = 'player.update'";
    assert_eq!(program.text(audit).await, "N>- true");
}

#[tokio::test]
async fn a_deleted_player_is_inactive_once() {
    let program = program().await;
    p002().insert(&program.db()).await;
    assert_eq!(
        program.send("DELETE", "/api/players/P002", None).await.expect(200)["is_active"],
        json!(false)
    );
    assert_eq!(
        program.send("DELETE", "/api/players/P002", None).await.expect(200)["is_active"],
        json!(false)
    );
    assert_eq!(
        counters(&program).await,
        "players_total=1 segment:LOSING=1 tier:BRONZE=1"
    );
    program
        .send("PUT", "/api/players/P002", Some(json!({ "is_active": true })))
        .await
        .expect(200);
    assert_eq!(
        counters(&program).await,
        "players_active=1 players_total=1 segment:LOSING=1 tier:BRONZE=1"
    );
}

#[tokio::test]
async fn concurrent_changes_count_a_player_once() {
    let program = program().await;
    p002().insert(&program.db()).await;
    let bodies =
        [false, true, false, true, false, true, false, false].map(|is_active| Some(json!({ "is_active": is_active })));
    let tasks = bodies.map(|body| {
        let program = program.clone();
        tokio::spawn(async move { program.send("PUT", "/api/players/P002", body).await.status })
    });
    for task in tasks {
        assert_eq!(task.await.unwrap(), 200);
    }
    let active = program.get("/api/players/P002").await["is_active"] == json!(true);
    let counted = program
        .text("SELECT coalesce(sum(value), 0)::bigint FROM stats WHERE counter = 'players_active'")
        .await;
    assert_eq!(counted, i32::from(active).to_string());
}

#[tokio::test]
async fn lists_are_filtered_and_walked() {
    let program = program().await;
    let db = program.db();
    p002().insert(&db).await;
    Player::new("P001").segment("VIP").tier("GOLD").insert(&db).await;
    Player::new("Q001").segment("NEW").insert(&db).await;
    program
        .post("/api/players", json!({ "player_id": "Z9", "email": "P0@Example.com" }))
        .await
        .expect(201);
    program.send("DELETE", "/api/players/Q001", None).await.expect(200);

    assert_eq!(ids(&program, "/api/players").await, ["P001", "P002", "Q001", "Z9"]);
    assert_eq!(ids(&program, "/api/players?segment=VIP").await, ["P001"]);
    assert_eq!(ids(&program, "/api/players?tier=GOLD&is_active=true").await, ["P001"]);
    for no in ["false", "False", "FALSE", "0"] {
        assert_eq!(
            ids(&program, &format!("/api/players?is_active={no}")).await,
            ["Q001"],
            "{no}"
        );
    }
    for yes in ["True", "TRUE", "1"] {
        let found = ids(&program, &format!("/api/players?tier=GOLD&is_active={yes}")).await;
        assert_eq!(found, ["P001"], "{yes}");
    }
    assert_eq!(ids(&program, "/api/players?q=p0").await, ["P001", "P002", "Z9"]);
    assert_eq!(ids(&program, "/api/players?q=p0@EX").await, ["Z9"]);
    assert_eq!(ids(&program, "/api/players?q=").await, ["P001", "P002", "Q001", "Z9"]);
    assert_eq!(ids(&program, "/api/players?skip=1&limit=2").await, ["P002", "Q001"]);

    let first = program.send("GET", "/api/players?is_active=true&limit=2", None).await;
    let link = first.header("link").unwrap().to_owned();
    assert_eq!(link, "</api/players?is_active=true&limit=2&cursor=P002>; rel=\"next\"");
    assert_eq!(ids(&program, link.split(['<', '>']).nth(1).unwrap()).await, ["Z9"]);
}

#[tokio::test]
async fn unknown_filters_are_refused_with_their_name() {
    let program = program().await;
    for (query, pointer, code) in [
        ("segment=LUCKY", "?segment", "unknown"),
        ("tier=STONE", "?tier", "unknown"),
        ("is_active=maybe", "?is_active", "format"),
        ("is_active=2", "?is_active", "format"),
        ("is_active=", "?is_active", "format"),
        ("colour=red", "?colour", "unknown"),
        ("skip=-1", "?skip", "range"),
        ("limit=0", "?limit", "range"),
        ("limit=ten", "?limit", "type"),
        ("q=%00", "?q", "format"),
    ] {
        let errors = program.errors("GET", &format!("/api/players?{query}"), None).await;
        assert_eq!(errors[0], format!("{pointer} {code}"), "{query}");
    }
}

#[tokio::test]
async fn facts_are_what_a_rule_sees() {
    let program = program().await;
    p002().tier("GOLD").insert(&program.db()).await;
    let seen = program.get("/api/players/P002/facts").await;
    assert_eq!(seen["player_id"], "P002");
    for (fact, expected) in [
        ("net_loss", "4800"),
        ("net_pnl", "-4800"),
        ("wagered_30d", "5000"),
        ("session_count", "10"),
        ("avg_bet_size", "null"),
        ("cashback_multiplier", "1.5"),
        ("segment", "\"LOSING\""),
        ("tier", "\"GOLD\""),
        ("event_amount", "null"),
    ] {
        assert_eq!(seen["facts"][fact].to_string(), expected, "{fact}");
    }
}

#[tokio::test]
async fn unknown_players_are_not_found() {
    let program = program().await;
    for path in [
        "/api/players/P404",
        "/api/players/P404/facts",
        "/api/players/P404/segments",
        "/api/players/P404/grants",
        "/api/players/P404/decisions",
        "/api/players/P404/tier",
    ] {
        program.send("GET", path, None).await.expect(404);
    }
    program
        .send("PUT", "/api/players/P404", Some(json!({ "is_active": false })))
        .await
        .expect(404);
    program.send("DELETE", "/api/players/P404", None).await.expect(404);
}

#[tokio::test]
async fn only_staff_may_write() {
    let program = program().await;
    let body = || Some(json!({ "player_id": "N1" }));
    program.send_unknown("GET", "/api/players", None).await.expect(401);
    program.send_unknown("POST", "/api/players", body()).await.expect(401);
    program
        .send_as("viewer", "POST", "/api/players", body())
        .await
        .expect(403);
    program.send_as("ingest", "GET", "/api/players", None).await.expect(403);
    program.send_as("viewer", "GET", "/api/players", None).await.expect(200);
    assert_eq!(program.text("SELECT count(*) FROM players").await, "0");
    let unreadable = axum::http::Request::post("/api/players")
        .header("authorization", format!("Bearer {}", program.key()))
        .header("content-type", "application/json")
        .body(axum::body::Body::from("{\"player_id\": "))
        .unwrap();
    testing::send(program.router(), unreadable).await.expect(400);
}

#[tokio::test]
async fn the_tier_says_what_is_missing_for_the_next_one() {
    let program = program().await;
    p002().insert(&program.db()).await;
    let day = async |ago: i32| {
        program
            .text(&format!("SELECT (now() AT TIME ZONE 'UTC')::date - {ago}"))
            .await
    };
    let (today, since) = (day(0).await, day(364).await);
    let mut tier = program.get("/api/players/P002/tier").await;
    // A new day may start in between.
    assert!([since, day(364).await].contains(&tier["qualifying_since"].take().as_str().unwrap().to_owned()));
    let expected = json!({
        "player_id": "P002", "tier": "BRONZE", "rank": 0, "benefits": tier["benefits"], "qualifying_lp": "0.00",
        "qualification_days": 365,
        "qualifying_since": null, "next": { "tier": "SILVER", "rank": 1, "lp_min": "1000.00",
        "lp_missing": "1000.00", "unmet": [] },
        "falls_below_on": null, "downgrade": null, "history": [],
    });
    assert_eq!(
        tier.to_string(),
        expected
            .to_string()
            .replace("\"0.00\"", "0.00")
            .replace("\"1000.00\"", "1000.00")
    );
    assert_eq!(tier["benefits"]["cashback_multiplier"].to_string(), "1.0");
    program
        .tamper(
            "UPDATE players SET tier = 'SILVER';
        INSERT INTO tier_downgrades VALUES ('P002', 'SILVER', '2026-02-02', '2026-01-03');
      INSERT INTO tier_history VALUES ('P002', '2026-01-02', 'BRONZE', 'GOLD', 'qualified'), ('P002', '2026-01-03',
      'GOLD', 'SILVER', 'downgrade')",
        )
        .await;
    let tier = program.get("/api/players/P002/tier").await;
    assert_eq!(
        (&tier["tier"], &tier["rank"], &tier["next"]["tier"]),
        (&json!("SILVER"), &json!(1), &json!("GOLD"))
    );
    assert!(tier["falls_below_on"].as_str().unwrap() >= today.as_str());
    assert_eq!(
        tier["downgrade"].to_string(),
        r#"{"due_at":"2026-02-02T00:00:00Z","lp_missing":1000.00,"to":"BRONZE","unmet":[]}"#
    );
    let history = [
        json!({ "from": "GOLD", "to": "SILVER", "reason": "downgrade", "at": "2026-01-03T00:00:00Z" }),
        json!({ "from": "BRONZE", "to": "GOLD", "reason": "qualified", "at": "2026-01-02T00:00:00Z" }),
    ];
    assert_eq!(tier["history"], json!(history));
}
