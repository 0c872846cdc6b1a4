//! Tiers: configured by the operator, they must form a ladder. Compare ranks, never names.
//!
//! # Choices
//!
//! * A tier asks for its own requirements only; one in between whose requirements do not hold is passed over. A `when`
//!   that cannot be computed does not hold. Losing what a tier requires also costs the tier, with the same grace.
//! * Points that were voided never were: a climb that they made is taken back at once, without grace. The judge is the
//!   day of the climb with the points that it has left, so the order of voids does not matter, and a tier that was
//!   earned before, or is still earned otherwise, is kept.

mod review;

pub use review::{Candidacy, Finding, Grace, MoveReason};

use crate::money::Points;
use crate::problem::FieldErrors;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The benefit that [`Ladder::lp_multiplier`] reads.
pub const LP_MULTIPLIER: &str = "lp_multiplier";

/// One tier. `benefits` are free-form numbers and flags; every numeric benefit is a fact in rules.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    pub tier_level: String,
    /// Qualifying LP needed for the tier.
    #[serde(serialize_with = "Points::brief")]
    pub lp_min: Points,
    #[serde(default)]
    pub benefits: Map<String, Value>,
    /// Written in the rule-condition language.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requirements: Option<Value>,
}

/// Returns `None` if the benefit is a flag.
pub(crate) fn benefit_number(value: &Value) -> Option<Decimal> {
    let Value::Number(number) = value else { return None };
    crate::money::parse_signed(&number.to_string(), Decimal::MAX_SCALE).ok()
}

/// Position on the ladder; the lowest tier has 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(pub usize);

/// A move up the ladder, with what is left of the points that it was made with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Climb {
    pub from: Rank,
    pub to: Rank,
    /// The LP that counted for the tier at the end of that day, without those that were voided since.
    pub qualifying_lp: Decimal,
}

/// The tiers in order: the first starts at 0 and thresholds rise strictly.
#[derive(Debug, Clone, PartialEq)]
pub struct Ladder(Vec<Tier>);

impl Ladder {
    /// Sorts the tiers by `lp_min`.
    ///
    /// # Errors
    /// The ladder is empty, does not start at 0, has two tiers with one threshold or one name, or a benefit that is
    /// neither a number nor a flag.
    pub fn new(mut tiers: Vec<Tier>) -> Result<Self, FieldErrors> {
        tiers.sort_by_key(|tier| tier.lp_min);
        let mut errors = FieldErrors::default();
        match tiers.first() {
            None => errors.push("", "required", "the ladder needs at least one tier"),
            Some(first) if !first.lp_min.is_zero() => errors.push(
                "/lp_min",
                "range",
                format!(
                    "the ladder must start at 0; its lowest tier {} starts at {}",
                    first.tier_level,
                    first.lp_min.value()
                ),
            ),
            Some(_) => {}
        }
        for pair in tiers.windows(2) {
            if pair[0].lp_min == pair[1].lp_min {
                let detail = format!(
                    "{} and {} both start at {}; tiers must rise strictly",
                    pair[0].tier_level,
                    pair[1].tier_level,
                    pair[1].lp_min.value()
                );
                errors.push("/lp_min", "range", detail);
            }
        }
        for (index, tier) in tiers.iter().enumerate() {
            if tiers[..index].iter().any(|other| other.tier_level == tier.tier_level) {
                errors.push(
                    "/tier_level",
                    "duplicate",
                    format!("{} appears more than once on the ladder", tier.tier_level),
                );
            }
            for (name, value) in &tier.benefits {
                if !(value.is_number() || value.is_boolean()) {
                    errors.push(format!("/benefits/{name}"), "type", "a benefit is a number or a flag");
                }
            }
        }
        errors.none_or(Self(tiers))
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

    /// The highest rank whose threshold the qualifying LP reach.
    pub fn reached(&self, qualifying_lp: Decimal) -> Rank {
        Rank(
            self.0
                .partition_point(|tier| tier.lp_min.value() <= qualifying_lp)
                .saturating_sub(1),
        )
    }

    /// The highest rank above `from` whose threshold the qualifying LP reach and whose own requirements hold, or
    /// `from`. Tiers in between are skipped if their requirements do not hold.
    pub fn climb(&self, from: Rank, qualifying_lp: Decimal, meets: impl Fn(&Tier) -> bool) -> Rank {
        let above = from.0 + 1..=self.reached(qualifying_lp).0;
        above
            .rev()
            .map(Rank)
            .find(|rank| self.get(*rank).is_some_and(&meets))
            .unwrap_or(from)
    }

    /// Where a player stays whose stakes were voided, at most at `rank`. `climbs` are the moves up since the last step
    /// down of a review, newest first. A climb that the points of its day no longer carry is taken back, as far as they
    /// do; whoever has the points for a tier today keeps it.
    pub fn rejudge(&self, rank: Rank, qualifying_lp: Decimal, climbs: &[Climb], meets: impl Fn(&Tier) -> bool) -> Rank {
        let mut kept = rank;
        for climb in climbs {
            // Otherwise earlier voids have taken it back already.
            if !(climb.from < kept && kept <= climb.to) {
                continue;
            }
            kept = self.climb(climb.from, climb.qualifying_lp, &meets).min(kept);
            if kept > climb.from {
                break;
            }
        }
        self.climb(kept, qualifying_lp, meets).min(rank)
    }

    /// Whether a player may stay at `rank`. Every player may stay in the lowest tier.
    pub fn holds(&self, rank: Rank, qualifying_lp: Decimal, meets: impl Fn(&Tier) -> bool) -> bool {
        rank.0 == 0
            || self
                .get(rank)
                .is_some_and(|tier| tier.lp_min.value() <= qualifying_lp && meets(tier))
    }

    /// Whether any tier has requirements beyond points.
    pub fn has_requirements(&self) -> bool {
        self.0.iter().any(|tier| tier.requirements.is_some())
    }

    /// Whether a tier above `from`, up to `to`, has requirements beyond points.
    pub fn asks(&self, from: Rank, to: Rank) -> bool {
        self.0
            .iter()
            .take(to.0 + 1)
            .skip(from.0 + 1)
            .any(|tier| tier.requirements.is_some())
    }

    /// The factor for LP earned by play at this rank: the benefit `lp_multiplier`, or 1 without one. A tier never
    /// takes points away, so a negative value counts as 0.
    pub fn lp_multiplier(&self, rank: Rank) -> Decimal {
        let benefit = self.get(rank).and_then(|tier| tier.benefits.get(LP_MULTIPLIER));
        benefit
            .and_then(benefit_number)
            .unwrap_or(Decimal::ONE)
            .max(Decimal::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tier(tier_level: &str, lp_min: i64) -> Tier {
        Tier {
            tier_level: tier_level.into(),
            lp_min: Points::of(lp_min.into()),
            benefits: Map::new(),
            requirements: None,
        }
    }

    #[test]
    fn ranks_follow_the_qualifying_points() {
        let ladder = Ladder::new(vec![tier("GOLD", 10_000), tier("BRONZE", 0), tier("SILVER", 1_000)]).unwrap();
        let reached = |lp: &str| {
            ladder
                .get(ladder.reached(lp.parse().unwrap()))
                .unwrap()
                .tier_level
                .clone()
        };
        assert_eq!(reached("0"), "BRONZE");
        assert_eq!(reached("999.99"), "BRONZE");
        assert_eq!(reached("1000"), "SILVER");
        assert_eq!(reached("1000000"), "GOLD");
        assert!(ladder.rank("GOLD") > ladder.rank("SILVER"));
    }

    /// SILVER requires a verified identity.
    fn asking() -> Ladder {
        let silver = Tier {
            requirements: Some(serde_json::json!({ "kyc_completed": true })),
            ..tier("SILVER", 1_000)
        };
        Ladder::new(vec![tier("BRONZE", 0), silver, tier("GOLD", 10_000)]).unwrap()
    }

    #[test]
    fn players_climb_as_far_as_points_and_requirements_let_them() {
        let ladder = asking();
        let climb = |from: usize, lp: &str, is_verified: bool| {
            ladder
                .climb(Rank(from), lp.parse().unwrap(), |tier| {
                    tier.requirements.is_none() || is_verified
                })
                .0
        };
        assert_eq!(climb(0, "999.99", true), 0);
        assert_eq!(climb(0, "1000", true), 1);
        assert_eq!(climb(0, "1000", false), 0);
        assert_eq!(climb(0, "10000", true), 2);
        // SILVER's requirements do not block GOLD.
        assert_eq!(climb(0, "10000", false), 2);
        // `climb` never returns a lower rank.
        assert_eq!(climb(2, "0", true), 2);
    }

    #[test]
    fn a_tier_is_held_by_its_own_points_and_requirements() {
        let ladder = asking();
        let holds = |rank: usize, lp: &str, is_verified: bool| {
            ladder.holds(Rank(rank), lp.parse().unwrap(), |tier| {
                tier.requirements.is_none() || is_verified
            })
        };
        assert!(holds(1, "1000", true) && holds(2, "10000", false));
        assert!(!holds(1, "999.99", true) && !holds(1, "1000", false));
        assert!(holds(0, "-5", false));
        assert!(ladder.asks(Rank(0), Rank(1)) && ladder.asks(Rank(0), Rank(2)) && ladder.has_requirements());
        assert!(!ladder.asks(Rank(1), Rank(2)) && !ladder.asks(Rank(0), Rank(0)));
    }

    #[test]
    fn a_climb_by_points_that_were_voided_is_taken_back() {
        // BRONZE 0, SILVER 1,000 (asks for a verified identity), GOLD 10,000.
        let ladder = asking();
        let climb = |from: usize, to: usize, lp: i64| Climb {
            from: Rank(from),
            to: Rank(to),
            qualifying_lp: lp.into(),
        };
        let rejudge =
            |rank: usize, lp: i64, climbs: &[Climb]| ladder.rejudge(Rank(rank), lp.into(), climbs, |_| true).0;
        // Two stakes of 1,000 and 9,000 LP. Without the second SILVER is left, without both BRONZE, whichever void is
        // the first.
        assert_eq!(rejudge(2, 1_000, &[climb(1, 2, 1_000), climb(0, 1, 1_000)]), 1);
        assert_eq!(rejudge(2, 9_000, &[climb(1, 2, 9_000), climb(0, 1, 9_000)]), 1);
        assert_eq!(rejudge(2, 0, &[climb(1, 2, 0), climb(0, 1, 0)]), 0);
        // A climb over two tiers is taken back as far as its points do not reach.
        assert_eq!(rejudge(2, 0, &[climb(0, 2, 1_500)]), 1);
        // GOLD was earned with 10,500 LP that no longer count today: only the review ends it, after its grace.
        assert_eq!(rejudge(2, 300, &[climb(1, 2, 10_500)]), 2);
        // Earned otherwise since.
        assert_eq!(rejudge(2, 12_000, &[climb(1, 2, 0)]), 2);
        // A review's step down to this tier is no climb.
        assert_eq!(rejudge(1, 0, &[]), 1);
        // The climb to GOLD was taken back before; now the one to SILVER goes as well.
        assert_eq!(rejudge(1, 0, &[climb(1, 2, 0), climb(0, 1, 0)]), 0);
        assert_eq!(rejudge(1, 0, &[climb(0, 2, 0)]), 0);
        // What a tier asks for counts as well: without it, nothing below GOLD is held.
        assert_eq!(
            ladder
                .rejudge(Rank(2), 1_500.into(), &[climb(0, 2, 1_500)], |tier| tier
                    .requirements
                    .is_none())
                .0,
            0
        );
    }

    #[test]
    fn play_earns_at_the_multiplier_of_the_tier() {
        let benefits = |value: Value| Map::from_iter([("lp_multiplier".to_owned(), value)]);
        let number = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let tiers = [tier("A", 0), tier("B", 1), tier("C", 2), tier("D", 3)];
        let given = [None, Some(number("1.25")), Some(number("-1")), Some(Value::Bool(true))];
        let with = tiers.into_iter().zip(given).map(|(tier, value)| Tier {
            benefits: value.map(benefits).unwrap_or_default(),
            ..tier
        });
        let ladder = Ladder::new(with.collect()).unwrap();
        assert_eq!(
            [0, 1, 2, 3].map(|rank| ladder.lp_multiplier(Rank(rank)).to_string()),
            ["1", "1.25", "0", "1"]
        );
    }

    #[test]
    fn broken_ladders_are_refused() {
        assert!(Ladder::new(vec![]).is_err());
        assert!(Ladder::new(vec![tier("BRONZE", 1)]).is_err());
        assert!(Ladder::new(vec![tier("BRONZE", 0), tier("SILVER", 0)]).is_err());
        assert!(Ladder::new(vec![tier("BRONZE", 0), tier("BRONZE", 10)]).is_err());
    }
}
