//! Runs a statement that the connection prepares once and keeps.

use crate::db::Executor;
use crate::error::Result;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

pub(crate) type Params<'a> = &'a [&'a (dyn ToSql + Sync)];

pub(crate) async fn rows(executor: &impl Executor, sql: &str, params: Params<'_>) -> Result<Vec<Row>> {
    let statement = executor.prepare_cached(sql).await?;
    Ok(executor.query(&statement, params).await?)
}

pub(crate) async fn row(executor: &impl Executor, sql: &str, params: Params<'_>) -> Result<Row> {
    let statement = executor.prepare_cached(sql).await?;
    Ok(executor.query_one(&statement, params).await?)
}

pub(crate) async fn optional_row(executor: &impl Executor, sql: &str, params: Params<'_>) -> Result<Option<Row>> {
    let statement = executor.prepare_cached(sql).await?;
    Ok(executor.query_opt(&statement, params).await?)
}

/// Answers the number of rows the statement changed.
pub(crate) async fn execute(executor: &impl Executor, sql: &str, params: Params<'_>) -> Result<u64> {
    let statement = executor.prepare_cached(sql).await?;
    Ok(executor.execute(&statement, params).await?)
}
