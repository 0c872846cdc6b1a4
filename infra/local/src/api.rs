//! The platform's HTTP API from a client's side.

use std::{fmt, time::Duration};

use reqwest::{Client, Method, StatusCode};
use serde_json::Value;

#[derive(Debug, thiserror::Error)]
pub enum ApiError {
    #[error("{0} does not respond: {1}")]
    Unreachable(String, reqwest::Error),
    #[error("{method} {path} returned {status}: {body}")]
    Refused {
        method: Method,
        path: String,
        status: StatusCode,
        body: String,
    },
    #[error("the file was not imported within {0} s; see .local/log/import-worker.log")]
    NotImported(u64),
    #[error("the import failed: {0}")]
    ImportFailed(String),
}

/// A client with an address and an API key.
#[derive(Clone, Debug)]
pub struct Api {
    pub address: String,
    pub key: String,
    client: Client,
}

impl Api {
    pub fn new(address: String, key: String) -> Self {
        Self {
            address,
            key,
            client: Client::new(),
        }
    }

    /// Returns the status and the body, whatever the status.
    pub async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<(StatusCode, Value), ApiError> {
        let fail = |problem| ApiError::Unreachable(self.address.clone(), problem);
        let mut request = self
            .client
            .request(method, format!("{}{path}", self.address))
            .bearer_auth(&self.key);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.timeout(Duration::from_secs(35)).send().await.map_err(fail)?;
        let status = response.status();
        let text = response.text().await.map_err(fail)?;
        Ok((status, serde_json::from_str(&text).unwrap_or(Value::String(text))))
    }

    pub async fn get(&self, path: &str) -> Result<Value, ApiError> {
        self.ask(Method::GET, path, None).await
    }

    /// Returns the body of a successful response; any other status is an error.
    pub async fn ask(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, ApiError> {
        let (status, answer) = self.call(method.clone(), path, body).await?;
        if status.is_success() {
            return Ok(answer);
        }
        Err(ApiError::Refused {
            method,
            path: path.to_owned(),
            status,
            body: answer.to_string(),
        })
    }
}

/// A field in readable form; `-` when it is missing.
pub fn field(value: &Value, name: &str) -> String {
    Field(&value[name]).to_string()
}

/// A whole number; 0 when it is missing.
pub fn count(value: &Value, name: &str) -> u64 {
    value[name].as_u64().unwrap_or_default()
}

struct Field<'a>(&'a Value);

impl fmt::Display for Field<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("-"),
            Value::String(text) => f.write_str(text),
            other => write!(f, "{other}"),
        }
    }
}
