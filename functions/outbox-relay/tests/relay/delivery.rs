//! What is delivered, to whom, and how the receiver verifies that we sent it.

use crate::program::{Program, SECRET};
use crate::target::{Answer, Received, Target};
use app::Act;
use domain::webhook::DeliveryStatus;
use serde_json::json;
use std::io::Write;
use std::process::{Command, Stdio};

/// What the integrators' verification script says about a request.
fn verify(received: &Received, secret: &str, now_s: i64) -> (bool, String) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../infra/verify_webhook.py");
    let mut child = Command::new("python3")
        .args([script, "--secret", secret, "--now", &now_s.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&received.raw).unwrap();
    let output = child.wait_with_output().unwrap();
    (
        output.status.success(),
        String::from_utf8(output.stdout).unwrap().trim().to_owned(),
    )
}

#[tokio::test]
async fn an_event_comes_signed_and_whole() {
    let program = Program::new().await;
    let target = Target::start(|_| Answer::Status(204)).await;
    let webhook = program.webhook(&target.url(), None).await;
    program.happen(&[("P001", 7)]).await;
    program.wait(3);
    assert_eq!(program.drain().await.delivered, 1);

    let received = &target.received()[0];
    let event_id = received.headers["x-event-id"].clone();
    let expected = json!({
        "event_id": event_id, "type": "tier.downgrade_due", "player_id": "P001", "occurred_at": "2026-03-01T12:00:00Z",
        "data": {"due_at": "1970-01-01T00:00:00Z", "tier": "GOLD", "to": "BRONZE", "player_id": "P001"},
    });
    let mut body = received.body.clone();
    let mut points = |name: &str| body["data"].as_object_mut().unwrap().remove(name).unwrap().to_string();
    assert_eq!(
        (points("qualifying_lp"), points("lp_missing")),
        ("7.00".into(), "0.00".into())
    );
    assert_eq!(body, expected);
    assert_eq!(received.headers["content-type"], "application/json");
    assert_eq!(received.headers["x-event-type"], "tier.downgrade_due");
    assert!(
        received.headers["x-signature"].starts_with("t=1772366403,v1="),
        "the timestamp is the time of sending"
    );

    let now_s = program.now().as_second();
    assert_eq!(verify(received, SECRET, now_s), (true, "genuine".to_owned()));
    assert_eq!(
        verify(received, "whsec_other", now_s),
        (false, "the signature does not match".to_owned())
    );
    assert_eq!(
        verify(received, SECRET, now_s + 301),
        (false, "the time is too old or in the future".to_owned())
    );
    let mut tampered = received.clone();
    *tampered.raw.last_mut().unwrap() = b' ';
    assert_eq!(
        verify(&tampered, SECRET, now_s),
        (false, "the signature does not match".to_owned())
    );

    let delivery = &program.deliveries(&webhook, None).await[0];
    let seen = (
        delivery.status,
        delivery.attempts,
        delivery.status_code,
        delivery.event_id.to_string(),
    );
    assert_eq!(seen, (DeliveryStatus::Delivered, 1, Some(204), event_id));
    program.all_is_told().await;
}

#[tokio::test]
async fn a_webhook_is_told_what_it_asked_for_and_each_has_every_event_under_one_id() {
    let program = Program::new().await;
    let (all, even) = (
        Target::start(|_| Answer::Status(200)).await,
        Target::start(|_| Answer::Status(200)).await,
    );
    program.webhook(&all.url(), None).await;
    program
        .webhook(&even.url(), Some(&["tier.changed", "signal.raised"]))
        .await;
    program
        .happen(&[("P001", 1), ("P001", 2), ("P002", 3), ("P002", 4)])
        .await;
    let relayed = program.drain().await;
    assert_eq!((relayed.dispatched, relayed.delivered), (4, 6));

    let mut of_even = even.events();
    of_even.sort();
    assert_eq!(of_even, [("P001".to_owned(), 2), ("P002".to_owned(), 4)]);
    for received in even.received() {
        let same = all
            .received()
            .into_iter()
            .find(|other| other.n() == received.n())
            .unwrap();
        assert_eq!(same.body["event_id"], received.body["event_id"]);
    }
    program.all_is_told().await;
}

#[tokio::test]
async fn what_nobody_wants_is_not_written_or_leaves_the_outbox() {
    let program = Program::new().await;
    let waiting = || program.test.text("SELECT count(*) FROM outbox");
    program.happen(&[("P001", 1)]).await;
    assert_eq!(waiting().await, "0", "there is no webhook");
    let target = Target::start(|_| Answer::Status(200)).await;
    program.webhook(&target.url(), Some(&["bonus.completed"])).await;
    program.happen(&[("P001", 2)]).await;
    assert_eq!(waiting().await, "0", "the webhook subscribes to another type");

    let all = program.webhook(&target.url(), None).await;
    program
        .happen(&(0..2_001).map(|n| ("P001", n)).collect::<Vec<_>>())
        .await;
    app::platform::webhooks::delete(&program.db, all.webhook_id, &Act::of("test", program.context()))
        .await
        .unwrap();
    assert_eq!(
        app::platform::webhooks::dispatch(&program.db, program.context())
            .await
            .unwrap(),
        1_000
    );
    assert_eq!(
        program
            .test
            .text("SELECT min((payload ->> 'qualifying_lp')::numeric::integer) FROM outbox")
            .await,
        "1000",
        "the earliest are delivered first"
    );
    assert_eq!(program.drain().await.dispatched, 1_001);
    assert_eq!(
        (
            target.events().len(),
            program.test.text("SELECT count(*) FROM webhook_deliveries").await
        ),
        (0, "0".to_owned())
    );
    program.all_is_told().await;
}

#[tokio::test]
async fn a_deleted_webhook_is_told_nothing_more_and_forgotten() {
    let program = Program::new().await;
    let target = Target::start(|_| Answer::Status(500)).await;
    let webhook = program.webhook(&target.url(), None).await;
    program.happen(&[("P001", 1), ("P001", 2), ("P002", 3)]).await;
    program.drain().await;
    assert_eq!(target.events().len(), 2);
    app::platform::webhooks::delete(&program.db, webhook.webhook_id, &Act::of("test", program.context()))
        .await
        .unwrap();
    program.happen(&[("P003", 4)]).await;
    program.wait(3_600);
    let claim = app::platform::webhooks::claim(&program.db, webhook.webhook_id, 10, program.context())
        .await
        .unwrap();
    assert_eq!(claim.due.len(), 0, "for a relay that still knows the webhook");
    assert_eq!(program.drain().await.dispatched, 0);
    assert_eq!(target.events().len(), 2);
    assert_eq!(program.test.text("SELECT secret FROM webhooks").await, "null");

    let forget = || app::platform::webhooks::forget_delivered(&program.db, program.now(), 2);
    assert_eq!(
        (
            forget().await.unwrap(),
            forget().await.unwrap(),
            forget().await.unwrap()
        ),
        (2, 1, 0)
    );
    program.all_is_told().await;
}

#[tokio::test]
async fn what_was_delivered_long_ago_is_forgotten() {
    let program = Program::new().await;
    let target = Target::start(|received| Answer::Status(if received.n() == 3 { 404 } else { 200 })).await;
    let webhook = program.webhook(&target.url(), None).await;
    program.happen(&[("P001", 1), ("P002", 2), ("P003", 3)]).await;
    program.drain().await;
    program.wait(100);
    program.happen(&[("P001", 4)]).await;
    program.drain().await;
    let limit = program.now();
    assert_eq!(
        app::platform::webhooks::forget_delivered(&program.db, limit, 1)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        app::platform::webhooks::forget_delivered(&program.db, limit, 10)
            .await
            .unwrap(),
        1
    );
    assert_eq!(
        app::platform::webhooks::forget_delivered(&program.db, limit, 10)
            .await
            .unwrap(),
        0
    );
    let left: Vec<_> = program
        .deliveries(&webhook, None)
        .await
        .iter()
        .map(|delivery| delivery.data.get().to_owned())
        .collect();
    assert_eq!(left.len(), 2, "the failed one and the recently delivered one: {left:?}");
}
