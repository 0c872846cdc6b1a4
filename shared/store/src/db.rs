//! Connections, and the only way to run a transaction.

use crate::error::{Error, Result};
use crate::tls;
use deadpool_postgres::{ClientWrapper, Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Timeouts};
use std::time::Duration;
use tokio_postgres::IsolationLevel;

/// The size of the pool. A Lambda instance handles one invocation at a time, so it needs few.
const CONNECTIONS_MAX: usize = 4;
const ATTEMPTS_MAX: u32 = 5;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const RESTED: Duration = Duration::from_secs(1);

pub type Client = deadpool_postgres::Client;
/// An open transaction. It rolls back when dropped.
pub type Tx<'a> = deadpool_postgres::Transaction<'a>;

/// Anything that runs statements: a client or a transaction.
pub trait Executor: deadpool_postgres::GenericClient + Sync {}
impl<T: deadpool_postgres::GenericClient + Sync> Executor for T {}

#[derive(Clone)]
pub struct Db {
    pool: Pool,
}

impl Db {
    /// Opens no connection yet. `url` is a PostgreSQL URL. With `sslmode=verify-full` (here `verify-ca` and `require`
    /// mean the same) the server's certificate must name the host. It must come from an authority in `ca_pem` or,
    /// without one, from a public authority or Amazon RDS. Only a host on this machine may be used without TLS.
    pub fn new(url: &str, ca_pem: Option<&[u8]>) -> Result<Self> {
        let mut config = tls::config(url)?;
        config.connect_timeout(CONNECT_TIMEOUT);
        if config.get_application_name().is_none() {
            config.application_name("loyalty");
        }
        let manager = Manager::from_config(
            config,
            tls::connector(ca_pem)?,
            ManagerConfig {
                recycling_method: RecyclingMethod::Fast,
            },
        );
        let still_there =
            Hook::async_fn(|client: &mut ClientWrapper, metrics| Box::pin(still_there(client, metrics.last_used())));
        let pool = Pool::builder(manager)
            .max_size(CONNECTIONS_MAX)
            .pre_recycle(still_there)
            .build();
        Ok(Self {
            pool: pool.map_err(|error| Error::Address(error.to_string()))?,
        })
    }

    pub async fn client(&self) -> Result<Client> {
        self.pool.get().await.map_err(Error::Connection)
    }

    /// Returns another connection only if one is free now. A caller that holds a connection must not wait for a second
    /// one: two such callers could wait for each other forever.
    pub async fn free_client(&self) -> Option<Client> {
        let at_once = Timeouts {
            wait: Some(Duration::ZERO),
            ..Timeouts::default()
        };
        self.pool.timeout_get(&at_once).await.ok()
    }
}

/// Tests an idle connection before it is reused, because it may have died while the function was frozen. A connection
/// that was used less than [`RESTED`] ago would have been seen to close, and is spared the round trip.
async fn still_there(client: &ClientWrapper, last_used: Duration) -> Result<(), HookError> {
    if last_used >= RESTED {
        client.simple_query("").await.map_err(HookError::Backend)?;
    }
    Ok(())
}

/// Runs `$work` in a transaction and commits when it returns `Ok`: `transaction!(db, |tx| op_in_tx(tx, …))`. The
/// result is a `Result` with the use case's own error. After a serialization failure or a deadlock all of it runs
/// again, at most five times in all, so `$work` must not keep decisions from an earlier attempt.
///
/// A connection lost at COMMIT leaves the outcome unknown. The error is returned, and the caller finds out by retrying
/// under the same business key.
///
/// A macro, because a closure cannot promise that the future it returns is `Send` while it borrows.
#[macro_export]
macro_rules! transaction {
    ($db:expr, |$tx:ident| $work:expr) => {{
        let mut attempt: u32 = 1;
        loop {
            let outcome = async {
                let mut client = $db.client().await?;
                let transaction = $crate::begin(&mut client).await?;
                let value = {
                    let $tx = &transaction;
                    $work.await?
                };
                $crate::commit(transaction).await?;
                Ok(value)
            }
            .await;
            if !$crate::try_again(&outcome, &mut attempt).await {
                break outcome;
            }
        }
    }};
}

/// For [`transaction!`].
pub async fn begin(client: &mut Client) -> Result<Tx<'_>> {
    #[expect(clippy::disallowed_methods, reason = "the one place that opens a transaction")]
    Ok(client.transaction().await?)
}

/// Opens a read-only transaction that sees the database as of one instant. Drop it when done.
pub async fn snapshot(client: &mut Client) -> Result<Tx<'_>> {
    Ok(client
        .build_transaction()
        .isolation_level(IsolationLevel::RepeatableRead)
        .read_only(true)
        .start()
        .await?)
}

/// For [`transaction!`].
pub async fn commit(tx: Tx<'_>) -> Result<()> {
    Ok(tx.commit().await?)
}

/// For [`transaction!`]: waits and returns true when the transaction should run again.
pub async fn try_again<T, E: RetryCause>(outcome: &Result<T, E>, attempt: &mut u32) -> bool {
    let retryable = match outcome {
        Err(error) => error.cause().is_some_and(Error::is_retryable),
        Ok(_) => false,
    };
    if !retryable || *attempt >= ATTEMPTS_MAX {
        return false;
    }
    tokio::time::sleep(back_off(*attempt)).await;
    *attempt += 1;
    true
}

/// Gives the retry wrapper access to the database error inside a use case's error.
pub trait RetryCause {
    fn cause(&self) -> Option<&Error>;
}

impl RetryCause for Error {
    fn cause(&self) -> Option<&Error> {
        Some(self)
    }
}

/// 20 to 40 ms after the first attempt, doubled after each further one. The jitter comes from the hasher's random
/// state.
fn back_off(attempt: u32) -> Duration {
    use std::hash::{BuildHasher, RandomState};
    let jitter_ms = RandomState::new().hash_one(attempt) % 10;
    Duration::from_millis((10 + jitter_ms) << attempt.min(5))
}
