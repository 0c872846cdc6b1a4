//! `cargo local audit`: checks that the books of a database hold.

use app::Db;
use app::jobs::audit::Invariant;

use crate::tell::say;

#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    #[error("the audit could not be run: {0}")]
    NotRun(String),
    #[error("{broken} of {all} invariants are broken")]
    Broken { broken: usize, all: usize },
}

/// Prints one line per invariant: whether it holds and, if it is broken, how many rows break it and the key of the
/// first one.
///
/// # Errors
/// `Broken` when at least one invariant is broken; `NotRun` when the database cannot be reached or lacks the
/// tables.
pub async fn run(url: &str) -> Result<(), AuditError> {
    // The stack's PostgreSQL runs on this machine. Any other has a certificate of a public authority, or none.
    let db = Db::new(url, None).map_err(|problem| not_run(&problem))?;
    let invariants = app::jobs::audit::run(&db).await.map_err(|problem| not_run(&problem))?;
    lines(&invariants).for_each(|line| say!("{line}"));
    let (broken, all) = (
        invariants.iter().filter(|invariant| !invariant.holds()).count(),
        invariants.len(),
    );
    if broken > 0 {
        return Err(AuditError::Broken { broken, all });
    }
    say!("all {all} invariants hold");
    Ok(())
}

/// For each invariant: the verdict, the number of rows that break it, its name and the first of those rows.
fn lines(invariants: &[Invariant]) -> impl Iterator<Item = String> {
    let digits = invariants
        .iter()
        .map(|invariant| invariant.broken.to_string().len())
        .max()
        .unwrap_or_default();
    let longest = invariants
        .iter()
        .map(|invariant| invariant.name.chars().count())
        .max()
        .unwrap_or_default();
    invariants
        .iter()
        .map(move |Invariant { name, broken, examples }| match examples.first() {
            None => format!("holds   {broken:>digits$}  {name}"),
            Some(first) => format!("BROKEN  {broken:>digits$}  {name:<longest$}  first: {first}"),
        })
}

/// Includes the causes, because the caller is the one who can fix them.
fn not_run(problem: &(dyn std::error::Error + 'static)) -> AuditError {
    AuditError::NotRun(causes(problem))
}

/// An error with its causes. A driver's error may already contain the text of its cause, so each is shown once.
pub fn causes(problem: &(dyn std::error::Error + 'static)) -> String {
    let mut said: Vec<String> = Vec::new();
    for problem in std::iter::successors(Some(problem), |problem| problem.source()) {
        let problem = problem.to_string();
        said.retain(|outer| !outer.ends_with(&problem));
        said.push(problem);
    }
    said.join(": ")
}
