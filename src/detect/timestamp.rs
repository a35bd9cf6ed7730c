//! The time that a log line says it was written at, in whichever of the usual formats it says so.

mod cursor;
mod dateformat;

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use crate::model::time::Time;
use cursor::{Clock, Cursor, Day, ORDERS, Stamp};

pub use dateformat::DateFormat;

/// Bytes of the longest text that is looked at; the longest format has less than 40.
const LONGEST: usize = 64;

/// Whether a text is a date with a time of day, in one of the formats that [`TimestampParser`] recognises.
#[must_use]
pub fn is_date(text: &[u8]) -> bool {
    text.len() <= LONGEST && matches!(Cursor(text.trim_ascii()).stamp(), Some(Stamp::Clock(_)))
}

/// Reads the text between the brackets of an Asterisk log line, or the time in a syslog header.
/// Nothing has to be configured: each text is recognised by itself, unless it is written as a
/// [`DateFormat`] says that is known.
///
/// | format | example |
/// |---|---|
/// | Asterisk's default, traditional syslog | `Nov 22 00:55:30`, `Nov  2 00:55:30`, `Nov 2 00:55:30` |
/// | ISO 8601, RFC 3339 | `2026-11-22 01:01:03`, `2026-11-22T01:01:13.492+0000`, `…+01:00`, `…Z` |
/// | ISO with the date in brackets | `[2026-11-22] 01:01:57` |
/// | the same with other separators, or none | `2026/11/22 01:01:03`, `20261122 010103`, `2026-11-22_01:01` |
/// | numbers with slashes or hyphens | `11/22/2026 01:01:28 AM`, `22/11/2026 01:01:28`, `22-11-26 01:01:28` |
/// | German | `22.11.2026 01:01:33` |
/// | with the month's name | `22 Nov 2026 01:01:52`, `22/Nov/2026:01:01:52`, `Nov 22 2026 01:01:52` |
/// | the time first | `01:01:52 22.11.2026` |
/// | `ctime` (`%c`) | `Sun Nov 22 01:01:47 2026` |
/// | RFC 2822 | `Sun, 22 Nov 2026 01:01:52 +0000` |
/// | since 1970: seconds (`%s`), also milli-, micro- and nanoseconds | `1795309297`, `1795309302.748`, `1795309302748123` |
///
/// Where day and month could be either, the order that has shown in a date before counts: a number over 12, or a
/// date that would not have come yet. Until one has, such a date is none: nothing is guessed.
///
/// Every clock time may have up to nine decimals after a point or comma (milliseconds are kept),
/// `AM` or `PM`, and a zone: an offset, `Z`, `UTC` or `GMT`. Other names of zones (`%Z`) are the
/// host's own and change nothing.
///
/// A run of equal texts costs one comparison of bytes; times of the same second, one conversion from
/// local time. Memory is fixed, nothing is allocated.
#[derive(Clone, Debug)]
pub struct TimestampParser {
    zone: TimeZone,
    /// Dates without a year are not later than this.
    latest: DateTime,
    format: Option<DateFormat>,
    /// The order of numbers that has shown: an index into what [`Day::Several`] holds.
    order: Option<usize>,
    text: [u8; LONGEST],
    length: usize,
    answer: Option<Time>,
    converted: Option<(DateTime, Time)>,
}

impl TimestampParser {
    /// A parser of logs that were written in `zone`. A date without a year is taken as the last such
    /// date up to one day after `reference`: the present for a live log, else the time when the file
    /// was last written. Local times that a change of clocks skips or repeats are taken as the
    /// zone's rules before that change say (RFC 5545).
    #[must_use]
    pub fn new(zone: TimeZone, reference: Time) -> Self {
        let tomorrow = reference.millis().saturating_add(86_400_000);
        let latest = match jiff::Timestamp::from_millisecond(tomorrow) {
            Ok(instant) => zone.to_datetime(instant),
            Err(_) if tomorrow < 0 => DateTime::MIN,
            Err(_) => DateTime::MAX,
        };
        Self {
            zone,
            latest,
            format: None,
            order: None,
            text: [0; LONGEST],
            length: 0,
            answer: None,
            converted: None,
        }
    }

    /// Reads dates in this format first. Those that are not in it, from before it was set, are recognised by
    /// themselves.
    #[must_use]
    pub fn with_format(self, format: Option<DateFormat>) -> Self {
        Self { format, ..self }
    }

    /// The instant that `text` names, or `None` if it names none.
    pub fn parse(&mut self, text: &[u8]) -> Option<Time> {
        if self.text.get(..self.length) == Some(text) {
            return self.answer;
        }
        let copy = self.text.get_mut(..text.len())?;
        copy.copy_from_slice(text);
        self.length = text.len();
        let text = text.trim_ascii();
        let known = self.format.as_ref().and_then(|format| format.read(text));
        self.answer = match known.or_else(|| Cursor(text).stamp()) {
            Some(Stamp::Epoch(time)) => Some(time),
            Some(Stamp::Clock(clock)) => self.instant(&clock),
            None => None,
        };
        self.answer
    }

    fn instant(&mut self, clock: &Clock) -> Option<Time> {
        let local = match clock.day {
            Day::One(date) => self.local(clock, date)?,
            Day::Several(dates) => self.only_one(dates.map(|date| self.local(clock, date?)))?,
        };
        let start = match (clock.offset, self.converted) {
            (Some(offset), _) => {
                Time::from_secs(Offset::UTC.to_timestamp(local).ok()?.as_second() - offset)
            }
            (None, Some((same, start))) if same == local => start,
            (None, _) => {
                let start = Time::from_secs(self.zone.to_timestamp(local).ok()?.as_second());
                self.converted = Some((local, start));
                start
            }
        };
        Some(Time::from_millis(start.millis() + clock.millis))
    }

    /// Returns this time on a date; the last such date, if it has no year.
    fn local(&self, clock: &Clock, date: cursor::Date) -> Option<DateTime> {
        let at = |year| {
            Some(day_of(year, date.month, date.day)?.at(clock.hour, clock.minute, clock.second, 0))
        };
        match date.year {
            Some(year) => at(year),
            // Nine years hold a 29th of February, whatever the century.
            None => {
                (0..9).filter_map(|ago| at(self.latest.year() - ago)).find(|at| *at <= self.latest)
            }
        }
    }

    /// Returns the date by the order that has shown, or the only one of these dates that can be.
    fn only_one(&mut self, dates: [Option<DateTime>; ORDERS]) -> Option<DateTime> {
        let latest = self.latest;
        let possible = dates.map(|date| date.filter(|date| *date <= latest));
        if let Some(date) = self.order.and_then(|order| *possible.get(order)?) {
            return Some(date);
        }
        if let Some((order, date)) = single(dates).or_else(|| single(possible)) {
            self.order.get_or_insert(order);
            return Some(date);
        }
        // `11/11/2026` is the same day by either order.
        let mut there = possible.into_iter().flatten();
        let first = there.next()?;
        there.all(|other| other == first).then_some(first)
    }
}

/// Returns the only value there is, and its place.
fn single(dates: [Option<DateTime>; ORDERS]) -> Option<(usize, DateTime)> {
    let mut there = dates.iter().enumerate().filter_map(|(at, date)| Some((at, (*date)?)));
    let first = there.next()?;
    there.next().is_none().then_some(first)
}

/// A day that exists and is not at the end of time. (Asked for in this way because a refusal by jiff
/// may allocate.)
fn day_of(year: i16, month: i8, day: i8) -> Option<Date> {
    if !(1..=12).contains(&month) || year > 9998 {
        return None;
    }
    let first = Date::new(year, month, 1).ok()?;
    if (1..=first.days_in_month()).contains(&day) { Date::new(year, month, day).ok() } else { None }
}

#[cfg(test)]
mod tests;
