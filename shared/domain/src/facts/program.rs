//! The facts of every program, in the order of their ids.

use super::FactSource::{self, Balances, Clock, Deposits, Event, Losses, Profile, Tier, Totals, Turnover, Windows};
use super::{EventFacts, FactDef, FactType, FactValue};
use crate::metrics;
use crate::period::{Moment, WEEKDAYS, weekday_name};
use crate::player::PlayerSnapshot;
use crate::rule::Trigger;
use crate::segment::Segment;
use rust_decimal::Decimal;

/// Everything that the program's facts are computed from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known<'a> {
    pub(super) player: &'a PlayerSnapshot,
    pub(super) totals: &'a metrics::Totals,
    pub(super) windows: &'a metrics::Windows,
    pub(super) moment: &'a Moment,
    pub(super) event: Option<&'a EventFacts>,
}

pub(super) struct StaticFact {
    pub(super) name: &'static str,
    pub(super) source: FactSource,
    values: Choices,
    fact_type: FactType,
    unit: Option<&'static str>,
    meaning: &'static str,
    pub(super) read: Read,
}

/// All values of a text fact, if they are known.
enum Choices {
    Any,
    Segments,
    Tiers,
    Weekdays,
}

impl StaticFact {
    pub(super) fn def(&self, tiers: &[String]) -> FactDef {
        let values = match self.values {
            Choices::Any => None,
            Choices::Segments => Some(Segment::ALL.map(|segment| segment.as_str().to_owned()).to_vec()),
            Choices::Tiers => Some(tiers.to_vec()),
            Choices::Weekdays => Some(WEEKDAYS.map(|(_, name)| name.to_owned()).to_vec()),
        };
        let (name, meaning) = (self.name.to_owned(), self.meaning.to_owned());
        FactDef {
            name,
            fact_type: self.fact_type,
            source: self.source,
            unit: self.unit,
            meaning,
            values,
        }
    }
}

const CURRENCY: Option<&str> = Some("currency");
const POINTS: Option<&str> = Some("points");
const DAYS: Option<&str> = Some("days");
const COUNT: Option<&str> = Some("count");

type Read = for<'a> fn(&Known<'a>) -> Option<FactValue<'a>>;

const fn number(
    source: FactSource,
    name: &'static str,
    unit: Option<&'static str>,
    meaning: &'static str,
    read: Read,
) -> StaticFact {
    StaticFact {
        name,
        source,
        values: Choices::Any,
        fact_type: FactType::Number,
        unit,
        meaning,
        read,
    }
}

const fn text(
    source: FactSource,
    name: &'static str,
    values: Choices,
    meaning: &'static str,
    read: Read,
) -> StaticFact {
    StaticFact {
        name,
        source,
        values,
        fact_type: FactType::Text,
        unit: None,
        meaning,
        read,
    }
}

fn figure<'a>(number: impl Into<Decimal>) -> Option<FactValue<'a>> {
    Some(FactValue::Number(number.into()))
}

/// What was lost in a stretch of the calendar; 0 when ahead.
fn lost<'a>(known: &Known<'a>, of: impl FnOnce(&metrics::Losses) -> Decimal) -> Option<FactValue<'a>> {
    figure(of(known.player.losses.as_ref()?).max(Decimal::ZERO))
}

/// The only deposit so far, and no file brought one.
fn is_first_deposit(known: &Known<'_>) -> Option<bool> {
    let deposit = known.event.filter(|event| event.trigger == Trigger::Deposit)?;
    Some(known.player.deposit_count? == 1 && known.totals.deposited <= deposit.amount?)
}

pub(super) static STATIC_FACTS: [StaticFact; 39] = [
    number(
        Totals,
        "total_deposited",
        CURRENCY,
        "deposited in the player's life",
        |s| figure(s.totals.deposited),
    ),
    number(Totals, "total_wagered", CURRENCY, "staked in the player's life", |s| {
        figure(s.totals.wagered)
    }),
    number(Totals, "total_won", CURRENCY, "won in the player's life", |s| {
        figure(s.totals.won)
    }),
    number(
        Totals,
        "total_withdrawn",
        CURRENCY,
        "withdrawn in the player's life",
        |s| figure(s.totals.withdrawn),
    ),
    number(
        Totals,
        "net_pnl",
        CURRENCY,
        "total_won - total_wagered: positive when the player is ahead",
        |s| figure(s.totals.net_pnl()),
    ),
    number(
        Totals,
        "net_loss",
        CURRENCY,
        "what the player lost; 0 when ahead",
        |s| figure(s.totals.net_loss()),
    ),
    number(
        Totals,
        "win_loss_ratio",
        None,
        "total_won / total_wagered; 0 when nothing was staked",
        |s| figure(s.totals.win_loss_ratio()),
    ),
    number(
        Totals,
        "total_bets",
        COUNT,
        "number of stakes; null while unknown",
        |s| figure(s.totals.bets?),
    ),
    number(
        Totals,
        "avg_bet_size",
        CURRENCY,
        "total_wagered / total_bets; null while the number of bets is unknown",
        |s| figure(s.totals.avg_bet_size()?),
    ),
    number(
        Windows,
        "wagered_7d",
        CURRENCY,
        "staked in the last 7 days, today included",
        |s| figure(s.windows.wagered_7d),
    ),
    number(
        Turnover,
        "wagered_30d",
        CURRENCY,
        "staked in the last 30 days, today included",
        |s| figure(s.windows.wagered_30d),
    ),
    number(
        Windows,
        "net_loss_7d",
        CURRENCY,
        "lost in the last 7 days; 0 when ahead",
        |s| figure(s.windows.net_loss_7d()),
    ),
    number(
        Windows,
        "net_loss_30d",
        CURRENCY,
        "lost in the last 30 days; 0 when ahead",
        |s| figure(s.windows.net_loss_30d()),
    ),
    number(
        Windows,
        "deposited_7d",
        CURRENCY,
        "deposited in the last 7 days, today included",
        |s| figure(s.windows.deposited_7d),
    ),
    number(
        Windows,
        "deposited_30d",
        CURRENCY,
        "deposited in the last 30 days, today included",
        |s| figure(s.windows.deposited_30d),
    ),
    number(
        Losses,
        "net_loss_today",
        CURRENCY,
        "lost today in the program's time zone; 0 when ahead",
        |s| lost(s, |losses| losses.today),
    ),
    number(
        Losses,
        "net_loss_this_week",
        CURRENCY,
        "lost since Monday; 0 when ahead",
        |s| lost(s, |losses| losses.this_week),
    ),
    number(
        Losses,
        "net_loss_last_week",
        CURRENCY,
        "lost in the week before this one, Monday to Sunday; 0 when ahead",
        |s| lost(s, |losses| losses.last_week),
    ),
    number(
        Losses,
        "net_loss_this_month",
        CURRENCY,
        "lost since the first of the month; 0 when ahead",
        |s| lost(s, |losses| losses.this_month),
    ),
    number(
        Losses,
        "net_loss_last_month",
        CURRENCY,
        "lost in the month before this one; 0 when ahead",
        |s| lost(s, |losses| losses.last_month),
    ),
    number(
        Deposits,
        "deposit_count",
        COUNT,
        "deposits that events reported, this one included; those in files have no number",
        |s| figure(s.player.deposit_count?),
    ),
    StaticFact {
        name: "is_first_deposit",
        source: Deposits,
        values: Choices::Any,
        fact_type: FactType::Flag,
        unit: None,
        meaning: "the deposit that triggered the rule is the player's first, files included; null without one",
        read: |s| is_first_deposit(s).map(FactValue::Flag),
    },
    number(Totals, "session_count", COUNT, "sessions in the player's life", |s| {
        figure(s.totals.session_count)
    }),
    number(
        Totals,
        "total_playtime_hours",
        Some("hours"),
        "time played in the player's life",
        |s| figure(s.totals.playtime_hours),
    ),
    number(
        Totals,
        "days_since_last_deposit",
        DAYS,
        "days since the last deposit; null without one",
        |s| figure(s.moment.days_since(s.totals.last_deposit_date?)),
    ),
    number(
        Profile,
        "account_age_days",
        DAYS,
        "days since registration; null while unknown",
        |s| figure(s.moment.days_since(s.moment.day_of(s.player.registered_at?))),
    ),
    number(
        Windows,
        "monthly_active_days",
        DAYS,
        "days of the last 30 with a stake, deposit or withdrawal",
        |s| figure(s.windows.active_days_30d),
    ),
    StaticFact {
        name: "kyc_completed",
        source: Profile,
        values: Choices::Any,
        fact_type: FactType::Flag,
        unit: None,
        meaning: "identity was verified",
        read: |s| Some(FactValue::Flag(s.player.kyc_completed)),
    },
    number(
        Profile,
        "profile_depth",
        Some("percent"),
        "share of the profile that is filled in, 0 to 100",
        |s| figure(s.player.profile_depth),
    ),
    number(
        Balances,
        "lp_balance",
        POINTS,
        "loyalty points in the wallet now",
        |s| figure(s.player.balances.lp),
    ),
    number(Balances, "rp_balance", POINTS, "reward points in the wallet now", |s| {
        figure(s.player.balances.rp)
    }),
    number(
        Balances,
        "bonus_balance",
        CURRENCY,
        "bonus money in the wallet now",
        |s| figure(s.player.balances.bonus),
    ),
    number(Balances, "tickets_balance", COUNT, "tickets in the wallet now", |s| {
        figure(s.player.balances.tickets)
    }),
    text(
        Profile,
        "segment",
        Choices::Segments,
        "the player's segment; null before the first classification",
        |s| Some(FactValue::Text(s.player.segment?.as_str())),
    ),
    text(Tier, "tier", Choices::Tiers, "the player's tier", |s| {
        Some(FactValue::Text(&s.player.tier))
    }),
    number(
        Profile,
        "risk_score",
        None,
        "0 (none) to 100 now, from open fraud signals",
        |s| figure(s.player.risk_score),
    ),
    number(
        Event,
        "event_amount",
        CURRENCY,
        "amount of the event that triggered the rule; null without one",
        |s| figure(s.event?.amount?),
    ),
    text(
        Event,
        "event_game",
        Choices::Any,
        "game of the event that triggered the rule; null without one",
        |s| Some(FactValue::Text(s.event?.game.as_deref()?)),
    ),
    text(
        Clock,
        "day_of_week",
        Choices::Weekdays,
        "day of the event, or of the evaluation, in the program's time zone",
        |s| {
            let day = s
                .event
                .map_or(s.moment.today(), |event| s.moment.day_of(event.occurred_at));
            Some(FactValue::Text(weekday_name(day.weekday())))
        },
    ),
];
