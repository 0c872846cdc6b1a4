//! The program under test, on a real database: sends requests and reads replies and stored state.

use crate::commands::{CATALOGUE, Command, Entry, Gain, NewBonus, PLAYERS, Request, Target};
use crate::model::{Rule, Terms};
use crate::operations::{AccountChange, Change};
use crate::play::Action;
use app::activity::{self, Occurrence};
use app::jobs::expiry::Expired;
use app::players::{Changes, Registration};
use app::runs::Rewards;
use app::wallet::grants::GrantReceipt;
use app::wallet::redemption::Redeemed;
use app::wallet::{AddBonus, AddLp, Deduct, Receipt, Reversal, WalletView};
use app::{Act, Context, Db};
use domain::activity::Outcome;
use domain::bonus::GrantStatus;
use domain::id::{EventId, GrantId, PlayerId, RedemptionRuleId, TransactionId};
use domain::idempotency::{Answer, IdempotencyKey};
use domain::money::{AmountError, Asset, Money, Points, Positive};
use domain::segment::Segment;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use testing::TestDb;
use uuid::Uuid;

const ACTOR: &str = "model";
/// More than any sequence moves.
const PLENTY: i64 = 99_999_999_999_999;

/// Removes everything a sequence writes and resets `players`.
const WIPE: &str = "
SET session_replication_role = replica;
DELETE FROM postings; DELETE FROM wallets; DELETE FROM point_lots; DELETE FROM lot_movements; DELETE FROM grants;
DELETE FROM grant_history; DELETE FROM grant_wagering; DELETE FROM activity_events; DELETE FROM reversals;
DELETE FROM redemptions; DELETE FROM reward_decisions; DELETE FROM idempotency_keys; DELETE FROM outbox;
DELETE FROM audit_log;
DELETE FROM run_shards; DELETE FROM run_players; DELETE FROM runs; DELETE FROM rule_versions; DELETE FROM rules;
DELETE FROM player_daily; DELETE FROM player_segments; DELETE FROM segment_history; DELETE FROM tier_history;
DELETE FROM tier_downgrades; DELETE FROM reward_triggers; DELETE FROM interventions; DELETE FROM bonus_adjustments;
DELETE FROM stats WHERE counter IN ('rewards_issued', 'reward_cost', 'players_active') OR counter LIKE 'tier:%'
OR counter LIKE 'segment:%';
UPDATE player_totals SET total_wagered = 0, total_won = 0, total_withdrawn = 0, total_bets = NULL;
UPDATE players SET tier = 'BRONZE', is_active = true, is_blocked = false, self_excluded_until = NULL,
played_at = NULL, played_rank = NULL;
INSERT INTO stats (counter, slot, value) SELECT counter, 0, count(*) FROM players,
unnest(ARRAY['players_active', 'tier:BRONZE']) AS counter GROUP BY counter;
INSERT INTO player_daily (player_id, day, deposited, wagered, won, withdrawn)
SELECT player_id, day::date, 0, 999999999999, 0, 0 FROM players, generate_series('2026-11-01'::date,
'2029-11-01'::date, '28 days') AS day;
SET session_replication_role = origin";

/// Number of sequences between vacuums.
const VACUUM_EVERY: u64 = 16;
const VACUUM: &str = "VACUUM postings, wallets, point_lots, lot_movements, grants, grant_history, grant_wagering,
    activity_events,
reversals, redemptions, reward_decisions, idempotency_keys, outbox, audit_log, run_shards, run_players, runs,
rule_versions, rules, stats, players,
player_daily, player_totals, player_segments, segment_history, tier_history, reward_triggers,
interventions, bonus_adjustments";

/// Whether any invariant of the audit is broken.
static ANY_BROKEN: LazyLock<String> = LazyLock::new(|| {
    let exists = |(_, statement): (_, &str)| format!("EXISTS (\n{statement}\n)");
    format!(
        "SELECT {}",
        store::jobs::audit::statements()
            .map(exists)
            .collect::<Vec<_>>()
            .join("\nOR ")
    )
});

/// The result of a request.
#[derive(Debug)]
pub enum Done {
    Receipt(Answer<Receipt>),
    Grant(Answer<GrantReceipt>),
    Reversal(Answer<Reversal>),
    Redeemed(Answer<Redeemed>),
    Outcome(Answer<Outcome>),
    Expired(Expired),
    /// Number of rewards.
    Rewarded(usize),
    Changed,
}

/// Ids of the grants and transactions of the model. A bonus goes by its first grant.
#[derive(Debug, Clone, Default)]
pub struct Ids {
    pub grants: Places<GrantId>,
    /// The first grant of each one.
    pub roots: HashMap<GrantId, GrantId>,
    /// The last grant of each chain, by the first.
    pub tails: HashMap<GrantId, GrantId>,
    pub transactions: Places<TransactionId>,
}

/// Ids by their index in the model.
#[derive(Debug, Clone)]
pub struct Places<T>(HashMap<usize, T>);

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl Ids {
    pub fn grant_of(&self, grant_id: GrantId) -> usize {
        self.grants
            .place_of(self.roots.get(&grant_id).copied().unwrap_or(grant_id))
    }

    pub fn tail(&self, place: usize) -> GrantId {
        let root_id = self.grants.get(place);
        self.tails.get(&root_id).copied().unwrap_or(root_id)
    }
}

/// A grant as it is stored.
#[derive(Debug)]
pub struct Stored {
    pub grant_id: GrantId,
    pub root_id: GrantId,
    pub is_last: bool,
    pub status: GrantStatus,
    pub reason: Option<String>,
    pub balance: Decimal,
    pub wagered: Decimal,
    pub converted: Decimal,
    pub released: Decimal,
}

impl<T: Copy + PartialEq> Places<T> {
    /// The index of an id. A new id gets the expected index.
    pub fn place(&mut self, expected: Option<usize>, id: T) -> usize {
        if let Some(expected) = expected
            && self.place_of(id) == usize::MAX
        {
            self.0.entry(expected).or_insert(id);
        }
        self.place_of(id)
    }

    /// `usize::MAX` for an unknown id.
    pub fn place_of(&self, id: T) -> usize {
        self.0
            .iter()
            .find(|(_, known)| **known == id)
            .map_or(usize::MAX, |(place, _)| *place)
    }

    pub fn get(&self, place: usize) -> T {
        self.0[&place]
    }
}

pub struct World {
    database: TestDb,
    db: Db,
    /// Can delete from append-only tables.
    superuser: Db,
    wipes: AtomicU64,
}

/// Sequential ids, the same in every run.
fn new_id() -> Uuid {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    Uuid::from_u128(0x0190_0000_0000_7000_8000_0000_0000_0000 + u128::from(NEXT.fetch_add(1, Ordering::Relaxed)))
}

pub fn context(now: Timestamp) -> Context {
    Context { now, new_id }
}

pub fn player_id(player: usize) -> PlayerId {
    PlayerId::parse(if player < PLAYERS {
        format!("P{player}")
    } else {
        "NOBODY".to_owned()
    })
    .unwrap()
}

pub fn rule_id(rule: usize) -> String {
    format!("R{rule:03}")
}

impl World {
    /// A program with players, whose gates refuse no reward because of its cost.
    pub async fn new(now: Timestamp) -> Self {
        let database = TestDb::new().await;
        let (db, superuser) = (database.db(), Db::new(&database.superuser_url(), None).unwrap());
        let mut settings = app::program::settings::get(&db).await.unwrap();
        let plenty = Decimal::from(PLENTY);
        // For the first sequence; later ones find days of heavy play, see `WIPE`.
        settings.profit.prior_wager = Segment::ALL.into_iter().map(|segment| (segment, plenty)).collect();
        (settings.caps.day, settings.caps.days_7, settings.caps.days_30) = (plenty, plenty, plenty);
        // Without a qualification period, because sequences wait for months.
        settings.tier_qualification_days = None;
        // The model has no fraud detection, so no signal may reduce a reward.
        let risk = &mut settings.risk;
        (
            risk.bonus_only_grants_min,
            risk.immediate_withdrawal_hours,
            risk.low_risk_stakes_min,
        ) = (1_000, 0, 1_000_000);
        (risk.bet_stakes_min, risk.bet_stakes_last) = (1_000, 1_000);
        risk.win_staked_min = plenty;
        app::program::settings::put(&db, &json!(settings), &Act::of(ACTOR, context(now)))
            .await
            .unwrap();
        for player in 0..PLAYERS {
            let registration = Registration {
                player_id: player_id(player),
                email: None,
                name: None,
            };
            app::players::create(&db, &registration, &Act::of(ACTOR, context(now)))
                .await
                .unwrap();
        }
        for (number, entry) in CATALOGUE.iter().enumerate() {
            app::wallet::redemption::create(&db, &catalogue_entry(number, entry), &Act::of(ACTOR, context(now)))
                .await
                .unwrap();
        }
        Self {
            database,
            db,
            superuser,
            wipes: AtomicU64::new(0),
        }
    }

    /// Resets the database to its initial state.
    pub async fn wipe(&self) {
        let client = self.superuser.client().await.unwrap();
        client.batch_execute(WIPE).await.unwrap();
        if self.wipes.fetch_add(1, Ordering::Relaxed).is_multiple_of(VACUUM_EVERY) {
            client.batch_execute(VACUUM).await.unwrap();
        }
    }

    pub async fn wallet(&self, player: usize) -> WalletView {
        app::wallet::get(&self.db, &player_id(player)).await.unwrap()
    }

    pub async fn grants(&self) -> Vec<Stored> {
        const GRANTS: &str = "SELECT grant_id, coalesce(root_id, grant_id) AS root_id, corrected_by IS NULL AS is_last,
            status, status_reason, balance, wagering_completed, converted, released FROM grants";
        let client = self.db.client().await.unwrap();
        let statement = client.prepare_cached(GRANTS).await.unwrap();
        let rows = client.query(&statement, &[]).await.unwrap();
        let stored = rows.iter().map(|row| Stored {
            grant_id: GrantId(row.get("grant_id")),
            root_id: GrantId(row.get("root_id")),
            is_last: row.get("is_last"),
            status: GrantStatus::parse(row.get("status")).unwrap(),
            reason: row.get("status_reason"),
            balance: row.get("balance"),
            wagered: row.get("wagering_completed"),
            converted: row.get("converted"),
            released: row.get("released"),
        });
        stored.collect()
    }

    /// The kinds of the player's transactions.
    pub async fn kinds(&self, player: usize) -> BTreeSet<String> {
        let client = self.db.client().await.unwrap();
        let kinds = "SELECT DISTINCT kind FROM postings WHERE player_id = $1";
        let statement = client.prepare_cached(kinds).await.unwrap();
        let rows = client.query(&statement, &[&player_id(player).as_str()]).await.unwrap();
        rows.iter().map(|row| row.get(0)).collect()
    }

    /// The broken invariants.
    ///
    /// Checks all of them in one prepared statement: separate round trips after each operation took most of the test's
    /// time.
    pub async fn audit(&self) -> Vec<String> {
        let client = self.db.client().await.unwrap();
        let statement = client.prepare_cached(&ANY_BROKEN).await.unwrap();
        if !client.query_one(&statement, &[]).await.unwrap().get::<_, bool>(0) {
            return Vec::new();
        }
        let invariants = store::jobs::audit::run(&self.db).await.unwrap();
        let broken = invariants.into_iter().filter(|invariant| !invariant.holds());
        broken.map(|invariant| format!("{invariant:?}")).collect()
    }

    pub async fn create_rule(&self, number: usize, rule: &Rule, now: Timestamp) {
        app::rules::create(&self.db, &definition(number, rule), &Act::of(ACTOR, context(now)))
            .await
            .unwrap();
    }

    /// A rule's grant to a player and its transaction.
    pub async fn given(&self, player: usize, rule: usize) -> (GrantId, Option<TransactionId>) {
        let client = self.superuser.client().await.unwrap();
        let query = "SELECT g.grant_id, p.transaction_id FROM grants g
          LEFT JOIN postings p ON p.player_id = g.player_id AND p.kind = 'reward_grant'
          AND p.reference = g.grant_id::text
          WHERE g.player_id = $1 AND g.rule_id = $2";
        let row = client
            .query_one(query, &[&player_id(player).as_str(), &rule_id(rule)])
            .await
            .unwrap();
        (GrantId(row.get(0)), row.get::<_, Option<Uuid>>(1).map(TransactionId))
    }

    async fn first_of_kind(&self, player: usize, kind: &str) -> TransactionId {
        let query = format!(
            "SELECT min(transaction_id::text) FROM postings WHERE player_id = '{}' AND kind = '{kind}'",
            player_id(player)
        );
        self.database
            .text(&query)
            .await
            .parse()
            .map_or_else(|_| TransactionId(new_id()), TransactionId)
    }

    pub async fn perform(&self, Command { key, request }: &Command, ids: &Ids, now: Timestamp) -> app::Result<Done> {
        let (db, context) = (&self.db, context(now));
        let act = Act {
            key: key.as_ref().map(|key| idempotency_key(key, request)),
            ..Act::of(ACTOR, context)
        };
        Ok(match request {
            Request::AddLp { player, amount } => {
                let command = AddLp {
                    player_id: player_id(*player),
                    amount: wall("/amount", Points::checked(*amount))?,
                    reason: Some("points".into()),
                };
                Done::Receipt(Box::pin(app::wallet::add_lp(db, &command, &act)).await?)
            }
            Request::AddBonus(bonus) => {
                Done::Receipt(Box::pin(app::wallet::add_bonus(db, &add_bonus(bonus)?, &act)).await?)
            }
            Request::Deduct { player, asset, amount } => {
                let command = Deduct {
                    player_id: player_id(*player),
                    amount: wall("/amount", asset.positive(*amount))?,
                    reason: Some("deduction".into()),
                };
                Done::Receipt(Box::pin(app::wallet::deduct(db, &command, &act)).await?)
            }
            Request::Reverse(target) => {
                let transaction_id = match target {
                    Target::Transaction(index) => ids.transactions.get(*index),
                    Target::OfKind { player, kind } => self.first_of_kind(*player, kind.as_str()).await,
                    Target::Nothing => TransactionId(new_id()),
                };
                Done::Reversal(Box::pin(app::wallet::reverse(db, transaction_id, "reversal", &act)).await?)
            }
            Request::Redeem { player, entry } => {
                let (player_id, entry_id) = (player_id(*player), entry_id(*entry));
                Done::Redeemed(Box::pin(app::wallet::redemption::redeem(db, &player_id, &entry_id, &act)).await?)
            }
            Request::Change { grant, to } => {
                let grant_id = grant.map_or_else(|| GrantId(new_id()), |grant| ids.tail(grant));
                Done::Grant(match to {
                    Change::Activate => Box::pin(app::wallet::grants::activate(db, grant_id, &act)).await?,
                    Change::Forfeit => Box::pin(app::wallet::grants::forfeit(db, grant_id, "forfeit", &act)).await?,
                    Change::Cancel => Answer::First(
                        Box::pin(app::wallet::grants::cancel(
                            db,
                            grant_id,
                            "cancel",
                            &Act::of(ACTOR, context),
                        ))
                        .await?,
                    ),
                })
            }
            Request::Reward { players } => Done::Rewarded(Box::pin(self.reward(players, context)).await?),
            Request::Event {
                player,
                name,
                at,
                action,
            } => Done::Outcome(Box::pin(self.record(*player, name, *at, action, context)).await?),
            Request::Expire { players_max } => Done::Expired(Box::pin(self.expire(*players_max, context)).await?),
            Request::AccountChange { player, to } => {
                Box::pin(app::players::update(
                    db,
                    &player_id(*player),
                    &changes(*to, now),
                    &Act::of(ACTOR, context),
                ))
                .await?;
                Done::Changed
            }
        })
    }

    /// A run whose messages are delivered twice.
    async fn reward(&self, players: &[usize], context: Context) -> app::Result<usize> {
        let ids: Vec<PlayerId> = players.iter().copied().map(player_id).collect();
        let run = app::runs::start_batch(&self.db, &ids, Rewards::Evaluate, &Act::of(ACTOR, context)).await?;
        let mut granted = 0;
        for message in run.messages() {
            app::runs::segmentation::run_shard(&self.db, message, context).await?;
            for _ in 0..2 {
                granted += app::runs::rewards::run_shard(&self.db, message, context).await?.granted;
            }
        }
        Ok(granted)
    }

    async fn record(
        &self,
        player: usize,
        name: &str,
        at: Timestamp,
        action: &Action,
        context: Context,
    ) -> app::Result<Answer<Outcome>> {
        let what = Occurrence {
            event_id: EventId::parse(name).unwrap(),
            player_id: player_id(player),
            at,
            action: checked(action)?,
            traces: activity::Traces::default(),
        };
        activity::record_one(&self.db, what, &Act::of(ACTOR, context)).await
    }

    async fn expire(&self, players_max: u16, context: Context) -> app::Result<Expired> {
        let mut all = Expired::default();
        loop {
            let some = app::jobs::expiry::expire_due(&self.db, players_max, context).await?;
            if some.players == 0 {
                return Ok(all);
            }
            all.players += some.players;
            all.bonuses_expired += some.bonuses_expired;
            all.bonuses_depleted += some.bonuses_depleted;
            all.point_lots_expired += some.point_lots_expired;
        }
    }
}

fn idempotency_key(key: &str, request: &Request) -> IdempotencyKey {
    let mut hasher = DefaultHasher::new();
    format!("{request:?}").hash(&mut hasher);
    let mut request_hash = [0; 32];
    request_hash[..8].copy_from_slice(&hasher.finish().to_be_bytes());
    IdempotencyKey {
        scope: "model".into(),
        key: key.into(),
        request_hash,
    }
}

/// As the functions refuse an amount before a use case sees it.
fn wall<T>(pointer: &str, amount: Result<T, AmountError>) -> app::Result<T> {
    amount.map_err(|error| app::Error::invalid(pointer, error.code(), error.to_string()))
}

fn checked(action: &Action) -> app::Result<activity::Action> {
    let positive = |amount| wall("/amount", Positive::checked(amount));
    Ok(match action {
        Action::Stake(stake) => activity::Action::Stake(activity::Stake {
            amount: positive(stake.amount)?,
            game: stake.game.clone(),
            round_id: stake.round_id.clone(),
            bonus_amount: wall("/bonus_amount", Money::checked(stake.bonus_amount))?,
        }),
        Action::Payout(payout) => activity::Action::Payout(activity::Payout {
            amount: wall("/amount", Money::checked(payout.amount))?,
            round_id: payout.round_id.clone(),
        }),
        Action::Void { voids } => activity::Action::Void { voids: voids.clone() },
        Action::Withdrawal { amount } => activity::Action::Withdrawal {
            amount: positive(*amount)?,
        },
    })
}

fn add_bonus(bonus: &NewBonus) -> app::Result<AddBonus> {
    let max_bet = bonus
        .max_bet
        .map(|max_bet| wall("/max_bet", Positive::checked(max_bet)));
    Ok(AddBonus {
        player_id: player_id(bonus.player),
        amount: wall("/amount", Positive::checked(bonus.amount))?,
        wagering_required: wall("/wagering_requirement", Money::checked(bonus.wagering))?,
        expiry_hours: bonus.hours.map(|hours| u32::try_from(hours).unwrap()),
        max_bet: max_bet.transpose()?,
        eligible_games: bonus
            .games
            .as_ref()
            .map(|games| games.iter().map(|game| (*game).to_owned()).collect()),
        reason: Some("bonus".into()),
    })
}

fn changes(to: AccountChange, now: Timestamp) -> Changes {
    match to {
        AccountChange::Blocked(blocked) => Changes {
            is_blocked: Some(blocked),
            ..Changes::default()
        },
        AccountChange::Active(active) => Changes {
            is_active: Some(active),
            ..Changes::default()
        },
        AccountChange::Included => Changes {
            self_excluded_until: Some(None),
            ..Changes::default()
        },
        AccountChange::Excluded { hours } => Changes {
            self_excluded_until: Some(Some(crate::perform::hours(now, hours.into()))),
            ..Changes::default()
        },
    }
}

fn entry_id(entry: usize) -> RedemptionRuleId {
    RedemptionRuleId::parse(format!("E{entry}")).unwrap()
}

fn catalogue_entry(number: usize, entry: &Entry) -> Value {
    let mut rule = json!({ "rule_id": entry_id(number), "name": "model", "cost": entry.cost,
        "cost_currency": entry.cost_asset,
        "amount": entry.amount, "tier_min": entry.tier_min, "balance_min": entry.balance_min,
        "monthly_limit": entry.monthly_limit,
        "is_active": entry.is_active });
    rule["target"] = json!(match entry.target {
        Gain::Cash => "CASH",
        Gain::Tickets => "TICKETS",
        Gain::Bonus { .. } => "BONUS",
    });
    if let Gain::Bonus {
        wagering,
        hours,
        max_conversion,
    } = entry.target
    {
        rule["wagering_requirement"] = json!(wagering);
        rule["expiry_hours"] = json!(hours);
        rule["max_conversion"] = json!(max_conversion);
    }
    rule
}

/// Newer rules are evaluated first.
fn definition(number: usize, rule: &Rule) -> Value {
    let mut reward = Map::new();
    let mut set = |name: &str, value: Value| reward.insert(name.to_owned(), value);
    set("amount", json!(rule.amount));
    match rule.asset {
        Asset::Bonus => {
            set("type", json!("BONUS_BALANCE"));
            set("expiry_hours", json!(rule.expiry_hours));
            set_terms(&mut set, rule);
        }
        Asset::Tickets => {
            set("type", json!("TICKETS"));
        }
        points => {
            set(
                "type",
                json!(if points == Asset::Lp {
                    "LOYALTY_POINTS"
                } else {
                    "REWARD_POINTS"
                }),
            );
            set("lp_expiry_days", json!(rule.expiry_hours.map(|hours| hours / 24)));
        }
    }
    json!({ "rule_id": rule_id(number), "name": "model", "priority": number, "is_active": true, "conditions": {},
        "reward_config": reward })
}

fn set_terms(set: &mut impl FnMut(&str, Value) -> Option<Value>, rule: &Rule) {
    let Terms {
        games,
        weights,
        max_bet,
        max_bet_forfeits,
        max_conversion,
        kept_on_withdrawal,
        opt_in,
    } = &rule.terms;
    set("wagering_requirement", json!(rule.multiplier));
    set("eligible_games", json!(games));
    set("game_weights", json!(weights));
    set("max_bet", json!(max_bet));
    set(
        "max_bet_action",
        json!(if *max_bet_forfeits { "FORFEIT" } else { "IGNORE" }),
    );
    set("max_conversion", json!(max_conversion));
    set(
        "on_withdrawal",
        json!(if *kept_on_withdrawal { "KEEP" } else { "FORFEIT" }),
    );
    set("requires_opt_in", json!(opt_in));
}
