//! Child processes: started in their own group, supervised, and ended together with everything they started. They
//! are recorded in `.local/processes.json`, so that `down` finds them even when their supervisor is gone.

use std::{
    collections::BTreeMap,
    fs, io,
    net::{IpAddr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rustix::process::{Pid, Signal};
use serde::{Deserialize, Serialize};
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::layout::write_private;
use crate::tell::caution;

#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    #[error("cannot start {program}: {problem}")]
    Start { program: String, problem: io::Error },
    #[error("{program} ended at once ({status}); the end of {}:\n{tail}", log.display())]
    EndedAtOnce {
        program: String,
        status: String,
        log: PathBuf,
        tail: String,
    },
    #[error("{program} was not ready within {seconds} s; the end of {}:\n{tail}", log.display())]
    NotReady {
        program: String,
        seconds: u64,
        log: PathBuf,
        tail: String,
    },
}

/// One process. The start time tells it from a later process with the same id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    pub pid: i32,
    started: String,
}

impl Identity {
    /// Returns `None` when there is no such process.
    pub fn of(pid: i32) -> Option<Self> {
        started_at(pid).map(|started| Self { pid, started })
    }

    pub fn is_alive(&self) -> bool {
        started_at(self.pid).is_some_and(|started| started == self.started)
    }
}

/// Start time of a process, in the system's own unit. A zombie counts as ended.
fn started_at(pid: i32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in parentheses and may contain blanks; field 3 is the state, field 22 the start time.
        let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        return if fields.first() == Some(&"Z") {
            None
        } else {
            fields.get(19).map(|start| (*start).to_owned())
        };
    }
    let output = std::process::Command::new("ps")
        .args(["-o", "lstart=", "-p", &pid.to_string()])
        .output()
        .ok()?;
    let started = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (!started.is_empty()).then_some(started)
}

/// The register of running processes, on disk.
#[derive(Clone, Debug)]
pub struct Register {
    path: PathBuf,
    entries: Arc<Mutex<BTreeMap<String, Identity>>>,
}

/// The name under which the supervisor of all other processes is registered.
pub const SUPERVISOR: &str = "supervisor";

impl Register {
    /// What an earlier stack recorded; empty when there was none.
    pub fn read(path: &Path) -> Self {
        let entries = fs::read_to_string(path)
            .ok()
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        Self {
            path: path.to_path_buf(),
            entries: Arc::new(Mutex::new(entries)),
        }
    }

    pub fn entries(&self) -> BTreeMap<String, Identity> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The supervisor, if it is alive.
    pub fn supervisor(&self) -> Option<Identity> {
        self.entries().remove(SUPERVISOR).filter(Identity::is_alive)
    }

    pub fn add(&self, name: &str, pid: i32) {
        if let Some(identity) = Identity::of(pid) {
            self.change(|entries| {
                entries.insert(name.to_owned(), identity);
            });
        }
    }

    pub fn remove(&self, name: &str) {
        self.change(|entries| {
            entries.remove(name);
        });
    }

    pub fn clear(&self) {
        self.change(BTreeMap::clear);
        // A missing file is the goal.
        let _ = fs::remove_file(&self.path);
    }

    fn change(&self, change: impl FnOnce(&mut BTreeMap<String, Identity>)) {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut entries);
        let text = serde_json::to_string_pretty(&*entries).unwrap_or_default();
        if let Err(problem) = write_private(&self.path, &text) {
            caution!("{problem}");
        }
    }
}

/// A process of the stack, the leader of its own group.
#[derive(Debug)]
pub struct Running {
    pub name: String,
    pub pid: i32,
    pub log: PathBuf,
    child: Child,
    register: Register,
}

impl Running {
    /// Starts `command` with its output appended to `log`.
    pub fn start(name: &str, mut command: Command, log: &Path, register: &Register) -> Result<Self, ProcessError> {
        let fail = |problem| ProcessError::Start {
            program: name.to_owned(),
            problem,
        };
        let output = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(log)
            .map_err(fail)?;
        command
            .stdin(Stdio::null())
            .stdout(output.try_clone().map_err(fail)?)
            .stderr(output)
            .process_group(0)
            .kill_on_drop(true);
        let child = command.spawn().map_err(fail)?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).unwrap_or_default();
        register.add(name, pid);
        Ok(Self {
            name: name.to_owned(),
            pid,
            log: log.to_path_buf(),
            child,
            register: register.clone(),
        })
    }

    /// Waits for the process to end and returns how it ended.
    pub async fn ended(&mut self) -> String {
        let status = self.child.wait().await;
        self.register.remove(&self.name);
        status.map_or_else(|problem| problem.to_string(), |status| status.to_string())
    }

    /// Ends the process and its group: sends `signal`, then SIGKILL after `grace`.
    pub async fn stop(&mut self, signal: Signal, grace: Duration) {
        signal_group(self.pid, signal);
        if timeout(grace, self.child.wait()).await.is_err() {
            signal_group(self.pid, Signal::KILL);
            // It has been killed, so this wait ends.
            let _ = self.child.wait().await;
        }
        // Its own children that it left behind.
        signal_group(self.pid, Signal::KILL);
        self.register.remove(&self.name);
    }

    /// Polls until something accepts connections at `address`, the process has ended, or `limit` has passed.
    pub async fn until_it_accepts(&mut self, address: SocketAddr, limit: Duration) -> Result<(), ProcessError> {
        let deadline = Instant::now() + limit;
        loop {
            if accepts(address).await {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                self.register.remove(&self.name);
                return Err(ProcessError::EndedAtOnce {
                    program: self.name.clone(),
                    status: status.to_string(),
                    log: self.log.clone(),
                    tail: tail(&self.log),
                });
            }
            if Instant::now() > deadline {
                return Err(ProcessError::NotReady {
                    program: self.name.clone(),
                    seconds: limit.as_secs(),
                    log: self.log.clone(),
                    tail: tail(&self.log),
                });
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Signals a process group. It is no error if the group is gone.
pub fn signal_group(leader: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(leader).filter(|_| leader > 1) {
        let _ = rustix::process::kill_process_group(pid, signal);
    }
}

/// Signals one process. It is no error if the process is gone.
pub fn signal_process(pid: i32, signal: Signal) {
    if let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 1) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Polls until the process is gone. Returns `false` when it is still alive after `limit`.
pub async fn until_gone(process: &Identity, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    while process.is_alive() {
        if Instant::now() > deadline {
            return false;
        }
        sleep(Duration::from_millis(50)).await;
    }
    true
}

/// Ends what an earlier stack left running because its supervisor was killed. PostgreSQL gets the signal for a fast
/// shutdown, and time for it.
pub async fn end_leftovers(register: &Register) -> usize {
    let left: Vec<(String, Identity)> = register
        .entries()
        .into_iter()
        .filter(|(_, process)| process.is_alive())
        .collect();
    for (name, process) in &left {
        let signal = if name == crate::postgres::NAME {
            Signal::INT
        } else {
            Signal::TERM
        };
        signal_group(process.pid, signal);
    }
    for (name, process) in &left {
        let grace = if name == crate::postgres::NAME {
            crate::postgres::STOP_GRACE
        } else {
            Duration::from_secs(3)
        };
        if !until_gone(process, grace).await {
            signal_group(process.pid, Signal::KILL);
        }
    }
    register.clear();
    left.len()
}

/// The last lines of a log.
pub fn tail(log: &Path) -> String {
    let text = fs::read(log)
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(15))
        .map(|line| format!("    {line}\n"))
        .collect()
}

/// A free port on `ip`: `wanted` if it is free.
pub fn free_port(ip: IpAddr, wanted: Option<u16>) -> Result<u16, ProcessError> {
    let fail = |problem| ProcessError::Start {
        program: format!("a listener on {ip}"),
        problem,
    };
    if let Some(port) = wanted.filter(|port| TcpListener::bind((ip, *port)).is_ok()) {
        return Ok(port);
    }
    let listener = TcpListener::bind((ip, 0)).map_err(fail)?;
    Ok(listener.local_addr().map_err(fail)?.port())
}

/// Whether something accepts connections at `address`.
async fn accepts(address: SocketAddr) -> bool {
    timeout(Duration::from_secs(1), tokio::net::TcpStream::connect(address))
        .await
        .is_ok_and(|connection| connection.is_ok())
}
