//! The commands.

use std::{
    fs,
    io::{self, Read, Seek, Write},
    os::unix::process::CommandExt,
    path::PathBuf,
    process::Stdio,
    time::Duration,
};

use clap::{Args, Parser, Subcommand};
use domain::access::Role;
use rustix::process::Signal;
use serde_json::Value;
use tokio::{
    signal::unix::{SignalKind, signal},
    time::sleep,
};

use crate::tell::say;
use crate::{
    api::{Api, ApiError, field},
    audit::{self, AuditError},
    aws::Aws,
    keys::{self, KeyError},
    layout::{Layout, LayoutError},
    outcome::{OutcomeError, drop_file},
    postgres,
    process::{Register, end_leftovers, signal_process, until_gone},
    stack::{Build, Content, Options, Profile, Stack, StackError},
    tick::{self, TickError},
};

/// The supervisor stops everything in order, PostgreSQL last, whose shutdown may include a checkpoint.
const DOWN_WITHIN: Duration = Duration::from_secs(120);

#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    #[error("the stack is not running; start it with: cargo local up")]
    NotRunning,
    #[error(
        "the stack is not running; start it with: cargo local up, or name a database with: \
         cargo local audit --database URL"
    )]
    NoDatabase,
    #[error("the stack did not start; its output is above")]
    DidNotStart,
    #[error("stopped before the stack was up")]
    Interrupted,
    #[error("process {0} did not end")]
    DoesNotEnd(i32),
    #[error("{what}: {problem}")]
    Io { what: String, problem: io::Error },
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Stack(#[from] StackError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Outcome(#[from] OutcomeError),
    #[error(transparent)]
    Api(#[from] ApiError),
    #[error(transparent)]
    Audit(#[from] AuditError),
    #[error(transparent)]
    Tick(#[from] TickError),
}

/// The whole platform on this machine.
#[derive(Debug, Parser)]
#[command(name = "cargo local", bin_name = "cargo local")]
pub struct Arguments {
    #[command(subcommand)]
    command: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Start everything, load the sample, and run until Ctrl-C
    Up(Up),
    /// Stop everything and keep the data
    Down,
    /// Show what is running
    Status,
    /// Stop everything and delete the data
    Reset,
    /// Upload a file of players and follow it to the rewards
    Drop { file: PathBuf },
    /// Run a scheduled job now
    Tick { job: tick::Job },
    /// Check that the books hold; fails when they do not
    Audit {
        /// PostgreSQL URL; without it, the database of the running stack
        #[arg(long, value_name = "URL")]
        database: Option<String>,
    },
    /// API keys
    Key {
        #[command(subcommand)]
        action: KeyAction,
    },
    /// A PostgreSQL shell, as the owner
    Psql {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

#[derive(Clone, Debug, Args)]
struct Up {
    /// Build with optimizations
    #[arg(long)]
    release: bool,
    /// Without the sample tiers, rules and players
    #[arg(long)]
    empty: bool,
    /// Return when the stack is up and leave it running
    #[arg(long)]
    detach: bool,
    /// Port of the API
    #[arg(long, default_value_t = 8000, value_parser = clap::value_parser!(u16).range(1..))]
    port: u16,
    /// Marks the process that `--detach` leaves behind
    #[arg(long, hide = true)]
    detached: bool,
    /// Take the functions as they are in the target directory: a test has built them, with its own features
    #[arg(long, hide = true)]
    built: bool,
}

#[derive(Debug, Subcommand)]
enum KeyAction {
    /// Create a key; it is shown only once
    Create {
        /// viewer, ingest, operator or admin
        #[arg(long, value_parser = role)]
        role: Role,
        #[arg(long)]
        name: String,
    },
}

fn role(word: &str) -> Result<Role, String> {
    Role::parse(word).ok_or_else(|| "viewer, ingest, operator or admin".to_owned())
}

pub async fn run(arguments: Arguments) -> Result<(), CommandError> {
    let layout = Layout::find()?;
    match arguments.command {
        Action::Up(up) if up.detach => start_detached(&layout, &up).await,
        Action::Up(up) => run_stack(&layout, &up).await,
        Action::Down => end_stack(&layout).await,
        Action::Status => show_status(&layout).await,
        Action::Reset => reset(&layout).await,
        Action::Drop { file } => drop_and_show(&layout, &file).await,
        Action::Tick { job } => {
            let api = Api::new(running(&layout, "API_URL")?, running(&layout, "API_KEY")?);
            Ok(tick::run(&api, job).await?)
        }
        Action::Audit { database } => {
            let url = database
                .or_else(|| layout.read_env().remove("DATABASE_URL"))
                .ok_or(CommandError::NoDatabase)?;
            Ok(audit::run(&url).await?)
        }
        Action::Key {
            action: KeyAction::Create { role, name },
        } => {
            say!(
                "{}",
                keys::create(&running(&layout, "DATABASE_URL")?, role, &name).await?
            );
            Ok(())
        }
        Action::Psql { arguments } => shell(&layout, &arguments),
    }
}

/// Runs the stack in this process until a signal arrives.
async fn run_stack(layout: &Layout, up: &Up) -> Result<(), CommandError> {
    if up.detached {
        // Detaches from the terminal's signals. Fails only if this process already leads a session.
        let _ = rustix::process::setsid();
    }
    let options = Options {
        profile: if up.release { Profile::Release } else { Profile::Debug },
        build: if up.built { Build::Done } else { Build::Now },
        content: if up.empty { Content::Empty } else { Content::Sample },
        port: up.port,
    };
    let mut stack = Stack::prepare(layout).await?;
    let started = tokio::select! {
        started = stack.start(options) => started.map_err(CommandError::from),
        () = told_to_stop() => Err(CommandError::Interrupted),
    };
    if started.is_ok() {
        say!(
            "\n  running; {} ends everything",
            if up.detached { "cargo local down" } else { "Ctrl-C" }
        );
        told_to_stop().await;
    }
    say!("  ending");
    tokio::select! {
        () = stack.end() => {}
        // A second signal: what still runs is killed when this process exits, or stopped by the next `down`.
        () = told_to_stop() => {}
    }
    started
}

/// SIGINT, SIGTERM or SIGHUP.
async fn told_to_stop() {
    let wait = async |kind| match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    };
    tokio::select! {
        () = wait(SignalKind::interrupt()) => {}
        () = wait(SignalKind::terminate()) => {}
        () = wait(SignalKind::hangup()) => {}
    }
}

/// Starts the stack in a separate process and shows its output until it is up.
async fn start_detached(layout: &Layout, up: &Up) -> Result<(), CommandError> {
    layout.create_state_dirs()?;
    if let Some(supervisor) = Register::read(&layout.process_file()).supervisor() {
        return Err(StackError::Running(supervisor.pid).into());
    }
    let fail = |what: &str| {
        let what = what.to_owned();
        move |problem| CommandError::Io { what, problem }
    };
    // The new stack writes this file when it is up.
    let _ = fs::remove_file(layout.env_file());
    let path = layout.log("stack");
    let log = fs::File::create(&path).map_err(fail("the log of the stack"))?;
    let mut shown = fs::File::open(&path).map_err(fail("the log of the stack"))?;
    let mut command = std::process::Command::new(std::env::current_exe().map_err(fail("this program"))?);
    command
        .args(["up", "--detached", "--port", &up.port.to_string()])
        .current_dir(&layout.root);
    command
        .args(up.release.then_some("--release"))
        .args(up.empty.then_some("--empty"));
    let output = log.try_clone().map_err(fail("the log of the stack"))?;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(log)
        .spawn()
        .map_err(fail("the stack"))?;
    let pid = i32::try_from(child.id()).unwrap_or_default();
    loop {
        let is_up = layout.env_file().exists();
        let ended = child.try_wait().map_err(fail("the stack"))?.is_some();
        show_more(&mut shown);
        if ended {
            return Err(CommandError::DidNotStart);
        }
        if is_up {
            // The last lines reach the log after the file.
            sleep(Duration::from_millis(300)).await;
            show_more(&mut shown);
            return Ok(());
        }
        tokio::select! {
            () = sleep(Duration::from_millis(200)) => {}
            () = told_to_stop() => {
                signal_process(pid, Signal::TERM);
                let _ = child.wait();
                return Err(CommandError::Interrupted);
            }
        }
    }
}

fn show_more(log: &mut fs::File) {
    let mut text = Vec::new();
    if log.stream_position().is_ok() && log.read_to_end(&mut text).is_ok() {
        let mut out = io::stdout();
        // Nobody may be reading any more.
        let _ = out.write_all(&text).and_then(|()| out.flush());
    }
}

async fn end_stack(layout: &Layout) -> Result<(), CommandError> {
    let register = Register::read(&layout.process_file());
    match register.supervisor() {
        Some(supervisor) => {
            signal_process(supervisor.pid, Signal::TERM);
            if !until_gone(&supervisor, DOWN_WITHIN).await {
                return Err(CommandError::DoesNotEnd(supervisor.pid));
            }
            say!("ended");
        }
        None => match end_leftovers(&register).await {
            0 => say!("nothing was running"),
            left => say!("ended {left} processes of a stack that was killed"),
        },
    }
    let _ = fs::remove_file(layout.env_file());
    Ok(())
}

async fn show_status(layout: &Layout) -> Result<(), CommandError> {
    let register = Register::read(&layout.process_file());
    if register.supervisor().is_none() {
        say!("not running");
        let left = register.entries().values().filter(|process| process.is_alive()).count();
        if left > 0 {
            say!("{left} processes of a stack that was killed are left; cargo local down ends them");
        }
        return Ok(());
    }
    for (name, process) in register.entries() {
        say!(
            "{name:<24} {} {}",
            process.pid,
            if process.is_alive() { "running" } else { "ended" }
        );
    }
    let env = layout.read_env();
    let (Some(address), Some(key)) = (env.get("API_URL"), env.get("API_KEY")) else {
        say!("still starting");
        return Ok(());
    };
    match Aws::new(&running(layout, "AWS_ENDPOINT_URL")?).depths().await {
        Ok(depths) => depths
            .iter()
            .for_each(|(queue, waiting, in_work)| say!("{queue:<32} {waiting} waiting, {in_work} in work")),
        Err(problem) => say!("{problem}"),
    }
    let api = Api::new(address.clone(), key.clone());
    match api.call(reqwest::Method::GET, "/health", None).await {
        Ok((status, health)) => say!("{address}/health {status} {health}"),
        Err(problem) => say!("{problem}"),
    }
    match api.get("/api/schedules").await {
        Ok(schedules) => schedules.as_array().into_iter().flatten().for_each(show_schedule),
        Err(problem) => say!("{problem}"),
    }
    Ok(())
}

fn show_schedule(schedule: &Value) {
    let last = &schedule["last_run"];
    let last = match last["status"].as_str() {
        Some(status) => format!("{status} for {}", field(last, "scheduled_for")),
        None => "none".to_owned(),
    };
    say!(
        "{:<24} next {}, last {last}",
        field(schedule, "job"),
        field(schedule, "next_due")
    );
}

async fn reset(layout: &Layout) -> Result<(), CommandError> {
    end_stack(layout).await?;
    let files = [layout.key_file(), layout.env_file(), layout.process_file()];
    for path in files.into_iter().filter(|path| path.exists()) {
        fs::remove_file(&path).map_err(|problem| CommandError::Io {
            what: path.display().to_string(),
            problem,
        })?;
    }
    let dirs = postgres::homes(layout)
        .into_iter()
        .chain([layout.state_dir().join("log")]);
    for path in dirs.filter(|path| path.exists()) {
        fs::remove_dir_all(&path).map_err(|problem| CommandError::Io {
            what: path.display().to_string(),
            problem,
        })?;
    }
    say!("the data are deleted");
    Ok(())
}

async fn drop_and_show(layout: &Layout, file: &std::path::Path) -> Result<(), CommandError> {
    let aws = Aws::new(&running(layout, "AWS_ENDPOINT_URL")?);
    let api = Api::new(running(layout, "API_URL")?, running(layout, "API_KEY")?);
    let outcome = drop_file(&aws, &api, &running(layout, "IMPORT_BUCKET")?, file).await?;
    Ok(outcome.print(&api).await?)
}

fn shell(layout: &Layout, arguments: &[String]) -> Result<(), CommandError> {
    let url = running(layout, "DATABASE_URL")?;
    let psql = postgres::find_psql();
    let problem = std::process::Command::new(&psql).arg(url).args(arguments).exec();
    Err(CommandError::Io {
        what: psql.display().to_string(),
        problem,
    })
}

/// A variable of the running stack's `.local/env`.
fn running(layout: &Layout, key: &str) -> Result<String, CommandError> {
    layout.read_env().remove(key).ok_or(CommandError::NotRunning)
}
