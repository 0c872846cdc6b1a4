//! The other side: pgbench.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

use crate::Result;
use crate::database::Address;
use crate::processor;
use crate::script::Script;

pub struct Floor {
    program: PathBuf,
    address: Address,
    directory: tempfile::TempDir,
    constants: Vec<(String, String)>,
}

/// What pgbench did.
#[derive(Clone, Copy, Debug, Default)]
pub struct Done {
    pub transactions: usize,
    /// Without the time to connect.
    pub seconds: f64,
    /// Of pgbench itself.
    pub processor: Duration,
}

impl Done {
    pub fn rate(&self) -> f64 {
        f64::from(u32::try_from(self.transactions).unwrap_or(u32::MAX)) / self.seconds
    }

    pub fn add(&mut self, other: Self) {
        self.transactions += other.transactions;
        self.seconds += other.seconds;
        self.processor += other.processor;
    }
}

impl Floor {
    pub fn new(program: &Path, address: &Address, script: Script) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        std::fs::write(directory.path().join("script.sql"), script.text)?;
        Ok(Self {
            program: program.to_owned(),
            address: address.clone(),
            directory,
            constants: script.constants,
        })
    }

    /// Runs for `time` with as many connections as we have callers.
    pub async fn run(&self, players: Range<u64>, callers: usize, time: Duration) -> Result<Done> {
        let mut command = Command::new(&self.program);
        command.args([
            "--no-vacuum",
            "--protocol=prepared",
            "--jobs=2",
            &format!("--client={callers}"),
            &format!("--time={}", time.as_secs()),
        ]);
        command.arg("--file").arg(self.directory.path().join("script.sql"));
        command.args([
            format!("-Dfirst={}", players.start),
            format!("-Dlast={}", players.end - 1),
        ]);
        command.args(self.constants.iter().map(|(name, value)| format!("-D{name}={value}")));
        let Address {
            host,
            port,
            user,
            password,
            database,
        } = &self.address;
        command.args([
            "--host",
            host,
            "--port",
            &port.to_string(),
            "--username",
            user,
            database,
        ]);
        command.env("PGPASSWORD", password).env("PGSSLMODE", "disable");
        let used = processor::used().children;
        let output = command
            .output()
            .await
            .map_err(|problem| format!("{}: {problem}", self.program.display()))?;
        let said = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            return Err(format!("pgbench failed: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        let transactions: usize = after(&said, "number of transactions actually processed: ")?.parse()?;
        let rate: f64 = after(&said, "tps = ")?.parse()?;
        let seconds = f64::from(u32::try_from(transactions)?) / rate;
        Ok(Done {
            transactions,
            seconds,
            processor: processor::used().children - used,
        })
    }
}

/// The word after `label`.
fn after<'a>(said: &'a str, label: &str) -> Result<&'a str> {
    let rest = said.split(label).nth(1).and_then(|rest| rest.split_whitespace().next());
    rest.ok_or_else(|| format!("pgbench did not say {label:?}:\n{said}").into())
}
