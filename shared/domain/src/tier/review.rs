//! The nightly review: which players climb, which no longer hold their tier, and when those step down.
//!
//! # Choices
//!
//! * Grace counts whole days of the program's calendar: a step found on one day is due when the day that many days
//!   later begins. One review takes one step; the next step has a grace of its own, of at least a day. With 0 days, the
//!   review that finds the step takes it. Blocked and inactive players are reviewed like all others.

use super::{Ladder, Rank, Tier};
use crate::period::Moment;
use crate::text_enum;
use jiff::Timestamp;
use rust_decimal::Decimal;

/// When players found below their tier now will step down. Grace counts whole days in the program's time zone: the
/// step is due at the start of the day, however many hours the days in between have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grace {
    now: Timestamp,
    first_due: Timestamp,
    next_due: Timestamp,
}

impl Grace {
    /// With 0 days of grace, the review that finds a player below their tier also takes the step. One review takes
    /// one step, so the next is due a day later at the earliest.
    pub fn new(moment: &Moment, grace_days: u32) -> Self {
        Self {
            now: moment.now(),
            first_due: moment.start_of(moment.day_in(grace_days)),
            next_due: moment.start_of(moment.day_in(grace_days.max(1))),
        }
    }
}

/// A player's state as the review needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidacy {
    pub rank: Rank,
    pub qualifying_lp: Decimal,
    /// When the announced step down is due.
    pub due_at: Option<Timestamp>,
}

text_enum! {
    /// Why a player moved between tiers.
    pub enum MoveReason as "reason of a move" {
        Qualified = "qualified",
        Downgrade = "downgrade",
        /// Stakes that had earned the tier were voided.
        Voided = "voided",
    }
}

/// The review's decision about a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finding {
    /// Nothing: the tier is held, or an announced step is not due yet.
    Unchanged,
    Climbs {
        to: Rank,
    },
    /// The tier is held again: the announced step is cancelled.
    Recovers,
    /// The tier is no longer held: a step down is announced.
    Lapses {
        to: Rank,
        due_at: Timestamp,
    },
    /// The player steps down. `next_due` is set if the lower tier is not held either.
    Falls {
        to: Rank,
        next_due: Option<Timestamp>,
    },
}

impl Ladder {
    /// Decides about one player. Idempotent: once its finding has been carried out, a repetition at the same
    /// instant finds nothing.
    pub fn review(&self, candidacy: &Candidacy, grace: &Grace, meets: impl Fn(&Tier) -> bool) -> Finding {
        let Candidacy {
            rank,
            qualifying_lp,
            due_at,
        } = *candidacy;
        let climbed = self.climb(rank, qualifying_lp, &meets);
        if climbed > rank {
            return Finding::Climbs { to: climbed };
        }
        if self.holds(rank, qualifying_lp, &meets) {
            return if due_at.is_some() {
                Finding::Recovers
            } else {
                Finding::Unchanged
            };
        }
        let to = Rank(rank.0.saturating_sub(1));
        if grace.now < due_at.unwrap_or(grace.first_due) {
            return if due_at.is_some() {
                Finding::Unchanged
            } else {
                Finding::Lapses {
                    to,
                    due_at: grace.first_due,
                }
            };
        }
        let next_due = (!self.holds(to, qualifying_lp, &meets)).then_some(grace.next_due);
        Finding::Falls { to, next_due }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::money::Points;
    use crate::settings::Settings;

    fn ladder() -> Ladder {
        let tier = |name: &str, lp_min: i64| Tier {
            tier_level: name.into(),
            lp_min: Points::of(lp_min.into()),
            benefits: Default::default(),
            requirements: None,
        };
        Ladder::new(vec![tier("BRONZE", 0), tier("SILVER", 1_000), tier("GOLD", 10_000)]).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn grace(now: &str, days: u32) -> Grace {
        let settings = Settings {
            time_zone: "Europe/Berlin".into(),
            ..Settings::default()
        };
        Grace::new(&Moment::new(at(now), &settings).unwrap(), days)
    }

    fn review(rank: usize, lp: i64, due_at: Option<&str>, grace: &Grace) -> Finding {
        let candidacy = Candidacy {
            rank: Rank(rank),
            qualifying_lp: lp.into(),
            due_at: due_at.map(at),
        };
        ladder().review(&candidacy, grace, |_| true)
    }

    #[test]
    fn a_lapse_is_announced_once_and_the_step_is_taken_when_it_is_due() {
        // Found on 10 November at 03:00 in Berlin, due when 10 December begins there.
        let due = "2026-12-09T23:00:00Z";
        let found = grace("2026-11-10T02:00:00Z", 30);
        assert_eq!(
            review(2, 9_999, None, &found),
            Finding::Lapses {
                to: Rank(1),
                due_at: at(due)
            }
        );
        assert_eq!(review(2, 9_999, Some(due), &found), Finding::Unchanged);
        assert_eq!(
            review(2, 9_999, Some(due), &grace("2026-12-09T22:59:59Z", 30)),
            Finding::Unchanged
        );
        let on_the_day = grace("2026-12-09T23:00:00Z", 30);
        assert_eq!(
            review(2, 9_999, Some(due), &on_the_day),
            Finding::Falls {
                to: Rank(1),
                next_due: None
            }
        );
        // Below SILVER too: the next step has its own grace.
        let next = Some(at("2027-01-08T23:00:00Z"));
        assert_eq!(
            review(2, 999, Some(due), &on_the_day),
            Finding::Falls {
                to: Rank(1),
                next_due: next
            }
        );
        assert_eq!(
            review(1, 999, Some("2027-01-08T23:00:00Z"), &on_the_day),
            Finding::Unchanged
        );
        assert_eq!(review(0, -1, None, &on_the_day), Finding::Unchanged);
    }

    #[test]
    fn who_qualifies_again_keeps_the_tier_or_climbs() {
        let late = grace("2027-06-01T02:00:00Z", 30);
        assert_eq!(
            review(2, 10_000, Some("2027-05-01T00:00:00Z"), &late),
            Finding::Recovers
        );
        assert_eq!(
            review(1, 10_000, Some("2027-05-01T00:00:00Z"), &late),
            Finding::Climbs { to: Rank(2) }
        );
        assert_eq!(review(1, 1_000, None, &late), Finding::Unchanged);
    }

    #[test]
    fn grace_counts_days_not_hours() {
        // 30 days across the end of summer time have 721 hours, across its beginning 719.
        let Finding::Lapses { due_at, .. } = review(1, 0, None, &grace("2026-10-09T22:00:00Z", 30)) else {
            panic!()
        };
        assert_eq!(
            (
                due_at.to_string(),
                at("2026-10-09T22:00:00Z").duration_until(due_at).as_hours()
            ),
            ("2026-11-08T23:00:00Z".into(), 721)
        );
        let Finding::Lapses { due_at, .. } = review(1, 0, None, &grace("2027-03-09T23:00:00Z", 30)) else {
            panic!()
        };
        assert_eq!(
            (
                due_at.to_string(),
                at("2027-03-09T23:00:00Z").duration_until(due_at).as_hours()
            ),
            ("2027-04-08T22:00:00Z".into(), 719)
        );
        // Found on the day of the change itself, one day of grace.
        let Finding::Lapses { due_at, .. } = review(1, 0, None, &grace("2026-10-25T00:30:00Z", 1)) else {
            panic!()
        };
        assert_eq!(due_at.to_string(), "2026-10-25T23:00:00Z");
    }

    #[test]
    fn without_grace_one_review_takes_one_step() {
        let now = grace("2026-11-10T02:00:00Z", 0);
        let tomorrow = at("2026-11-10T23:00:00Z");
        assert_eq!(
            review(2, 0, None, &now),
            Finding::Falls {
                to: Rank(1),
                next_due: Some(tomorrow)
            }
        );
        assert_eq!(review(1, 0, Some("2026-11-10T23:00:00Z"), &now), Finding::Unchanged);
    }
}
