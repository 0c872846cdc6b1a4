//! The redemption catalogue and redemptions.

use crate::error::{Error, Result};
use crate::platform::audit_log::{self, Action, Sides, Subject};
use crate::platform::idempotent;
use crate::program::Program;
use crate::wallet::books::{self, Purpose};
use domain::act::Act;
use domain::event::Event;
use domain::id::{PlayerId, RedemptionId, RedemptionRuleId};
use domain::idempotency::Answer;
use domain::page::Page;
use domain::patch;
use domain::redemption::{Applicant, Order, Redemption, RedemptionRefusal, RedemptionRule};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::platform::stats::Slot;
pub use store::wallet::redemptions::StoredRedemptionRule;
use store::{Db, Executor, Tx, transaction};

/// Why an entry is not created or not redeemed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RedemptionError {
    #[error("redemption rule {rule_id} already exists")]
    Exists { rule_id: RedemptionRuleId },
    #[error(transparent)]
    Refused(#[from] RedemptionRefusal),
}

impl RedemptionError {
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Exists { .. } => "duplicate",
            Self::Refused(refusal) => refusal.code(),
        }
    }
}

/// The catalogue, by entry id.
pub async fn list(
    db: &Db,
    is_active: Option<bool>,
    page: &Page<RedemptionRuleId>,
) -> Result<Vec<StoredRedemptionRule>> {
    Ok(store::wallet::redemptions::list(&db.client().await?, is_active, page).await?)
}

pub async fn get(db: &Db, rule_id: &RedemptionRuleId) -> Result<StoredRedemptionRule> {
    load(&db.client().await?, rule_id).await
}

async fn load(executor: &impl Executor, rule_id: &RedemptionRuleId) -> Result<StoredRedemptionRule> {
    store::wallet::redemptions::get(executor, rule_id)
        .await?
        .ok_or_else(|| Error::not_found("redemption rule", rule_id))
}

/// Adds an entry to the catalogue.
///
/// # Errors
/// `Validation` with a pointer per error; [`RedemptionError::Exists`].
pub async fn create(db: &Db, rule: &Value, act: &Act) -> Result<StoredRedemptionRule> {
    transaction!(db, |tx| create_in_tx(tx, rule, act))
}

async fn create_in_tx(tx: &Tx<'_>, rule: &Value, act: &Act) -> Result<StoredRedemptionRule> {
    let rule = parse(tx, rule).await?;
    if !store::wallet::redemptions::insert(tx, &rule, act.context.now).await? {
        let rule_id = rule.rule_id.clone();
        return Err(RedemptionError::Exists { rule_id }.into());
    }
    let (subject, sides) = (Subject::RedemptionRule(&rule.rule_id), Sides::made(&rule.definition()));
    audit_log::append(tx, act, Action::RedemptionRuleCreate, subject, sides).await?;
    load(tx, &rule.rule_id).await
}

/// Changes what `patch` names in an entry, as a JSON merge patch. Past redemptions keep their figures. A patch that
/// changes nothing saves nothing.
///
/// # Errors
/// `NotFound`; `Validation`.
pub async fn update(db: &Db, rule_id: &RedemptionRuleId, patch: &Value, act: &Act) -> Result<StoredRedemptionRule> {
    transaction!(db, |tx| update_in_tx(tx, rule_id, patch, act))
}

async fn update_in_tx(
    tx: &Tx<'_>,
    rule_id: &RedemptionRuleId,
    patch: &Value,
    act: &Act,
) -> Result<StoredRedemptionRule> {
    if !store::wallet::redemptions::lock(tx, rule_id).await? {
        return Err(Error::not_found("redemption rule", rule_id));
    }
    let before = load(tx, rule_id).await?;
    let definition = Value::Object(before.rule.definition());
    let rule = parse(tx, &patch::identified(&definition, patch, "rule_id")?).await?;
    if rule == before.rule {
        return Ok(before);
    }
    store::wallet::redemptions::update(tx, &rule, act.context.now).await?;
    let sides = Sides::changed(&definition, &Value::Object(rule.definition()));
    let subject = Subject::RedemptionRule(rule_id);
    audit_log::append(tx, act, Action::RedemptionRuleUpdate, subject, sides).await?;
    load(tx, rule_id).await
}

/// The result of a redemption.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Redeemed {
    pub redemption: Redemption,
    /// New balance of the asset that was spent.
    pub new_balance: Decimal,
}

/// Redeems a player's points for a catalogue entry, in one transaction under the player's lock.
///
/// # Errors
/// `NotFound` for the player or the entry; `PlayerError` for blocked, inactive and self-excluded players;
/// [`RedemptionError::Refused`] if the entry is not open to this player now; `InsufficientBalance` of the ledger.
pub async fn redeem(db: &Db, player_id: &PlayerId, rule_id: &RedemptionRuleId, act: &Act) -> Result<Answer<Redeemed>> {
    transaction!(db, |tx| idempotent::once(
        tx,
        act,
        redeem_in_tx(tx, player_id, rule_id, act)
    ))
}

async fn redeem_in_tx(tx: &Tx<'_>, player_id: &PlayerId, rule_id: &RedemptionRuleId, act: &Act) -> Result<Redeemed> {
    let cause = act.because(None);
    let now = act.context.now;
    books::lock(tx, player_id, Purpose::Give, now).await?;
    let mut account = books::account(tx, player_id, &cause).await?;
    let rule = load(tx, rule_id).await?.rule;
    let program = Program::load(tx, now).await?;
    let month = program.moment.month();
    let redeemer = store::wallet::redemptions::redeemer(tx, player_id, rule_id, month).await?;
    let applicant = Applicant {
        tier: &redeemer.tier,
        available: account.balance(rule.cost_asset),
        used: redeemer.used,
    };
    rule.may_redeem(&applicant, &program.ladder)
        .map_err(RedemptionError::from)?;

    let redemption_id = RedemptionId((act.context.new_id)());
    let reference = act.reference(redemption_id);
    let redemption = rule.redeem(
        &mut account,
        Order {
            redemption_id,
            reference,
            month,
        },
        &cause,
    )?;
    let new_balance = account.balance(rule.cost_asset);
    store::wallet::redemptions::add(tx, &redemption).await?;
    let _scheduled = books::write(
        tx,
        &account.into_journal(),
        &[Event::redemption_created(&redemption)],
        Slot::of(player_id),
        act.context,
    )
    .await?;
    Ok(Redeemed {
        redemption,
        new_balance,
    })
}

/// Parses an entry against the current ladder and settings, and pins the ladder until the commit.
async fn parse(tx: &Tx<'_>, rule: &Value) -> Result<RedemptionRule> {
    store::tiers::pin(tx).await?;
    let (ladder, settings) = (
        crate::tiers::ladder(tx).await?,
        crate::program::settings::load(tx).await?,
    );
    Ok(RedemptionRule::parse(rule, &ladder, &settings)?)
}
