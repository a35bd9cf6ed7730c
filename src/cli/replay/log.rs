//! A log file at rest, and the events that its lines are.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::super::line_forms::LineForms;
use super::super::log_file;
use crate::detect::scanner::{Clock, Scanner};
use crate::detect::timestamp::TimestampParser;
use crate::input::line_splitter::LineSplitter;
use crate::model::event::Event;
use crate::model::time::Time;

/// A log file at rest and the events that it still holds. Reads a piece at a time.
pub struct Log {
    pub path: PathBuf,
    reader: Box<dyn Read>,
    splitter: LineSplitter,
    pub scanner: Scanner,
    parser: TimestampParser,
    /// The last time that a line had.
    time: Option<Time>,
    pub events: VecDeque<Event>,
    pub lines: u64,
    at_end: bool,
    /// The forms that its lines are in.
    pub forms: LineForms,
    /// The reason why the rest cannot be read.
    pub broken: Option<io::Error>,
    /// Whether there has been a line that matters, and whether the first one had no time.
    begun: bool,
    pub undated: bool,
}

impl Log {
    /// The log at `path`, which `reader` reads.
    pub fn new(path: &Path, reader: Box<dyn Read>, scanner: Scanner) -> Self {
        let reference = log_file::written(path);
        Self {
            path: path.to_owned(),
            reader,
            splitter: LineSplitter::new(1 << 17),
            scanner,
            parser: TimestampParser::new(jiff::tz::TimeZone::system(), reference),
            time: None,
            events: VecDeque::new(),
            lines: 0,
            at_end: false,
            forms: LineForms::new(reference),
            broken: None,
            begun: false,
            undated: false,
        }
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
                let mut clock = Clock::Replay(&mut self.parser, &mut self.time);
                self.scanner.scan(&region, &mut clock, &mut found);
                for (number, line) in region.lines() {
                    self.forms.note(number, line);
                }
            }
            let first = found.first().filter(|_| !self.begun);
            self.undated |= first.is_some_and(|event| event.time == Time::default());
            self.begun |= first.is_some();
            self.events.extend(found.drain(..));
        }
    }

    /// Whether no line looks like Asterisk's, or like one that a rule is for.
    pub fn is_unrecognized(&self) -> bool {
        !self.forms.recognize() && self.scanner.stats().hits == 0
    }

    /// Returns the number of lines that were too long to be read.
    pub fn oversized(&self) -> u64 {
        self.splitter.oversized()
    }
}
