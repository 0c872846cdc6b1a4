//! PostgreSQL: the one in `DATABASE_URL`, otherwise a private server from the installed binaries.

use std::{
    fs,
    hash::{DefaultHasher, Hash, Hasher},
    io::Read,
    net::Ipv4Addr,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use postgres_server::{Installation, Login};
use rustix::process::Signal;
use serde::{Deserialize, Serialize};
use tokio::{
    process::Command,
    time::{Instant, sleep},
};
use tokio_postgres::{Client, Config, NoTls, config::Host, error::SqlState};

use crate::tell::{caution, say};
use crate::{
    layout::{Layout, LayoutError, write_private},
    process::{Identity, ProcessError, Register, Running, free_port, signal_process, until_gone},
    stop::Stop,
};

/// The server's name among the processes of the stack.
pub const NAME: &str = "postgres";
/// A fast shutdown writes a checkpoint first.
pub const STOP_GRACE: Duration = Duration::from_secs(60);
/// Crash recovery replays the log since the last checkpoint.
const STARTS_WITHIN: Duration = Duration::from_secs(120);

const DATABASE: &str = "loyalty";
const OWNER: &str = "loyalty_owner";
/// The login role of the functions. `migrate` gives it their rights.
pub const APP: &str = "loyalty_app";

/// Sized for a disposable machine. `fsync` and `synchronous_commit` stay on, because measurements would mean
/// nothing without them. The system allocates buffers page by page, so a small program uses little memory.
const SETTINGS: [&str; 7] = [
    "listen_addresses=127.0.0.1",
    "unix_socket_directories=",
    "shared_buffers=2GB",
    "max_wal_size=4GB",
    "checkpoint_timeout=15min",
    "max_connections=200",
    "logging_collector=off",
];

#[derive(Debug, thiserror::Error)]
pub enum PostgresError {
    #[error("a private PostgreSQL, as DATABASE_URL names none: {0}")]
    Server(#[from] postgres_server::Error),
    #[error("{}: {problem}", path.display())]
    File { path: PathBuf, problem: std::io::Error },
    #[error("DATABASE_URL: {0}")]
    Address(String),
    #[error("the database: {}", explain(.0))]
    Sql(#[from] tokio_postgres::Error),
    #[error(transparent)]
    Layout(#[from] LayoutError),
    #[error(transparent)]
    Process(#[from] ProcessError),
}

fn explain(problem: &tokio_postgres::Error) -> String {
    std::error::Error::source(problem).map_or_else(|| problem.to_string(), |source| format!("{problem}: {source}"))
}

/// The database of the stack.
#[derive(Clone, Debug)]
pub struct Database {
    /// For migrations and for people: logs in as the owner of the schema.
    pub owner_url: String,
    /// For the functions.
    pub app_url: String,
    /// The private server, if we run one.
    pub server: Option<Server>,
}

/// A private server, which may not be running.
#[derive(Clone, Debug)]
pub struct Server {
    installation: Installation,
    home: PathBuf,
    port: u16,
}

#[derive(Debug, Serialize, Deserialize)]
struct Secrets {
    owner: String,
    app: String,
    /// The port of the last start, reused while it is free so that addresses stay valid.
    port: u16,
}

/// Chooses the database: that of `DATABASE_URL`, unless it is our own (because a shell has read `.local/env`),
/// otherwise a private one.
pub fn choose(layout: &Layout) -> Result<Database, PostgresError> {
    let is_ours = |url: &String| {
        homes(layout)
            .iter()
            .filter_map(|home| Secrets::read(home))
            .any(|secrets| url.contains(&secrets.owner))
    };
    match std::env::var("DATABASE_URL")
        .ok()
        .filter(|url| !url.is_empty() && !is_ours(url))
    {
        Some(url) => external(&url),
        None => private(layout),
    }
}

fn external(url: &str) -> Result<Database, PostgresError> {
    let config = Config::from_str(url).map_err(|problem| PostgresError::Address(explain(&problem)))?;
    let host = config.get_hosts().iter().find_map(|host| match host {
        Host::Tcp(host) => Some(host.clone()),
        Host::Unix(_) => None,
    });
    let host = host.ok_or_else(|| PostgresError::Address("a host reached by TCP is needed".to_owned()))?;
    let port = config.get_ports().first().copied().unwrap_or(5432);
    let database = config.get_dbname().or(config.get_user()).unwrap_or(DATABASE);
    let app_url = format!("postgresql://{APP}:{}@{host}:{port}/{database}", random_hex(16)?);
    Ok(Database {
        owner_url: url.to_owned(),
        app_url,
        server: None,
    })
}

fn private(layout: &Layout) -> Result<Database, PostgresError> {
    let installation = Installation::find()?;
    let home = home(layout, &installation)?;
    let mut secrets = match Secrets::read(&home) {
        Some(secrets) => secrets,
        None => Secrets {
            owner: random_hex(16)?,
            app: random_hex(16)?,
            port: 0,
        },
    };
    secrets.port = free_port(Ipv4Addr::LOCALHOST.into(), Some(secrets.port).filter(|port| *port > 0))?;
    write_private(
        &Secrets::file(&home),
        &serde_json::to_string_pretty(&secrets).unwrap_or_default(),
    )?;
    let server = Server {
        installation,
        home,
        port: secrets.port,
    };
    let url =
        |user: &str, password: &str| format!("postgresql://{user}:{password}@127.0.0.1:{}/{DATABASE}", secrets.port);
    let (owner_url, app_url) = (url(OWNER, &secrets.owner), url(APP, &secrets.app));
    server.create_if_new(&secrets.owner)?;
    Ok(Database {
        owner_url,
        app_url,
        server: Some(server),
    })
}

impl Secrets {
    fn file(home: &Path) -> PathBuf {
        home.join("secrets.json")
    }

    fn read(home: &Path) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(Self::file(home)).ok()?).ok()
    }
}

/// Possible places for the cluster: `.local/pg`, or below `/var/lib` if the server's account may not enter the
/// workspace.
pub fn homes(layout: &Layout) -> [PathBuf; 2] {
    let mut hasher = DefaultHasher::new();
    layout.state_dir().hash(&mut hasher);
    [
        layout.state_dir().join("pg"),
        PathBuf::from(format!("/var/lib/loyalty-local-{:016x}", hasher.finish())),
    ]
}

fn home(layout: &Layout, installation: &Installation) -> Result<PathBuf, PostgresError> {
    let [near, far] = homes(layout);
    let create = |home: PathBuf| match fs::create_dir_all(&home) {
        Ok(()) => Ok(home),
        Err(problem) => Err(PostgresError::File { path: home, problem }),
    };
    let near = create(near)?;
    if installation.account().is_none() {
        return Ok(near);
    }
    // Whatever the umask, the account must pass through these two directories. Secret files in them have modes of
    // their own.
    for dir in [layout.state_dir(), near.clone()] {
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(&dir, open).map_err(|problem| PostgresError::File { path: dir, problem })?;
    }
    if installation.may_enter(&near) {
        Ok(near)
    } else {
        create(far)
    }
}

/// The `psql` next to the server, otherwise the one in the PATH.
pub fn find_psql() -> PathBuf {
    let beside = Installation::find().map(|found| found.directory.join("psql"));
    beside
        .ok()
        .filter(|psql| psql.is_file())
        .unwrap_or_else(|| PathBuf::from("psql"))
}

impl Server {
    fn data(&self) -> PathBuf {
        self.home.join("data")
    }

    /// Address, account and data directory, for people.
    pub fn describe(&self) -> String {
        let account = self.installation.account();
        let account = account.map(|name| format!(", running as `{name}`")).unwrap_or_default();
        format!(
            "PostgreSQL {} on 127.0.0.1:{}, data in {}{account}",
            self.installation.version,
            self.port,
            self.home.display()
        )
    }

    /// Whether the data are outside the workspace because the account may not enter it.
    pub fn lives_elsewhere(&self, layout: &Layout) -> bool {
        !self.home.starts_with(&layout.root)
    }

    fn create_if_new(&self, owner_password: &str) -> Result<(), PostgresError> {
        if self.data().join("PG_VERSION").is_file() {
            return Ok(());
        }
        let login = Login::Password(owner_password);
        Ok(self.installation.initialize(&self.data(), OWNER, login)?)
    }

    /// Starts the server and waits until it accepts connections.
    pub async fn start(&self, layout: &Layout, register: &Register) -> Result<Running, PostgresError> {
        self.stop_stray().await;
        let mut command = self.installation.server(&self.data(), &SETTINGS);
        command.args(["-p", &self.port.to_string()]);
        let mut running = Running::start(NAME, Command::from(command), &layout.log(NAME), register)?;
        running
            .until_it_accepts((Ipv4Addr::LOCALHOST, self.port).into(), STARTS_WITHIN)
            .await?;
        Ok(running)
    }

    /// A server on our data that is not our child: left by a killed stack, or started by `pg_ctl`.
    fn stray(&self) -> Option<Identity> {
        postgres_server::process(&self.data()).and_then(Identity::of)
    }

    async fn stop_stray(&self) {
        if let Some(stray) = self.stray() {
            signal_process(stray.pid, Signal::INT);
            until_gone(&stray, STOP_GRACE).await;
        }
    }

    /// Keeps the server running until `stop` turns true: restarts it when it is gone, but accepts one that somebody
    /// restarted with `pg_ctl`.
    pub async fn keep(self, mut running: Running, layout: Layout, register: Register, mut stop: Stop) {
        loop {
            tokio::select! {
                () = stop.said() => break running.stop(Signal::INT, STOP_GRACE).await,
                status = running.ended() => caution!("PostgreSQL ended ({status})"),
            }
            tokio::select! {
                () = stop.said() => break,
                again = self.start_again(&layout, &register) => running = again,
            }
        }
        self.stop_stray().await;
    }

    async fn start_again(&self, layout: &Layout, register: &Register) -> Running {
        loop {
            // `pg_ctl restart` needs a moment between stop and start.
            sleep(Duration::from_secs(1)).await;
            if let Some(stray) = self.stray() {
                register.add(NAME, stray.pid);
                while stray.is_alive() {
                    sleep(Duration::from_millis(500)).await;
                }
                continue;
            }
            match self.start(layout, register).await {
                Ok(running) => {
                    say!("PostgreSQL is running again");
                    return running;
                }
                Err(problem) => caution!("{problem}"),
            }
        }
    }
}

impl Database {
    /// Connects, waiting while the server still replays its log.
    async fn connect(config: &Config) -> Result<Client, PostgresError> {
        let until = Instant::now() + STARTS_WITHIN;
        let (client, connection) = loop {
            match config.connect(NoTls).await {
                Err(problem) if problem.code() == Some(&SqlState::CANNOT_CONNECT_NOW) && Instant::now() < until => {
                    sleep(Duration::from_millis(100)).await;
                }
                connected => break connected?,
            }
        };
        tokio::spawn(async move {
            if let Err(problem) = connection.await {
                caution!("connection to the database: {}", explain(&problem));
            }
        });
        Ok(client)
    }

    /// Creates the database and the login role of the functions. The migrations create the tables.
    pub async fn create(&self) -> Result<(), PostgresError> {
        if self.server.is_some() {
            let mut config = Config::from_str(&self.owner_url)?;
            config.dbname("postgres");
            let client = Self::connect(&config).await?;
            if client
                .query_opt("SELECT FROM pg_database WHERE datname = $1", &[&DATABASE])
                .await?
                .is_none()
            {
                client.batch_execute(&format!("CREATE DATABASE {DATABASE}")).await?;
            }
        }
        let client = Self::connect(&Config::from_str(&self.owner_url)?).await?;
        let config = Config::from_str(&self.app_url)?;
        // Hexadecimal digits that we generated: nothing to escape.
        let password = String::from_utf8_lossy(config.get_password().unwrap_or_default()).into_owned();
        let exists = client
            .query_opt("SELECT FROM pg_roles WHERE rolname = $1", &[&APP])
            .await?
            .is_some();
        let verb = if exists { "ALTER" } else { "CREATE" };
        client
            .batch_execute(&format!("{verb} ROLE {APP} LOGIN PASSWORD '{password}'"))
            .await?;
        Ok(())
    }
}

/// Returns `bytes` random bytes as hexadecimal digits.
pub fn random_hex(bytes: usize) -> Result<String, PostgresError> {
    let source = Path::new("/dev/urandom");
    let fail = |problem| PostgresError::File {
        path: source.to_path_buf(),
        problem,
    };
    let mut random = vec![0; bytes];
    fs::File::open(source)
        .and_then(|mut file| file.read_exact(&mut random))
        .map_err(fail)?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}
