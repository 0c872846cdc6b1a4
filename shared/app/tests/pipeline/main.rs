//! Files, segments and rewards against a real PostgreSQL, as the runtime role.

mod budgets;
mod imports;
mod program;
mod rewards;
