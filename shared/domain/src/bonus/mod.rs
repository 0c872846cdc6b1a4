//! Bonus money: its terms, the life of its grant, and how play feeds it.
//!
//! # Choices
//!
//! * Every reward is a grant, whatever its asset. Points and tickets start as COMPLETED. A PENDING grant waits for the
//!   opt-in and holds no money until then.

mod grant;
mod round;
mod terms;

pub(crate) use grant::feeding_order;
pub use grant::{Flows, Grant, GrantStatus, GrantedRule, NewGrant, Transition};
pub use round::{ROUND_OPEN_HOURS, Round};
pub use terms::{GrantTerms, MaxBetAction, OnWithdrawal, WageringBasis, default_game_weight, weighted_games};
