//! The account that the server runs under, because PostgreSQL refuses root.

use crate::{Error, Result, file};
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

#[derive(Clone, Debug)]
pub(crate) enum Account {
    Ours,
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    /// If we are root: `postgres`, otherwise `nobody`.
    pub(crate) fn choose() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self::Ours);
        }
        let accounts = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let find = |wanted| accounts.lines().find_map(|line| Self::parse(line, wanted));
        find("postgres").or_else(|| find("nobody")).ok_or(Error::NoAccount)
    }

    /// Parses a line of `/etc/passwd`: name, password, uid, gid and so on.
    fn parse(line: &str, wanted: &str) -> Option<Self> {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| *name == wanted)?.to_owned();
        let uid = fields.nth(1)?.parse().ok().filter(|uid| *uid > 0)?;
        let gid = fields.next()?.parse().ok()?;
        Some(Self::Other { name, uid, gid })
    }

    pub(crate) fn name(&self) -> Option<&str> {
        match self {
            Self::Ours => None,
            Self::Other { name, .. } => Some(name),
        }
    }

    pub(crate) fn give(&self, path: &Path) -> Result<()> {
        match self {
            Self::Ours => Ok(()),
            Self::Other { uid, gid, .. } => chown(path, Some(*uid), Some(*gid)).map_err(file(path)),
        }
    }

    /// Runs a program in the root directory and without our environment, because PGDATA and the like would change
    /// its behaviour.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid, .. } = self {
            // This also drops root's supplementary groups.
            command.uid(*uid).gid(*gid);
        }
        command
            .current_dir("/")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null());
        command
    }
}
