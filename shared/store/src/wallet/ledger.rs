//! Wallets, postings and point lots. The caller holds the players' locks.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::{Error, Result};
use crate::row::{self, player_id, word};
use crate::statement::{self, text};
use domain::account::{Book, Journal, ReversedPosting, Reversible};
use domain::id::{GrantId, PlayerId, TransactionId};
use domain::ledger::{Direction, House, Kind, Posting, Wallet};
use domain::lots::{Lot, LotMovement, NewLot};
use domain::money::Asset;
use jiff::Timestamp;
use jiff::civil::Date;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashMap};
use tokio_postgres::Row;
use uuid::Uuid;

const WALLETS: &str = "
SELECT player_id, asset, balance, debt, version
FROM wallets
WHERE player_id = ANY($1)";

columns! {
    struct PostingRow<'a> => Postings () {
        player_id: text = &'a PlayerId,
        asset: text = Asset,
        version: bigint = i64,
        transaction_id: uuid = TransactionId,
        kind: text = Kind,
        house: text = House,
        direction: smallint = Direction,
        amount: numeric = Decimal,
        balance_after: numeric = Decimal,
        reference: text = &'a str,
        grant_id: uuid = Option<GrantId>,
        actor: text = &'a str,
        reason: text = Option<&'a str>,
        created_at: timestamptz = Timestamp,
    }
}

const APPEND: &str = text!("INSERT INTO postings (", Postings::NAMES, ")\n", Postings::SELECT);

columns! {
    struct WalletRow<'a> => Wallets () {
        player_id: text = &'a PlayerId,
        asset: text = Asset,
        balance: numeric = Decimal,
        owed: numeric = Decimal,
        version: bigint = i64,
        version_read: bigint = i64,
    }
}

// The stored version must be the one that was read. If another transaction wrote without the lock, the row is left
// unchanged and the count of saved rows shows it.
const SAVE_WALLETS: &str = text!(
    "
WITH posted AS (
",
    Wallets::SELECT,
    "
), updated AS (
  UPDATE wallets w
  SET balance = posted.balance,
    debt = w.debt + posted.owed,
    version = posted.version
  FROM posted
  WHERE w.player_id = posted.player_id
    AND w.asset = posted.asset
    AND w.version = posted.version_read
  RETURNING 1
), opened AS (
  INSERT INTO wallets (player_id, asset, balance, debt, version)
  SELECT player_id, asset, balance, owed, version
  FROM posted
  WHERE version_read = 0
  RETURNING 1
)
SELECT (SELECT count(*) FROM updated) + (SELECT count(*) FROM opened) AS saved"
);

columns! {
    struct LotRow<'a> => Lots () {
        player_id: text = &'a PlayerId,
        asset: text = Asset,
        version: bigint = i64,
        earned: numeric = Decimal,
        earned_at: timestamptz = Timestamp,
        expires_at: timestamptz = Option<Timestamp>,
        play_day: date = Option<Date>,
    }
}

const ADD_LOTS: &str = text!(
    "INSERT INTO point_lots (",
    Lots::NAMES,
    ", remaining)\nSELECT ",
    Lots::NAMES,
    ", earned\nFROM ",
    Lots::UNNEST
);

columns! {
    struct MovementRow<'a> => Movements () {
        player_id: text = &'a PlayerId,
        asset: text = Asset,
        version: bigint = i64,
        lot_version: bigint = i64,
        amount: numeric = Decimal,
    }
}

// A lot is updated once even when several movements touch it.
const MOVE_LOTS: &str = text!(
    "
WITH moved AS (
  INSERT INTO lot_movements (",
    Movements::NAMES,
    ")
",
    Movements::SELECT,
    "
  RETURNING player_id, asset, lot_version, amount
)
UPDATE point_lots l
SET remaining = l.remaining + m.amount
FROM (
  SELECT player_id, asset, lot_version, sum(amount) AS amount
  FROM moved
  GROUP BY player_id, asset, lot_version
) AS m
WHERE l.player_id = m.player_id
  AND l.asset = m.asset
  AND l.version = m.lot_version"
);

const OPEN_LOTS: &str = "
SELECT player_id, asset, version, earned, remaining, earned_at, expires_at, play_day
FROM point_lots
WHERE player_id = ANY($1)
  AND remaining > 0
ORDER BY player_id, asset, expires_at NULLS LAST, earned_at, version";

const OWNER: &str = "
SELECT player_id
FROM postings
WHERE transaction_id = $1
LIMIT 1";

// The part of a credit's lot that has expired can no longer be taken back.
const TRANSACTION: &str = "
SELECT p.kind, p.asset, p.version, p.house, p.direction, p.amount, p.grant_id, coalesce(x.expired, 0) AS expired
FROM postings p
LEFT JOIN LATERAL (
  SELECT -sum(m.amount) AS expired
  FROM lot_movements m
  JOIN postings e ON e.player_id = m.player_id AND e.asset = m.asset AND e.version = m.version
  WHERE m.player_id = p.player_id
    AND m.asset = p.asset
    AND m.lot_version = p.version
    AND e.house = 'house:expiry'
) x ON true
WHERE p.transaction_id = $1
ORDER BY p.asset, p.version";

const TRANSACTION_LOTS: &str = "
SELECT m.player_id, m.version AS posting_version, m.amount, l.asset, l.version, l.earned, l.remaining, l.earned_at,
  l.expires_at, l.play_day
FROM postings p
JOIN lot_movements m ON m.player_id = p.player_id AND m.asset = p.asset AND m.version = p.version
JOIN point_lots l ON l.player_id = m.player_id AND l.asset = m.asset AND l.version = m.lot_version
WHERE p.transaction_id = $1
ORDER BY l.asset, m.version, l.version";

const REVERSED_BY: &str = "
SELECT reversed_by
FROM reversals
WHERE player_id = $1
  AND transaction_id = $2";

const ADD_REVERSAL: &str = "
INSERT INTO reversals (player_id, transaction_id, reversed_by, at)
VALUES ($1, $2, $3, $4)";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[
    WALLETS,
    APPEND,
    SAVE_WALLETS,
    ADD_LOTS,
    MOVE_LOTS,
    OPEN_LOTS,
    OWNER,
    TRANSACTION,
    TRANSACTION_LOTS,
    REVERSED_BY,
    ADD_REVERSAL,
];

/// The players' wallets. A player without wallets has an empty book.
pub async fn books(executor: &impl Executor, player_ids: &[&str]) -> Result<HashMap<String, Book>> {
    let mut wallets: HashMap<String, Vec<Wallet>> = HashMap::with_capacity(player_ids.len());
    for row in statement::rows(executor, WALLETS, &[&player_ids]).await? {
        let player_id = player_id(&row)?;
        let wallet = Wallet {
            player_id: player_id.clone(),
            asset: word(&row, "asset")?,
            balance: row.try_get("balance")?,
            debt: row.try_get("debt")?,
            version: row.try_get("version")?,
        };
        wallets.entry(player_id.into()).or_default().push(wallet);
    }
    let book = |id: &&str| {
        Ok((
            (*id).to_owned(),
            Book::new(row::parsed(id)?, wallets.remove(*id).unwrap_or_default()),
        ))
    };
    player_ids.iter().map(book).collect()
}

/// Writes the postings, wallets and lots of a journal with a fixed number of statements.
///
/// # Errors
/// Fails when a wallet was written by a transaction that did not hold the lock: its version is not the one that was
/// read.
pub async fn write(tx: &Tx<'_>, journal: &Journal) -> Result<()> {
    append(tx, &journal.postings).await?;
    add_lots(tx, &journal.new_lots).await?;
    move_lots(tx, &journal.lot_movements).await
}

/// Inserts the postings and saves the balances after them.
async fn append(tx: &Tx<'_>, postings: &[Posting]) -> Result<()> {
    if postings.is_empty() {
        return Ok(());
    }
    let rows: Postings<'_> = postings.iter().map(posting_row).collect();
    statement::execute(tx, APPEND, &rows.params([])).await?;
    save_wallets(tx, postings).await
}

fn posting_row(posting: &Posting) -> PostingRow<'_> {
    let operation = &posting.operation;
    PostingRow {
        player_id: &posting.player_id,
        asset: posting.asset,
        version: posting.version,
        transaction_id: operation.transaction_id,
        kind: operation.kind,
        house: posting.house,
        direction: posting.direction,
        amount: posting.amount,
        balance_after: posting.balance_after,
        reference: &operation.reference,
        grant_id: posting.grant_id,
        actor: &operation.actor,
        reason: operation.reason.as_deref(),
        created_at: operation.at,
    }
}

/// Saves the balance after each wallet's last posting, and what its postings add to the debt.
async fn save_wallets(tx: &Tx<'_>, postings: &[Posting]) -> Result<()> {
    let mut runs: BTreeMap<(&PlayerId, Asset), (&Posting, &Posting, Decimal)> = BTreeMap::new();
    for posting in postings {
        let owed = posting.operation.kind.owed(posting.amount);
        runs.entry((&posting.player_id, posting.asset))
            .and_modify(|(_, last, debt)| {
                *last = posting;
                *debt += owed;
            })
            .or_insert((posting, posting, owed));
    }
    let wallets = runs.len();
    let rows: Wallets<'_> = runs
        .into_iter()
        .map(|((player_id, asset), (first, last, owed))| WalletRow {
            player_id,
            asset,
            balance: last.balance_after,
            owed,
            version: last.version,
            version_read: first.version - 1,
        })
        .collect();
    let saved: i64 = statement::row(tx, SAVE_WALLETS, &rows.params([]))
        .await?
        .try_get("saved")?;
    if usize::try_from(saved) != Ok(wallets) {
        return Err(Error::LockNotHeld { saved, wallets });
    }
    Ok(())
}

async fn add_lots(tx: &Tx<'_>, lots: &[NewLot]) -> Result<()> {
    if lots.is_empty() {
        return Ok(());
    }
    let rows: Lots<'_> = lots
        .iter()
        .map(|NewLot { player_id, lot }| LotRow {
            player_id,
            asset: lot.asset,
            version: lot.version,
            earned: lot.earned,
            earned_at: lot.earned_at,
            expires_at: lot.expires_at,
            play_day: lot.play_day,
        })
        .collect();
    statement::execute(tx, ADD_LOTS, &rows.params([])).await?;
    Ok(())
}

async fn move_lots(tx: &Tx<'_>, movements: &[LotMovement]) -> Result<()> {
    if movements.is_empty() {
        return Ok(());
    }
    let rows: Movements<'_> = movements
        .iter()
        .map(|movement| MovementRow {
            player_id: &movement.player_id,
            asset: movement.asset,
            version: movement.version,
            lot_version: movement.lot_version,
            amount: movement.amount,
        })
        .collect();
    statement::execute(tx, MOVE_LOTS, &rows.params([])).await?;
    Ok(())
}

/// The lots that are not empty. The lots of one player are in the order in which they are spent.
pub async fn open_lots(executor: &impl Executor, player_ids: &[&str]) -> Result<Vec<NewLot>> {
    statement::list(executor, OPEN_LOTS, &[&player_ids], |row| {
        Ok(NewLot {
            player_id: player_id(row)?,
            lot: lot(row)?,
        })
    })
    .await
}

pub(crate) fn lot(row: &Row) -> Result<Lot> {
    Ok(Lot {
        asset: word(row, "asset")?,
        version: row.try_get("version")?,
        earned: row.try_get("earned")?,
        remaining: row.try_get("remaining")?,
        earned_at: row.try_get("earned_at")?,
        expires_at: row.try_get("expires_at")?,
        play_day: row.try_get("play_day")?,
    })
}

/// The player of a transaction.
pub async fn owner(executor: &impl Executor, transaction_id: TransactionId) -> Result<Option<PlayerId>> {
    statement::optional(executor, OWNER, &[&transaction_id.0], player_id).await
}

/// A transaction and the lots it touched, including empty ones.
pub async fn transaction(tx: &Tx<'_>, transaction_id: TransactionId) -> Result<(Reversible, Vec<Lot>)> {
    let rows = statement::rows(tx, TRANSACTION, &[&transaction_id.0]).await?;
    let first = rows.first().ok_or(Error::NoPostings(transaction_id))?;
    let kind = word(first, "kind")?;
    let postings = rows.iter().map(reversed_posting).collect::<Result<_>>()?;
    let (mut lot_movements, mut lots) = (Vec::new(), Vec::new());
    for row in statement::rows(tx, TRANSACTION_LOTS, &[&transaction_id.0]).await? {
        let lot = lot(&row)?;
        lot_movements.push(LotMovement {
            player_id: player_id(&row)?,
            asset: lot.asset,
            version: row.try_get("posting_version")?,
            lot_version: lot.version,
            amount: row.try_get("amount")?,
        });
        lots.push(lot);
    }
    Ok((
        Reversible {
            transaction_id,
            kind,
            postings,
            lot_movements,
        },
        lots,
    ))
}

fn reversed_posting(row: &Row) -> Result<ReversedPosting> {
    let grant_id: Option<Uuid> = row.try_get("grant_id")?;
    Ok(ReversedPosting {
        asset: word(row, "asset")?,
        version: row.try_get("version")?,
        house: word(row, "house")?,
        direction: direction(row)?,
        amount: row.try_get("amount")?,
        grant_id: grant_id.map(GrantId),
        expired: row.try_get("expired")?,
    })
}

fn direction(row: &Row) -> Result<Direction> {
    let sign: i16 = row.try_get("direction")?;
    [Direction::Credit, Direction::Debit]
        .into_iter()
        .find(|direction| direction.sign() == sign)
        .ok_or_else(|| Error::UnknownWord {
            what: "direction",
            text: sign.to_string(),
        })
}

/// The transaction that reversed this one.
pub async fn reversed_by(
    tx: &Tx<'_>,
    player_id: &PlayerId,
    transaction_id: TransactionId,
) -> Result<Option<TransactionId>> {
    let row = statement::optional_row(tx, REVERSED_BY, &[&player_id.as_str(), &transaction_id.0]).await?;
    Ok(row
        .map(|row| row.try_get("reversed_by"))
        .transpose()?
        .map(TransactionId))
}

/// Records a reversal. The key refuses a second one.
pub async fn add_reversal(
    tx: &Tx<'_>,
    player_id: &PlayerId,
    transaction_id: TransactionId,
    reversed_by: TransactionId,
    now: Timestamp,
) -> Result<()> {
    statement::execute(
        tx,
        ADD_REVERSAL,
        &[&player_id.as_str(), &transaction_id.0, &reversed_by.0, &now],
    )
    .await?;
    Ok(())
}
