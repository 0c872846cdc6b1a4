//! `cargo local audit`, run as its user runs it.

use std::fs;
use std::process::{Command, Output};
use testing::TestDb;

/// Two players whose books hold: P001 has 150.00 LP, of which 50.00 are spent.
const SOUND: &str = include_str!("../../../shared/testing/tests/sound_books.sql");

struct Shell {
    state: tempfile::TempDir,
}

impl Shell {
    /// Of a user without a running stack.
    fn new() -> Self {
        Self {
            state: tempfile::tempdir().expect("a directory"),
        }
    }

    fn audit(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_local"));
        command
            .env("LOYALTY_LOCAL_DIR", self.state.path())
            .arg("audit")
            .args(arguments);
        command.output().expect("run cargo local audit")
    }

    fn stack_is_at(&self, url: &str) {
        fs::write(self.state.path().join("env"), format!("DATABASE_URL={url}\n")).expect("write the env file");
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

async fn sound() -> TestDb {
    let test = TestDb::new().await;
    test.tamper(SOUND).await;
    test
}

#[tokio::test]
async fn sound_books_succeed_with_a_line_for_each_invariant() {
    let test = sound().await;
    let output = Shell::new().audit(&["--database", &test.url()]);
    let said = text(&output.stdout);
    assert!(output.status.success(), "{said}{}", text(&output.stderr));
    assert!(
        said.contains("holds   0  I2 wallet balance = sum of its postings\n"),
        "{said}"
    );
    assert!(!said.contains("BROKEN"), "{said}");
    let invariants = said.lines().filter(|line| line.starts_with("holds ")).count();
    assert!(
        said.ends_with(&format!("\nall {invariants} invariants hold\n")),
        "{said}"
    );
}

/// The runtime role may not change a posting (`testing/tests/database.rs`), and triggers stop the owner too. The
/// audit detects an owner who disables them: 150.00 - 50.00 gave 100.00, so a debit of 49.00 breaks the chain of
/// balances.
#[tokio::test]
async fn a_posting_changed_behind_the_triggers_is_named_and_fails() {
    let test = sound().await;
    let change = "UPDATE postings SET amount = 49 WHERE player_id = 'P001' AND asset = 'LP' AND version = 2";
    let refusal = test
        .owner()
        .client()
        .await
        .expect("connect")
        .batch_execute(change)
        .await
        .expect_err("the trigger refuses");
    assert!(
        refusal
            .as_db_error()
            .is_some_and(|error| error.message().contains("only ever added")),
        "{refusal:?}"
    );
    test.tamper(&format!(
        "ALTER TABLE postings DISABLE TRIGGER USER; {change}; ALTER TABLE postings ENABLE TRIGGER USER"
    ))
    .await;

    let shell = Shell::new();
    shell.stack_is_at(&test.url());
    let output = shell.audit(&[]);
    let said = text(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    let broken = |invariant: &str| {
        let line = said
            .lines()
            .find(|line| line.contains(invariant))
            .unwrap_or_else(|| panic!("{invariant}: {said}"));
        (
            line.split_whitespace().take(2).collect::<Vec<_>>().join(" "),
            line.rsplit("  first: ").next().unwrap_or_default().to_owned(),
        )
    };
    assert_eq!(
        broken("I4 versions dense"),
        ("BROKEN 1".to_owned(), "P001 LP 2".to_owned())
    );
    assert_eq!(
        broken("I2 wallet balance"),
        (
            "BROKEN 1".to_owned(),
            "P001 LP balance 100.0000 postings 101.0000 version 2 last 2".to_owned()
        )
    );
    let lines = |word: &str| said.lines().filter(|line| line.starts_with(word)).count();
    let (broken, all) = (lines("BROKEN "), lines("BROKEN ") + lines("holds "));
    assert_eq!(
        text(&output.stderr),
        format!("error: {broken} of {all} invariants are broken\n")
    );
    assert!(said.contains("holds   0  I3 no balance below 0\n"), "{said}");
}

#[test]
fn without_a_stack_it_says_how_to_name_a_database() {
    let output = Shell::new().audit(&[]);
    assert_eq!(output.status.code(), Some(1));
    let problem = text(&output.stderr);
    assert!(
        problem.contains("cargo local up") && problem.contains("--database URL"),
        "{problem}"
    );
}

#[tokio::test]
async fn what_is_wrong_with_the_database_is_said_and_the_password_is_not() {
    let test = TestDb::new().await;
    test.tamper("DROP TABLE postings CASCADE").await;
    // Nothing listens on port 1.
    let nobody = "postgresql://owner:secret@127.0.0.1:1/loyalty";
    for (url, reason) in [
        (nobody, "Connection refused"),
        (&test.url(), "relation \"postings\" does not exist"),
        ("nonsense", "address"),
    ] {
        let output = Shell::new().audit(&["--database", url]);
        let problem = text(&output.stderr);
        assert_eq!(
            (output.status.code(), text(&output.stdout)),
            (Some(1), String::new()),
            "{problem}"
        );
        assert!(
            problem.starts_with("error: the audit could not be run: ") && problem.contains(reason),
            "{problem}"
        );
        assert!(!problem.contains("secret"), "{problem}");
    }
}
