//! Configuration from the environment. Values may be secret and are never printed.

use std::collections::BTreeMap;
use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    #[error("the file {path} that {name} names cannot be read")]
    File {
        name: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
}

/// How to reach the database.
pub struct Database {
    /// PostgreSQL URL, with the password.
    pub url: String,
    /// Certificates of the database's certificate authority, in PEM; `None`: the public roots.
    pub ca_pem: Option<Vec<u8>>,
}

/// Environment variables. An empty one counts as not set.
pub struct Env {
    variables: BTreeMap<String, String>,
}

impl Env {
    pub fn process() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self {
            variables: std::env::vars_os().filter_map(text).collect(),
        }
    }

    pub fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        Self {
            variables: variables
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .into(),
        }
    }

    pub fn optional(&self, name: &'static str) -> Option<&str> {
        self.variables
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }

    pub fn required(&self, name: &'static str) -> Result<&str, ConfigError> {
        self.optional(name).ok_or(ConfigError::Missing(name))
    }

    /// `DATABASE_URL`, and `DATABASE_CA_FILE` if set. `migrate` connects as the owner, every other function as the
    /// runtime role.
    pub fn database(&self) -> Result<Database, ConfigError> {
        let url = self.required("DATABASE_URL")?.to_owned();
        Ok(Database {
            url,
            ca_pem: self.file("DATABASE_CA_FILE")?,
        })
    }

    fn file(&self, name: &'static str) -> Result<Option<Vec<u8>>, ConfigError> {
        let Some(path) = self.optional(name).map(PathBuf::from) else {
            return Ok(None);
        };
        std::fs::read(&path)
            .map(Some)
            .map_err(|source| ConfigError::File { name, path, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_variable_is_named() {
        let error = Env::of([("DATABASE_URL", "")]).database().err().unwrap();
        assert_eq!(error.to_string(), "the environment variable DATABASE_URL is not set");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_named() {
        let env = Env::of([
            ("DATABASE_URL", "postgres://x"),
            ("DATABASE_CA_FILE", "/nowhere/ca.pem"),
        ]);
        assert_eq!(
            env.database().err().unwrap().to_string(),
            "the file /nowhere/ca.pem that DATABASE_CA_FILE names cannot be read"
        );
    }
}
