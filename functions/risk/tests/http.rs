//! `/api/risk` through the router, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use app::Act;
use domain::id::PlayerId;
use serde_json::{Value, json};
use testing::{Player, Response, TestApi, snapshot};

/// With players P001 to P003, who share a device; P003 was rewarded.
async fn program() -> TestApi {
    let api = TestApi::new("operator", risk::router).await;
    api.subscribe().await;
    for id in ["P001", "P002", "P003"] {
        Player::new(id).deposited("100").insert(&api.db()).await;
        api.tamper(&format!(
            "INSERT INTO player_traces VALUES ('{id}', 'DEVICE', sha256('phone'), now())"
        ))
        .await;
    }
    let command = app::wallet::AddBonus {
        player_id: PlayerId::parse("P003").unwrap(),
        amount: "10".parse().unwrap(),
        wagering_required: "100".parse().unwrap(),
        expiry_hours: None,
        max_bet: None,
        eligible_games: None,
        reason: None,
    };
    app::wallet::add_bonus(&api.db(), &command, &Act::of("test", lambda::context()))
        .await
        .unwrap();
    api
}

fn players(program: &TestApi) -> TestApi {
    program.beside(::players::router)
}

/// P001 and P002 have one signal each.
async fn scanned() -> TestApi {
    let program = program().await;
    scan(&program).await;
    program
}

async fn scan(program: &TestApi) {
    let ids = ["P001", "P002", "P003"].map(|id| PlayerId::parse(id).unwrap());
    app::players::risk::scan(&program.db(), &ids, lambda::context())
        .await
        .unwrap();
}

async fn list(program: &TestApi, query: &str) -> Vec<Value> {
    let signals = program.get(&format!("/api/risk/signals{query}")).await;
    signals.as_array().unwrap().clone()
}

async fn players_of(program: &TestApi, query: &str) -> Vec<String> {
    list(program, query)
        .await
        .iter()
        .map(|signal| signal["player_id"].as_str().unwrap().to_owned())
        .collect()
}

async fn judge(program: &TestApi, player_id: &str, verb: &str) -> Response {
    let signals = list(program, &format!("?player_id={player_id}")).await;
    let path = format!("/api/risk/signals/{}/{verb}", signals[0]["signal_id"].as_str().unwrap());
    program.post(&path, json!({ "note": "looked into" })).await
}

async fn profile_of(program: &TestApi, player_id: &str) -> Value {
    players(program).get(&format!("/api/players/{player_id}/risk")).await
}

#[tokio::test]
async fn signals_are_listed_newest_first_and_filtered() {
    let program = scanned().await;
    assert_eq!(players_of(&program, "").await, ["P002", "P001"]);
    assert_eq!(
        players_of(&program, "?player_id=P001&open=true&type=MULTI_ACCOUNT").await,
        ["P001"]
    );
    assert_eq!(players_of(&program, "?type=MANUAL_REVIEW").await, [""; 0]);
    judge(&program, "P001", "resolve").await.expect(200);
    assert_eq!(players_of(&program, "?open=true").await, ["P002"]);
    assert_eq!(players_of(&program, "?open=false").await, ["P001"]);
    let signal = &list(&program, "?open=true").await[0];
    insta::assert_snapshot!("signal", snapshot(signal));
}

#[tokio::test]
async fn a_page_names_the_next() {
    let program = scanned().await;
    let page = program.send("GET", "/api/risk/signals?open=true&limit=1", None).await;
    let link = page.header("link").unwrap().to_owned();
    assert_eq!(page.json[0]["player_id"], "P002");
    let next = link.trim_start_matches('<').split('>').next().unwrap();
    assert_eq!(program.get(next).await[0]["player_id"], "P001");
}

#[tokio::test]
async fn a_signal_is_resolved_once_and_audited() {
    let program = scanned().await;
    assert_eq!(profile_of(&program, "P001").await["risk_score"], 80);
    let resolved = judge(&program, "P001", "resolve").await.expect(200);
    assert_eq!(
        (&resolved["status"], &resolved["note"]),
        (&json!("RESOLVED"), &json!("looked into"))
    );
    assert_eq!(profile_of(&program, "P001").await["risk_score"], 0);
    for verb in ["resolve", "confirm"] {
        assert_eq!(
            judge(&program, "P001", verb).await.expect(409)["type"],
            "urn:loyalty:problem:signal_not_open"
        );
    }
    let audited = "SELECT string_agg(action || ' ' || reason || ' ' ||
          (before ->> 'status') || '>' || (after ->> 'status'), ', ')
        FROM audit_log WHERE subject LIKE 'signal:%'";
    assert_eq!(program.text(audited).await, "signal.resolve looked into OPEN>RESOLVED");
    program.audit().await;
}

#[tokio::test]
async fn a_confirmed_signal_stays_open_and_can_be_resolved() {
    let program = scanned().await;
    judge(&program, "P001", "confirm").await.expect(200);
    judge(&program, "P001", "confirm").await.expect(409);
    assert_eq!(players_of(&program, "?open=true").await, ["P002", "P001"]);
    program
        .tamper("UPDATE signals SET raised_at = now() - interval '90 days', last_seen_at = now() - interval '90 days'")
        .await;
    scan(&program).await;
    let scores = [
        profile_of(&program, "P001").await["risk_score"].clone(),
        profile_of(&program, "P002").await["risk_score"].clone(),
    ];
    assert_eq!(scores, [80, 40]);
    judge(&program, "P001", "resolve").await.expect(200);
    program.audit().await;
}

#[tokio::test]
async fn a_score_shows_how_it_is_made_up() {
    let program = scanned().await;
    program
        .tamper("UPDATE signals SET raised_at = now() - interval '45 days', last_seen_at = now() - interval '45 days'")
        .await;
    let flag = json!({ "player_id": "P001", "note": "chargeback" });
    program.post("/api/risk/flag", flag).await.expect(201);
    let profile = profile_of(&program, "P001").await;
    let score = (
        &profile["risk_score"],
        &profile["current_score"],
        &profile["penalty"],
        &profile["half_life_days"],
    );
    assert_eq!(score, (&json!(100), &json!(100), &json!("REFUSAL"), &json!(90)));
    let parts: Vec<String> = profile["signals"].as_array().unwrap().iter().map(part).collect();
    // 80 · 2^(-45/90) = 56.57
    assert_eq!(
        parts,
        [
            "\"MULTI_ACCOUNT\" 8 45 0.707107 56.57",
            "\"MANUAL_REVIEW\" 10 0 1.00 100.00"
        ]
    );
    let stale = profile_of(&program, "P002").await;
    assert_eq!(
        (&stale["risk_score"], &stale["current_score"]),
        (&json!(80), &json!(57)),
        "until the next scan"
    );
}

fn part(signal: &Value) -> String {
    ["type", "severity", "age_days", "weight", "contribution"]
        .map(|field| signal[field].to_string())
        .join(" ")
}

#[tokio::test]
async fn a_player_is_flagged_once() {
    let program = program().await;
    let flag = |player_id: &str| json!({ "player_id": player_id, "note": "chargeback" });
    let signal = program.post("/api/risk/flag", flag("P001")).await.expect(201);
    assert_eq!(
        (&signal["type"], &signal["evidence"]["note"]),
        (&json!("MANUAL_REVIEW"), &json!("chargeback"))
    );
    assert_eq!(
        program.post("/api/risk/flag", flag("P001")).await.expect(409)["type"],
        "urn:loyalty:problem:already_flagged"
    );
    program.post("/api/risk/flag", flag("P404")).await.expect(404);
    assert_eq!(program.text("SELECT count(*) FROM signals").await, "1");
    assert_eq!(
        program
            .text("SELECT payload ->> 'type' FROM outbox WHERE event_type = 'signal.raised'")
            .await,
        "MANUAL_REVIEW"
    );
    assert_eq!(
        program
            .text("SELECT reason FROM audit_log WHERE action = 'signal.flag'")
            .await,
        "chargeback"
    );
    program.audit().await;
}

#[tokio::test]
async fn wrong_requests_are_refused_by_their_place() {
    let program = scanned().await;
    let unknown = "/api/risk/signals/0199a0b0-0000-7000-8000-000000000000/resolve";
    for (method, path, body, status, pointer) in [
        ("GET", "/api/risk/signals?type=RUDENESS", None, 422, "?type"),
        ("GET", "/api/risk/signals?open=maybe", None, 422, "?open"),
        ("GET", "/api/risk/signals?colour=red", None, 422, "?colour"),
        ("GET", "/api/risk/signals?cursor=7", None, 422, "?cursor"),
        (
            "POST",
            "/api/risk/signals/7/resolve",
            Some(json!({ "note": "x" })),
            422,
            "{signal_id}",
        ),
        ("POST", unknown, Some(json!({ "note": "x" })), 404, ""),
        ("POST", unknown, Some(json!({ "note": " " })), 422, "/note"),
        ("POST", unknown, Some(json!({})), 422, "/note"),
        (
            "POST",
            "/api/risk/flag",
            Some(json!({ "player_id": "P001", "note": "x".repeat(1_001) })),
            422,
            "/note",
        ),
        (
            "POST",
            "/api/risk/flag",
            Some(json!({ "note": "x" })),
            422,
            "/player_id",
        ),
    ] {
        let problem = program.send(method, path, body).await.expect(status);
        assert_eq!(
            problem["errors"][0]["pointer"].as_str().unwrap_or_default(),
            pointer,
            "{method} {path}"
        );
    }
    assert_eq!(
        program
            .text("SELECT count(*) FROM signals WHERE status <> 'OPEN'")
            .await,
        "0"
    );
}

#[tokio::test]
async fn every_route_wants_its_role() {
    let program = scanned().await;
    let path = format!(
        "/api/risk/signals/{}",
        list(&program, "?player_id=P002").await[0]["signal_id"]
            .as_str()
            .unwrap()
    );
    let note = Some(json!({ "note": "seen" }));
    for (role, list, write) in [("viewer", 200, 403), ("ingest", 403, 403)] {
        program
            .send_as(role, "GET", "/api/risk/signals", None)
            .await
            .expect(list);
        for verb in ["resolve", "confirm"] {
            program
                .send_as(role, "POST", &format!("{path}/{verb}"), note.clone())
                .await
                .expect(write);
        }
        let flag = json!({ "player_id": "P001", "note": "x" });
        program
            .send_as(role, "POST", "/api/risk/flag", Some(flag))
            .await
            .expect(write);
        players(&program)
            .send_as(role, "GET", "/api/players/P001/risk", None)
            .await
            .expect(list);
    }
    program.send_unknown("GET", "/api/risk/signals", None).await.expect(401);
    players(&program)
        .send("GET", "/api/players/P404/risk", None)
        .await
        .expect(404);
}
