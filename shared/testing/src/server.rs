//! One PostgreSQL for all test processes of this workspace: started by the first, stopped when the last is gone.
//!
//! It listens on a Unix socket inside its data directory only, so two checkouts or a server of the machine's own
//! never meet. The data directory stays for the next run (at most a day): `initdb` takes longer than many tests.

use std::collections::hash_map::DefaultHasher;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::hash::{Hash, Hasher};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

pub(crate) const SUPERUSER: &str = "postgres";
pub(crate) const OWNER: &str = "loyalty_owner";
pub(crate) const RUNTIME: &str = "loyalty_app";

const VERSION_MIN: u32 = 15;
const START_TIMEOUT: Duration = Duration::from_secs(60);
const DATA_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// A socket's path may have 107 bytes, and ours adds about 50.
const TEMPORARY_DIRECTORY_LENGTH_MAX: usize = 55;

pub(crate) struct Server {
    base: PathBuf,
    /// Databases of tests are copies of this one.
    pub(crate) template: String,
    /// The shared lock says that somebody uses the server; it goes when the process ends, however it ends.
    _user: File,
}

/// The server, started at the first call in a process. Blocks.
pub(crate) fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(Server::join)
}

impl Server {
    fn join() -> Self {
        let base = base_directory();
        let gate = lock_file(&base, "gate.lock");
        gate.lock().expect("lock the gate");
        let user = lock_file(&base, "users.lock");
        user.lock_shared().expect("register as a user of the server");
        let mut server = Self {
            template: template_name(),
            base,
            _user: user,
        };
        if server.is_stopped() {
            server.start();
        }
        server.ensure_template();
        server
    }

    pub(crate) fn url(&self, role: &str, database: &str) -> String {
        let host = self.data().to_string_lossy().replace('%', "%25").replace('/', "%2F");
        format!("postgresql://{role}@{host}/{database}")
    }

    /// Runs statements one by one, each in its own transaction, on a connection of its own.
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

    fn data(&self) -> PathBuf {
        self.base.join("data")
    }

    fn is_stopped(&self) -> bool {
        match lock_file(&self.base, "watchdog.lock").try_lock() {
            Ok(()) => true,
            Err(TryLockError::WouldBlock) => false,
            Err(TryLockError::Error(error)) => panic!("cannot look for the watchdog: {error}"),
        }
    }

    /// The caller holds the gate.
    fn start(&mut self) {
        let binaries = Binaries::find();
        let account = Account::choose();
        let initialized = self.base.join("initialized");
        let fresh = fs::metadata(&initialized)
            .and_then(|marker| marker.modified())
            .is_ok_and(|at| at.elapsed().is_ok_and(|age| age < DATA_AGE_MAX))
            && fs::read_to_string(&initialized).is_ok_and(|version| version == binaries.version_text);
        if self.data().join("postmaster.pid").exists() {
            // Its watchdog was killed. Stopping fails when the server is gone too.
            let stop = ["-D", path_text(&self.data()), "-m", "immediate", "-w", "stop"].map(str::to_owned);
            let _ = account.command(&binaries.directory.join("pg_ctl"), &stop).output();
        }
        if !fresh {
            let _ = fs::remove_file(&initialized);
            self.initialize(&binaries, &account);
            fs::write(&initialized, &binaries.version_text).expect("mark the data directory");
        }
        self.spawn_watchdog(&binaries, &account);
        if let Err(message) = self.wait_until_ready() {
            let _ = fs::remove_file(&initialized); // the next attempt starts from nothing
            let log = fs::read_to_string(self.base.join("log")).unwrap_or_default();
            panic!("PostgreSQL for the tests does not start: {message}\n{log}");
        }
        block_on(self.drop_leftovers()).expect("drop the databases of killed tests");
    }

    fn initialize(&self, binaries: &Binaries, account: &Account) {
        let data = self.data();
        if data.exists() {
            fs::remove_dir_all(&data).expect("remove the old data directory");
        }
        fs::create_dir(&data).expect("create the data directory");
        fs::set_permissions(&data, Permissions::from_mode(0o700)).expect("close the data directory");
        account.give(&data);
        let arguments = [
            "-D",
            path_text(&data),
            "-U",
            SUPERUSER,
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--no-locale",
            "--no-sync",
        ]
        .map(str::to_owned);
        let output = account
            .command(&binaries.directory.join("initdb"), &arguments)
            .output()
            .expect("run initdb");
        assert!(output.status.success(), "initdb: {}", text(&output));
    }

    /// The watchdog is in a process group of its own: a Ctrl-C, or a runner that ends a test's group, leaves it to do
    /// its work.
    fn spawn_watchdog(&self, binaries: &Binaries, account: &Account) {
        let data = self.data();
        let mut arguments = vec!["-D".to_owned(), path_text(&data).to_owned()];
        for setting in [
            "listen_addresses=",
            &format!("unix_socket_directories={}", path_text(&data)),
            "max_connections=200",
            "fsync=off",
            "full_page_writes=off",
            "synchronous_commit=off",
            "wal_level=minimal",
            "max_wal_senders=0",
            "max_wal_size=256MB",
            "jit=off",
            "timezone=UTC",
            "log_timezone=UTC",
        ] {
            arguments.extend(["-c".to_owned(), setting.to_owned()]);
        }
        let server = account.command(&binaries.directory.join("postgres"), &arguments);
        let log = File::create(self.base.join("log")).expect("create the server's log");
        let mut watchdog = Command::new("sh")
            .args(["-c", include_str!("watchdog.sh"), "loyalty-test-watchdog"])
            .arg(&self.base)
            .arg(server.get_program())
            .args(server.get_args())
            .current_dir("/")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("share the server's log"))
            .stderr(log)
            .process_group(0)
            .spawn()
            .expect("start the watchdog of the test server");
        // It ends during this process only when the server cannot start.
        std::thread::spawn(move || watchdog.wait());
    }

    fn wait_until_ready(&self) -> Result<(), String> {
        let begun = Instant::now();
        while let Err(error) = block_on(self.execute(SUPERUSER, &["SELECT 1"])) {
            if begun.elapsed() > START_TIMEOUT || (begun.elapsed() > Duration::from_secs(2) && self.is_stopped()) {
                return Err(error.to_string());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
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

    /// The caller holds the gate. A template that was not finished does not carry its mark, and is made again.
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
                   IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{OWNER}') THEN CREATE ROLE {OWNER} LOGIN CREATEROLE; END IF;
                   IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{RUNTIME}') THEN CREATE ROLE {RUNTIME} LOGIN; END IF;
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

/// The migrations are compiled into the test executable, so a template belongs to one build of one executable.
fn template_name() -> String {
    let executable = std::env::current_exe().expect("path of the test executable");
    let metadata = fs::metadata(&executable).expect("metadata of the test executable");
    let mut hasher = DefaultHasher::new();
    (executable, metadata.len(), metadata.mtime(), metadata.mtime_nsec()).hash(&mut hasher);
    format!("template_{:016x}", hasher.finish())
}

/// A directory per user and checkout. `target/` would not do: as root the server runs under another account, which may
/// not be able to reach it.
fn base_directory() -> PathBuf {
    let mut hasher = DefaultHasher::new();
    env!("CARGO_MANIFEST_DIR").hash(&mut hasher);
    let checkout = hasher.finish();
    let uid = current_uid();
    let base = temporary_directory().join(format!("loyalty-test-{uid}-{checkout:016x}"));
    match fs::create_dir(&base) {
        Ok(()) => {
            fs::set_permissions(&base, Permissions::from_mode(0o711)).expect("open the way to the data directory")
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
        Err(error) => panic!("cannot create {}: {error}", base.display()),
    }
    let metadata = fs::symlink_metadata(&base).expect("metadata of the base directory");
    assert!(
        metadata.is_dir() && metadata.uid() == uid,
        "{} belongs to somebody else",
        base.display()
    );
    base
}

fn temporary_directory() -> PathBuf {
    let wanted = std::env::temp_dir();
    let others_can_pass = |path: &Path| fs::metadata(path).is_ok_and(|metadata| metadata.mode() & 0o001 != 0);
    let usable = wanted.is_absolute()
        && wanted.as_os_str().len() <= TEMPORARY_DIRECTORY_LENGTH_MAX
        && (current_uid() != 0 || wanted.ancestors().all(others_can_pass));
    if usable { wanted } else { PathBuf::from("/tmp") }
}

fn lock_file(base: &Path, name: &str) -> File {
    let path = base.join(name);
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .unwrap_or_else(|error| panic!("cannot open {}: {error}", path.display()))
}

struct Binaries {
    directory: PathBuf,
    version_text: String,
}

impl Binaries {
    /// `pg_config --bindir`, PATH, Debian's directories: the newest of what is there.
    fn find() -> Self {
        let configured = Command::new("pg_config")
            .arg("--bindir")
            .output()
            .ok()
            .filter(|output| output.status.success());
        let mut directories: Vec<PathBuf> = configured
            .iter()
            .map(|output| PathBuf::from(text(output).trim()))
            .collect();
        directories.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        if let Ok(versions) = fs::read_dir("/usr/lib/postgresql") {
            directories.extend(versions.flatten().map(|version| version.path().join("bin")));
        }
        let found = directories.into_iter().filter_map(|directory| {
            // A link is followed: beside the link the server would look for its own files in vain.
            let postgres = fs::canonicalize(directory.join("postgres")).ok()?;
            let directory = postgres.parent()?.to_owned();
            let output = directory
                .join("initdb")
                .exists()
                .then(|| Command::new(&postgres).arg("--version").output())?
                .ok()?;
            let version_text = text(&output);
            let major: u32 = version_text
                .split_whitespace()
                .nth(2)?
                .split('.')
                .next()?
                .parse()
                .ok()?;
            (major >= VERSION_MIN).then_some((
                major,
                Self {
                    directory,
                    version_text,
                },
            ))
        });
        let newest = found.max_by_key(|(major, _)| *major);
        newest
            .map(|(_, binaries)| binaries)
            .expect("the tests need the server binaries of PostgreSQL 15 or later (apt install postgresql)")
    }
}

/// Who runs the server: PostgreSQL refuses root.
enum Account {
    Ours,
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    fn choose() -> Self {
        if current_uid() != 0 {
            return Self::Ours;
        }
        let found = ["postgres", "nobody"].into_iter().find_map(|name| {
            let number = |flag: &str| {
                text(&Command::new("id").args([flag, name]).output().ok()?)
                    .trim()
                    .parse()
                    .ok()
            };
            Some(Self::Other {
                name: name.to_owned(),
                uid: number("-u")?,
                gid: number("-g")?,
            })
        });
        found.expect("an unprivileged account to run PostgreSQL under: postgres or nobody")
    }

    fn give(&self, path: &Path) {
        if let Self::Other { uid, gid, .. } = self {
            chown(path, Some(*uid), Some(*gid)).expect("give the data directory to the server's account");
        }
    }

    fn command(&self, program: &Path, arguments: &[String]) -> Command {
        // With setpriv the server ends with its watchdog, even when that is killed.
        let has_setpriv = Command::new("setpriv")
            .arg("--version")
            .output()
            .is_ok_and(|output| output.status.success());
        let mut command = match self {
            Self::Ours if !has_setpriv => Command::new(program),
            _ if !has_setpriv => Command::new("runuser"),
            _ => Command::new("setpriv"),
        };
        match self {
            Self::Ours if !has_setpriv => {}
            Self::Ours => {
                command.arg("--pdeathsig=INT").arg("--").arg(program);
            }
            Self::Other { name, .. } if !has_setpriv => {
                command.args(["-u", name, "--"]).arg(program);
            }
            Self::Other { uid, gid, .. } => {
                command.args([format!("--reuid={uid}"), format!("--regid={gid}")]);
                command.args(["--clear-groups", "--pdeathsig=INT", "--"]).arg(program);
            }
        }
        command
            .args(arguments)
            .current_dir("/")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command
    }
}

fn current_uid() -> u32 {
    static UID: OnceLock<u32> = OnceLock::new();
    *UID.get_or_init(|| {
        let output = Command::new("id").arg("-u").output().expect("run id");
        text(&output).trim().parse().expect("a user id")
    })
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a temporary directory with a UTF-8 name")
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// On a thread of its own, so that it works inside a test's runtime as well as outside, and in `Drop`.
pub(crate) fn block_on<F: Future<Output: Send> + Send>(future: F) -> F::Output {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(future)
        });
        thread.join().expect("the thread ends")
    })
}
