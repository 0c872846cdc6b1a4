//! Runs the functions, each in one or more processes, as Lambda runs instances.
//!
//! `cargo lambda watch` could start the processes, but it never restarts one that died, gives all functions the
//! same environment, and runs either one process or a fixed number per function. This module behaves like the
//! Lambda service: it starts an instance when all are busy, with the function's own environment; when an instance
//! dies, it fails the invocation and starts another one; and it kills an instance that exceeds its timeout.

use std::{
    collections::BTreeMap,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use axum::body::Bytes;
use rustix::process::Signal;
use tokio::{
    process::Command,
    sync::watch,
    task::JoinSet,
    time::{Instant, sleep},
};

use crate::tell::caution;
use crate::{
    process::{ProcessError, Register, Running, signal_group},
    runtime_api::{InvocationError, Invocations, Session},
    stop::Stop,
    template,
};

/// How long an invocation may wait for a free instance, on top of the function's timeout.
const LONGEST_QUEUE: Duration = Duration::from_secs(30);

/// Upper limit of instances per HTTP function: the machine has few cores, and a waiting request costs nothing.
const MOST_HTTP_INSTANCES: usize = 8;

/// What all functions share.
#[derive(Clone, Debug)]
pub struct Platform {
    /// Directory of the binaries.
    pub binaries: PathBuf,
    /// Directory of the logs.
    pub logs: PathBuf,
    /// What Lambda adds to every environment: region and credentials, and here the address of moto.
    pub environment: BTreeMap<String, String>,
    pub register: Register,
}

/// One function and its instances.
#[derive(Debug)]
pub struct Function {
    pub template: template::Function,
    platform: Platform,
    most_instances: usize,
    invocations: Arc<Invocations>,
    in_flight: AtomicUsize,
    instances: Mutex<Instances>,
    ready: watch::Sender<usize>,
    stop: Stop,
}

#[derive(Debug, Default)]
struct Instances {
    count: usize,
    tasks: JoinSet<()>,
}

/// Counts one invocation in flight.
struct InFlight<'a>(&'a AtomicUsize);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Function {
    /// A function without instances yet. They end when `stop` turns true.
    pub fn new(template: template::Function, platform: Platform, stop: Stop) -> Arc<Self> {
        let of_mappings = template.mappings.iter().map(|mapping| mapping.concurrency).max();
        let most_instances = of_mappings.map_or(MOST_HTTP_INSTANCES, |most| most.min(worker_instances()));
        Arc::new(Self {
            invocations: Arc::new(Invocations::new(&template.name, template.timeout)),
            template,
            platform,
            most_instances,
            in_flight: AtomicUsize::new(0),
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

    /// Returns the function's response to an event. Starts an instance if all are busy.
    pub async fn invoke(self: &Arc<Self>, event: Bytes) -> Result<Bytes, InvocationError> {
        let others = self.in_flight.fetch_add(1, Ordering::Relaxed);
        let _in_flight = InFlight(&self.in_flight);
        self.scale_to(others + 1);
        let longest = self.template.timeout + LONGEST_QUEUE;
        self.invocations.invoke(event, longest).await
    }

    /// Raises the number of instances to `wanted`, up to the function's maximum.
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
            // Backs off: a process that dies at once is restarted ever more slowly.
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

    /// Runs one process from its start to its end.
    async fn one_life(&self, number: usize, stop: &mut Stop) -> Result<(), ProcessError> {
        let fail = |problem| ProcessError::Start {
            program: self.name().to_owned(),
            problem,
        };
        let session = Session::open(Arc::clone(&self.invocations)).await.map_err(fail)?;
        let mut process = self.start(number, &session)?;
        let end = tokio::select! {
            reason = self.until_it_ends(&mut process, &session) => Some(reason),
            () = stop.said() => None,
        };
        match end {
            Some(reason) => {
                if let Some(request_id) = session.end(&reason) {
                    caution!("{}: {reason} (request {request_id}); starting it again", self.name());
                }
            }
            None => process.stop(Signal::TERM, Duration::from_secs(2)).await,
        }
        Ok(())
    }

    /// Returns the reason why the process ended or had to be killed.
    async fn until_it_ends(&self, process: &mut Running, session: &Session) -> String {
        let mut is_ready = false;
        let reason = loop {
            tokio::select! {
                status = process.ended() => break format!("Runtime exited with error: {status}"),
                () = session.until_ready(), if !is_ready => {
                    is_ready = true;
                    self.ready.send_modify(|ready| *ready += 1);
                }
                () = session.until_overdue() => {
                    signal_group(process.pid, Signal::KILL);
                    process.ended().await;
                    break format!("Task timed out after {} seconds", self.template.timeout.as_secs());
                }
            }
        };
        if is_ready {
            self.ready.send_modify(|ready| *ready -= 1);
        }
        reason
    }

    fn start(&self, number: usize, session: &Session) -> Result<Running, ProcessError> {
        let mut command = Command::new(self.binary());
        command
            .env_clear()
            .envs(&self.platform.environment)
            .envs(&self.template.environment)
            .env("AWS_LAMBDA_FUNCTION_NAME", self.name())
            .env("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST")
            .env("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", self.template.memory_mb.to_string())
            .env("AWS_LAMBDA_RUNTIME_API", session.address.to_string());
        Running::start(
            &format!("{}-{number}", self.name()),
            command,
            &self.log(),
            &self.platform.register,
        )
    }
}

/// Upper limit of instances for a function that reads a queue. The template's number suits the cloud; here the
/// cores limit.
pub fn worker_instances() -> usize {
    std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stop::StopSign;
    use std::{fs, os::unix::fs::PermissionsExt};

    /// Takes one invocation, as every function's process does. `$begun` is the number of processes started before
    /// this one.
    const TAKE_ONE: &str = r#"#!/bin/bash
begun=$(wc -l < "$LIVES"); echo >> "$LIVES"
exec 3<> "/dev/tcp/${AWS_LAMBDA_RUNTIME_API/://}"
printf 'GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: x\r\n\r\n' >&3
while IFS=': ' read -r name value <&3 && [ "$name" != $'\r' ]; do
  if [ "$name" = lambda-runtime-aws-request-id ]; then id=${value%$'\r'}; fi
done
"#;

    struct Program {
        function: Arc<Function>,
        stop: StopSign,
        _dir: tempfile::TempDir,
    }

    impl Program {
        /// A function whose processes run `script` once they have received an invocation.
        fn new(script: &str, timeout: Duration) -> Self {
            let dir = tempfile::tempdir().expect("a directory");
            let path = |name: &str| dir.path().join(name);
            fs::write(path("program"), format!("{TAKE_ONE}{script}\n")).expect("the program");
            fs::set_permissions(path("program"), fs::Permissions::from_mode(0o755)).expect("it is a program");
            fs::write(path("lives"), "").expect("a file");
            let platform = Platform {
                binaries: dir.path().to_path_buf(),
                logs: dir.path().to_path_buf(),
                environment: BTreeMap::from([
                    ("LIVES".to_owned(), path("lives").display().to_string()),
                    ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
                ]),
                register: Register::read(&path("processes.json")),
            };
            let template = template::Function {
                name: "program".to_owned(),
                timeout,
                memory_mb: 128,
                environment: BTreeMap::new(),
                routes: Vec::new(),
                mappings: Vec::new(),
                schedules: Vec::new(),
            };
            let stop = StopSign::new();
            Self {
                function: Function::new(template, platform, stop.listener()),
                stop,
                _dir: dir,
            }
        }

        async fn invoke(&self) -> Result<Bytes, InvocationError> {
            self.function.invoke(Bytes::from_static(b"{}")).await
        }

        async fn end(self) {
            self.stop.raise();
            self.function.ended().await;
        }
    }

    const RESPOND: &str = concat!(
        r"printf 'POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nhost: x\r\n",
        r"content-length: 4\r\n\r\ndone'",
        r#" "$id" >&3; read -r _ <&3"#
    );

    #[tokio::test]
    async fn a_process_that_dies_fails_its_invocation_at_once_and_another_takes_the_next() {
        let program = Program::new(
            &format!("[ $begun = 0 ] && exit 7\n{RESPOND}"),
            Duration::from_secs(600),
        );
        let started = Instant::now();
        let failure = program.invoke().await.expect_err("it dies").to_string();
        assert!(
            failure.contains("Runtime exited with error: exit status: 7"),
            "{failure}"
        );
        assert!(started.elapsed() < Duration::from_secs(60), "long before its timeout");
        assert_eq!(program.invoke().await.expect("a response"), "done");
        program.end().await;
    }

    #[tokio::test]
    async fn a_process_that_outlasts_its_timeout_is_killed() {
        let program = Program::new("sleep 600", Duration::from_millis(1_500));
        let failure = program.invoke().await.expect_err("it sleeps").to_string();
        assert!(failure.contains("Task timed out after 1 seconds"), "{failure}");
        program.end().await;
    }
}
