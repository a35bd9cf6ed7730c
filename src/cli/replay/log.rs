//! A log file at rest, and the events that its lines are.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::super::line_forms::LineForms;
use super::super::log_file;
use crate::decide::plan::Plan;
use crate::detect::scanner::{Clock, Scanner};
use crate::detect::timestamp::TimestampParser;
use crate::input::line_splitter::LineSplitter;
use crate::model::event::Event;
use crate::model::time::Time;

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
    /// The time when the file was last written.
    written: Time,
    /// The last time that a line had.
    time: Option<Time>,
    pub events: VecDeque<Event>,
    pub lines: u64,
    at_end: bool,
    /// The forms that its lines are in.
    pub forms: LineForms,
    /// The reason why the rest cannot be read.
    pub broken: Option<io::Error>,
    pub dating: Dating,
    /// Whether it is the only thing that is read.
    pub alone: bool,
}

impl Log {
    /// The log at `path`, which `reader` reads.
    pub fn new(path: &Path, reader: Box<dyn Read>, scanner: Scanner, plan: &Plan) -> Self {
        let written = log_file::written(path);
        let parser = log_file::date_parser(plan, written);
        Self {
            path: path.to_owned(),
            reader,
            splitter: LineSplitter::new(1 << 17),
            scanner,
            forms: LineForms::new(plan.tags(), parser.clone()),
            parser,
            written,
            time: None,
            events: VecDeque::new(),
            lines: 0,
            at_end: false,
            broken: None,
            dating: Dating::Unknown,
            alone: false,
        }
    }

    /// Reads on until there is an event, and returns its time; `None`: there is none, or it cannot be merged with others.
    pub fn first(&mut self) -> Option<Time> {
        self.fill();
        self.events.front().map(|event| event.time).filter(|_| !self.is_left_out())
    }

    /// Reads on until there is an event, or the end.
    fn fill(&mut self) {
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
                self.forms.note_region(&region);
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

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.lines + self.oversized() == 0
    }

    /// Whether no line looks like Asterisk's, or like one that a rule is for.
    pub fn is_unrecognized(&self) -> bool {
        !self.forms.recognize() && self.scanner.stats().hits == 0
    }

    /// Whether its lines cannot be merged with those of others.
    pub fn is_left_out(&self) -> bool {
        self.dating == Dating::Undated && !self.alone
    }

    /// Returns the number of lines that were too long to be read.
    pub fn oversized(&self) -> u64 {
        self.splitter.oversized()
    }
}
