//! The Lambda Runtime API: how a function's process takes invocations and returns what it made of them.
//!
//! The stack serves it itself because `cargo lambda watch` (1.9.2) loses large responses. Watch acknowledges a response
//! as soon as it has read its head, and hands the body, of which most is still to come, to whoever waits for it. Its HTTP
//! server then takes the connection for ready to carry the next request, and ends the body only when that request comes.
//! A small response is whole by then. In the middle of a large one the function's client, which has its acknowledgement
//! and bytes left to send, asks for its next invocation over a second connection. The first stays silent, so the body
//! never ends and its caller waits for ever, or the client closes it as superfluous and the body ends in an error. Here a
//! response is read whole before it is acknowledged.
//!
//! Watch also waits for ever when a process dies, where Lambda fails the invocation. Each process therefore has a
//! [`Session`] with an address of its own, on the loopback interface, and the end of the session fails what the process
//! was at.

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

/// As Lambda: the most bytes of a response, 6 MB and a little for its frame.
pub const LARGEST_RESPONSE: usize = 6 * 1024 * 1024 + 100;

const REQUEST_ID: HeaderName = HeaderName::from_static("lambda-runtime-aws-request-id");
const DEADLINE_MS: HeaderName = HeaderName::from_static("lambda-runtime-deadline-ms");
const FUNCTION_ARN: HeaderName = HeaderName::from_static("lambda-runtime-invoked-function-arn");
const TRACE_ID: HeaderName = HeaderName::from_static("lambda-runtime-trace-id");

/// Why an invocation has no response.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvocationError {
    /// `{"errorType": …, "errorMessage": …}`, by the function or in its place.
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

/// The invocations of one function, in the order in which they came. Any number of processes take from it.
#[derive(Debug)]
pub struct Invocations {
    function: String,
    /// The function's, from the template.
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

    /// What the function makes of an event. Waits for `longest` at most, a free process included.
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

    /// The next invocation whose caller still waits.
    async fn next(&self) -> Invocation {
        let mut waiting = self.waiting.lock().await;
        loop {
            // `entrance` lives as long as this does, so the queue does not end.
            if let Some(invocation) = waiting.recv().await
                && !invocation.caller.is_closed()
            {
                return invocation;
            }
        }
    }
}

/// What a process is at.
#[derive(Debug)]
enum Activity {
    /// It has not asked for work yet.
    Starting,
    /// It asked for the next invocation.
    Waiting,
    /// It has an invocation, and is busy until it asks for the next one.
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
    /// What `AWS_LAMBDA_RUNTIME_API` tells the process.
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
            // Without it, each waits for the other's acknowledgement.
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
        // The session holds the sender, so this does not fail.
        let _ = activity
            .wait_for(|activity| !matches!(activity, Activity::Starting))
            .await;
    }

    /// Waits until an invocation outlasts the function's timeout.
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

    /// The process has ended: fails the invocation it was at, and returns its request id.
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
    /// Hands the outcome to the caller. Refuses it when the process is not at this invocation, or no longer.
    fn complete(&self, id: &str, outcome: Outcome) -> StatusCode {
        let mut waiting = None;
        self.activity.send_if_modified(|activity| {
            if let Activity::Busy { request_id, caller, .. } = activity
                && request_id == id
            {
                waiting = caller.take();
            }
            // Nobody waits for this: the process is as busy as before.
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
        // A process that has died takes no work, though its connection may not have been missed yet.
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

/// The body is whole when this is called.
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

/// The process ends by itself after this, and is started again.
async fn init_error(State(process): State<Arc<Process>>, body: Bytes) -> StatusCode {
    let reason = String::from_utf8_lossy(&body);
    caution!("{}: it cannot start: {reason}", process.invocations.function);
    StatusCode::ACCEPTED
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The time as functions and events are told it.
#[allow(
    clippy::disallowed_methods,
    reason = "this stands in for Lambda, whose clock the functions are given"
)]
pub fn now() -> Timestamp {
    Timestamp::now()
}

#[cfg(test)]
mod tests;
