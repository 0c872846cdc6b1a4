//! What the program did, in lists and in figures.

use crate::error::Result;
use domain::id::PlayerId;
use domain::segment::Segment;
use rust_decimal::Decimal;
use store::analytics::{PostedLine, PostingKey, Reward, RewardFilter};
use store::stats::Counter;
use store::{Db, Page};
use uuid::Uuid;

/// The figures of the program, from counters: no player is read.
#[derive(Debug, Clone, PartialEq)]
pub struct Dashboard {
    pub total_players: Decimal,
    pub active_players: Decimal,
    pub total_rewards_issued: Decimal,
    /// Expected, in money.
    pub total_reward_cost: Decimal,
    /// Every segment, with its players.
    pub segments: Vec<(Segment, Decimal)>,
    /// In the order of the ladder, with their players.
    pub tiers: Vec<(String, Decimal)>,
}

pub async fn dashboard(db: &Db) -> Result<Dashboard> {
    let client = db.client().await?;
    let counters = store::stats::read(&client).await?;
    let ladder = store::tiers::ladder(&client).await?;
    let of = |counter: Counter| counters.get(&counter).copied().unwrap_or_default();
    Ok(Dashboard {
        total_players: of(Counter::PlayersTotal),
        active_players: of(Counter::PlayersActive),
        total_rewards_issued: of(Counter::RewardsIssued),
        total_reward_cost: of(Counter::RewardCost),
        segments: Segment::ALL.into_iter().map(|segment| (segment, of(Counter::Segment(segment)))).collect(),
        tiers: ladder.into_iter().map(|tier| (tier.tier_level.clone(), of(Counter::Tier(tier.tier_level)))).collect(),
    })
}

/// Newest first, each with the decision behind it.
pub async fn rewards(db: &Db, filter: &RewardFilter, page: &Page<Uuid>) -> Result<Vec<Reward>> {
    Ok(store::analytics::rewards(&db.client().await?, filter, page).await?)
}

/// Postings, newest first; of one player, or of all.
pub async fn transactions(db: &Db, player_id: Option<&PlayerId>, page: &Page<PostingKey>) -> Result<Vec<PostedLine>> {
    Ok(store::analytics::transactions(&db.client().await?, player_id, page).await?)
}
