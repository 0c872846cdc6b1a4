//! Imports as the API shows them.

use app::imports::{Import, RunStatus};
use app::runs::run_view::RunView;
use domain::id::{ImportId, RunId};
use domain::import::Format;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// Every row of the file is counted once: total = created + updated + unchanged + rejected.
#[derive(Debug, Serialize)]
pub struct Summary {
    pub import_id: ImportId,
    /// The run over the players that the file changed, which starts after the last row. Null if the import failed
    /// before that.
    pub run_id: Option<RunId>,
    pub status: RunStatus,
    /// Set if the import failed.
    pub failure: Option<String>,
    pub warnings: Value,
    pub bucket: String,
    pub object_key: String,
    pub object_version: String,
    /// `null` until the file is opened.
    pub format: Option<Format>,
    pub size_bytes: Option<i64>,
    pub total_rows: i64,
    pub players_created: i64,
    pub players_updated: i64,
    pub players_unchanged: i64,
    pub rows_rejected: i64,
    pub created_at: Timestamp,
    pub finished_at: Option<Timestamp>,
}

impl From<Import> for Summary {
    fn from(import: Import) -> Self {
        Self {
            import_id: import.import_id,
            run_id: (import.status != RunStatus::Failed).then_some(import.run_id),
            status: import.status,
            failure: import.failure,
            warnings: import.warnings,
            bucket: import.bucket,
            object_key: import.object_key,
            object_version: import.object_version,
            format: import.format,
            size_bytes: import.size_bytes,
            total_rows: import.total_rows,
            players_created: import.created_rows,
            players_updated: import.updated_rows,
            players_unchanged: import.unchanged_rows,
            rows_rejected: import.rejected_rows,
            created_at: import.created_at,
            finished_at: import.finished_at,
        }
    }
}

#[derive(Debug, Serialize)]
pub struct Detail {
    #[serde(flatten)]
    pub import: Summary,
    /// `null` until all rows are read, and for a file that changed nothing.
    pub run: Option<RunView>,
}

impl Detail {
    /// Whether the import and its run have ended.
    pub fn is_over(&self) -> bool {
        let is_over = |status| status != RunStatus::Running;
        is_over(self.import.status) && self.run.as_ref().is_none_or(|run| is_over(run.status))
    }
}
