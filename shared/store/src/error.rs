use tokio_postgres::error::SqlState;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the database could not do. The text is for the log; none of it is sent to a client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the database address is not usable: {0}")]
    Address(String),
    #[error("no connection to the database")]
    Connection(#[source] deadpool_postgres::PoolError),
    #[error("the database refused a statement")]
    Statement(#[from] tokio_postgres::Error),
    #[error("a stored row cannot be read: {0}")]
    Row(String),
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

    /// Serialization failure or deadlock: the whole transaction may be tried again.
    pub fn is_retryable(&self) -> bool {
        matches!(
            self.sql_state(),
            Some(&SqlState::T_R_SERIALIZATION_FAILURE) | Some(&SqlState::T_R_DEADLOCK_DETECTED)
        )
    }

    /// A unique constraint said no; `constraint` names it.
    pub fn violated_constraint(&self) -> Option<&str> {
        match self {
            Error::Statement(error) => error.as_db_error().and_then(|db| db.constraint()),
            _ => None,
        }
    }

    /// The database cannot be reached just now; the caller may come again.
    pub fn is_unavailable(&self) -> bool {
        match self {
            Error::Connection(_) => true,
            Error::Statement(error) => {
                error.is_closed()
                    || matches!(error.code(), Some(code) if code.code().starts_with("57P") || code.code().starts_with("08") || code.code().starts_with("53"))
            }
            _ => false,
        }
    }
}
