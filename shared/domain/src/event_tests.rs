//! One snapshot per event, as the operator's systems receive it.

use super::*;
use crate::bonus::{GrantTerms, GrantedRule};
use crate::id::EvaluationId;
use crate::ledger::{Direction, House, Operation};
use crate::player::Claim;
use crate::risk::SignalStatus;
use rust_decimal::Decimal;
use serde_json::json;
use uuid::Uuid;

fn id(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

fn player() -> PlayerId {
    PlayerId::parse("P001").unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn dec(text: &str) -> Decimal {
    text.parse().unwrap()
}

fn operation(kind: Kind) -> Operation {
    Operation {
        transaction_id: TransactionId(id(2)),
        kind,
        reference: "reference".into(),
        actor: "system".into(),
        reason: None,
        at: at("2026-11-23T10:00:00Z"),
    }
}

fn granted(asset: Asset, reward_type: RewardType) -> Event {
    let new = NewGrant {
        player_id: player(),
        grant_id: GrantId(id(1)),
        rule: Some(GrantedRule {
            rule_id: "welcome".into(),
            version: 3,
            claim: Claim {
                period_key: "ONCE".into(),
                ..Claim::default()
            },
            evaluation_id: EvaluationId(id(3)),
        }),
        reward_type,
        asset,
        amount: dec("25"),
        cost: dec("20"),
        expected_revenue: None,
        wagering_required: dec("250"),
        terms: (asset == Asset::Bonus).then(GrantTerms::default),
        issued_at: at("2026-11-23T10:00:00Z"),
        expires_at: (asset == Asset::Bonus).then(|| at("2026-11-30T10:00:00Z")),
    };
    Event::granted(&new, &new.opened())
}

fn step(to: GrantStatus) -> Option<Event> {
    Event::moved(&Transition {
        player_id: player(),
        grant_id: GrantId(id(1)),
        rule_id: Some("welcome".into()),
        step: 2,
        from: GrantStatus::Active,
        to,
        reason: (to == GrantStatus::Forfeited).then(|| "withdrawal".into()),
        amount: dec("25"),
        cash: dec("12.5"),
        lost: dec("0"),
        operation: operation(Kind::BonusConversion),
    })
}

fn points_expired() -> Event {
    Event::points_expired(&Posting {
        player_id: player(),
        asset: Asset::Lp,
        version: 7,
        house: House::Expiry,
        direction: Direction::Debit,
        amount: dec("10"),
        balance_after: dec("5.5"),
        grant_id: None,
        operation: operation(Kind::PointsExpiry),
    })
}

fn redeemed(target: Target, grant_id: Option<GrantId>) -> Event {
    Event::redemption_created(&Redemption {
        player_id: player(),
        redemption_id: RedemptionId(id(4)),
        rule_id: RedemptionRuleId::parse("cash-10").unwrap(),
        transaction_id: TransactionId(id(2)),
        cost: dec("1000"),
        cost_asset: Asset::Rp,
        target,
        amount: dec("10"),
        grant_id,
        month: "2026-11-01".parse().unwrap(),
        redeemed_at: at("2026-11-23T10:00:00Z"),
        reversed_at: None,
    })
}

fn signal_raised() -> Event {
    Event::signal_raised(&Signal {
        signal_id: SignalId(id(5)),
        player_id: player(),
        signal_type: SignalType::BonusOnlyPlay,
        severity: 5,
        evidence: json!({ "bonuses": 3 }),
        raised_at: at("2026-11-23T10:00:00Z"),
        last_seen_at: at("2026-11-23T10:00:00Z"),
        status: SignalStatus::Open,
        decision: None,
    })
}

fn tier_changed() -> Event {
    Event::TierChanged(TierChanged {
        from: "BRONZE".into(),
        player_id: player(),
        qualifying_lp: Points::of(dec("1000")),
        reason: MoveReason::Qualified,
        to: "SILVER".into(),
    })
}

fn downgrade_due() -> Event {
    Event::TierDowngradeDue(TierDowngradeDue {
        due_at: at("2026-12-23T00:00:00Z"),
        lp_missing: Points::of(dec("999.5")),
        player_id: player(),
        qualifying_lp: Points::of(dec("0.5")),
        tier: "SILVER".into(),
        to: "BRONZE".into(),
    })
}

/// A bonus that had become 20.00, and should have become 15.00.
fn adjusted() -> Event {
    Event::adjusted(&Adjustment {
        player_id: player(),
        root_id: GrantId(id(1)),
        grant_id: GrantId(id(3)),
        event_id: EventId::parse("e1").unwrap(),
        at: at("2026-11-23T10:00:00Z"),
        cash_delta: Decimal::from(-5),
        total_owed: Decimal::from(15),
    })
}

fn samples() -> Vec<Event> {
    let steps = GrantStatus::ALL.into_iter().filter_map(step);
    let others = [
        granted(Asset::Bonus, RewardType::BonusBalance),
        adjusted(),
        points_expired(),
        redeemed(Target::Bonus, Some(GrantId(id(1)))),
        Event::SegmentChanged(SegmentChanged {
            from: Segment::New,
            player_id: player(),
            to: Segment::Vip,
        }),
        signal_raised(),
        tier_changed(),
        downgrade_due(),
        Event::TransactionReversed(TransactionReversed {
            kind: Kind::Redemption,
            player_id: player(),
            reversed_transaction_id: TransactionId(id(2)),
            transaction_id: TransactionId(id(6)),
        }),
    ];
    steps.chain(others).collect()
}

#[test]
fn every_event_keeps_its_json() {
    let mut events = samples();
    events.sort_by_key(Event::event_type);
    let types: Vec<EventType> = events.iter().map(Event::event_type).collect();
    assert_eq!(types, EventType::ALL, "one sample of each");
    for event in events {
        assert_eq!(event.player_id(), &player());
        let json = serde_json::to_string_pretty(&event).unwrap();
        insta::assert_snapshot!(event.event_type().as_str(), json);
    }
}

/// Receivers may read a payload as text, so its fields keep their order.
#[test]
fn fields_are_sorted() {
    for event in samples() {
        let sorted = serde_json::to_value(&event).unwrap().to_string();
        assert_eq!(serde_json::to_string(&event).unwrap(), sorted);
    }
}

#[test]
fn amounts_have_the_scale_of_their_asset() {
    let json = |event: Event| serde_json::to_string(&event).unwrap();
    assert!(json(granted(Asset::Tickets, RewardType::Tickets)).starts_with(r#"{"amount":25,"#));
    let cash = json(redeemed(Target::Cash, None));
    assert!(
        cash.starts_with(r#"{"amount":10.00,"cost":1000.00,"#) && !cash.contains("grant_id"),
        "{cash}"
    );
    assert!(json(redeemed(Target::Tickets, None)).starts_with(r#"{"amount":10,"#));
}

#[test]
fn nothing_becomes_pending() {
    assert_eq!(step(GrantStatus::Pending), None);
}
