//! A scratch database with players.

use std::ops::Range;
use std::str::FromStr;

use app::Db;
use sha2::{Digest, Sha256};
use tokio_postgres::config::Host;
use tokio_postgres::{Client, Config, NoTls};

use crate::{Problem, Result};

/// Where a role finds a database, without TLS.
#[derive(Clone, Debug)]
pub struct Address {
    pub host: String,
    pub port: u16,
    pub user: String,
    pub password: String,
    pub database: String,
}

impl Address {
    pub fn parse(url: &str) -> Result<Self> {
        let config = Config::from_str(url)?;
        let host = match config.get_hosts().first() {
            Some(Host::Tcp(host)) => host.clone(),
            _ => return Err("the address needs a host reached by TCP".into()),
        };
        let user = config.get_user().ok_or("the address needs a user")?.to_owned();
        Ok(Self {
            host,
            port: config.get_ports().first().copied().unwrap_or(5432),
            password: String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned(),
            database: config.get_dbname().unwrap_or(&user).to_owned(),
            user,
        })
    }

    /// As libpq and its kin read it.
    pub fn text(&self) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        format!(
            "host={} port={} user={} password={} dbname={} sslmode=disable",
            quoted(&self.host),
            self.port,
            quoted(&self.user),
            quoted(&self.password),
            quoted(&self.database)
        )
    }

    pub async fn connect(&self) -> Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.text(), NoTls)
            .await
            .map_err(|problem| explain(&problem))?;
        tokio::spawn(connection);
        Ok(client)
    }

    pub fn db(&self) -> Result<Db> {
        Db::new(&self.text(), None).map_err(|problem| explain(&problem))
    }
}

/// An error with what lies underneath.
pub fn explain(problem: &(dyn std::error::Error + 'static)) -> Problem {
    let chain = std::iter::successors(Some(problem), |problem| problem.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ").into()
}

/// A migrated database of this run.
pub struct Scratch {
    server: Address,
    pub owner: Address,
    pub runtime: Address,
}

impl Scratch {
    pub async fn create(owner_url: &str, runtime_url: &str) -> Result<Self> {
        let database = format!("bench_{}", std::process::id());
        let server = Address::parse(owner_url)?;
        server
            .connect()
            .await?
            .batch_execute(&format!("CREATE DATABASE {database}"))
            .await
            .map_err(|problem| explain(&problem))?;
        let owner = Address {
            database: database.clone(),
            ..server.clone()
        };
        let scratch = Self {
            server,
            owner,
            runtime: Address {
                database,
                ..Address::parse(runtime_url)?
            },
        };
        match app::migrate::run(&scratch.owner.db()?).await {
            Ok(_) => Ok(scratch),
            Err(problem) => {
                let problem = explain(&problem);
                scratch.drop().await?;
                Err(problem)
            }
        }
    }

    pub async fn drop(self) -> Result<()> {
        let drop = format!("DROP DATABASE {} WITH (FORCE)", self.owner.database);
        self.server
            .connect()
            .await?
            .batch_execute(&drop)
            .await
            .map_err(|problem| explain(&problem))
    }

    /// Active players under these numbers, in the first tier.
    pub async fn add_players(&self, numbers: Range<u64>) -> Result<()> {
        let sql = format!(
            "WITH added AS (
               INSERT INTO players (player_id, tier, created_at)
               SELECT number::text, 'BRONZE', now() FROM generate_series({}, {}) AS number
               RETURNING 1
             )
             INSERT INTO stats (counter, slot, value)
             SELECT counter, 0, (SELECT count(*) FROM added)
             FROM unnest(ARRAY['players_total', 'players_active', 'tier:BRONZE']) AS counter
             ON CONFLICT (counter, slot) DO UPDATE SET value = stats.value + excluded.value",
            numbers.start,
            numbers.end - 1
        );
        self.owner
            .connect()
            .await?
            .batch_execute(&sql)
            .await
            .map_err(|problem| explain(&problem))
    }

    /// An operator's key; returns its text.
    pub async fn add_key(&self) -> Result<String> {
        let key = format!("bench-{}", self.owner.database);
        let hash = Sha256::digest(key.as_bytes()).to_vec();
        let sql = "INSERT INTO api_keys (key_id, key_hash, name, role, created_at)
            VALUES (gen_random_uuid(), $1, 'bench', 'operator', now())";
        self.owner
            .connect()
            .await?
            .execute(sql, &[&hash])
            .await
            .map_err(|problem| explain(&problem))?;
        Ok(key)
    }

    /// # Errors
    /// When the books do not hold: the first broken row of each invariant.
    pub async fn audit(&self) -> Result<()> {
        let invariants = app::jobs::audit::run(&self.runtime.db()?)
            .await
            .map_err(|problem| explain(&problem))?;
        let broken: Vec<String> = invariants
            .iter()
            .filter(|invariant| !invariant.holds())
            .map(|invariant| {
                format!(
                    "{} ({} rows, first {})",
                    invariant.name,
                    invariant.broken,
                    invariant.first().unwrap_or_default()
                )
            })
            .collect();
        if broken.is_empty() {
            Ok(())
        } else {
            Err(format!("the books do not hold: {}", broken.join("; ")).into())
        }
    }
}
