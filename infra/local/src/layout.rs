//! Paths: the workspace, and what the local stack keeps in `.local/`.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    #[error("no template.yaml in {} or above it: run this inside the project", .0.display())]
    NotInside(PathBuf),
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: io::Error },
}

/// The workspace of this stack.
#[derive(Clone, Debug)]
pub struct Layout {
    pub root: PathBuf,
}

impl Layout {
    /// The workspace around the current directory.
    pub fn find() -> Result<Self, LayoutError> {
        let here = std::env::current_dir().map_err(|problem| LayoutError::File {
            path: PathBuf::from("."),
            problem,
        })?;
        let started_from = std::env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
        let candidates = here
            .ancestors()
            .chain(started_from.as_deref().into_iter().flat_map(Path::ancestors));
        candidates
            .into_iter()
            .find(|dir| dir.join("template.yaml").is_file() && dir.join("infra/local").is_dir())
            .map(|dir| Self {
                root: dir.to_path_buf(),
            })
            .ok_or(LayoutError::NotInside(here))
    }

    pub fn template(&self) -> PathBuf {
        self.root.join("template.yaml")
    }

    pub fn sample(&self, file: &str) -> PathBuf {
        self.root.join("events/sample").join(file)
    }

    /// `.local`, or the directory in `LOYALTY_LOCAL_DIR`, with which a test runs its own stack beside the
    /// developer's.
    pub fn state_dir(&self) -> PathBuf {
        std::env::var_os("LOYALTY_LOCAL_DIR").map_or_else(|| self.root.join(".local"), PathBuf::from)
    }

    /// Shared by all stacks of the workspace.
    pub fn venv(&self) -> PathBuf {
        self.root.join(".local/venv")
    }

    pub fn log(&self, part: &str) -> PathBuf {
        self.state_dir().join("log").join(format!("{part}.log"))
    }

    /// `KEY=value` lines for a shell: the addresses of the running stack.
    pub fn env_file(&self) -> PathBuf {
        self.state_dir().join("env")
    }

    /// The administrator's key of the local stack, kept between starts.
    pub fn key_file(&self) -> PathBuf {
        self.state_dir().join("admin-key")
    }

    /// The processes of the running stack.
    pub fn process_file(&self) -> PathBuf {
        self.state_dir().join("processes.json")
    }

    pub fn create_state_dirs(&self) -> Result<(), LayoutError> {
        let logs = self.state_dir().join("log");
        fs::create_dir_all(&logs).map_err(|problem| LayoutError::File { path: logs, problem })
    }

    /// The variables of `.local/env`; empty when the file is missing.
    pub fn read_env(&self) -> BTreeMap<String, String> {
        let text = fs::read_to_string(self.env_file()).unwrap_or_default();
        text.lines()
            .filter_map(|line| line.split_once('='))
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .collect()
    }

    /// Writes `.local/env`, readable by its owner only, because it holds a key and passwords.
    pub fn write_env(&self, variables: &[(&str, String)]) -> Result<(), LayoutError> {
        let text: String = variables
            .iter()
            .map(|(key, value)| format!("{key}={value}\n"))
            .collect();
        write_private(&self.env_file(), &text)
    }
}

/// Replaces a file atomically, so that no reader sees half of it. Only its owner can read it.
pub fn write_private(path: &Path, text: &str) -> Result<(), LayoutError> {
    let fail = |problem| LayoutError::File {
        path: path.to_path_buf(),
        problem,
    };
    let fresh = path.with_extension("new");
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(fail)?;
    io::Write::write_all(&mut file, text.as_bytes()).map_err(fail)?;
    fs::rename(&fresh, path).map_err(fail)
}
