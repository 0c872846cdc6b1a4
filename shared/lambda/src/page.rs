//! Pagination: `limit` with `skip`, or with the cursor of the previous page.

use crate::extract::query_pairs;
use crate::problem::Problem;
use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::header::LINK;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use domain::problem::Refusal;
use serde::Serialize;
use std::str::FromStr;

pub const LIMIT_DEFAULT: i64 = 100;
/// Larger limits are reduced to this.
pub const LIMIT_MAX: i64 = 1_000;
pub(crate) const PARAMETERS: [&str; 3] = ["skip", "limit", "cursor"];

/// Extractor; 422 with `?skip` or `?limit` if one is not an integer or too small.
#[derive(Debug, Clone)]
pub struct Page {
    /// ≥ 0.
    pub skip: i64,
    /// 1 to 1000.
    pub limit: i64,
    cursor: Option<String>,
    path: String,
    filters: Vec<(String, String)>,
}

impl<S: Sync> FromRequestParts<S> for Page {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let (own, filters): (Vec<_>, Vec<_>) = query_pairs(&parts.uri)?
            .into_iter()
            .partition(|(name, _)| PARAMETERS.contains(&name.as_str()));
        let mut page = Page {
            skip: 0,
            limit: LIMIT_DEFAULT,
            cursor: None,
            path: parts.uri.path().to_owned(),
            filters,
        };
        for (name, value) in own {
            match name.as_str() {
                "skip" => page.skip = integer("?skip", &value, 0)?,
                "limit" => page.limit = integer("?limit", &value, 1)?.min(LIMIT_MAX),
                _ => page.cursor = Some(value),
            }
        }
        Ok(page)
    }
}

/// Parses an integer of at least `least`; one beyond `i64` saturates.
fn integer(pointer: &str, text: &str, least: i64) -> Result<i64, Refusal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Refusal::invalid_at(
            pointer,
            "type",
            format!("{text:?} is not an integer"),
        ));
    }
    let value = text
        .parse()
        .unwrap_or(if text.starts_with('-') { i64::MIN } else { i64::MAX });
    if value < least {
        return Err(Refusal::invalid_at(
            pointer,
            "range",
            format!("must be at least {least}"),
        ));
    }
    Ok(value)
}

impl Page {
    /// The page as use cases take it; 422 if the cursor is not one of this list.
    pub fn slice<K: FromStr>(&self) -> Result<domain::page::Page<K>, Problem> {
        Ok(domain::page::Page {
            after: self.cursor()?,
            skip: self.skip,
            limit: self.limit,
        })
    }

    /// The key after which this page starts; 422 as for [`Page::slice`].
    pub fn cursor<K: FromStr>(&self) -> Result<Option<K>, Problem> {
        match &self.cursor {
            None => Ok(None),
            Some(text) => match text.parse() {
                Ok(key) => Ok(Some(key)),
                Err(_) => Err(Refusal::invalid_at("?cursor", "format", "is not a cursor of this list").into()),
            },
        }
    }

    /// The items as a JSON array. A full page links to the next in a `Link` header, by the key of its last item.
    pub fn respond<T: Serialize>(&self, items: Vec<T>, key: impl Fn(&T) -> String) -> Response {
        let next = items
            .last()
            .filter(|_| self.is_full(&items))
            .and_then(|last| self.next_link(&key(last)));
        respond(items, next)
    }

    /// Like [`Page::respond`], for a list that is paged by `skip`.
    pub fn respond_skipping<T: Serialize>(&self, items: Vec<T>) -> Response {
        let next = self
            .is_full(&items)
            .then(|| self.link("skip", &self.skip.saturating_add(self.limit).to_string()))
            .flatten();
        respond(items, next)
    }

    fn is_full<T>(&self, items: &[T]) -> bool {
        i64::try_from(items.len()).is_ok_and(|count| count >= self.limit)
    }

    /// `</api/players?segment=VIP&limit=100&cursor=P100>; rel="next"`
    pub fn next_link(&self, cursor: &str) -> Option<String> {
        self.link("cursor", cursor)
    }

    fn link(&self, name: &str, value: &str) -> Option<String> {
        let mut pairs = self.filters.clone();
        pairs.push(("limit".into(), self.limit.to_string()));
        pairs.push((name.to_owned(), value.to_owned()));
        let query = serde_urlencoded::to_string(pairs).ok()?;
        Some(format!("<{}?{query}>; rel=\"next\"", self.path))
    }
}

fn respond<T: Serialize>(items: Vec<T>, next: Option<String>) -> Response {
    match next {
        Some(link) => ([(LINK, link)], Json(items)).into_response(),
        None => Json(items).into_response(),
    }
}
