//! The days of an expression: by their number in the month, or by weekday.

use chrono::{Datelike, Days as Length, NaiveDate, Weekday};

use super::field::{DAY, WEEKDAY};
use super::set::Set;
use crate::schedule::ScheduleError;

/// Every month has this day, so the weekday nearest to it is in that month.
const LAST_COMMON_DAY: u32 = 28;

/// Weekdays are numbered from Sunday, 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Days {
    All,
    OfMonth(Set),
    LastOfMonth,
    /// From Monday to Friday, the nearest to this day in the same month.
    NearestWeekday(u32),
    OfWeek(Set),
    LastOfWeek(u32),
    NthOfWeek(u32, u32),
}

// === impl Days ===

impl Days {
    /// One of the two has to be `*` or `?`, which mean the same. Cron programs disagree on what both
    /// together match: either (Unix), both (croner), or nothing that is defined (Quartz).
    pub(super) fn parse(day: &str, weekday: &str) -> Result<Self, ScheduleError> {
        let is_free = |field| matches!(field, "*" | "?");
        match (is_free(day), is_free(weekday)) {
            (true, true) if day == "?" && weekday == "?" => Err(WEEKDAY.refuse(
                weekday,
                "expected '?' as the day or the weekday, not as both",
            )),
            (true, true) => Ok(Self::All),
            (false, true) => Self::of_month(day),
            (true, false) => Self::of_week(weekday),
            (false, false) => Err(WEEKDAY.refuse(
                weekday,
                format!(
                    "expected ? as the weekday or in place of the day '{day}', or such as MON#1"
                ),
            )),
        }
    }

    fn of_month(text: &str) -> Result<Self, ScheduleError> {
        if text == "L" {
            return Ok(Self::LastOfMonth);
        }
        let Some(day) = text.strip_suffix('W') else {
            return DAY.parse(text).map(Self::OfMonth);
        };
        let nearest = DAY.value(day, text).ok();
        nearest
            .filter(|day| *day <= LAST_COMMON_DAY)
            .map(Self::NearestWeekday)
            .ok_or_else(|| DAY.refuse(text, "expected W after one day from 1 to 28"))
    }

    fn of_week(text: &str) -> Result<Self, ScheduleError> {
        if let Some((name, nth)) = text.split_once('#') {
            let weekday = WEEKDAY.value(name, text)?;
            return match nth {
                "1" | "2" | "3" | "4" | "5" => Ok(Self::NthOfWeek(
                    weekday,
                    u32::from(nth.as_bytes()[0] - b'0'),
                )),
                _ => Err(WEEKDAY.refuse(text, "expected '#' between one name and 1 to 5")),
            };
        }
        match text.strip_suffix('L') {
            Some(name) => WEEKDAY.value(name, text).map(Self::LastOfWeek),
            None => WEEKDAY.parse(text).map(Self::OfWeek),
        }
    }

    pub(super) fn match_date(self, date: NaiveDate) -> bool {
        let weekday = date.weekday().num_days_from_sunday();
        let is_last_week = || date.day() + 7 > last_day(date);
        match self {
            Self::All => true,
            Self::OfMonth(days) => days.has(date.day()),
            Self::LastOfMonth => date.day() == last_day(date),
            Self::NearestWeekday(day) => Some(date) == nearest_weekday(date, day),
            Self::OfWeek(weekdays) => weekdays.has(weekday),
            Self::LastOfWeek(last) => weekday == last && is_last_week(),
            Self::NthOfWeek(nth_of, nth) => weekday == nth_of && (date.day() - 1) / 7 + 1 == nth,
        }
    }

    /// The fields for day and weekday in croner's notation.
    pub(super) fn to_croner(self) -> (String, String) {
        let any = || "*".to_owned();
        match self {
            Self::All => (any(), any()),
            Self::OfMonth(days) => (days.to_string(), any()),
            Self::LastOfMonth => ("L".to_owned(), any()),
            Self::NearestWeekday(day) => (format!("{day}W"), any()),
            Self::OfWeek(weekdays) => (any(), weekdays.to_string()),
            Self::LastOfWeek(weekday) => (any(), format!("{weekday}L")),
            Self::NthOfWeek(weekday, nth) => (any(), format!("{weekday}#{nth}")),
        }
    }
}

fn last_day(date: NaiveDate) -> u32 {
    u32::from(date.num_days_in_month())
}

/// The weekday nearest to `day` in the month of `date`.
fn nearest_weekday(date: NaiveDate, day: u32) -> Option<NaiveDate> {
    let date = date.with_day(day)?;
    match date.weekday() {
        Weekday::Sat if day == 1 => date.checked_add_days(Length::new(2)),
        Weekday::Sat => date.pred_opt(),
        Weekday::Sun if day == last_day(date) => date.checked_sub_days(Length::new(2)),
        Weekday::Sun => date.succ_opt(),
        _ => Some(date),
    }
}
