//! What players own.

pub mod accounts;
pub mod grants;
pub mod interventions;
pub mod ledger;
pub mod redemptions;
