//! Rewards and transactions, newest first.

use crate::db::Executor;
use crate::error::{Error, Result};
use crate::row::word;
use crate::select::Select;
use domain::bonus::GrantStatus;
use domain::id::{GrantId, PlayerId, RuleId, TransactionId};
use domain::money::{Asset, Money, Quantity};
use domain::page::Page;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;
use std::fmt;
use std::str::FromStr;
use tokio_postgres::Row;
use uuid::Uuid;

// `decision` is the evaluation's decision about this rule; an evaluation has at most one per rule.
const REWARDS: &str = "
SELECT g.grant_id, g.player_id, g.rule_id, g.rule_version, g.reward_type, g.amount, g.asset, g.status, g.status_reason,
  g.balance, g.cost, g.expected_revenue, g.wagering_required, g.wagering_completed, g.issued_at, g.expires_at,
  g.closed_at, d.decision
FROM grants g
LEFT JOIN LATERAL (
  SELECT element AS decision
  FROM reward_decisions r
  CROSS JOIN json_array_elements(r.decisions) AS element
  WHERE r.player_id = g.player_id
    AND r.evaluation_id = g.evaluation_id
    AND element ->> 'rule_id' = g.rule_id
  LIMIT 1
) d ON true";

const POSTINGS: &str = "
SELECT transaction_id, player_id, asset, version, kind, direction * amount AS amount, balance_after, house, reference,
  grant_id, actor, reason, created_at
FROM postings";

/// The fixed parts of this file's statements, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[REWARDS, POSTINGS];

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RewardFilter {
    pub player_id: Option<PlayerId>,
    pub status: Option<GrantStatus>,
    pub rule_id: Option<RuleId>,
}

/// A grant with the decision that caused it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Reward {
    #[serde(rename = "id")]
    pub grant_id: GrantId,
    pub player_id: String,
    /// `None`: granted by a person, without version and decision.
    pub rule_id: Option<String>,
    pub rule_version: Option<i32>,
    pub reward_type: String,
    pub amount: Quantity,
    #[serde(rename = "currency_type")]
    pub asset: Asset,
    pub status: String,
    pub status_reason: Option<String>,
    /// What a bonus still holds.
    pub balance: Quantity,
    /// The expected cost.
    pub cost: Money,
    pub expected_revenue: Option<Money>,
    pub wagering_required: Money,
    pub wagering_completed: Money,
    pub issued_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    pub decision: Option<Value>,
}

pub async fn rewards(executor: &impl Executor, filter: &RewardFilter, page: &Page<Uuid>) -> Result<Vec<Reward>> {
    let mut select = Select::new(REWARDS);
    if let Some(player_id) = &filter.player_id {
        select.equals("g.player_id", player_id.as_str().to_owned());
    }
    if let Some(status) = filter.status {
        select.equals("g.status", status.as_str());
    }
    if let Some(rule_id) = &filter.rule_id {
        select.equals("g.rule_id", rule_id.as_str().to_owned());
    }
    if let Some(after) = page.after {
        let after = select.bind(after);
        select.condition(format!("g.grant_id < {after}"));
    }
    select
        .page(executor, "g.grant_id DESC", page.skip, page.limit)
        .await?
        .iter()
        .map(reward)
        .collect()
}

fn reward(row: &Row) -> Result<Reward> {
    let asset: Asset = word(row, "asset")?;
    let money = |column| Ok::<_, Error>(Money::of(row.try_get(column)?));
    let revenue: Option<Decimal> = row.try_get("expected_revenue")?;
    Ok(Reward {
        grant_id: GrantId(row.try_get("grant_id")?),
        player_id: row.try_get("player_id")?,
        rule_id: row.try_get("rule_id")?,
        rule_version: row.try_get("rule_version")?,
        reward_type: row.try_get("reward_type")?,
        amount: asset.quantity(row.try_get("amount")?),
        asset,
        status: row.try_get("status")?,
        status_reason: row.try_get("status_reason")?,
        balance: asset.quantity(row.try_get("balance")?),
        cost: money("cost")?,
        expected_revenue: revenue.map(Money::of),
        wagering_required: money("wagering_required")?,
        wagering_completed: money("wagering_completed")?,
        issued_at: row.try_get("issued_at")?,
        expires_at: row.try_get("expires_at")?,
        closed_at: row.try_get("closed_at")?,
        decision: row.try_get("decision")?,
    })
}

/// The posting that a page of transactions starts behind. A transaction can have several postings of one wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PostingKey {
    pub transaction_id: Uuid,
    pub asset: Asset,
    pub version: i64,
}

/// `<transaction_id>.<asset>.<version>`
impl fmt::Display for PostingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.transaction_id, self.asset, self.version)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a transaction, an asset and a version")]
pub struct PostingKeyError;

impl FromStr for PostingKey {
    type Err = PostingKeyError;

    fn from_str(text: &str) -> Result<Self, PostingKeyError> {
        let mut parts = text.splitn(3, '.');
        let mut part = || parts.next().ok_or(PostingKeyError);
        Ok(Self {
            transaction_id: part()?.parse().map_err(|_| PostingKeyError)?,
            asset: Asset::parse(part()?).ok_or(PostingKeyError)?,
            version: part()?.parse().map_err(|_| PostingKeyError)?,
        })
    }
}

/// A posting as seen from the wallet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PostedLine {
    pub transaction_id: TransactionId,
    pub player_id: String,
    pub asset: Asset,
    /// The wallet's version: 1, 2, 3 and so on without gaps.
    pub version: i64,
    pub kind: String,
    /// Positive for a credit, negative for a debit.
    pub amount: Quantity,
    pub balance_after: Quantity,
    pub house: String,
    pub reference: String,
    pub grant_id: Option<GrantId>,
    pub actor: String,
    pub reason: Option<String>,
    pub created_at: Timestamp,
}

impl PostedLine {
    /// One transaction can have several postings of one wallet.
    pub fn cursor(&self) -> String {
        PostingKey {
            transaction_id: self.transaction_id.0,
            asset: self.asset,
            version: self.version,
        }
        .to_string()
    }
}

/// A transaction belongs to one player, so asset and version identify a posting in it.
pub async fn transactions(
    executor: &impl Executor,
    player_id: Option<&PlayerId>,
    page: &Page<PostingKey>,
) -> Result<Vec<PostedLine>> {
    let mut select = Select::new(POSTINGS);
    if let Some(player_id) = player_id {
        select.equals("player_id", player_id.as_str().to_owned());
    }
    if let Some(after) = page.after {
        let transaction_id = select.bind(after.transaction_id);
        let asset = select.bind(after.asset.as_str());
        let version = select.bind(after.version);
        select.condition(format!(
            "(transaction_id, asset, version) < ({transaction_id}, {asset}, {version})"
        ));
    }
    let rows = select
        .page(
            executor,
            "transaction_id DESC, asset DESC, version DESC",
            page.skip,
            page.limit,
        )
        .await?;
    rows.iter().map(posted).collect()
}

fn posted(row: &Row) -> Result<PostedLine> {
    let grant_id: Option<Uuid> = row.try_get("grant_id")?;
    let asset: Asset = word(row, "asset")?;
    Ok(PostedLine {
        transaction_id: TransactionId(row.try_get("transaction_id")?),
        player_id: row.try_get("player_id")?,
        asset,
        version: row.try_get("version")?,
        kind: row.try_get("kind")?,
        amount: asset.quantity(row.try_get("amount")?),
        balance_after: asset.quantity(row.try_get("balance_after")?),
        house: row.try_get("house")?,
        reference: row.try_get("reference")?,
        grant_id: grant_id.map(GrantId),
        actor: row.try_get("actor")?,
        reason: row.try_get("reason")?,
        created_at: row.try_get("created_at")?,
    })
}
