//! The audit of the books, for `cargo local audit` and the nightly job.

use crate::{Db, Result};
pub use store::jobs::audit::Invariant;

/// Checks every invariant over the whole database, on one snapshot, and returns all of them, held or broken. Read-only.
pub async fn run(db: &Db) -> Result<Vec<Invariant>> {
    Ok(store::jobs::audit::run(db).await?)
}
