//! `/api/activity`: batches of player events. Each counts once and has its own result. `/api/actions`: single actions.
//!
//! The events of a player count in the order in which they happened, whatever the order in which they arrive. What one
//! did when it was recorded is its `outcome`:
//!
//! | field | meaning |
//! |---|---|
//! | `grants` | its effects on bonuses, by grant |
//! | `real_amount`, `forfeited_amount` | of a payout: the player's money, and what is lost with ended bonuses |
//! | `overdrawn` | bonus money that a stake named beyond what there was; it counted as real, and raises a signal |
//! | `lp`, `lp_overspent` | points earned, or below 0 taken back; of these, what the player had spent |
//! | `remark` | why it did less than it could |
//!
//! The remarks: `WAITING`, a payout whose round has no live stake so far; `VOIDED`, the void came first;
//! `OUTSIDE_WINDOW`, older than `activity.play_window_days`, so totals count and bonuses do not change; `ABOVE_MAX_BET`,
//! the stakes of the round exceed the bonus's `max_bet`; `UNKNOWN_GAME` and `GAME_NOT_ELIGIBLE`, no contribution.
//!
//! # Choices
//!
//! * Whoever sent a `WAITING` payout learns what it did by sending it again: a duplicate returns the stored outcome,
//!   and that of a waiting payout is written when its stake comes. Every other outcome stays as it was first told;
//!   what turns out otherwise later is told by the event `bonus.adjusted`.
//! * `/actions/kyc` and `/actions/profile-depth` record an event at the current time under a new id. Repeating them
//!   changes nothing, so they take no idempotency key.

mod body;
mod view;

use app::Db;
use app::activity::{self, Action, Batch, Occurrence, Traces};
use app::runs::triggers::TriggerMessage;
use axum::extract::{FromRef, State};
use axum::http::StatusCode;
use axum::{Json, Router};
use body::{EventBody, occurrence};
use domain::access::Role;
use domain::act::Act;
use domain::activity::ProfileDepth;
use domain::id::{EventId, PlayerId};
use lambda::sqs::Queue;
use lambda::{Acting, Api, Auth, JsonBody, Problem, TellsTime, read_object};
use serde::Deserialize;
use serde_json::value::RawValue;
use view::{ActivityView, ResultView};

const EVENTS_MAX: usize = 500;

#[derive(Clone)]
pub struct Activity {
    pub db: Db,
    /// The reward queue, which receives triggers.
    pub rewards: Queue,
}

impl FromRef<Activity> for Db {
    fn from_ref(activity: &Activity) -> Db {
        activity.db.clone()
    }
}

pub fn router(activity: Activity, clock: impl TellsTime) -> Router {
    api(&activity.db).into_router(activity, clock)
}

pub fn api(db: &Db) -> Api<Activity> {
    Api::new(Auth::new(app::platform::keys::lookup(db.clone())))
        .post("/api/activity", Role::Ingest, record)
        .post("/api/actions/kyc", Role::Ingest, complete_kyc)
        .post("/api/actions/profile-depth", Role::Ingest, set_profile_depth)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ActivityBody {
    /// Parsed one by one, so that an invalid event does not reject the others.
    events: Vec<Box<RawValue>>,
}

async fn record(
    State(state): State<Activity>,
    Acting(act): Acting,
    JsonBody(body): JsonBody<ActivityBody>,
) -> Result<Json<ActivityView>, Problem> {
    if body.events.len() > EVENTS_MAX {
        let detail = format!("{} events; at most {EVENTS_MAX} are allowed", body.events.len());
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    }
    let mut results = Vec::with_capacity(body.events.len());
    let (mut places, mut occurrences) = (Vec::new(), Vec::new());
    for event in &body.events {
        let read = read_object::<EventBody>(event.get().as_bytes()).and_then(|body| Ok(occurrence(body)?));
        results.push(match read {
            Ok(occurrence) => {
                places.push(results.len());
                let result = ResultView::of(occurrence.event_id.as_str());
                occurrences.push(occurrence);
                result
            }
            Err(problem) => ResultView::unreadable(event, problem),
        });
    }
    let recordings = work(&state, occurrences, &act).await?.recordings;
    for (place, recording) in places.into_iter().zip(recordings) {
        results[place].set(recording);
    }
    Ok(Json(ActivityView { results }))
}

/// Records events and sends their triggers.
async fn work(state: &Activity, occurrences: Vec<Occurrence>, act: &Act) -> Result<Batch, Problem> {
    let batch = activity::record(&state.db, occurrences, act).await?;
    let messages = batch
        .triggers
        .iter()
        .map(|batch_id| TriggerMessage { batch_id: *batch_id }.to_json())
        .collect::<Vec<_>>();
    if !messages.is_empty()
        && let Err(error) = state.rewards.send(messages).await
    {
        // Not an error: the triggers are stored with the events, and the scheduler resends them.
        tracing::error!(
            cause = lambda::problem::causes(&error),
            "could not send to the reward queue"
        );
    }
    Ok(batch)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KycBody {
    player_id: PlayerId,
}

async fn complete_kyc(
    State(state): State<Activity>,
    Acting(act): Acting,
    JsonBody(body): JsonBody<KycBody>,
) -> Result<Json<ResultView>, Problem> {
    record_now(&state, body.player_id, Action::KycCompleted, &act).await
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProfileDepthBody {
    player_id: PlayerId,
    depth_percentage: ProfileDepth,
}

async fn set_profile_depth(
    State(state): State<Activity>,
    Acting(act): Acting,
    JsonBody(body): JsonBody<ProfileDepthBody>,
) -> Result<Json<ResultView>, Problem> {
    record_now(
        &state,
        body.player_id,
        Action::Profile {
            depth: body.depth_percentage,
        },
        &act,
    )
    .await
}

/// Records an event at the current time under a new id. Needs no idempotency key: repeating these actions changes
/// nothing.
async fn record_now(
    state: &Activity,
    player_id: PlayerId,
    action: Action,
    act: &Act,
) -> Result<Json<ResultView>, Problem> {
    let event_id =
        EventId::parse(format!("action:{}", (act.context.new_id)())).map_err(|error| Problem::internal(&error))?;
    let mut result = ResultView::of(event_id.as_str());
    let occurrence = Occurrence {
        event_id,
        player_id,
        at: act.context.now,
        action,
        traces: Traces::default(),
    };
    for recording in work(state, vec![occurrence], act).await?.recordings {
        result.set(Ok(recording?));
    }
    Ok(Json(result))
}
