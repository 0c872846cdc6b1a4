//! The whole stack: started in order, supervised, and ended in reverse order.
//!
//! # Choices
//!
//! * moto keeps nothing: messages in flight when the local stack stops are lost, and the recovery sends those of runs
//!   again. Files are lost too; their imports become FAILED.
//! * A failed message returns after 1, 2, 4, 8 and 16 s instead of after the visibility timeout as on AWS.

mod error;

pub use error::StackError;

use std::{
    collections::BTreeMap,
    env, fs, io,
    net::{Ipv4Addr, Ipv6Addr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use axum::body::Bytes;
use domain::access::Role;
use serde_json::{Value, json};
use tokio::{net::TcpListener, process::Command, task::JoinHandle};

use crate::tell::say;
use crate::{
    api::Api,
    aws::{ACCESS_KEY, ACCOUNT, Aws, REGION, SECRET_KEY},
    function::{Function, Platform},
    gateway::Gateway,
    keys,
    layout::{Layout, write_private},
    moto::Moto,
    outcome::drop_file,
    poller::Poller,
    postgres::{self, Database},
    process::{Register, SUPERVISOR, end_leftovers, free_port},
    runtime_api::InvocationError,
    sample,
    stop::StopSign,
    template::{Names, Template},
    timer::Timer,
    tools::find_or_install_moto,
};

const MIGRATE: &str = "migrate";
const ADMIN_KEY_NAME: &str = "cargo local";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    Debug,
    Release,
}

/// Whether `up` builds the functions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Build {
    Now,
    /// The caller has built them. A test does so with the features of the workspace's tests, so that the dependencies
    /// are not compiled twice.
    Done,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Content {
    Sample,
    Empty,
}

/// The options of `up`.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    pub profile: Profile,
    pub build: Build,
    pub content: Content,
    pub port: u16,
}

/// Tasks that end when `stop` turns true.
struct Stage {
    stop: StopSign,
    tasks: Vec<JoinHandle<()>>,
}

impl Stage {
    fn new() -> Self {
        Self {
            stop: StopSign::new(),
            tasks: Vec::new(),
        }
    }

    fn spawn(&mut self, task: impl Future<Output = ()> + Send + 'static) {
        self.tasks.push(tokio::spawn(task));
    }

    async fn end(&mut self) {
        self.stop.raise();
        for task in self.tasks.drain(..) {
            // A task that panicked has ended too.
            let _ = task.await;
        }
    }
}

/// What is running, in the order in which it was started.
pub struct Stack {
    layout: Layout,
    register: Register,
    database: Stage,
    cloud: Stage,
    functions: Stage,
    entrances: Stage,
}

impl Stack {
    /// Clears what a killed stack left behind.
    pub async fn prepare(layout: &Layout) -> Result<Self, StackError> {
        layout.create_state_dirs()?;
        let register = Register::read(&layout.process_file());
        if let Some(supervisor) = register.supervisor() {
            return Err(StackError::Running(supervisor.pid));
        }
        let left = end_leftovers(&register).await;
        if left > 0 {
            say!("  ended {left} processes of a stack that was killed");
        }
        // The file gives the addresses of a running stack.
        let _ = fs::remove_file(layout.env_file());
        register.add(SUPERVISOR, i32::try_from(std::process::id()).unwrap_or_default());
        Ok(Self {
            layout: layout.clone(),
            register,
            database: Stage::new(),
            cloud: Stage::new(),
            functions: Stage::new(),
            entrances: Stage::new(),
        })
    }

    /// Starts everything and, unless `options` says otherwise, loads the sample.
    pub async fn start(&mut self, options: Options) -> Result<(), StackError> {
        let listeners = listen(options.port).await?;
        let python = find_or_install_moto(&self.layout)?;
        let database = postgres::choose(&self.layout)?;
        let (template, aws, environment) = self.read_template(&database)?;
        if options.build == Build::Now {
            self.build(&template, options.profile).await?;
        }
        let binaries = self.binaries(options.profile).await?;
        self.start_database(&database).await?;
        self.start_cloud(python, &template, &aws, &environment).await?;
        let functions = self
            .start_functions(&template, &database, environment.clone(), binaries)
            .await?;
        self.open(&template, functions, listeners, &aws);
        if database.server.is_some() {
            // Everybody knows this key, so only a private server gets it.
            keys::create_sample(&database.owner_url).await?;
        }
        let bucket = template
            .buckets
            .first()
            .map(|bucket| bucket.name.clone())
            .ok_or(StackError::NoBucket)?;
        let api = Api::new(
            format!("http://127.0.0.1:{}", options.port),
            fs::read_to_string(self.layout.key_file()).map_err(StackError::KeyFile)?,
        );
        if options.content == Content::Sample {
            self.load_sample(&aws, &api, &bucket).await?;
        }
        self.write_env(&api, &database, &environment, &bucket)?;
        say!("\n  API    {}  (try {}/health)", api.address, api.address);
        say!("  key    {}", api.key);
        say!("  env    {}", self.layout.env_file().display());
        say!("  logs   {}", self.layout.state_dir().join("log").display());
        say!(
            "  events cargo lambda invoke players --invoke-port {} --data-file events/players.json",
            options.port
        );
        Ok(())
    }

    /// Ends everything in reverse order of its start.
    pub async fn end(&mut self) {
        self.entrances.end().await;
        self.functions.end().await;
        self.cloud.end().await;
        self.database.end().await;
        let _ = fs::remove_file(self.layout.env_file());
        self.register.clear();
    }

    fn read_template(&self, database: &Database) -> Result<(Template, Aws, BTreeMap<String, String>), StackError> {
        let endpoint = format!(
            "http://127.0.0.1:{}",
            free_port(Ipv4Addr::LOCALHOST.into(), Some(4566))?
        );
        let names = Names {
            endpoint: endpoint.clone(),
            region: REGION.to_owned(),
            account: ACCOUNT.to_owned(),
            stack: "loyalty".to_owned(),
            parameters: BTreeMap::from([
                ("DatabaseUrl".to_owned(), database.app_url.clone()),
                ("MigrationDatabaseUrl".to_owned(), database.owner_url.clone()),
            ]),
        };
        let template = Template::read(&self.layout.template(), &names)?;
        let environment = [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY),
            ("AWS_REGION", REGION),
            // Webhook targets run on this machine too.
            ("WEBHOOK_TARGETS", "any"),
        ];
        let environment = environment
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into();
        Ok((template, Aws::new(&endpoint), environment))
    }

    /// Builds the functions of the template.
    async fn build(&self, template: &Template, profile: Profile) -> Result<(), StackError> {
        say!("  building {} functions", template.functions.len());
        let mut command = cargo(&self.layout.root);
        command.args(["build", "--bins"]);
        for function in &template.functions {
            command.args(["--package", &function.name]);
        }
        if profile == Profile::Release {
            command.arg("--release");
        }
        let status = command
            .status()
            .await
            .map_err(|problem| StackError::Cargo(problem.to_string()))?;
        if status.success() {
            Ok(())
        } else {
            Err(StackError::Build)
        }
    }

    /// Where the binaries are.
    async fn binaries(&self, profile: Profile) -> Result<PathBuf, StackError> {
        let mut metadata = cargo(&self.layout.root);
        metadata.args(["metadata", "--no-deps", "--format-version", "1"]);
        let output = metadata
            .output()
            .await
            .map_err(|problem| StackError::Cargo(problem.to_string()))?;
        let metadata: Value =
            serde_json::from_slice(&output.stdout).map_err(|problem| StackError::Cargo(problem.to_string()))?;
        let target = metadata["target_directory"]
            .as_str()
            .ok_or_else(|| StackError::Cargo("no target directory".to_owned()))?;
        Ok(Path::new(target).join(match profile {
            Profile::Debug => "debug",
            Profile::Release => "release",
        }))
    }

    async fn start_database(&mut self, database: &Database) -> Result<(), StackError> {
        match &database.server {
            Some(server) => {
                if server.lives_elsewhere(&self.layout) {
                    say!("  the server's account may not enter this directory, so its data are kept elsewhere");
                }
                let running = server.start(&self.layout, &self.register).await?;
                let stop = self.database.stop.listener();
                self.database.spawn(
                    server
                        .clone()
                        .keep(running, self.layout.clone(), self.register.clone(), stop),
                );
                say!("  {}", server.describe());
            }
            None => say!("  PostgreSQL at DATABASE_URL"),
        }
        Ok(database.create().await?)
    }

    async fn start_cloud(
        &mut self,
        python: PathBuf,
        template: &Template,
        aws: &Aws,
        environment: &BTreeMap<String, String>,
    ) -> Result<(), StackError> {
        let endpoint = &environment["AWS_ENDPOINT_URL"];
        let port: u16 = endpoint
            .rsplit(':')
            .next()
            .and_then(|port| port.parse().ok())
            .unwrap_or_default();
        let moto = Moto {
            python,
            port,
            dir: self.layout.state_dir(),
            log: self.layout.log("moto"),
            register: self.register.clone(),
            aws: aws.clone(),
            template: template.clone(),
        };
        let running = moto.start().await?;
        self.cloud.spawn(moto.keep(running, self.cloud.stop.listener()));
        say!(
            "  S3 and SQS (moto) on {endpoint}: {} buckets, {} queues",
            template.buckets.len(),
            template.queues.len()
        );
        Ok(())
    }

    /// Migrates first, with the function that migrates in production, then starts the others.
    async fn start_functions(
        &mut self,
        template: &Template,
        database: &Database,
        environment: BTreeMap<String, String>,
        binaries: PathBuf,
    ) -> Result<Vec<Arc<Function>>, StackError> {
        let platform = Platform {
            binaries,
            logs: self.layout.state_dir().join("log"),
            environment,
            register: self.register.clone(),
        };
        let stop = &self.functions.stop;
        let functions: Vec<Arc<Function>> = template
            .functions
            .iter()
            .map(|function| Function::new(function.clone(), platform.clone(), stop.listener()))
            .collect();
        for function in &functions {
            let (function, mut stopped) = (Arc::clone(function), self.functions.stop.listener());
            self.functions.spawn(async move {
                stopped.said().await;
                function.ended().await;
            });
        }
        let migrate = functions
            .iter()
            .find(|function| function.name() == MIGRATE)
            .ok_or(StackError::NoFunction(MIGRATE))?;
        migrate.scale_to(1);
        migrate.until_ready(Duration::from_secs(30)).await?;
        let schema = invoke(migrate, &json!({"runtime_login": postgres::APP})).await?;
        say!("  schema is up to date: {schema}");
        self.keep_admin_key(database, migrate).await?;
        for function in &functions {
            function.scale_to(1);
        }
        for function in &functions {
            function.until_ready(Duration::from_secs(30)).await?;
        }
        say!("  {} functions are ready", functions.len());
        Ok(functions)
    }

    /// Lets requests and messages in.
    fn open(&mut self, template: &Template, functions: Vec<Arc<Function>>, listeners: Vec<TcpListener>, aws: &Aws) {
        for function in &functions {
            for mapping in &function.template.mappings {
                let poller = Poller {
                    function: Arc::clone(function),
                    mapping: mapping.clone(),
                    aws: aws.clone(),
                };
                self.entrances.spawn(poller.run(self.entrances.stop.listener()));
            }
            for schedule in &function.template.schedules {
                let timer = Timer {
                    function: Arc::clone(function),
                    schedule: schedule.clone(),
                    log: self.layout.log("schedules"),
                };
                self.entrances.spawn(timer.run(self.entrances.stop.listener()));
            }
        }
        let gateway = Arc::new(Gateway {
            template: template.clone(),
            functions,
        });
        for listener in listeners {
            self.entrances
                .spawn(Arc::clone(&gateway).serve(listener, self.entrances.stop.listener()));
        }
    }

    /// Keeps the administrator's key of the last start if the database still knows it; otherwise creates one. If
    /// the database has no administrator's key at all, `migrate` creates it, as in production.
    async fn keep_admin_key(&self, database: &Database, migrate: &Arc<Function>) -> Result<(), StackError> {
        let (file, url) = (self.layout.key_file(), &database.owner_url);
        if let Ok(key) = fs::read_to_string(&file)
            && keys::is_admin(url, &key).await?
        {
            return Ok(());
        }
        let key = if keys::has_admin(url).await? {
            keys::create(url, Role::Admin, ADMIN_KEY_NAME).await?
        } else {
            let made = invoke(migrate, &json!({"admin_key": ADMIN_KEY_NAME})).await?;
            made["admin_key"].as_str().unwrap_or_default().to_owned()
        };
        Ok(write_private(&file, &key)?)
    }

    async fn load_sample(&self, aws: &Aws, api: &Api, bucket: &str) -> Result<(), StackError> {
        sample::load(&self.layout, api).await?;
        let outcome = drop_file(aws, api, bucket, &self.layout.sample("players.csv")).await?;
        outcome.print(api).await?;
        Ok(())
    }

    fn write_env(
        &self,
        api: &Api,
        database: &Database,
        environment: &BTreeMap<String, String>,
        bucket: &str,
    ) -> Result<(), StackError> {
        let mut variables = vec![
            ("API_URL", api.address.clone()),
            ("API_KEY", api.key.clone()),
            ("DATABASE_URL", database.owner_url.clone()),
            ("RUNTIME_DATABASE_URL", database.app_url.clone()),
            ("IMPORT_BUCKET", bucket.to_owned()),
        ];
        variables.extend(environment.iter().map(|(key, value)| (key.as_str(), value.clone())));
        Ok(self.layout.write_env(&variables)?)
    }
}

/// Invokes `migrate` and returns its result.
async fn invoke(migrate: &Arc<Function>, event: &Value) -> Result<Value, StackError> {
    let made = migrate.invoke(Bytes::from(event.to_string())).await;
    let made = made.map_err(StackError::Migrations)?;
    serde_json::from_slice(&made)
        .map_err(|problem| StackError::Migrations(InvocationError::Failed(problem.to_string())))
}

/// Listens on both loopback addresses where both exist: `localhost` may resolve to either.
async fn listen(port: u16) -> Result<Vec<TcpListener>, StackError> {
    let refused = |problem: io::Error| match problem.kind() {
        io::ErrorKind::AddrInUse => StackError::PortInUse(port),
        _ => StackError::Listen(port, problem),
    };
    let mut listeners = vec![TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await.map_err(refused)?];
    match TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await {
        Ok(listener) => listeners.push(listener),
        Err(problem) if problem.kind() == io::ErrorKind::AddrInUse => return Err(refused(problem)),
        // This machine has no IPv6.
        Err(_) => {}
    }
    Ok(listeners)
}

/// cargo without the variables that `cargo run` set for this process: build scripts would take them for changes.
fn cargo(root: &Path) -> Command {
    let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (key, _) in env::vars_os() {
        if key
            .to_str()
            .is_some_and(|key| key.starts_with("CARGO_PKG_") || key.starts_with("CARGO_MANIFEST_"))
        {
            command.env_remove(key);
        }
    }
    command
        .current_dir(root)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true);
    command
}
