//! What people did, for those who look after them.

use crate::{Db, Result};
use store::Page;
pub use store::audit_log::Entry;
use uuid::Uuid;

/// Newest first; of one subject (`noun:id`), or of all.
pub async fn list(db: &Db, subject: Option<&str>, page: &Page<Uuid>) -> Result<Vec<Entry>> {
    Ok(store::audit_log::list(&db.client().await?, subject, page).await?)
}
