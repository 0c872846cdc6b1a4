//! The nightly review of the tiers: those climb who qualify by now, and those who no longer hold their tier are told, and step
//! down when their grace is over.

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

/// What the review of some players came to.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Reviewed {
    /// Where the next review goes on; `None`: everybody was looked at.
    pub last_player_id: Option<PlayerId>,
    /// Who were looked at.
    pub players: usize,
    pub promoted: usize,
    /// One step down.
    pub demoted: usize,
    /// Told that they will step down; those included who did, and will again.
    pub due_announced: usize,
    /// Told so before, and qualified again.
    pub recovered: usize,
    /// Wants a message on the reward queue.
    #[serde(skip)]
    pub batch_id: Option<TriggerBatchId>,
}

/// Reviews the next `players_max` players behind `after`, in the order of their ids, in one transaction: call it again until
/// there is nobody left. At the same instant it changes nothing a second time. Locked are only those who change.
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

/// A player of whom the review found something.
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

/// Those who change.
async fn find(executor: &impl Executor, reviewees: Vec<Reviewee>, program: &Program) -> Result<Vec<Found>> {
    let ladder = &program.ladder;
    // A tier asks those only who have the points for it.
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

/// Locks players who seemed to change, looks again, and writes what is found then.
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
        .ok_or_else(|| Error::stored("ladder", format!("it has no rank {}", rank.0)))
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

/// The step from one tier to the next lower one, and what the operator's systems are told of it.
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
        lp_missing: Points::of((from.lp_min - qualification.qualifying_lp).max(Decimal::ZERO)),
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
