//! The forms of lines and the formats of dates that a log holds: how many of each, and the first one.

use std::collections::BTreeMap;

use serde::Serialize;

use super::text::{cut, printable};
use crate::detect::line_form::{self, DateForm, Form};
use crate::detect::prefix::{self, Level, Tags};
use crate::detect::timestamp::TimestampParser;
use crate::input::line_splitter::Region;

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

/// Lines that begin with the same date, as Asterisk writes them into files: they are counted together.
#[derive(Debug, Default)]
struct Alike {
    /// What all of them begin with: `[DATE] `; empty: there are none.
    head: Vec<u8>,
    date: Option<DateForm>,
    /// Those that are not counted yet.
    lines: u64,
}

impl Alike {
    /// Returns the level of a line that is one of them.
    #[inline]
    fn level(&self, line: &[u8]) -> Option<Level> {
        self.date?;
        prefix::level_in_file(line.strip_prefix(self.head.as_slice())?)
    }
}

/// Counts forms of lines and formats of dates. There are few of each, so memory is fixed.
#[derive(Debug)]
pub struct LineForms {
    tags: Tags,
    parser: TimestampParser,
    scratch: Vec<u8>,
    forms: BTreeMap<Form, Seen>,
    dates: BTreeMap<DateForm, Seen>,
    /// The last line in the form of a file, and what is like it.
    alike: Alike,
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
            alike: Alike::default(),
            other_levels: 0,
            unknown: 0,
        }
    }

    /// Counts the lines of a region, as [`LineForms::note`] would one by one.
    pub fn note_region(&mut self, region: &Region<'_>) {
        for (number, line) in region.lines() {
            if let Some(level) = self.alike.level(line) {
                self.alike.lines += 1;
                self.other_levels += u64::from(level != Level::Report);
            } else {
                self.note(number, line);
            }
        }
        self.count_alike();
    }

    /// Counts a line, and says who wrote it.
    pub fn note(&mut self, number: u64, line: &[u8]) -> Writer {
        let Some(read) = line_form::read(line, &self.tags, &mut self.scratch) else {
            self.unknown += 1;
            return Writer::Unknown;
        };
        self.forms.entry(read.form).or_default().add(number, line);
        let writer = match (read.form, read.level) {
            (Form::Kernel, _) => Writer::Kernel,
            (_, Some(Level::Report)) => Writer::Report,
            _ => Writer::OtherLevel,
        };
        self.other_levels += u64::from(writer == Writer::OtherLevel);
        if read.form != Form::Banner {
            let format = DateForm::of(read.stamp, &mut self.parser);
            self.dates.entry(format).or_default().add(number, read.stamp);
            // A date in brackets, and a space.
            let head = line.get(..read.stamp.len() + 3).unwrap_or_default();
            let date = head.strip_prefix(b"[").and_then(|head| head.strip_suffix(b"] "));
            if read.form == Form::File && date == Some(read.stamp) {
                self.count_alike();
                self.alike.head.clear();
                self.alike.head.extend_from_slice(head);
                self.alike.date = Some(format);
            }
        }
        writer
    }

    /// Counts the lines that were like the last one: the first of each form and format is counted already.
    fn count_alike(&mut self) {
        let lines = std::mem::take(&mut self.alike.lines);
        if let Some(date) = self.alike.date.filter(|_| lines > 0) {
            self.forms.entry(Form::File).or_default().lines += lines;
            self.dates.entry(date).or_default().lines += lines;
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
    fn lines_are_counted_together_as_they_are_one_by_one() {
        let date = "[Nov 22 01:12:24]";
        let mut lines = vec![String::new(), "a: b".to_owned(), format!("{date} NOTICE[1] a.c: b")];
        for level in ["VERBOSE", "DEBUG", "NOTICE", "nothing", "SECURITY"] {
            for rest in ["[1] a.c: b", "[1][C-0a] a.c: b", "[1]: a.c:1 f: b", "[x] a.c: b", ""] {
                for date in [date, "[Nov 22 01:12:25]", "[2026-11-22 01:12:25.123]", "[some day]"] {
                    lines.push(format!("{date} {level}{rest}"));
                    lines.push(format!("{date} {level}{rest}\r"));
                }
                lines.push(format!("[[2026-11-22] 01:01:57] {level}{rest}"));
                lines.push(format!("\x1b[1m{date} {level}{rest}"));
            }
        }
        lines.push("[Nov 22 01:12:24] Asterisk 20.1 built by root @ pbx on a x86_64".to_owned());
        lines.push("[Nov 22 01:12:24] VERBOSE".to_owned());
        for stride in [1, 2, 7, 11] {
            // Some have others of their kind beside them, and some have not.
            let order = (0..2 * lines.len()).map(|at| lines[at * stride % lines.len()].as_str());
            let text = order.collect::<Vec<_>>().join("\n") + "\n";
            let region = Region::of(text.as_bytes(), 1);
            let (mut together, mut alone) = (forms(), forms());
            together.note_region(&region);
            for (number, line) in region.lines() {
                alone.note(number, line);
            }
            let all = |forms: &LineForms| {
                let (forms_, dates) = (format!("{:?}", forms.forms), format!("{:?}", forms.dates));
                (forms_, dates, forms.other_levels, forms.unknown, forms.undated())
            };
            assert_eq!(all(&together), all(&alone));
        }
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
