//! `/api/redemption` through the router, on a real PostgreSQL.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod catalogue;
mod redeem;

use app::Act;
use app::wallet::redemption::Redeemed;
use domain::context::Context;
use domain::id::{PlayerId, RedemptionRuleId};
use domain::idempotency::Answer;
use domain::ledger::{Cause, House, Kind};
use domain::money::Asset;
use domain::problem::Refusal;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Value, json};
use testing::{Player, Response, TestApi};

/// With player P001, at SILVER and without points.
async fn program() -> TestApi {
    let api = TestApi::new("admin", ::wallet::router).await;
    api.subscribe().await;
    Player::new("P001").tier("SILVER").insert(&api.db()).await;
    api
}

async fn offer(program: &TestApi, rule: Value) -> Value {
    program.post(RULES, rule).await.expect(201)
}

/// Credits points directly, because the API credits neither RP nor points that expire.
async fn give(program: &TestApi, asset: Asset, amount: i64, expires_at: Option<&str>) {
    let (db, expires_at) = (program.db(), expires_at.map(|at| at.parse().unwrap()));
    let credited: store::Result<()> = store::transaction!(db, |tx| credit(tx, asset, amount, expires_at));
    credited.unwrap();
}

async fn redeem(program: &TestApi, rule_id: &str) -> Response {
    program.post(REDEEM, order(rule_id)).await
}

/// Returns the refusal's code and checks that nothing changed.
async fn refusal(program: &TestApi, body: Value, status: u16) -> Value {
    let before = state(program).await;
    let problem = program.keyed(REDEEM, "refused", body).await.expect(status);
    assert_eq!(state(program).await, before);
    program.audit().await;
    problem
}

/// Redeems at this instant.
async fn redeem_at(program: &TestApi, rule_id: &str, now: &str) -> Result<Redeemed, Refusal> {
    let context = Context {
        now: now.parse().unwrap(),
        ..lambda::context()
    };
    let rule_id = RedemptionRuleId::parse(rule_id).unwrap();
    Ok(
        app::wallet::redemption::redeem(&program.db(), &player(), &rule_id, &Act::of("test", context))
            .await
            .map(Answer::into_inner)?,
    )
}

/// Status and body of `count` redemptions at once.
async fn redeem_at_once(program: &TestApi, rule_id: &str, count: usize) -> Vec<Response> {
    let calls: Vec<_> = (0..count)
        .map(|_| {
            let (program, body) = (program.clone(), order(rule_id));
            tokio::spawn(async move { program.post(REDEEM, body).await })
        })
        .collect();
    let mut answers = Vec::new();
    for call in calls {
        answers.push(call.await.unwrap());
    }
    answers
}

async fn wallet_of(program: &TestApi) -> Value {
    program.get("/api/wallet/P001").await
}

/// `RP LP TICKETS BONUS`
async fn balances(program: &TestApi) -> String {
    let wallet = wallet_of(program).await;
    ["rp_balance", "lp_balance", "tickets_balance", "bonus_balance"]
        .map(|name| wallet[name].to_string())
        .join(" ")
}

/// A digest of everything a redemption can change.
async fn state(program: &TestApi) -> String {
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
    program
        .text(&format!(
            "SELECT md5(string_agg(x, ',' ORDER BY x)) FROM ({}) AS rows",
            rows.join(" UNION ALL ")
        ))
        .await
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
    let rule = json!({ "rule_id": "CASH_5", "name": "Five in cash", "cost": 500, "target": "CASH", "amount": 5 });
    domain::patch::merged(&rule, &changes)
}

async fn credit(tx: &store::Tx<'_>, asset: Asset, amount: i64, expires_at: Option<Timestamp>) -> store::Result<()> {
    let context = lambda::context();
    let cause = Cause {
        actor: "test",
        reason: None,
        context,
    };
    let operation = cause.operation(Kind::ManualCredit, (context.new_id)().to_string());
    store::players::lock(tx, &player()).await?;
    let mut account = store::wallet::accounts::load(tx, &["P001"]).await?.remove(0);
    account
        .credit(asset, amount.into(), House::Issuance, expires_at, &operation, &cause)
        .unwrap();
    store::wallet::accounts::write(tx, &account.into_journal()).await
}
