//! Segmentation of a shard: lock its players, classify them, record every change.

use crate::error::{Error, Result};
use crate::runs::ShardMessage;
use domain::context::Context;
use domain::event::{Event, SegmentChanged};
use domain::run::Rewards;
use domain::segment::classify;
use rust_decimal::Decimal;
use store::platform::stats::{self, Counter, Slot};
use store::players::segments::{Classified, SegmentChange};
use store::runs::shards::{self, Shard};
use store::{Db, Tx, transaction};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Evaluate the shard's rewards.
    Rewards,
    Nothing,
}

/// Classifies the players of a shard. A second delivery changes nothing but still returns the next step, because the
/// message to the reward queue may have been lost.
pub async fn run_shard(db: &Db, message: ShardMessage, context: Context) -> Result<Next> {
    transaction!(db, |tx| run_shard_in_tx(tx, message, context))
}

async fn run_shard_in_tx(tx: &Tx<'_>, message: ShardMessage, context: Context) -> Result<Next> {
    let shard = lock(tx, message).await?;
    if shard.failed || shard.rewarded {
        return Ok(Next::Nothing);
    }
    let next = if shard.rewards == Rewards::Evaluate {
        Next::Rewards
    } else {
        Next::Nothing
    };
    if shard.segmented {
        return Ok(next);
    }
    let settings = crate::program::settings::load(tx).await?;
    let ids = shards::lock_players(tx, &shard).await?;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let players = store::players::segments::totals(tx, &ids).await?;
    let changes = changes(&players, |player| classify(&player.totals, &settings.segments));

    store::players::segments::change(tx, &changes, Some(shard.run_id), context.now).await?;
    store::platform::outbox::add(tx, &events(&changes), context.now).await?;
    shards::segmented(tx, &shard, players.len(), changes.len(), context.now).await?;
    stats::add(tx, &counters(&changes), Slot::of((shard.run_id, shard.shard))).await?;
    if next == Next::Nothing {
        shards::done(tx, shard.run_id, context.now).await?;
    }
    Ok(next)
}

pub(crate) async fn lock(tx: &Tx<'_>, message: ShardMessage) -> Result<Shard> {
    let shard = shards::lock(tx, message.run_id, message.shard).await?;
    shard.ok_or_else(|| Error::not_found("shard", format!("{} of run {}", message.shard, message.run_id)))
}

fn changes(players: &[Classified], classify: impl Fn(&Classified) -> domain::segment::Segment) -> Vec<SegmentChange> {
    players
        .iter()
        .map(|player| SegmentChange {
            player_id: player.player_id.clone(),
            from: player.segment,
            to: classify(player),
        })
        .filter(|change| change.from != Some(change.to))
        .collect()
}

/// A first classification is not a change and has no event.
pub(crate) fn events(changes: &[SegmentChange]) -> Vec<Event> {
    let event = |change: &SegmentChange| {
        Some(Event::SegmentChanged(SegmentChanged {
            from: change.from?,
            player_id: change.player_id.clone(),
            to: change.to,
        }))
    };
    changes.iter().filter_map(event).collect()
}

pub(crate) fn counters(changes: &[SegmentChange]) -> Vec<(Counter, Decimal)> {
    let left = changes
        .iter()
        .filter_map(|change| Some((Counter::Segment(change.from?), -Decimal::ONE)));
    let entered = changes.iter().map(|change| (Counter::Segment(change.to), Decimal::ONE));
    left.chain(entered).collect()
}
