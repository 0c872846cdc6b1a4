//! Tests TLS with a PostgreSQL server whose certificate comes from a private authority.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use postgres_server::{Plan, Shared};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use std::net::TcpListener;
use std::sync::OnceLock;
use store::Db;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// The host name in the server's certificate.
const HOST: &str = "db.loyalty.test";

struct Server {
    _server: Shared,
    ca: Vec<u8>,
    port: u16,
}

fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        let (ca, key) = (authority(), KeyPair::generate().unwrap());
        let certificate = CertificateParams::new([HOST.to_owned()])
            .unwrap()
            .signed_by(&key, &ca)
            .unwrap();
        let port = TcpListener::bind(("127.0.0.1", 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let settings = [
            "listen_addresses=127.0.0.1",
            &format!("port={port}"),
            "ssl=on",
            "ssl_cert_file=tls.crt",
            "ssl_key_file=tls.key",
        ];
        let plan = Plan {
            name: "loyalty-test-tls",
            superuser: "postgres",
            settings: &settings,
            files: &[
                ("tls.crt", &certificate.pem()),
                ("tls.key", &key.serialize_pem()),
                ("ca.crt", &ca.pem()),
            ],
        };
        let (server, _gate) = Shared::join(&plan).unwrap();
        // Another process may have started the server, with its own files and port.
        let status = std::fs::read_to_string(server.data().join("postmaster.pid")).unwrap();
        Server {
            ca: std::fs::read(server.data().join("ca.crt")).unwrap(),
            port: status.lines().nth(3).unwrap().parse().unwrap(),
            _server: server,
        }
    })
}

/// Connects to `name`, which resolves to 127.0.0.1. Returns whether the connection is encrypted, or the causes of the
/// error.
async fn encrypted(host: &str, mode: &str, ca: Option<&[u8]>) -> Result<bool, String> {
    let port = server().port;
    let url = format!("postgresql://postgres@{host}:{port}/postgres?hostaddr=127.0.0.1&sslmode={mode}");
    let client = Db::new(&url, ca)
        .unwrap()
        .client()
        .await
        .map_err(|error| causes(&error))?;
    let row = client
        .query_one("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[])
        .await;
    Ok(row.unwrap().get(0))
}

fn causes(error: &(dyn std::error::Error + 'static)) -> String {
    let chain = std::iter::successors(Some(error), |error| error.source());
    chain.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

#[tokio::test]
async fn a_certificate_of_the_authority_that_names_the_host_is_accepted() {
    for mode in ["verify-full", "verify-ca", "require", "prefer"] {
        assert_eq!(encrypted(HOST, mode, Some(&server().ca)).await, Ok(true), "{mode}");
    }
    // This machine may be reached without TLS.
    assert_eq!(encrypted(HOST, "disable", None).await, Ok(false));
}

#[tokio::test]
async fn an_unknown_authority_is_refused() {
    let other = authority().pem();
    for ca in [None, Some(other.as_bytes())] {
        let problem = encrypted(HOST, "verify-full", ca).await.unwrap_err();
        assert!(
            problem.contains("UnknownIssuer") || problem.contains("BadSignature"),
            "{problem}"
        );
    }
}

#[tokio::test]
async fn another_host_name_is_refused() {
    for mode in ["verify-full", "verify-ca", "require"] {
        let problem = encrypted("other.loyalty.test", mode, Some(&server().ca))
            .await
            .unwrap_err();
        assert!(problem.contains("not valid for name"), "{mode}: {problem}");
    }
}

/// Otherwise an attacker in between could remove the encryption.
#[tokio::test]
async fn a_server_without_tls_is_refused() {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        // Answers the TLS request, which has 8 bytes.
        socket.read_exact(&mut [0; 8]).await.unwrap();
        socket.write_all(b"N").await.unwrap();
    });
    let url = format!("postgresql://postgres@{HOST}:{port}/postgres?hostaddr=127.0.0.1&sslmode=verify-full");
    let problem = Db::new(&url, None).unwrap().client().await.err().unwrap();
    assert!(
        causes(&problem).contains("server does not support TLS"),
        "{}",
        causes(&problem)
    );
}

#[test]
fn a_plain_connection_to_another_machine_is_refused_before_it_is_tried() {
    let problem = Db::new("postgresql://u:secret@db.loyalty.test/loyalty", None)
        .err()
        .unwrap();
    assert_eq!(
        problem.to_string(),
        "the database at db.loyalty.test must be reached over TLS: add sslmode=verify-full to its URL"
    );
}
