//! What rules see of players.

use crate::error::Result;
use crate::program::Program;
use domain::period::{Cadence, Moment};
use domain::player::PlayerSnapshot;
use store::Executor;

/// Those of the players that exist, by id, in a fixed number of statements.
pub async fn load(executor: &impl Executor, player_ids: &[&str], program: &Program) -> Result<Vec<PlayerSnapshot>> {
    let moment = &program.moment;
    Ok(
        store::program::snapshots::load(executor, player_ids, moment.now(), moment.today(), &period_keys(moment))
            .await?,
    )
}

/// Like [`load`], for evaluations of these events, each of which is a period of its own.
pub(crate) async fn load_for_events(
    executor: &impl Executor,
    player_ids: &[&str],
    program: &Program,
    event_ids: &[&str],
) -> Result<Vec<PlayerSnapshot>> {
    let moment = &program.moment;
    let keys: Vec<String> = period_keys(moment)
        .into_iter()
        .chain(event_ids.iter().map(|id| (*id).to_owned()))
        .collect();
    Ok(store::program::snapshots::load(executor, player_ids, moment.now(), moment.today(), &keys).await?)
}

/// The current periods of all cadences except per-event.
pub(crate) fn period_keys(moment: &Moment) -> Vec<String> {
    Cadence::ALL
        .iter()
        .filter_map(|cadence| cadence.period_key(moment, None))
        .collect()
}
