//! What one call sends to PostgreSQL: a proxy on the way that reads the client's half of the protocol (version 3).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};

use crate::Result;
use crate::database::Address;

/// One thing the server was asked to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// By the simple protocol. Empty: whether the connection is alive.
    Query(String),
    /// A prepared statement with its parameters in the binary format.
    Execute {
        sql: String,
        parameters: Vec<Option<Vec<u8>>>,
    },
}

/// What was sent since it was last taken.
#[derive(Clone, Debug, Default)]
pub struct Log(Arc<Mutex<Vec<Sent>>>);

impl Log {
    pub fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn add(&self, sent: Sent) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(sent);
    }
}

/// A way to `address` that keeps a log.
pub async fn listen(address: &Address) -> Result<(Address, Log)> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let here = Address {
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr()?.port(),
        ..address.clone()
    };
    let (server, log) = ((address.host.clone(), address.port), Log::default());
    let kept = log.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let Ok(server) = TcpStream::connect(server.clone()).await else {
                return;
            };
            let ((from_client, mut to_client), (mut from_server, to_server)) =
                (client.into_split(), server.into_split());
            tokio::spawn(read_along(from_client, to_server, kept.clone()));
            tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
        }
    });
    Ok((here, log))
}

async fn read_along(mut client: OwnedReadHalf, mut server: OwnedWriteHalf, log: Log) -> std::io::Result<()> {
    // The first message has no type.
    let length = client.read_u32().await?;
    pass_on(&mut client, &mut server, length).await?;
    let mut prepared = HashMap::new();
    loop {
        let kind = client.read_u8().await?;
        let length = client.read_u32().await?;
        server.write_u8(kind).await?;
        let body = pass_on(&mut client, &mut server, length).await?;
        // The driver's own messages are well formed; what is not is passed on and not kept.
        if let Some(sent) = read(kind, body, &mut prepared) {
            log.add(sent);
        }
    }
}

/// Passes on what follows the length, which counts its own four bytes.
async fn pass_on(client: &mut OwnedReadHalf, server: &mut OwnedWriteHalf, length: u32) -> std::io::Result<Bytes> {
    let mut body = vec![0; usize::try_from(length).unwrap_or_default().saturating_sub(4)];
    client.read_exact(&mut body).await?;
    server.write_u32(length).await?;
    server.write_all(&body).await?;
    Ok(body.into())
}

fn read(kind: u8, mut body: Bytes, prepared: &mut HashMap<String, String>) -> Option<Sent> {
    match kind {
        b'Q' => Some(Sent::Query(text(&mut body)?)),
        b'P' => {
            let name = text(&mut body)?;
            prepared.insert(name, text(&mut body)?);
            None
        }
        b'B' => {
            let _portal = text(&mut body)?;
            let sql = prepared.get(&text(&mut body)?)?.clone();
            for _format in 0..body.try_get_u16().ok()? {
                body.try_get_u16().ok()?;
            }
            let parameters = (0..body.try_get_u16().ok()?)
                .map(|_| parameter(&mut body))
                .collect::<Option<_>>()?;
            Some(Sent::Execute { sql, parameters })
        }
        _ => None,
    }
}

/// Up to the next zero byte.
fn text(body: &mut Bytes) -> Option<String> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let text = String::from_utf8(body.split_to(end).to_vec()).ok();
    body.advance(1);
    text
}

/// The inner `None` is NULL, whose length is -1.
fn parameter(body: &mut Bytes) -> Option<Option<Vec<u8>>> {
    match usize::try_from(body.try_get_i32().ok()?) {
        Err(_) => Some(None),
        Ok(length) if length > body.len() => None,
        Ok(length) => Some(Some(body.split_to(length).to_vec())),
    }
}
