//! Follows a dropped file: the import, the run it starts, and what the players received.

use std::{collections::BTreeMap, path::Path, time::Duration};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::tell::say;
use crate::{
    api::{Api, ApiError, count, field},
    aws::{Aws, AwsError},
};

/// How long the import worker may take to start on a file.
const TAKEN_UP_WITHIN: Duration = Duration::from_secs(120);
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);
/// The players of a program with more than this number are not listed.
const LISTED_PLAYERS: usize = 50;

#[derive(Debug, thiserror::Error)]
pub enum OutcomeError {
    #[error(transparent)]
    Aws(#[from] AwsError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error("{0} has no file name")]
    NoName(String),
}

/// An import with its run, as the API returns it.
#[derive(Debug)]
pub struct Outcome {
    import: Value,
}

/// Uploads the file under its own name and waits until its players are segmented and rewarded.
pub async fn drop_file(aws: &Aws, api: &Api, bucket: &str, file: &Path) -> Result<Outcome, OutcomeError> {
    let key = file
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| OutcomeError::NoName(file.display().to_string()))?;
    let size = std::fs::metadata(file).map_or(0, |metadata| metadata.len());
    let bar = bar(size, "  upload  {bar:30} {bytes}/{total_bytes}");
    let uploading = bar.clone();
    let etag = aws
        .put_file(bucket, key, file, move |bytes| uploading.inc(bytes))
        .await?;
    bar.finish_and_clear();
    let import_id = taken_up(api, key, &etag).await?;
    Ok(Outcome {
        import: follow(api, &import_id).await?,
    })
}

fn bar(length: u64, template: &str) -> ProgressBar {
    ProgressBar::new(length).with_style(style(template))
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The id of the import of exactly this object, once the worker has begun it.
async fn taken_up(api: &Api, key: &str, etag: &str) -> Result<String, ApiError> {
    let until = Instant::now() + TAKEN_UP_WITHIN;
    loop {
        let imports = api.get("/api/imports?limit=100").await?;
        let ours =
            |import: &&Value| import["object_key"] == key && field(import, "object_version").trim_matches('"') == etag;
        if let Some(import) = imports.as_array().into_iter().flatten().find(ours) {
            return Ok(field(import, "import_id"));
        }
        if Instant::now() > until {
            return Err(ApiError::NotImported(TAKEN_UP_WITHIN.as_secs()));
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

/// Waits until the rows are imported and the run over them has ended.
async fn follow(api: &Api, import_id: &str) -> Result<Value, ApiError> {
    let bar = bar(0, "  {msg}");
    loop {
        let import = api.get(&format!("/api/imports/{import_id}")).await?;
        let (run, rows) = (&import["run"], count(&import, "total_rows"));
        if import["status"] == "FAILED" {
            return Err(ApiError::ImportFailed(field(&import, "failure")));
        }
        if import["status"] == "RUNNING" {
            bar.set_message(format!("import   {rows} rows"));
        } else if run["status"] == "RUNNING" {
            bar.set_style(style("  rewards {bar:30} {pos}/{len} shards, {msg}"));
            bar.set_length(count(run, "shards_total"));
            bar.set_position(count(run, "shards_done"));
            bar.set_message(format!("{} of {rows} rows gave a reward", count(run, "rewards_issued")));
        } else {
            bar.finish_and_clear();
            return Ok(import);
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

/// Follows a run to its end and prints the result.
pub async fn follow_run(api: &Api, run_id: &str) -> Result<(), ApiError> {
    let bar = bar(0, "  run     {bar:30} {pos}/{len} shards, {msg}");
    loop {
        let run = api.get(&format!("/api/runs/{run_id}")).await?;
        if run["status"] != "RUNNING" {
            bar.finish_and_clear();
            print_run(&run);
            return Ok(());
        }
        bar.set_length(count(&run, "shards_total"));
        bar.set_position(count(&run, "shards_done"));
        bar.set_message(format!("{} rewards", count(&run, "rewards_issued")));
        sleep(BETWEEN_LOOKS).await;
    }
}

fn print_run(run: &Value) {
    say!(
        "  run {}: {} players, {} rewards, {} of them reduced, {} refused by a gate, expected cost {} ({})",
        field(run, "run_id"),
        field(run, "players"),
        field(run, "rewards_issued"),
        field(run, "rewards_reduced"),
        field(run, "rewards_refused"),
        field(run, "reward_cost"),
        field(run, "status"),
    );
}

impl Outcome {
    /// Prints the counts and, for a small program, every player.
    pub async fn print(&self, api: &Api) -> Result<(), ApiError> {
        let (import, run) = (&self.import, &self.import["run"]);
        say!(
            "  {}: {} rows, {} created, {} updated, {} unchanged, {} rejected ({})",
            field(import, "object_key"),
            field(import, "total_rows"),
            field(import, "players_created"),
            field(import, "players_updated"),
            field(import, "players_unchanged"),
            field(import, "rows_rejected"),
            field(import, "status"),
        );
        if run.is_null() {
            say!("  no player changed, so nobody is evaluated");
        } else {
            print_run(run);
        }
        for warning in import["warnings"].as_array().into_iter().flatten() {
            say!("  warning: {warning}");
        }
        if count(import, "rows_rejected") > 0 {
            say!(
                "  rejected rows: {}/api/imports/{}/errors",
                api.address,
                field(import, "import_id")
            );
        }
        let players = api.get(&format!("/api/players?limit={}", LISTED_PLAYERS + 1)).await?;
        match players.as_array() {
            Some(players) if players.len() <= LISTED_PLAYERS => print_players(api, players).await,
            _ => Ok(()),
        }
    }
}

async fn print_players(api: &Api, players: &[Value]) -> Result<(), ApiError> {
    let rewards = api.get("/api/analytics/rewards?limit=1000").await?;
    let mut granted: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for reward in rewards.as_array().into_iter().flatten() {
        let what = format!(
            "{} {} {}",
            field(reward, "rule_id"),
            field(reward, "amount"),
            field(reward, "currency_type")
        );
        granted.entry(field(reward, "player_id")).or_default().push(what);
    }
    say!("");
    for player in players {
        let id = field(player, "player_id");
        let rewards = granted
            .remove(&id)
            .map_or_else(|| "-".to_owned(), |rewards| rewards.join(", "));
        say!("  {id:<10} {:<10} {rewards}", field(player, "segment"));
    }
    Ok(())
}
