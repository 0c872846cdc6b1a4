//! The HTTP API in front of the functions, on the stack's one port.
//!
//! It routes as `template.yaml` says and gives up after 30 seconds as API Gateway does. On the addresses of the Lambda
//! API it invokes a function with the body as its event, for `cargo lambda invoke` and the AWS CLI.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Path, Request, State},
    http::{StatusCode, header, request},
    response::{IntoResponse, Response},
    routing::post,
    serve::ListenerExt,
};
use tokio::{net::TcpListener, time::timeout};
use uuid::Uuid;

use crate::{
    function::Function,
    http_event,
    runtime_api::{InvocationError, now},
    stop::Stop,
    tell::caution,
    template::Template,
};

/// As API Gateway: a payload of an HTTP API is at most 10 MB, and a response takes at most 30 s.
const LARGEST_BODY: usize = 10 * 1024 * 1024;
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What the gateway knows.
#[derive(Debug)]
pub struct Gateway {
    pub template: Template,
    pub functions: Vec<Arc<Function>>,
}

impl Gateway {
    /// Serves until `stop` turns true.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, mut stop: Stop) {
        let router = Router::new()
            .route("/2015-03-31/functions/{function}/invocations", post(invoke))
            .fallback(request)
            .with_state(self);
        let served = axum::serve(
            listener.tap_io(|connection| {
                // A small response does not wait for the acknowledgement of the one before.
                let _ = connection.set_nodelay(true);
            }),
            router,
        );
        tokio::select! {
            () = stop.said() => {}
            ended = async { served.await } => {
                if let Err(problem) = ended {
                    caution!("the gateway stopped: {problem}");
                }
            }
        }
    }

    fn function(&self, name: &str) -> Option<&Arc<Function>> {
        self.functions.iter().find(|function| function.name() == name)
    }
}

/// A request of the HTTP API.
async fn request(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let target = gateway
        .template
        .function_at(request.method().as_str(), request.uri().path());
    let Some(function) = target.and_then(|target| gateway.function(&target.name)) else {
        return refuse(StatusCode::NOT_FOUND, "Not Found");
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    match timeout(LONGEST_WAIT, forward(function, &parts, body)).await {
        Ok(response) => response,
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}

async fn forward(function: &Arc<Function>, request: &request::Parts, body: Bytes) -> Response {
    let event = http_event::event(request, &body, &Uuid::now_v7().to_string(), now());
    let response = match function.invoke(event.to_string().into()).await {
        Ok(returned) => http_event::response(&returned),
        Err(problem) => {
            caution!("{}: the invocation failed: {problem}", function.name());
            None
        }
    };
    response.unwrap_or_else(|| refuse(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error"))
}

/// An invocation by name. A failed one has status 500, by which `cargo lambda invoke` knows it.
async fn invoke(State(gateway): State<Arc<Gateway>>, Path(name): Path<String>, body: Body) -> Response {
    let Some(function) = gateway.function(&name) else {
        let missing = InvocationError::failed("ResourceNotFoundException", &format!("Function not found: {name}"));
        return not_invoked(StatusCode::NOT_FOUND, missing.to_string());
    };
    let Ok(event) = to_bytes(body, LARGEST_BODY).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    match function.invoke(event).await {
        Ok(returned) => returned.into_response(),
        Err(failed @ InvocationError::Failed(_)) => not_invoked(StatusCode::INTERNAL_SERVER_ERROR, failed.to_string()),
        Err(InvocationError::TooLate(_)) => refuse(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}

/// The error has the form of a function's own, which `cargo lambda invoke` shows.
fn not_invoked(status: StatusCode, error: String) -> Response {
    let headers = [
        ("x-amz-function-error", "Unhandled"),
        ("content-type", "application/json"),
    ];
    (status, headers, error).into_response()
}

/// API Gateway's own responses look like this.
fn refuse(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({ "message": message }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
