//! The HTTP API in front of the functions, on the stack's one port.
//!
//! Routes as `template.yaml` says and, like API Gateway, gives up after 30 seconds. On the paths of the Lambda API
//! it invokes a function with the body as its event, for `cargo lambda invoke` and the AWS CLI.

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

/// The limits of an API Gateway HTTP API: a payload of 10 MB and a response time of 30 s.
const LARGEST_BODY: usize = 10 * 1024 * 1024;
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// State shared by the handlers.
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
                // Sends a small response without waiting until the previous one is acknowledged.
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

/// Handles a request of the HTTP API.
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

/// Handles an invocation by name. A failure returns status 500, by which `cargo lambda invoke` recognises it.
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

/// Has the form of a function's own error, which `cargo lambda invoke` shows.
fn not_invoked(status: StatusCode, error: String) -> Response {
    let headers = [
        ("x-amz-function-error", "Unhandled"),
        ("content-type", "application/json"),
    ];
    (status, headers, error).into_response()
}

/// Has the form of API Gateway's own responses.
fn refuse(status: StatusCode, message: &str) -> Response {
    let body = serde_json::json!({ "message": message }).to_string();
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
