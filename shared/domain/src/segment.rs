//! Classifies players into segments.

use crate::metrics::Totals;
use crate::text_enum;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

text_enum! {
    pub enum Segment as "segment" {
        New = "NEW",
        Winning = "WINNING",
        Breakeven = "BREAKEVEN",
        Losing = "LOSING",
        Vip = "VIP",
    }
}

/// The thresholds between the segments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SegmentThresholds {
    /// `NEW` below this lifetime stake.
    pub new_wagered_below: Decimal,
    /// `VIP` above this lifetime stake …
    pub vip_wagered_above: Decimal,
    /// … and above this number of sessions.
    pub vip_sessions_above: i32,
    /// Net result divided by lifetime stake: `WINNING` above this share, `LOSING` below its negative.
    pub margin: Decimal,
}

impl Default for SegmentThresholds {
    fn default() -> Self {
        Self {
            new_wagered_below: Decimal::from(1_000),
            vip_wagered_above: Decimal::from(100_000),
            vip_sessions_above: 100,
            margin: Decimal::new(5, 2),
        }
    }
}

/// Returns the first segment that applies, in the order NEW, VIP, WINNING, LOSING, BREAKEVEN.
pub fn classify(totals: &Totals, thresholds: &SegmentThresholds) -> Segment {
    if totals.wagered < thresholds.new_wagered_below {
        return Segment::New;
    }
    if totals.wagered > thresholds.vip_wagered_above && totals.session_count > thresholds.vip_sessions_above {
        return Segment::Vip;
    }
    // Compares net_pnl / wagered with the margin without dividing.
    let bound = totals.wagered * thresholds.margin;
    match totals.net_pnl() {
        pnl if pnl > bound => Segment::Winning,
        pnl if pnl < -bound => Segment::Losing,
        _ => Segment::Breakeven,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_the_domain() {
        let table = [
            (15_000, 20_000, 25, Segment::Winning),
            (5_000, 200, 10, Segment::Losing),
            (50_000, 45_000, 50, Segment::Losing),
            (500, 500, 5, Segment::New),
            (80_000, 90_000, 120, Segment::Winning),
            (4_500, 4_500, 12, Segment::Breakeven),
            (10_000, 10_500, 20, Segment::Breakeven),
            (10_000, 10_501, 20, Segment::Winning),
            (100_001, 90_000, 101, Segment::Vip),
        ];
        for (wagered, won, session_count, expected) in table {
            let totals = Totals {
                wagered: wagered.into(),
                won: won.into(),
                session_count,
                ..Totals::default()
            };
            assert_eq!(
                classify(&totals, &SegmentThresholds::default()),
                expected,
                "{wagered} staked, {won} won"
            );
        }
    }
}
