//! The redemption catalogue, and the redemptions of players.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::row::{id, player_id, word};
use crate::select::Select;
use crate::statement::{self, text};
use domain::bonus::GrantTerms;
use domain::id::{GrantId, PlayerId, RedemptionId, RedemptionRuleId, TransactionId};
use domain::money::Asset;
use domain::page::Page;
use domain::redemption::{Redemption, RedemptionRule, Target};
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use tokio_postgres::Row;
use tokio_postgres::types::Json;
use uuid::Uuid;

const RULE: &str = "
SELECT rule_id, name, description, cost, cost_asset, target, amount, tier_min, balance_min, monthly_limit, is_active,
  terms, created_at, updated_at
FROM redemption_rules";

const GET: &str = "
SELECT rule_id, name, description, cost, cost_asset, target, amount, tier_min, balance_min, monthly_limit, is_active,
  terms, created_at, updated_at
FROM redemption_rules
WHERE rule_id = $1";

const LOCK: &str = "
SELECT 1
FROM redemption_rules
WHERE rule_id = $1
FOR NO KEY UPDATE";

columns! {
    struct RuleRow<'a> => Rules (now) {
        rule_id: text = &'a RedemptionRuleId,
        name: text = &'a str,
        description: text = Option<&'a str>,
        cost: numeric = Decimal,
        cost_asset: text = Asset,
        target: text = Target,
        amount: numeric = Decimal,
        tier_min: text = Option<&'a str>,
        balance_min: numeric = Option<Decimal>,
        monthly_limit: integer = Option<i32>,
        is_active: boolean = bool,
        terms: jsonb = Option<Json<&'a GrantTerms>>,
    }
}

const INSERT: &str = text!(
    "INSERT INTO redemption_rules (created_at, updated_at, ",
    Rules::NAMES,
    ")\nSELECT $1, $1, ",
    Rules::NAMES,
    "\nFROM ",
    Rules::UNNEST,
    "\nON CONFLICT (rule_id) DO NOTHING"
);

const UPDATE: &str = text!(
    "
UPDATE redemption_rules AS r
SET name = n.name,
  description = n.description,
  cost = n.cost,
  cost_asset = n.cost_asset,
  target = n.target,
  amount = n.amount,
  tier_min = n.tier_min,
  balance_min = n.balance_min,
  monthly_limit = n.monthly_limit,
  is_active = n.is_active,
  terms = n.terms,
  updated_at = $1
FROM ",
    Rules::UNNEST,
    "
WHERE r.rule_id = n.rule_id"
);

const NAMING_TIER: &str = "
SELECT rule_id
FROM redemption_rules
WHERE tier_min = $1
ORDER BY rule_id
LIMIT 1";

// Reversed redemptions do not count towards the monthly limit.
const REDEEMER: &str = "
SELECT p.tier,
  (
    SELECT count(*)
    FROM redemptions r
    WHERE r.player_id = p.player_id
      AND r.rule_id = $2
      AND r.month = $3
      AND r.reversed_at IS NULL
  ) AS used
FROM players p
WHERE p.player_id = $1";

columns! {
    struct RedemptionRow<'a> => Redemptions () {
        player_id: text = &'a PlayerId,
        redemption_id: uuid = RedemptionId,
        rule_id: text = &'a RedemptionRuleId,
        transaction_id: uuid = TransactionId,
        cost: numeric = Decimal,
        cost_asset: text = Asset,
        target: text = Target,
        amount: numeric = Decimal,
        grant_id: uuid = Option<GrantId>,
        month: date = Date,
        redeemed_at: timestamptz = Timestamp,
    }
}

const ADD: &str = text!(
    "INSERT INTO redemptions (",
    Redemptions::NAMES,
    ")\n",
    Redemptions::SELECT
);

const OF_TRANSACTION: &str = "
SELECT player_id, redemption_id, rule_id, transaction_id, cost, cost_asset, target, amount, grant_id, month,
  redeemed_at, reversed_at
FROM redemptions
WHERE player_id = $1
  AND transaction_id = $2";

const REVERSED: &str = "
UPDATE redemptions
SET reversed_at = $3
WHERE player_id = $1
  AND transaction_id = $2
  AND reversed_at IS NULL";

/// Every statement of this file with a fixed text, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    RULE,
    GET,
    LOCK,
    INSERT,
    UPDATE,
    NAMING_TIER,
    REDEEMER,
    ADD,
    OF_TRANSACTION,
    REVERSED,
];

/// An entry of the catalogue.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRedemptionRule {
    pub rule: RedemptionRule,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Ordered by id.
pub async fn list(
    executor: &impl Executor,
    is_active: Option<bool>,
    page: &Page<RedemptionRuleId>,
) -> Result<Vec<StoredRedemptionRule>> {
    let mut select = Select::new(RULE);
    if let Some(is_active) = is_active {
        select.equals("is_active", is_active);
    }
    if let Some(after) = &page.after {
        let after = select.bind(after.as_str().to_owned());
        select.condition(format!("rule_id > {after}"));
    }
    select
        .page(executor, "rule_id", page.skip, page.limit)
        .await?
        .iter()
        .map(stored_rule)
        .collect()
}

pub async fn get(executor: &impl Executor, rule_id: &RedemptionRuleId) -> Result<Option<StoredRedemptionRule>> {
    statement::optional(executor, GET, &[&rule_id.as_str()], stored_rule).await
}

/// Returns whether the entry exists. If so, it stays locked until the transaction ends.
pub async fn lock(tx: &Tx<'_>, rule_id: &RedemptionRuleId) -> Result<bool> {
    Ok(statement::optional_row(tx, LOCK, &[&rule_id.as_str()]).await?.is_some())
}

/// Returns false, and adds nothing, when the id is taken. The caller has pinned the ladder.
pub async fn insert(tx: &Tx<'_>, rule: &RedemptionRule, now: Timestamp) -> Result<bool> {
    Ok(write(tx, INSERT, rule, now).await? == 1)
}

/// The caller holds the entry's lock and has pinned the ladder.
pub async fn update(tx: &Tx<'_>, rule: &RedemptionRule, now: Timestamp) -> Result<()> {
    write(tx, UPDATE, rule, now).await?;
    Ok(())
}

async fn write(tx: &Tx<'_>, sql: &str, rule: &RedemptionRule, now: Timestamp) -> Result<u64> {
    let monthly_limit = rule
        .monthly_limit
        .map(i32::try_from)
        .transpose()
        .map_err(|source| Error::OutOfRange {
            column: "monthly_limit".into(),
            source,
        })?;
    let rule = RuleRow {
        rule_id: &rule.rule_id,
        name: &rule.name,
        description: rule.description.as_deref(),
        cost: rule.cost,
        cost_asset: rule.cost_asset,
        target: rule.target,
        amount: rule.amount,
        tier_min: rule.tier_min.as_deref(),
        balance_min: rule.balance_min,
        monthly_limit,
        is_active: rule.is_active,
        terms: rule.terms.as_ref().map(Json),
    };
    statement::execute(tx, sql, &Rules::from_iter([rule]).params([&now])).await
}

/// An entry whose minimum tier is this one, if there is any.
pub async fn naming_tier(executor: &impl Executor, tier_level: &str) -> Result<Option<String>> {
    let row = statement::optional_row(executor, NAMING_TIER, &[&tier_level]).await?;
    Ok(row.map(|row| row.try_get("rule_id")).transpose()?)
}

/// What an entry's conditions read about a player, except the balance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redeemer {
    pub tier: String,
    /// The player's redemptions of the entry in the month, without reversed ones.
    pub used: u32,
}

/// The player must exist. `month` is its first day. Exact under the player's lock.
pub async fn redeemer(
    executor: &impl Executor,
    player_id: &PlayerId,
    rule_id: &RedemptionRuleId,
    month: Date,
) -> Result<Redeemer> {
    let row = statement::row(executor, REDEEMER, &[&player_id.as_str(), &rule_id.as_str(), &month]).await?;
    let used: i64 = row.try_get("used")?;
    Ok(Redeemer {
        tier: row.try_get("tier")?,
        used: u32::try_from(used).unwrap_or(u32::MAX),
    })
}

/// Inserts a redemption. The caller holds the player's lock.
pub async fn add(tx: &Tx<'_>, redemption: &Redemption) -> Result<()> {
    let redemption = RedemptionRow {
        player_id: &redemption.player_id,
        redemption_id: redemption.redemption_id,
        rule_id: &redemption.rule_id,
        transaction_id: redemption.transaction_id,
        cost: redemption.cost,
        cost_asset: redemption.cost_asset,
        target: redemption.target,
        amount: redemption.amount,
        grant_id: redemption.grant_id,
        month: redemption.month,
        redeemed_at: redemption.redeemed_at,
    };
    statement::execute(tx, ADD, &Redemptions::from_iter([redemption]).params([])).await?;
    Ok(())
}

/// The redemption of a transaction; `None` if the transaction is not one.
pub async fn of_transaction(
    executor: &impl Executor,
    player_id: &PlayerId,
    transaction_id: TransactionId,
) -> Result<Option<Redemption>> {
    statement::optional(
        executor,
        OF_TRANSACTION,
        &[&player_id.as_str(), &transaction_id.0],
        redemption,
    )
    .await
}

/// Marks the redemption of a reversed transaction, which then no longer counts towards its monthly limit. Returns
/// false when the transaction has no redemption, or when it is already marked. The caller holds the player's lock.
pub async fn reversed(
    tx: &Tx<'_>,
    player_id: &PlayerId,
    transaction_id: TransactionId,
    now: Timestamp,
) -> Result<bool> {
    Ok(statement::execute(tx, REVERSED, &[&player_id.as_str(), &transaction_id.0, &now]).await? == 1)
}

fn stored_rule(row: &Row) -> Result<StoredRedemptionRule> {
    let decimal = |column: &str| -> Result<Decimal> { Ok(row.try_get::<_, Decimal>(column)?.normalize()) };
    let monthly_limit: Option<i32> = row.try_get("monthly_limit")?;
    let terms: Option<Json<GrantTerms>> = row.try_get("terms")?;
    let rule = RedemptionRule {
        rule_id: id(row, "rule_id")?,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        cost: decimal("cost")?,
        cost_asset: word(row, "cost_asset")?,
        target: word(row, "target")?,
        amount: decimal("amount")?,
        tier_min: row.try_get("tier_min")?,
        balance_min: row
            .try_get::<_, Option<Decimal>>("balance_min")?
            .map(|balance| balance.normalize()),
        monthly_limit: monthly_limit.and_then(|limit| u32::try_from(limit).ok()),
        is_active: row.try_get("is_active")?,
        terms: terms.map(|Json(terms)| terms),
    };
    Ok(StoredRedemptionRule {
        rule,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}

fn redemption(row: &Row) -> Result<Redemption> {
    let grant_id: Option<Uuid> = row.try_get("grant_id")?;
    Ok(Redemption {
        player_id: player_id(row)?,
        redemption_id: RedemptionId(row.try_get("redemption_id")?),
        rule_id: id(row, "rule_id")?,
        transaction_id: TransactionId(row.try_get("transaction_id")?),
        cost: row.try_get("cost")?,
        cost_asset: word(row, "cost_asset")?,
        target: word(row, "target")?,
        amount: row.try_get("amount")?,
        grant_id: grant_id.map(GrantId),
        month: row.try_get("month")?,
        redeemed_at: row.try_get("redeemed_at")?,
        reversed_at: row.try_get("reversed_at")?,
    })
}
