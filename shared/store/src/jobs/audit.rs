//! Checks the invariants of `audit.sql` over the whole database, for tests and the nightly job.

use crate::db::{self, Db, Tx};
use crate::error::Result;
use crate::statement;

const SCRIPT: &str = include_str!("audit.sql");
const MARK: &str = "-- name: ";
/// Broken rows that are named per invariant. All are counted.
const EXAMPLES_MAX: usize = 20;

/// The result of the audit for one invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invariant {
    pub name: &'static str,
    /// The number of rows that break it; 0 when it holds.
    pub broken: i64,
    /// Keys of the first rows that break it, with the figures that disagree.
    pub examples: Vec<String>,
}

impl Invariant {
    pub fn holds(&self) -> bool {
        self.broken == 0
    }

    pub fn first(&self) -> Option<&str> {
        self.examples.first().map(String::as_str)
    }
}

/// The invariants in the order of the script: name and statement.
pub fn statements() -> impl Iterator<Item = (&'static str, &'static str)> {
    SCRIPT
        .split(MARK)
        .skip(1)
        .map(|part| part.split_once('\n').unwrap_or((part, "")))
}

/// Checks every invariant on one snapshot, so that concurrent writes are not reported as errors.
pub async fn run(db: &Db) -> Result<Vec<Invariant>> {
    let mut client = db.client().await?;
    let tx = db::snapshot(&mut client).await?;
    tx.batch_execute("SET LOCAL work_mem = '64MB'").await?;
    let invariants = check(&tx).await?;
    db::commit(tx).await?;
    Ok(invariants)
}

/// Checks every invariant as this transaction sees the tables.
pub async fn check(tx: &Tx<'_>) -> Result<Vec<Invariant>> {
    let mut invariants = Vec::new();
    for (name, statement) in statements() {
        let summary = format!(
            "WITH broken AS (\n{statement}\n)
             SELECT count(*) AS broken, (array_agg(key ORDER BY key COLLATE \"C\"))[1:{EXAMPLES_MAX}] AS examples
             FROM broken"
        );
        // Prepared and cached: on a small database, planning takes far longer than checking.
        let row = statement::row(tx, &summary, &[]).await?;
        let examples: Option<Vec<String>> = row.try_get("examples")?;
        invariants.push(Invariant {
            name,
            broken: row.try_get("broken")?,
            examples: examples.unwrap_or_default(),
        });
    }
    Ok(invariants)
}
