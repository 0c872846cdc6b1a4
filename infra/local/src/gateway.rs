//! The HTTP API in front of the functions, on the stack's one port.
//!
//! It routes as `template.yaml` says, gives up after 30 seconds as API Gateway does, and hands the request to
//! `cargo lambda watch`, which makes the event of it. The addresses of the Lambda API (`cargo lambda invoke`,
//! the AWS CLI) are passed on too.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    response::Response,
};
use reqwest::Client;
use tokio::net::TcpListener;

use crate::tell::caution;
use crate::{function::Function, stop::Stop, template::Template};

/// As API Gateway: a payload of an HTTP API is at most 10 MB, and an answer takes at most 30 s.
const LARGEST_BODY: usize = 10 * 1024 * 1024;
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Headers of one connection, which are not passed on to the next.
const OF_THE_CONNECTION: [header::HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];

/// What the gateway knows.
#[derive(Debug)]
pub struct Gateway {
    pub template: Template,
    pub functions: Vec<Arc<Function>>,
    pub emulator: SocketAddr,
    pub client: Client,
}

impl Gateway {
    /// Serves until `stop` turns true.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, mut stop: Stop) {
        let router = Router::new().fallback(answer).with_state(self);
        let served = axum::serve(listener, router);
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

    /// The function an address is for, the address in the emulator, and how long to wait.
    fn target(&self, request: &Request) -> Option<(&Arc<Function>, String, Duration)> {
        let path = request.uri().path();
        if let Some(name) = path
            .strip_prefix("/2015-03-31/functions/")
            .and_then(|rest| rest.split('/').next())
        {
            let function = self.function(name)?;
            return Some((
                function,
                path.to_owned(),
                function.template.timeout + Duration::from_secs(10),
            ));
        }
        let function = self.function(&self.template.function_at(request.method().as_str(), path)?.name)?;
        let query = request
            .uri()
            .query()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        Some((
            function,
            format!("/lambda-url/{}{path}{query}", function.name()),
            LONGEST_WAIT,
        ))
    }

    async fn forward(
        &self,
        function: &Arc<Function>,
        address: String,
        method: reqwest::Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Response {
        let of_api = address.starts_with("/lambda-url/");
        let _place = function.enter().await;
        let request = self
            .client
            .request(method, format!("http://{}{address}", self.emulator))
            .headers(headers)
            .body(body);
        let failed = || refuse(StatusCode::INTERNAL_SERVER_ERROR, "Internal Server Error");
        let Ok(response) = request.send().await else {
            return failed();
        };
        let (status, headers) = (response.status(), passed_on(response.headers()));
        // A function's own answer has a type; a failed invocation is told without one. Its reason is logged.
        if status == StatusCode::INTERNAL_SERVER_ERROR && of_api && !headers.contains_key(header::CONTENT_TYPE) {
            return failed();
        }
        let Ok(body) = response.bytes().await else {
            return failed();
        };
        let mut answer = Response::new(Body::from(body));
        *answer.status_mut() = status;
        *answer.headers_mut() = headers;
        answer
    }
}

async fn answer(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let Some((function, address, longest)) = gateway.target(&request) else {
        return refuse(StatusCode::NOT_FOUND, "Not Found");
    };
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, LARGEST_BODY).await else {
        return refuse(StatusCode::PAYLOAD_TOO_LARGE, "Request Entity Too Large");
    };
    let work = gateway.forward(function, address, parts.method, passed_on(&parts.headers), body);
    match tokio::time::timeout(longest, work).await {
        Ok(response) => response,
        Err(_) => refuse(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable"),
    }
}

fn passed_on(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| !OF_THE_CONNECTION.contains(name))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// API Gateway's own answers look like this.
fn refuse(status: StatusCode, message: &str) -> Response {
    let mut response = Response::new(Body::from(serde_json::json!({ "message": message }).to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        header::HeaderValue::from_static("application/json"),
    );
    response
}
