//! TLS to the database. A server on another machine must prove with a certificate that it is the host of the URL.

use crate::error::{Error, Result};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;
use tokio_postgres::Config;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

const RDS_ROOTS: &[u8] = include_bytes!("../rds-global-bundle.pem");

/// Parses a URL. Refuses one that could send the password unencrypted to another machine.
///
/// The driver knows no mode above `require`, and in libpq `require` checks nothing. We check the certificate and the
/// host name in every mode that asks for TLS, so `verify-full` and `verify-ca` become `require` for the driver.
pub(crate) fn config(url: &str) -> Result<Config> {
    let url = match url.rsplit_once('?') {
        None => url.to_owned(),
        Some((address, options)) => {
            let options = options.split('&').map(|option| match option {
                "sslmode=verify-full" | "sslmode=verify-ca" => "sslmode=require",
                option => option,
            });
            format!("{address}?{}", options.collect::<Vec<_>>().join("&"))
        }
    };
    let config = Config::from_str(&url).map_err(|error| Error::Address(error.to_string()))?;
    match remote(&config) {
        Some(host) if config.get_ssl_mode() != SslMode::Require => Err(Error::TlsRequired { host }),
        _ => Ok(config),
    }
}

/// The first host that is not this machine. With `hostaddr`, the driver connects to that instead.
fn remote(config: &Config) -> Option<String> {
    let addresses = config.get_hostaddrs();
    if !addresses.is_empty() {
        let remote = addresses.iter().find(|address| !address.is_loopback());
        return remote.map(ToString::to_string);
    }
    config.get_hosts().iter().find_map(|host| match host {
        Host::Tcp(name) => (!is_loopback(name)).then(|| name.clone()),
        Host::Unix(_) => None,
    })
}

fn is_loopback(name: &str) -> bool {
    name.eq_ignore_ascii_case("localhost") || name.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

/// Trusts only the certificates in `ca_pem` or, without them, the public roots and those of Amazon RDS.
pub(crate) fn connector(ca_pem: Option<&[u8]>) -> Result<MakeRustlsConnect> {
    let mut roots = RootCertStore::empty();
    if ca_pem.is_none() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    let unusable = |problem: String| Error::Address(format!("CA bundle: {problem}"));
    for certificate in CertificateDer::pem_slice_iter(ca_pem.unwrap_or(RDS_ROOTS)) {
        let certificate = certificate.map_err(|error| unusable(error.to_string()))?;
        roots.add(certificate).map_err(|error| unusable(error.to_string()))?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Address(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

#[cfg(test)]
mod tests {
    use super::*;
    use x509_cert::Certificate;
    use x509_cert::der::Decode;

    fn refused(url: &str) -> String {
        config(url).err().map(|error| error.to_string()).unwrap_or_default()
    }

    #[test]
    fn another_machine_is_reached_over_tls_only() {
        let text = "the database at db.example.com must be reached over TLS: add sslmode=verify-full to its URL";
        for mode in [
            "",
            "?sslmode=disable",
            "?sslmode=prefer",
            "?connect_timeout=3&sslmode=prefer",
        ] {
            assert_eq!(refused(&format!("postgresql://u:p@db.example.com/loyalty{mode}")), text);
        }
        assert!(refused("postgresql://u:p@localhost,10.0.0.1/loyalty").contains("at 10.0.0.1 must"));
        assert!(refused("postgresql://u:p@localhost/loyalty?hostaddr=10.0.0.1").contains("at 10.0.0.1 must"));
        for mode in ["verify-full", "verify-ca", "require"] {
            let config = config(&format!(
                "postgresql://u:p@db.example.com/loyalty?sslmode={mode}&options=-c"
            ))
            .unwrap();
            assert_eq!(config.get_ssl_mode(), SslMode::Require, "{mode}");
            assert_eq!(config.get_options(), Some("-c"));
        }
    }

    #[test]
    fn this_machine_may_go_without() {
        for host in [
            "localhost",
            "LOCALHOST",
            "127.0.0.1",
            "127.1.2.3",
            "[::1]",
            "%2Ftmp%2Fsocket",
        ] {
            assert_eq!(refused(&format!("postgresql://u:p@{host}/loyalty")), "");
        }
    }

    #[test]
    fn a_password_may_look_like_an_option() {
        let config = config("postgresql://u:a?sslmode=verify-ca@localhost/loyalty?sslmode=verify-full").unwrap();
        assert_eq!(config.get_password(), Some(&b"a?sslmode=verify-ca"[..]));
    }

    /// Replace the bundle when a root expires. The date is that of the last check.
    #[test]
    fn the_roots_of_rds_are_valid() {
        let looked_at: jiff::Timestamp = "2026-11-25T00:00:00Z".parse().unwrap();
        let text = std::str::from_utf8(RDS_ROOTS).unwrap();
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(RDS_ROOTS)
            .collect::<Result<_, _>>()
            .unwrap();
        assert_eq!(certificates.len(), text.matches("-----BEGIN CERTIFICATE-----").count());
        assert_eq!(certificates.len(), 92);
        for der in &certificates {
            let certificate = Certificate::from_der(der).unwrap().tbs_certificate;
            let ends = certificate.validity.not_after.to_unix_duration().as_secs();
            assert!(ends > looked_at.as_second().unsigned_abs(), "{}", certificate.subject);
        }
        assert!(connector(None).is_ok());
    }
}
