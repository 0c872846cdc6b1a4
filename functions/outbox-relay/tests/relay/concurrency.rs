//! Concurrent relays, relays that die, and transactions that commit late.

use crate::program::{Program, messenger};
use crate::target::{Answer, Target};
use app::platform::webhooks;
use domain::webhook::Targets;
use lambda::webhook::Letter;
use std::collections::BTreeMap;
use std::time::Duration;

const PLAYERS: u64 = 30;
const EVENTS: u64 = 12;

#[tokio::test(flavor = "multi_thread")]
async fn relays_at_once_keep_the_order_and_deliver_each_event_once() {
    let program = Program::new().await;
    let target = Target::start(|_| Answer::Status(200)).await;
    program.webhook(&target.url(), None).await;
    let players: Vec<String> = (0..PLAYERS).map(|number| format!("P{number:03}")).collect();
    // Events are written, some for several players at once, while three relays run.
    let happening = async {
        for n in 0..EVENTS {
            for some in players.chunks(7) {
                program
                    .happen(&some.iter().map(|player| (player.as_str(), n)).collect::<Vec<_>>())
                    .await;
            }
        }
    };
    let relaying = async || {
        let mut delivered = 0;
        for _ in 0..40 {
            delivered += program.drain().await.delivered;
        }
        delivered
    };
    let ((), one, two, three) = tokio::join!(happening, relaying(), relaying(), relaying());
    let rest = program.drain().await.delivered;
    assert_eq!(one + two + three + rest, usize::try_from(PLAYERS * EVENTS).unwrap());

    let mut by_player: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for (player, n) in target.events() {
        by_player.entry(player).or_default().push(n);
    }
    assert_eq!(by_player.len(), players.len());
    for (player, events) in by_player {
        assert_eq!(events, (0..EVENTS).collect::<Vec<_>>(), "{player}");
    }
    program.all_is_told().await;
}

#[tokio::test]
async fn what_a_relay_sent_and_did_not_write_down_comes_again_under_the_same_id() {
    let program = Program::new().await;
    let target = Target::start(|_| Answer::Status(200)).await;
    let webhook = program.webhook(&target.url(), None).await;
    program.happen(&[("P001", 1), ("P001", 2)]).await;
    webhooks::dispatch(&program.db, program.context()).await.unwrap();

    let claim = webhooks::claim(&program.db, webhook.webhook_id, 10, program.context())
        .await
        .unwrap();
    assert_eq!(claim.due.len(), 1, "a player's events go one after another");
    let due = claim.due.into_iter().next().unwrap();
    let body = webhooks::body(&due);
    let url = target.url();
    let letter = Letter {
        url: &url,
        event_id: due.event_id,
        event_type: &due.event_type,
        body: &body,
        sent_at: program.now(),
    };
    let attempt = messenger(Targets::Any).send(letter, "any").await;
    assert!(attempt.is_delivered());

    // The relay looks dead: its claim holds for a minute, then the next relay takes over.
    program.wait(59);
    assert_eq!(program.drain().await.delivered, 0);
    program.wait(1);
    assert_eq!(program.drain().await.delivered, 2);
    let received = target.received();
    assert_eq!(target.events().iter().map(|(_, n)| *n).collect::<Vec<_>>(), [1, 1, 2]);
    assert_eq!(received[0].headers["x-event-id"], received[1].headers["x-event-id"]);
    assert_eq!(received[0].body, received[1].body);

    // It was only slow, and learns that it no longer owns the delivery.
    let late = webhooks::record(
        &program.db,
        webhook.webhook_id,
        claim.claim_id,
        &[(due, attempt)],
        program.context(),
    )
    .await
    .unwrap();
    assert_eq!((late.lost, late.delivered), (1, 0));
    program.all_is_told().await;
}

#[tokio::test]
async fn a_claim_that_was_lost_writes_nothing_over_the_one_that_holds() {
    let program = Program::new().await;
    let webhook = program.webhook("http://127.0.0.1:9/", None).await;
    program.happen(&[("P001", 1), ("P001", 2)]).await;
    webhooks::dispatch(&program.db, program.context()).await.unwrap();
    let id = webhook.webhook_id;
    let slow = webhooks::claim(&program.db, id, 10, program.context()).await.unwrap();
    program.wait(60);
    let holder = webhooks::claim(&program.db, id, 10, program.context()).await.unwrap();
    let attempt = |status_code| domain::webhook::Attempt {
        attempted_at: program.now(),
        status_code: Some(status_code),
        error: None,
        response: None,
        duration_ms: 1,
    };
    let tried = |claim: webhooks::Claim, code| {
        claim
            .due
            .into_iter()
            .map(|due| (due, attempt(code)))
            .collect::<Vec<_>>()
    };
    let (slow_id, holder_id) = (slow.claim_id, holder.claim_id);
    let late = webhooks::record(&program.db, id, slow_id, &tried(slow, 500), program.context())
        .await
        .unwrap();
    assert_eq!(late.lost, 1);
    assert_eq!(
        webhooks::claim(&program.db, id, 10, program.context())
            .await
            .unwrap()
            .due
            .len(),
        0,
        "the claim still holds"
    );
    let held = webhooks::record(&program.db, id, holder_id, &tried(holder, 200), program.context())
        .await
        .unwrap();
    assert_eq!(held.delivered, 1);
    let next = webhooks::claim(&program.db, id, 10, program.context()).await.unwrap();
    assert_eq!(
        next.due
            .iter()
            .map(|due| due.payload.get().contains("\"qualifying_lp\":2.00"))
            .collect::<Vec<_>>(),
        [true]
    );
}

#[tokio::test]
async fn an_event_whose_transaction_commits_late_is_not_lost() {
    let program = Program::new().await;
    let target = Target::start(|_| Answer::Status(200)).await;
    program.webhook(&target.url(), None).await;
    let mut client = program.db.client().await.unwrap();
    let slow = store::begin(&mut client).await.unwrap();
    program.happen_in(&slow, &[("P001", 1)]).await;
    program.happen(&[("P002", 2)]).await;
    assert_eq!(program.drain().await.delivered, 1);
    store::commit(slow).await.unwrap();
    assert_eq!(program.drain().await.delivered, 1);
    assert_eq!(target.events(), [("P002".to_owned(), 2), ("P001".to_owned(), 1)]);
    program.all_is_told().await;
}

/// A stream must not count as empty while an event for it is being written.
#[tokio::test]
async fn an_event_that_comes_while_the_last_one_is_delivered_is_not_forgotten() {
    let program = Program::new().await;
    let target = Target::start(|_| Answer::Status(200)).await;
    let webhook = program.webhook(&target.url(), None).await;
    program.happen(&[("P001", 1)]).await;
    webhooks::dispatch(&program.db, program.context()).await.unwrap();
    let claim = webhooks::claim(&program.db, webhook.webhook_id, 10, program.context())
        .await
        .unwrap();
    let attempt = domain::webhook::Attempt {
        attempted_at: program.now(),
        status_code: Some(200),
        error: None,
        response: None,
        duration_ms: 1,
    };
    let tried: Vec<_> = claim.due.into_iter().map(|due| (due, attempt.clone())).collect();
    program.happen(&[("P001", 2)]).await;
    // The event is written but not committed when the outcome is recorded.
    let mut client = program.db.client().await.unwrap();
    let dispatching = store::begin(&mut client).await.unwrap();
    assert!(store::platform::outbox::try_be_dispatcher(&dispatching).await.unwrap());
    let ids = store::platform::outbox::first(&dispatching, 10).await.unwrap();
    store::platform::outbox::fan_out(&dispatching, &ids, &[uuid::Uuid::now_v7()], program.now())
        .await
        .unwrap();
    // Another relay leaves the dispatching to this one and does not wait for it.
    let other = tokio::time::timeout(
        Duration::from_secs(5),
        webhooks::dispatch(&program.db, program.context()),
    )
    .await;
    assert_eq!(other.unwrap().unwrap(), 0);
    let recording = webhooks::record(
        &program.db,
        webhook.webhook_id,
        claim.claim_id,
        &tried,
        program.context(),
    );
    let committing = async {
        until_one_waits(&program).await;
        store::commit(dispatching).await.unwrap();
    };
    let (recorded, ()) = tokio::join!(recording, committing);
    assert_eq!(recorded.unwrap().delivered, 1);
    assert_eq!(program.drain().await.delivered, 1);
    program.all_is_told().await;
}

async fn until_one_waits(program: &Program) {
    for _ in 0..1_000 {
        if program
            .test
            .text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            .await
            != "0"
        {
            return;
        }
    }
    panic!("no relay waits for the dispatching transaction");
}
