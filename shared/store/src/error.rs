use domain::id::{TextIdError, TransactionId};
use domain::money::AmountError;
use std::num::TryFromIntError;
use tokio_postgres::error::SqlState;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a database call failed. The text is for the log and is never sent to a client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database address is not usable: {0}")]
    Address(String),
    #[error("the database at {host} must be reached over TLS: add sslmode=verify-full to its URL")]
    TlsRequired { host: String },
    #[error("no connection to the database")]
    Connection(#[source] deadpool_postgres::PoolError),
    #[error("the database refused a statement")]
    Statement(#[from] tokio_postgres::Error),
    #[error("a row contains {text:?}, which is not a known {what}")]
    UnknownWord { what: &'static str, text: String },
    #[error("a row contains {text:?}, which is not a valid id")]
    Id {
        text: String,
        #[source]
        source: TextIdError,
    },
    #[error("a row's {column} is out of range")]
    OutOfRange {
        column: String,
        #[source]
        source: TryFromIntError,
    },
    #[error("a row's {column} is not an amount that is recorded")]
    Amount {
        column: &'static str,
        #[source]
        source: AmountError,
    },
    /// The other wallets were written by a transaction that did not hold the player's lock.
    #[error("only {saved} of {wallets} wallets still had the version that was read")]
    LockNotHeld { saved: i64, wallets: usize },
    /// A terminal grant never changes.
    #[error("only {saved} of {grants} grants were still open")]
    GrantsOver { saved: u64, grants: usize },
    #[error("transaction {0} has no postings")]
    NoPostings(TransactionId),
    #[error("a run has too many shards")]
    ShardsMax(#[source] TryFromIntError),
    #[error("the read of the population stopped early")]
    ReadingStopped,
    #[error("migration failed")]
    Migration(#[source] Box<refinery::Error>),
}

impl Error {
    fn sql_state(&self) -> Option<&SqlState> {
        match self {
            Error::Statement(error) => error.code(),
            _ => None,
        }
    }

    /// Whether this is a serialization failure or a deadlock, so that the whole transaction may run again.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.sql_state(),
            Some(&SqlState::T_R_SERIALIZATION_FAILURE) | Some(&SqlState::T_R_DEADLOCK_DETECTED)
        )
    }

    /// The name of the constraint that the statement violated.
    pub fn violated_constraint(&self) -> Option<&str> {
        match self {
            Error::Statement(error) => error.as_db_error().and_then(|db| db.constraint()),
            _ => None,
        }
    }

    /// Whether the database cannot be reached now, so that the caller may try again later.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Error::Connection(_) => true,
            Error::Statement(error) => {
                let has_class =
                    |code: &SqlState| ["08", "53", "57P"].iter().any(|class| code.code().starts_with(class));
                error.is_closed() || error.code().is_some_and(has_class)
            }
            _ => false,
        }
    }
}
