//! `/api/webhooks` through the router, on a real database, with a target on this machine.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use app::platform::webhooks as relay;
use axum::Router;
use domain::event::{Event, SegmentChanged};
use domain::id::{PlayerId, WebhookId};
use domain::segment::Segment;
use domain::webhook::{Attempt, Targets};
use jiff::SignedDuration;
use lambda::{aws, sqs::Queue};
use ops::Ops;
use serde_json::{Value, json};
use testing::{StandIn, TestDb, api_key, audit, call};

struct Stack {
    test: TestDb,
    router: Router,
    admin: String,
}

impl Stack {
    async fn new(targets: Targets) -> Self {
        let test = TestDb::new().await;
        let segmentation = Queue::with_config(
            &aws::stand_in("http://127.0.0.1:9"),
            "http://127.0.0.1:9/1/segmentation",
        );
        let ops = Ops {
            db: test.db(),
            segmentation,
            targets,
        };
        let router = ops::api(&ops).into_router(ops.clone(), lambda::clock::now);
        let admin = api_key(&test.db(), "admin").await;
        Self { test, router, admin }
    }

    async fn admin(&self, method: &str, path: &str, body: Option<Value>) -> testing::Response {
        call(&self.router, method, path, Some(&self.admin), body).await
    }

    async fn refused(&self, body: Value) -> Vec<(String, String)> {
        let problem = self.admin("POST", "/api/webhooks", Some(body)).await.expect(422);
        let errors = problem["errors"].as_array().unwrap().clone();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        errors
            .iter()
            .map(|error| (text(&error["pointer"]), text(&error["code"])))
            .collect()
    }
}

#[tokio::test]
async fn a_webhook_is_made_shown_and_ended_and_its_secret_shown_once() {
    let stack = Stack::new(Targets::Public).await;
    let body = json!({"url": "https://8.8.8.8/hook", "event_types": ["bonus.completed"], "description": "the cashier"});
    let response = stack.admin("POST", "/api/webhooks", Some(body.clone())).await;
    assert_eq!(response.header("cache-control"), Some("no-store"));
    let made = response.expect(201);
    let secret = made["secret"].as_str().unwrap().to_owned();
    assert!(
        secret.strip_prefix("whsec_").is_some_and(|hex| hex.len() == 64),
        "{secret}"
    );
    let other = stack.admin("POST", "/api/webhooks", Some(body)).await.expect(201);
    assert_ne!(other["secret"], made["secret"]);

    let listed = stack.admin("GET", "/api/webhooks?limit=1", None).await.expect(200);
    let mut expected = made.clone();
    expected.as_object_mut().unwrap().remove("secret");
    assert_eq!(listed, json!([expected]));

    let path = format!("/api/webhooks/{}", made["webhook_id"].as_str().unwrap());
    assert_eq!(stack.admin("DELETE", &path, None).await.expect(200), expected);
    stack.admin("DELETE", &path, None).await.expect(404);
    stack.admin("POST", &format!("{path}/ping"), None).await.expect(404);
    stack
        .admin("GET", &format!("{path}/deliveries"), None)
        .await
        .expect(404);
    assert_eq!(
        stack
            .admin("GET", "/api/webhooks", None)
            .await
            .expect(200)
            .as_array()
            .unwrap()
            .len(),
        1
    );

    let log = stack
        .admin(
            "GET",
            &format!("/api/audit?subject=webhook:{}", made["webhook_id"].as_str().unwrap()),
            None,
        )
        .await
        .expect(200);
    let actions: Vec<&Value> = log.as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["webhook.delete", "webhook.create"]);
    assert_eq!((&log[1]["after"], &log[0]["before"]), (&expected, &expected));
    assert!(
        !stack
            .test
            .text("SELECT string_agg(audit_log::text, ' ') FROM audit_log")
            .await
            .contains("whsec_")
    );
}

#[tokio::test]
async fn a_target_that_is_not_public_is_refused_with_its_place() {
    let stack = Stack::new(Targets::Public).await;
    let at_url = |code: &str| vec![("/url".to_owned(), code.to_owned())];
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
        assert_eq!(stack.refused(json!({"url": url})).await, at_url(code), "{url}");
    }
    let all = json!({"url": "https://8.8.8.8:22/", "event_types": ["bonus.complete", "tier.changed"], "description": "x".repeat(201)});
    let wrong = [
        ("/url", "format"),
        ("/event_types/0", "unknown"),
        ("/description", "format"),
    ];
    assert_eq!(
        stack.refused(all).await,
        wrong.map(|(pointer, code)| (pointer.to_owned(), code.to_owned()))
    );
    let misspelt = stack.refused(json!({"url": "https://8.8.8.8/", "events": []})).await;
    assert_eq!(misspelt[0].0, "/events");
    assert_eq!(stack.test.text("SELECT count(*) FROM webhooks").await, "0");
}

#[tokio::test]
async fn there_are_at_most_twenty() {
    let stack = Stack::new(Targets::Any).await;
    let create = || stack.admin("POST", "/api/webhooks", Some(json!({"url": "http://localhost:9000/"})));
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
    let stack = Stack::new(Targets::Any).await;
    let target = StandIn::start(|request| {
        (
            if request.path == "/hook" { 200 } else { 418 },
            "short and stout".to_owned(),
        )
    })
    .await;
    let ping = async |url: String| {
        let made = stack
            .admin(
                "POST",
                "/api/webhooks",
                Some(json!({"url": url, "event_types": ["tier.changed"]})),
            )
            .await
            .expect(201);
        let path = format!("/api/webhooks/{}/ping", made["webhook_id"].as_str().unwrap());
        (stack.admin("POST", &path, None).await.expect(200), made)
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
async fn parked(stack: &Stack, webhook_id: WebhookId, player: &str) {
    let db = stack.test.db();
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
    let stack = Stack::new(Targets::Any).await;
    let made = stack
        .admin("POST", "/api/webhooks", Some(json!({"url": "http://localhost:9000/"})))
        .await
        .expect(201);
    let id = made["webhook_id"].as_str().unwrap();
    let webhook_id = WebhookId(id.parse().unwrap());
    for player in ["P001", "P002", "P003"] {
        parked(&stack, webhook_id, player).await;
    }
    let path = format!("/api/webhooks/{id}/deliveries");
    let page = stack
        .admin("GET", &format!("{path}?status=PARKED&skip=1&limit=1"), None)
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
    assert_eq!(stack.admin("POST", &retry, None).await.expect(200)["status"], "PENDING");
    let problem = stack.admin("POST", &retry, None).await.expect(409);
    assert_eq!(problem["type"], "urn:loyalty:problem:delivery_not_parked");
    stack
        .admin("POST", &format!("{path}/999999/retry"), None)
        .await
        .expect(404);

    let pending = stack
        .admin("GET", &format!("{path}?status=PENDING"), None)
        .await
        .expect(200);
    assert_eq!(
        (
            &pending[0]["player_id"],
            &pending[0]["attempts"],
            &pending[0]["status_code"]
        ),
        (&json!("P002"), &json!(0), &json!(503))
    );
    assert!(pending[0]["next_attempt_at"].is_string());
    let all = stack.admin("GET", &path, None).await.expect(200);
    let statuses: Vec<&Value> = all
        .as_array()
        .unwrap()
        .iter()
        .map(|delivery| &delivery["status"])
        .collect();
    assert_eq!(statuses, ["PARKED", "PENDING", "PARKED"]);
    let problem = stack
        .admin("GET", &format!("{path}?status=LOST"), None)
        .await
        .expect(422);
    assert_eq!(problem["errors"][0]["pointer"], "?status");

    let log = stack
        .admin("GET", &format!("/api/audit?subject=webhook:{id}"), None)
        .await
        .expect(200);
    assert_eq!(
        (&log[0]["action"], &log[0]["after"]["player_id"]),
        (&json!("webhook.retry"), &json!("P002"))
    );
    audit(&stack.test.db()).await;
}
