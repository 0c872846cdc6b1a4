//! Targets that are unreachable, refuse, or have a forbidden address.

use crate::program::{Program, messenger};
use crate::target::{Answer, Target};
use app::Act;
use app::platform::webhooks::{self, WebhookError};
use domain::webhook::{DeliveryStatus, Targets};
use std::collections::BTreeMap;
use std::sync::Mutex;

fn of_player(events: &[(String, u64)], player: &str) -> Vec<u64> {
    events.iter().filter(|(of, _)| of == player).map(|(_, n)| *n).collect()
}

#[tokio::test]
async fn a_target_that_fails_five_times_gets_every_event_in_order() {
    let program = Program::new().await;
    let mut target = Target::start(|_| Answer::Status(200)).await;
    let webhook = program.webhook(&target.url(), None).await;
    for n in [1, 4, 7, 10] {
        program.happen(&[("P001", n), ("P002", n + 1), ("P003", n + 2)]).await;
    }
    // Nothing listens at first; then the target is there and fails in other ways.
    let port = target.port;
    target.stop().await;
    let away = program.drain().await;
    assert_eq!(
        (away.dispatched, away.delivered, away.failed),
        (12, 0, 3),
        "one attempt for each player"
    );
    let first = &program.deliveries(&webhook, None).await[11];
    assert_eq!((first.attempts, first.status_code), (1, None));
    assert!(
        first.error.as_ref().unwrap().contains("Connection refused"),
        "{first:?}"
    );

    let mut ids: BTreeMap<u64, String> = BTreeMap::new();
    for (wait, answer) in [
        (10, Answer::Status(500)),
        (30, Answer::Never),
        (120, Answer::Cut),
        (600, Answer::Status(503)),
    ] {
        program.wait(wait - 1);
        let always = answer.clone();
        target = Target::start_at(port, move |_| always.clone()).await;
        assert_eq!(program.drain().await.failed, 0, "before it is due");
        program.wait(1);
        assert_eq!(program.drain().await.failed, 3);
        assert_eq!(target.events().len(), 3);
        for received in target.received() {
            let id = received.headers["x-event-id"].clone();
            assert_eq!(
                ids.entry(received.n()).or_insert_with(|| id.clone()),
                &id,
                "an event keeps its id"
            );
        }
        target.stop().await;
    }

    program.wait(3_600);
    target = Target::start_at(port, |_| Answer::Status(200)).await;
    assert_eq!(program.drain().await.delivered, 12);
    let events = target.events();
    for (player, in_order) in [
        ("P001", [1, 4, 7, 10]),
        ("P002", [2, 5, 8, 11]),
        ("P003", [3, 6, 9, 12]),
    ] {
        assert_eq!(of_player(&events, player), in_order);
    }
    let attempts: Vec<i32> = program
        .deliveries(&webhook, Some(DeliveryStatus::Delivered))
        .await
        .iter()
        .rev()
        .map(|one| one.attempts)
        .collect();
    assert_eq!(attempts, [6, 6, 6, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
    program.all_is_told().await;
}

#[tokio::test]
async fn an_event_that_never_gets_through_is_parked_and_the_later_ones_go_on() {
    let program = Program::new().await;
    let target = Target::start(|received| {
        if received.n() == 1 {
            Answer::Never
        } else {
            Answer::Status(200)
        }
    })
    .await;
    let webhook = program.webhook(&target.url(), None).await;
    program
        .happen(&[("P001", 1), ("P001", 2), ("P001", 3), ("P002", 4)])
        .await;
    for wait in [0, 10, 30, 120, 600, 3_600, 10_800, 21_600] {
        program.wait(wait);
        assert_eq!(program.drain().await.parked, 0);
    }
    assert_eq!(
        of_player(&target.events(), "P001"),
        [1; 8],
        "the player's later events wait"
    );
    assert_eq!(
        of_player(&target.events(), "P002"),
        [4],
        "other players' events do not wait"
    );
    program.wait(43_200);
    assert_eq!(program.drain().await.parked, 1);
    // The target was unreachable for all of that relay's turn; the next relay goes on.
    assert_eq!(program.drain().await.delivered, 2);
    assert_eq!(of_player(&target.events(), "P001"), [1, 1, 1, 1, 1, 1, 1, 1, 1, 2, 3]);

    let parked = program.deliveries(&webhook, Some(DeliveryStatus::Parked)).await;
    assert_eq!((parked.len(), parked[0].attempts, parked[0].status_code), (1, 9, None));
    assert_eq!(parked[0].error.as_deref(), Some("no response within 500ms"));
    assert_eq!(parked[0].ended_at, Some(program.now()));
    program.all_is_told().await;
}

#[tokio::test]
async fn a_parked_delivery_is_sent_again_when_a_person_says_so() {
    let program = Program::new().await;
    let target = Target::start(|_| Answer::Status(200)).await;
    let webhook = program.webhook(&target.url(), None).await;
    program.happen(&[("P001", 1), ("P001", 2)]).await;
    webhooks::dispatch(&program.db, program.context()).await.unwrap();
    program
        .test
        .tamper(
            "UPDATE webhook_deliveries SET status = 'PARKED', attempts = 9, ended_at = now()
             WHERE (payload ->> 'qualifying_lp')::numeric = 1;
                 UPDATE webhook_streams SET head = head + 1",
        )
        .await;
    let id = webhook.webhook_id;
    let parked = program.deliveries(&webhook, Some(DeliveryStatus::Parked)).await[0].delivery_id;
    // Retried while the player's next event is in flight.
    let claim = webhooks::claim(&program.db, id, 10, program.context()).await.unwrap();
    assert_eq!(claim.due[0].delivery_id, parked + 1);
    webhooks::retry(&program.db, id, parked, &Act::of("ann", program.context()))
        .await
        .unwrap();
    assert_eq!(program.drain().await.delivered, 0, "one at a time");
    let attempt = domain::webhook::Attempt {
        attempted_at: program.now(),
        status_code: Some(200),
        error: None,
        response: None,
        duration_ms: 1,
    };
    let tried: Vec<_> = claim.due.into_iter().map(|due| (due, attempt.clone())).collect();
    assert_eq!(
        webhooks::record(&program.db, id, claim.claim_id, &tried, program.context())
            .await
            .unwrap()
            .delivered,
        1
    );
    assert_eq!(program.drain().await.delivered, 1);
    assert_eq!(of_player(&target.events(), "P001"), [1]);

    for delivery_id in [parked, parked + 1] {
        let again = webhooks::retry(&program.db, id, delivery_id, &Act::of("ann", program.context())).await;
        assert!(
            matches!(again, Err(app::Error::Webhook(WebhookError::NotParked { .. }))),
            "{again:?}"
        );
    }
    let unknown = webhooks::retry(&program.db, id, parked + 2, &Act::of("ann", program.context())).await;
    assert!(
        matches!(unknown, Err(app::Error::NotFound { what: "delivery", .. })),
        "{unknown:?}"
    );
    program.all_is_told().await;
}

#[tokio::test]
async fn a_webhook_that_is_down_holds_up_no_other() {
    let program = Program::new().await;
    let (down, up) = (
        Target::start(|_| Answer::Never).await,
        Target::start(|_| Answer::Status(200)).await,
    );
    program.webhook(&down.url(), None).await;
    program.webhook(&up.url(), None).await;
    let players: Vec<String> = (0..40).map(|number| format!("P{number:03}")).collect();
    for n in [1, 2] {
        program
            .happen(&players.iter().map(|player| (player.as_str(), n)).collect::<Vec<_>>())
            .await;
    }
    let relayed = program.drain().await;
    assert_eq!(
        (relayed.delivered, relayed.failed),
        (80, 32),
        "one turn for the unreachable webhook"
    );
    assert_eq!((up.events().len(), down.events().len()), (80, 32));
}

/// DNS rebinding: the name was fine when the webhook was registered.
#[tokio::test]
async fn a_name_that_has_come_to_mean_this_machine_is_never_called() {
    let program = Program::new().await;
    let target = Target::start(|_| Answer::Status(200)).await;
    let webhook = program.webhook(&target.url(), None).await;
    let call = async |url: String| {
        program.test.tamper(&format!("UPDATE webhooks SET url = '{url}'")).await;
        program.wait(100_000);
        program.drain_with(messenger(Targets::Public)).await.delivered
    };
    program.happen(&[("P001", 1)]).await;
    for url in [
        format!("https://localhost:{}/hook", target.port),
        format!("https://127.0.0.1:{}/", target.port),
        target.url(),
    ] {
        assert_eq!(call(url).await, 0);
    }
    assert_eq!(target.events().len(), 0);
    let delivery = &program.deliveries(&webhook, None).await[0];
    assert_eq!((delivery.status, delivery.attempts), (DeliveryStatus::Pending, 3));
    program
        .test
        .tamper(&format!(
            "UPDATE webhooks SET url = 'https://localhost:{}/'",
            target.port
        ))
        .await;
    program.wait(100_000);
    program.drain_with(messenger(Targets::Public)).await;
    let error = program.deliveries(&webhook, None).await[0].error.clone().unwrap();
    assert!(
        error.contains("localhost is at ") && error.contains("not an address of the public internet"),
        "{error}"
    );
}

#[tokio::test]
async fn a_redirection_is_not_followed_and_an_endless_answer_is_cut() {
    let program = Program::new().await;
    let elsewhere = Target::start(|_| Answer::Status(200)).await;
    let (place, answers) = (elsewhere.url(), Mutex::new(0));
    let target = Target::start(move |_| {
        *answers.lock().unwrap() += 1;
        Answer::Whole(match *answers.lock().unwrap() {
            1 => format!("HTTP/1.1 307 Answer\r\nlocation: {place}\r\ncontent-length: 0\r\n\r\n"),
            2 => format!(
                "HTTP/1.1 400 Answer\r\ncontent-length: 1000000\r\n\r\n{}",
                "\0é".repeat(3_000)
            ),
            _ => "HTTP/1.1 200 Answer\r\ncontent-length: 100\r\n\r\nsoon".to_owned(),
        })
    })
    .await;
    let webhook = program.webhook(&target.url(), None).await;
    program.happen(&[("P001", 1)]).await;
    let mut seen = Vec::new();
    for wait in [0, 10, 30] {
        program.wait(wait);
        program.drain().await;
        let delivery = program.deliveries(&webhook, None).await.remove(0);
        seen.push((delivery.status_code, delivery.response));
    }
    let cut = "\u{fffd}é".repeat(250);
    assert_eq!(
        seen,
        [
            (Some(307), Some(String::new())),
            (Some(400), Some(cut)),
            (Some(200), Some("soon".to_owned()))
        ]
    );
    assert_eq!(elsewhere.events().len(), 0);
    program.all_is_told().await;
}
