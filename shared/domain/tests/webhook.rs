//! Which addresses webhooks may have, and when deliveries are retried.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use domain::event::EventType;
use domain::webhook::{
    ATTEMPTS_MAX, Attempt, DeliveryStatus, Next, Target, TargetError, Targets, back_off, check_event_types, may_connect,
};
use jiff::SignedDuration;
use std::net::IpAddr;

/// For each network: its first and last address, and an adjacent one outside it, if any.
const NOT_PUBLIC: &[(&str, &[&str])] = &[
    ("this network", &["0.0.0.0", "0.255.255.255"]),
    (
        "private",
        &[
            "10.0.0.0",
            "10.255.255.255",
            "172.16.0.0",
            "172.31.255.255",
            "192.168.0.0",
            "192.168.255.255",
        ],
    ),
    ("carrier-grade NAT", &["100.64.0.0", "100.127.255.255"]),
    ("loopback", &["127.0.0.1", "127.255.255.255", "::1"]),
    (
        "link-local and metadata",
        &[
            "169.254.0.0",
            "169.254.169.254",
            "169.254.170.2",
            "169.254.255.255",
            "fe80::1",
            "febf::1",
        ],
    ),
    (
        "protocol assignments",
        &["192.0.0.0", "192.0.0.255", "2001::1", "2001:1ff:ffff::1"],
    ),
    (
        "documentation",
        &[
            "192.0.2.1",
            "198.51.100.1",
            "203.0.113.255",
            "2001:db8::1",
            "3fff::1",
            "3fff:fff::1",
        ],
    ),
    ("6to4 relay", &["192.88.99.1"]),
    ("benchmarking", &["198.18.0.0", "198.19.255.255"]),
    ("multicast", &["224.0.0.1", "239.255.255.255", "ff02::1"]),
    ("reserved", &["240.0.0.1", "255.255.255.255", "4000::1", "5f00::1"]),
    ("unspecified", &["::"]),
    (
        "mapped and compatible",
        &["::ffff:127.0.0.1", "::ffff:8.8.8.8", "::127.0.0.1", "::8.8.8.8"],
    ),
    ("NAT64", &["64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1"]),
    ("6to4", &["2002:7f00:1::", "2002:808:808::1"]),
    ("unique-local", &["fc00::1", "fd00:ec2::254", "fdff:ffff::1"]),
    ("site-local and discard", &["fec0::1", "100::1"]),
];

const PUBLIC: &[&str] = &[
    "1.0.0.0",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "126.255.255.255",
    "128.0.0.0",
    "169.253.255.255",
    "169.255.0.0",
    "172.15.255.255",
    "172.32.0.0",
    "192.0.1.0",
    "192.0.3.0",
    "192.167.255.255",
    "192.169.0.0",
    "198.17.255.255",
    "198.20.0.0",
    "223.255.255.255",
    "2000::1",
    "2001:200::1",
    "2001:4860:4860::8888",
    "2001:db7::1",
    "2001:db9::1",
    "2003::1",
    "2606:4700::1111",
    "3ffe::1",
    "3fff:1000::1",
];

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn only_addresses_of_the_public_internet_may_be_connected_to() {
    for (network, addresses) in NOT_PUBLIC {
        for text in *addresses {
            assert!(!may_connect(address(text), Targets::Public), "{network}: {text}");
            assert!(may_connect(address(text), Targets::Any), "{network}: {text}");
        }
    }
    for text in PUBLIC {
        assert!(may_connect(address(text), Targets::Public), "{text}");
    }
}

#[test]
fn a_target_is_public_and_https() {
    let scheme = || TargetError::Scheme;
    let not_public = |text: &str| TargetError::NotPublic(address(text));
    let refused = [
        ("http://example.com/hook", scheme()),
        ("ftp://example.com/", scheme()),
        ("file:///etc/passwd", scheme()),
        ("javascript:alert(1)", scheme()),
        ("https://user@example.com/", TargetError::Credentials),
        ("https://:secret@example.com/", TargetError::Credentials),
        ("https://example.com/#top", TargetError::Fragment),
        ("https://example.com:25/", TargetError::Port),
        ("https://example.com:80/", TargetError::Port),
        ("https://example.com:0/", TargetError::Port),
        ("https://127.0.0.1/", not_public("127.0.0.1")),
        ("https://2130706433/", not_public("127.0.0.1")),
        ("https://0x7f000001/", not_public("127.0.0.1")),
        ("https://0177.0.0.1/", not_public("127.0.0.1")),
        ("https://127.1/", not_public("127.0.0.1")),
        ("https://127.0.0.1./", not_public("127.0.0.1")),
        ("https://%31%32%37.0.0.1/", not_public("127.0.0.1")),
        ("https://１２７.0.0.1/", not_public("127.0.0.1")),
        (
            "https://169.254.169.254/latest/meta-data/",
            not_public("169.254.169.254"),
        ),
        ("https://[::1]/", not_public("::1")),
        ("https://[::ffff:10.0.0.1]/", not_public("::ffff:10.0.0.1")),
        ("https://[fe80::1]:8443/", not_public("fe80::1")),
    ];
    for (text, error) in refused {
        assert_eq!(Target::parse(text, Targets::Public), Err(error), "{text}");
    }
    for text in [
        "",
        "hook",
        "https://",
        "https:///",
        "https://exa mple.com/",
        "https://256.1.1.1/",
        "https://[::1/",
        "https://example.com:70000/",
    ] {
        assert!(
            matches!(Target::parse(text, Targets::Public), Err(TargetError::Unreadable(_))),
            "{text}"
        );
    }
    let long = format!("https://example.com/{}", "a".repeat(2_000));
    assert_eq!(Target::parse(&long, Targets::Public), Err(TargetError::TooLong));
    for text in [
        "https://example.com/hook?a=b",
        "https://example.com:8443/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]/",
    ] {
        assert_eq!(Target::parse(text, Targets::Public).unwrap().as_str(), text);
    }
    assert_eq!(
        Target::parse("https://Example.COM", Targets::Public).unwrap().name(),
        Some(("example.com", 443))
    );
    assert_eq!(
        Target::parse("https://8.8.8.8:8443/", Targets::Public).unwrap().name(),
        None
    );
}

#[test]
fn the_local_stack_may_call_its_own_machine() {
    for text in [
        "http://127.0.0.1:9000/hook",
        "http://localhost/",
        "https://10.0.0.1:80/",
    ] {
        assert!(Target::parse(text, Targets::Any).is_ok(), "{text}");
    }
    assert_eq!(
        Target::parse("ftp://localhost/", Targets::Any),
        Err(TargetError::Scheme)
    );
}

fn attempt(status_code: Option<u16>) -> Attempt {
    let attempted_at = "2026-03-01T12:00:00Z".parse().unwrap();
    Attempt {
        attempted_at,
        status_code,
        error: None,
        response: None,
        duration_ms: 1,
    }
}

#[test]
fn a_failed_delivery_is_tried_nine_times_within_a_day_and_then_parked() {
    let waits: Vec<i64> = (1..).map_while(back_off).map(|wait| wait.as_secs()).collect();
    assert_eq!(waits, [10, 30, 120, 600, 3_600, 10_800, 21_600, 43_200]);
    assert_eq!((ATTEMPTS_MAX, back_off(0)), (9, None));
    let at = |seconds| attempt(None).attempted_at + SignedDuration::from_secs(seconds);
    assert_eq!(attempt(Some(500)).next(0), Next::TryAgain { due_at: at(10) });
    assert_eq!(attempt(Some(500)).next(7), Next::TryAgain { due_at: at(43_200) });
    assert_eq!(attempt(None).next(8), Next::Parked);
    assert_eq!(attempt(Some(200)).next(8), Next::Delivered);
}

#[test]
fn only_success_is_delivery() {
    for (code, delivered, away) in [
        (Some(200), true, false),
        (Some(204), true, false),
        (Some(299), true, false),
        (Some(199), false, false),
        (Some(302), false, false),
        (Some(404), false, false),
        (Some(429), false, true),
        (Some(500), false, true),
        (Some(503), false, true),
        (None, false, true),
    ] {
        let attempt = attempt(code);
        assert_eq!(
            (attempt.is_delivered(), attempt.target_is_away()),
            (delivered, away),
            "{code:?}"
        );
    }
}

#[test]
fn a_filter_names_known_types_each_once() {
    let check = |names: &[&str]| {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        check_event_types(&names)
            .into_iter()
            .map(|error| (error.pointer, error.code, error.detail))
            .collect::<Vec<_>>()
    };
    assert_eq!(check(&EventType::ALL.map(EventType::as_str)), []);
    assert_eq!(check(&[])[0].1, "range");
    let wrong = check(&["tier.changed", "bonus.complete", "tier.changed", "ping"]);
    assert_eq!(
        wrong
            .iter()
            .map(|(pointer, code, _)| (pointer.as_str(), *code))
            .collect::<Vec<_>>(),
        [
            ("/event_types/1", "unknown"),
            ("/event_types/2", "duplicate"),
            ("/event_types/3", "unknown"),
        ]
    );
    assert!(
        wrong[0].2.contains("bonus.forfeited") && wrong[0].2.ends_with("did you mean bonus.completed?"),
        "{}",
        wrong[0].2
    );
}

#[test]
fn a_status_is_read_as_it_is_written() {
    for status in DeliveryStatus::ALL {
        assert_eq!(DeliveryStatus::parse(status.as_str()), Some(status));
    }
    assert_eq!(DeliveryStatus::parse("pending"), None);
}
