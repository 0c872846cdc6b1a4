//! Scheduled jobs, and when each is due in the program's time zone.
//!
//! # Choices
//!
//! * A scheduled time that the clocks skip is due when they are put forward; one that occurs twice is due the first
//!   time. Intervals count in UTC.
//! * A job seen for the first time has nothing to catch up on; nor has one that is switched on, or moved to a time that
//!   has passed today. A job with an unfinished run waits for its end.

use crate::text_enum;
use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::tz::{AmbiguousOffset, TimeZone};
use serde::{Deserialize, Serialize};
use std::fmt;

text_enum! {
    /// A scheduled job. Jobs due at the same time run in this order, most urgent first.
    pub enum Job as "job" {
        /// Finds runs, imports and triggers whose messages were lost, and sends the messages again.
        Recover = "recover",
        /// Expires bonuses and points.
        Expire = "expire",
        /// Moves players to the tiers that their points qualify for.
        TierReview = "tier_review",
        /// Starts a run over all players.
        Recalculate = "recalculate",
        /// Scans all players for fraud signals.
        RiskScan = "risk_scan",
        /// Deletes data that is no longer needed.
        Retention = "retention",
        /// Checks the invariants of the books.
        Audit = "audit",
    }
}

/// A local time of day, to the minute: `03:00`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TimeOfDay {
    hour: i8,
    minute: i8,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a time of day from 00:00 to 23:59")]
pub struct NotATimeOfDay(String);

impl TimeOfDay {
    const fn of(hour: i8, minute: i8) -> Self {
        Self { hour, minute }
    }

    fn time(self) -> Time {
        Time::new(self.hour, self.minute, 0, 0).unwrap_or(Time::midnight())
    }
}

impl TryFrom<String> for TimeOfDay {
    type Error = NotATimeOfDay;
    fn try_from(text: String) -> Result<Self, NotATimeOfDay> {
        let number = |digits: &str, most: i8| {
            let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            digits.parse::<i8>().ok().filter(|number| is_number && *number <= most)
        };
        let read = text
            .split_once(':')
            .and_then(|(hour, minute)| Some(Self::of(number(hour, 23)?, number(minute, 59)?)));
        read.ok_or(NotATimeOfDay(text))
    }
}

impl From<TimeOfDay> for String {
    fn from(time: TimeOfDay) -> String {
        time.to_string()
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.hour, self.minute)
    }
}

/// When each job is due, in the program's time zone. Null switches a job off.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ScheduleSettings {
    pub tier_review: Option<TimeOfDay>,
    pub recalculate: Option<TimeOfDay>,
    pub risk_scan: Option<TimeOfDay>,
    pub retention: Option<TimeOfDay>,
    pub audit: Option<TimeOfDay>,
    /// 1 to 1440. Counted in UTC, so clock changes do not matter.
    pub expire_every_minutes: Option<u32>,
    /// 1 to 1440.
    pub recover_every_minutes: Option<u32>,
}

impl Default for ScheduleSettings {
    fn default() -> Self {
        Self {
            tier_review: Some(TimeOfDay::of(2, 30)),
            recalculate: Some(TimeOfDay::of(3, 0)),
            risk_scan: Some(TimeOfDay::of(4, 0)),
            retention: Some(TimeOfDay::of(4, 30)),
            audit: Some(TimeOfDay::of(5, 0)),
            expire_every_minutes: Some(5),
            recover_every_minutes: Some(1),
        }
    }
}

impl ScheduleSettings {
    /// `None`: the job is switched off.
    pub fn timing(&self, job: Job) -> Option<Timing> {
        match job {
            Job::Recover => self.recover_every_minutes.map(Timing::every),
            Job::Expire => self.expire_every_minutes.map(Timing::every),
            Job::TierReview => self.tier_review.map(Timing::Daily),
            Job::Recalculate => self.recalculate.map(Timing::Daily),
            Job::RiskScan => self.risk_scan.map(Timing::Daily),
            Job::Retention => self.retention.map(Timing::Daily),
            Job::Audit => self.audit.map(Timing::Daily),
        }
    }
}

/// Days after which data that is no longer needed is deleted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetentionSettings {
    /// Responses stored for repeated requests with the same `Idempotency-Key`. The key itself stays in use forever.
    pub idempotency_answer_days: u32,
    /// The players of a run over listed players, with their lines in the file.
    pub run_player_days: u32,
    /// Events that triggered a rule evaluation.
    pub trigger_days: u32,
    /// Runs of scheduled jobs.
    pub schedule_run_days: u32,
    /// Completed webhook deliveries.
    pub delivery_days: u32,
}

impl Default for RetentionSettings {
    fn default() -> Self {
        Self {
            idempotency_answer_days: 30,
            run_player_days: 90,
            trigger_days: 30,
            schedule_run_days: 30,
            delivery_days: 30,
        }
    }
}

/// The due times of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timing {
    /// Once a day in the program's time zone. If the clocks skip this time, at the instant they go forward; if the time
    /// occurs twice, at the first occurrence.
    Daily(TimeOfDay),
    /// At multiples of `minutes` since the Unix epoch.
    Every { minutes: u32 },
}

const MINUTE_S: i64 = 60;

impl Timing {
    fn every(minutes: u32) -> Self {
        Self::Every {
            minutes: minutes.max(1),
        }
    }

    /// The last due time at or before `now`. `None` only at the limits of the calendar.
    pub fn last_due(self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Daily(time) => around(now, zone)
                .filter_map(|day| instant(day, time, zone))
                .filter(|due| *due <= now)
                .max(),
            Self::Every { minutes } => multiple(now, minutes, 0),
        }
    }

    /// The first due time after `now`.
    pub fn next_due(self, now: Timestamp, zone: &TimeZone) -> Option<Timestamp> {
        match self {
            Self::Daily(time) => around(now, zone)
                .filter_map(|day| instant(day, time, zone))
                .filter(|due| *due > now)
                .min(),
            Self::Every { minutes } => multiple(now, minutes, 1),
        }
    }

    /// The number of due times after `after` and before `due`, which is itself a due time.
    pub fn between(self, after: Timestamp, due: Timestamp, zone: &TimeZone) -> u32 {
        let mut count = 0;
        match self {
            Self::Daily(_) => {
                let mut at = after;
                while let Some(next) = self.next_due(at, zone).filter(|next| *next < due) {
                    count += 1;
                    at = next;
                }
            }
            Self::Every { minutes } => {
                let step = MINUTE_S * i64::from(minutes);
                let steps = due.as_second().div_euclid(step) - after.as_second().div_euclid(step) - 1;
                count = u32::try_from(steps.max(0)).unwrap_or(u32::MAX);
            }
        }
        count
    }
}

/// The days whose due times can be adjacent to `now`: two before and two after today. Clocks that go back across
/// midnight show tomorrow's times before today is over, and a zone may skip a whole day.
fn around(now: Timestamp, zone: &TimeZone) -> impl Iterator<Item = Date> {
    let today = zone.to_datetime(now).date();
    let before = today.yesterday().ok();
    let after = today.tomorrow().ok();
    let days = [
        before.and_then(|day| day.yesterday().ok()),
        before,
        Some(today),
        after,
        after.and_then(|day| day.tomorrow().ok()),
    ];
    days.into_iter().flatten()
}

fn instant(day: Date, time: TimeOfDay, zone: &TimeZone) -> Option<Timestamp> {
    let ambiguous = zone.to_ambiguous_timestamp(day.to_datetime(time.time()));
    match ambiguous.offset() {
        // With the later offset, a skipped time is before the transition, so the next transition is the one wanted.
        AmbiguousOffset::Gap { after, .. } => {
            let before = after.to_timestamp(day.to_datetime(time.time())).ok()?;
            zone.following(before).next().map(|transition| transition.timestamp())
        }
        _ => ambiguous.earlier().ok(),
    }
}

fn multiple(now: Timestamp, minutes: u32, ahead: i64) -> Option<Timestamp> {
    let step = MINUTE_S * i64::from(minutes);
    Timestamp::from_second((now.as_second().div_euclid(step) + ahead) * step).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn daily(text: &str) -> Timing {
        Timing::Daily(TimeOfDay::try_from(text.to_owned()).unwrap())
    }

    /// Ticks every minute, collects the due times, and asserts that each stays the last due until the next one.
    fn seen(timing: Timing, zone: &TimeZone, from: &str, until: &str) -> Vec<String> {
        let (mut now, until) = (at(from), at(until));
        let mut seen: Vec<Timestamp> = Vec::new();
        while now < until {
            let last = timing.last_due(now, zone).unwrap();
            let next = timing.next_due(now, zone).unwrap();
            assert!(last <= now && now < next, "{last} {now} {next}");
            assert_eq!(
                timing.between(last, next, zone),
                0,
                "nothing is due between {last} and {next}"
            );
            if seen.last() != Some(&last) {
                seen.push(last);
            }
            now = now.checked_add(jiff::SignedDuration::from_mins(1)).unwrap();
        }
        seen.into_iter().skip(1).map(|due| due.to_string()).collect()
    }

    #[test]
    fn a_time_that_the_clocks_skip_is_due_when_they_are_put_forward() {
        let berlin = zone("Europe/Berlin");
        // 29 March 2026: clocks go from 02:00 to 03:00 at 01:00 UTC.
        let nights = |time| seen(daily(time), &berlin, "2026-03-27T12:00:00Z", "2026-03-30T12:00:00Z");
        assert_eq!(
            nights("02:30"),
            ["2026-03-28T01:30:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            nights("02:00"),
            ["2026-03-28T01:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"]
        );
        assert_eq!(
            nights("03:00"),
            ["2026-03-28T02:00:00Z", "2026-03-29T01:00:00Z", "2026-03-30T01:00:00Z"]
        );
        assert_eq!(
            nights("04:30"),
            ["2026-03-28T03:30:00Z", "2026-03-29T02:30:00Z", "2026-03-30T02:30:00Z"]
        );
    }

    #[test]
    fn a_time_that_a_day_has_twice_is_due_the_first_time_only() {
        let berlin = zone("Europe/Berlin");
        // 25 October 2026: 02:30 occurs at 00:30 UTC and again at 01:30 UTC.
        let nights = |time| seen(daily(time), &berlin, "2026-10-23T12:00:00Z", "2026-10-26T12:00:00Z");
        assert_eq!(
            nights("02:30"),
            ["2026-10-24T00:30:00Z", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
        assert_eq!(
            nights("03:00"),
            ["2026-10-24T01:00:00Z", "2026-10-25T02:00:00Z", "2026-10-26T02:00:00Z"]
        );
    }

    #[test]
    fn every_default_schedule_is_due_once_on_each_of_the_days_on_which_clocks_change() {
        let settings = ScheduleSettings::default();
        for (name, from, until) in [
            ("Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"),
            ("Europe/Berlin", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"),
            ("America/Santiago", "2026-09-05T15:00:00Z", "2026-09-06T15:00:00Z"),
            ("America/Santiago", "2026-04-04T15:00:00Z", "2026-04-05T15:00:00Z"),
            ("Asia/Beirut", "2026-03-28T12:00:00Z", "2026-03-29T12:00:00Z"),
            ("Asia/Beirut", "2026-10-24T12:00:00Z", "2026-10-25T12:00:00Z"),
        ] {
            let zone = zone(name);
            let due: Vec<(Job, usize)> = Job::ALL
                .into_iter()
                .map(|job| (job, seen(settings.timing(job).unwrap(), &zone, from, until).len()))
                .collect();
            let expected = [1_439, 287, 1, 1, 1, 1, 1];
            assert_eq!(
                due,
                Job::ALL.into_iter().zip(expected).collect::<Vec<_>>(),
                "{name} {from}"
            );
        }
    }

    #[test]
    fn midnight_itself_may_be_skipped_or_come_twice() {
        // Chile's clocks go from 24:00 to 01:00 on 6 September 2026 at 04:00 UTC, and from 24:00 to 23:00 on 4 April.
        let santiago = zone("America/Santiago");
        let forward = |time| seen(daily(time), &santiago, "2026-09-05T12:00:00Z", "2026-09-07T12:00:00Z");
        assert_eq!(forward("00:00"), ["2026-09-06T04:00:00Z", "2026-09-07T03:00:00Z"]);
        assert_eq!(forward("00:30"), ["2026-09-06T04:00:00Z", "2026-09-07T03:30:00Z"]);
        let back = |time| seen(daily(time), &santiago, "2026-04-04T12:00:00Z", "2026-04-06T12:00:00Z");
        assert_eq!(back("23:30"), ["2026-04-05T02:30:00Z", "2026-04-06T03:30:00Z"]);
        assert_eq!(back("00:00"), ["2026-04-05T04:00:00Z", "2026-04-06T04:00:00Z"]);
        // Newfoundland's clocks went back at 00:01: the new day had begun, then it was the day before again.
        let newfoundland = zone("America/St_Johns");
        let back = seen(
            daily("00:00"),
            &newfoundland,
            "2010-11-06T12:00:00Z",
            "2010-11-08T12:00:00Z",
        );
        assert_eq!(back, ["2010-11-07T02:30:00Z", "2010-11-08T03:30:00Z"]);
    }

    #[test]
    fn a_day_that_a_zone_skips_is_over_when_the_next_begins() {
        // Samoa skipped 30 December 2011.
        let apia = zone("Pacific/Apia");
        let nights = seen(daily("00:00"), &apia, "2011-12-29T12:00:00Z", "2012-01-01T12:00:00Z");
        assert_eq!(
            nights,
            ["2011-12-30T10:00:00Z", "2011-12-31T10:00:00Z", "2012-01-01T10:00:00Z"]
        );
    }

    #[test]
    fn intervals_do_not_see_the_clocks_change() {
        let timing = Timing::every(15);
        let due = seen(
            timing,
            &zone("Europe/Berlin"),
            "2026-03-29T00:40:00Z",
            "2026-03-29T01:20:00Z",
        );
        assert_eq!(
            due,
            ["2026-03-29T00:45:00Z", "2026-03-29T01:00:00Z", "2026-03-29T01:15:00Z"]
        );
        assert_eq!(
            timing.last_due(at("2026-03-29T01:00:00Z"), &TimeZone::UTC),
            Some(at("2026-03-29T01:00:00Z"))
        );
    }

    #[test]
    fn what_was_missed_is_counted_without_the_last() {
        let berlin = zone("Europe/Berlin");
        let (seen, now) = (at("2026-03-26T12:00:00Z"), at("2026-03-30T12:00:00Z"));
        let missed = |timing: Timing| timing.between(seen, timing.last_due(now, &berlin).unwrap(), &berlin);
        assert_eq!(missed(daily("02:30")), 3);
        assert_eq!(missed(Timing::every(5)), 4 * 288 - 1);
        assert_eq!(
            daily("02:30").between(at("2026-03-29T02:00:00Z"), at("2026-03-30T00:30:00Z"), &berlin),
            0
        );
    }

    #[test]
    fn a_time_of_day_is_read_strictly() {
        for text in ["03:00", "00:00", "23:59"] {
            assert_eq!(TimeOfDay::try_from(text.to_owned()).unwrap().to_string(), text);
        }
        for text in [
            "24:00",
            "3:00",
            "03:60",
            "03:00:00",
            "0300",
            "+3:00",
            "-1:00",
            "٠٣:٠٠",
            "",
        ] {
            assert_eq!(
                TimeOfDay::try_from(text.to_owned()),
                Err(NotATimeOfDay(text.to_owned()))
            );
        }
    }
}
