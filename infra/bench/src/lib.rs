//! Figures beside their floor, on one server in one run. A binary for each; `README.md` has the commands and what they
//! printed.

pub mod capture;
pub mod database;
pub mod floor;
pub mod handler;
pub mod processor;
pub mod script;
pub mod wallet;

use std::process::ExitCode;

pub type Problem = Box<dyn std::error::Error + Send + Sync>;
pub type Result<T> = std::result::Result<T, Problem>;

/// For `main`: says what went wrong.
pub fn exit(outcome: Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("error: {problem}");
            ExitCode::FAILURE
        }
    }
}
