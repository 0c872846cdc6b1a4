//! Lists and figures of what the program did, as the API shows them.

use crate::error::Result;
pub use domain::bonus::GrantStatus;
use domain::id::PlayerId;
use domain::money::{MONEY_SCALE, Money, Plain};
use domain::page::Page;
use domain::segment::Segment;
use rust_decimal::Decimal;
use serde::Serialize;
use store::Db;
pub use store::platform::analytics::{PostedLine, PostingKey, Reward, RewardFilter};
use store::platform::stats::{Counter, Total};
use uuid::Uuid;

/// The program's figures, from counters: reads no player.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DashboardView {
    pub total_players: Decimal,
    pub active_players: Decimal,
    pub total_rewards_issued: Decimal,
    /// Expected cost, in money.
    pub total_reward_cost: Money,
    /// Every segment, including empty ones.
    pub segment_distribution: Vec<SegmentShare>,
    /// In ladder order.
    pub tiers: Vec<TierCount>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SegmentShare {
    pub segment: Segment,
    pub count: Decimal,
    /// Percentage of the players that have a segment, 0 to 100.
    pub percentage: Plain,
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
        total_players: of(Counter::Total(Total::Players)),
        active_players: of(Counter::Total(Total::PlayersActive)),
        total_rewards_issued: of(Counter::Total(Total::RewardsIssued)),
        total_reward_cost: Money::of(of(Counter::Total(Total::RewardCost))),
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

/// Percentage with two decimal places; 0 if the whole is 0.
fn percentage(part: Decimal, whole: Decimal) -> Plain {
    let share = (part * Decimal::ONE_HUNDRED).checked_div(whole).unwrap_or_default();
    Plain::of(share.round_dp(MONEY_SCALE))
}

/// Rewards, newest first, each with its decision.
pub async fn rewards(db: &Db, filter: &RewardFilter, page: &Page<Uuid>) -> Result<Vec<Reward>> {
    Ok(store::platform::analytics::rewards(&db.client().await?, filter, page).await?)
}

/// Postings, newest first; of one player or of all.
pub async fn transactions(db: &Db, player_id: Option<&PlayerId>, page: &Page<PostingKey>) -> Result<Vec<PostedLine>> {
    Ok(store::platform::analytics::transactions(&db.client().await?, player_id, page).await?)
}
