//! What the program did, in lists and in figures, as the API shows it.

use crate::error::Result;
pub use domain::bonus::GrantStatus;
use domain::id::{GrantId, PlayerId, TransactionId};
use domain::money::{Asset, MONEY_SCALE, shown};
use domain::segment::Segment;
use jiff::Timestamp;
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::Value;
pub use store::platform::analytics::{PostedLine, PostingKey, Reward, RewardFilter};
use store::platform::stats::Counter;
use store::{Db, Page};
use uuid::Uuid;

/// The figures of the program, from counters: no player is read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DashboardView {
    pub total_players: Decimal,
    pub active_players: Decimal,
    pub total_rewards_issued: Decimal,
    /// Expected, in money.
    pub total_reward_cost: Decimal,
    /// Every segment, also those without players.
    pub segment_distribution: Vec<SegmentShare>,
    /// In the order of the ladder.
    pub tiers: Vec<TierCount>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentShare {
    pub segment: Segment,
    pub count: Decimal,
    /// Of the players with a segment, 0 to 100.
    pub percentage: Decimal,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TierCount {
    pub tier: String,
    pub count: Decimal,
}

pub async fn dashboard(db: &Db) -> Result<DashboardView> {
    let client = db.client().await?;
    let counters = store::platform::stats::read(&client).await?;
    let ladder = store::tiers::ladder(&client).await?;
    let of = |counter: Counter| counters.get(&counter).copied().unwrap_or_default().normalize();
    let segments = Segment::ALL.map(|segment| (segment, of(Counter::Segment(segment))));
    let classified: Decimal = segments.iter().map(|(_, count)| count).sum();
    Ok(DashboardView {
        total_players: of(Counter::PlayersTotal),
        active_players: of(Counter::PlayersActive),
        total_rewards_issued: of(Counter::RewardsIssued),
        total_reward_cost: shown(of(Counter::RewardCost), MONEY_SCALE),
        segment_distribution: segments
            .map(|(segment, count)| SegmentShare {
                segment,
                count,
                percentage: percentage(count, classified),
            })
            .into(),
        tiers: ladder
            .into_iter()
            .map(|tier| TierCount {
                count: of(Counter::Tier(tier.tier_level.clone())),
                tier: tier.tier_level,
            })
            .collect(),
    })
}

/// With two decimal places; 0 of nothing.
fn percentage(part: Decimal, whole: Decimal) -> Decimal {
    let share = (part * Decimal::ONE_HUNDRED).checked_div(whole).unwrap_or_default();
    shown(share.round_dp(MONEY_SCALE), MONEY_SCALE)
}

/// A grant with the decision that made it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RewardView {
    pub id: GrantId,
    pub player_id: String,
    /// Null: given by a person, as are version and decision.
    pub rule_id: Option<String>,
    pub rule_version: Option<i32>,
    pub reward_type: String,
    pub amount: Decimal,
    pub currency_type: Asset,
    pub status: String,
    pub status_reason: Option<String>,
    /// What a bonus still holds.
    pub balance: Decimal,
    /// Expected, in money.
    pub cost: Decimal,
    pub expected_revenue: Option<Decimal>,
    pub wagering_required: Decimal,
    pub wagering_completed: Decimal,
    pub issued_at: Timestamp,
    pub expires_at: Option<Timestamp>,
    pub closed_at: Option<Timestamp>,
    pub decision: Option<Value>,
}

impl From<Reward> for RewardView {
    fn from(reward: Reward) -> Self {
        let scale = reward.asset.scale();
        Self {
            id: reward.grant_id,
            player_id: reward.player_id,
            rule_id: reward.rule_id,
            rule_version: reward.rule_version,
            reward_type: reward.reward_type,
            amount: shown(reward.amount, scale),
            currency_type: reward.asset,
            status: reward.status,
            status_reason: reward.status_reason,
            balance: shown(reward.balance, scale),
            cost: shown(reward.cost, MONEY_SCALE),
            expected_revenue: reward.expected_revenue.map(|revenue| shown(revenue, MONEY_SCALE)),
            wagering_required: shown(reward.wagering_required, MONEY_SCALE),
            wagering_completed: shown(reward.wagering_completed, MONEY_SCALE),
            issued_at: reward.issued_at,
            expires_at: reward.expires_at,
            closed_at: reward.closed_at,
            decision: reward.decision,
        }
    }
}

/// Newest first, each with the decision behind it.
pub async fn rewards(db: &Db, filter: &RewardFilter, page: &Page<Uuid>) -> Result<Vec<RewardView>> {
    let rewards = store::platform::analytics::rewards(&db.client().await?, filter, page).await?;
    Ok(rewards.into_iter().map(RewardView::from).collect())
}

/// A posting from the wallet's side.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TransactionView {
    pub transaction_id: TransactionId,
    pub player_id: String,
    pub asset: Asset,
    /// The wallet's, dense from 1.
    pub version: i64,
    pub kind: String,
    /// Positive: to the wallet, from the house.
    pub amount: Decimal,
    pub balance_after: Decimal,
    pub house: String,
    pub reference: String,
    pub grant_id: Option<GrantId>,
    pub actor: String,
    pub reason: Option<String>,
    pub created_at: Timestamp,
}

impl TransactionView {
    /// One transaction can have several postings of one wallet.
    pub fn cursor(&self) -> String {
        PostingKey {
            transaction_id: self.transaction_id.0,
            asset: self.asset,
            version: self.version,
        }
        .to_string()
    }
}

impl From<PostedLine> for TransactionView {
    fn from(line: PostedLine) -> Self {
        let scale = line.asset.scale();
        Self {
            transaction_id: line.transaction_id,
            player_id: line.player_id,
            asset: line.asset,
            version: line.version,
            kind: line.kind,
            amount: shown(line.amount, scale),
            balance_after: shown(line.balance_after, scale),
            house: line.house,
            reference: line.reference,
            grant_id: line.grant_id,
            actor: line.actor,
            reason: line.reason,
            created_at: line.created_at,
        }
    }
}

/// Postings, newest first; of one player, or of all.
pub async fn transactions(
    db: &Db,
    player_id: Option<&PlayerId>,
    page: &Page<PostingKey>,
) -> Result<Vec<TransactionView>> {
    let postings = store::platform::analytics::transactions(&db.client().await?, player_id, page).await?;
    Ok(postings.into_iter().map(TransactionView::from).collect())
}
