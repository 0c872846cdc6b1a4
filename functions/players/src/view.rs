//! Players as the API shows them.

use app::players::Player;
use app::players::risk::{RiskProfile, SignalView};
use app::tiers::{PastMove, TierStanding};
use domain::gate::Penalty;
use domain::id::PlayerId;
use domain::money::{Money, Plain, Points, Tickets};
use domain::rule::ConditionResult;
use domain::segment::Segment;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::{Map, Value};

/// Decimal places of ratios and averages.
const RATIO_SCALE: u32 = 4;

#[derive(Serialize)]
pub struct PlayerView {
    pub player_id: String,
    email: Option<String>,
    name: Option<String>,
    segment: Option<Segment>,
    tier: String,
    risk_score: i16,
    is_active: bool,
    is_blocked: bool,
    self_excluded_until: Option<Timestamp>,
    created_at: Timestamp,
    last_activity_at: Option<Timestamp>,
    metrics: MetricsView,
    balances: BalancesView,
}

#[derive(Serialize)]
struct MetricsView {
    total_deposited: Money,
    total_wagered: Money,
    total_won: Money,
    total_withdrawn: Money,
    net_pnl: Money,
    net_loss: Money,
    win_loss_ratio: Plain,
    total_sessions: i32,
    total_playtime_hours: Plain,
    total_bets: Option<i64>,
    avg_bet_size: Option<Money>,
    last_deposit_date: Option<Date>,
}

#[derive(Serialize)]
struct BalancesView {
    lp_balance: Points,
    rp_balance: Points,
    bonus_balance: Money,
    tickets_balance: Tickets,
    /// Total of the open bonus grants.
    bonus_wagering_required: Money,
    bonus_wagering_completed: Money,
    /// Expiry of the grant that expires first.
    bonus_expiry: Option<Timestamp>,
}

impl From<Player> for PlayerView {
    fn from(player: Player) -> Self {
        let metrics = metrics(&player);
        let balances = balances(&player);
        Self {
            player_id: player.player_id,
            email: player.profile.email,
            name: player.profile.name,
            segment: player.segment,
            tier: player.tier,
            risk_score: player.risk_score,
            is_active: player.profile.is_active,
            is_blocked: player.profile.is_blocked,
            self_excluded_until: player.profile.self_excluded_until,
            created_at: player.created_at,
            last_activity_at: player.last_activity_at,
            metrics,
            balances,
        }
    }
}

fn metrics(player: &Player) -> MetricsView {
    let totals = &player.totals;
    MetricsView {
        total_deposited: Money::of(totals.deposited),
        total_wagered: Money::of(totals.wagered),
        total_won: Money::of(totals.won),
        total_withdrawn: Money::of(totals.withdrawn),
        net_pnl: Money::of(totals.net_pnl()),
        net_loss: Money::of(totals.net_loss()),
        win_loss_ratio: Plain::of(totals.win_loss_ratio().round_dp(RATIO_SCALE)),
        total_sessions: totals.session_count,
        total_playtime_hours: Plain::of(totals.playtime_hours),
        total_bets: totals.bets,
        avg_bet_size: totals.avg_bet_size().map(|size| Money::of(size.round_dp(RATIO_SCALE))),
        last_deposit_date: totals.last_deposit_date,
    }
}

fn balances(player: &Player) -> BalancesView {
    let (balances, bonus) = (&player.balances, &player.open_bonus);
    BalancesView {
        lp_balance: Points::of(balances.lp),
        rp_balance: Points::of(balances.rp),
        bonus_balance: Money::of(balances.bonus),
        tickets_balance: Tickets::of(balances.tickets),
        bonus_wagering_required: Money::of(bonus.wagering_required),
        bonus_wagering_completed: Money::of(bonus.wagering_completed),
        bonus_expiry: bonus.next_expiry,
    }
}

/// The facts a rule sees; null if unknown.
#[derive(Serialize)]
pub struct FactsView {
    pub player_id: PlayerId,
    pub facts: Map<String, Value>,
}

/// The risk score and what contributes to it.
#[derive(Serialize)]
pub struct RiskView {
    player_id: PlayerId,
    /// 0 to 100: the score of the last scan or judgement, which the gates read.
    risk_score: u8,
    /// The score that a scan would give now; signals decay daily.
    current_score: u8,
    penalty: Penalty,
    /// Days after which an open signal counts for half.
    half_life_days: u32,
    /// Open and confirmed signals, oldest first.
    signals: Vec<WeightedSignalView>,
}

#[derive(Serialize)]
struct WeightedSignalView {
    #[serde(flatten)]
    signal: SignalView,
    /// Whole days since the evidence last changed.
    age_days: i64,
    /// 0 to 1.
    weight: Plain,
    /// Contribution to the score: `10 · severity · weight`.
    contribution: Plain,
}

impl From<RiskProfile> for RiskView {
    fn from(profile: RiskProfile) -> Self {
        let RiskProfile {
            player_id,
            risk_score,
            current_score,
            penalty,
            half_life_days,
            signals,
        } = profile;
        let weighted = signals.into_iter().map(|(signal, contribution)| WeightedSignalView {
            signal: signal.into(),
            age_days: contribution.age_days,
            weight: Plain::of(contribution.weight),
            contribution: Plain::of(contribution.points),
        });
        Self {
            player_id,
            risk_score,
            current_score,
            penalty,
            half_life_days,
            signals: weighted.collect(),
        }
    }
}

/// A player's standing on the ladder.
#[derive(Serialize)]
pub struct TierView {
    player_id: PlayerId,
    tier: String,
    /// 0 is the lowest.
    rank: usize,
    benefits: Map<String, Value>,
    /// LP earned in the period, less reversals; spent points still count.
    qualifying_lp: Points,
    /// Null, like the first day, if all LP count.
    qualification_days: Option<u32>,
    qualifying_since: Option<Date>,
    /// Null in the highest tier.
    next: Option<NextTierView>,
    /// The first day on which the LP no longer reach the tier if no more are earned; null: never.
    falls_below_on: Option<Date>,
    /// The announced downgrade.
    downgrade: Option<DowngradeView>,
    /// The latest tier changes, newest first.
    history: Vec<PastMove>,
}

#[derive(Serialize)]
struct NextTierView {
    tier: String,
    rank: usize,
    lp_min: Points,
    lp_missing: Points,
    /// Unmet requirements.
    unmet: Vec<ConditionResult>,
}

#[derive(Serialize)]
struct DowngradeView {
    to: String,
    due_at: Timestamp,
    /// LP missing to keep the tier.
    lp_missing: Points,
    unmet: Vec<ConditionResult>,
}

impl From<TierStanding> for TierView {
    fn from(standing: TierStanding) -> Self {
        let next = standing.next.map(|next| NextTierView {
            tier: next.tier.tier_level,
            rank: next.rank.0,
            lp_min: next.tier.lp_min,
            lp_missing: Points::of(next.lp_missing),
            unmet: next.unmet,
        });
        let downgrade = standing.due.map(|due| DowngradeView {
            to: due.to,
            due_at: due.due_at,
            lp_missing: Points::of(due.lp_missing),
            unmet: due.unmet,
        });
        Self {
            player_id: standing.player_id,
            tier: standing.tier.tier_level,
            rank: standing.rank.0,
            benefits: standing.tier.benefits,
            qualifying_lp: Points::of(standing.qualifying_lp),
            qualification_days: standing.qualification_days,
            qualifying_since: standing.qualifying_since,
            next,
            falls_below_on: standing.falls_below_on,
            downgrade,
            history: standing.history,
        }
    }
}
