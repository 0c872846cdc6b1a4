use super::program::{Known, STATIC_FACTS};
use super::{EventFacts, FactSource, FactValue};
use crate::metrics::{Losses, Totals, Windows};
use crate::period::Moment;
use crate::player::{Balances, PlayerSnapshot, RewardSpend};
use crate::rule::Trigger;
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
        losses: Some(Losses::default()),
        deposit_count: Some(0),
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
        FactSource::Losses => {
            player.losses = Some(Losses {
                today: Decimal::from(1),
                this_week: Decimal::from(2),
                last_week: Decimal::from(3),
                this_month: Decimal::from(4),
                last_month: Decimal::from(5),
            })
        }
        FactSource::Deposits => player.deposit_count = Some(2),
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
                trigger: Trigger::Profile,
                event_id: "E".into(),
                occurred_at: at(NOW),
                amount: Some(Decimal::from(7)),
                game: Some("roulette".into()),
                entry: None,
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
    let mut compared = 0;
    for source in FactSource::ALL {
        let after = fill(source);
        let after = known(&after);
        for fact in &STATIC_FACTS {
            let changes = (fact.read)(&before) != (fact.read)(&after);
            // A source that is always loaded may be read beside another.
            let reads_turnover = source == FactSource::Turnover && fact.name == "net_loss_30d";
            // Without a deposit it is null.
            let reads = fact.source == source && fact.name != "is_first_deposit";
            assert_eq!(changes, reads || reads_turnover, "{} and {source:?}", fact.name);
            compared += usize::from(fact.source == source);
        }
    }
    assert_eq!(compared, STATIC_FACTS.len());
}

#[test]
fn the_first_deposit_is_the_only_one_and_no_file_brought_one() {
    let is_first = |count, total: i64, trigger| {
        let mut filled = empty(turnover());
        filled.player.deposit_count = count;
        filled.player.totals.deposited = total.into();
        filled.event = Some(EventFacts {
            trigger,
            event_id: "E".into(),
            occurred_at: at(NOW),
            amount: Some(50.into()),
            game: None,
            entry: None,
        });
        let fact = STATIC_FACTS
            .iter()
            .find(|fact| fact.name == "is_first_deposit")
            .unwrap();
        (fact.read)(&known(&filled)).map(|value| value == FactValue::Flag(true))
    };
    assert_eq!(is_first(Some(1), 50, Trigger::Deposit), Some(true));
    assert_eq!(is_first(Some(2), 80, Trigger::Deposit), Some(false));
    // A file brought 100.
    assert_eq!(is_first(Some(1), 150, Trigger::Deposit), Some(false));
    assert_eq!(is_first(Some(1), 50, Trigger::KycCompleted), None);
    assert_eq!(is_first(None, 50, Trigger::Deposit), None);
}

#[test]
fn a_loss_by_the_calendar_is_0_when_ahead() {
    let mut filled = empty(turnover());
    filled.player.losses = Some(Losses {
        today: Decimal::from(-20),
        last_week: Decimal::from(30),
        ..Losses::default()
    });
    let read = |name: &str| {
        let fact = STATIC_FACTS.iter().find(|fact| fact.name == name).unwrap();
        (fact.read)(&known(&filled))
    };
    assert_eq!(read("net_loss_today"), Some(FactValue::Number(0.into())));
    assert_eq!(read("net_loss_last_week"), Some(FactValue::Number(30.into())));
}
