//! The way between a function's process and the Runtime API of `cargo lambda watch`.
//!
//! The emulator hands an invocation to a process and waits for its answer for ever, even when the process has
//! died. Lambda does not: an invocation whose process dies or outlasts its timeout has failed. Each process
//! therefore reaches the emulator through a byte tunnel of its own that notes which invocation the process is
//! at, and lets the stack fail that one when the process ends. On its way the deadline, which the emulator
//! leaves in 1970, becomes the one the template's timeout gives.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::Instant,
};

/// What the process is at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Activity {
    /// It has not asked for work yet.
    Starting,
    /// It asked for the next invocation.
    Waiting,
    /// It has an invocation, since then. It counts as busy until it asks for the next one: an answer on its
    /// way may never arrive.
    Busy { request_id: String, since: Instant },
}

/// One process's tunnel to the emulator. It ends when it is dropped.
#[derive(Debug)]
pub struct Tunnel {
    pub address: SocketAddr,
    activity: Arc<Mutex<Activity>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Tunnel {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Tunnel {
    /// Listens on a free port. `timeout` is the function's, from the template.
    pub async fn open(emulator: SocketAddr, timeout: Duration) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let activity = Arc::new(Mutex::new(Activity::Starting));
        let shared = Arc::clone(&activity);
        let task = tokio::spawn(async move {
            // The connections end with the tunnel.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                connections.spawn(carry(near, emulator, timeout, Arc::clone(&shared)));
            }
        });
        Ok(Self {
            address,
            activity,
            task,
        })
    }

    pub fn activity(&self) -> Activity {
        self.activity.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

type Shared = Arc<Mutex<Activity>>;

fn set(activity: &Shared, value: Activity) {
    *activity.lock().unwrap_or_else(PoisonError::into_inner) = value;
}

async fn carry(near: TcpStream, emulator: SocketAddr, timeout: Duration, activity: Shared) {
    let Ok(far) = TcpStream::connect(emulator).await else {
        return;
    };
    // Answers are small; without this each waits for the other side's acknowledgement.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let up = requests(near_read, far_write, Arc::clone(&activity));
    let down = responses(far_read, near_write, timeout, activity);
    tokio::select! {
        () = up => {}
        () = down => {}
    }
}

/// Function to emulator. The client sends a request only after the last response, so each begins a chunk.
async fn requests(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, activity: Shared) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let chunk = buffer.get(..read).unwrap_or_default();
        if request_line(chunk).is_some_and(|line| line.contains("/runtime/invocation/next")) {
            set(&activity, Activity::Waiting);
        }
        if to.write_all(chunk).await.is_err() {
            return;
        }
    }
}

fn request_line(chunk: &[u8]) -> Option<&str> {
    if !chunk.starts_with(b"GET ") {
        return None;
    }
    let end = chunk.iter().position(|byte| *byte == b'\r')?;
    std::str::from_utf8(chunk.get(..end)?).ok()
}

/// Emulator to function. While the process waits, the head of the response is read whole before it is passed on.
async fn responses(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, timeout: Duration, activity: Shared) {
    let mut buffer = vec![0; 64 * 1024];
    let mut head = Vec::new();
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        let chunk = buffer.get(..read).unwrap_or_default();
        let waiting = matches!(
            *activity.lock().unwrap_or_else(PoisonError::into_inner),
            Activity::Waiting
        );
        let passed = if waiting {
            head.extend_from_slice(chunk);
            let Some(end) = end_of_head(&head) else { continue };
            let (rewritten, request_id) = invocation(&head, end, timeout);
            head.clear();
            if let Some(request_id) = request_id {
                set(
                    &activity,
                    Activity::Busy {
                        request_id,
                        since: Instant::now(),
                    },
                );
            }
            to.write_all(&rewritten).await
        } else {
            to.write_all(chunk).await
        };
        if passed.is_err() {
            return;
        }
    }
}

fn end_of_head(bytes: &[u8]) -> Option<usize> {
    bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .map(|at| at + 4)
}

/// The response with its deadline put right, and the request id it carries.
fn invocation(response: &[u8], end_of_head: usize, timeout: Duration) -> (Vec<u8>, Option<String>) {
    let (head, body) = response.split_at(end_of_head);
    let Ok(head) = std::str::from_utf8(head) else {
        return (response.to_vec(), None);
    };
    let mut request_id = None;
    let mut rewritten = String::with_capacity(head.len() + 16);
    for line in head.split_inclusive("\r\n") {
        match line.split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("lambda-runtime-aws-request-id") => {
                request_id = Some(value.trim().to_owned());
                rewritten.push_str(line);
            }
            Some((name, _)) if name.eq_ignore_ascii_case("lambda-runtime-deadline-ms") => {
                rewritten.push_str(&format!("{name}: {}\r\n", (now() + timeout).as_millis()));
            }
            _ => rewritten.push_str(line),
        }
    }
    let ok = head.starts_with("HTTP/1.1 200");
    ([rewritten.as_bytes(), body].concat(), request_id.filter(|_| ok))
}

/// Time since 1970, as the deadline is told.
#[allow(
    clippy::disallowed_methods,
    reason = "this stands in for Lambda, whose clock the functions are given"
)]
fn now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deadline_is_the_timeout_from_now_and_the_request_is_known() {
        let response = b"HTTP/1.1 200 OK\r\nlambda-runtime-aws-request-id: 7\r\nlambda-runtime-deadline-ms: 600000\r\n\r\n{\"a\": 1}";
        let end = end_of_head(response).expect("a head");
        let before = (now() + Duration::from_secs(900)).as_millis();
        let (rewritten, request_id) = invocation(response, end, Duration::from_secs(900));
        let text = String::from_utf8(rewritten).expect("text");
        let deadline = text
            .lines()
            .find_map(|line| line.strip_prefix("lambda-runtime-deadline-ms: "))
            .expect("a deadline");
        let deadline: u128 = deadline.parse().expect("milliseconds");
        assert!((before..before + 5_000).contains(&deadline), "{deadline} for {before}");
        assert_eq!(request_id.as_deref(), Some("7"));
        assert!(text.ends_with("\r\n\r\n{\"a\": 1}"), "the body stays as it is: {text}");
    }

    #[test]
    fn an_answer_without_work_is_no_invocation() {
        let response = b"HTTP/1.1 204 No Content\r\nlambda-runtime-aws-request-id: 7\r\n\r\n";
        let end = end_of_head(response).expect("a head");
        assert_eq!(invocation(response, end, Duration::from_secs(3)).1, None);
    }

    #[test]
    fn only_the_start_of_a_request_counts() {
        assert_eq!(
            request_line(b"GET /.rt/x/2018-06-01/runtime/invocation/next HTTP/1.1\r\nhost: y"),
            Some("GET /.rt/x/2018-06-01/runtime/invocation/next HTTP/1.1")
        );
        assert_eq!(request_line(b"{\"path\": \"GET /runtime/invocation/next\"}\r\n"), None);
    }
}
