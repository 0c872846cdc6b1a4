//! A webhook target: keeps each request as received, and responds as the test says, or not at all.

use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

#[derive(Clone)]
pub enum Answer {
    Status(u16),
    /// A status, other headers, a body.
    Whole(String),
    /// No response; the connection stays open.
    Never,
    /// The connection is cut.
    Cut,
}

#[derive(Clone)]
pub struct Received {
    /// Headers, an empty line, the body.
    pub raw: Vec<u8>,
    pub headers: BTreeMap<String, String>,
    pub body: Value,
}

impl Received {
    pub fn player(&self) -> String {
        self.body["player_id"].as_str().unwrap_or_default().to_owned()
    }

    /// The number that [`crate::program::Program::happen`] gave the event.
    pub fn n(&self) -> u64 {
        let points = self.body["data"]["qualifying_lp"].to_string();
        points.trim_end_matches(".00").parse().unwrap()
    }
}

type Script = dyn Fn(&Received) -> Answer + Send + Sync;

pub struct Target {
    pub port: u16,
    received: Arc<Mutex<Vec<Received>>>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Target {
    pub async fn start(script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        Self::start_at(0, script).await
    }

    pub async fn start_at(port: u16, script: impl Fn(&Received) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let received = Arc::new(Mutex::new(Vec::new()));
        let (script, kept): (Arc<Script>, _) = (Arc::new(script), received.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, script.clone(), kept.clone()));
            }
        });
        Self {
            port,
            received,
            accepting,
        }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// Stops listening before it returns.
    pub async fn stop(mut self) {
        self.accepting.abort();
        let _ = (&mut self.accepting).await;
    }

    /// All requests so far, in order of arrival.
    pub fn received(&self) -> Vec<Received> {
        self.received.lock().unwrap().clone()
    }

    /// (player, number of the event), in order of arrival.
    pub fn events(&self) -> Vec<(String, u64)> {
        self.received()
            .iter()
            .map(|received| (received.player(), received.n()))
            .collect()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Handles the requests of one connection, one after another.
async fn serve(mut stream: TcpStream, script: Arc<Script>, kept: Arc<Mutex<Vec<Received>>>) {
    let mut bytes = Vec::new();
    while let Some(received) = read(&mut stream, &mut bytes).await {
        kept.lock().unwrap().push(received.clone());
        let answer = match script(&received) {
            Answer::Status(status) => format!("HTTP/1.1 {status} Answer\r\ncontent-length: 2\r\n\r\nok"),
            Answer::Whole(text) => text,
            Answer::Never => return std::future::pending().await,
            Answer::Cut => return,
        };
        if stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

async fn read(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> Option<Received> {
    loop {
        if let Some(received) = whole(bytes) {
            return Some(received);
        }
        if stream.read_buf(bytes).await.ok()? == 0 {
            return None;
        }
    }
}

/// Takes the first request out of `bytes`, if it is complete.
fn whole(bytes: &mut Vec<u8>) -> Option<Received> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = String::from_utf8(bytes[..head_end].to_vec()).unwrap();
    let pairs = head.split("\r\n").filter_map(|line| line.split_once(':'));
    let headers: BTreeMap<String, String> = pairs
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let end = head_end + 4 + headers["content-length"].parse::<usize>().unwrap();
    if bytes.len() < end {
        return None;
    }
    let raw: Vec<u8> = bytes.drain(..end).collect();
    let body = serde_json::from_slice(&raw[head_end + 4..]).unwrap();
    Some(Received { raw, headers, body })
}
