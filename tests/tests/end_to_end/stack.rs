//! The test's own stack: what `cargo local up` starts, with its state in a temporary directory.

use reqwest::{Client, Method};
use serde_json::Value;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// The tools may have to be installed on the way.
const UP_WITHIN: Duration = Duration::from_secs(10 * 60);
const DOWN_WITHIN: Duration = Duration::from_secs(120);
pub const SETTLED_WITHIN: Duration = Duration::from_secs(180);
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);

/// Runs its arguments until they end or our end of the pipe is closed. The kernel closes that, however this test ends.
const LEASH: &str = r#"
exec 3<&0
"$@" </dev/null 3<&- &
stack=$!
{ cat <&3 >/dev/null; kill -TERM "$stack"; } 2>/dev/null &
leash=$!
exec 3<&-
wait "$stack"
kill "$leash"
"#;

pub struct Stack {
    /// The command itself; `cargo local` would build it with features of its own.
    local: PathBuf,
    state: TempDir,
    child: Child,
    leash: Option<ChildStdin>,
    env: BTreeMap<String, String>,
    client: Client,
}

impl Stack {
    /// Starts a stack without the sample, which the test loads itself.
    pub async fn up() -> Self {
        let state = TempDir::with_prefix("loyalty-e2e-").expect("a temporary directory");
        let output = File::create(state.path().join("output")).expect("a file for the output");
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let local = build().join("local");
        let mut child = command(state.path(), "sh")
            .args(["-c", LEASH, "leash"])
            .arg(&local)
            .args(["up", "--built", "--empty", "--port", &port.to_string()])
            .stdin(Stdio::piped())
            .stdout(output.try_clone().expect("share the output"))
            .stderr(output)
            .process_group(0)
            .spawn()
            .expect("start the stack");
        let leash = child.stdin.take();
        let mut stack = Self {
            local,
            state,
            child,
            leash,
            env: BTreeMap::new(),
            client: Client::new(),
        };
        let begun = Instant::now();
        while stack.env.is_empty() {
            let ended = stack.child.try_wait().expect("look after the stack");
            assert!(
                ended.is_none() && begun.elapsed() < UP_WITHIN,
                "the stack did not start"
            );
            tokio::time::sleep(BETWEEN_LOOKS).await;
            stack.env = read_env(&stack.state.path().join("env"));
        }
        stack
    }

    pub fn output(&self) -> String {
        fs::read_to_string(self.state.path().join("output")).unwrap_or_default()
    }

    pub fn env(&self, name: &str) -> &str {
        self.env
            .get(name)
            .unwrap_or_else(|| panic!("env has no {name}: {:?}", self.env.keys()))
    }

    /// Returns status and body. Uses the key of `env`.
    pub async fn call(&self, method: Method, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.env("API_URL")))
            .bearer_auth(self.env("API_KEY"));
        if let Some(body) = body {
            request = request.json(body);
        }
        answer(request).await
    }

    /// Returns the body of a 200.
    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self.call(Method::GET, path, None).await;
        assert_eq!(status, 200, "GET {path}: {body}");
        body
    }

    pub async fn get_without_key(&self, path: &str) -> (u16, Value) {
        answer(self.client.get(format!("{}{path}", self.env("API_URL")))).await
    }

    /// Sends a form, as `curl -F file=@players.csv` does.
    pub async fn upload(&self, name: &str, content: &str) -> (u16, Value) {
        let part = reqwest::multipart::Part::text(content.to_owned()).file_name(name.to_owned());
        let form = reqwest::multipart::Form::new().part("file", part);
        let url = format!("{}/api/import/excel", self.env("API_URL"));
        answer(self.client.post(url).bearer_auth(self.env("API_KEY")).multipart(form)).await
    }

    /// Puts an object into the import bucket and waits until its players are rewarded. Returns the import with its
    /// run.
    pub async fn drop_file(&self, key: &str, content: &str) -> Value {
        let url = format!("{}/{}/{key}", self.env("AWS_ENDPOINT_URL"), self.env("IMPORT_BUCKET"));
        let response = self
            .client
            .put(url)
            .body(content.to_owned())
            .send()
            .await
            .expect("S3 answers");
        assert_eq!(response.status(), 200);
        self.follow(key).await
    }

    pub async fn follow(&self, key: &str) -> Value {
        let begun = Instant::now();
        loop {
            let imports = self.get(&format!("/api/imports?object_key={key}")).await;
            if let Some(id) = imports[0]["import_id"].as_str() {
                let import = self.get(&format!("/api/imports/{id}")).await;
                if import["status"] != "RUNNING" && import["run"]["status"] != "RUNNING" {
                    return import;
                }
            }
            assert!(begun.elapsed() < SETTLED_WITHIN, "{key} is not settled: {imports}");
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Runs `cargo local down` and checks that nothing is left.
    pub async fn down(mut self) {
        let registered =
            fs::read_to_string(self.state.path().join("processes.json")).expect("the register of processes");
        let registered: BTreeMap<String, Value> = serde_json::from_str(&registered).expect("the register is JSON");
        let pids: Vec<(String, u64)> = registered
            .iter()
            .map(|(name, entry)| (name.clone(), entry["pid"].as_u64().expect("a pid")))
            .collect();
        assert!(pids.len() > 5, "server, S3, functions: {pids:?}");
        let down = command(self.state.path(), &self.local)
            .arg("down")
            .output()
            .expect("run cargo local down");
        assert!(down.status.success(), "{}", String::from_utf8_lossy(&down.stderr));
        for (name, pid) in pids {
            assert!(!is_running(pid), "{name} ({pid}) is still running");
        }
        assert!(!self.state.path().join("env").exists());
        self.wait_until_ended();
    }

    fn wait_until_ended(&mut self) {
        let begun = Instant::now();
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && begun.elapsed() < DOWN_WITHIN {
            std::thread::sleep(BETWEEN_LOOKS);
        }
    }
}

/// Stops the stack even after a panic.
impl Drop for Stack {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.output());
        }
        drop(self.leash.take());
        self.wait_until_ended();
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace is around this package")
}

/// Builds the stack's programs with the features that the workspace's tests have been built with, so that nothing but
/// them is left to compile. Returns where they are.
fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    let built = cargo
        .args(["build", "--workspace", "--bins", "--tests"])
        .current_dir(root())
        .output();
    let built = built.expect("run cargo");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    let own = std::env::current_exe().expect("this test's program");
    own.ancestors().nth(2).expect("target/debug/deps/…").to_owned()
}

fn command(state: &Path, program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    // With DATABASE_URL, the stack would use that database instead of its own server.
    command
        .current_dir(root())
        .env("LOYALTY_LOCAL_DIR", state)
        .env_remove("DATABASE_URL")
        .env_remove("RUST_LOG")
        .stdin(Stdio::null());
    command
}

fn read_env(path: &PathBuf) -> BTreeMap<String, String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect()
}

async fn answer(request: reqwest::RequestBuilder) -> (u16, Value) {
    let response = request.send().await.expect("the API answers");
    let status = response.status().as_u16();
    let text = response.text().await.expect("a body");
    (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
}

/// A zombie has ended; its parent has not collected it yet.
fn is_running(pid: u64) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}
