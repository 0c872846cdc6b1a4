//! The dashboard's counters. The transactions that change the counted rows update them, so the dashboard counts
//! nothing.

use crate::columns;
use crate::db::{Executor, Tx};
use crate::error::Result;
use crate::statement::{self, text};
use domain::segment::Segment;
use domain::text_enum;
use rust_decimal::Decimal;
use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};

/// Rows per counter, so that concurrent writers rarely contend for one.
pub const SLOTS: i16 = 16;

columns! {
    struct DeltaRow => Deltas (slot) {
        counter: text = String,
        value: numeric = Decimal,
    }
}

const ADD: &str = text!(
    "
INSERT INTO stats AS kept (slot, counter, value)
SELECT $1::smallint, counter, value
FROM ",
    Deltas::UNNEST,
    "
ORDER BY counter
ON CONFLICT (counter, slot) DO UPDATE
SET value = kept.value + EXCLUDED.value"
);

const READ: &str = "
SELECT counter, sum(value) AS value
FROM stats
GROUP BY counter";

/// Every statement of this file, for the test that prepares each.
pub const STATEMENTS: &[&str] = &[ADD, READ];

text_enum! {
    /// What is counted over all players.
    pub enum Total as "counter" {
        Players = "players_total",
        PlayersActive = "players_active",
        RewardsIssued = "rewards_issued",
        /// Expected cost of the rewards issued, in money.
        RewardCost = "reward_cost",
    }
}

text_enum! {
    /// What players are counted by: the key of such a counter is `tier:GOLD`.
    enum Group as "group of players" {
        Segment = "segment",
        Tier = "tier",
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counter {
    Total(Total),
    /// Players in a segment.
    Segment(Segment),
    /// Players in a tier.
    Tier(String),
}

impl Counter {
    fn key(&self) -> String {
        match self {
            Self::Total(total) => total.to_string(),
            Self::Segment(segment) => format!("{}:{segment}", Group::Segment),
            Self::Tier(tier_level) => format!("{}:{tier_level}", Group::Tier),
        }
    }

    fn parse(key: &str) -> Option<Self> {
        let Some((group, name)) = key.split_once(':') else {
            return Total::parse(key).map(Self::Total);
        };
        match Group::parse(group)? {
            Group::Segment => Segment::parse(name).map(Self::Segment),
            Group::Tier => Some(Self::Tier(name.to_owned())),
        }
    }
}

/// Which of a counter's rows a writer adds to. The sum does not depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slot(i16);

impl Slot {
    /// The same key has the same slot. The key is a player id, or the first one of a batch.
    pub fn of(key: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        key.hash(&mut hasher);
        let slots = u64::from(SLOTS.unsigned_abs());
        Self(i16::try_from(hasher.finish() % slots).unwrap_or_default())
    }
}

/// Adds to the counters in one statement and in the order of their names, so that two writers of one slot cannot
/// deadlock. Call it once per transaction, last: its rows stay locked until the commit.
///
/// A counter may appear more than once; its deltas are summed. A sum of 0 touches no row.
pub async fn add(tx: &Tx<'_>, deltas: &[(Counter, Decimal)], slot: Slot) -> Result<()> {
    let mut sums: BTreeMap<String, Decimal> = BTreeMap::new();
    for (counter, delta) in deltas {
        *sums.entry(counter.key()).or_default() += delta;
    }
    let rows: Deltas = sums
        .into_iter()
        .filter(|(_, delta)| !delta.is_zero())
        .map(|(counter, value)| DeltaRow { counter, value })
        .collect();
    if !rows.is_empty() {
        statement::execute(tx, ADD, &rows.params([&slot.0])).await?;
    }
    Ok(())
}

/// All counters. One that was never written is missing and means 0.
pub async fn read(executor: &impl Executor) -> Result<HashMap<Counter, Decimal>> {
    let rows = statement::rows(executor, READ, &[]).await?;
    let mut counters = HashMap::with_capacity(rows.len());
    for row in rows {
        // Skips counters that only a newer build knows.
        if let Some(counter) = Counter::parse(row.try_get("counter")?) {
            counters.insert(counter, row.try_get("value")?);
        }
    }
    Ok(counters)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_read_back_from_its_key() {
        let counters = [
            Counter::Total(Total::Players),
            Counter::Total(Total::RewardCost),
            Counter::Segment(Segment::Vip),
            Counter::Tier("A:B".into()),
        ];
        for counter in counters {
            assert_eq!(Counter::parse(&counter.key()), Some(counter));
        }
        assert_eq!(Counter::parse("tomorrow"), None);
    }

    #[test]
    fn slots_stay_in_their_range_and_spread() {
        let mut used = [false; 16];
        for n in 0..1_000 {
            used[usize::try_from(Slot::of(format!("P{n}")).0).unwrap()] = true;
        }
        assert!(used.iter().all(|slot| *slot));
    }
}
