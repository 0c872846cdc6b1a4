//! Fraud signals and the risk score, with figures calculated by hand.
#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod detection;
mod score;

use domain::id::{PlayerId, SignalId};
use domain::risk::{Finding, Signal, SignalType};
use jiff::{SignedDuration, Timestamp};
use rust_decimal::Decimal;
use serde_json::{Value, json};
use uuid::Uuid;

fn d(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn noon() -> Timestamp {
    "2026-11-23T12:00:00Z".parse().unwrap()
}

fn after_hours(hours: i64) -> Timestamp {
    noon() + SignedDuration::from_hours(hours)
}

/// A signal raised at noon.
fn signal(signal_type: SignalType, evidence: Value) -> Signal {
    let player_id = PlayerId::parse("P001").unwrap();
    Signal::raised(
        SignalId(Uuid::from_u128(1)),
        player_id,
        Finding { signal_type, evidence },
        noon(),
    )
}

fn open(signal_type: SignalType) -> Signal {
    signal(signal_type, json!({}))
}
