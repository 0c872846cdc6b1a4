//! The Lambda Runtime API: how a function's process receives invocations and returns its responses.
//!
//! The stack implements it because `cargo lambda watch` (1.9.2) loses large responses. Watch acknowledges a
//! response once it has read the head, and passes the body, most of which is still to come, to the caller. Its HTTP
//! server then considers the connection ready for the next request, and ends the body only when that request
//! arrives. A small response is complete by then. In the middle of a large one, the function's client has its
//! acknowledgement but still has bytes to send, so it asks for its next invocation over a second connection. The
//! first connection stays silent: the body never ends and its caller waits forever, or the client closes the
//! connection as superfluous and the body ends in an error. Here a response is read completely before it is
//! acknowledged.
//!
//! Watch also waits forever when a process dies, where Lambda fails the invocation. Each process therefore has a
//! [`Session`] with its own address on the loopback interface, and the end of the session fails the invocation in
//! progress.

use std::{io, net::Ipv4Addr, net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, State},
    http::{HeaderName, StatusCode},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt,
};
use jiff::Timestamp;
use tokio::{
    net::TcpListener,
    sync::{Mutex, mpsc, oneshot, watch},
    time::{Instant, sleep_until, timeout},
};
use uuid::Uuid;

use crate::{
    aws::{ACCOUNT, REGION},
    stop::{Stop, StopSign},
    tell::caution,
};

/// Lambda's limit for a response in bytes: 6 MB and a little for its frame.
pub const LARGEST_RESPONSE: usize = 6 * 1024 * 1024 + 100;

const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const DEADLINE_MS: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const FUNCTION_ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");

/// Why an invocation has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvocationError {
    /// `{"errorType": …, "errorMessage": …}`, reported by the function or on its behalf.
    #[error("{0}")]
    Failed(String),
    #[error("no response within {} s", .0.as_secs())]
    TooLate(Duration),
}

impl InvocationError {
    pub fn failed(error_type: &str, message: &str) -> Self {
        Self::Failed(serde_json::json!({ "errorType": error_type, "errorMessage": message }).to_string())
    }
}

type Outcome = Result<Bytes, InvocationError>;

#[derive(Debug)]
struct Invocation {
    event: Bytes,
    caller: oneshot::Sender<Outcome>,
}

/// The invocations of one function, in order of arrival. Any number of processes take from it.
#[derive(Debug)]
pub struct Invocations {
    function: String,
    /// The function's timeout, from the template.
    timeout: Duration,
    entrance: mpsc::UnboundedSender<Invocation>,
    waiting: Mutex<mpsc::UnboundedReceiver<Invocation>>,
}

impl Invocations {
    pub fn new(function: &str, timeout: Duration) -> Self {
        let (entrance, waiting) = mpsc::unbounded_channel();
        Self {
            function: function.to_owned(),
            timeout,
            entrance,
            waiting: Mutex::new(waiting),
        }
    }

    /// Returns the function's response to an event. Waits at most `longest`, including the wait for a free process.
    pub async fn invoke(&self, event: Bytes, longest: Duration) -> Outcome {
        let (caller, outcome) = oneshot::channel();
        let invocation = Invocation { event, caller };
        let lost = || InvocationError::failed("Runtime.ExitError", "the function has ended");
        self.entrance.send(invocation).map_err(|_| lost())?;
        match timeout(longest, outcome).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(lost())),
            Err(_) => Err(InvocationError::TooLate(longest)),
        }
    }

    /// The next invocation whose caller is still waiting.
    async fn next(&self) -> Invocation {
        let mut waiting = self.waiting.lock().await;
        loop {
            // `entrance` lives as long as `self`, so the queue does not close.
            if let Some(invocation) = waiting.recv().await
                && !invocation.caller.is_closed()
            {
                return invocation;
            }
        }
    }
}

/// What a process is doing.
#[derive(Debug)]
enum Activity {
    /// It has not asked for work yet.
    Starting,
    /// It asked for the next invocation.
    Waiting,
    /// It has an invocation and is busy until it asks for the next one.
    Busy {
        request_id: String,
        deadline: Instant,
        /// `None` once the response is there.
        caller: Option<oneshot::Sender<Outcome>>,
    },
}

/// The Runtime API as one process sees it.
#[derive(Debug)]
pub struct Session {
    /// The value of `AWS_LAMBDA_RUNTIME_API` for the process.
    pub address: SocketAddr,
    process: Arc<Process>,
    over: StopSign,
}

#[derive(Debug)]
struct Process {
    invocations: Arc<Invocations>,
    activity: watch::Sender<Activity>,
    over: Stop,
}

impl Session {
    /// Listens on a free port until the session ends or is dropped.
    pub async fn open(invocations: Arc<Invocations>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let over = StopSign::new();
        let process = Arc::new(Process {
            invocations,
            activity: watch::Sender::new(Activity::Starting),
            over: over.listener(),
        });
        let router = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route("/2018-06-01/runtime/invocation/{request_id}/response", post(response))
            .route("/2018-06-01/runtime/invocation/{request_id}/error", post(error))
            .route("/2018-06-01/runtime/init/error", post(init_error))
            .layer(DefaultBodyLimit::disable())
            .with_state(Arc::clone(&process));
        let mut stop = over.listener();
        let listener = listener.tap_io(|connection| {
            // Without it, each side waits for the other's acknowledgement.
            let _ = connection.set_nodelay(true);
        });
        tokio::spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move { stop.said().await })
                .await
        });
        Ok(Self { address, process, over })
    }

    /// Waits until the process asks for its first invocation.
    pub async fn until_ready(&self) {
        let mut activity = self.process.activity.subscribe();
        // The session holds the sender, so this cannot fail.
        let _ = activity
            .wait_for(|activity| !matches!(activity, Activity::Starting))
            .await;
    }

    /// Waits until an invocation exceeds the function's timeout.
    pub async fn until_overdue(&self) {
        let mut activity = self.process.activity.subscribe();
        loop {
            let deadline = match *activity.borrow_and_update() {
                Activity::Busy { deadline, .. } => Some(deadline),
                Activity::Starting | Activity::Waiting => None,
            };
            let passed = async {
                match deadline {
                    Some(deadline) => sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                _ = activity.changed() => {}
                () = passed => return,
            }
        }
    }

    /// Called when the process has ended: fails its current invocation and returns that request id.
    pub fn end(self, reason: &str) -> Option<String> {
        self.over.raise();
        match self.process.activity.send_replace(Activity::Waiting) {
            Activity::Busy { request_id, caller, .. } => {
                if let Some(caller) = caller {
                    let message = format!("RequestId: {request_id} Error: {reason}");
                    // The caller may have given up.
                    let _ = caller.send(Err(InvocationError::failed("Runtime.ExitError", &message)));
                }
                Some(request_id)
            }
            Activity::Starting | Activity::Waiting => None,
        }
    }
}

impl Process {
    /// Passes the outcome to the caller. Refuses it unless the process is working on this invocation.
    fn complete(&self, id: &str, outcome: Outcome) -> StatusCode {
        let mut waiting = None;
        self.activity.send_if_modified(|activity| {
            if let Activity::Busy { request_id, caller, .. } = activity
                && request_id == id
            {
                waiting = caller.take();
            }
            // Wakes no watcher: the process is as busy as before.
            false
        });
        match waiting {
            Some(caller) => {
                // The caller may have given up.
                let _ = caller.send(outcome);
                StatusCode::ACCEPTED
            }
            None => StatusCode::BAD_REQUEST,
        }
    }
}

async fn next(State(process): State<Arc<Process>>) -> Response {
    process.activity.send_replace(Activity::Waiting);
    let mut over = process.over.clone();
    let invocation = tokio::select! {
        biased;
        // A dead process takes no work, even if the loss of its connection has not been noticed yet.
        () = over.said() => return StatusCode::GONE.into_response(),
        invocation = process.invocations.next() => invocation,
    };
    let Invocations { function, timeout, .. } = &*process.invocations;
    let request_id = Uuid::now_v7();
    let started = now();
    process.activity.send_replace(Activity::Busy {
        request_id: request_id.to_string(),
        deadline: Instant::now() + *timeout,
        caller: Some(invocation.caller),
    });
    let random = Uuid::now_v7().simple().to_string();
    let headers = [
        (REQUEST_ID, request_id.to_string()),
        (
            DEADLINE_MS,
            (started.as_millisecond() + milliseconds(*timeout)).to_string(),
        ),
        (
            FUNCTION_ARN,
            format!("arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}"),
        ),
        (
            TRACE_ID,
            format!("Root=1-{:08x}-{};Sampled=0", started.as_second(), random.split_at(8).1),
        ),
    ];
    (headers, invocation.event).into_response()
}

/// The body is complete when this is called.
async fn response(State(process): State<Arc<Process>>, Path(request_id): Path<String>, body: Bytes) -> StatusCode {
    let size = body.len();
    if size <= LARGEST_RESPONSE {
        return process.complete(&request_id, Ok(body));
    }
    let message = format!(
        "Response payload size ({size} bytes) exceeded maximum allowed payload size ({LARGEST_RESPONSE} bytes)."
    );
    let failure = InvocationError::failed("Function.ResponseSizeTooLarge", &message);
    match process.complete(&request_id, Err(failure)) {
        StatusCode::ACCEPTED => StatusCode::PAYLOAD_TOO_LARGE,
        refused => refused,
    }
}

async fn error(State(process): State<Arc<Process>>, Path(request_id): Path<String>, body: Bytes) -> StatusCode {
    let failure = InvocationError::Failed(String::from_utf8_lossy(&body).into_owned());
    process.complete(&request_id, Err(failure))
}

/// The process exits by itself after this and is restarted.
async fn init_error(State(process): State<Arc<Process>>, body: Bytes) -> StatusCode {
    let reason = String::from_utf8_lossy(&body);
    caution!("{}: it cannot start: {reason}", process.invocations.function);
    StatusCode::ACCEPTED
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The time that functions and events are given.
#[allow(
    clippy::disallowed_methods,
    reason = "this stands in for Lambda, whose clock the functions are given"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests;
