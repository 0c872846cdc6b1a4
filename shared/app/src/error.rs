use crate::jobs::schedules::ScheduleError;
use crate::platform::idempotent::IdempotencyError;
use crate::platform::webhooks::WebhookError;
use crate::players::PlayerError;
use crate::players::risk::RiskError;
use crate::rules::RuleError;
use crate::runs::rewards::RewardError;
use crate::runs::rule_runs::RuleRunError;
use crate::tiers::TierError;
use crate::wallet::WalletError;
use crate::wallet::grants::GrantError;
use crate::wallet::redemption::RedemptionError;
use domain::account::AccountError;
use domain::activity::EventError;
use domain::ledger::LedgerError;
use domain::problem::{FieldErrors, Refusal, RefusalKind};
use domain::redemption::RedemptionRefusal;
use serde_json::json;

pub type Result<T, E = Error> = std::result::Result<T, E>;
pub type BoxedCause = Box<dyn std::error::Error + Send + Sync>;

/// Why a use case was refused or failed. A refused use case changed nothing.
///
/// Each module has an enum for its own refusals, with their data and a stable code.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what} {id} does not exist")]
    NotFound { what: &'static str, id: String },
    #[error("the request is not valid")]
    Validation(#[from] FieldErrors),
    /// Stored rules, tiers or settings no longer fit the program; an operator must repair them.
    #[error("stored {what} cannot be used")]
    Stored { what: &'static str, source: BoxedCause },
    #[error("the database failed")]
    Store(#[from] store::Error),
    #[error(transparent)]
    Account(#[from] AccountError),
    #[error(transparent)]
    Event(#[from] EventError),
    #[error(transparent)]
    Grant(#[from] GrantError),
    #[error(transparent)]
    Idempotency(#[from] IdempotencyError),
    #[error(transparent)]
    Player(#[from] PlayerError),
    #[error(transparent)]
    Redemption(#[from] RedemptionError),
    #[error(transparent)]
    Reward(#[from] RewardError),
    #[error(transparent)]
    Risk(#[from] RiskError),
    #[error(transparent)]
    Rule(#[from] RuleError),
    #[error(transparent)]
    RuleRun(#[from] RuleRunError),
    #[error(transparent)]
    Schedule(#[from] ScheduleError),
    #[error(transparent)]
    Tier(#[from] TierError),
    #[error(transparent)]
    Wallet(#[from] WalletError),
    #[error(transparent)]
    Webhook(#[from] WebhookError),
}

impl Error {
    pub fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound {
            what,
            id: id.to_string(),
        }
    }

    /// A validation error at one place.
    pub fn invalid(pointer: &str, code: &'static str, detail: impl Into<String>) -> Self {
        Self::Validation(FieldErrors::one(pointer, code, detail))
    }

    pub fn stored(what: &'static str, source: impl Into<BoxedCause>) -> Self {
        Self::Stored {
            what,
            source: source.into(),
        }
    }

    /// For operators: the error with its cause, except the database's own message.
    pub fn reason(&self) -> String {
        match self {
            Self::Validation(errors) => errors.to_string(),
            Self::Stored { source, .. } => format!("{self}: {source}"),
            error => error.to_string(),
        }
    }

    /// Stable, for programs; empty if the kind says enough.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } | Self::Stored { .. } | Self::Store(_) => "",
            Self::Validation(_) => "validation",
            Self::Account(error) => error.code(),
            Self::Event(error) => error.code(),
            Self::Grant(error) => error.code(),
            Self::Idempotency(error) => error.code(),
            Self::Player(error) => error.code(),
            Self::Redemption(error) => error.code(),
            Self::Reward(error) => error.code(),
            Self::Risk(error) => error.code(),
            Self::Rule(error) => error.code(),
            Self::RuleRun(error) => error.code(),
            Self::Schedule(error) => error.code(),
            Self::Tier(error) => error.code(),
            Self::Wallet(error) => error.code(),
            Self::Webhook(error) => error.code(),
        }
    }
}

impl store::RetryCause for Error {
    fn cause(&self) -> Option<&store::Error> {
        match self {
            Self::Store(error) => Some(error),
            _ => None,
        }
    }
}

/// What the caller is told: nothing about internal failures, whose cause goes to the log only.
impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let (code, detail) = (error.code(), error.to_string());
        let refused = |kind| Refusal::new(kind, code, detail.as_str());
        match error {
            Error::NotFound { .. } => refused(RefusalKind::NotFound),
            Error::Validation(errors) => Refusal::invalid(errors),
            Error::Store(error) if error.is_unavailable() => Refusal::new(RefusalKind::Unavailable, "", ""),
            Error::Stored { .. } | Error::Store(_) => Refusal::new(RefusalKind::Internal, "", ""),
            Error::Account(AccountError::Ledger(error)) => of_ledger(&error, refused),
            Error::Event(EventError::Account(error)) => Error::Account(error).into(),
            Error::Event(EventError::InFuture { .. } | EventError::TooOld { .. }) => {
                Refusal::invalid_at("/occurred_at", code, detail)
            }
            Error::Event(EventError::OutOfRange { .. }) | Error::Idempotency(IdempotencyError::Reused) => {
                refused(RefusalKind::Unprocessable)
            }
            Error::Redemption(RedemptionError::Refused(refusal)) => {
                with_figures(refused(RefusalKind::Conflict), &refusal)
            }
            Error::Account(_)
            | Error::Event(_)
            | Error::Grant(_)
            | Error::Idempotency(IdempotencyError::Expired)
            | Error::Player(_)
            | Error::Redemption(RedemptionError::Exists { .. })
            | Error::Reward(_)
            | Error::Risk(_)
            | Error::Rule(_)
            | Error::RuleRun(_)
            | Error::Schedule(_)
            | Error::Tier(_)
            | Error::Wallet(_)
            | Error::Webhook(_) => refused(RefusalKind::Conflict),
        }
    }
}

fn of_ledger(error: &LedgerError, refused: impl Fn(RefusalKind) -> Refusal) -> Refusal {
    match error {
        LedgerError::InsufficientBalance {
            asset,
            available,
            requested,
        } => refused(RefusalKind::Conflict)
            .with("currency", json!(asset))
            .with("available", json!(asset.quantity(*available)))
            .with("requested", json!(asset.quantity(*requested))),
        LedgerError::OutOfRange { .. } | LedgerError::NotPositive { .. } => refused(RefusalKind::Unprocessable),
    }
}

fn with_figures(refused: Refusal, refusal: &RedemptionRefusal) -> Refusal {
    match refusal {
        RedemptionRefusal::Inactive { .. } => refused,
        RedemptionRefusal::TierTooLow { tier, required } => {
            refused.with("tier", tier.as_str()).with("tier_min", required.as_str())
        }
        RedemptionRefusal::BelowMinimum {
            asset,
            available,
            required,
        } => refused
            .with("currency", json!(asset))
            .with("available", json!(available))
            .with("required", json!(required)),
        RedemptionRefusal::MonthlyLimit { used, limit } => refused.with("used", *used).with("limit", *limit),
    }
}
