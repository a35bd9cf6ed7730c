//! A log file at rest, and the events that its lines are.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;

use super::super::log_file::{self, looks_like_asterisks};
use crate::decide::plan::Plan;
use crate::detect::prefix::Tags;
use crate::detect::scanner::{Clock, Scanner};
use crate::detect::timestamp::TimestampParser;
use crate::input::line_splitter::{LineSplitter, Region};
use crate::model::event::Event;
use crate::model::time::Time;

/// The kind of a file, as far as it was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// No line looks like Asterisk's, or like one that a rule is for.
    Unrecognized,
    /// A log.
    Log,
}

/// Whether the lines of a file have times, as far as it was read: whether the first one that matters has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dating {
    /// No line matters so far.
    Unknown,
    /// They have.
    Dated,
    /// They have none that can be read.
    Undated,
}

/// A log file at rest and the events that it still holds. Reads a piece at a time.
pub struct Log {
    pub path: PathBuf,
    reader: Box<dyn Read>,
    splitter: LineSplitter,
    pub scanner: Scanner,
    parser: TimestampParser,
    tags: Tags,
    /// The time when the file was last written.
    written: Time,
    /// The last time that a line had.
    time: Option<Time>,
    pub events: VecDeque<Event>,
    pub lines: u64,
    at_end: bool,
    pub kind: Kind,
    /// The reason why the rest cannot be read.
    pub broken: Option<io::Error>,
    pub dating: Dating,
    /// Whether it is the only thing that is read.
    pub alone: bool,
}

impl Log {
    /// Whether its lines cannot be merged with those of others.
    pub fn is_left_out(&self) -> bool {
        self.dating == Dating::Undated && !self.alone
    }
}

impl Log {
    pub fn open(
        path: &Path,
        scanner: Scanner,
        plan: &Plan,
        progress: &ProgressBar,
    ) -> io::Result<Self> {
        let reader = log_file::open(path, progress)?;
        // Dates without a year are the last such dates before the file was written.
        let written = path
            .metadata()?
            .modified()
            .ok()
            .and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let reference = Time::from_secs(
            written.map_or(0, |since| since.as_secs().try_into().unwrap_or(i64::MAX)),
        );
        Ok(Self {
            path: path.to_owned(),
            reader,
            splitter: LineSplitter::new(1 << 17),
            scanner,
            parser: TimestampParser::new(jiff::tz::TimeZone::system(), reference)
                .with_format(plan.date_format()),
            tags: plan.tags(),
            written: reference,
            time: None,
            events: VecDeque::new(),
            lines: 0,
            at_end: false,
            kind: Kind::Unrecognized,
            broken: None,
            dating: Dating::Unknown,
            alone: false,
        })
    }

    /// Reads on until there is an event, or the end.
    pub fn fill(&mut self) {
        let mut found = Vec::new();
        while self.events.is_empty() && !self.at_end {
            let count = match self.reader.read(self.splitter.space()) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    self.broken = Some(error);
                    0
                }
            };
            self.splitter.filled(count);
            self.at_end = count == 0;
            loop {
                let region = match self.splitter.next_region() {
                    // What a broken file ends with is no whole line.
                    None if self.at_end && self.broken.is_none() => self.splitter.finish(),
                    region => region,
                };
                let Some(region) = region else { break };
                self.lines = region.next_line - 1;
                scan(&mut self.scanner, &region, &mut self.parser, &mut self.time, &mut found);
                // One line is enough, so that logs are looked at no further.
                let unknown = self.kind == Kind::Unrecognized;
                if unknown && (!found.is_empty() || looks_like_asterisks(&region, &self.tags)) {
                    self.kind = Kind::Log;
                }
            }
            if let (Some(first), Dating::Unknown) = (found.first(), self.dating) {
                let has_none = first.time == Time::default();
                self.dating = if has_none { Dating::Undated } else { Dating::Dated };
            }
            // Nothing has to be merged with it: its order is enough.
            for event in found.iter_mut().filter(|_| self.alone) {
                if event.time == Time::default() {
                    event.time = self.written;
                }
            }
            self.events.extend(found.drain(..));
        }
    }
}

fn scan(
    scanner: &mut Scanner,
    region: &Region<'_>,
    parser: &mut TimestampParser,
    time: &mut Option<Time>,
    found: &mut Vec<Event>,
) {
    scanner.scan(region, &mut Clock::Replay(parser, time), found);
}
