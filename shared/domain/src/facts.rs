//! Facts: the values that a rule can read about a player. [`Catalogue`] lists them; [`Facts`] holds those of one
//! player.
//!
//! # Choices
//!
//! * For an event, facts are those of its moment: totals, windows, losses, segment and tier without what happened after
//!   it, in the order in which things happened. The balances, the risk score, the depth of the profile, the tier's
//!   benefits and the thresholds of the segments are those of now. What a file brought counts as if it had been there.

mod program;

use crate::period::Moment;
use crate::player::{Entry, PlayerSnapshot};
use crate::rule::Trigger;
use crate::spelling::nearest;
use crate::text_enum;
use crate::tier::{Ladder, benefit_number};
use jiff::Timestamp;
use program::{Known, STATIC_FACTS};
use rust_decimal::Decimal;
use serde::Serialize;
use serde_json::{Map, Value};
use std::collections::HashMap;

/// What must be loaded to compute a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactSource {
    /// The player's own columns.
    Profile,
    /// Lifetime totals.
    Totals,
    /// The stake of the last 30 days. Always loaded, because the caps need it.
    Turnover,
    /// Sums over recent days.
    Windows,
    /// Net results by the calendar.
    Losses,
    /// The number of deposits.
    Deposits,
    /// The wallets.
    Balances,
    /// The player's tier and its benefits.
    Tier,
    /// The event that triggered the rule.
    Event,
    /// The time of the event, otherwise of the evaluation.
    Clock,
}

impl FactSource {
    /// Every source, in order.
    pub const ALL: [Self; 10] = [
        Self::Profile,
        Self::Totals,
        Self::Turnover,
        Self::Windows,
        Self::Losses,
        Self::Deposits,
        Self::Balances,
        Self::Tier,
        Self::Event,
        Self::Clock,
    ];
}

text_enum! {
    pub enum FactType as "type of fact" {
        Number = "number",
        Text = "text",
        Flag = "flag",
    }
}

/// The value of a known fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FactValue<'a> {
    Number(Decimal),
    Text(&'a str),
    Flag(bool),
}

impl FactValue<'_> {
    pub fn to_json(self) -> Value {
        match self {
            FactValue::Number(number) => number_to_json(number),
            FactValue::Text(text) => Value::from(text),
            FactValue::Flag(flag) => Value::from(flag),
        }
    }
}

/// A JSON number with exactly these digits, without trailing zeros.
pub(crate) fn number_to_json(number: Decimal) -> Value {
    serde_json::to_value(number.normalize()).unwrap_or(Value::Null)
}

/// Index of a fact in its catalogue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FactId(usize);

/// A fact as the API describes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FactDef {
    pub name: String,
    #[serde(rename = "type")]
    pub fact_type: FactType,
    /// What to load; not part of the API.
    #[serde(skip)]
    pub source: FactSource,
    /// `currency`, `points`, `days`, …; none for plain numbers, texts and flags.
    pub unit: Option<&'static str>,
    pub meaning: String,
    /// All possible values of a text, where they are known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
}

/// The facts that an event adds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventFacts {
    pub trigger: Trigger,
    pub event_id: String,
    pub occurred_at: Timestamp,
    pub amount: Option<Decimal>,
    pub game: Option<String>,
    /// For a changed segment or tier.
    pub entry: Option<Entry>,
}

/// All facts that rules can read under one tier ladder.
#[derive(Debug, Clone)]
pub struct Catalogue {
    defs: Vec<FactDef>,
    ids: HashMap<String, FactId>,
    /// Numeric benefits by tier.
    benefits: Vec<(String, Vec<(FactId, Decimal)>)>,
}

impl Catalogue {
    /// The program's facts, plus one number per numeric tier benefit. A benefit with the name of a program's fact
    /// is ignored.
    pub fn new(ladder: &Ladder) -> Self {
        let tiers: Vec<String> = ladder.tiers().iter().map(|tier| tier.tier_level.clone()).collect();
        let mut defs: Vec<FactDef> = STATIC_FACTS.iter().map(|fact| fact.def(&tiers)).collect();
        let mut ids: HashMap<String, FactId> = defs
            .iter()
            .enumerate()
            .map(|(i, def)| (def.name.clone(), FactId(i)))
            .collect();
        let mut benefits = Vec::new();
        for tier in ladder.tiers() {
            let mut of_tier = Vec::new();
            for (name, value) in &tier.benefits {
                let Some(number) = benefit_number(value) else { continue };
                let id = *ids.entry(name.clone()).or_insert_with(|| {
                    let meaning = format!("benefit of the player's tier; null where the tier has no {name}");
                    defs.push(FactDef {
                        name: name.clone(),
                        fact_type: FactType::Number,
                        source: FactSource::Tier,
                        unit: None,
                        meaning,
                        values: None,
                    });
                    FactId(defs.len() - 1)
                });
                if id.0 >= STATIC_FACTS.len() {
                    of_tier.push((id, number));
                }
            }
            benefits.push((tier.tier_level.clone(), of_tier));
        }
        Self { defs, ids, benefits }
    }

    /// In the order of the ids.
    pub fn defs(&self) -> &[FactDef] {
        &self.defs
    }

    /// # Panics
    /// Never for an id of this catalogue.
    pub fn def(&self, id: FactId) -> &FactDef {
        &self.defs[id.0]
    }

    pub fn id(&self, name: &str) -> Option<FactId> {
        self.ids.get(name).copied()
    }

    pub fn all(&self) -> impl Iterator<Item = FactId> + use<> {
        (0..self.defs.len()).map(FactId)
    }

    /// The fact whose name is closest to a misspelt one, if any is close.
    pub fn nearest(&self, name: &str) -> Option<&str> {
        nearest(name, self.defs.iter().map(|def| def.name.as_str()))
    }
}

/// The facts of one player, computed on demand and without allocation, because a rule reads only a few.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    catalogue: &'a Catalogue,
    values: Values<'a>,
}

#[derive(Debug, Clone)]
enum Values<'a> {
    Current {
        known: Known<'a>,
        /// Benefits of the player's tier.
        benefits: &'a [(FactId, Decimal)],
    },
    /// In the order of the catalogue.
    Kept(Vec<Option<FactValue<'a>>>),
}

impl<'a> Facts<'a> {
    pub fn of(
        player: &'a PlayerSnapshot,
        catalogue: &'a Catalogue,
        moment: &'a Moment,
        event: Option<&'a EventFacts>,
    ) -> Self {
        let known = Known {
            player,
            totals: &player.totals,
            windows: &player.windows,
            moment,
            event,
        };
        let of_tier = catalogue.benefits.iter().find(|(tier, _)| *tier == player.tier);
        let benefits = of_tier.map_or(&[][..], |(_, benefits)| benefits);
        Self {
            catalogue,
            values: Values::Current { known, benefits },
        }
    }

    /// Facts stored with a decision. Skips names that are no longer facts, and values whose type differs from the
    /// catalogue's.
    pub fn from_json(kept: &'a Map<String, Value>, catalogue: &'a Catalogue) -> Self {
        let mut values = vec![None; catalogue.defs.len()];
        for (name, value) in kept {
            let Some(id) = catalogue.id(name) else { continue };
            values[id.0] = match (catalogue.def(id).fact_type, value) {
                (FactType::Number, Value::Number(number)) => number.to_string().parse().ok().map(FactValue::Number),
                (FactType::Text, Value::String(text)) => Some(FactValue::Text(text)),
                (FactType::Flag, Value::Bool(flag)) => Some(FactValue::Flag(*flag)),
                _ => None,
            };
        }
        Self {
            catalogue,
            values: Values::Kept(values),
        }
    }

    /// Returns `None` if the fact is unknown.
    pub fn get(&self, id: FactId) -> Option<FactValue<'a>> {
        match &self.values {
            Values::Kept(values) => values.get(id.0).copied().flatten(),
            Values::Current { known, benefits } => match STATIC_FACTS.get(id.0) {
                Some(fact) => (fact.read)(known),
                None => benefits
                    .iter()
                    .find(|(benefit, _)| *benefit == id)
                    .map(|(_, number)| FactValue::Number(*number)),
            },
        }
    }

    pub fn catalogue(&self) -> &'a Catalogue {
        self.catalogue
    }

    /// The named facts as a JSON object; unknown facts are null.
    pub fn to_json(&self, only: impl IntoIterator<Item = FactId>) -> Map<String, Value> {
        let json = |id: FactId| self.get(id).map_or(Value::Null, FactValue::to_json);
        only.into_iter()
            .map(|id| (self.catalogue.def(id).name.clone(), json(id)))
            .collect()
    }
}

#[cfg(test)]
mod tests;
