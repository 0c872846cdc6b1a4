//! The program as one transaction sees it: settings, ladder, fact catalogue and active rules.

pub mod settings;
pub mod snapshot;

use crate::error::{Error, Result};
use domain::evaluate::RuleSet;
use domain::facts::Catalogue;
use domain::period::Moment;
use domain::rule::Rule;
use domain::settings::Settings;
use domain::tier::Ladder;
use futures_util::future::try_join;
use jiff::Timestamp;
use jiff::civil::Date;
use store::Executor;
use store::rules::StoredRule;

#[derive(Debug)]
pub struct Program {
    pub settings: Settings,
    pub ladder: Ladder,
    pub catalogue: Catalogue,
    pub moment: Moment,
}

impl Program {
    pub async fn load(executor: &impl Executor, now: Timestamp) -> Result<Self> {
        let (settings, ladder) =
            try_join(crate::program::settings::load(executor), crate::tiers::ladder(executor)).await?;
        let moment = Moment::new(now, &settings).map_err(|error| Error::stored("time zone", error))?;
        let catalogue = Catalogue::new(&ladder);
        Ok(Self {
            settings,
            ladder,
            catalogue,
            moment,
        })
    }

    /// The active rules, at their current versions.
    pub async fn rules(&self, executor: &impl Executor) -> Result<RuleSet> {
        let mut rules = Vec::new();
        for stored in store::rules::load_live(executor).await? {
            rules.push((self.rule(&stored)?, stored.version));
        }
        Ok(RuleSet::new(rules))
    }

    /// A stored rule, active or not.
    pub fn rule(&self, stored: &StoredRule) -> Result<Rule> {
        let mut rule = Rule::load(&stored.definition, &self.catalogue, &self.settings)
            .map_err(|errors| Error::stored("rule", errors))?;
        rule.created_at = Some(stored.created_at);
        Ok(rule)
    }

    /// The first day whose LP count for the tiers; `None`: all days count.
    pub fn qualifying_since(&self) -> Option<Date> {
        self.settings
            .tier_qualification_days
            .map(|days| self.moment.first_of_last(days))
    }

    /// The date of an instant in the program's time zone.
    pub fn day(&self, at: Timestamp) -> Date {
        self.moment.day_of(at)
    }
}
