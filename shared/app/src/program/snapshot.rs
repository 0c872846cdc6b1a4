//! What rules see of players.

use crate::error::Result;
use crate::program::Program;
use domain::facts::FactSource;
use domain::period::{Cadence, Moment};
use domain::player::PlayerSnapshot;
use std::collections::BTreeSet;
use store::Executor;
use store::program::snapshots::Reading;

/// Those of the players that exist, by id, as of now, in a fixed number of statements. `sources` is what the rules read.
pub async fn load(
    executor: &impl Executor,
    player_ids: &[&str],
    program: &Program,
    sources: BTreeSet<FactSource>,
) -> Result<Vec<PlayerSnapshot>> {
    let reading = Reading {
        moment: &program.moment,
        sources,
        period_keys: period_keys([&program.moment]),
        entered: Vec::new(),
    };
    Ok(store::program::snapshots::load(executor, player_ids, &reading).await?)
}

/// Like [`load`], with every fact.
pub async fn load_all(executor: &impl Executor, player_ids: &[&str], program: &Program) -> Result<Vec<PlayerSnapshot>> {
    load(executor, player_ids, program, FactSource::ALL.into()).await
}

/// The keys of the periods that contain these moments, of all cadences except per-event.
pub(crate) fn period_keys<'a>(moments: impl IntoIterator<Item = &'a Moment>) -> Vec<String> {
    let keys: BTreeSet<String> = moments
        .into_iter()
        .flat_map(|moment| Cadence::ALL.into_iter().flat_map(|cadence| cadence.keys(moment)))
        .collect();
    keys.into_iter().collect()
}
