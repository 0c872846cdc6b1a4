//! What becomes of a dropped file: the import, the run it makes, and what the players got.

use std::{collections::BTreeMap, path::Path, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::{
    api::{Api, ApiError, count, field},
    aws::{Aws, AwsError},
};

/// How long the import worker has to take a file up.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(120);
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);
/// More players than this are summed up, not listed.
const LISTED_PLAYERS: u64 = 50;

#[derive(Debug, thiserror::Error)]
pub enum OutcomeError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("{0} has no file name")]
    NoName(String),
}

/// An import and its run, as the API shows them.
#[derive(Debug)]
pub struct Outcome {
    pub import: Value,
    pub run: Value,
}

/// Uploads the file under its own name and waits until its players are segmented and rewarded.
pub async fn drop_file(aws: &Aws, api: &Api, bucket: &str, file: &Path) -> Result<Outcome, OutcomeError> {
    let key = file.file_name().and_then(|name| name.to_str()).ok_or_else(|| OutcomeError::NoName(file.display().to_string()))?;
    let size = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let bar = bar(size, "upload  {bar:30} {bytes}/{total_bytes} {msg}");
    let uploading = bar.clone();
    let etag = aws.put_file(bucket, key, file, move |bytes| uploading.inc(bytes)).await?;
    bar.finish_and_clear();
    let import = follow_import(api, key, &etag).await?;
    let run = follow_run(api, &field(&import, "run_id")).await?;
    Ok(Outcome { import, run })
}

fn bar(length: u64, template: &str) -> ProgressBar {
    let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    ProgressBar::new(length).with_style(style)
}

async fn follow_import(api: &Api, key: &str, etag: &str) -> Result<Value, ApiError> {
    let until = Instant::now() + TAKEN_UP_WITHIN;
    let id = loop {
        let imports = api.get("/api/imports?limit=100").await?;
        let ours = |import: &&Value| import["object_key"] == key && field(import, "object_version").trim_matches('"') == etag;
        if let Some(import) = imports.as_array().into_iter().flatten().find(ours) {
            break field(import, "import_id");
        }
        if Instant::now() > until {
            return Err(ApiError::NotImported(TAKEN_UP_WITHIN.as_secs()));
        }
        sleep(BETWEEN_LOOKS).await;
    };
    let bar = bar(0, "import  {spinner} {msg}");
    loop {
        let import = api.get(&format!("/api/imports/{id}")).await?;
        bar.set_message(format!("{} rows", count(&import, "total_rows")));
        bar.tick();
        match import["status"].as_str() {
            Some("RUNNING") => sleep(BETWEEN_LOOKS).await,
            Some("FAILED") => return Err(ApiError::ImportFailed(field(&import, "failure"))),
            _ => {
                bar.finish_and_clear();
                return Ok(import);
            }
        }
    }
}

async fn follow_run(api: &Api, run_id: &str) -> Result<Value, ApiError> {
    let path = format!("/api/runs/{run_id}");
    let bar = bar(0, "rewards {bar:30} {pos}/{len} shards {msg}");
    loop {
        let (status, run) = api.call(Method::GET, &path, None).await?;
        // The run is made after the last row.
        if status == StatusCode::NOT_FOUND {
            sleep(BETWEEN_LOOKS).await;
            continue;
        }
        if !status.is_success() {
            return Err(ApiError::Refused { method: Method::GET, path, status, body: run.to_string() });
        }
        bar.set_length(count(&run, "shards_total"));
        bar.set_position(count(&run, "shards_done"));
        bar.set_message(format!("{} granted", count(&run, "granted")));
        if run["status"] != "RUNNING" {
            bar.finish_and_clear();
            return Ok(run);
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

impl Outcome {
    /// Prints the counts and, of a small file, every player.
    pub async fn print(&self, api: &Api) -> Result<(), ApiError> {
        let (import, run) = (&self.import, &self.run);
        println!(
            "  {}: {} rows, {} created, {} updated, {} unchanged, {} rejected ({})",
            field(import, "object_key"),
            field(import, "total_rows"),
            field(import, "created_rows"),
            field(import, "updated_rows"),
            field(import, "unchanged_rows"),
            field(import, "rejected_rows"),
            field(import, "status"),
        );
        println!(
            "  run {}: {} players, {} grants, {} of them reduced, {} refused by a gate, expected cost {} ({})",
            field(run, "run_id"),
            field(run, "players"),
            field(run, "granted"),
            field(run, "reduced"),
            field(run, "refused"),
            field(run, "cost"),
            field(run, "status"),
        );
        for warning in import["warnings"].as_array().into_iter().flatten() {
            println!("  warning: {warning}");
        }
        if count(import, "rejected_rows") > 0 {
            println!("  rejected rows: {}/api/imports/{}/errors", api.address, field(import, "import_id"));
        }
        if count(import, "total_rows") <= LISTED_PLAYERS { self.print_players(api).await } else { Ok(()) }
    }

    async fn print_players(&self, api: &Api) -> Result<(), ApiError> {
        let players = api.get(&format!("/api/players?limit={LISTED_PLAYERS}")).await?;
        let rewards = api.get("/api/analytics/rewards?limit=1000").await?;
        let mut granted: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for reward in rewards.as_array().into_iter().flatten() {
            let what = format!("{} {} {}", field(reward, "rule_id"), field(reward, "amount"), field(reward, "currency_type"));
            granted.entry(field(reward, "player_id")).or_default().push(what);
        }
        println!();
        for player in players.as_array().into_iter().flatten() {
            let id = field(player, "player_id");
            let rewards = granted.remove(&id).map_or_else(|| "-".to_owned(), |rewards| rewards.join(", "));
            println!("  {id:<10} {:<10} {rewards}", field(player, "segment"));
        }
        Ok(())
    }
}
