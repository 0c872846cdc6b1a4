//! Tiers: rows of the operator that must form a ladder. Ranks are compared, never names.

use crate::problem::FieldError;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One rung. `benefits` are free-form numbers and flags; every numeric one is a fact in rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    pub tier_level: String,
    /// Qualifying LP from which the tier is reached.
    pub lp_min: Decimal,
    #[serde(default)]
    pub benefits: Map<String, Value>,
    /// In the rule-condition language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Value>,
}

/// Place on the ladder; the lowest is 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(pub usize);

/// The tiers in order: the first starts at 0 and they rise strictly.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder(Vec<Tier>);

impl Ladder {
    /// Sorts the tiers by `lp_min` and refuses a ladder that is empty, does not start at 0, has two tiers
    /// at one threshold or of one name, or a benefit that is neither number nor flag.
    pub fn new(mut tiers: Vec<Tier>) -> Result<Self, Vec<FieldError>> {
        tiers.sort_by_key(|tier| tier.lp_min);
        let mut errors = Vec::new();
        match tiers.first() {
            None => errors.push(FieldError::new("", "required", "the ladder needs at least one tier")),
            Some(first) if !first.lp_min.is_zero() => errors.push(FieldError::new(
                "/lp_min",
                "range",
                format!("the ladder must start at 0; its lowest tier {} starts at {}", first.tier_level, first.lp_min),
            )),
            Some(_) => {}
        }
        for pair in tiers.windows(2) {
            if pair[0].lp_min == pair[1].lp_min {
                let detail =
                    format!("{} and {} both start at {}; tiers must rise strictly", pair[0].tier_level, pair[1].tier_level, pair[1].lp_min);
                errors.push(FieldError::new("/lp_min", "range", detail));
            }
        }
        for (index, tier) in tiers.iter().enumerate() {
            if tiers[..index].iter().any(|other| other.tier_level == tier.tier_level) {
                errors.push(FieldError::new("/tier_level", "duplicate", format!("{} stands twice on the ladder", tier.tier_level)));
            }
            for (name, value) in &tier.benefits {
                if !(value.is_number() || value.is_boolean()) {
                    errors.push(FieldError::new(format!("/benefits/{name}"), "type", "a benefit is a number or a flag"));
                }
            }
        }
        if errors.is_empty() { Ok(Self(tiers)) } else { Err(errors) }
    }

    pub fn tiers(&self) -> &[Tier] {
        &self.0
    }

    /// The lowest tier, where every player starts.
    pub fn lowest(&self) -> &Tier {
        &self.0[0]
    }

    pub fn get(&self, rank: Rank) -> Option<&Tier> {
        self.0.get(rank.0)
    }

    pub fn rank(&self, tier_level: &str) -> Option<Rank> {
        self.0.iter().position(|tier| tier.tier_level == tier_level).map(Rank)
    }

    /// The highest rank that the qualifying LP reach.
    pub fn reached(&self, qualifying_lp: Decimal) -> Rank {
        Rank(self.0.partition_point(|tier| tier.lp_min <= qualifying_lp).saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(tier_level: &str, lp_min: i64) -> Tier {
        Tier { tier_level: tier_level.into(), lp_min: lp_min.into(), benefits: Map::new(), requirements: None }
    }

    #[test]
    fn ranks_follow_the_qualifying_points() {
        let ladder = Ladder::new(vec![tier("GOLD", 10_000), tier("BRONZE", 0), tier("SILVER", 1_000)]).unwrap();
        let reached = |lp: &str| ladder.get(ladder.reached(lp.parse().unwrap())).unwrap().tier_level.clone();
        assert_eq!(reached("0"), "BRONZE");
        assert_eq!(reached("999.99"), "BRONZE");
        assert_eq!(reached("1000"), "SILVER");
        assert_eq!(reached("1000000"), "GOLD");
        assert!(ladder.rank("GOLD") > ladder.rank("SILVER"));
    }

    #[test]
    fn broken_ladders_are_refused() {
        assert!(Ladder::new(vec![]).is_err());
        assert!(Ladder::new(vec![tier("BRONZE", 1)]).is_err());
        assert!(Ladder::new(vec![tier("BRONZE", 0), tier("SILVER", 0)]).is_err());
        assert!(Ladder::new(vec![tier("BRONZE", 0), tier("BRONZE", 10)]).is_err());
    }
}
