//! Converts an HTTP request to the event that API Gateway sends to a function, and the function's result to an HTTP
//! response (payload format 2.0).

use std::collections::BTreeMap;

use axum::{
    body::{Body, Bytes},
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header, request},
    response::Response,
};
use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::aws::ACCOUNT;

/// Hop-by-hop headers: they are not forwarded.
const OF_THE_CONNECTION: [HeaderName; 6] = [
    header::CONNECTION,
    header::TRANSFER_ENCODING,
    header::CONTENT_LENGTH,
    header::UPGRADE,
    header::TE,
    header::TRAILER,
];

/// Bodies of these types are passed as text, all others as base64.
const TEXT_TYPES: [&str; 4] = ["text/", "application/json", "application/javascript", "application/xml"];

/// The event for a request.
pub fn event(request: &request::Parts, body: &Bytes, request_id: &str, now: Timestamp) -> Value {
    let (path, query) = (request.uri.path(), request.uri.query().unwrap_or_default());
    let headers = joined(&request.headers);
    let text = std::str::from_utf8(body).ok().filter(|_| is_text(&request.headers));
    let mut event = json!({
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers,
        "requestContext": {
            "accountId": ACCOUNT,
            "apiId": "local",
            "domainName": "localhost",
            "domainPrefix": "localhost",
            "http": {
                "method": request.method.as_str(),
                "path": path,
                "protocol": format!("{:?}", request.version),
                "sourceIp": "127.0.0.1",
                "userAgent": headers.get("user-agent"),
            },
            "requestId": request_id,
            "routeKey": "$default",
            "stage": "$default",
            "time": now.strftime("%d/%b/%Y:%H:%M:%S +0000").to_string(),
            "timeEpoch": now.as_millisecond(),
        },
        "isBase64Encoded": text.is_none() && !body.is_empty(),
    });
    if !body.is_empty() {
        event["body"] = text.map_or_else(|| STANDARD.encode(body), str::to_owned).into();
    }
    let cookies = request.headers.get_all(header::COOKIE).iter();
    let cookies: Vec<&str> = cookies
        .filter_map(|cookies| cookies.to_str().ok())
        .flat_map(|cookies| cookies.split("; "))
        .collect();
    if !cookies.is_empty() {
        event["cookies"] = cookies.into();
    }
    event
}

/// Header names in lower case, the values of repeated headers joined by commas. Cookies are left out: the event
/// carries them separately.
fn joined(headers: &HeaderMap) -> BTreeMap<&str, String> {
    let mut joined: BTreeMap<&str, String> = BTreeMap::new();
    for (name, value) in headers {
        if *name == header::COOKIE || OF_THE_CONNECTION.contains(name) {
            continue;
        }
        let value = String::from_utf8_lossy(value.as_bytes());
        joined
            .entry(name.as_str())
            .and_modify(|values| *values = format!("{values},{value}"))
            .or_insert_with(|| value.into_owned());
    }
    joined
}

fn is_text(headers: &HeaderMap) -> bool {
    headers.get(header::CONTENT_TYPE).is_none_or(|value| {
        let value = value.to_str().unwrap_or_default();
        TEXT_TYPES.iter().any(|text| value.starts_with(text))
    })
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Returned {
    status_code: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    #[serde(default)]
    multi_value_headers: BTreeMap<String, Vec<String>>,
    #[serde(default)]
    cookies: Vec<String>,
    #[serde(default)]
    body: Option<String>,
    #[serde(default)]
    is_base64_encoded: bool,
}

/// The HTTP response that a function's result describes, or `None` if it describes none.
pub fn response(returned: &[u8]) -> Option<Response> {
    let returned: Returned = serde_json::from_slice(returned).ok()?;
    let body = returned.body.unwrap_or_default();
    let body = if returned.is_base64_encoded {
        STANDARD.decode(body).ok()?.into()
    } else {
        Body::from(body)
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(returned.status_code).ok()?;
    let several = returned.multi_value_headers.into_iter();
    let several = several.flat_map(|(name, values)| values.into_iter().map(move |value| (name.clone(), value)));
    let cookies = returned.cookies.into_iter();
    let cookies = cookies.map(|cookie| (header::SET_COOKIE.to_string(), cookie));
    for (name, value) in returned.headers.into_iter().chain(several).chain(cookies) {
        let name = HeaderName::try_from(name).ok()?;
        if !OF_THE_CONNECTION.contains(&name) {
            response.headers_mut().append(name, HeaderValue::try_from(value).ok()?);
        }
    }
    Some(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::{body::to_bytes, http::Request};

    fn event_of(request: request::Builder, body: &'static [u8]) -> Value {
        let (parts, ()) = request.body(()).expect("a request").into_parts();
        let now = "2026-03-01T12:00:00Z".parse().expect("a time");
        event(&parts, &Bytes::from_static(body), "request-7", now)
    }

    #[test]
    fn a_request_becomes_the_event_of_the_sample() {
        let sample: Value = serde_json::from_str(include_str!("../../../events/players.json")).expect("the sample");
        let mut request = Request::get("/api/players?segment=LOSING&limit=10").header("connection", "close");
        for (name, value) in sample["headers"].as_object().expect("headers") {
            request = request.header(name, value.as_str().expect("text"));
        }
        let event = event_of(request, b"");
        for field in ["version", "rawPath", "rawQueryString", "headers"] {
            assert_eq!(event[field], sample[field], "{field}");
        }
        let (context, wanted) = (&event["requestContext"], &sample["requestContext"]);
        for field in [
            "accountId",
            "apiId",
            "domainName",
            "domainPrefix",
            "http",
            "stage",
            "time",
            "timeEpoch",
        ] {
            assert_eq!(context[field], wanted[field], "{field}");
        }
        assert_eq!((&context["requestId"], event.get("body")), (&json!("request-7"), None));
    }

    #[test]
    fn text_is_passed_as_it_is_and_bytes_as_base64() {
        let event = event_of(
            Request::post("/").header("content-type", "application/json"),
            b"{\"a\": 1}",
        );
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&json!("{\"a\": 1}"), &json!(false))
        );
        let event = event_of(
            Request::post("/").header("content-type", "multipart/form-data; boundary=x"),
            b"ab",
        );
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&json!("YWI="), &json!(true))
        );
        let event = event_of(Request::post("/"), b"\xff");
        assert_eq!(
            (&event["body"], &event["isBase64Encoded"]),
            (&json!("/w=="), &json!(true))
        );
    }

    #[test]
    fn headers_of_one_name_are_joined_and_cookies_are_listed() {
        let request = Request::get("/")
            .header("accept", "a")
            .header("accept", "b")
            .header("cookie", "c=1; d=2");
        let event = event_of(request, b"");
        assert_eq!(event["headers"], json!({ "accept": "a,b" }));
        assert_eq!(event["cookies"], json!(["c=1", "d=2"]));
    }

    #[tokio::test]
    async fn what_a_function_returns_becomes_a_response() {
        let returned = json!({
            "statusCode": 201,
            "headers": { "content-type": "image/png", "content-length": "999" },
            "multiValueHeaders": { "vary": ["origin", "accept"] },
            "cookies": ["c=1"],
            "body": "YWI=",
            "isBase64Encoded": true,
        });
        let response = response(returned.to_string().as_bytes()).expect("a response");
        assert_eq!(response.status(), 201);
        let of = |name| response.headers().get_all(name).iter().collect::<Vec<_>>();
        assert_eq!(of("content-type"), ["image/png"]);
        assert_eq!(of("vary"), ["origin", "accept"]);
        assert_eq!(of("set-cookie"), ["c=1"]);
        assert_eq!(of("content-length"), [""; 0]);
        assert_eq!(to_bytes(response.into_body(), 100).await.expect("a body"), "ab");
    }

    #[test]
    fn what_makes_no_response_is_none() {
        for returned in [
            "",
            "null",
            "{}",
            r#"{"statusCode": 7}"#,
            r#"{"statusCode": 200, "headers": {"a b": "c"}}"#,
        ] {
            assert!(response(returned.as_bytes()).is_none(), "{returned}");
        }
    }
}
