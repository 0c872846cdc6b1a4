use super::*;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
};

const LONG: Duration = Duration::from_secs(60);

struct Taken {
    request_id: String,
    headers: reqwest::header::HeaderMap,
    event: Bytes,
}

/// Stands in for a function's process.
struct Runtime {
    session: Session,
    client: Client,
}

impl Runtime {
    async fn start(invocations: &Arc<Invocations>) -> Self {
        Self {
            session: Session::open(Arc::clone(invocations)).await.expect("a session"),
            client: Client::new(),
        }
    }

    fn address(&self, path: &str) -> String {
        format!("http://{}/2018-06-01/runtime/{path}", self.session.address)
    }

    async fn next(&self) -> Taken {
        let asked = self.client.get(self.address("invocation/next"));
        let response = asked.send().await.expect("an invocation");
        assert_eq!(response.status(), 200);
        let headers = response.headers().clone();
        Taken {
            request_id: text(&headers, "lambda-runtime-aws-request-id"),
            headers,
            event: response.bytes().await.expect("an event"),
        }
    }

    fn to(&self, taken: &Taken, what: &str) -> RequestBuilder {
        let path = format!("invocation/{}/{what}", taken.request_id);
        self.client.post(self.address(&path))
    }

    async fn respond(&self, taken: &Taken, body: impl Into<reqwest::Body>) -> StatusCode {
        status(self.to(taken, "response").body(body)).await
    }
}

async fn status(request: RequestBuilder) -> StatusCode {
    request.send().await.expect("a response").status()
}

fn text(headers: &reqwest::header::HeaderMap, name: &str) -> String {
    headers[name].to_str().expect("text").to_owned()
}

fn invocations() -> Arc<Invocations> {
    Arc::new(Invocations::new("players", LONG))
}

fn invoke(invocations: &Arc<Invocations>, event: &'static str) -> JoinHandle<Outcome> {
    let invocations = Arc::clone(invocations);
    tokio::spawn(async move { invocations.invoke(Bytes::from_static(event.as_bytes()), LONG).await })
}

fn failure(outcome: Outcome) -> Value {
    match outcome {
        Err(InvocationError::Failed(text)) => serde_json::from_str(&text).expect("JSON"),
        other => panic!("not a failure: {other:?}"),
    }
}

#[tokio::test]
async fn the_largest_responses_arrive_whole() {
    let invocations = invocations();
    let runtime = Runtime::start(&invocations).await;
    for round in 0..20_u8 {
        let caller = invoke(&invocations, "{}");
        let taken = runtime.next().await;
        let body = vec![round; LARGEST_RESPONSE];
        assert_eq!(runtime.respond(&taken, body.clone()).await, 202);
        assert!(
            caller.await.expect("an outcome").expect("a response") == body,
            "round {round}"
        );
    }
    let caller = invoke(&invocations, "{}");
    let taken = runtime.next().await;
    assert_eq!(runtime.respond(&taken, vec![0; LARGEST_RESPONSE + 1]).await, 413);
    let failure = failure(caller.await.expect("an outcome"));
    assert_eq!(failure["errorType"], "Function.ResponseSizeTooLarge");
}

/// The case that `cargo lambda watch` loses.
#[tokio::test]
async fn a_response_in_parts_arrives_though_its_connection_says_nothing_after_it() {
    let invocations = invocations();
    let runtime = Runtime::start(&invocations).await;
    let caller = invoke(&invocations, "{}");
    let taken = runtime.next().await;
    let mut connection = TcpStream::connect(runtime.session.address).await.expect("a connection");
    let (first, rest) = ("a".repeat(1_000), "b".repeat(700_000));
    let head = format!(
        "POST /2018-06-01/runtime/invocation/{}/response HTTP/1.1\r\nhost: x\r\ncontent-length: 701000\r\n\r\n",
        taken.request_id
    );
    for part in [head, first.clone(), rest.clone()] {
        connection.write_all(part.as_bytes()).await.expect("the part is sent");
    }
    assert_eq!(caller.await.expect("an outcome").expect("a response"), first + &rest);
    let mut acknowledged = [0; 12];
    connection.read_exact(&mut acknowledged).await.expect("a status");
    assert_eq!(&acknowledged, b"HTTP/1.1 202");
}

#[tokio::test]
async fn an_invocation_says_when_it_ends_and_what_it_is() {
    let invocations = invocations();
    let runtime = Runtime::start(&invocations).await;
    assert!(runtime.session.address.ip().is_loopback());
    let _caller = invoke(&invocations, "{\"a\": 1}");
    let before = now().as_millisecond() + 60_000;
    let taken = runtime.next().await;
    let deadline: i64 = text(&taken.headers, "lambda-runtime-deadline-ms")
        .parse()
        .expect("milliseconds");
    assert!((before..before + 20_000).contains(&deadline), "{deadline} for {before}");
    assert_eq!(
        text(&taken.headers, "lambda-runtime-invoked-function-arn"),
        "arn:aws:lambda:us-east-1:123456789012:function:players"
    );
    assert!(text(&taken.headers, "lambda-runtime-trace-id").starts_with("Root=1-"));
    assert_eq!(taken.event, "{\"a\": 1}");
}

#[tokio::test]
async fn the_end_of_a_process_fails_what_it_was_at() {
    let invocations = invocations();
    let runtime = Runtime::start(&invocations).await;
    let caller = invoke(&invocations, "{}");
    let taken = runtime.next().await;
    let failed = runtime.session.end("Runtime exited with error: exit status: 1");
    assert_eq!(failed.as_ref(), Some(&taken.request_id));
    let wanted = format!(
        "RequestId: {} Error: Runtime exited with error: exit status: 1",
        taken.request_id
    );
    assert_eq!(failure(caller.await.expect("an outcome"))["errorMessage"], wanted);
}

#[tokio::test]
async fn a_process_that_ended_takes_nothing() {
    let invocations = invocations();
    let ended = Runtime::start(&invocations).await;
    let asked = tokio::spawn(ended.client.get(ended.address("invocation/next")).send());
    ended.session.until_ready().await;
    assert_eq!(ended.session.end("Runtime exited with error: exit status: 1"), None);
    assert_eq!(asked.await.expect("asked").expect("a response").status(), 410);
    let runtime = Runtime::start(&invocations).await;
    let caller = invoke(&invocations, "{}");
    let taken = runtime.next().await;
    runtime.respond(&taken, "done").await;
    assert_eq!(caller.await.expect("an outcome").expect("a response"), "done");
}

#[tokio::test]
async fn several_processes_work_at_once() {
    let invocations = invocations();
    let runtimes = [Runtime::start(&invocations).await, Runtime::start(&invocations).await];
    let callers = [invoke(&invocations, "first"), invoke(&invocations, "second")];
    let taken = [runtimes[0].next().await, runtimes[1].next().await];
    for place in [1, 0] {
        assert_eq!(
            runtimes[place].respond(&taken[place], taken[place].event.clone()).await,
            202
        );
    }
    for (caller, event) in callers.into_iter().zip(["first", "second"]) {
        assert_eq!(caller.await.expect("an outcome").expect("a response"), event);
    }
}

#[tokio::test]
async fn an_error_of_the_function_is_the_invocations() {
    let invocations = invocations();
    let runtime = Runtime::start(&invocations).await;
    let caller = invoke(&invocations, "{}");
    let taken = runtime.next().await;
    let error = r#"{"errorType": "Oops", "errorMessage": "no"}"#;
    assert_eq!(status(runtime.to(&taken, "error").body(error)).await, 202);
    assert_eq!(
        caller.await.expect("an outcome"),
        Err(InvocationError::Failed(error.to_owned()))
    );
    let report = runtime.client.post(runtime.address("init/error")).body(error);
    assert_eq!(status(report).await, 202);
}

#[tokio::test]
async fn only_the_first_response_counts() {
    let invocations = invocations();
    let runtime = Runtime::start(&invocations).await;
    let caller = invoke(&invocations, "{}");
    let taken = runtime.next().await;
    let another = runtime.client.post(runtime.address("invocation/another/response"));
    assert_eq!(status(another.body("wrong")).await, 400);
    assert_eq!(runtime.respond(&taken, "right").await, 202);
    assert_eq!(runtime.respond(&taken, "again").await, 400);
    assert_eq!(caller.await.expect("an outcome").expect("a response"), "right");
}

#[tokio::test]
async fn what_nobody_waits_for_any_more_is_not_begun() {
    let invocations = invocations();
    let late = invocations.invoke(Bytes::from_static(b"late"), Duration::ZERO).await;
    assert_eq!(late, Err(InvocationError::TooLate(Duration::ZERO)));
    let runtime = Runtime::start(&invocations).await;
    let _caller = invoke(&invocations, "in time");
    assert_eq!(runtime.next().await.event, "in time");
}

#[tokio::test]
async fn a_process_is_overdue_when_its_invocation_outlasts_the_timeout() {
    let invocations = Arc::new(Invocations::new("players", Duration::from_millis(50)));
    let runtime = Runtime::start(&invocations).await;
    let caller = invoke(&invocations, "{}");
    runtime.next().await;
    runtime.session.until_overdue().await;
    runtime.session.end("Task timed out after 0 seconds");
    failure(caller.await.expect("an outcome"));
}
