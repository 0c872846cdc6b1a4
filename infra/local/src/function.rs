//! The functions: one or more processes each, as Lambda has instances, served by `cargo lambda watch`.
//!
//! `cargo lambda watch` could start the processes itself, but then one that dies is never started again and
//! its invocation never ends, all functions share one environment, and a function has either one instance or
//! a fixed number of them. It is therefore asked for its Lambda APIs only, and this module does what the
//! Lambda service does: starts an instance when all are busy, with the function's own environment, starts it
//! again when it dies, fails what it was doing, and ends it when it outlasts its timeout.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use reqwest::Client;
use rustix::process::Signal;
use tokio::{
    process::Command,
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::tell::caution;
use crate::{
    process::{ProcessError, Register, Running, signal_group},
    runtime_api::{Activity, Tunnel},
    stop::Stop,
    template,
};

/// The emulator keeps at most 100 invocations of a function in its queue, and stands still for good when there
/// is one more. What is beyond this number waits before it.
const MOST_IN_FLIGHT: usize = 64;

/// Most instances of an HTTP function; the machine is small, and a request that waits costs nothing.
const MOST_HTTP_INSTANCES: usize = 8;

/// What all functions have in common.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Where the emulator listens.
    pub emulator: SocketAddr,
    /// Where the binaries are.
    pub binaries: PathBuf,
    /// Directory of the logs.
    pub logs: PathBuf,
    /// What Lambda adds to every environment: region, credentials, and here the address of moto.
    pub environment: BTreeMap<String, String>,
    pub register: Register,
    pub client: Client,
}

/// One function and its instances.
#[derive(Debug)]
pub struct Function {
    pub template: template::Function,
    platform: Platform,
    most_instances: usize,
    in_flight: AtomicUsize,
    places: Semaphore,
    instances: Mutex<Instances>,
    ready: watch::Sender<usize>,
    stop: Stop,
}

#[derive(Debug, Default)]
struct Instances {
    count: usize,
    tasks: JoinSet<()>,
}

/// A place among the invocations of a function.
pub struct Place<'a> {
    function: &'a Function,
    _permit: tokio::sync::SemaphorePermit<'a>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.function.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Function {
    /// A function without instances. `stop` turning true ends them.
    pub fn new(template: template::Function, platform: Platform, stop: Stop) -> Arc<Self> {
        let of_mappings = template.mappings.iter().map(|mapping| mapping.concurrency).max();
        let most_instances = of_mappings.map_or(MOST_HTTP_INSTANCES, |most| most.min(worker_instances()));
        Arc::new(Self {
            template,
            platform,
            most_instances,
            in_flight: AtomicUsize::new(0),
            places: Semaphore::new(MOST_IN_FLIGHT),
            instances: Mutex::default(),
            ready: watch::Sender::new(0),
            stop,
        })
    }

    pub fn name(&self) -> &str {
        &self.template.name
    }

    pub fn binary(&self) -> PathBuf {
        self.platform.binaries.join(self.name())
    }

    pub fn log(&self) -> PathBuf {
        self.platform.logs.join(format!("{}.log", self.name()))
    }

    /// Waits for a place in the emulator's queue, and starts an instance if all have work.
    pub async fn enter(self: &Arc<Self>) -> Place<'_> {
        // Nobody closes the semaphore.
        let permit = loop {
            if let Ok(permit) = self.places.acquire().await {
                break permit;
            }
        };
        let in_flight = self.in_flight.fetch_add(1, Ordering::Relaxed) + 1;
        self.scale_to(in_flight);
        Place {
            function: self,
            _permit: permit,
        }
    }

    /// Brings the instances to `wanted`, as far as the function may have so many.
    pub fn scale_to(self: &Arc<Self>, wanted: usize) {
        let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
        while instances.count < wanted.min(self.most_instances) {
            instances.count += 1;
            let number = instances.count;
            instances.tasks.spawn(Arc::clone(self).keep_instance(number));
        }
    }

    /// Waits until the first instance asks for work.
    pub async fn until_ready(&self, limit: Duration) -> Result<(), ProcessError> {
        let mut ready = self.ready.subscribe();
        let waited = tokio::time::timeout(limit, ready.wait_for(|ready| *ready > 0)).await;
        if matches!(waited, Ok(Ok(_))) {
            return Ok(());
        }
        Err(ProcessError::NotReady {
            program: format!("the function {}", self.name()),
            seconds: limit.as_secs(),
            log: self.log(),
            tail: crate::process::tail(&self.log()),
        })
    }

    /// Waits until all instances have ended, after `stop`.
    pub async fn ended(&self) {
        let mut tasks = {
            let mut instances = self.instances.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut instances.tasks)
        };
        while tasks.join_next().await.is_some() {}
    }

    async fn keep_instance(self: Arc<Self>, number: usize) {
        let mut stop = self.stop.clone();
        let mut patience = Duration::from_millis(100);
        while !stop.is_said() {
            let started = Instant::now();
            if let Err(problem) = self.one_life(number, &mut stop).await {
                caution!("{}: {problem}", self.name());
            }
            // One that dies at once is started again ever more slowly.
            patience = if started.elapsed() > Duration::from_secs(10) {
                Duration::from_millis(100)
            } else {
                patience * 2
            };
            tokio::select! {
                () = sleep(patience.min(Duration::from_secs(5))) => {}
                () = stop.said() => {}
            }
        }
    }

    /// One process from its start to its end.
    async fn one_life(&self, number: usize, stop: &mut Stop) -> Result<(), ProcessError> {
        let fail = |problem| ProcessError::Start {
            program: self.name().to_owned(),
            problem,
        };
        let tunnel = Tunnel::open(self.platform.emulator, self.template.timeout)
            .await
            .map_err(fail)?;
        let mut process = self.start(number, tunnel.address)?;
        let mut check = tokio::time::interval(Duration::from_millis(200));
        let mut announced = false;
        let end = loop {
            tokio::select! {
                status = process.ended() => break Some(format!("Runtime exited with error: {status}")),
                () = stop.said() => break None,
                _ = check.tick() => match tunnel.activity() {
                    Activity::Starting => {}
                    Activity::Busy { since, .. } if since.elapsed() > self.template.timeout => {
                        signal_group(process.pid, Signal::KILL);
                        process.ended().await;
                        break Some(format!("Task timed out after {} seconds", self.template.timeout.as_secs()));
                    }
                    _ if !announced => {
                        announced = true;
                        self.ready.send_modify(|ready| *ready += 1);
                    }
                    _ => {}
                },
            }
        };
        if announced {
            self.ready.send_modify(|ready| *ready -= 1);
        }
        match end {
            Some(reason) => self.fail_invocation(&tunnel, &reason).await,
            None => process.stop(Signal::TERM, Duration::from_secs(2)).await,
        }
        Ok(())
    }

    fn start(&self, number: usize, runtime_api: SocketAddr) -> Result<Running, ProcessError> {
        let mut command = Command::new(self.binary());
        let runtime_api = format!("http://{runtime_api}/.rt/{}", self.name());
        command
            .env_clear()
            .envs(&self.platform.environment)
            .envs(&self.template.environment)
            .env("AWS_LAMBDA_FUNCTION_NAME", self.name())
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", self.template.memory_mb.to_string())
            .env("AWS_LAMBDA_RUNTIME_API", runtime_api);
        Running::start(
            &format!("{}-{number}", self.name()),
            command,
            &self.log(),
            &self.platform.register,
        )
    }

    /// Tells the emulator, and so the caller, that the invocation the process was at has failed.
    async fn fail_invocation(&self, tunnel: &Tunnel, reason: &str) {
        let Activity::Busy { request_id, .. } = tunnel.activity() else {
            return;
        };
        caution!("{}: {reason} (request {request_id}); starting it again", self.name());
        let address = format!(
            "http://{}/.rt/{}/2018-06-01/runtime/invocation/{request_id}/error",
            self.platform.emulator,
            self.name()
        );
        let body = serde_json::json!({ "errorType": "Runtime.ExitError", "errorMessage": format!("RequestId: {request_id} Error: {reason}") });
        let answer = self
            .platform
            .client
            .post(address)
            .header("content-type", "application/json")
            .body(body.to_string())
            .send()
            .await;
        if let Err(problem) = answer {
            caution!("{}: the emulator was not told: {problem}", self.name());
        }
    }
}

/// Most instances of a function fed by a queue: the template's number is the cloud's, this machine has cores.
pub fn worker_instances() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2))
}
