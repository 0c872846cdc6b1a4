//! One PostgreSQL for all test processes of this checkout, with a migrated template for the test databases.

use postgres_server::{Arrival, Plan, Shared};
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

pub(crate) const SUPERUSER: &str = "postgres";
pub(crate) const OWNER: &str = "loyalty_owner";
pub(crate) const RUNTIME: &str = "loyalty_app";

pub(crate) struct Server {
    shared: Shared,
    /// Test databases are copies of this one.
    pub(crate) template: String,
}

/// The server. The first call in a process starts it and blocks.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::join)
}

impl Server {
    fn join() -> Self {
        let mut hasher = DefaultHasher::new();
        env!("CARGO_MANIFEST_DIR").hash(&mut hasher);
        let plan = Plan {
            name: &format!("loyalty-test-{:016x}", hasher.finish()),
            superuser: SUPERUSER,
            settings: &["max_connections=200", "timezone=UTC", "log_timezone=UTC"],
            files: &[],
        };
        let (shared, gate) =
            Shared::join(&plan).unwrap_or_else(|problem| panic!("PostgreSQL for the tests: {problem}"));
        let template = template_name();
        let server = Self { shared, template };
        if gate.arrival == Arrival::First {
            block_on(server.drop_leftovers()).expect("drop the databases of killed tests");
        }
        server.ensure_template();
        server
    }

    pub(crate) fn url(&self, role: &str, database: &str) -> String {
        let data = self.shared.data();
        let host = data.to_string_lossy().replace('%', "%25").replace('/', "%2F");
        format!("postgresql://{role}@{host}/{database}")
    }

    /// Runs statements one by one on a new connection, each in its own transaction.
    pub(crate) async fn execute(&self, database: &str, statements: &[&str]) -> Result<(), tokio_postgres::Error> {
        let (client, connection) =
            tokio_postgres::connect(&self.url(SUPERUSER, database), tokio_postgres::NoTls).await?;
        let connection = tokio::spawn(connection);
        for statement in statements {
            client.batch_execute(statement).await?;
        }
        drop(client);
        let _ = connection.await;
        Ok(())
    }

    async fn drop_leftovers(&self) -> Result<(), tokio_postgres::Error> {
        for database in self.databases("NOT datistemplate AND datname <> 'postgres'").await? {
            self.execute(SUPERUSER, &[&format!("DROP DATABASE \"{database}\" WITH (FORCE)")])
                .await?;
        }
        Ok(())
    }

    async fn databases(&self, condition: &str) -> Result<Vec<String>, tokio_postgres::Error> {
        let (client, connection) =
            tokio_postgres::connect(&self.url(SUPERUSER, SUPERUSER), tokio_postgres::NoTls).await?;
        tokio::spawn(connection);
        let rows = client
            .query(&format!("SELECT datname::text FROM pg_database WHERE {condition}"), &[])
            .await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    /// The caller holds the gate. A template that was not finished lacks its mark and is created again.
    fn ensure_template(&self) {
        block_on(async {
            let template = &self.template;
            let finished = self
                .databases(&format!("datistemplate AND datname = '{template}'"))
                .await
                .expect("look for the template");
            if !finished.is_empty() {
                return;
            }
            let create_roles = format!(
                "DO $$ BEGIN
                   IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{OWNER}') THEN
                     CREATE ROLE {OWNER} LOGIN CREATEROLE; END IF;
                   IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{RUNTIME}') THEN
                     CREATE ROLE {RUNTIME} LOGIN; END IF;
                 END $$"
            );
            let drop_unfinished = format!("DROP DATABASE IF EXISTS {template} WITH (FORCE)");
            let create = format!("CREATE DATABASE {template} OWNER {OWNER}");
            self.execute(SUPERUSER, &[&create_roles, &drop_unfinished, &create])
                .await
                .expect("create the template");
            let owner = store::Db::new(&self.url(OWNER, template), None).expect("the owner's address");
            store::migrate::run(&owner).await.expect("migrate the template");
            let finish = [
                format!("GRANT loyalty_runtime TO {RUNTIME}"),
                // A template that accepts no connections can be copied at any time.
                format!("ALTER DATABASE {template} WITH IS_TEMPLATE true ALLOW_CONNECTIONS false"),
            ];
            drop(owner);
            self.execute(SUPERUSER, &[&finish[0], &finish[1]])
                .await
                .expect("finish the template");
        });
    }
}

/// The migrations are compiled into the test executable, so each build of an executable has its own template.
fn template_name() -> String {
    let executable = std::env::current_exe().expect("path of the test executable");
    let metadata = fs::metadata(&executable).expect("metadata of the test executable");
    let mut hasher = DefaultHasher::new();
    (executable, metadata.len(), metadata.mtime(), metadata.mtime_nsec()).hash(&mut hasher);
    format!("template_{:016x}", hasher.finish())
}

/// Uses a thread of its own, so that it works inside a test's runtime, outside of one, and in `Drop`.
pub(crate) fn block_on<F: Future<Output: Send> + Send>(future: F) -> F::Output {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(future)
        });
        thread.join().expect("the thread ends")
    })
}
