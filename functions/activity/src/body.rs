//! Events as callers send them.

use app::activity::{Action, Occurrence, Payout, Stake, Traces};
use domain::activity::{EventType, ProfileDepth, SessionMinutes};
use domain::id::{EventId, PlayerId};
use domain::money::{Money, Positive};
use domain::problem::{FieldError, FieldErrors, Refusal};
use jiff::Timestamp;
use serde::Deserialize;
use std::net::IpAddr;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventBody {
    event_id: EventId,
    player_id: PlayerId,
    #[serde(rename = "type")]
    event_type: EventType,
    occurred_at: Timestamp,
    amount: Option<Money>,
    game: Option<String>,
    round_id: Option<String>,
    bonus_amount: Option<Money>,
    minutes: Option<SessionMinutes>,
    value: Option<ProfileDepth>,
    voids: Option<EventId>,
    /// Traces of the player; allowed in every event type.
    device_id: Option<String>,
    payment_method: Option<String>,
    ip: Option<IpAddr>,
}

impl EventBody {
    /// Refuses fields that belong to other event types.
    fn check_fields(&self) -> Result<(), FieldErrors> {
        use EventType::{Deposit, Payout, Profile, Session, Stake, Void, Withdrawal};
        let of = |types: &[EventType]| types.contains(&self.event_type);
        let fields = [
            // The round already determines a payout's game, but callers send it anyway.
            ("/game", self.game.is_some(), of(&[Stake, Payout])),
            ("/round_id", self.round_id.is_some(), of(&[Stake, Payout])),
            ("/bonus_amount", self.bonus_amount.is_some(), of(&[Stake])),
            ("/voids", self.voids.is_some(), of(&[Void])),
            (
                "/amount",
                self.amount.is_some(),
                of(&[Deposit, Withdrawal, Stake, Payout]),
            ),
            ("/minutes", self.minutes.is_some(), of(&[Session])),
            ("/value", self.value.is_some(), of(&[Profile])),
        ];
        let wrong = fields.into_iter().filter(|(_, given, fits)| *given && !fits);
        let errors: FieldErrors = wrong
            .map(|(pointer, ..)| FieldError::new(pointer, "unknown", "does not belong to this type of event"))
            .collect();
        errors.none_or(())
    }
}

fn required<T>(value: Option<T>, pointer: &str) -> Result<T, Refusal> {
    value.ok_or_else(|| Refusal::invalid_at(pointer, "required", "is required"))
}

pub fn occurrence(body: EventBody) -> Result<Occurrence, Refusal> {
    body.check_fields()?;
    let amount = || required(body.amount, "/amount");
    let positive = || {
        Positive::above_zero(amount()?).map_err(|error| Refusal::invalid_at("/amount", error.code(), error.to_string()))
    };
    let action = match body.event_type {
        EventType::Deposit => Action::Deposit { amount: positive()? },
        EventType::Withdrawal => Action::Withdrawal { amount: positive()? },
        EventType::Stake => Action::Stake(Stake {
            amount: positive()?,
            game: body.game,
            round_id: body.round_id,
            bonus_amount: body.bonus_amount.unwrap_or_default(),
        }),
        EventType::Payout => Action::Payout(Payout {
            amount: amount()?,
            round_id: body.round_id,
        }),
        EventType::Void => Action::Void {
            voids: required(body.voids, "/voids")?,
        },
        EventType::Session => Action::Session {
            minutes: required(body.minutes, "/minutes")?,
        },
        EventType::KycCompleted => Action::KycCompleted,
        EventType::Profile => Action::Profile {
            depth: required(body.value, "/value")?,
        },
        EventType::Login => Action::Login,
    };
    let traces = Traces {
        device_id: body.device_id,
        payment_method: body.payment_method,
        ip: body.ip.map(|ip| ip.to_canonical().to_string()),
    };
    Ok(Occurrence {
        event_id: body.event_id,
        player_id: body.player_id,
        at: body.occurred_at,
        action,
        traces,
    })
}
