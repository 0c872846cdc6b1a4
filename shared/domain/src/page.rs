//! One page of a list.

/// Selects rows of an ordered list: start behind `after`, skip `skip` rows, return at most `limit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<Key> {
    /// The key of the last row of the previous page; `None` for the first page.
    pub after: Option<Key>,
    pub skip: i64,
    pub limit: i64,
}
