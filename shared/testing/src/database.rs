//! A database per test.

use crate::server::{self, Server, block_on};
use store::Db;
use uuid::Uuid;

/// A fresh, migrated database on a real PostgreSQL, dropped with the value.
///
/// ```no_run
/// # async fn example() {
/// let test = testing::TestDb::new().await;
/// let client = test.db().client().await.unwrap();
/// # }
/// ```
pub struct TestDb {
    server: &'static Server,
    name: String,
    runtime: Db,
    owner: Db,
}

impl TestDb {
    pub async fn new() -> Self {
        let server = tokio::task::spawn_blocking(server::server)
            .await
            .expect("the test server is up");
        let name = format!("test_{}", Uuid::now_v7().simple());
        let create = format!(
            "CREATE DATABASE {name} TEMPLATE {} OWNER {}",
            server.template,
            server::OWNER
        );
        server
            .execute(server::SUPERUSER, &[&create])
            .await
            .expect("copy the template");
        let runtime = Db::new(&server.url(server::RUNTIME, &name), None).expect("the runtime role's address");
        let owner = Db::new(&server.url(server::OWNER, &name), None).expect("the owner's address");
        Self {
            server,
            name,
            runtime,
            owner,
        }
    }

    /// Connects as the functions do: with a login role that is a member of `loyalty_runtime`.
    pub fn db(&self) -> Db {
        self.runtime.clone()
    }

    /// Connects as the owner of the tables, who runs migrations and can tamper.
    pub fn owner(&self) -> Db {
        self.owner.clone()
    }

    /// The address of [`TestDb::db`], for a process the test starts.
    pub fn url(&self) -> String {
        self.server.url(server::RUNTIME, &self.name)
    }

    pub fn owner_url(&self) -> String {
        self.server.url(server::OWNER, &self.name)
    }

    /// For what only a superuser may do, such as `pg_terminate_backend`.
    pub fn superuser_url(&self) -> String {
        self.server.url(server::SUPERUSER, &self.name)
    }

    /// Runs a script as the owner.
    pub async fn tamper(&self, script: &str) {
        let client = self.owner.client().await.expect("connect as the owner");
        client.batch_execute(script).await.expect("tamper");
    }

    /// Registers a webhook for every event. Without one, no event is written to the outbox.
    pub async fn subscribe(&self) {
        self.tamper(
            "INSERT INTO webhooks (webhook_id, url, secret, created_at, created_by)
             VALUES (gen_random_uuid(), 'https://example.com/', 'secret', now(), 'test')",
        )
        .await;
    }

    /// The value of a query with one row and one column, as text; "null" for NULL.
    pub async fn text(&self, query: &str) -> String {
        let client = self.owner.client().await.expect("connect as the owner");
        let row = client
            .query_one(&format!("SELECT ({query})::text"), &[])
            .await
            .expect("query");
        row.get::<_, Option<String>>(0).unwrap_or_else(|| "null".to_owned())
    }
}

impl Drop for TestDb {
    fn drop(&mut self) {
        let drop = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name);
        // If this fails, the next start of the server removes the database.
        let _ = block_on(self.server.execute(server::SUPERUSER, &[&drop]));
    }
}

/// # Panics
/// When an invariant of the books is broken; the message names it and the first rows that break it.
pub async fn audit(db: &Db) {
    let invariants = store::jobs::audit::run(db).await.expect("run the audit");
    let broken: Vec<String> = invariants
        .iter()
        .filter(|invariant| !invariant.holds())
        .map(|invariant| {
            format!(
                "{}: {} broken\n    {}",
                invariant.name,
                invariant.broken,
                invariant.examples.join("\n    ")
            )
        })
        .collect();
    assert!(broken.is_empty(), "the books do not hold\n  {}", broken.join("\n  "));
}
