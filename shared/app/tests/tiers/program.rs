//! A program with the default ladder: BRONZE 0, SILVER 1000, GOLD 10000, PLATINUM 50000.

use app::wallet::{AddLp, Deduct, Receipt};
use app::{Act, Context, Db, wallet};
use domain::id::{PlayerId, TransactionId};
use domain::idempotency::Answer;
use domain::money::Asset;
use jiff::Timestamp;
use serde_json::{Value, json};
use testing::{Player, TestDb};

pub struct Program {
    pub test: TestDb,
    pub db: Db,
}

pub fn at(now: &str) -> Context {
    Context {
        now: now.parse::<Timestamp>().unwrap(),
        new_id: uuid::Uuid::now_v7,
    }
}

/// An afternoon.
pub fn context() -> Context {
    at("2026-11-23T14:00:00Z")
}

impl Program {
    /// With the players P001 and P002 in BRONZE.
    pub async fn new() -> Self {
        let test = TestDb::new().await;
        test.subscribe().await;
        let db = test.db();
        for player_id in ["P001", "P002"] {
            Player::new(player_id).deposited("100").insert(&db).await;
        }
        Self { test, db }
    }

    /// The default tier of this name, with requirements.
    pub async fn require(&self, tier_level: &str, requirements: Value) {
        let patch = json!({ "requirements": requirements });
        app::tiers::update(&self.db, tier_level, &patch, None, &Act::of("test", context()))
            .await
            .unwrap();
    }

    pub async fn set(&self, settings: Value) {
        app::program::settings::put(&self.db, &settings, &Act::of("test", context()))
            .await
            .unwrap();
    }

    pub async fn add_lp(&self, player_id: &str, amount: &str, context: Context) -> TransactionId {
        let command = AddLp {
            player_id: PlayerId::parse(player_id).unwrap(),
            amount: amount.parse().unwrap(),
            reason: None,
        };
        first(
            wallet::add_lp(&self.db, &command, &Act::of("test", context))
                .await
                .unwrap(),
        )
        .transaction_id
        .unwrap()
    }

    pub async fn deduct_lp(&self, player_id: &str, amount: &str, context: Context) -> TransactionId {
        let command = Deduct {
            player_id: PlayerId::parse(player_id).unwrap(),
            amount: Asset::Lp.positive(amount.parse().unwrap()).unwrap(),
            reason: None,
        };
        first(
            wallet::deduct(&self.db, &command, &Act::of("test", context))
                .await
                .unwrap(),
        )
        .transaction_id
        .unwrap()
    }

    pub async fn reverse(&self, transaction_id: TransactionId, context: Context) -> TransactionId {
        match wallet::reverse(&self.db, transaction_id, "mistake", &Act::of("test", context))
            .await
            .unwrap()
        {
            Answer::First(reversal) | Answer::Replayed(reversal) => reversal.transaction_id,
        }
    }

    /// Promotes players as after a change of their facts; returns whether any climbed.
    pub async fn promote(&self, player_ids: &[&str], context: Context) -> bool {
        let promoted: app::Result<_> = store::transaction!(self.db, |tx| async {
            store::players::lock_all(tx, player_ids).await?;
            app::tiers::promote_in_tx(tx, player_ids, context).await
        });
        promoted.unwrap().is_some()
    }

    pub async fn tier(&self, player_id: &str) -> String {
        self.text(&format!("SELECT tier FROM players WHERE player_id = '{player_id}'"))
            .await
    }

    /// `BRONZE>SILVER qualified`, …, oldest first.
    pub async fn history(&self, player_id: &str) -> String {
        let moves = "string_agg(from_tier || '>' || to_tier || ' ' || reason, ', ' ORDER BY at)";
        self.text(&format!(
            "SELECT coalesce({moves}, '') FROM tier_history WHERE player_id = '{player_id}'"
        ))
        .await
    }

    pub async fn qualifying_lp(&self, player_id: &str) -> String {
        self.text(&format!(
            "SELECT sum(lp_earned) FROM player_daily WHERE player_id = '{player_id}'"
        ))
        .await
    }

    pub async fn count(&self, from_where: &str) -> i64 {
        self.text(&format!("SELECT count(*) FROM {from_where}"))
            .await
            .parse()
            .unwrap()
    }

    /// Events of a type, as an array of their payloads, oldest first.
    pub async fn events(&self, event_type: &str) -> Value {
        let query = format!(
            "SELECT coalesce(json_agg(payload ORDER BY outbox_id), '[]') FROM outbox WHERE event_type = '{event_type}'"
        );
        serde_json::from_str(&self.text(&query).await).unwrap()
    }

    pub async fn text(&self, query: &str) -> String {
        self.test.text(query).await
    }

    pub async fn audit(&self) {
        testing::audit(&self.db).await;
    }
}

fn first(answer: Answer<Receipt>) -> Receipt {
    match answer {
        Answer::First(receipt) | Answer::Replayed(receipt) => receipt,
    }
}

/// The payload of `tier.changed`.
pub fn tier_changed(player_id: &str, (from, to): (&str, &str), reason: &str, qualifying_lp: &str) -> Value {
    let lp: serde_json::Number = qualifying_lp.parse().unwrap();
    json!({ "player_id": player_id, "from": from, "to": to, "reason": reason, "qualifying_lp": lp })
}
