//! A program with players who get events, its webhooks, and relays at a time that the test sets.

use app::platform::webhooks::{Delivery, NewWebhook, Webhook};
use app::{Act, Context, Db};
use domain::event::{Event, TierChanged, TierDowngradeDue};
use domain::id::PlayerId;
use domain::money::Points;
use domain::tier::MoveReason;
use domain::webhook::{DeliveryStatus, Target, Targets};
use jiff::{SignedDuration, Timestamp};
use lambda::webhook::{Limits, Messenger};
use outbox_relay::{Relay, Relayed};
use std::time::Duration;
use store::platform::outbox;
use testing::{TestClock, TestDb};
use uuid::Uuid;

pub const SECRET: &str = "whsec_of_the_test";
const START_S: i64 = 1_772_366_400;

/// An event that carries its number as the player's points; an even one is a `tier.changed`, an odd one a
/// `tier.downgrade_due`.
fn numbered(player: &str, n: u64) -> Event {
    let player_id = PlayerId::parse(player).unwrap();
    let qualifying_lp = Points::of(n.into());
    if n.is_multiple_of(2) {
        Event::TierChanged(TierChanged {
            from: "BRONZE".into(),
            player_id,
            qualifying_lp,
            reason: MoveReason::Qualified,
            to: "GOLD".into(),
        })
    } else {
        Event::TierDowngradeDue(TierDowngradeDue {
            due_at: Timestamp::UNIX_EPOCH,
            lp_missing: Points::of(0.into()),
            player_id,
            qualifying_lp,
            tier: "GOLD".into(),
            to: "BRONZE".into(),
        })
    }
}

pub struct Program {
    pub test: TestDb,
    pub db: Db,
    clock: TestClock,
}

impl Program {
    pub async fn new() -> Self {
        let test = TestDb::new().await;
        Self {
            db: test.db(),
            test,
            clock: TestClock::standing_at(Timestamp::from_second(START_S).unwrap()),
        }
    }

    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    pub fn context(&self) -> Context {
        Context {
            now: self.now(),
            new_id: Uuid::now_v7,
        }
    }

    pub fn wait(&self, seconds: i64) {
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    /// Writes numbered events of players in one transaction.
    pub async fn happen(&self, events: &[(&str, u64)]) {
        let mut client = self.db.client().await.unwrap();
        let tx = store::begin(&mut client).await.unwrap();
        self.happen_in(&tx, events).await;
        store::commit(tx).await.unwrap();
    }

    pub async fn happen_in(&self, tx: &store::Tx<'_>, events: &[(&str, u64)]) {
        let events: Vec<Event> = events.iter().map(|(player, n)| numbered(player, *n)).collect();
        outbox::add(tx, &events, self.now()).await.unwrap();
    }

    pub async fn webhook(&self, url: &str, event_types: Option<&[&str]>) -> Webhook {
        let event_types = event_types.map(|types| types.iter().map(|name| (*name).to_owned()).collect());
        let new = NewWebhook {
            target: Target::parse(url, Targets::Any).unwrap(),
            description: None,
            event_types,
        };
        app::platform::webhooks::create(&self.db, &new, SECRET, &Act::of("test", self.context()))
            .await
            .unwrap()
    }

    /// Runs a relay with its own connections, for targets that respond quickly.
    pub async fn drain(&self) -> Relayed {
        self.drain_with(messenger(Targets::Any)).await
    }

    pub async fn drain_with(&self, messenger: Messenger) -> Relayed {
        let relay = Relay {
            db: Db::new(&self.test.url(), None).unwrap(),
            messenger,
            clock: || self.context(),
        };
        relay.drain(self.now() + SignedDuration::from_secs(1)).await.unwrap()
    }

    pub async fn deliveries(&self, webhook: &Webhook, status: Option<DeliveryStatus>) -> Vec<Delivery> {
        app::platform::webhooks::deliveries(&self.db, webhook.webhook_id, status, 0, 1_000)
            .await
            .unwrap()
    }

    /// Checks that nothing is left to deliver and that the books hold.
    pub async fn all_is_told(&self) {
        for table in [
            "outbox",
            "webhook_streams",
            "webhook_deliveries WHERE status = 'PENDING'",
        ] {
            assert_eq!(
                self.test.text(&format!("SELECT count(*) FROM {table}")).await,
                "0",
                "{table}"
            );
        }
        testing::audit(&self.db).await;
    }
}

pub fn messenger(targets: Targets) -> Messenger {
    let limits = Limits {
        connect: Duration::from_millis(500),
        total: Duration::from_millis(500),
    };
    Messenger::new(targets, limits).unwrap()
}
