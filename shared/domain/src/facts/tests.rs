use super::program::{Known, STATIC_FACTS};
use super::{EventFacts, FactSource};
use crate::metrics::{Totals, Windows};
use crate::period::Moment;
use crate::player::{Balances, PlayerSnapshot, RewardSpend};
use crate::segment::Segment;
use crate::settings::Settings;
use jiff::Timestamp;
use rust_decimal::Decimal;

const NOW: &str = "2026-03-02T12:00:00Z";

struct Filled {
    player: PlayerSnapshot,
    moment: Moment,
    event: Option<EventFacts>,
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn moment(now: &str) -> Moment {
    Moment::new(at(now), &Settings::default()).unwrap()
}

/// A player of whom little is known, read with these windows.
fn empty(windows: Windows) -> Filled {
    let player = PlayerSnapshot {
        player_id: "P".parse().unwrap(),
        standing: None,
        segment: None,
        tier: "BRONZE".into(),
        totals: Totals::default(),
        windows,
        balances: Balances::default(),
        risk_score: 0,
        kyc_completed: false,
        profile_depth: Decimal::ZERO,
        registered_at: None,
        spend: RewardSpend::default(),
        past_grants: Vec::new(),
    };
    Filled {
        player,
        moment: moment(NOW),
        event: None,
    }
}

/// The turnover is always loaded, so it is there from the start.
fn turnover() -> Windows {
    Windows {
        wagered_30d: Decimal::from(1_000),
        ..Windows::default()
    }
}

fn fill(source: FactSource) -> Filled {
    let mut filled = empty(turnover());
    let player = &mut filled.player;
    match source {
        FactSource::Profile => {
            player.segment = Some(Segment::Vip);
            player.risk_score = 5;
            player.kyc_completed = true;
            player.profile_depth = Decimal::from(50);
            player.registered_at = Some(at("2026-01-01T12:00:00Z"));
        }
        FactSource::Totals => {
            player.totals = Totals {
                deposited: Decimal::from(100),
                wagered: Decimal::from(200),
                won: Decimal::from(50),
                withdrawn: Decimal::from(5),
                session_count: 3,
                playtime_hours: Decimal::from(2),
                bets: Some(10),
                last_deposit_date: Some("2026-02-01".parse().unwrap()),
            }
        }
        FactSource::Turnover => player.windows = Windows::default(),
        FactSource::Windows => {
            player.windows = Windows {
                wagered_7d: Decimal::from(100),
                won_7d: Decimal::from(10),
                won_30d: Decimal::from(20),
                deposited_7d: Decimal::from(30),
                deposited_30d: Decimal::from(40),
                active_days_30d: 4,
                ..turnover()
            }
        }
        FactSource::Balances => {
            player.balances = Balances {
                lp: Decimal::from(1),
                rp: Decimal::from(2),
                bonus: Decimal::from(3),
                tickets: Decimal::from(4),
            }
        }
        FactSource::Tier => player.tier = "GOLD".into(),
        FactSource::Event => {
            filled.event = Some(EventFacts {
                event_id: "E".into(),
                occurred_at: at(NOW),
                amount: Some(Decimal::from(7)),
                game: Some("roulette".into()),
            })
        }
        FactSource::Clock => filled.moment = moment("2026-03-03T12:00:00Z"),
    }
    filled
}

fn known(filled: &Filled) -> Known<'_> {
    Known {
        player: &filled.player,
        totals: &filled.player.totals,
        windows: &filled.player.windows,
        moment: &filled.moment,
        event: filled.event.as_ref(),
    }
}

#[test]
fn a_fact_reads_only_its_source() {
    let before = empty(turnover());
    let before = known(&before);
    let sources = [
        FactSource::Profile,
        FactSource::Totals,
        FactSource::Turnover,
        FactSource::Windows,
        FactSource::Balances,
        FactSource::Tier,
        FactSource::Event,
        FactSource::Clock,
    ];
    let mut compared = 0;
    for source in sources {
        let after = fill(source);
        let after = known(&after);
        for fact in &STATIC_FACTS {
            let changes = (fact.read)(&before) != (fact.read)(&after);
            // A source that is always loaded may be read beside another.
            let reads_turnover = source == FactSource::Turnover && fact.name == "net_loss_30d";
            assert_eq!(
                changes,
                fact.source == source || reads_turnover,
                "{} and {source:?}",
                fact.name
            );
            compared += usize::from(fact.source == source);
        }
    }
    assert_eq!(compared, STATIC_FACTS.len());
}
