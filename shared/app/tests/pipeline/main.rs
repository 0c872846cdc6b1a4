//! Imports, segments and rewards on a real PostgreSQL, as the runtime role.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod bonuses;
mod budgets;
mod exclusion;
mod fraud;
mod imports;
mod program;
mod rewards;
mod rule_runs;
mod simulation_runs;
mod simulations;
mod versions;
mod walls;
