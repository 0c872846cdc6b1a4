//! Tier requirements beyond points.

use crate::error::{Error, Result};
use crate::program::Program;
use crate::program::snapshot;
use domain::facts::Facts;
use domain::id::PlayerId;
use domain::player::PlayerSnapshot;
use domain::rule::{Condition, ConditionResult};
use domain::tier::Tier;
use std::collections::{BTreeSet, HashMap};
use store::Executor;

/// Players who have the points for a tier with further requirements, and the facts to judge them.
pub(crate) struct Applicants<'a> {
    program: &'a Program,
    /// By tier; only tiers that have requirements.
    conditions: HashMap<&'a str, Condition>,
    players: HashMap<PlayerId, PlayerSnapshot>,
}

impl<'a> Applicants<'a> {
    /// Reads nothing if `player_ids` is empty.
    pub async fn load(executor: &impl Executor, player_ids: &[&str], program: &'a Program) -> Result<Self> {
        if player_ids.is_empty() {
            return Ok(Self {
                program,
                conditions: HashMap::new(),
                players: HashMap::new(),
            });
        }
        let mut conditions = HashMap::new();
        for tier in program.ladder.tiers() {
            if let Some(condition) = requirements(tier, program)? {
                conditions.insert(tier.tier_level.as_str(), condition);
            }
        }
        let mut sources = BTreeSet::new();
        for condition in conditions.values() {
            condition.visit_facts(&mut |fact| {
                sources.insert(program.catalogue.def(fact).source);
            });
        }
        let players = snapshot::load(executor, player_ids, program, sources).await?;
        let players = players
            .into_iter()
            .map(|player| (player.player_id.clone(), player))
            .collect();
        Ok(Self {
            program,
            conditions,
            players,
        })
    }

    /// Whether a player meets the tier's requirements beyond points; `false` if the player was not loaded.
    pub fn meets(&self, player_id: &PlayerId, tier: &Tier) -> bool {
        tier.requirements.is_none()
            || self
                .asked(player_id, tier)
                .is_some_and(|(condition, facts)| condition.hold(&facts) == Ok(true))
    }

    /// The requirements that a loaded player does not meet.
    pub fn unmet(&self, player_id: &PlayerId, tier: &Tier) -> Vec<ConditionResult> {
        let explained = self
            .asked(player_id, tier)
            .map(|(condition, facts)| condition.explain(&facts));
        explained
            .unwrap_or_default()
            .into_iter()
            .filter(|result| !result.met)
            .collect()
    }

    fn asked(&self, player_id: &PlayerId, tier: &Tier) -> Option<(&Condition, Facts<'_>)> {
        let condition = self.conditions.get(tier.tier_level.as_str())?;
        let player = self.players.get(player_id)?;
        Some((
            condition,
            Facts::of(player, &self.program.catalogue, &self.program.moment, None),
        ))
    }
}

fn requirements(tier: &Tier, program: &Program) -> Result<Option<Condition>> {
    let Some(requirements) = &tier.requirements else {
        return Ok(None);
    };
    let read = Condition::load(requirements, "/requirements", &program.catalogue);
    read.map(Some)
        .map_err(|errors| Error::stored("requirements", format!("{}: {errors}", tier.tier_level)))
}
