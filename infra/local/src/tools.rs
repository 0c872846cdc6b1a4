//! The Python tools: those on the PATH when they have the pinned versions, else our own in `.local/venv`.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::layout::Layout;
use crate::tell::say;

/// Seen to work together; another version may order its output or its endpoints differently.
const CARGO_LAMBDA: &str = "1.9.2";
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

/// How to start the tools.
#[derive(Clone, Debug)]
pub struct Tools {
    pub cargo_lambda: PathBuf,
    /// A Python that has moto.
    pub python: PathBuf,
}

impl Tools {
    /// How a person calls `cargo lambda`: the venv is not on their PATH.
    pub fn cargo_lambda_command(&self) -> String {
        match self.cargo_lambda.parent() {
            Some(dir) if self.cargo_lambda.is_absolute() => format!("PATH=\"{}:$PATH\" cargo lambda", dir.display()),
            _ => "cargo lambda".to_owned(),
        }
    }

    /// Finds the tools, or installs them from PyPI.
    pub fn find_or_install(layout: &Layout) -> Result<Self, ToolsError> {
        let venv = layout.venv().join("bin");
        let lambda = [PathBuf::from("cargo-lambda"), venv.join("cargo-lambda")]
            .into_iter()
            .find(|program| is_cargo_lambda(program));
        let python = [PathBuf::from("python3"), venv.join("python")]
            .into_iter()
            .find(|program| has_moto(program));
        if let (Some(cargo_lambda), Some(python)) = (&lambda, &python) {
            return Ok(Self {
                cargo_lambda: cargo_lambda.clone(),
                python: python.clone(),
            });
        }
        if lambda.is_none() {
            // Its one dependency is a compiler for other machines, of 300 MB.
            install(&layout.venv(), &["--no-deps", &format!("cargo-lambda=={CARGO_LAMBDA}")])?;
        }
        if python.is_none() {
            install(&layout.venv(), &[&format!("moto[s3,sqs,server]=={MOTO}")])?;
        }
        let installed = |program: &str| venv.join(program);
        Ok(Self {
            cargo_lambda: lambda.unwrap_or_else(|| installed("cargo-lambda")),
            python: python.unwrap_or_else(|| installed("python")),
        })
    }
}

fn is_cargo_lambda(program: &Path) -> bool {
    answer(program, &["lambda", "--version"]).is_some_and(|text| text.split_whitespace().nth(1) == Some(CARGO_LAMBDA))
}

/// All parts of the extras `s3`, `sqs` and `server` are asked for, not only the package itself.
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

fn install(venv: &Path, wanted: &[&str]) -> Result<(), ToolsError> {
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
    let what = wanted.last().copied().unwrap_or_default();
    say!("  installing {what} in .local/venv");
    let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        .into_iter()
        .chain(wanted.iter().copied());
    let arguments: Vec<&OsStr> = arguments.map(OsStr::new).collect();
    run(&python, &arguments).map_err(|problem| ToolsError::Packages {
        what: what.to_owned(),
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
