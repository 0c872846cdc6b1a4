//! `/api/webhooks` through the router, on a real database, with a target on this machine.

use app::platform::webhooks as relay;
use domain::event::{Event, SegmentChanged};
use domain::id::{PlayerId, WebhookId};
use domain::segment::Segment;
use domain::webhook::{Attempt, Targets};
use jiff::SignedDuration;
use ops::Ops;
use serde_json::{Value, json};
use testing::{StandIn, TestApi};

async fn program(targets: Targets) -> TestApi {
    let router = |db, now| {
        let ops = Ops {
            targets,
            ..super::ops(db, "http://127.0.0.1:9")
        };
        ops::api(&ops).into_router(ops, now)
    };
    TestApi::new("admin", router).await
}

async fn refused(api: &TestApi, webhook: Value) -> Vec<String> {
    api.errors("POST", "/api/webhooks", Some(webhook)).await
}

#[tokio::test]
async fn a_webhook_is_made_shown_and_ended_and_its_secret_shown_once() {
    let api = program(Targets::Public).await;
    let body = json!({"url": "https://8.8.8.8/hook", "event_types": ["bonus.completed"], "description": "the cashier"});
    let response = api.post("/api/webhooks", body.clone()).await;
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let made = response.expect(201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(
        secret.strip_prefix("whsec_").is_some_and(|hex| hex.len() == 64),
        "{secret}"
    );
    let other = api.post("/api/webhooks", body).await.expect(201);
    assert_ne!(other["secret"], made["secret"]);

    let listed = api.get("/api/webhooks?limit=1").await;
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("secret");
    assert_eq!(listed, json!([expected]));

    let path = format!("/api/webhooks/{}", made["webhook_id"].as_str().unwrap());
    assert_eq!(api.send("DELETE", &path, None).await.expect(200), expected);
    api.send("DELETE", &path, None).await.expect(404);
    api.send("POST", &format!("{path}/ping"), None).await.expect(404);
    api.send("GET", &format!("{path}/deliveries"), None).await.expect(404);
    assert_eq!(api.get("/api/webhooks").await.as_array().unwrap().len(), 1);

    let log = api
        .get(&format!(
            "/api/audit?subject=webhook:{}",
            made["webhook_id"].as_str().unwrap()
        ))
        .await;
    let actions: Vec<&Value> = log.as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["webhook.delete", "webhook.create"]);
    assert_eq!((&log[1]["after"], &log[0]["before"]), (&expected, &expected));
    assert!(
        !api.text("SELECT string_agg(audit_log::text, ' ') FROM audit_log")
            .await
            .contains("whsec_")
    );
}

#[tokio::test]
async fn a_target_that_is_not_public_is_refused_with_its_place() {
    let api = program(Targets::Public).await;
    for (url, code) in [
        ("https://169.254.169.254/latest/meta-data/", "address"),
        ("https://10.0.0.7/", "address"),
        ("https://[fd00:ec2::254]/", "address"),
        ("https://0x7f.1/", "address"),
        ("https://localhost/", "address"),
        ("https://no-such-host.invalid/", "address"),
        ("http://8.8.8.8/", "format"),
        ("https://a:b@8.8.8.8/", "format"),
        ("not an address", "format"),
    ] {
        assert_eq!(
            refused(&api, json!({"url": url})).await,
            [format!("/url {code}")],
            "{url}"
        );
    }
    let all = json!({
        "url": "https://8.8.8.8:22/", "event_types": ["bonus.complete", "tier.changed"], "description": "x".repeat(201),
    });
    assert_eq!(
        refused(&api, all).await,
        ["/url format", "/event_types/0 unknown", "/description format"]
    );
    let misspelt = refused(&api, json!({"url": "https://8.8.8.8/", "events": []})).await;
    assert!(misspelt[0].starts_with("/events "), "{misspelt:?}");
    assert_eq!(api.text("SELECT count(*) FROM webhooks").await, "0");
}

#[tokio::test]
async fn there_are_at_most_twenty() {
    let api = program(Targets::Any).await;
    let create = || api.post("/api/webhooks", json!({"url": "http://localhost:9000/"}));
    for _ in 0..18 {
        create().await.expect(201);
    }
    let at_once = tokio::join!(create(), create(), create(), create());
    let mut statuses = [at_once.0.status, at_once.1.status, at_once.2.status, at_once.3.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 201, 409, 409]);
}

#[tokio::test]
async fn a_ping_is_answered_with_what_the_target_said() {
    let api = program(Targets::Any).await;
    let target = StandIn::start(|request| {
        (
            if request.path == "/hook" { 200 } else { 418 },
            "short and stout".to_owned(),
        )
    })
    .await;
    let ping = async |url: String| {
        let made = api
            .post("/api/webhooks", json!({"url": url, "event_types": ["tier.changed"]}))
            .await
            .expect(201);
        let path = format!("/api/webhooks/{}/ping", made["webhook_id"].as_str().unwrap());
        (api.send("POST", &path, None).await.expect(200), made)
    };
    let (pinged, made) = ping(format!("{}/hook", target.url)).await;
    let said = (
        &pinged["delivered"],
        &pinged["status_code"],
        &pinged["response"],
        &pinged["error"],
    );
    assert_eq!(
        said,
        (&json!(true), &json!(200), &json!("short and stout"), &Value::Null)
    );
    let request = &target.requests()[0];
    let body: Value = serde_json::from_slice(&request.body).unwrap();
    assert_eq!(
        (&body["type"], &body["event_id"]),
        (&json!("ping"), &pinged["event_id"])
    );
    assert_eq!(body["data"], json!({"webhook_id": made["webhook_id"]}));
    let sent_at = body["occurred_at"].as_str().unwrap().parse().unwrap();
    let signature = lambda::webhook::signature(made["secret"].as_str().unwrap(), sent_at, &request.text());
    assert_eq!(request.header("x-signature"), Some(signature.as_str()));

    let (pinged, _) = ping(format!("{}/elsewhere", target.url)).await;
    assert_eq!(
        (&pinged["delivered"], &pinged["status_code"]),
        (&json!(false), &json!(418))
    );
    let (pinged, _) = ping("http://127.0.0.1:9/".to_owned()).await;
    assert_eq!(
        (&pinged["delivered"], &pinged["status_code"]),
        (&json!(false), &Value::Null)
    );
    assert!(
        pinged["error"].as_str().unwrap().contains("Connection refused"),
        "{pinged}"
    );
}

/// A player's event that is parked after nine attempts with this status.
async fn parked(api: &TestApi, webhook_id: WebhookId, player: &str) {
    let db = api.db();
    let mut context = lambda::context();
    let mut client = db.client().await.unwrap();
    let tx = store::begin(&mut client).await.unwrap();
    let event = Event::SegmentChanged(SegmentChanged {
        from: Segment::New,
        player_id: PlayerId::parse(player).unwrap(),
        to: Segment::Vip,
    });
    store::platform::outbox::add(&tx, &[event], context.now).await.unwrap();
    store::commit(tx).await.unwrap();
    assert_eq!(relay::dispatch(&db, context).await.unwrap(), 1);
    for _ in 0..9 {
        let claim = relay::claim(&db, webhook_id, 10, context).await.unwrap();
        let attempt = Attempt {
            attempted_at: context.now,
            status_code: Some(503),
            error: None,
            response: Some("busy".to_owned()),
            duration_ms: 7,
        };
        let tried: Vec<_> = claim.due.into_iter().map(|due| (due, attempt.clone())).collect();
        relay::record(&db, webhook_id, claim.claim_id, &tried, context)
            .await
            .unwrap();
        context.now += SignedDuration::from_hours(12);
    }
}

#[tokio::test]
async fn deliveries_are_shown_with_their_answers_and_a_parked_one_can_be_sent_again() {
    let api = program(Targets::Any).await;
    let made = api
        .post("/api/webhooks", json!({"url": "http://localhost:9000/"}))
        .await
        .expect(201);
    let id = made["webhook_id"].as_str().unwrap();
    let webhook_id = WebhookId(id.parse().unwrap());
    for player in ["P001", "P002", "P003"] {
        parked(&api, webhook_id, player).await;
    }
    let path = format!("/api/webhooks/{id}/deliveries");
    let page = api
        .send("GET", &format!("{path}?status=PARKED&skip=1&limit=1"), None)
        .await;
    assert!(
        page.header("link")
            .is_some_and(|link| link.contains("status=PARKED") && link.contains("skip=2")),
        "{:?}",
        page.headers
    );
    let page = page.expect(200);
    let shown = &page[0];
    assert_eq!(
        (page.as_array().unwrap().len(), &shown["player_id"]),
        (1, &json!("P002")),
        "newest first"
    );
    let seen = (
        &shown["status"],
        &shown["attempts"],
        &shown["status_code"],
        &shown["response"],
        &shown["duration_ms"],
        &shown["data"],
    );
    assert_eq!(
        seen,
        (
            &json!("PARKED"),
            &json!(9),
            &json!(503),
            &json!("busy"),
            &json!(7),
            &json!({"from": "NEW", "player_id": "P002", "to": "VIP"})
        )
    );

    let retry = format!("{path}/{}/retry", shown["delivery_id"]);
    assert_eq!(api.send("POST", &retry, None).await.expect(200)["status"], "PENDING");
    let problem = api.send("POST", &retry, None).await.expect(409);
    assert_eq!(problem["type"], "urn:loyalty:problem:delivery_not_parked");
    api.send("POST", &format!("{path}/999999/retry"), None)
        .await
        .expect(404);

    let pending = api.get(&format!("{path}?status=PENDING")).await;
    assert_eq!(
        (
            &pending[0]["player_id"],
            &pending[0]["attempts"],
            &pending[0]["status_code"]
        ),
        (&json!("P002"), &json!(0), &json!(503))
    );
    assert!(pending[0]["next_attempt_at"].is_string());
    let all = api.get(&path).await;
    let statuses: Vec<&Value> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|delivery| &delivery["status"])
        .collect();
    assert_eq!(statuses, ["PARKED", "PENDING", "PARKED"]);
    let problem = api.send("GET", &format!("{path}?status=LOST"), None).await.expect(422);
    assert_eq!(problem["errors"][0]["pointer"], "?status");

    let log = api.get(&format!("/api/audit?subject=webhook:{id}")).await;
    assert_eq!(
        (&log[0]["action"], &log[0]["after"]["player_id"]),
        (&json!("webhook.retry"), &json!("P002"))
    );
    api.audit().await;
}
