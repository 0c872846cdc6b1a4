//! The nightly tier review: promotes players who qualify, announces downgrades of those who no longer do, and
//! downgrades them after the grace period.

use crate::error::{Error, Result};
use crate::program::Program;
use crate::tiers::{Applicants, move_in_tx};
use domain::context::Context;
use domain::event::{Event, TierDowngradeDue};
use domain::id::{PlayerId, TriggerBatchId};
use domain::money::Points;
use domain::tier::{Candidacy, Finding, Grace, MoveReason, Rank, Tier};
use rust_decimal::Decimal;
use serde::Serialize;
use store::platform::stats::{self, Slot};
use store::tiers::{Downgrade, Reviewee, TierMove};
use store::{Db, Executor, Tx, transaction};

/// The result of reviewing some players.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reviewed {
    /// Where the next call continues; `None`: all players are reviewed.
    pub last_player_id: Option<PlayerId>,
    /// Players reviewed.
    pub players: usize,
    pub promoted: usize,
    /// Downgraded by one tier.
    pub demoted: usize,
    /// Downgrades announced, including the next one of players who were just downgraded.
    pub due_announced: usize,
    /// Announced downgrades called off, because the player qualifies again.
    pub recovered: usize,
    /// To be sent to the reward queue.
    #[serde(skip)]
    pub batch_id: Option<TriggerBatchId>,
}

/// Reviews the next `players_max` players after `after`, by id, in one transaction; repeat until none are left. A
/// second call at the same instant changes nothing. Locks only players who change.
pub async fn review(db: &Db, after: Option<&str>, players_max: u16, context: Context) -> Result<Reviewed> {
    transaction!(db, |tx| review_in_tx(tx, after, players_max, context))
}

async fn review_in_tx(tx: &Tx<'_>, after: Option<&str>, players_max: u16, context: Context) -> Result<Reviewed> {
    store::tiers::pin(tx).await?;
    let program = Program::load(tx, context.now).await?;
    let seen = store::tiers::next(tx, after, players_max.into(), program.qualifying_since()).await?;
    let (players, last) = (seen.len(), seen.last().map(|last| last.qualification.player_id.clone()));
    let changing = find(tx, seen, &program).await?;
    let mut reviewed = Reviewed::default();
    if !changing.is_empty() {
        let ids: Vec<&str> = changing.iter().map(|found| found.player_id().as_str()).collect();
        reviewed = settle(tx, &ids, &program, context).await?;
    }
    reviewed.players = players;
    reviewed.last_player_id = last.filter(|_| players == usize::from(players_max));
    Ok(reviewed)
}

/// A player whom the review changes.
struct Found {
    reviewee: Reviewee,
    rank: Rank,
    finding: Finding,
}

impl Found {
    fn player_id(&self) -> &PlayerId {
        &self.reviewee.qualification.player_id
    }
}

/// Finds the players who change.
async fn find(executor: &impl Executor, reviewees: Vec<Reviewee>, program: &Program) -> Result<Vec<Found>> {
    let ladder = &program.ladder;
    // Requirements matter only for players who have the points.
    let asked = reviewees.iter().map(|reviewee| &reviewee.qualification);
    let asked = asked.filter(|qualification| ladder.asks(Rank(0), ladder.reached(qualification.qualifying_lp)));
    let asked: Vec<&str> = asked.map(|qualification| qualification.player_id.as_str()).collect();
    let applicants = Applicants::load(executor, &asked, program).await?;
    let grace = Grace::new(&program.moment, program.settings.tier_grace_days);
    let mut found = Vec::new();
    for reviewee in reviewees {
        let player = &reviewee.qualification;
        let unknown = || {
            let detail = format!("{} of {} is not on the ladder", player.tier, player.player_id);
            Error::stored("tier", detail)
        };
        let rank = ladder.rank(&player.tier).ok_or_else(unknown)?;
        let candidacy = Candidacy {
            rank,
            qualifying_lp: player.qualifying_lp,
            due_at: reviewee.due_at,
        };
        let finding = ladder.review(&candidacy, &grace, |tier| applicants.meets(&player.player_id, tier));
        if finding != Finding::Unchanged {
            found.push(Found {
                reviewee,
                rank,
                finding,
            });
        }
    }
    Ok(found)
}

/// Locks the candidates, reviews them again under the lock, and writes the result.
async fn settle(tx: &Tx<'_>, player_ids: &[&str], program: &Program, context: Context) -> Result<Reviewed> {
    store::players::lock_all(tx, player_ids).await?;
    let reviewees = store::tiers::reviewees(tx, player_ids, program.qualifying_since()).await?;
    let found = find(tx, reviewees, program).await?;

    let mut reviewed = Reviewed::default();
    let (mut steps, mut announced, mut recovered) = (Vec::new(), Vec::new(), Vec::new());
    for found in &found {
        match found.finding {
            Finding::Unchanged => {}
            Finding::Recovers => recovered.push(found.player_id().as_str()),
            Finding::Climbs { to } => {
                reviewed.promoted += 1;
                steps.push(step(found, to, MoveReason::Qualified, program)?);
            }
            Finding::Lapses { to, due_at } => announced.push(announcement(found, (found.rank, to), due_at, program)?),
            Finding::Falls { to, next_due } => {
                reviewed.demoted += 1;
                steps.push(step(found, to, MoveReason::Downgrade, program)?);
                if let Some(due_at) = next_due {
                    announced.push(announcement(
                        found,
                        (to, Rank(to.0.saturating_sub(1))),
                        due_at,
                        program,
                    )?);
                }
            }
        }
    }
    (reviewed.due_announced, reviewed.recovered) = (announced.len(), recovered.len());
    store::tiers::call_off(tx, &recovered).await?;
    let moves = move_in_tx(tx, steps, context).await?;
    let (downgrades, told): (Vec<Downgrade>, Vec<Event>) = announced.into_iter().unzip();
    store::tiers::announce(tx, &downgrades, context.now).await?;
    store::platform::outbox::add(tx, &moves.events().chain(told).collect::<Vec<_>>(), context.now).await?;
    stats::add(tx, &moves.counters().collect::<Vec<_>>(), Slot::of(player_ids.first())).await?;
    reviewed.batch_id = moves.batch_id;
    Ok(reviewed)
}

fn tier(program: &Program, rank: Rank) -> Result<&Tier> {
    program
        .ladder
        .get(rank)
        .ok_or_else(|| Error::stored("ladder", format!("rank {} does not exist", rank.0)))
}

fn step(found: &Found, to: Rank, reason: MoveReason, program: &Program) -> Result<TierMove> {
    let qualification = &found.reviewee.qualification;
    Ok(TierMove {
        player_id: qualification.player_id.clone(),
        from: qualification.tier.clone(),
        to: tier(program, to)?.tier_level.clone(),
        reason,
        qualifying_lp: qualification.qualifying_lp,
    })
}

/// The announcement of a downgrade to the next lower tier, and its event.
fn announcement(
    found: &Found,
    (from, to): (Rank, Rank),
    due_at: jiff::Timestamp,
    program: &Program,
) -> Result<(Downgrade, Event)> {
    let qualification = &found.reviewee.qualification;
    let (from, to) = (tier(program, from)?, tier(program, to)?);
    let told = Event::TierDowngradeDue(TierDowngradeDue {
        due_at,
        lp_missing: Points::of((from.lp_min.value() - qualification.qualifying_lp).max(Decimal::ZERO)),
        player_id: qualification.player_id.clone(),
        qualifying_lp: Points::of(qualification.qualifying_lp),
        tier: from.tier_level.clone(),
        to: to.tier_level.clone(),
    });
    let downgrade = Downgrade {
        player_id: qualification.player_id.clone(),
        tier: from.tier_level.clone(),
        due_at,
    };
    Ok((downgrade, told))
}
