//! The results of events.

use app::activity::{GrantEffect, Outcome, Recording, Remark};
use axum::http::StatusCode;
use domain::idempotency::Answer;
use domain::money::{Money, Points};
use domain::problem::FieldErrors;
use domain::text_enum;
use lambda::Problem;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;

#[derive(Serialize)]
pub struct ActivityView {
    pub results: Vec<ResultView>,
}

/// The result of one event, in request order.
#[derive(Serialize)]
pub struct ResultView {
    event_id: Option<Value>,
    status: ResultStatus,
    /// Its effects on bonuses and points.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<OutcomeView>,
    /// Set if it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
}

text_enum! {
    enum ResultStatus as "status of a result" {
        Accepted = "accepted",
        /// It had been recorded before. The outcome is the first one; of a payout that waited, what it did since.
        Duplicate = "duplicate",
        Rejected = "rejected",
    }
}

#[derive(Serialize)]
struct Reason {
    /// Stable, for programs.
    code: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "FieldErrors::is_none")]
    errors: FieldErrors,
}

#[derive(Serialize)]
struct OutcomeView {
    grants: Vec<GrantEffect>,
    real_amount: Money,
    forfeited_amount: Money,
    /// Bonus money that the stake named beyond what there was. It counted as real.
    #[serde(skip_serializing_if = "Money::is_zero")]
    overdrawn: Money,
    lp: Points,
    /// Of what a void took back, the LP that the player had spent.
    #[serde(skip_serializing_if = "Points::is_zero")]
    lp_overspent: Points,
    #[serde(skip_serializing_if = "Option::is_none")]
    remark: Option<Remark>,
}

impl ResultView {
    pub fn of(event_id: &str) -> Self {
        Self {
            event_id: Some(event_id.into()),
            status: ResultStatus::Rejected,
            outcome: None,
            reason: None,
        }
    }

    /// The result of an unreadable event, which may still have an id.
    pub fn unreadable(event: &RawValue, problem: Problem) -> Self {
        let event_id = serde_json::from_str(event.get())
            .ok()
            .and_then(|event: Value| event.get("event_id").cloned());
        Self {
            event_id,
            status: ResultStatus::Rejected,
            outcome: None,
            reason: Some(problem.into()),
        }
    }

    pub fn set(&mut self, recording: Recording) {
        (self.status, self.outcome, self.reason) = match recording {
            Ok(Answer::First(outcome)) => (ResultStatus::Accepted, Some(outcome.into()), None),
            Ok(Answer::Replayed(outcome)) => (ResultStatus::Duplicate, Some(outcome.into()), None),
            Err(error) => (ResultStatus::Rejected, None, Some(Problem::from(error).into())),
        };
    }
}

impl From<Outcome> for OutcomeView {
    fn from(outcome: Outcome) -> Self {
        Self {
            grants: outcome.grants,
            real_amount: Money::of(outcome.real_amount),
            forfeited_amount: Money::of(outcome.forfeited_amount),
            overdrawn: Money::of(outcome.overdrawn),
            lp_overspent: Points::of(outcome.lp_overspent),
            lp: Points::of(outcome.lp),
            remark: outcome.remark,
        }
    }
}

impl From<Problem> for Reason {
    fn from(problem: Problem) -> Self {
        let code = match problem.status {
            StatusCode::NOT_FOUND => "not_found",
            _ => problem.code,
        };
        Self {
            code,
            detail: problem.detail,
            errors: problem.errors,
        }
    }
}
