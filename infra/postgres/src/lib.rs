//! The only crate that finds, creates, starts and stops a PostgreSQL server: for `cargo local`, the tests and CI.
//!
//! It speaks no SQL, so it needs no driver.

mod account;
mod shared;

use account::Account;
pub use shared::{Arrival, Gate, Plan, Shared};
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

/// The oldest major version that the schema runs on.
const VERSION_MIN: u32 = 15;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(
        "no PostgreSQL server found (pg_config --bindir, PATH, /usr/lib/postgresql/*/bin).\n\
         Install version 15 to 17: apt-get install postgresql, dnf install postgresql-server, \
         brew install postgresql@17."
    )]
    NotFound,
    #[error("PostgreSQL refuses to run as root, and there is no account `postgres` or `nobody` to run it under")]
    NoAccount,
    #[error("{program} failed:\n{output}")]
    Tool { program: String, output: String },
    #[error("PostgreSQL was not ready within {} s; its log:\n{log}", after.as_secs())]
    NotReady { after: Duration, log: String },
    #[error("{}: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("{} belongs to somebody else", .0.display())]
    Foreign(PathBuf),
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// For `map_err`: names the file that the problem is about.
fn file(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::File { path, source }
}

/// How the superuser of a new cluster logs in.
#[derive(Clone, Copy, Debug)]
pub enum Login<'a> {
    /// Anyone who can reach the socket. For servers without a TCP port, or with nothing to hide.
    Trust,
    Password(&'a str),
}

/// Server binaries, and the account to run them under.
#[derive(Clone, Debug)]
pub struct Installation {
    /// Contains `initdb`, `pg_ctl` and `postgres`.
    pub directory: PathBuf,
    /// Such as `15.14 (Debian 15.14-0+deb12u1)`.
    pub version: String,
    account: Account,
}

impl Installation {
    /// Finds the newest version among `pg_config --bindir`, PATH and Debian's directories.
    pub fn find() -> Result<Self> {
        let configured = Command::new("pg_config").arg("--bindir").stderr(Stdio::null()).output();
        let configured = configured.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
        let mut directories: Vec<PathBuf> = configured.into_iter().collect();
        directories.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
            directories.extend(versions.flatten().map(|version| version.path().join("bin")));
        }
        let found = directories.iter().filter_map(|directory| version_in(directory));
        let (_, directory, version) = found.max_by_key(|(major, ..)| *major).ok_or(Error::NotFound)?;
        Ok(Self {
            directory,
            version,
            account: Account::choose()?,
        })
    }

    /// The account that the server runs under, if it is not ours.
    pub fn account(&self) -> Option<&str> {
        self.account.name()
    }

    /// Whether the server's account can enter a directory. Tested by trying it.
    pub fn may_enter(&self, directory: &Path) -> bool {
        let mut command = self.account.command(Path::new("/bin/sh"));
        command.args(["-c", "cd \"$1\"", "sh"]).arg(directory);
        let tried = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        tried.is_ok_and(|status| status.success())
    }

    /// Creates a cluster. Deletes `data` first, which may be half of a cluster after an interrupted start.
    pub fn initialize(&self, data: &Path, superuser: &str, login: Login<'_>) -> Result<()> {
        if data.exists() {
            fs::remove_dir_all(data).map_err(file(data))?;
        }
        fs::create_dir(data).map_err(file(data))?;
        fs::set_permissions(data, Permissions::from_mode(0o700)).map_err(file(data))?;
        self.account.give(data)?;
        let mut command = self.tool("initdb");
        command.args(["--username", superuser, "--encoding", "UTF8", "--no-locale", "--pgdata"]);
        command.arg(data);
        let password_file = data.with_extension("password");
        match login {
            Login::Trust => command.args(["--auth", "trust", "--no-sync"]),
            Login::Password(password) => {
                self.write(&password_file, password)?;
                command
                    .args(["--auth", "scram-sha-256", "--pwfile"])
                    .arg(&password_file)
            }
        };
        let outcome = run(&mut command);
        // With `Trust` there is no file.
        let _ = fs::remove_file(&password_file);
        outcome.inspect_err(|_| {
            let _ = fs::remove_dir_all(data);
        })
    }

    /// Writes a file that only the server's account and root can read.
    fn write(&self, path: &Path, text: &str) -> Result<()> {
        // A file of an earlier start may belong to another account.
        let _ = fs::remove_file(path);
        fs::write(path, "").map_err(file(path))?;
        fs::set_permissions(path, Permissions::from_mode(0o600)).map_err(file(path))?;
        fs::write(path, text).map_err(file(path))?;
        self.account.give(path)
    }

    /// The command that starts the server; `settings` are `name=value`.
    pub fn server<S: AsRef<str>>(&self, data: &Path, settings: &[S]) -> Command {
        let mut command = self.tool("postgres");
        command.arg("-D").arg(data);
        for setting in settings {
            command.args(["-c", setting.as_ref()]);
        }
        command
    }

    /// Stops a server that is not our child, without a checkpoint. It is no error if the server is gone.
    fn end(&self, data: &Path) {
        let mut command = self.tool("pg_ctl");
        command.arg("-D").arg(data).args(["-m", "immediate", "-w", "stop"]);
        let _ = run(&mut command);
    }

    fn tool(&self, name: &str) -> Command {
        self.account.command(&self.directory.join(name))
    }
}

/// The process id of the server on `data`, as the server recorded it; the process may be gone.
pub fn process(data: &Path) -> Option<i32> {
    let file = fs::read_to_string(data.join("postmaster.pid")).ok()?;
    let mut lines = file.lines();
    let pid = lines.next()?.trim().parse().ok()?;
    lines.next().is_some_and(|of| Path::new(of) == data).then_some(pid)
}

/// Major version, directory and version of the server in a directory.
fn version_in(directory: &Path) -> Option<(u32, PathBuf, String)> {
    // Resolves links: the server looks for its own files next to its real path.
    let postgres = fs::canonicalize(directory.join("postgres")).ok()?;
    let directory = postgres.parent()?.to_owned();
    if !directory.join("initdb").is_file() {
        return None;
    }
    let output = Command::new(&postgres).arg("--version").output().ok()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = said.trim().strip_prefix("postgres (PostgreSQL) ")?.to_owned();
    let major: u32 = version.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()?;
    (major >= VERSION_MIN).then_some((major, directory, version))
}

fn run(command: &mut Command) -> Result<()> {
    let program = Path::new(command.get_program()).to_owned();
    let output = command.output().map_err(file(&program))?;
    if output.status.success() {
        return Ok(());
    }
    Err(Error::Tool {
        program: program
            .file_name()
            .map(OsStr::to_string_lossy)
            .unwrap_or_default()
            .into(),
        output: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}
