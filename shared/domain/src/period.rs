//! Days, weeks and months in the program's time zone, and the periods in which a rule pays once.
//!
//! # Choices
//!
//! * A period keeps the instants that it covered in the time zone in which it was cut. After a change of the zone, a
//!   player is not paid again at an instant that a paid period covers, nor for a day, week or month of the same name.
//! * Keys live in namespaces: an event's begins with `event:`, and no day, week or month does.

use crate::settings::Settings;
use crate::text_enum;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::Serialize;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{name} is not a time zone of the IANA database")]
pub struct UnknownTimeZone {
    pub name: String,
}

/// An instant in the program's time zone. Create one per batch: looking up a time zone is not free.
#[derive(Debug, Clone)]
pub struct Moment {
    now: Timestamp,
    zone: TimeZone,
    today: Date,
}

impl Moment {
    pub fn new(now: Timestamp, settings: &Settings) -> Result<Self, UnknownTimeZone> {
        let zone = TimeZone::get(&settings.time_zone).map_err(|_| UnknownTimeZone {
            name: settings.time_zone.clone(),
        })?;
        let today = zone.to_datetime(now).date();
        Ok(Self { now, zone, today })
    }

    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Another instant in the same zone.
    pub fn at(&self, instant: Timestamp) -> Self {
        Self {
            now: instant,
            today: self.day_of(instant),
            zone: self.zone.clone(),
        }
    }

    /// Today in the program's time zone: the day of rollups and of daily budgets.
    pub fn today(&self) -> Date {
        self.today
    }

    /// The first day of this month in the program's time zone: the month of monthly limits.
    pub fn month(&self) -> Date {
        self.today.first_of_month()
    }

    /// The first day of the month before this one.
    pub fn last_month(&self) -> Date {
        self.month().saturating_sub(Span::new().months(1))
    }

    /// The Monday of this week in the program's time zone.
    pub fn week(&self) -> Date {
        monday(self.today)
    }

    /// The day of another instant in the program's time zone.
    pub fn day_of(&self, at: Timestamp) -> Date {
        self.zone.to_datetime(at).date()
    }

    /// The first of the last `days` days (1 or more), counting today.
    pub fn first_of_last(&self, days: u32) -> Date {
        self.today.saturating_sub(Span::new().days(days.saturating_sub(1)))
    }

    /// The day `days` days after today.
    pub fn day_in(&self, days: u32) -> Date {
        self.today.saturating_add(Span::new().days(days))
    }

    /// The instant at which a day begins in the program's time zone: midnight, or the first instant after it if the
    /// clocks skip midnight.
    pub fn start_of(&self, day: Date) -> Timestamp {
        day.to_zoned(self.zone.clone())
            .map_or(Timestamp::MAX, |start| start.timestamp())
    }

    /// Whole days from `day` to today; 0 for a day in the future.
    pub fn days_since(&self, day: Date) -> i32 {
        self.today.since(day).map_or(0, |span| span.get_days()).max(0)
    }
}

text_enum! {
    /// How often a rule pays one player.
    #[derive(Default)]
    pub enum Cadence as "cadence" {
        #[default]
        Once = "ONCE",
        Daily = "DAILY",
        /// ISO weeks: Monday to Sunday.
        Weekly = "WEEKLY",
        Monthly = "MONTHLY",
        PerEvent = "PER_EVENT",
    }
}

impl Cadence {
    /// The period that contains `moment`; `None` for a rule that pays per event, whose period is [`Period::of_event`].
    pub fn period(self, moment: &Moment) -> Option<Period> {
        let key = self.key(moment.today)?;
        let (first, next) = match self {
            Cadence::Once | Cadence::PerEvent => return Some(Period { key, span: None }),
            Cadence::Daily => (moment.today, moment.day_in(1)),
            Cadence::Weekly => (moment.week(), moment.week().saturating_add(Span::new().weeks(1))),
            Cadence::Monthly => (moment.month(), moment.month().saturating_add(Span::new().months(1))),
        };
        let span = Stretch {
            from: moment.start_of(first),
            until: moment.start_of(next),
        };
        Some(Period { key, span: Some(span) })
    }

    /// The keys of the periods that contain `moment`, in whatever zone they were cut.
    pub fn keys(self, moment: &Moment) -> Vec<String> {
        let day = TimeZone::UTC.to_datetime(moment.now).date();
        // No zone is a day or more away from UTC.
        let mut keys: Vec<String> = [-1, 0, 1]
            .into_iter()
            .filter_map(|days| self.key(day.saturating_add(Span::new().days(days))))
            .collect();
        keys.dedup();
        keys
    }

    /// `ONCE`, `2026-11-23`, `2026-W48` or `2026-11`.
    fn key(self, day: Date) -> Option<String> {
        match self {
            Cadence::Once => Some("ONCE".to_owned()),
            Cadence::Daily => Some(day.to_string()),
            Cadence::Weekly => {
                let week = day.iso_week_date();
                Some(format!("{:04}-W{:02}", week.year(), week.week()))
            }
            Cadence::Monthly => Some(format!("{:04}-{:02}", day.year(), day.month())),
            Cadence::PerEvent => None,
        }
    }
}

/// What one payment of a rule uses up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// `ONCE`, `2026-11-23`, `2026-W48`, `2026-11`, or `event:` and the event's id.
    pub key: String,
    /// The instants of a day, week or month.
    pub span: Option<Stretch>,
}

const EVENT: &str = "event:";

impl Period {
    /// The period of a rule that pays per event.
    pub fn of_event(event_id: &str) -> Self {
        Self {
            key: format!("{EVENT}{event_id}"),
            span: None,
        }
    }
}

/// Whether `key` is that of the event's period.
pub fn is_of_event(key: &str, event_id: &str) -> bool {
    key.strip_prefix(EVENT) == Some(event_id)
}

/// From an instant until just before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Stretch {
    pub from: Timestamp,
    pub until: Timestamp,
}

impl Stretch {
    pub fn contains(self, instant: Timestamp) -> bool {
        self.from <= instant && instant < self.until
    }
}

fn monday(day: Date) -> Date {
    let days = i64::from(day.weekday().to_monday_zero_offset());
    day.saturating_sub(Span::new().days(days))
}

/// Weekdays with their names in JSON, Monday first.
pub const WEEKDAYS: [(Weekday, &str); 7] = [
    (Weekday::Monday, "MON"),
    (Weekday::Tuesday, "TUE"),
    (Weekday::Wednesday, "WED"),
    (Weekday::Thursday, "THU"),
    (Weekday::Friday, "FRI"),
    (Weekday::Saturday, "SAT"),
    (Weekday::Sunday, "SUN"),
];

pub fn weekday_name(day: Weekday) -> &'static str {
    WEEKDAYS
        .iter()
        .find(|(weekday, _)| *weekday == day)
        .map_or("MON", |(_, name)| name)
}

/// Parses `MON` or `Monday`, ignoring case.
pub fn parse_weekday(text: &str) -> Option<Weekday> {
    let upper = text.to_ascii_uppercase();
    WEEKDAYS
        .iter()
        .find(|(day, name)| upper == *name || upper == format!("{day:?}").to_ascii_uppercase())
        .map(|(day, _)| *day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moment(now: &str, time_zone: &str) -> Moment {
        let settings = Settings {
            time_zone: time_zone.into(),
            ..Settings::default()
        };
        Moment::new(now.parse().unwrap(), &settings).unwrap()
    }

    #[test]
    fn periods_are_those_of_the_program_time_zone() {
        // 23:30 UTC on Sunday 22 November is 00:30 on Monday in Berlin.
        let (utc, berlin) = (
            moment("2026-11-22T23:30:00Z", "UTC"),
            moment("2026-11-22T23:30:00Z", "Europe/Berlin"),
        );
        let keys = |moment: &Moment| -> Vec<String> {
            let periods = Cadence::ALL.into_iter().filter_map(|cadence| cadence.period(moment));
            periods.map(|period| period.key).collect()
        };
        assert_eq!(keys(&utc), ["ONCE", "2026-11-22", "2026-W47", "2026-11"]);
        assert_eq!(keys(&berlin), ["ONCE", "2026-11-23", "2026-W48", "2026-11"]);
        assert_eq!(Period::of_event("2026-11-22").key, "event:2026-11-22");
        assert!(is_of_event("event:2026-11-22", "2026-11-22") && !is_of_event("2026-11-22", "2026-11-22"));
    }

    #[test]
    fn a_period_keeps_the_instants_of_the_zone_it_was_cut_in() {
        let span = |cadence: Cadence, zone| {
            let span = cadence.period(&moment("2026-11-22T23:30:00Z", zone))?.span?;
            Some(format!("{} {}", span.from, span.until))
        };
        assert_eq!(span(Cadence::Once, "UTC"), None);
        for (cadence, zone, expected) in [
            (Cadence::Daily, "UTC", "2026-11-22T00:00:00Z 2026-11-23T00:00:00Z"),
            (Cadence::Weekly, "UTC", "2026-11-16T00:00:00Z 2026-11-23T00:00:00Z"),
            (Cadence::Monthly, "UTC", "2026-11-01T00:00:00Z 2026-12-01T00:00:00Z"),
            (
                Cadence::Daily,
                "Europe/Berlin",
                "2026-11-22T23:00:00Z 2026-11-23T23:00:00Z",
            ),
            (
                Cadence::Weekly,
                "Europe/Berlin",
                "2026-11-22T23:00:00Z 2026-11-29T23:00:00Z",
            ),
            (
                Cadence::Monthly,
                "Europe/Berlin",
                "2026-10-31T23:00:00Z 2026-11-30T23:00:00Z",
            ),
        ] {
            assert_eq!(span(cadence, zone).as_deref(), Some(expected), "{cadence} in {zone}");
        }
    }

    #[test]
    fn the_keys_of_an_instant_are_those_of_every_zone() {
        let utc = moment("2026-11-01T00:30:00Z", "UTC");
        for (cadence, expected) in [
            (Cadence::Once, &["ONCE"][..]),
            (Cadence::Daily, &["2026-10-31", "2026-11-01", "2026-11-02"]),
            (Cadence::Weekly, &["2026-W44", "2026-W45"]),
            (Cadence::Monthly, &["2026-10", "2026-11"]),
            (Cadence::PerEvent, &[]),
        ] {
            assert_eq!(cadence.keys(&utc), expected, "{cadence}");
            for zone in ["Pacific/Kiritimati", "Etc/GMT+12", "America/New_York"] {
                let there = cadence.period(&utc_in(&utc, zone));
                assert!(
                    there.is_none_or(|period| expected.contains(&period.key.as_str())),
                    "{zone}"
                );
            }
        }
    }

    fn utc_in(utc: &Moment, zone: &str) -> Moment {
        moment(&utc.now().to_string(), zone)
    }

    #[test]
    fn weeks_begin_on_monday_and_months_on_the_first() {
        let sunday = moment("2026-03-01T12:00:00Z", "UTC");
        assert_eq!(sunday.week().to_string(), "2026-02-23");
        assert_eq!(
            (sunday.month().to_string(), sunday.last_month().to_string()),
            ("2026-03-01".into(), "2026-02-01".into())
        );
        let january = sunday.at("2026-01-05T00:00:00Z".parse().unwrap());
        assert_eq!(
            (january.week().to_string(), january.last_month().to_string()),
            ("2026-01-05".into(), "2025-12-01".into())
        );
    }

    #[test]
    fn days_are_counted_by_the_calendar_over_both_clock_changes() {
        // In Berlin, 25 October 2026 has 25 hours and 28 March 2027 has 23.
        let autumn = moment("2026-10-24T22:30:00Z", "Europe/Berlin");
        assert_eq!(autumn.today().to_string(), "2026-10-25");
        assert_eq!(autumn.start_of(autumn.today()).to_string(), "2026-10-24T22:00:00Z");
        assert_eq!(autumn.start_of(autumn.day_in(1)).to_string(), "2026-10-25T23:00:00Z");
        assert_eq!(autumn.first_of_last(1).to_string(), "2026-10-25");
        assert_eq!(autumn.first_of_last(365).to_string(), "2025-10-26");
        let spring = moment("2027-03-28T00:30:00Z", "Europe/Berlin");
        assert_eq!(spring.start_of(spring.today()).to_string(), "2027-03-27T23:00:00Z");
        assert_eq!(spring.start_of(spring.day_in(1)).to_string(), "2027-03-28T22:00:00Z");
        // In Beirut, 29 March 2026 begins at one o'clock.
        let beirut = moment("2026-03-29T12:00:00Z", "Asia/Beirut");
        assert_eq!(beirut.start_of(beirut.today()).to_string(), "2026-03-28T22:00:00Z");
    }

    #[test]
    fn a_month_begins_at_midnight_of_the_program_time_zone() {
        // 23:30 UTC on 30 November is 00:30 on 1 December in Berlin.
        assert_eq!(moment("2026-11-30T23:30:00Z", "UTC").month().to_string(), "2026-11-01");
        assert_eq!(
            moment("2026-11-30T23:30:00Z", "Europe/Berlin").month().to_string(),
            "2026-12-01"
        );
    }

    #[test]
    fn the_last_days_of_december_can_belong_to_the_first_week() {
        let period = Cadence::Weekly.period(&moment("2024-12-30T12:00:00Z", "UTC")).unwrap();
        assert_eq!(period.key, "2025-W01");
    }

    #[test]
    fn days_are_counted_across_clock_changes() {
        // Berlin went back to winter time on 25 October 2026: that day has 25 hours.
        let moment = moment("2026-10-25T23:30:00Z", "Europe/Berlin");
        assert_eq!(moment.today().to_string(), "2026-10-26");
        assert_eq!(moment.days_since("2026-10-25".parse().unwrap()), 1);
        assert_eq!(moment.days_since("2026-10-27".parse().unwrap()), 0);
        assert_eq!(moment.days_since("2025-10-26".parse().unwrap()), 365);
    }

    #[test]
    fn an_unknown_time_zone_is_named() {
        let settings = Settings {
            time_zone: "Mars/Olympus".into(),
            ..Settings::default()
        };
        assert_eq!(
            Moment::new(Timestamp::UNIX_EPOCH, &settings).unwrap_err().name,
            "Mars/Olympus"
        );
    }

    #[test]
    fn weekdays_are_read_short_and_long() {
        assert_eq!(parse_weekday("mon"), Some(Weekday::Monday));
        assert_eq!(parse_weekday("Sunday"), Some(Weekday::Sunday));
        assert_eq!(parse_weekday("Someday"), None);
    }
}
