use domain::money::{Asset, shown};
use domain::problem::{FieldError, Refusal, RefusalKind};
use domain::redemption::RedemptionRefusal;
use rust_decimal::Decimal;
use serde_json::json;

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a use case was refused or failed. Refusals carry their data; a refused use case changed nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{what} {id} does not exist")]
    NotFound { what: &'static str, id: String },
    /// The state does not allow it: a duplicate, a terminal grant, an inactive player.
    #[error("{detail}")]
    Conflict { code: &'static str, detail: String },
    #[error("the request is not valid")]
    Validation(Vec<FieldError>),
    #[error("the balance is {} {asset}, {} were asked for", shown(*available, asset.scale()), shown(*requested, asset.scale()))]
    InsufficientBalance {
        asset: Asset,
        available: Decimal,
        requested: Decimal,
    },
    #[error(transparent)]
    Redemption(#[from] RedemptionRefusal),
    #[error("the idempotency key was used for another request")]
    IdempotencyKeyReused,
    /// The stored rules, tiers or settings no longer fit the program; a person must look.
    #[error("stored {what} cannot be used: {detail}")]
    Stored { what: &'static str, detail: String },
    /// An amount left the range of NUMERIC(19,4).
    #[error("amount out of range: {0}")]
    Overflow(String),
    #[error("the database failed")]
    Store(#[source] store::Error),
}

impl Error {
    pub fn not_found(what: &'static str, id: impl ToString) -> Self {
        Self::NotFound {
            what,
            id: id.to_string(),
        }
    }

    pub fn conflict(code: &'static str, detail: impl Into<String>) -> Self {
        Self::Conflict {
            code,
            detail: detail.into(),
        }
    }
}

impl From<store::Error> for Error {
    fn from(error: store::Error) -> Self {
        Self::Store(error)
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

/// What a caller is told. Of our own failures: nothing; the error itself is for the log.
impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        let detail = error.to_string();
        match error {
            Error::NotFound { .. } => Refusal::not_found(detail),
            Error::Conflict { code, detail } => Refusal::new(RefusalKind::Conflict, code, detail),
            Error::Validation(errors) => Refusal::invalid(errors),
            Error::InsufficientBalance {
                asset,
                available,
                requested,
            } => Refusal::new(RefusalKind::Conflict, "insufficient_balance", detail)
                .with("currency", json!(asset))
                .with("available", json!(shown(available, asset.scale())))
                .with("requested", json!(shown(requested, asset.scale()))),
            Error::Redemption(refusal) => not_redeemed(&refusal),
            Error::IdempotencyKeyReused => Refusal::new(RefusalKind::Unprocessable, "idempotency_key_reused", detail),
            Error::Overflow(_) => Refusal::new(RefusalKind::Unprocessable, "overflow", detail),
            Error::Stored { .. } => Refusal::new(RefusalKind::Internal, "", ""),
            Error::Store(error) if error.is_unavailable() => Refusal::new(RefusalKind::Unavailable, "", ""),
            Error::Store(_) => Refusal::new(RefusalKind::Internal, "", ""),
        }
    }
}

fn not_redeemed(refusal: &RedemptionRefusal) -> Refusal {
    let conflict = |code| Refusal::new(RefusalKind::Conflict, code, refusal.to_string());
    match refusal {
        RedemptionRefusal::Inactive { .. } => conflict("redemption_rule_inactive"),
        RedemptionRefusal::TierTooLow { tier, required } => conflict("tier_too_low")
            .with("tier", tier.as_str())
            .with("tier_min", required.as_str()),
        RedemptionRefusal::BelowMinimum {
            asset,
            available,
            required,
        } => conflict("balance_below_minimum")
            .with("currency", json!(asset))
            .with("available", json!(available))
            .with("required", json!(required)),
        RedemptionRefusal::MonthlyLimit { used, limit } => conflict("monthly_limit_reached")
            .with("used", *used)
            .with("limit", *limit),
    }
}
