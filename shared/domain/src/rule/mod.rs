//! Rules: when they apply, to whom, and what they give. Checked and compiled once, when saved or loaded.
//!
//! # Choices
//!
//! * A rule without `trigger` is called by everything except consequences: a changed segment or tier evaluates only the
//!   rules that name SEGMENT_CHANGED or TIER_CHANGED. Otherwise one deposit would be evaluated up to three times, and
//!   each time the next lower rule would pay.
//! * A rule that pays per event has no period in a run.
//! * A rule judges the moment of the event: `starts_at`, `ends_at`, `days_of_week`, the facts and the period are those of
//!   `occurred_at`. A rule without `starts_at` begins when its first version is saved, so that it pays nothing that
//!   happened before; one with an earlier `starts_at` does. Whether it is active, its version and the gates are of now.
//! * The rules of an `exclusive_group` are one reward and share their period, so they have one cadence: the save of an
//!   active rule is refused while an active rule of its group has another. What was saved before keeps its own periods.

pub mod condition;
pub(crate) mod fields;
pub(crate) mod reward;

pub use condition::{Condition, ConditionResult};
pub use reward::{Reward, RewardType};

use crate::facts::{Catalogue, FactId, FactSource, Facts};
use crate::id::RuleId;
use crate::money::MONEY_SCALE;
use crate::period::{Cadence, Moment, WEEKDAYS, parse_weekday, weekday_name};
use crate::problem::FieldErrors;
use crate::settings::Settings;
use crate::text_enum;
use condition::Checks;
use fields::{Bounds, Fields, read_word};
use jiff::Timestamp;
use jiff::civil::Weekday;
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

text_enum! {
    /// What causes the evaluation of a player's rules.
    pub enum Trigger as "trigger" {
        Import = "IMPORT",
        Recalculation = "RECALCULATION",
        Deposit = "DEPOSIT",
        KycCompleted = "KYC_COMPLETED",
        Profile = "PROFILE",
        SegmentChanged = "SEGMENT_CHANGED",
        TierChanged = "TIER_CHANGED",
    }
}

impl Trigger {
    /// Whether another trigger caused it: a file, a run, an event, or a reward that these gave.
    pub const fn is_consequence(self) -> bool {
        matches!(self, Trigger::SegmentChanged | Trigger::TierChanged)
    }
}

/// Upper limit for the cost of a rule's grants, in money.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<Decimal>,
    /// Per day in the program's time zone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub per_day: Option<Decimal>,
}

/// One version of a rule, ready to be evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    pub rule_id: RuleId,
    pub name: String,
    pub description: Option<String>,
    /// Higher first.
    pub priority: i32,
    pub is_active: bool,
    pub condition: Condition,
    pub reward: Reward,
    /// `None`: all triggers except consequences.
    pub triggers: Option<Vec<Trigger>>,
    pub cadence: Cadence,
    pub starts_at: Option<Timestamp>,
    /// Exclusive: the rule does not apply at this instant any more.
    pub ends_at: Option<Timestamp>,
    /// `None`: every day.
    pub days_of_week: Option<Vec<Weekday>>,
    pub budget: Option<Budget>,
    pub exclusive_group: Option<String>,
    /// When the first version was saved; `None`: it was not.
    pub created_at: Option<Timestamp>,
    /// Facts named by the conditions and the formula, sorted.
    reads: Vec<FactId>,
    definition: Value,
}

const FIELDS: &[&str] = &[
    "rule_id",
    "name",
    "description",
    "priority",
    "is_active",
    "conditions",
    "reward_config",
    "trigger",
    "cadence",
    "starts_at",
    "ends_at",
    "days_of_week",
    "budget",
    "exclusive_group",
];

const NAME_CHARS_MAX: usize = 200;
const DESCRIPTION_CHARS_MAX: usize = 2_000;
const PRIORITY_MAX: i32 = 1_000_000;

impl Rule {
    /// Parses a rule for saving.
    ///
    /// # Errors
    /// All its errors, each with a JSON pointer.
    pub fn parse(value: &Value, catalogue: &Catalogue, settings: &Settings) -> Result<Self, FieldErrors> {
        Self::read(
            value,
            &reward::Context {
                catalogue,
                settings,
                checks: Checks::Save,
            },
        )
    }

    /// Parses a saved rule. Accepts games, tiers and wagering requirements that [`Rule::parse`] would refuse now,
    /// because settings and tiers may have changed since.
    ///
    /// # Errors
    /// Same as [`Rule::parse`]; a fact that disappeared with a tier's benefit is an error too.
    pub fn load(value: &Value, catalogue: &Catalogue, settings: &Settings) -> Result<Self, FieldErrors> {
        Self::read(
            value,
            &reward::Context {
                catalogue,
                settings,
                checks: Checks::Load,
            },
        )
    }

    fn read(value: &Value, context: &reward::Context<'_>) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::default();
        let rule = Fields::of(value, "", FIELDS, &mut errors).and_then(|mut fields| Self::fields(&mut fields, context));
        match rule {
            Some(rule) => errors.none_or(rule),
            None => Err(errors),
        }
    }

    fn fields(fields: &mut Fields<'_, '_>, context: &reward::Context<'_>) -> Option<Self> {
        let rule_id = rule_id(fields);
        fields.required("name");
        let name = fields.text("name", NAME_CHARS_MAX);
        let condition = fields.required("conditions").map(|conditions| {
            let pointer = fields.pointer("conditions");
            (
                conditions,
                Condition::parse(conditions, &pointer, context.catalogue, context.checks, fields.errors()),
            )
        });
        let reward = fields.required("reward_config").and_then(|config| {
            let pointer = fields.pointer("reward_config");
            Some((config, Reward::parse(config, &pointer, context, fields.errors())?))
        });
        let description = fields.text("description", DESCRIPTION_CHARS_MAX).map(str::to_owned);
        let priority = fields.whole("priority", -PRIORITY_MAX, PRIORITY_MAX).unwrap_or(0);
        let is_active = fields.flag("is_active", true);
        let cadence = fields.one_of("cadence", &Cadence::ALL).unwrap_or_default();
        let triggers = fields.list("trigger", |item, at, errors| read_word(item, at, &Trigger::ALL, errors));
        let days_of_week = fields.list("days_of_week", read_weekday);
        let (starts_at, ends_at) = period(fields);
        let budget = budget(fields);
        let exclusive_group = fields.text("exclusive_group", NAME_CHARS_MAX).map(str::to_owned);
        let ((conditions, condition), (config, reward)) = (condition?, reward?);
        let mut rule = Self {
            rule_id: rule_id?,
            name: name?.to_owned(),
            reads: reads(&condition, &reward),
            condition,
            reward,
            description,
            priority,
            is_active,
            triggers,
            cadence,
            starts_at,
            ends_at,
            days_of_week,
            budget,
            exclusive_group,
            created_at: None,
            definition: Value::Null,
        };
        rule.definition = rule.normal_form(conditions, reward::normalise(config));
        Some(rule)
    }

    fn normal_form(&self, conditions: &Value, reward_config: Value) -> Value {
        let mut map = Map::new();
        let mut set = |name: &str, value: Value| map.insert(name.to_owned(), value);
        set("rule_id", json!(self.rule_id));
        set("name", json!(self.name));
        set("priority", json!(self.priority));
        set("is_active", json!(self.is_active));
        set("conditions", conditions.clone());
        set("reward_config", reward_config);
        set("cadence", json!(self.cadence));
        let optional = [
            ("description", self.description.as_ref().map(|text| json!(text))),
            ("trigger", self.triggers.as_ref().map(|triggers| json!(triggers))),
            ("starts_at", self.starts_at.map(|at| json!(at))),
            ("ends_at", self.ends_at.map(|at| json!(at))),
            (
                "days_of_week",
                self.days_of_week
                    .as_ref()
                    .map(|days| json!(days.iter().map(|day| weekday_name(*day)).collect::<Vec<_>>())),
            ),
            ("budget", self.budget.map(|budget| json!(budget))),
            (
                "exclusive_group",
                self.exclusive_group.as_ref().map(|group| json!(group)),
            ),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                set(name, value);
            }
        }
        Value::Object(map)
    }

    /// What is stored and returned. Parsing it gives this rule again.
    pub fn definition(&self) -> &Value {
        &self.definition
    }

    /// Facts named by the conditions and the formula, sorted.
    pub fn reads(&self) -> &[FactId] {
        &self.reads
    }

    /// What has to be loaded for the conditions and the formula.
    pub fn sources<'a>(&'a self, catalogue: &'a Catalogue) -> impl Iterator<Item = FactSource> + 'a {
        self.reads.iter().map(|fact| catalogue.def(*fact).source)
    }

    /// Whether the conditions hold. `false` if they cannot be computed.
    pub fn matches(&self, facts: &Facts<'_>) -> bool {
        self.condition.hold(facts) == Ok(true)
    }

    /// Whether the rule has this trigger. A rule without triggers reacts to all but consequences: the cause of a
    /// consequence has triggered it already, and it must not pay twice.
    fn is_called_by(&self, trigger: Trigger) -> bool {
        match &self.triggers {
            Some(triggers) => triggers.contains(&trigger),
            None => !trigger.is_consequence(),
        }
    }

    /// Whether the rule is active, in its period, on one of its days, and has this trigger.
    pub fn is_live(&self, trigger: Trigger, moment: &Moment) -> bool {
        self.is_called_by(trigger) && self.is_on(moment)
    }

    /// Whether an event of this trigger at this moment calls the rule.
    pub fn is_called(&self, trigger: Trigger, moment: &Moment) -> bool {
        let begins_at = self.starts_at.or(self.created_at);
        self.is_live(trigger, moment) && begins_at.is_none_or(|begins_at| begins_at <= moment.now())
    }

    /// Whether the rule is active, in its period, on one of its days.
    pub fn is_on(&self, moment: &Moment) -> bool {
        self.is_active
            && self.starts_at.is_none_or(|starts_at| starts_at <= moment.now())
            && self.ends_at.is_none_or(|ends_at| moment.now() < ends_at)
            && self
                .days_of_week
                .as_ref()
                .is_none_or(|days| days.contains(&moment.today().weekday()))
    }
}

fn rule_id(fields: &mut Fields<'_, '_>) -> Option<RuleId> {
    let Some(text) = fields.required("rule_id")?.as_str() else {
        fields.error("rule_id", "type", "must be a text");
        return None;
    };
    RuleId::parse(text)
        .map_err(|error| fields.error("rule_id", "format", error.to_string()))
        .ok()
}

fn read_weekday(item: &Value, pointer: &str, errors: &mut FieldErrors) -> Option<Weekday> {
    let day = item.as_str().and_then(parse_weekday);
    if day.is_none() {
        let names = WEEKDAYS.map(|(_, name)| name).join(", ");
        errors.push(pointer, "unknown", format!("must be one of {names}"));
    }
    day
}

fn period(fields: &mut Fields<'_, '_>) -> (Option<Timestamp>, Option<Timestamp>) {
    let (starts_at, ends_at) = (fields.timestamp("starts_at"), fields.timestamp("ends_at"));
    if let (Some(starts_at), Some(ends_at)) = (starts_at, ends_at)
        && ends_at <= starts_at
    {
        fields.error(
            "ends_at",
            "range",
            format!("{ends_at} is not after starts_at {starts_at}"),
        );
    }
    (starts_at, ends_at)
}

fn budget(fields: &mut Fields<'_, '_>) -> Option<Budget> {
    let value = fields.get("budget")?;
    let pointer = fields.pointer("budget");
    let mut inner = Fields::of(value, &pointer, &["total", "per_day"], fields.errors())?;
    let bounds = Bounds::at_least_zero(MONEY_SCALE);
    if inner.get("total").is_none() && inner.get("per_day").is_none() {
        inner.error("total", "required", "a budget needs total, per_day or both");
    }
    Some(Budget {
        total: inner.decimal("total", bounds),
        per_day: inner.decimal("per_day", bounds),
    })
}

fn reads(condition: &Condition, reward: &Reward) -> Vec<FactId> {
    let mut reads = Vec::new();
    condition.visit_facts(&mut |fact| reads.push(fact));
    reward.visit_facts(&mut |fact| reads.push(fact));
    reads.sort_unstable();
    reads.dedup();
    reads
}
