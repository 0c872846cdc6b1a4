//! Statements: texts joined at compile time, prepared once per connection and cached.

use crate::db::Executor;
use crate::error::Result;
use tokio_postgres::Row;

pub(crate) type Params<'a> = &'a [crate::columns::Param<'a>];

/// Joins constant texts at compile time.
macro_rules! text {
    ($( $part:expr ),+ $(,)?) => {{
        const PARTS: &[&str] = &[$( $part ),+];
        const BYTES: &[u8] = &$crate::statement::join::<{ $crate::statement::length(PARTS) }>(PARTS);
        match std::str::from_utf8(BYTES) {
            Ok(text) => text,
            Err(_) => panic!("texts joined are a text"),
        }
    }};
}
pub(crate) use text;

pub(crate) const fn length(parts: &[&str]) -> usize {
    let (mut length, mut part) = (0, 0);
    while part < parts.len() {
        length += parts[part].len();
        part += 1;
    }
    length
}

pub(crate) const fn join<const LENGTH: usize>(parts: &[&str]) -> [u8; LENGTH] {
    let mut bytes = [0; LENGTH];
    let (mut at, mut part) = (0, 0);
    while part < parts.len() {
        let (_, rest) = bytes.split_at_mut(at);
        let (to, _) = rest.split_at_mut(parts[part].len());
        to.copy_from_slice(parts[part].as_bytes());
        at += parts[part].len();
        part += 1;
    }
    bytes
}

pub(crate) async fn rows(executor: &impl Executor, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
    let statement = executor.prepare_cached(sql).await?;
    Ok(executor.query(&statement, params).await?)
}

/// Collects what `read` makes of each row.
pub(crate) async fn list<T, C: FromIterator<T>>(
    executor: &impl Executor,
    sql: &str,
    params: Params<'_>,
    read: impl FnMut(&Row) -> Result<T>,
) -> Result<C> {
    rows(executor, sql, params).await?.iter().map(read).collect()
}

pub(crate) async fn row(executor: &impl Executor, sql: &str, params: Params<'_>) -> Result<Row> {
    let statement = executor.prepare_cached(sql).await?;
    Ok(executor.query_one(&statement, params).await?)
}

pub(crate) async fn optional_row(executor: &impl Executor, sql: &str, params: Params<'_>) -> Result<Option<Row>> {
    let statement = executor.prepare_cached(sql).await?;
    Ok(executor.query_opt(&statement, params).await?)
}

/// What `read` makes of the row, if there is one.
pub(crate) async fn optional<T>(
    executor: &impl Executor,
    sql: &str,
    params: Params<'_>,
    read: impl FnOnce(&Row) -> Result<T>,
) -> Result<Option<T>> {
    optional_row(executor, sql, params)
        .await?
        .as_ref()
        .map(read)
        .transpose()
}

/// Returns the number of rows the statement changed.
pub(crate) async fn execute(executor: &impl Executor, sql: &str, params: Params<'_>) -> Result<u64> {
    let statement = executor.prepare_cached(sql).await?;
    Ok(executor.execute(&statement, params).await?)
}
