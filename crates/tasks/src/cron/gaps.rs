//! The shortest and the longest time between two matches, over a whole cycle of the calendar.

use std::time::Duration;

use chrono::NaiveDate;

use super::{CYCLE_DAYS, Cron};

const DAY_SECONDS: u32 = 24 * 3600;
/// Where the cycle begins does not matter.
const FIRST_YEAR: i32 = 2000;

/// Times between two matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Gaps {
    pub(crate) shortest: Duration,
    pub(crate) longest: Duration,
}

// === impl Gaps ===

impl Gaps {
    /// `None` if nothing matches.
    pub(super) fn of(cron: &Cron) -> Option<Self> {
        let times: Vec<_> = seconds_of_day(cron).collect();
        let (first, last) = (*times.first()?, *times.last()?);
        let between = |pair: &[u32]| u64::from(pair[1] - pair[0]);
        let within_a_day = times.windows(2).map(between);
        let overnight = distances(cron).map(|days| {
            u64::from(days) * u64::from(DAY_SECONDS) + u64::from(first) - u64::from(last)
        });
        // A day that matches has a distance to the next one, which may be itself, a cycle later.
        let overnight = (overnight.clone().min()?, overnight.max()?);
        let shortest = within_a_day.clone().min().unwrap_or(overnight.0);
        let longest = within_a_day.max().unwrap_or(overnight.1);
        Some(Self {
            shortest: Duration::from_secs(shortest.min(overnight.0)),
            longest: Duration::from_secs(longest.max(overnight.1)),
        })
    }
}

/// In ascending order.
fn seconds_of_day(cron: &Cron) -> impl Iterator<Item = u32> {
    let (minutes, seconds) = (cron.minutes, cron.seconds);
    cron.hours.iter().flat_map(move |hour| {
        let minutes = minutes.iter().map(move |minute| hour * 3600 + minute * 60);
        minutes.flat_map(move |at| seconds.iter().map(move |second| at + second))
    })
}

/// The days from each matching day of a cycle to the next one.
fn distances(cron: &Cron) -> impl Iterator<Item = u32> + Clone {
    let first = NaiveDate::from_ymd_opt(FIRST_YEAR, 1, 1).unwrap_or_default();
    let dates = (0..CYCLE_DAYS).zip(first.iter_days());
    let days: Vec<_> = dates
        .filter(|(_, date)| cron.matches(*date))
        .map(|(day, _)| day)
        .collect();
    let again = days.first().map(|day| day + CYCLE_DAYS);
    let next: Vec<_> = days.iter().copied().skip(1).chain(again).collect();
    let distances: Vec<_> = days
        .into_iter()
        .zip(next)
        .map(|(day, next)| next - day)
        .collect();
    distances.into_iter()
}
