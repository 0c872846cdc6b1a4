//! The ladder of tiers.

use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::statement;
use domain::tier::Tier;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::Value;

const LADDER: &str = "
SELECT tier_level, lp_min, benefits, requirements
FROM tiers
ORDER BY lp_min";

// Modes of the same table: EXCLUSIVE waits for ROW SHARE and the other way round; plain readers wait for neither.
const PIN: &str = "LOCK TABLE tiers IN ROW SHARE MODE";
const LOCK: &str = "LOCK TABLE tiers IN EXCLUSIVE MODE";

const INSERT: &str = "
INSERT INTO tiers (tier_level, lp_min, benefits, requirements, updated_at)
VALUES ($1, $2, $3, $4, $5)";

const UPDATE: &str = "
UPDATE tiers
SET lp_min = $2,
  benefits = $3,
  requirements = $4,
  updated_at = $5
WHERE tier_level = $1";

const DELETE: &str = "
DELETE FROM tiers
WHERE tier_level = $1";

const HAS_PLAYERS: &str = "
SELECT EXISTS (
  SELECT 1
  FROM players
  WHERE tier = $1
) AS found";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[LADDER, PIN, LOCK, INSERT, UPDATE, DELETE, HAS_PLAYERS];

/// All tiers, the lowest first.
pub async fn ladder(executor: &impl Executor) -> Result<Vec<Tier>> {
    let rows = statement::rows(executor, LADDER, &[]).await?;
    rows.iter()
        .map(|row| {
            let tier_level: String = row.try_get("tier_level")?;
            let Value::Object(benefits) = row.try_get("benefits")? else {
                return Err(Error::Row(format!("benefits of tier {tier_level:?}")));
            };
            let lp_min: Decimal = row.try_get("lp_min")?;
            Ok(Tier { tier_level, lp_min: lp_min.normalize(), benefits, requirements: row.try_get("requirements")? })
        })
        .collect()
}

/// Keeps the ladder as it is until the transaction ends, for those who write what must fit it: a player's tier, a
/// rule that reads a benefit. They do not wait for each other. Read the ladder after this, not before.
pub async fn pin(tx: &Tx<'_>) -> Result<()> {
    statement::execute(tx, PIN, &[]).await?;
    Ok(())
}

/// For the one who changes the ladder: waits for all who pinned it, and keeps new ones out. Read the ladder, the
/// players and the rules after this, not before.
pub async fn lock(tx: &Tx<'_>) -> Result<()> {
    statement::execute(tx, LOCK, &[]).await?;
    Ok(())
}

/// The caller holds the ladder's lock, here and below.
pub async fn insert(tx: &Tx<'_>, tier: &Tier, now: Timestamp) -> Result<()> {
    write(tx, INSERT, tier, now).await
}

pub async fn update(tx: &Tx<'_>, tier: &Tier, now: Timestamp) -> Result<()> {
    write(tx, UPDATE, tier, now).await
}

async fn write(tx: &Tx<'_>, sql: &str, tier: &Tier, now: Timestamp) -> Result<()> {
    let benefits = Value::Object(tier.benefits.clone());
    statement::execute(tx, sql, &[&tier.tier_level, &tier.lp_min, &benefits, &tier.requirements, &now]).await?;
    Ok(())
}

pub async fn delete(tx: &Tx<'_>, tier_level: &str) -> Result<()> {
    statement::execute(tx, DELETE, &[&tier_level]).await?;
    Ok(())
}

/// Whether any player is in the tier.
pub async fn has_players(executor: &impl Executor, tier_level: &str) -> Result<bool> {
    Ok(statement::row(executor, HAS_PLAYERS, &[&tier_level]).await?.try_get("found")?)
}
