//! Webhooks: where events may be sent, what is sent, and when a failed delivery is retried.
//!
//! # Choices
//!
//! * A delivery is retried 10 s, 30 s, 2 min, 10 min, 1 h, 3 h, 6 h and 12 h after the failure before (at the earliest:
//!   a relay starts each minute); after the ninth attempt it is PARKED. Meanwhile the player's later events wait, and
//!   nobody else's; behind a parked one they go on, in order. Delivered means 200 to 299; redirects are not followed.
//! * A target is https at port 443 or from 1024 on, without user name and fragment. A host with one address that is not
//!   public is refused as a whole, at registration and at each connection. Proxy settings of the environment are
//!   ignored. `WEBHOOK_TARGETS=any`, which only `cargo local` sets, allows everything.

use crate::event::EventType;
use crate::problem::FieldErrors;
use crate::spelling::nearest;
use crate::text_enum;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use url::{Host, Url};
use uuid::Uuid;

/// The event type of a test delivery that a person requests. No filter holds it back.
pub const PING: &str = "ping";

const URL_BYTES_MAX: usize = 2_000;
const HTTPS_PORT: u16 = 443;
/// Lower ports belong to other services of a host, such as its mail server.
const OWN_PORTS: core::ops::RangeInclusive<u16> = 1_024..=u16::MAX;

/// Seconds from a failed attempt to the next: after the first failure, after the second, and so on; about 22 hours
/// in total.
const BACK_OFF_S: [i64; 8] = [10, 30, 120, 600, 3_600, 3 * 3_600, 6 * 3_600, 12 * 3_600];

/// A delivery is parked after this many failed attempts.
pub const ATTEMPTS_MAX: usize = BACK_OFF_S.len() + 1;

/// The delay before the next attempt after this many failures; `None`: no further attempt.
pub fn back_off(failures: usize) -> Option<SignedDuration> {
    BACK_OFF_S
        .get(failures.checked_sub(1)?)
        .map(|seconds| SignedDuration::from_secs(*seconds))
}

/// The errors of an event filter, each with its place. A filter names at least one type, and each type once.
pub fn check_event_types(names: &[String]) -> FieldErrors {
    let mut errors = FieldErrors::default();
    if names.is_empty() {
        errors.push(
            "/event_types",
            "range",
            "must name at least one type; leave it out for all events",
        );
    }
    for (at, name) in names.iter().enumerate() {
        if let Some((code, detail)) = wrong_event_type(name, &names[..at]) {
            errors.push(format!("/event_types/{at}"), code, detail);
        }
    }
    errors
}

fn wrong_event_type(name: &str, before: &[String]) -> Option<(&'static str, String)> {
    if before.iter().any(|other| other == name) {
        return Some(("duplicate", format!("{name} is named twice")));
    }
    if EventType::parse(name).is_some() {
        return None;
    }
    let known = EventType::ALL.map(EventType::as_str);
    let guess = nearest(name, known.into_iter()).map(|near| format!("; did you mean {near}?"));
    Some((
        "unknown",
        format!(
            "{name:?} is not one of {}{}",
            known.join(", "),
            guess.unwrap_or_default()
        ),
    ))
}

/// The hosts that may be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Targets {
    /// Hosts on the public internet, over https only.
    Public,
    /// Any host, over http too: for the local stack, where the target runs on the same machine.
    Any,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    #[error("is not an address: {0}")]
    Unreadable(String),
    #[error("must have at most {URL_BYTES_MAX} bytes")]
    TooLong,
    #[error("must begin with https://")]
    Scheme,
    #[error("must not contain a user name or a password")]
    Credentials,
    #[error("must not contain a fragment (#)")]
    Fragment,
    #[error("the port must be {HTTPS_PORT}, or {} and above", OWN_PORTS.start())]
    Port,
    #[error("must not be at {0}, which is not an address of the public internet")]
    NotPublic(IpAddr),
}

/// The address of a webhook. If the host is a name, whoever connects must check the resolved addresses, each time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// The URL parser normalises addresses written as one number, in octal or in hex (`0x7f000001`), so that the
    /// check sees them.
    pub fn parse(text: &str, targets: Targets) -> Result<Self, TargetError> {
        if text.len() > URL_BYTES_MAX {
            return Err(TargetError::TooLong);
        }
        let url = Url::parse(text).map_err(|error| TargetError::Unreadable(error.to_string()))?;
        let address = match url.host() {
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            _ => None,
        };
        if !matches!((url.scheme(), targets), ("https", _) | ("http", Targets::Any)) {
            return Err(TargetError::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(TargetError::Credentials);
        }
        if url.fragment().is_some() {
            return Err(TargetError::Fragment);
        }
        let port = url.port_or_known_default().unwrap_or_default();
        if targets == Targets::Public && port != HTTPS_PORT && !OWN_PORTS.contains(&port) {
            return Err(TargetError::Port);
        }
        match address {
            Some(address) if !may_connect(address, targets) => Err(TargetError::NotPublic(address)),
            _ => Ok(Self(url)),
        }
    }

    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The name to resolve, with the port; `None` if the host is an address.
    pub fn name(&self) -> Option<(&str, u16)> {
        Some((self.0.domain()?, self.0.port_or_known_default()?))
    }
}

/// Whether a connection to this address is allowed.
pub fn may_connect(address: IpAddr, targets: Targets) -> bool {
    targets == Targets::Any || is_public(address)
}

/// Whether this is an address of the public internet, by the IANA registries of special-purpose addresses. An IPv6
/// address that embeds an IPv4 one (mapped, compatible, NAT64, 6to4, Teredo) is not, whichever it embeds.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !NOT_PUBLIC_V4
            .iter()
            .any(|(network, bits)| in_v4(address, *network, *bits)),
        IpAddr::V6(address) => {
            in_v6(address, GLOBAL_UNICAST) && !NOT_PUBLIC_V6.iter().any(|network| in_v6(address, *network))
        }
    }
}

const NOT_PUBLIC_V4: [([u8; 4], u32); 15] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16), // with the metadata of the machine
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    ([224, 0, 0, 0], 4),
    ([240, 0, 0, 0], 4),
];

/// All assigned global addresses. Unique-local, link-local, multicast, NAT64 and addresses that embed IPv4 are
/// outside.
const GLOBAL_UNICAST: (u128, u32) = (0x2000 << 112, 3);

const NOT_PUBLIC_V6: [(u128, u32); 4] = [
    (0x2001 << 112, 23), // protocol assignments, with Teredo, benchmarking and ORCHID
    (0x2001_0db8 << 96, 32),
    (0x2002 << 112, 16),
    (0x3fff << 112, 20),
];

fn in_v4(address: Ipv4Addr, network: [u8; 4], bits: u32) -> bool {
    (address.to_bits() ^ u32::from_be_bytes(network)).leading_zeros() >= bits
}

fn in_v6(address: Ipv6Addr, (network, bits): (u128, u32)) -> bool {
    (address.to_bits() ^ network).leading_zeros() >= bits
}

/// The body sent to a target.
#[derive(Debug, Serialize)]
pub struct Message<'a, Data> {
    /// The same at every attempt and for every webhook, so that a receiver recognises a repetition.
    pub event_id: Uuid,
    #[serde(rename = "type")]
    pub event_type: &'a str,
    /// Events of one player arrive in the order in which they happened.
    pub player_id: Option<&'a str>,
    pub occurred_at: Timestamp,
    pub data: &'a Data,
}

impl<Data: Serialize> Message<'_, Data> {
    /// Cannot fail: the data of a message is JSON already.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The text that is signed: the time of sending in seconds since 1970, a full stop, and the body.
pub fn signed_text(sent_at: Timestamp, body: &str) -> String {
    format!("{}.{body}", sent_at.as_second())
}

/// The result of one delivery attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attempt {
    pub attempted_at: Timestamp,
    /// `None`: there was no response, and `error` says why.
    pub status_code: Option<u16>,
    pub error: Option<String>,
    /// The beginning of the response body.
    pub response: Option<String>,
    pub duration_ms: u32,
}

impl Attempt {
    /// Whether the status is 200 to 299. A redirection does not count: it is not followed.
    pub fn is_delivered(&self) -> bool {
        self.status_code.is_some_and(|code| (200..300).contains(&code))
    }

    /// Whether the target is unreachable or overloaded, independent of the event: no response, 429, or 500 and
    /// above.
    pub fn target_is_away(&self) -> bool {
        self.status_code.is_none_or(|code| code == 429 || code >= 500)
    }

    /// What happens next to a delivery that failed `failures` times before this attempt.
    pub fn next(&self, failures: usize) -> Next {
        if self.is_delivered() {
            return Next::Delivered;
        }
        back_off(failures.saturating_add(1)).map_or(Next::Parked, |wait| Next::TryAgain {
            due_at: self.attempted_at + wait,
        })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    Delivered,
    TryAgain {
        due_at: Timestamp,
    },
    /// Parked for a person to look at. The player's later events continue.
    Parked,
}

text_enum! {
    pub enum DeliveryStatus as "delivery status" {
        Pending = "PENDING",
        Delivered = "DELIVERED",
        Parked = "PARKED",
    }
}

impl From<Next> for DeliveryStatus {
    fn from(next: Next) -> Self {
        match next {
            Next::Delivered => Self::Delivered,
            Next::TryAgain { .. } => Self::Pending,
            Next::Parked => Self::Parked,
        }
    }
}
