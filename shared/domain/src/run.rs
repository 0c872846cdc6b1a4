//! Runs: fan-outs over players.

use crate::text_enum;

text_enum! {
    /// What started the run.
    pub enum RunKind as "kind of run" {
        Import = "IMPORT",
        Recalculation = "RECALCULATION",
        Batch = "BATCH",
        Evaluation = "EVALUATION",
        Revocation = "REVOCATION",
        Simulation = "SIMULATION",
    }
}

text_enum! {
    /// Which players a run covers.
    pub enum Scope as "scope of a run" {
        All = "ALL",
        /// The players on a list.
        Listed = "LISTED",
        /// The players who hold an open grant of the run's rule.
        Holders = "HOLDERS",
    }
}

text_enum! {
    /// Whether rewards are evaluated after the segments.
    pub enum Rewards as "way with rewards" {
        Evaluate = "EVALUATE",
        Skip = "SKIP",
    }
}

text_enum! {
    /// The progress of a run, an import or a scheduled run.
    pub enum RunStatus as "run status" {
        Running = "RUNNING",
        Completed = "COMPLETED",
        /// Some shards failed, some rows were rejected, or the job found something broken.
        CompletedWithErrors = "COMPLETED_WITH_ERRORS",
        /// Stopped; a text says why.
        Failed = "FAILED",
    }
}
