//! Days, weeks and months in the program's time zone, and the period keys under which a rule pays once.

use crate::settings::Settings;
use crate::text_enum;
use jiff::civil::{Date, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};

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

    /// Today in the program's time zone: the day of rollups and of daily budgets.
    pub fn today(&self) -> Date {
        self.today
    }

    /// The first day of this month in the program's time zone: the month of monthly limits.
    pub fn month(&self) -> Date {
        self.today.first_of_month()
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
    /// The key of the period that contains `moment`: `ONCE`, `2026-11-23`, `2026-W48`, `2026-11`, or the event's id.
    ///
    /// `None` if the rule pays per event and there is no event.
    pub fn period_key(self, moment: &Moment, event_id: Option<&str>) -> Option<String> {
        let today = moment.today;
        Some(match self {
            Cadence::Once => "ONCE".to_owned(),
            Cadence::Daily => today.to_string(),
            Cadence::Weekly => {
                let week = today.iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Cadence::Monthly => format!("{:04}-{:02}", today.year(), today.month()),
            Cadence::PerEvent => event_id?.to_owned(),
        })
    }
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
        let keys = |moment: &Moment| Cadence::ALL.map(|cadence| cadence.period_key(moment, Some("E1")).unwrap());
        assert_eq!(keys(&utc), ["ONCE", "2026-11-22", "2026-W47", "2026-11", "E1"]);
        assert_eq!(keys(&berlin), ["ONCE", "2026-11-23", "2026-W48", "2026-11", "E1"]);
        assert_eq!(Cadence::PerEvent.period_key(&utc, None), None);
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
        assert_eq!(
            Cadence::Weekly
                .period_key(&moment("2024-12-30T12:00:00Z", "UTC"), None)
                .unwrap(),
            "2025-W01"
        );
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
