//! The budgets of rules: what their grants have reserved, over a rule's whole life and per day.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::statement::{self, text};
use domain::id::RuleId;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::HashMap;

const OPEN: &str = "
INSERT INTO rule_budgets (rule_id, day, reserved)
SELECT rule_id, day, 0
FROM unnest($1::text[]) AS r (rule_id)
CROSS JOIN (VALUES (NULL::date), ($2::date)) AS d (day)
ORDER BY rule_id, day
ON CONFLICT (rule_id, day) DO NOTHING";

const LOCK: &str = "
SELECT rule_id, day, reserved
FROM rule_budgets
WHERE rule_id = ANY($1)
  AND (day IS NULL OR day = $2)
ORDER BY rule_id, day
FOR UPDATE";

columns! {
    struct CostRow<'a> => Costs (today) {
        rule_id: text = &'a str,
        cost: numeric = Decimal,
    }
}

const RESERVE: &str = text!(
    "
UPDATE rule_budgets b
SET reserved = b.reserved + n.cost
FROM ",
    Costs::UNNEST,
    "
WHERE b.rule_id = n.rule_id
  AND (b.day IS NULL OR b.day = $1)"
);

const RESERVED: &str = "
SELECT coalesce(sum(reserved) FILTER (WHERE day IS NULL), 0) AS total,
  coalesce(sum(reserved) FILTER (WHERE day = $2), 0) AS today
FROM rule_budgets
WHERE rule_id = $1";

const RESERVED_OF_ALL: &str = "
SELECT rule_id, coalesce(sum(reserved) FILTER (WHERE day IS NULL), 0) AS total,
  coalesce(sum(reserved) FILTER (WHERE day = $1), 0) AS today
FROM rule_budgets
GROUP BY rule_id";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[OPEN, LOCK, RESERVE, RESERVED, RESERVED_OF_ALL];

/// What grants of a rule have reserved, in money.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reserved {
    pub rule_id: String,
    /// `None`: over the rule's whole life.
    pub day: Option<Date>,
    pub reserved: Decimal,
}

/// Locks the budgets of these rules, over their whole life and for `today`. Other transactions that grant one of these
/// rules wait until this one commits, so a budget is never exceeded.
pub async fn lock(tx: &Tx<'_>, rule_ids: &[&str], today: Date) -> Result<Vec<Reserved>> {
    if rule_ids.is_empty() {
        return Ok(Vec::new());
    }
    statement::execute(tx, OPEN, &[&rule_ids, &today]).await?;
    statement::list(tx, LOCK, &[&rule_ids, &today], |row| {
        Ok(Reserved {
            rule_id: row.try_get("rule_id")?,
            day: row.try_get("day")?,
            reserved: row.try_get("reserved")?,
        })
    })
    .await
}

/// Adds the cost of grants to the locked budgets of their rules. `costs` names each rule once.
pub async fn reserve(tx: &Tx<'_>, costs: &[(&str, Decimal)], today: Date) -> Result<()> {
    if costs.is_empty() {
        return Ok(());
    }
    let rows: Costs<'_> = costs.iter().map(|&(rule_id, cost)| CostRow { rule_id, cost }).collect();
    statement::execute(tx, RESERVE, &rows.params([&today])).await?;
    Ok(())
}

/// What the rule's grants have reserved, in money: over its whole life, and today. For display only: what may still be
/// spent is decided under [`lock`].
pub async fn reserved(executor: &impl Executor, rule_id: &RuleId, today: Date) -> Result<(Decimal, Decimal)> {
    let row = statement::row(executor, RESERVED, &[&rule_id.as_str(), &today]).await?;
    Ok((row.try_get("total")?, row.try_get("today")?))
}

/// [`reserved`] of every rule that has reserved anything.
pub async fn reserved_of_all(executor: &impl Executor, today: Date) -> Result<HashMap<String, (Decimal, Decimal)>> {
    statement::list(executor, RESERVED_OF_ALL, &[&today], |row| {
        Ok((row.try_get("rule_id")?, (row.try_get("total")?, row.try_get("today")?)))
    })
    .await
}
