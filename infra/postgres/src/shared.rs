//! One server shared by all processes that use its name: the first one starts it, and it stops when the last one is
//! gone.
//!
//! It listens on a Unix socket inside its data directory, so it never collides with another checkout or with the
//! machine's own server. The data directory is kept for the next run (at most a day), because `initdb` takes longer
//! than many tests.

use crate::{Error, Installation, Login, Result, file, process};
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const START_TIMEOUT: Duration = Duration::from_secs(60);
const DATA_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A socket path may have 107 bytes, and ours adds about 50.
const TEMPORARY_DIRECTORY_LENGTH_MAX: usize = 55;

#[derive(Clone, Copy, Debug)]
pub struct Plan<'a> {
    /// The same name means the same server, for all processes of one user.
    pub name: &'a str,
    pub superuser: &'a str,
    /// `name=value`, in addition to the settings for the socket and for speed without durability.
    pub settings: &'a [&'a str],
    /// Names and contents of files in the data directory that the settings need. Those of the process that starts
    /// the server count.
    pub files: &'a [(&'a str, &'a str)],
}

/// For servers whose data may be lost.
const SETTINGS: [&str; 7] = [
    "fsync=off",
    "full_page_writes=off",
    "synchronous_commit=off",
    "wal_level=minimal",
    "max_wal_senders=0",
    "max_wal_size=256MB",
    "jit=off",
];

/// A server that runs as long as this value, or that of another process, exists.
#[derive(Debug)]
pub struct Shared {
    base: PathBuf,
    /// The shared lock marks the server as used. It is released when the process ends, however it ends.
    _user: File,
}

/// While a process holds it, no other one joins, starts or stops the server. For one-time setup inside the server.
#[derive(Debug)]
pub struct Gate {
    pub arrival: Arrival,
    _gate: File,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// This process started the server. Its contents are from an earlier run.
    First,
    Later,
}

impl Shared {
    /// Joins or starts the server. Blocks until it accepts connections.
    pub fn join(plan: &Plan<'_>) -> Result<(Self, Gate)> {
        let base = base_directory(plan.name)?;
        let gate = lock_file(&base, "gate.lock")?;
        gate.lock().map_err(file(&base))?;
        let user = lock_file(&base, "users.lock")?;
        user.lock_shared().map_err(file(&base))?;
        let server = Self { base, _user: user };
        let arrival = if server.is_stopped()? {
            Arrival::First
        } else {
            Arrival::Later
        };
        if arrival == Arrival::First {
            server.start(plan)?;
        }
        Ok((server, Gate { arrival, _gate: gate }))
    }

    /// The directory of the cluster and the socket.
    pub fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    fn is_stopped(&self) -> Result<bool> {
        match lock_file(&self.base, "watchdog.lock")?.try_lock() {
            Ok(()) => Ok(true),
            Err(TryLockError::WouldBlock) => Ok(false),
            Err(TryLockError::Error(source)) => Err(file(&self.base)(source)),
        }
    }

    fn start(&self, plan: &Plan<'_>) -> Result<()> {
        let installation = Installation::find()?;
        let mark = self.base.join("initialized");
        let age = fs::metadata(&mark)
            .and_then(|mark| mark.modified())
            .ok()
            .and_then(|at| at.elapsed().ok());
        let fresh = age.is_some_and(|age| age < DATA_AGE_MAX)
            && fs::read_to_string(&mark).is_ok_and(|version| version == installation.version);
        let left = self.data().join("postmaster.pid");
        if left.exists() {
            // Its watchdog was killed. Without the server the file is stale, and could be mistaken for the new
            // server's file.
            installation.end(&self.data());
            let _ = fs::remove_file(&left);
        }
        if !fresh {
            let _ = fs::remove_file(&mark);
            installation.initialize(&self.data(), plan.superuser, Login::Trust)?;
            fs::write(&mark, &installation.version).map_err(file(&mark))?;
        }
        for (name, text) in plan.files {
            installation.write(&self.data().join(name), text)?;
        }
        self.spawn_watchdog(&installation, plan.settings)?;
        self.wait_until_ready().inspect_err(|_| {
            // The next attempt starts from scratch.
            let _ = fs::remove_file(&mark);
        })
    }

    /// The watchdog has its own process group, so that it survives a Ctrl-C, or a runner that kills a test's group.
    fn spawn_watchdog(&self, installation: &Installation, settings: &[&str]) -> Result<()> {
        let sockets = format!("unix_socket_directories={}", self.data().display());
        let settings = [&["listen_addresses=", &sockets], &SETTINGS[..], settings].concat();
        let server = installation.server(&self.data(), &settings);
        let path = self.base.join("log");
        let log = File::create(&path).map_err(file(&path))?;
        // The watchdog runs as the server's account and holds the same locks as this process.
        for name in ["gate.lock", "users.lock", "watchdog.lock"] {
            installation.account.give(&self.base.join(name))?;
        }
        let mut watchdog = installation.account.command(Path::new("/bin/sh"));
        watchdog
            .args(["-c", include_str!("watchdog.sh"), "postgres-watchdog"])
            .arg(&self.base)
            .arg(server.get_program())
            .args(server.get_args())
            .stdout(log.try_clone().map_err(file(&path))?)
            .stderr(log)
            .process_group(0);
        let mut watchdog = watchdog.spawn().map_err(file(Path::new("/bin/sh")))?;
        // It ends while this process lives only if the server cannot start.
        std::thread::spawn(move || watchdog.wait());
        Ok(())
    }

    fn wait_until_ready(&self) -> Result<()> {
        let begun = Instant::now();
        while !self.is_ready() {
            let ended = begun.elapsed() > Duration::from_secs(2) && self.is_stopped()?;
            if ended || begun.elapsed() > START_TIMEOUT {
                let log = fs::read_to_string(self.base.join("log")).unwrap_or_default();
                let after = begun.elapsed();
                return Err(Error::NotReady { after, log });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The server reports it in the eighth line of its pid file.
    fn is_ready(&self) -> bool {
        let said = fs::read_to_string(self.data().join("postmaster.pid")).unwrap_or_default();
        process(&self.data()).is_some() && said.lines().nth(7).is_some_and(|status| status.trim() == "ready")
    }
}

/// One directory per user and name. `target/` does not work: if we are root, the server runs under another account,
/// which may not be able to reach it.
fn base_directory(name: &str) -> Result<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let base = temporary_directory(uid).join(format!("{name}-{uid}"));
    match fs::create_dir(&base) {
        // The server's account must pass through.
        Ok(()) => fs::set_permissions(&base, Permissions::from_mode(0o711)).map_err(file(&base))?,
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(source) => return Err(file(&base)(source)),
    }
    let metadata = fs::symlink_metadata(&base).map_err(file(&base))?;
    if metadata.is_dir() && metadata.uid() == uid {
        Ok(base)
    } else {
        Err(Error::Foreign(base))
    }
}

fn temporary_directory(uid: u32) -> PathBuf {
    let wanted = std::env::temp_dir();
    let others_can_pass = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o001 != 0);
    let usable = wanted.is_absolute()
        && wanted.as_os_str().len() <= TEMPORARY_DIRECTORY_LENGTH_MAX
        && (uid != 0 || wanted.ancestors().all(others_can_pass));
    if usable { wanted } else { PathBuf::from("/tmp") }
}

fn lock_file(base: &Path, name: &str) -> Result<File> {
    let path = base.join(name);
    let opened = OpenOptions::new().create(true).append(true).open(&path);
    opened.map_err(file(&path))
}
