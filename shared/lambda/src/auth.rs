//! API keys: authentication and authorization.

use crate::api::Access;
use crate::clock::Clock;
use crate::problem::Problem;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::StatusCode;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::Response;
use domain::access::{ApiKey, Role};
use domain::act::Act;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// A revoked key keeps working in a warm function for at most this long.
const CACHED_FOR: SignedDuration = SignedDuration::from_secs(60);
const CACHED_KEYS_MAX: usize = 1_000;
const KEY_CHARACTERS_MAX: usize = 256;

type Lookup = dyn Fn([u8; 32]) -> BoxFuture<'static, Result<Option<ApiKey>, Problem>> + Send + Sync;

/// Finds callers by the hash of their key and caches them for at most 60 s.
#[derive(Clone)]
pub struct Auth {
    lookup: Arc<Lookup>,
    found: Arc<Mutex<HashMap<[u8; 32], Found>>>,
}

struct Found {
    key: ApiKey,
    at: Timestamp,
}

impl Auth {
    /// `lookup` returns the key with this SHA-256, valid or not. Unknown keys are not cached, so a key that was tried
    /// too early works as soon as it exists.
    pub fn new<F, Fut, E>(lookup: F) -> Self
    where
        F: Fn([u8; 32]) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<ApiKey>, E>> + Send + 'static,
        E: Into<Problem>,
    {
        let lookup = move |hash| -> BoxFuture<'static, Result<Option<ApiKey>, Problem>> {
            let found = lookup(hash);
            Box::pin(async move { found.await.map_err(Into::into) })
        };
        Self {
            lookup: Arc::new(lookup),
            found: Arc::default(),
        }
    }

    /// The caller who holds this key; 401 if it is unknown, expired or revoked. If the lookup fails, the request fails:
    /// access is never granted because the database is unavailable.
    pub async fn caller(&self, key_text: &str, now: Timestamp) -> Result<Caller, Problem> {
        let hash = hash(key_text);
        let key = match self.remembered(&hash, now) {
            Some(key) => key,
            None => {
                let key = (self.lookup)(hash)
                    .await?
                    .ok_or_else(|| unauthorized("this key is unknown"))?;
                self.remember(hash, key.clone(), now);
                key
            }
        };
        if !key.is_valid(now) {
            return Err(unauthorized("this key has expired or was revoked"));
        }
        Ok(Caller {
            key_id: key.key_id,
            name: key.name,
            role: key.role,
        })
    }

    fn remembered(&self, hash: &[u8; 32], now: Timestamp) -> Option<ApiKey> {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        found
            .get(hash)
            .filter(|found| is_fresh(found.at, now))
            .map(|found| found.key.clone())
    }

    fn remember(&self, hash: [u8; 32], key: ApiKey, now: Timestamp) {
        let mut found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found.len() >= CACHED_KEYS_MAX {
            found.retain(|_, found| is_fresh(found.at, now));
        }
        if found.len() < CACHED_KEYS_MAX {
            found.insert(hash, Found { key, at: now });
        }
    }
}

/// An entry from the future is stale: without this check, setting the clock back would extend its life.
fn is_fresh(at: Timestamp, now: Timestamp) -> bool {
    (SignedDuration::ZERO..CACHED_FOR).contains(&now.duration_since(at))
}

/// SHA-256 of the key's text, which is all that is stored.
pub fn hash(key_text: &str) -> [u8; 32] {
    Sha256::digest(key_text.as_bytes()).into()
}

/// The authenticated caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    pub key_id: Uuid,
    pub name: String,
    pub role: Role,
}

impl Caller {
    /// Name and id, as the audit log and the ledger record them.
    pub fn actor(&self) -> String {
        format!("{} ({})", self.name, self.key_id)
    }
}

/// Extractor for writes without an idempotency key: the actor, the time and a source of ids. Returns 401 on a public
/// route, which has no caller.
#[derive(Debug)]
pub struct Acting(pub Act);

impl<S: Sync> FromRequestParts<S> for Acting {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let context = Clock::from_request_parts(parts, state).await?.context();
        let caller = parts.extensions.get::<Caller>();
        let actor = caller.ok_or_else(|| unauthorized("a key is needed"))?.actor();
        Ok(Self(Act::of(actor, context)))
    }
}

#[derive(Clone)]
pub(crate) struct Guard {
    pub auth: Auth,
    pub access: Access,
}

/// Checks key and role before the body is read.
pub(crate) async fn check(
    State(guard): State<Guard>,
    clock: Clock,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let caller = guard.auth.caller(bearer(&request)?, clock.now()).await?;
    if !guard.access.allows(caller.role) {
        return Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!("the role {} may not do this", caller.role),
        ));
    }
    request.extensions_mut().insert(caller);
    Ok(next.run(request).await)
}

fn bearer(request: &Request) -> Result<&str, Problem> {
    let header = request
        .headers()
        .get(AUTHORIZATION)
        .ok_or_else(|| unauthorized("a key is needed: Authorization: Bearer <api key>"))?;
    let malformed = || unauthorized("the Authorization header is not: Bearer <api key>");
    let (scheme, key) = header
        .to_str()
        .ok()
        .and_then(|header| header.split_once(' '))
        .ok_or_else(malformed)?;
    let key = key.trim();
    if !scheme.eq_ignore_ascii_case("Bearer") || key.is_empty() || key.len() > KEY_CHARACTERS_MAX {
        return Err(malformed());
    }
    Ok(key)
}

fn unauthorized(detail: &str) -> Problem {
    Problem::new(StatusCode::UNAUTHORIZED, detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::problem::{Refusal, RefusalKind};
    use std::cell::Cell;
    use std::sync::atomic::{AtomicUsize, Ordering};

    thread_local! {
        static SECONDS: Cell<i64> = const { Cell::new(0) };
    }

    /// A clock for the test's own thread.
    fn test_clock() -> Timestamp {
        Timestamp::from_second(1_800_000_000 + SECONDS.get()).unwrap()
    }

    #[derive(Debug, thiserror::Error)]
    #[error("away")]
    struct Away;

    impl From<Away> for Refusal {
        fn from(_: Away) -> Refusal {
            Refusal::new(RefusalKind::Unavailable, "", "")
        }
    }

    struct Table {
        auth: Auth,
        stored: Arc<Mutex<Option<ApiKey>>>,
        lookups: Arc<AtomicUsize>,
    }

    /// Holds one key, which every text finds.
    fn table(expires_at: Option<Timestamp>) -> Table {
        let key_id = Uuid::from_u128(1);
        let key = ApiKey {
            key_id,
            name: "ci".into(),
            role: Role::Viewer,
            created_at: test_clock(),
            expires_at,
            revoked_at: None,
        };
        let stored = Arc::new(Mutex::new(Some(key)));
        let lookups = Arc::new(AtomicUsize::new(0));
        let (asked, count) = (stored.clone(), lookups.clone());
        let auth = Auth::new(move |_| {
            count.fetch_add(1, Ordering::Relaxed);
            let answer = asked.lock().unwrap().clone();
            async move { Ok::<_, Away>(answer) }
        });
        Table { auth, stored, lookups }
    }

    impl Table {
        async fn status(&self) -> u16 {
            self.auth
                .caller("lk_test", test_clock())
                .await
                .map_or_else(|problem| problem.status.as_u16(), |_| 200)
        }

        fn lookups(&self) -> usize {
            self.lookups.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn a_key_is_looked_up_once_a_minute() {
        let table = table(None);
        for (seconds, lookups) in [(0, 1), (59, 1), (60, 2), (119, 2), (120, 3)] {
            SECONDS.set(seconds);
            assert_eq!(
                (table.status().await, table.lookups()),
                (200, lookups),
                "after {seconds} s"
            );
        }
    }

    #[tokio::test]
    async fn a_revoked_key_ends_within_a_minute() {
        let table = table(None);
        assert_eq!(table.status().await, 200);
        table.stored.lock().unwrap().as_mut().unwrap().revoked_at = Some(test_clock());
        SECONDS.set(59);
        assert_eq!(table.status().await, 200);
        SECONDS.set(60);
        assert_eq!(table.status().await, 401);
    }

    #[tokio::test]
    async fn a_key_expires_to_the_second_though_it_is_remembered() {
        let table = table(Some(test_clock() + SignedDuration::from_secs(30)));
        SECONDS.set(29);
        assert_eq!(table.status().await, 200);
        SECONDS.set(30);
        assert_eq!((table.status().await, table.lookups()), (401, 1));
    }

    #[tokio::test]
    async fn a_key_works_as_soon_as_it_is_made() {
        let table = table(None);
        let key = table.stored.lock().unwrap().take();
        assert_eq!(table.status().await, 401);
        *table.stored.lock().unwrap() = key;
        assert_eq!(table.status().await, 200);
    }

    #[tokio::test]
    async fn a_clock_set_back_does_not_keep_a_key_alive() {
        let table = table(None);
        SECONDS.set(1_000);
        assert_eq!(table.status().await, 200);
        SECONDS.set(0);
        assert_eq!((table.status().await, table.lookups()), (200, 2));
    }

    #[tokio::test]
    async fn nobody_gets_in_while_keys_cannot_be_looked_up() {
        let auth = Auth::new(|_| async { Err::<Option<ApiKey>, _>(Away) });
        assert_eq!(
            auth.caller("lk_test", test_clock()).await.unwrap_err().status.as_u16(),
            503
        );
    }

    #[tokio::test]
    async fn the_memory_for_keys_is_bounded() {
        let table = table(None);
        for number in 0..CACHED_KEYS_MAX + 10 {
            table.auth.caller(&format!("lk_{number}"), test_clock()).await.unwrap();
        }
        assert_eq!(table.auth.found.lock().unwrap().len(), CACHED_KEYS_MAX);
        SECONDS.set(60);
        table.auth.caller("lk_new", test_clock()).await.unwrap();
        assert_eq!(table.auth.found.lock().unwrap().len(), 1);
    }
}
