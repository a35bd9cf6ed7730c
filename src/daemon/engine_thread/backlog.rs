//! Lines that were written while nobody read: when that was, and how far they go.

use std::time::Duration;

use jiff::tz::TimeZone;
use tracing::info;

use crate::detect::scanner::Clock;
use crate::detect::timestamp::{DateFormat, TimestampParser};
use crate::input::SourceKey;
use crate::model::clock_step::ClockStep;
use crate::model::event::Event;
use crate::model::time::Time;

/// The time between two messages about how far reading has come.
const PACE: Duration = Duration::from_secs(5);

/// The lines that are being caught up with in a file. A line's own time counts here, within what it
/// can be: not before all that stands before the line had been read, if that is known, and not
/// after the present. A line without a time has that of the line before it, or else the earliest
/// that it can have; where that is not known, it does not count.
#[derive(Debug)]
pub struct OldLines {
    /// A time before the line was written, by the clock of the guard.
    earliest: Time,
    parser: TimestampParser,
    last: Option<Time>,
    bytes: u64,
    hits: u64,
    begun: Time,
    said: Time,
}

impl OldLines {
    /// Returns the lines that were written between `earliest` and `now`, with dates in this zone and in this format where
    /// it is known.
    #[must_use]
    pub fn new(earliest: Time, now: Time, zone: TimeZone, format: Option<DateFormat>) -> Self {
        let parser = TimestampParser::new(zone, now).with_format(format);
        Self { earliest, parser, last: None, bytes: 0, hits: 0, begun: now, said: now }
    }

    /// Returns a time before these lines were written, as far as it is known.
    #[must_use]
    pub fn earliest(&self) -> Time {
        self.earliest
    }

    /// Records that the file is not the one that was read before: its lines may be of any time.
    pub fn forget_earliest(&mut self) {
        self.earliest = Time::default();
    }

    /// Corrects the time of everything. The dates in the lines stay what they are: within what they can be,
    /// they count.
    pub fn correct(&mut self, step: ClockStep) {
        let unknown = self.earliest == Time::default();
        step.correct_all([&mut self.begun, &mut self.said]);
        step.correct_all((!unknown).then_some(&mut self.earliest));
    }

    /// Returns the clock that lines are dated by.
    pub fn clock(&mut self) -> Clock<'_> {
        Clock::Lines(&mut self.parser, &mut self.last)
    }

    /// Returns an event that was dated by this clock, with the time that it can have.
    pub fn dated(&mut self, event: Event, now: Time) -> Event {
        self.hits += 1;
        // The clock on the wall may have been set back since.
        Event { time: event.time.max(self.earliest).min(now), ..event }
    }

    /// Records what was read, and says now and then how far that is.
    pub fn note(&mut self, source: &SourceKey, bytes: u64, now: Time) {
        self.bytes += bytes;
        if self.is_news(bytes, now) {
            info!("{source}: {} bytes of old lines read so far", self.bytes);
        }
    }

    /// Whether it is time to say how far reading has come: of a log that does not grow, or that is not there, it
    /// has been said.
    fn is_news(&mut self, bytes: u64, now: Time) -> bool {
        let is_news = bytes > 0 && now.since(self.said) >= PACE;
        if is_news {
            self.said = now;
        }
        is_news
    }

    /// Says what there was.
    pub fn end(&self, source: &SourceKey, now: Time) {
        if self.bytes > 0 {
            info!(
                "{source}: read {} bytes that were written while the guard was not running, with {} hits, in {} ms",
                self.bytes,
                self.hits,
                now.since(self.begun).as_millis()
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_without_lines_says_nothing() {
        let at = Time::from_secs;
        let mut lines = OldLines::new(at(0), at(100), TimeZone::UTC, None);
        assert!((100..1000).all(|second| !lines.is_news(0, at(second))));
        let said = (1000..1060).filter(|second| lines.is_news(1, at(*second))).count();
        assert_eq!(said, 12);
    }
}
