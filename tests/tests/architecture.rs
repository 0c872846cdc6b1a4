//! The architecture: which crate may depend on which, and which file may be where.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const MAIN_LINES_MAX: usize = 25;

const TOP_LEVEL: &[&str] = &[
    "Cargo.toml",
    "functions",
    "shared",
    "infra",
    "migrations",
    "events",
    "tests",
    "template.yaml",
    "README.md",
];
/// Allowed beside them, but not required.
const TOP_LEVEL_ALSO: &[&str] = &[
    "ARCHITECTURE.md",
    "Cargo.lock",
    "LICENSE",
    "clippy.toml",
    "rustfmt.toml",
    "deny.toml",
    "target",
];

fn workspace() -> Metadata {
    MetadataCommand::new()
        .manifest_path(root().join("Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace is around this package")
        .to_owned()
}

/// The folder of a package relative to the root, such as `functions/players`.
fn folder(package: &Package) -> String {
    let folder = package
        .manifest_path
        .parent()
        .expect("a manifest is in a folder")
        .as_std_path();
    folder
        .strip_prefix(root())
        .expect("a package is in the workspace")
        .to_string_lossy()
        .into_owned()
}

fn is_function(package: &Package) -> bool {
    folder(package).starts_with("functions/")
}

/// What a package links at run time. Dev-dependencies do not count.
fn dependencies(package: &Package) -> impl Iterator<Item = &str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind != DependencyKind::Development)
        .map(|dependency| dependency.name.as_str())
}

fn files(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    let paths = entries.map(|entry| entry.expect("a directory entry").path());
    paths
        .flat_map(|path| {
            if path.is_dir() {
                files(&path, extension)
            } else {
                vec![path]
            }
        })
        .filter(|path| path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// functions → app → store → domain, and functions → lambda → domain. `testing` is for tests only.
#[test]
fn dependencies_point_inwards() {
    let metadata = workspace();
    let members: BTreeSet<&str> = metadata
        .workspace_packages()
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        let allowed: &[&str] = match package.name.as_str() {
            "domain" => &[],
            "store" | "lambda" => &["domain"],
            "app" => &["domain", "store"],
            "testing" => &["app", "domain", "postgres-server", "store"],
            _ if is_function(package) => &["app", "domain", "lambda"],
            // `cargo local audit` and `cargo local key` are use cases of the product. The rest of the stack is
            // reached from outside, as in the cloud.
            "local" => &["app", "domain", "postgres-server"],
            // Finds, starts and stops a server; speaks no SQL.
            "postgres-server" => &[],
            // It measures functions as they are called, with the day of play from the tests.
            "bench" => &["activity", "app", "lambda", "postgres-server", "testing", "wallet"],
            "e2e-tests" => &[],
            other => panic!("{other} ({}) has no place in the architecture", folder(package)),
        };
        let edges = dependencies(package).filter(|name| members.contains(name) && !allowed.contains(name));
        wrong.extend(edges.map(|dependency| format!("{} → {dependency}", package.name)));
    }
    assert!(wrong.is_empty(), "dependencies that break the architecture: {wrong:?}");
}

/// The domain decides; it does no I/O, does not wait, and does not read the clock.
#[test]
fn the_domain_is_pure() {
    let metadata = workspace();
    let domain = metadata
        .workspace_packages()
        .into_iter()
        .find(|package| package.name == "domain")
        .expect("the domain");
    let impure = [
        "tokio",
        "async",
        "futures",
        "hyper",
        "http",
        "axum",
        "tower",
        "reqwest",
        "aws",
        "lambda",
        "postgres",
        "deadpool",
        "refinery",
        "sqlx",
        "rustls",
        "rand",
        "getrandom",
        "tracing",
        "libc",
        "rustix",
    ];
    for dependency in dependencies(domain) {
        assert!(
            !impure.iter().any(|name| dependency.contains(name)),
            "the domain must not depend on {dependency}"
        );
    }
    for path in files(&root().join("shared/domain/src"), "rs") {
        let source = fs::read_to_string(&path).expect("a source file");
        for word in [
            "Timestamp::now",
            "Zoned::now",
            "SystemTime",
            "Instant::now",
            "now_v7",
            "std::fs",
            "std::net",
            "std::env",
            "async fn",
        ] {
            assert!(
                !source.contains(word),
                "{}: {word} has no place in the domain",
                path.display()
            );
        }
    }
}

#[test]
fn only_the_store_speaks_to_postgres() {
    for package in workspace().workspace_packages() {
        let allowed = ["store", "testing", "local", "bench"].contains(&package.name.as_str());
        for dependency in dependencies(package) {
            let driver = ["tokio-postgres", "deadpool", "refinery", "sqlx"]
                .iter()
                .any(|name| dependency.contains(name));
            assert!(allowed || !driver, "{} must not depend on {dependency}", package.name);
        }
    }
}

#[test]
fn only_the_platform_crate_speaks_to_aws() {
    for package in workspace().workspace_packages() {
        let allowed = ["lambda", "local", "bench"].contains(&package.name.as_str());
        for dependency in dependencies(package) {
            assert!(
                allowed || !dependency.starts_with("aws-sdk"),
                "{} must not depend on {dependency}",
                package.name
            );
        }
    }
}

/// One version of everything: members say `name.workspace = true` or `{ workspace = true, … }`.
#[test]
fn versions_are_in_the_workspace_only() {
    for package in workspace().workspace_packages() {
        let manifest = fs::read_to_string(&package.manifest_path).expect("a manifest");
        let mut in_dependencies = false;
        for line in manifest
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
        {
            if let Some(section) = line.strip_prefix('[') {
                in_dependencies = section.trim_end_matches(']').ends_with("dependencies");
                assert!(
                    !section.contains("dependencies."),
                    "{}: {line} hides from this test",
                    package.manifest_path
                );
            } else if in_dependencies {
                let shared = line.contains(".workspace = true") || line.contains("{ workspace = true");
                assert!(shared, "{}: {line}", package.manifest_path);
            }
        }
    }
}

#[test]
fn main_functions_only_start() {
    for package in workspace()
        .workspace_packages()
        .into_iter()
        .filter(|package| is_function(package))
    {
        let main = root().join(folder(package)).join("src/main.rs");
        let lines = fs::read_to_string(&main)
            .expect("a function has a main.rs")
            .lines()
            .count();
        assert!(lines <= MAIN_LINES_MAX, "{}: {lines} lines", main.display());
    }
}

#[test]
fn sql_is_in_the_store_only() {
    for folder in ["functions", "shared/domain", "shared/app", "shared/lambda"] {
        assert_eq!(files(&root().join(folder), "sql"), Vec::<PathBuf>::new());
        for path in files(&root().join(folder), "rs")
            .into_iter()
            .filter(|path| !is_test(path))
        {
            let source = fs::read_to_string(&path).expect("a source file");
            for (number, line) in source
                .lines()
                .enumerate()
                .filter(|(_, line)| !line.trim_start().starts_with("//"))
            {
                assert!(!is_sql(line), "{}:{}: {line}", path.display(), number + 1);
            }
        }
    }
}

/// Tests may query the database freely.
fn is_test(path: &Path) -> bool {
    path.components().any(|component| component.as_os_str() == "tests")
        || path.file_stem().is_some_and(|stem| stem == "tests")
}

/// In upper case, as all SQL in this repository is written.
fn is_sql(line: &str) -> bool {
    let words: Vec<&str> = line
        .split(|character: char| !character.is_ascii_alphanumeric() && character != '_')
        .filter(|word| !word.is_empty())
        .collect();
    let follows = |first: &str, second: &str| words.windows(2).any(|pair| pair == [first, second]);
    words.contains(&"SELECT")
        || follows("INSERT", "INTO")
        || follows("DELETE", "FROM")
        || (words.contains(&"UPDATE") && words.contains(&"SET"))
        || follows("FOR", "UPDATE")
        || follows("TRUNCATE", "TABLE")
}

#[test]
fn sql_is_recognized() {
    for line in [
        "\"SELECT 1\"",
        "\"INSERT INTO players\"",
        "r#\"UPDATE players SET tier = 1\"#",
        "delete(\"DELETE FROM players\")",
    ] {
        assert!(is_sql(line), "{line}");
    }
    for line in [
        "fn select(players: &[Player])",
        "let insert = into(1);",
        "\"DELETE /players/{id}\"",
        "Method::UPDATE",
    ] {
        assert!(!is_sql(line), "{line}");
    }
}

#[test]
fn the_top_level_is_as_agreed() {
    let entries = fs::read_dir(root())
        .expect("the root")
        .map(|entry| entry.expect("a directory entry").file_name());
    let found: BTreeSet<String> = entries
        .map(|name| name.to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    for name in TOP_LEVEL {
        assert!(found.contains(*name), "{name} is missing");
    }
    for name in &found {
        assert!(
            TOP_LEVEL.contains(&name.as_str()) || TOP_LEVEL_ALSO.contains(&name.as_str()),
            "{name} has no place at the top level"
        );
    }
}
