//! A slice of a list.

/// Which rows of an ordered list: those after `after`, then `skip` fewer, then `limit` of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<Key> {
    /// The key of the last row of the page before; `None` for the first page.
    pub after: Option<Key>,
    pub skip: i64,
    pub limit: i64,
}
