//! A program with players and a clock that the test sets.

use app::activity::{self, Action, Batch, Occurrence, Payout, Stake, Traces};
use app::runs::triggers::{self, TriggerMessage};
use app::wallet::{self, AddBonus};
use app::{Act, Context, Db};
use domain::activity::{ProfileDepth, SessionMinutes};
use domain::id::{EventId, PlayerId};
use domain::money::{Money, Positive};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use std::fmt::Debug;
use std::str::FromStr;
use testing::{Player, TestDb};

pub const ACTOR: &str = "test";

pub struct TestProgram {
    pub database: TestDb,
    pub db: Db,
}

/// Minutes after noon UTC of a fixed day.
pub fn at(minutes: i64) -> Context {
    let noon: Timestamp = "2026-11-23T12:00:00Z".parse().unwrap();
    Context {
        now: noon + SignedDuration::from_mins(minutes),
        new_id: uuid::Uuid::now_v7,
    }
}

pub fn d<T: FromStr<Err: Debug>>(text: &str) -> T {
    text.parse().unwrap()
}

pub fn player_id(id: &str) -> PlayerId {
    PlayerId::parse(id).unwrap()
}

pub fn occurrence(player: &str, event: &str, action: Action, at: Timestamp) -> Occurrence {
    let event_id = EventId::parse(event).unwrap();
    Occurrence {
        event_id,
        player_id: player_id(player),
        at,
        action,
        traces: Traces::default(),
    }
}

pub fn stake(amount: Positive<Money>, bonus_amount: Money, game: &str, round: Option<&str>) -> Action {
    Action::Stake(Stake {
        amount,
        game: Some(game.into()),
        round_id: round.map(str::to_owned),
        bonus_amount,
    })
}

pub fn void(event: &str) -> Action {
    Action::Void {
        voids: EventId::parse(event).unwrap(),
    }
}

/// A field of an event; 0 if it is absent.
fn number<T: FromStr<Err: Debug>>(event: &Value, field: &str) -> T {
    let text = event.get(field).map_or_else(|| "0".into(), Value::to_string);
    d(text.trim_matches('"'))
}

/// One event of the generator.
pub fn read(event: &Value) -> Occurrence {
    let text = |field: &str| event.get(field).and_then(Value::as_str).map(str::to_owned);
    let action = match event["type"].as_str().unwrap() {
        "DEPOSIT" => Action::Deposit {
            amount: number(event, "amount"),
        },
        "WITHDRAWAL" => Action::Withdrawal {
            amount: number(event, "amount"),
        },
        "STAKE" => Action::Stake(Stake {
            amount: number(event, "amount"),
            game: text("game"),
            round_id: text("round_id"),
            bonus_amount: number(event, "bonus_amount"),
        }),
        "PAYOUT" => Action::Payout(Payout {
            amount: number(event, "amount"),
            round_id: text("round_id"),
        }),
        "VOID" => void(&text("voids").unwrap()),
        "SESSION" => Action::Session {
            minutes: SessionMinutes::checked(number(event, "minutes")).unwrap(),
        },
        "KYC_COMPLETED" => Action::KycCompleted,
        "PROFILE" => Action::Profile {
            depth: ProfileDepth::checked(number(event, "value")).unwrap(),
        },
        "LOGIN" => Action::Login,
        other => panic!("event type {other}"),
    };
    occurrence(
        event["player_id"].as_str().unwrap(),
        &text("event_id").unwrap(),
        action,
        text("occurred_at").unwrap().parse().unwrap(),
    )
}

impl TestProgram {
    pub async fn new(players: &[String]) -> Self {
        let database = TestDb::new().await;
        database.subscribe().await;
        let db = database.db();
        for player in players {
            Player::new(player).insert(&db).await;
        }
        Self { database, db }
    }

    pub async fn record(&self, events: Vec<Occurrence>, context: Context) -> Batch {
        activity::record(&self.db, events, &Act::of(ACTOR, context))
            .await
            .unwrap()
    }

    /// Records an event and evaluates the rules it triggers.
    pub async fn react(&self, events: Vec<Occurrence>, context: Context) -> Batch {
        let batch = self.record(events, context).await;
        for batch_id in &batch.triggers {
            triggers::run_batch(&self.db, TriggerMessage { batch_id: *batch_id }, context)
                .await
                .unwrap();
        }
        batch
    }

    pub async fn rule(&self, rule: Value) {
        app::rules::create(&self.db, &rule, &Act::of(ACTOR, at(-60)))
            .await
            .unwrap();
    }

    pub async fn give_bonus(&self, player: &str, amount: &str, wagering: &str, hours: Option<u32>, context: Context) {
        let command = AddBonus {
            player_id: player_id(player),
            amount: amount.parse().unwrap(),
            wagering_required: wagering.parse().unwrap(),
            expiry_hours: hours,
            max_bet: None,
            eligible_games: None,
            reason: None,
        };
        wallet::add_bonus(&self.db, &command, &Act::of(ACTOR, context))
            .await
            .unwrap();
    }

    pub async fn text(&self, query: &str) -> String {
        self.database.text(query).await
    }

    pub async fn audit(&self) {
        testing::audit(&self.database.owner()).await;
    }

    /// Everything that events write, as text without ids.
    pub async fn dump(&self) -> String {
        const TABLES: [&str; 11] = [
            "SELECT concat_ws(' ', 'wallet', player_id, asset, balance, version) FROM wallets",
            "SELECT concat_ws(' ', 'posting', player_id, asset, version, kind, house, direction, amount, balance_after,
               CASE WHEN kind LIKE 'bonus_%' OR kind = 'manual_bonus' THEN 'a grant' ELSE reference END, reason)
               FROM postings",
            "SELECT concat_ws(' ', 'lot', player_id, asset, version, earned, remaining, expires_at, play_day)
              FROM point_lots",
            "SELECT concat_ws(' ', 'movement', player_id, asset, version, lot_version, amount) FROM lot_movements",
            "SELECT concat_ws(' ', 'grant', player_id, amount, wagering_required, expires_at, status, status_reason,
              balance, wagering_completed,
               converted, transitions) FROM grants",
            "SELECT concat_ws(' ', 'step', h.player_id, g.amount, h.step, h.from_status, h.to_status, h.reason)
             FROM grant_history h JOIN grants g USING (player_id, grant_id)",
            "SELECT concat_ws(' ', 'wagering', w.player_id, w.event_id, g.amount, w.contribution, w.bonus, w.released)
             FROM grant_wagering w JOIN grants g USING (player_id, grant_id)",
            "SELECT concat_ws(' ', 'totals', player_id, total_deposited, total_wagered, total_won, total_withdrawn,
              session_count, playtime_hours,
               total_bets, last_deposit_date) FROM player_totals",
            "SELECT concat_ws(' ', 'day', player_id, day, deposited, wagered, won, withdrawn, lp_earned,
              lp_staked, lp_rate, lp_play)
              FROM player_daily",
            "SELECT concat_ws(' ', 'player', player_id, tier, kyc_completed, profile_depth, profile_at,
              last_activity_at) FROM players",
            "SELECT concat_ws(' ', 'event', player_id, event_id, type, occurred_at, amount, bonus_amount, game,
              round_id, voids, minutes, value,
               lp_day, outcome ->> 'lp', outcome ->> 'lp_overspent', trim_scale((outcome ->> 'real_amount')::numeric),
               trim_scale((outcome ->> 'forfeited_amount')::numeric), outcome ->> 'remark') FROM activity_events",
        ];
        let all = TABLES.map(|table| format!("({table})")).join(" UNION ALL ");
        self.text(&format!(
            "SELECT string_agg(line, E'\\n' ORDER BY line) FROM ({all}) AS lines (line)"
        ))
        .await
    }
}
