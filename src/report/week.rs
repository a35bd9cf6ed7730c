//! Two weeks by the hour: weekday by hour of the day, this week beside the one before.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use super::{Span, WEEK};
use crate::decide::engine::HourCount;
use crate::decide::hour_counts::{begin_of, hour_of};
use crate::model::time::Time;

/// The least number of each step; the step of a number is how many of these it reaches.
pub const STEPS: [u64; 9] = [1, 3, 10, 30, 100, 300, 1000, 3000, 10_000];

/// Returns the step of a number: 0 to 9.
#[must_use]
pub fn step(number: u64) -> usize {
    STEPS.iter().filter(|least| number >= **least).count()
}

/// The numbers of an hour.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct HourNumbers {
    /// When it began, in seconds since the epoch.
    pub time: i64,
    /// Lines and exchanges that counted against a host.
    pub attempts: u64,
    /// Bans.
    pub bans: u64,
}

/// Returns the numbers of the last two weeks, the oldest hour first.
pub fn hours(span: Span, counts: &[HourCount]) -> Vec<HourNumbers> {
    let last = hour_of(span.now);
    let first = last + 1 - 2 * WEEK;
    let mut hours: Vec<_> = (first..=last)
        .map(|hour| HourNumbers { time: begin_of(hour).secs(), ..HourNumbers::default() })
        .collect();
    for HourCount { hour, tally, .. } in counts {
        let place = usize::try_from(hour - first).ok();
        if let Some(numbers) = place.and_then(|place| hours.get_mut(place)) {
            numbers.attempts += tally.attempts;
            numbers.bans += tally.bans;
        }
    }
    hours
}

/// A day of the week in both weeks: of each hour of the day, the numbers, if there was such an hour.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Day {
    /// `Mon`
    pub name: String,
    /// This week, and the one before.
    pub weeks: [[Option<HourNumbers>; 24]; 2],
}

/// Two weeks. The last day is today: its hours that are yet to come are those of seven days ago.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Week {
    /// The days, today last.
    pub days: Vec<Day>,
}

impl Week {
    /// Returns the last two weeks of hours, in the time of `zone`.
    #[must_use]
    pub fn new(hours: &[HourNumbers], zone: &TimeZone) -> Self {
        let week = usize::try_from(WEEK).unwrap_or(0);
        let local = |time: i64| {
            let stamp = Timestamp::from_second(time).unwrap_or_default();
            stamp.to_zoned(zone.clone())
        };
        let today = hours.last().map_or(0, |last| {
            usize::try_from(local(last.time).weekday().to_monday_zero_offset()).unwrap_or(0)
        });
        let mut days: Vec<_> = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"]
            .map(|name| Day { name: name.to_owned(), ..Day::default() })
            .into();
        let begin_of_week = hours.len().saturating_sub(week);
        for (place, numbers) in hours.iter().enumerate() {
            let at = local(numbers.time);
            let weekday = usize::try_from(at.weekday().to_monday_zero_offset()).unwrap_or(0);
            let which = usize::from(place < begin_of_week);
            let hour = usize::try_from(at.hour()).unwrap_or(0);
            let cell =
                days.get_mut(weekday).and_then(|day| day.weeks.get_mut(which)?.get_mut(hour));
            if let Some(cell) = cell {
                // Where the clocks are set back, two hours have one name.
                let both = cell
                    .get_or_insert(HourNumbers { time: numbers.time, ..HourNumbers::default() });
                both.attempts += numbers.attempts;
                both.bans += numbers.bans;
            }
        }
        days.rotate_left((today + 1) % 7);
        Self { days }
    }

    /// Returns the hour of this week with the most of something.
    #[must_use]
    pub fn busiest(&self, number: impl Fn(&HourNumbers) -> u64) -> Option<HourNumbers> {
        let hours = self.days.iter().filter_map(|day| day.weeks.first()).flatten().flatten();
        hours.copied().max_by_key(&number).filter(|hour| number(hour) > 0)
    }
}

/// Returns when an hour began, in words.
#[must_use]
pub fn begun(hour: &HourNumbers) -> Time {
    Time::from_secs(hour.time)
}
