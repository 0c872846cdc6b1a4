//! Do the books hold? The same audit for `cargo local audit` and for the nightly job.

use crate::{Db, Result};
pub use store::jobs::audit::Invariant;

/// Every invariant of the books over the whole database, on one snapshot, whether it holds or not. Reads only.
pub async fn run(db: &Db) -> Result<Vec<Invariant>> {
    Ok(store::jobs::audit::run(db).await?)
}
