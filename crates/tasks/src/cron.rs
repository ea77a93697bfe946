//! A cron expression with Quartz's meaning: six fields, and the times that they match, in UTC.

mod days;
mod field;
mod gaps;
mod set;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Days as Length, NaiveDate, NaiveTime, Timelike, Utc};

use self::days::Days;
use self::field::{HOUR, MINUTE, MONTH, SECOND};
pub(crate) use self::gaps::Gaps;
use self::set::Set;
use crate::schedule::ScheduleError;

/// The Gregorian calendar repeats after 400 years, with the same weekdays.
const CYCLE_DAYS: u32 = 146_097;

/// The times that an expression matches: each second of its sets, on each of its days.
#[derive(Clone, Debug)]
pub(crate) struct Cron {
    seconds: Set,
    minutes: Set,
    hours: Set,
    days: Days,
    months: Set,
}

// === impl Cron ===

impl Cron {
    /// Parses six fields, separated by white space. Names may be in any case.
    pub(crate) fn parse(expression: &str) -> Result<Self, ScheduleError> {
        let upper = expression.to_ascii_uppercase();
        let fields: Vec<_> = upper.split_ascii_whitespace().collect();
        let [second, minute, hour, day, month, weekday] = fields[..] else {
            return Err(ScheduleError::wrong_fields(expression));
        };
        Ok(Self {
            seconds: SECOND.parse(second)?,
            minutes: MINUTE.parse(minute)?,
            hours: HOUR.parse(hour)?,
            days: Days::parse(day, weekday)?,
            months: MONTH.parse(month)?,
        })
    }

    /// The same times in croner's notation, which counts weekdays from Sunday, 0.
    pub(crate) fn to_croner(&self) -> String {
        let (day, weekday) = self.days.to_croner();
        let Self {
            seconds,
            minutes,
            hours,
            months,
            ..
        } = self;
        format!("{seconds} {minutes} {hours} {day} {months} {weekday}")
    }

    /// The shortest and the longest time between two matches; `None` if nothing matches.
    pub(crate) fn gaps(&self) -> Option<Gaps> {
        Gaps::of(self)
    }

    /// The first match after `time`.
    pub(crate) fn after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let from = time.with_nanosecond(0)?.naive_utc() + chrono::TimeDelta::seconds(1);
        let days =
            (0..=CYCLE_DAYS).map_while(|n| from.date().checked_add_days(Length::new(n.into())));
        let mut earliest = from.time();
        for date in days {
            if self.matches(date)
                && let Some(time) = self.time_from(earliest)
            {
                return Some(date.and_time(time).and_utc());
            }
            earliest = NaiveTime::MIN;
        }
        None
    }

    /// The last match at or before `time`.
    pub(crate) fn until(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let until = time.naive_utc();
        let days =
            (0..=CYCLE_DAYS).map_while(|n| until.date().checked_sub_days(Length::new(n.into())));
        let mut latest = until.time();
        for date in days {
            if self.matches(date)
                && let Some(time) = self.time_until(latest)
            {
                return Some(date.and_time(time).and_utc());
            }
            latest = LAST_SECOND;
        }
        None
    }

    fn matches(&self, date: NaiveDate) -> bool {
        use chrono::Datelike;
        self.months.has(date.month()) && self.days.match_date(date)
    }

    /// The first time of a day from `time` on.
    fn time_from(&self, time: NaiveTime) -> Option<NaiveTime> {
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        if self.hours.has(hour) {
            let now = self.minutes.has(minute).then(|| self.seconds.from(second));
            if let Some(second) = now.flatten() {
                return NaiveTime::from_hms_opt(hour, minute, second);
            }
            if let Some(minute) = self.minutes.from(minute + 1) {
                return NaiveTime::from_hms_opt(hour, minute, self.seconds.from(0)?);
            }
        }
        let hour = self.hours.from(hour + 1)?;
        NaiveTime::from_hms_opt(hour, self.minutes.from(0)?, self.seconds.from(0)?)
    }

    /// The last time of a day until `time`.
    fn time_until(&self, time: NaiveTime) -> Option<NaiveTime> {
        let (hour, minute, second) = (time.hour(), time.minute(), time.second());
        if self.hours.has(hour) {
            let now = self.minutes.has(minute).then(|| self.seconds.until(second));
            if let Some(second) = now.flatten() {
                return NaiveTime::from_hms_opt(hour, minute, second);
            }
            let earlier = minute.checked_sub(1);
            if let Some(minute) = earlier.and_then(|minute| self.minutes.until(minute)) {
                return NaiveTime::from_hms_opt(hour, minute, self.seconds.until(59)?);
            }
        }
        let hour = self.hours.until(hour.checked_sub(1)?)?;
        NaiveTime::from_hms_opt(hour, self.minutes.until(59)?, self.seconds.until(59)?)
    }
}

const LAST_SECOND: NaiveTime = match NaiveTime::from_hms_opt(23, 59, 59) {
    Some(time) => time,
    None => NaiveTime::MIN,
};
