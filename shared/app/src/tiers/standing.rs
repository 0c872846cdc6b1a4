//! A player's standing on the ladder, as the API shows it.

use super::applicants::Applicants;
use super::promotion::rank;
use crate::error::{Error, Result};
use crate::program::Program;
use domain::id::PlayerId;
use domain::rule::ConditionResult;
use domain::tier::{Rank, Tier};
use jiff::civil::Date;
use jiff::{Span, Timestamp};
use rust_decimal::Decimal;
use store::tiers::{PastMove, Reviewee};
use store::{Db, Executor};

/// Tier changes shown.
const HISTORY_MAX: i64 = 100;

/// A player's tier, what the next one takes, and when this one would be lost.
#[derive(Debug, Clone, PartialEq)]
pub struct TierStanding {
    pub player_id: PlayerId,
    pub tier: Tier,
    pub rank: Rank,
    /// LP earned in the qualification period, less reversals.
    pub qualifying_lp: Decimal,
    /// Length of the qualification period in days; `None`: all time.
    pub qualification_days: Option<u32>,
    /// First day of the period.
    pub qualifying_since: Option<Date>,
    /// `None` in the highest tier.
    pub next: Option<Next>,
    /// The first day on which the LP no longer reach the tier if no more are earned; today if they already do not.
    /// `None`: never.
    pub falls_below_on: Option<Date>,
    /// `None`: no downgrade is announced.
    pub due: Option<Due>,
    /// The latest tier changes, newest first.
    pub history: Vec<PastMove>,
}

/// The next higher tier.
#[derive(Debug, Clone, PartialEq)]
pub struct Next {
    pub tier: Tier,
    pub rank: Rank,
    /// 0 if only requirements are missing.
    pub lp_missing: Decimal,
    pub unmet: Vec<ConditionResult>,
}

/// An announced downgrade.
#[derive(Debug, Clone, PartialEq)]
pub struct Due {
    pub to: String,
    /// The nightly review downgrades the player from this instant on.
    pub due_at: Timestamp,
    /// LP missing to keep the tier.
    pub lp_missing: Decimal,
    pub unmet: Vec<ConditionResult>,
}

/// A player's current standing.
///
/// # Errors
/// `NotFound`.
pub async fn standing(db: &Db, player_id: &PlayerId, now: Timestamp) -> Result<TierStanding> {
    let mut client = db.client().await?;
    let tx = store::snapshot(&mut client).await?;
    let program = Program::load(&tx, now).await?;
    let since = program.qualifying_since();
    let found = store::tiers::reviewees(&tx, &[player_id.as_str()], since).await?.pop();
    let Reviewee { qualification, due_at } = found.ok_or_else(|| Error::not_found("player", player_id))?;
    let (qualifying_lp, rank) = (qualification.qualifying_lp, rank(&program, &qualification.tier)?);
    let tier = |rank: Rank| program.ladder.get(rank);
    let below = rank.0.checked_sub(1).map(Rank);
    let (current, next_rank) = (
        tier(rank).ok_or_else(|| Error::not_found("tier", &qualification.tier))?,
        Rank(rank.0 + 1),
    );

    let asks = [Some(current), tier(next_rank)]
        .into_iter()
        .flatten()
        .any(|tier| tier.requirements.is_some());
    let asked = if asks { vec![player_id.as_str()] } else { Vec::new() };
    let applicants = Applicants::load(&tx, &asked, &program).await?;
    let lp_missing = |tier: &Tier| (tier.lp_min.value() - qualifying_lp).max(Decimal::ZERO);
    let next = tier(next_rank).map(|tier| Next {
        tier: tier.clone(),
        rank: next_rank,
        lp_missing: lp_missing(tier),
        unmet: applicants.unmet(player_id, tier),
    });
    let due = due_at.zip(below.and_then(tier)).map(|(due_at, to)| Due {
        to: to.tier_level.clone(),
        due_at,
        lp_missing: lp_missing(current),
        unmet: applicants.unmet(player_id, current),
    });
    Ok(TierStanding {
        player_id: player_id.clone(),
        tier: current.clone(),
        rank,
        qualifying_lp,
        qualification_days: program.settings.tier_qualification_days,
        qualifying_since: since,
        next,
        falls_below_on: if below.is_some() {
            falls_below_on(&tx, player_id, qualifying_lp, current, &program).await?
        } else {
            None
        },
        due,
        history: store::tiers::history(&tx, player_id, HISTORY_MAX).await?,
    })
}

async fn falls_below_on(
    executor: &impl Executor,
    player_id: &PlayerId,
    qualifying_lp: Decimal,
    tier: &Tier,
    program: &Program,
) -> Result<Option<Date>> {
    if qualifying_lp < tier.lp_min.value() {
        return Ok(Some(program.moment.today()));
    }
    let Some((days, since)) = program.settings.tier_qualification_days.zip(program.qualifying_since()) else {
        return Ok(None);
    };
    let day = store::tiers::lapsing_day(executor, player_id, since, tier.lp_min.value()).await?;
    // A day's LP count on that day and on the `days - 1` days that follow.
    Ok(day.map(|day| day.saturating_add(Span::new().days(days))))
}
