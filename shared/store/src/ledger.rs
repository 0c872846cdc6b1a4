//! Wallets, postings and point lots. The caller holds the players' locks.

use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::statement;
use domain::id::PlayerId;
use domain::ledger::{NewLot, Posting, Wallet};
use domain::money::Asset;
use jiff::Timestamp;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashMap};

const WALLETS: &str = "
SELECT player_id, asset, balance, version
FROM wallets
WHERE player_id = ANY($1)";

const APPEND: &str = "
INSERT INTO postings (player_id, asset, version, transaction_id, kind, house, direction, amount, balance_after,
  reference, grant_id, actor, reason, created_at)
SELECT *
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::uuid[], $5::text[], $6::text[], $7::smallint[], $8::numeric[],
  $9::numeric[], $10::text[], $11::uuid[], $12::text[], $13::text[], $14::timestamptz[])";

// The stored version must be the one that was read: another means that someone wrote without the lock, the row stays
// as it is, and the count of saved rows tells.
const SAVE_WALLETS: &str = "
WITH posted AS (
  SELECT *
  FROM unnest($1::text[], $2::text[], $3::numeric[], $4::bigint[], $5::bigint[]) AS n (player_id, asset, balance, version, version_read)
), updated AS (
  UPDATE wallets w
  SET balance = posted.balance,
    version = posted.version
  FROM posted
  WHERE w.player_id = posted.player_id
    AND w.asset = posted.asset
    AND w.version = posted.version_read
  RETURNING 1
), opened AS (
  INSERT INTO wallets (player_id, asset, balance, version)
  SELECT player_id, asset, balance, version
  FROM posted
  WHERE version_read = 0
  RETURNING 1
)
SELECT (SELECT count(*) FROM updated) + (SELECT count(*) FROM opened) AS saved";

const ADD_LOTS: &str = "
INSERT INTO point_lots (player_id, asset, version, earned, remaining, earned_at, expires_at)
SELECT player_id, asset, version, earned, earned, earned_at, expires_at
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::numeric[], $5::timestamptz[], $6::timestamptz[])
  AS n (player_id, asset, version, earned, earned_at, expires_at)";

const OPEN_LOTS: &str = "
SELECT asset, version, earned, remaining, earned_at, expires_at
FROM point_lots
WHERE player_id = $1
  AND remaining > 0
ORDER BY asset, expires_at NULLS LAST, earned_at, version";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[WALLETS, APPEND, SAVE_WALLETS, ADD_LOTS, OPEN_LOTS];

/// The wallets of some players; a wallet that was never posted to is missing.
#[derive(Debug, Default)]
pub struct Wallets(HashMap<(String, Asset), Wallet>);

impl Wallets {
    /// The wallet, to post to.
    pub fn of(&mut self, player_id: &PlayerId, asset: Asset) -> &mut Wallet {
        self.0.entry((player_id.as_str().to_owned(), asset)).or_insert_with(|| Wallet::empty(player_id.clone(), asset))
    }

    pub fn balance(&self, player_id: &PlayerId, asset: Asset) -> Decimal {
        self.0.get(&(player_id.as_str().to_owned(), asset)).map(|wallet| wallet.balance).unwrap_or_default()
    }
}

pub async fn wallets(executor: &impl Executor, player_ids: &[&str]) -> Result<Wallets> {
    let rows = statement::rows(executor, WALLETS, &[&player_ids]).await?;
    let mut wallets = HashMap::with_capacity(rows.len());
    for row in rows {
        let text: String = row.try_get("player_id")?;
        let asset = asset(row.try_get("asset")?)?;
        let player_id = PlayerId::parse(text.clone()).map_err(|error| Error::Row(format!("player id {text:?}: {error}")))?;
        let wallet = Wallet { player_id, asset, balance: row.try_get("balance")?, version: row.try_get("version")? };
        wallets.insert((text, asset), wallet);
    }
    Ok(Wallets(wallets))
}

/// Writes the postings and the balances after them: two statements, whatever the number.
///
/// # Errors
/// When a wallet was written by someone who did not hold the lock (its version did not follow the stored one).
pub async fn append(tx: &Tx<'_>, postings: &[Posting]) -> Result<()> {
    if postings.is_empty() {
        return Ok(());
    }
    let column = |of: fn(&Posting) -> &str| postings.iter().map(of).collect::<Vec<_>>();
    statement::execute(
        tx,
        APPEND,
        &[
            &column(|p| p.player_id.as_str()),
            &column(|p| p.asset.as_str()),
            &postings.iter().map(|p| p.version).collect::<Vec<_>>(),
            &postings.iter().map(|p| p.operation.transaction_id.0).collect::<Vec<_>>(),
            &column(|p| p.operation.kind),
            &column(|p| p.house.as_str()),
            &postings.iter().map(|p| p.direction.sign()).collect::<Vec<_>>(),
            &postings.iter().map(|p| p.amount).collect::<Vec<_>>(),
            &postings.iter().map(|p| p.balance_after).collect::<Vec<_>>(),
            &column(|p| &p.operation.reference),
            &postings.iter().map(|p| p.grant_id.map(|id| id.0)).collect::<Vec<_>>(),
            &column(|p| &p.operation.actor),
            &postings.iter().map(|p| p.operation.reason.as_deref()).collect::<Vec<_>>(),
            &postings.iter().map(|p| p.operation.at).collect::<Vec<_>>(),
        ],
    )
    .await?;
    save_wallets(tx, postings).await
}

/// Saves the balance after each wallet's last posting.
async fn save_wallets(tx: &Tx<'_>, postings: &[Posting]) -> Result<()> {
    let mut runs: BTreeMap<(&str, Asset), (&Posting, &Posting)> = BTreeMap::new();
    for posting in postings {
        runs.entry((posting.player_id.as_str(), posting.asset)).and_modify(|(_, last)| *last = posting).or_insert((posting, posting));
    }
    let ids: Vec<&str> = runs.keys().map(|(player_id, _)| *player_id).collect();
    let assets: Vec<&str> = runs.keys().map(|(_, asset)| asset.as_str()).collect();
    let balances: Vec<Decimal> = runs.values().map(|(_, last)| last.balance_after).collect();
    let versions: Vec<i64> = runs.values().map(|(_, last)| last.version).collect();
    let versions_read: Vec<i64> = runs.values().map(|(first, _)| first.version - 1).collect();
    let saved: i64 = statement::row(tx, SAVE_WALLETS, &[&ids, &assets, &balances, &versions, &versions_read]).await?.try_get("saved")?;
    if usize::try_from(saved) != Ok(runs.len()) {
        return Err(Error::Row(format!(
            "{saved} of {} wallets were saved: the others were written without their player's lock",
            runs.len()
        )));
    }
    Ok(())
}

pub async fn add_lots(tx: &Tx<'_>, lots: &[NewLot]) -> Result<()> {
    if lots.is_empty() {
        return Ok(());
    }
    statement::execute(
        tx,
        ADD_LOTS,
        &[
            &lots.iter().map(|lot| lot.player_id.as_str()).collect::<Vec<_>>(),
            &lots.iter().map(|lot| lot.asset.as_str()).collect::<Vec<_>>(),
            &lots.iter().map(|lot| lot.version).collect::<Vec<_>>(),
            &lots.iter().map(|lot| lot.earned).collect::<Vec<_>>(),
            &lots.iter().map(|lot| lot.earned_at).collect::<Vec<_>>(),
            &lots.iter().map(|lot| lot.expires_at).collect::<Vec<_>>(),
        ],
    )
    .await?;
    Ok(())
}

/// What is left of points earned together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenLot {
    pub asset: Asset,
    pub version: i64,
    pub earned: Decimal,
    pub remaining: Decimal,
    pub earned_at: Timestamp,
    pub expires_at: Option<Timestamp>,
}

/// In the order in which spending takes them.
pub async fn open_lots(executor: &impl Executor, player_id: &PlayerId) -> Result<Vec<OpenLot>> {
    let rows = statement::rows(executor, OPEN_LOTS, &[&player_id.as_str()]).await?;
    rows.iter()
        .map(|row| {
            Ok(OpenLot {
                asset: asset(row.try_get("asset")?)?,
                version: row.try_get("version")?,
                earned: row.try_get("earned")?,
                remaining: row.try_get("remaining")?,
                earned_at: row.try_get("earned_at")?,
                expires_at: row.try_get("expires_at")?,
            })
        })
        .collect()
}

pub(crate) fn asset(text: &str) -> Result<Asset> {
    Asset::parse(text).ok_or_else(|| Error::Row(format!("asset {text:?}")))
}
