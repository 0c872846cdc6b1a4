//! `cargo local tick`: runs a job now, as its schedule would.

use std::time::Duration;

use clap::ValueEnum;
use reqwest::Client;
use serde_json::{Value, json};

use crate::tell::say;
use crate::{
    api::{Api, ApiError, field},
    outcome,
};

/// A function runs for at most 15 minutes.
const LONGEST: Duration = Duration::from_secs(16 * 60);

#[derive(Debug, thiserror::Error)]
pub enum TickError {
    #[error("{0} cannot be reached: {1}")]
    Unreachable(&'static str, reqwest::Error),
    #[error("the invocation of {0} failed: {1}; see .local/log/{0}.log")]
    Failed(&'static str, String),
    #[error("{job} ended as {status}: {error}")]
    Ended { job: String, status: String, error: String },
    #[error(transparent)]
    Api(#[from] ApiError),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub enum Job {
    /// Find lost work and send it again
    Recover,
    /// Expire bonuses and points
    Expire,
    /// Move players to the tiers that their points qualify for
    TierReview,
    /// Recalculate segments and rewards of all players; follows the run to its end
    Recalculate,
    /// Look for fraud signals of all players
    RiskScan,
    /// Delete data that is no longer needed
    Retention,
    /// Check that the books hold
    Audit,
    /// Deliver webhooks
    Outbox,
}

impl Job {
    /// The function and its event.
    fn invocation(self) -> (&'static str, Value) {
        match self.to_possible_value() {
            Some(job) if self != Job::Outbox => ("scheduler", json!({ "job": job.get_name() })),
            _ => ("outbox-relay", json!({})),
        }
    }
}

/// Invokes the function and prints the result.
pub async fn run(api: &Api, job: Job) -> Result<(), TickError> {
    let (function, event) = job.invocation();
    let address = format!("{}/2015-03-31/functions/{function}/invocations", api.address);
    let unreachable = |problem| TickError::Unreachable(function, problem);
    let response = Client::new()
        .post(address)
        .timeout(LONGEST)
        .body(event.to_string())
        .send()
        .await
        .map_err(unreachable)?;
    let status = response.status();
    let text = response.text().await.map_err(unreachable)?;
    let answer: Value = serde_json::from_str(&text).unwrap_or_default();
    // A failed function is recognised by its response.
    if !status.is_success() || answer.get("errorMessage").is_some() {
        return Err(TickError::Failed(function, text));
    }
    match answer["schedule_runs"].as_array() {
        Some(runs) => {
            for run in runs {
                show(api, run).await?;
            }
        }
        None => say!("  {answer}"),
    }
    Ok(())
}

async fn show(api: &Api, run: &Value) -> Result<(), TickError> {
    let (job, status) = (field(run, "job"), field(run, "status"));
    let counts: Vec<String> = run["counts"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(name, count)| format!("{} {count}", name.replace('_', " ")))
        .collect();
    say!(
        "  {job} for {}: {status}; {}",
        field(run, "scheduled_for"),
        counts.join(", ")
    );
    for finding in run["findings"].as_array().into_iter().flatten() {
        say!(
            "  BROKEN {} rows: {}, first: {}",
            field(finding, "rows"),
            field(finding, "invariant"),
            finding["first"]
        );
    }
    if let Some(run_id) = run["run_id"].as_str() {
        outcome::follow_run(api, run_id).await?;
    }
    match status.as_str() {
        "COMPLETED" => Ok(()),
        "RUNNING" => {
            say!("  unfinished: continues with the next ticks ({})", field(run, "error"));
            Ok(())
        }
        _ => Err(TickError::Ended {
            job,
            status,
            error: field(run, "error"),
        }),
    }
}
