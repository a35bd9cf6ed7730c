//! The forms of lines and the formats of dates that a log holds: how many of each, and the first one.

use std::collections::BTreeMap;

use serde::Serialize;

use super::text::{cut, printable};
use crate::detect::line_form::{self, DateForm, Form};
use crate::detect::prefix::{Level, Tags};
use crate::detect::timestamp::TimestampParser;

/// Bytes that are kept of the first line of a form.
const LONGEST_SAMPLE: usize = 64;

/// The writer of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// Asterisk, at one of the levels that rules read.
    Report,
    /// Asterisk, at another level; or its banner.
    OtherLevel,
    /// The kernel.
    Kernel,
    /// Nobody known, or it is the rest of a message of several lines.
    Unknown,
}

/// What lines there were of one form or format.
#[derive(Debug, Default)]
struct Seen {
    lines: u64,
    first_line: u64,
    first: Vec<u8>,
}

/// Counts forms of lines and formats of dates. There are few of each, so memory is fixed.
#[derive(Debug)]
pub struct LineForms {
    tags: Tags,
    parser: TimestampParser,
    scratch: Vec<u8>,
    forms: BTreeMap<Form, Seen>,
    dates: BTreeMap<DateForm, Seen>,
    /// Lines of Asterisk's levels that rules do not read.
    pub other_levels: u64,
    /// Lines that neither Asterisk nor the kernel begins so.
    pub unknown: u64,
}

/// One form or format, as it is told.
#[derive(Debug, Serialize)]
pub struct FormCount<K> {
    pub format: K,
    pub lines: u64,
    /// The number of the first of them.
    pub first_line: u64,
    /// The beginning of that line, or its date, with escapes.
    pub first: String,
}

impl LineForms {
    /// Counts nothing yet. `tags` are of whoever writes Asterisk's lines, and `parser` reads their dates.
    pub fn new(tags: Tags, parser: TimestampParser) -> Self {
        Self {
            tags,
            parser,
            scratch: Vec::new(),
            forms: BTreeMap::new(),
            dates: BTreeMap::new(),
            other_levels: 0,
            unknown: 0,
        }
    }

    /// Counts a line, and says who wrote it.
    pub fn note(&mut self, number: u64, line: &[u8]) -> Writer {
        let Some(read) = line_form::read(line, &self.tags, &mut self.scratch) else {
            self.unknown += 1;
            return Writer::Unknown;
        };
        self.forms.entry(read.form).or_default().add(number, line);
        if read.form != Form::Banner {
            let format = DateForm::of(read.stamp, &mut self.parser);
            self.dates.entry(format).or_default().add(number, read.stamp);
        }
        match (read.form, read.level) {
            (Form::Kernel, _) => Writer::Kernel,
            (_, Some(Level::Report)) => Writer::Report,
            _ => {
                self.other_levels += 1;
                Writer::OtherLevel
            }
        }
    }

    /// Whether a line looked like one of Asterisk's, or of the kernel's.
    pub fn recognize(&self) -> bool {
        !self.forms.is_empty()
    }

    /// The number of lines without a date that can be read.
    pub fn undated(&self) -> u64 {
        let undated = self.dates.iter().filter(|(format, _)| !format.is_time());
        undated.map(|(_, seen)| seen.lines).sum()
    }

    /// The forms, most lines first.
    pub fn forms(&self) -> Vec<FormCount<Form>> {
        listed(&self.forms)
    }

    /// The formats of dates, most lines first.
    pub fn dates(&self) -> Vec<FormCount<DateForm>> {
        listed(&self.dates)
    }

    /// Says how one line is written, for people; `None` if neither Asterisk nor the kernel begins a line so.
    pub fn in_words(&mut self, line: &[u8]) -> Option<String> {
        let read = line_form::read(line, &self.tags, &mut self.scratch)?;
        let time = self.parser.parse(read.stamp);
        let date = match time {
            Some(time) => format!("{} is {time}", printable(read.stamp)),
            None => DateForm::of(read.stamp, &mut self.parser).sample().to_owned(),
        };
        Some(format!("{}; {date}", read.form.sample()))
    }

    /// Returns what a failregex sees of a line of Asterisk's or of the kernel's.
    pub fn body(&mut self, line: &[u8]) -> Option<String> {
        line_form::read(line, &self.tags, &mut self.scratch).map(|read| printable(read.body))
    }
}

impl Seen {
    fn add(&mut self, number: u64, text: &[u8]) {
        if self.lines == 0 {
            self.first_line = number;
            self.first = text.get(..LONGEST_SAMPLE).unwrap_or(text).to_vec();
        }
        self.lines += 1;
    }
}

impl<K> FormCount<K> {
    /// A row of a table: how many lines, how they look, and the first one, cut to fit.
    pub fn row(&self, sample: &str) -> String {
        let row = format!("{:>9}  {sample:<35}  {}", self.lines, self.first);
        cut(row.trim_end(), super::text::WIDTH)
    }
}

fn listed<K: Copy + Ord>(seen: &BTreeMap<K, Seen>) -> Vec<FormCount<K>> {
    let mut listed: Vec<_> = seen
        .iter()
        .map(|(format, seen)| FormCount {
            format: *format,
            lines: seen.lines,
            first_line: seen.first_line,
            first: printable(&seen.first),
        })
        .collect();
    listed.sort_by_key(|count| std::cmp::Reverse(count.lines));
    listed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::time::Time;

    fn forms() -> LineForms {
        let parser = TimestampParser::new(jiff::tz::TimeZone::UTC, Time::default());
        LineForms::new(Tags::default(), parser)
    }

    #[test]
    fn few_formats_are_kept_whatever_a_log_holds() {
        let mut forms = forms();
        for number in 1..=10_000_u64 {
            let date = format!("odd \x1b[2J{number} {}", "x".repeat(40));
            forms.note(number, format!("[{date}] NOTICE[1] a.c: b").as_bytes());
        }
        assert_eq!(forms.note(10_001, b"nobody's"), Writer::Unknown);
        assert_eq!((forms.forms().len(), forms.dates().len()), (1, 1));
        assert_eq!((forms.undated(), forms.unknown), (10_000, 1));
        let first = &forms.forms()[0];
        assert_eq!((first.lines, first.first_line), (10_000, 1));
        let row = first.row(first.format.sample());
        assert!(row.is_ascii() && !row.contains('\x1b') && row.len() <= 80, "{row}");
    }

    #[test]
    fn the_writer_of_a_line_is_told() {
        let mut forms = forms();
        for (line, writer) in [
            ("[Nov 22 01:12:24] NOTICE[1] a.c: b", Writer::Report),
            ("[Nov 22 01:12:24] VERBOSE[1] a.c: b", Writer::OtherLevel),
            ("[Nov 22 01:12:24] Asterisk 20.1 built by root @ pbx on a x86_64", Writer::OtherLevel),
            ("Nov 22 01:12:25 pbx kernel: [1.0] b", Writer::Kernel),
            ("a: b", Writer::Unknown),
        ] {
            assert_eq!(forms.note(1, line.as_bytes()), writer, "{line}");
        }
        assert_eq!((forms.other_levels, forms.unknown, forms.undated()), (2, 1, 0));
    }
}
