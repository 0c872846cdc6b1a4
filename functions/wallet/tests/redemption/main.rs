//! `/api/redemption` through the router, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod catalogue;
mod redeem;

use app::Act;
use app::wallet::redemption::Redeemed;
use axum::Router;
use axum::body::Body;
use axum::http::Request;
use domain::context::Context;
use domain::id::{PlayerId, RedemptionRuleId};
use domain::idempotency::Answer;
use domain::ledger::{Cause, House, Kind};
use domain::money::Asset;
use domain::problem::Refusal;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use testing::{Player, Response, TestDb, api_key, call, send};

struct Program {
    test: TestDb,
    router: Router,
    admin: String,
}

impl Program {
    /// With player P001, at SILVER and without points.
    async fn new() -> Self {
        let test = TestDb::new().await;
        test.subscribe().await;
        let admin = api_key(&test.db(), "admin").await;
        Player::new("P001").tier("SILVER").insert(&test.db()).await;
        Self {
            router: wallet::router(test.db(), lambda::clock::now),
            admin,
            test,
        }
    }

    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Response {
        call(&self.router, method, path, Some(&self.admin), body).await
    }

    async fn get(&self, path: &str) -> Value {
        self.send("GET", path, None).await.expect(200)
    }

    async fn offer(&self, rule: Value) -> Value {
        self.send("POST", RULES, Some(rule)).await.expect(201)
    }

    /// Credits points directly, because the API credits neither RP nor points that expire.
    async fn credit(&self, asset: Asset, amount: i64, expires_at: Option<&str>) {
        let (db, expires_at) = (self.test.db(), expires_at.map(|at| at.parse().unwrap()));
        let credited: store::Result<()> = store::transaction!(db, |tx| credit(tx, asset, amount, expires_at));
        credited.unwrap();
    }

    async fn redeem(&self, rule_id: &str) -> Response {
        self.send("POST", REDEEM, Some(order(rule_id))).await
    }

    /// Returns the refusal's code and checks that nothing changed.
    async fn refusal(&self, body: Value, status: u16) -> Value {
        let before = self.state().await;
        let problem = self.keyed("refused", body).await.expect(status);
        assert_eq!(self.state().await, before);
        testing::audit(&self.test.db()).await;
        problem
    }

    async fn keyed(&self, key: &str, body: Value) -> Response {
        let request = Request::post(REDEEM)
            .header("authorization", format!("Bearer {}", self.admin))
            .header("content-type", "application/json")
            .header("idempotency-key", key)
            .body(Body::from(body.to_string()))
            .unwrap();
        send(&self.router, request).await
    }

    /// Redeems at this instant.
    async fn redeem_at(&self, rule_id: &str, now: &str) -> Result<Redeemed, Refusal> {
        let context = Context {
            now: now.parse().unwrap(),
            ..lambda::context()
        };
        let rule_id = RedemptionRuleId::parse(rule_id).unwrap();
        Ok(
            app::wallet::redemption::redeem(&self.test.db(), &player(), &rule_id, &Act::of("test", context))
                .await
                .map(Answer::into_inner)?,
        )
    }

    /// Status and body of `count` redemptions at once.
    async fn redeem_at_once(&self, rule_id: &str, count: usize) -> Vec<Response> {
        let calls: Vec<_> = (0..count)
            .map(|_| {
                let (router, key, body) = (self.router.clone(), self.admin.clone(), order(rule_id));
                tokio::spawn(async move { call(&router, "POST", REDEEM, Some(&key), Some(body)).await })
            })
            .collect();
        let mut answers = Vec::new();
        for call in calls {
            answers.push(call.await.unwrap());
        }
        answers
    }

    async fn wallet(&self) -> Value {
        self.get("/api/wallet/P001").await
    }

    /// `RP LP TICKETS BONUS`
    async fn balances(&self) -> String {
        let wallet = self.wallet().await;
        ["rp_balance", "lp_balance", "tickets_balance", "bonus_balance"]
            .map(|name| wallet[name].to_string())
            .join(" ")
    }

    /// A digest of everything a redemption can change.
    async fn state(&self) -> String {
        let tables = [
            "postings",
            "wallets",
            "point_lots",
            "lot_movements",
            "grants",
            "grant_history",
            "redemptions",
            "outbox",
        ];
        let rows: Vec<String> = tables
            .iter()
            .chain(&["idempotency_keys", "stats", "players"])
            .map(|t| format!("SELECT '{t}' || x::text AS x FROM {t} x"))
            .collect();
        self.test
            .text(&format!(
                "SELECT md5(string_agg(x, ',' ORDER BY x)) FROM ({}) AS rows",
                rows.join(" UNION ALL ")
            ))
            .await
    }

    /// `pointer code` of every error of a 422.
    async fn errors(&self, method: &str, path: &str, body: Value) -> Vec<String> {
        let problem = self.send(method, path, Some(body)).await.expect(422);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        problem["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|error| format!("{} {}", text(&error["pointer"]), text(&error["code"])))
            .collect()
    }
}

const RULES: &str = "/api/redemption/rules";
const REDEEM: &str = "/api/redemption/redeem";

fn player() -> PlayerId {
    PlayerId::parse("P001").unwrap()
}

/// The number's value, regardless of trailing zeros.
fn figure(value: &Value) -> Decimal {
    value
        .to_string()
        .parse()
        .unwrap_or_else(|_| panic!("{value} is no figure"))
}

fn order(rule_id: &str) -> Value {
    json!({ "player_id": "P001", "rule_id": rule_id })
}

/// 500 RP for 5.00 in cash, with `changes`; null removes a field.
fn cash(changes: Value) -> Value {
    let mut rule = json!({ "rule_id": "CASH_5", "name": "Five in cash", "cost": 500, "target": "CASH", "amount": 5 });
    let fields = rule.as_object_mut().unwrap();
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => fields.remove(key),
            value => fields.insert(key.clone(), value.clone()),
        };
    }
    rule
}

async fn credit(tx: &store::Tx<'_>, asset: Asset, amount: i64, expires_at: Option<Timestamp>) -> store::Result<()> {
    let context = lambda::context();
    let operation = Cause {
        actor: "test",
        reason: None,
        context,
    }
    .operation(Kind::ManualCredit, (context.new_id)().to_string());
    store::players::lock(tx, &player()).await?;
    let mut account = store::wallet::accounts::load(tx, &["P001"]).await?.remove(0);
    account
        .credit(asset, amount.into(), House::Issuance, expires_at, &operation)
        .unwrap();
    store::wallet::accounts::write(tx, &account.into_journal()).await
}
