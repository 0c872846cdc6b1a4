//! One wallet posting through the handler. `wallet.sh` says how to start it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use bench::{Result, exit, wallet};
use clap::Parser;
use postgres_server::Installation;

/// One wallet posting through the handler against pgbench with the same statements.
#[derive(Debug, Parser)]
struct Arguments {
    /// PostgreSQL URL of a role that may create databases; a scratch database is made and dropped
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    owner: String,
    /// The same server as the functions see it; the owner's when it is not given
    #[arg(long, env = "RUNTIME_DATABASE_URL", hide_env_values = true)]
    runtime: Option<String>,
    /// How long each side runs in a round
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Both sides run once in each, and take turns in beginning: what else the machine does hits both alike
    #[arg(long, default_value_t = 10)]
    rounds: u32,
    /// The one beside the server's binaries when it is not given
    #[arg(long)]
    pgbench: Option<PathBuf>,
    /// Print the script that pgbench gets
    #[arg(long)]
    show_script: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    exit(run(Arguments::parse()).await)
}

async fn run(arguments: Arguments) -> Result<()> {
    let pgbench = match arguments.pgbench {
        Some(pgbench) => pgbench,
        None => Installation::find()?.directory.join("pgbench"),
    };
    wallet::run(wallet::Plan {
        owner: arguments.owner.clone(),
        runtime: arguments.runtime.unwrap_or(arguments.owner),
        of_a_round: Duration::from_secs(arguments.seconds.max(1)),
        rounds: arguments.rounds.max(1),
        pgbench,
        script: if arguments.show_script {
            wallet::Script::Printed
        } else {
            wallet::Script::Quiet
        },
    })
    .await
}
