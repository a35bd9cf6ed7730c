//! Lines that were written while nobody read: when that was, and how far they go.

use std::path::Path;
use std::time::Duration;

use tracing::info;

use crate::detect::scanner::Clock;
use crate::detect::timestamp::TimestampParser;
use crate::model::clock_step::ClockStep;
use crate::model::event::Event;
use crate::model::time::Time;

/// How often it is said how far reading has come.
const PACE: Duration = Duration::from_secs(5);

/// What is being caught up with in a file. A line's own time counts here, within what it can be: not
/// before all that stands before the line had been read, if that is known, and not after the
/// present. A line without a time has that of the line before it, or else the earliest that it can
/// have; where that is not known, it does not count.
#[derive(Debug)]
pub struct OldLines {
    /// Before the line was written, by the clock of the guard.
    earliest: Time,
    parser: TimestampParser,
    last: Option<Time>,
    bytes: u64,
    hits: u64,
    begun: Time,
    said: Time,
}

impl OldLines {
    /// Lines that were written between `earliest` and `now`.
    #[must_use]
    pub fn new(earliest: Time, now: Time) -> Self {
        let zone = jiff::tz::TimeZone::system();
        let parser = TimestampParser::new(zone, now);
        Self { earliest, parser, last: None, bytes: 0, hits: 0, begun: now, said: now }
    }

    /// Before these lines were written, as far as it is known.
    #[must_use]
    pub fn earliest(&self) -> Time {
        self.earliest
    }

    /// Takes note that the file is not the one that was read before: its lines may be of any time.
    pub fn forget_earliest(&mut self) {
        self.earliest = Time::default();
    }

    /// Corrects when everything was. The dates in the lines stay what they are: within what they can be,
    /// they count.
    pub fn correct(&mut self, step: ClockStep) {
        let unknown = self.earliest == Time::default();
        step.correct_all([&mut self.begun, &mut self.said]);
        step.correct_all((!unknown).then_some(&mut self.earliest));
    }

    /// The clock that lines are dated by.
    pub fn clock(&mut self) -> Clock<'_> {
        Clock::Lines(&mut self.parser, &mut self.last)
    }

    /// An event that was dated by this clock, with the time that it can have.
    pub fn dated(&mut self, event: Event, now: Time) -> Event {
        self.hits += 1;
        // The clock on the wall may have been set back since.
        Event { time: event.time.max(self.earliest).min(now), ..event }
    }

    /// Takes note of what was read, and says now and then how far that is.
    pub fn note(&mut self, path: &Path, bytes: u64, now: Time) {
        self.bytes += bytes;
        if now.since(self.said) >= PACE {
            self.said = now;
            info!("{}: {} bytes of old lines read so far", path.display(), self.bytes);
        }
    }

    /// Says what there was.
    pub fn end(&self, path: &Path, now: Time) {
        if self.bytes > 0 {
            info!(
                "{}: read {} bytes that were written while the guard was not running, with {} hits, in {} ms",
                path.display(),
                self.bytes,
                self.hits,
                now.since(self.begun).as_millis()
            );
        }
    }
}
