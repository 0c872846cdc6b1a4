//! Prints which PostgreSQL `cargo local` and the tests would start; fails if there is none.

use std::process::ExitCode;

fn main() -> ExitCode {
    match postgres_server::Installation::find() {
        Ok(found) => {
            println!("PostgreSQL {} in {}", found.version, found.directory.display());
            ExitCode::SUCCESS
        }
        Err(problem) => {
            eprintln!("{problem}");
            ExitCode::FAILURE
        }
    }
}
