//! Lists with optional filters.

use crate::db::Executor;
use crate::error::Result;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

/// A SELECT whose text depends on its filters.
///
/// It is not prepared, so PostgreSQL plans it for the values at hand: only they show whether a prefix matches ten
/// players or all of them.
pub(crate) struct Select {
    text: String,
    conditions: Vec<String>,
    params: Vec<Box<dyn ToSql + Sync + Send>>,
}

impl Select {
    pub(crate) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            conditions: Vec::new(),
            params: Vec::new(),
        }
    }

    /// Adds a line, such as a JOIN.
    pub(crate) fn clause(&mut self, clause: &str) {
        self.text.push('\n');
        self.text.push_str(clause);
    }

    /// Adds a parameter and returns its placeholder.
    pub(crate) fn bind(&mut self, value: impl ToSql + Sync + Send + 'static) -> String {
        self.params.push(Box::new(value));
        format!("${}", self.params.len())
    }

    /// Adds a condition; all conditions must hold. Never write a value into the text: use [`Self::bind`].
    pub(crate) fn condition(&mut self, condition: String) {
        self.conditions.push(condition);
    }

    pub(crate) fn equals(&mut self, column: &str, value: impl ToSql + Sync + Send + 'static) {
        let value = self.bind(value);
        self.condition(format!("{column} = {value}"));
    }

    pub(crate) async fn page(
        mut self,
        executor: &impl Executor,
        order: &str,
        skip: i64,
        limit: i64,
    ) -> Result<Vec<Row>> {
        let rows = self.filtered(None);
        let (skip, limit) = (self.bind(skip), self.bind(limit));
        self.run(
            executor,
            &format!("{rows}\nORDER BY {order}\nOFFSET {skip}\nLIMIT {limit}"),
        )
        .await
    }

    /// Returns a page of the rows for which at least one of `any` holds. Each condition is a query of its own, in the
    /// order of the list and only as far as the page reaches: with an OR, PostgreSQL would scan the list until it
    /// found enough rows. `order` is the name of the first selected column inside those queries.
    pub(crate) async fn page_of_any(
        mut self,
        executor: &impl Executor,
        any: &[String],
        order: &str,
        skip: i64,
        limit: i64,
    ) -> Result<Vec<Row>> {
        let reach = self.bind(skip.saturating_add(limit));
        let parts: Vec<String> = any
            .iter()
            .map(|condition| format!("({}\nORDER BY {order}\nLIMIT {reach})", self.filtered(Some(condition))))
            .collect();
        let (skip, limit) = (self.bind(skip), self.bind(limit));
        self.run(
            executor,
            &format!("{}\nORDER BY 1\nOFFSET {skip}\nLIMIT {limit}", parts.join("\nUNION\n")),
        )
        .await
    }

    /// The text with all conditions, and `also`.
    fn filtered(&self, also: Option<&String>) -> String {
        let mut text = self.text.clone();
        for (index, condition) in self.conditions.iter().chain(also).enumerate() {
            text.push_str(if index == 0 { "\nWHERE " } else { "\n  AND " });
            text.push_str(condition);
        }
        text
    }

    async fn run(&self, executor: &impl Executor, sql: &str) -> Result<Vec<Row>> {
        let params: Vec<&(dyn ToSql + Sync)> = self
            .params
            .iter()
            .map(|value| -> &(dyn ToSql + Sync) { value.as_ref() })
            .collect();
        Ok(executor.query(sql, &params).await?)
    }
}
