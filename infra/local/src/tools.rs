//! moto, a Python package: the installed one if it has the pinned version, otherwise one in `.local/venv`.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::layout::Layout;
use crate::tell::say;

/// The version known to work; another one may have other endpoints.
const MOTO: &str = "5.2.1";

#[derive(Debug, thiserror::Error)]
pub enum ToolsError {
    #[error("python3 was not found; install Python 3.10 or later (it runs the local S3 and SQS)")]
    Python,
    #[error("cannot create {}: {problem}\n(Debian and Ubuntu keep venv in the package python3-venv)", path.display())]
    Venv { path: PathBuf, problem: String },
    #[error("pip could not install {what}:\n{problem}")]
    Packages { what: String, problem: String },
}

/// Finds a Python that has moto, or installs moto from PyPI.
pub fn find_or_install_moto(layout: &Layout) -> Result<PathBuf, ToolsError> {
    let installed = layout.venv().join("bin/python");
    let found = [PathBuf::from("python3"), installed.clone()]
        .into_iter()
        .find(|python| has_moto(python));
    if let Some(python) = found {
        return Ok(python);
    }
    install(&layout.venv(), &format!("moto[s3,sqs,server]=={MOTO}"))?;
    Ok(installed)
}

/// Checks all parts of the extras `s3`, `sqs` and `server`, not only the package itself.
fn has_moto(program: &Path) -> bool {
    let script = "import moto, moto.server, moto.s3.models, moto.sqs.models; print(moto.__version__)";
    answer(program, &["-c", script]).is_some_and(|text| text.trim() == MOTO)
}

fn answer(program: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    output
        .status
        .success()
        .then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

fn install(venv: &Path, wanted: &str) -> Result<(), ToolsError> {
    if answer(Path::new("python3"), &["--version"]).is_none() {
        return Err(ToolsError::Python);
    }
    let python = venv.join("bin/python");
    if answer(&python, &["-m", "pip", "--version"]).is_none() {
        let arguments = [
            OsStr::new("-m"),
            OsStr::new("venv"),
            OsStr::new("--clear"),
            venv.as_os_str(),
        ];
        run(Path::new("python3"), &arguments).map_err(|problem| ToolsError::Venv {
            path: venv.to_path_buf(),
            problem,
        })?;
    }
    say!("  installing {wanted} in .local/venv");
    let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", wanted];
    run(&python, &arguments.map(OsStr::new)).map_err(|problem| ToolsError::Packages {
        what: wanted.to_owned(),
        problem,
    })
}

fn run(program: &Path, arguments: &[&OsStr]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|problem| problem.to_string())?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}
