//! The form that a line is written in, and the format of its date: what people are told of a log.

use serde::Serialize;

use super::prefix::{self, Level, Shape, Tags};
use super::timestamp::TimestampParser;

/// The form of a line that Asterisk or the kernel wrote, with what stands around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Asterisk's default for files.
    File,
    /// The `[plain]` formatter, or a console.
    Plain,
    /// Either of these behind the header of journald, a container runtime or a syslog daemon.
    Captured,
    /// Either of these in an object: of Docker's `json-file`, or of `journalctl -o json`.
    Wrapped,
    /// What Asterisk writes to a syslog daemon.
    Syslog,
    /// The `[json]` formatter.
    Json,
    /// The kernel, in a syslog.
    Kernel,
    /// What Asterisk writes when it opens a log.
    Banner,
}

impl Form {
    /// Returns how it looks.
    #[must_use]
    pub fn sample(self) -> &'static str {
        match self {
            Self::File => "[DATE] LEVEL[ID] FILE: MESSAGE",
            Self::Plain => "[DATE] LEVEL[ID]: FILE:LINE ...",
            Self::Captured => "HEADER [DATE] LEVEL[ID] ...",
            Self::Wrapped => "{...:\"LINE\",...} (Docker, journal)",
            Self::Syslog => "HEADER asterisk[ID]: LEVEL[ID]: ...",
            Self::Json => "{\"logmsg\":{...},...} ([json])",
            Self::Kernel => "HEADER kernel: MESSAGE",
            Self::Banner => "[DATE] Asterisk VERSION built by ...",
        }
    }
}

/// The format of a date.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum DateForm {
    /// Asterisk's default, and that of traditional syslog; with a year, too.
    Default,
    /// ISO 8601, RFC 3339; with other separators or none, too.
    Iso,
    /// The same with the date in brackets.
    Bracketed,
    /// Day and month as numbers with slashes or hyphens, in either order, and the year.
    Numbers,
    /// Day, month, year.
    German,
    /// The time before the date.
    TimeFirst,
    /// `%c`
    Ctime,
    /// RFC 2822.
    Rfc2822,
    /// Seconds since 1970.
    Seconds,
    /// Text that is read as no date.
    Unreadable,
    /// No date at all.
    None,
}

impl DateForm {
    /// Returns the format of `stamp`, the date as it is written, without brackets.
    pub fn of(stamp: &[u8], parser: &mut TimestampParser) -> Self {
        let text = stamp.trim_ascii();
        if text.is_empty() {
            return Self::None;
        }
        if parser.parse(stamp).is_none() {
            return Self::Unreadable;
        }
        let digits = |text: &[u8]| text.iter().take_while(|byte| byte.is_ascii_digit()).count();
        match (digits(text), text) {
            (0, [b'[', ..]) => Self::Bracketed,
            (0, _) => Self::with_word(text, digits),
            (9.., _) => Self::Seconds,
            (4..9, _) => Self::Iso,
            (count, _) => match text.get(count) {
                Some(b'/' | b'-') if text.get(count + 1).is_some_and(u8::is_ascii_digit) => {
                    Self::Numbers
                }
                Some(b'.') => Self::German,
                Some(b':') => Self::TimeFirst,
                _ => Self::Rfc2822,
            },
        }
    }

    /// The format of a date that begins with the name of a month or of a day.
    fn with_word(text: &[u8], digits: impl Fn(&[u8]) -> usize) -> Self {
        const DAYS: [&[u8; 3]; 7] = [b"mon", b"tue", b"wed", b"thu", b"fri", b"sat", b"sun"];
        let (word, rest) = text.split_at(text.len().min(3));
        if !DAYS.iter().any(|day| word.eq_ignore_ascii_case(*day)) {
            return Self::Default;
        }
        match digits(rest.trim_ascii_start()) {
            _ if rest.first() == Some(&b',') => Self::Rfc2822,
            0 => Self::Ctime,
            4 => Self::Iso,
            _ => Self::Rfc2822,
        }
    }

    /// Returns how it looks.
    #[must_use]
    pub fn sample(self) -> &'static str {
        match self {
            Self::Default => "Mon DD HH:MM:SS",
            Self::Iso => "YYYY-MM-DD HH:MM:SS",
            Self::Bracketed => "[YYYY-MM-DD] HH:MM:SS",
            Self::Numbers => "NN/NN/YYYY HH:MM:SS",
            Self::German => "DD.MM.YYYY HH:MM:SS",
            Self::TimeFirst => "HH:MM:SS, then the date",
            Self::Ctime => "Day Mon DD HH:MM:SS YYYY",
            Self::Rfc2822 => "Day, DD Mon YYYY HH:MM:SS",
            Self::Seconds => "seconds since 1970",
            Self::Unreadable => "no date that can be read",
            Self::None => "no date",
        }
    }

    /// Whether it tells a time.
    #[must_use]
    pub fn is_time(self) -> bool {
        !matches!(self, Self::Unreadable | Self::None)
    }
}

/// A line that Asterisk or the kernel wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LineForm<'a> {
    /// Its form.
    pub form: Form,
    /// Its level; `None` where it has none.
    pub level: Option<Level>,
    /// Its date as it is written.
    pub stamp: &'a [u8],
    /// What a failregex sees of it.
    pub body: &'a [u8],
}

/// Returns the form of `line` (without its line feed); `None` if neither Asterisk nor the kernel begins a line so.
/// `scratch` is as in [`prefix::strip`].
#[must_use]
pub fn read<'a>(line: &'a [u8], tags: &Tags, scratch: &'a mut Vec<u8>) -> Option<LineForm<'a>> {
    if let Some(stripped) = prefix::strip(line, tags, scratch) {
        let form = match (stripped.shape, line.first()) {
            (Shape::Json, _) => Form::Json,
            (Shape::Syslog | Shape::Datagram(_), _) => Form::Syslog,
            (_, Some(b'{')) => Form::Wrapped,
            (Shape::File, Some(b'[' | b'\x1b')) => Form::File,
            (Shape::Console, Some(b'[' | b'\x1b')) => Form::Plain,
            (Shape::File | Shape::Console, _) if stripped.stamp.is_empty() => Form::Plain,
            (Shape::File | Shape::Console, _) => Form::Captured,
        };
        let level = Some(stripped.level);
        return Some(LineForm { form, level, stamp: stripped.stamp, body: stripped.body });
    }
    if let Some((stamp, body)) = prefix::kernel(line) {
        return Some(LineForm { form: Form::Kernel, level: None, stamp, body });
    }
    let banner = LineForm { form: Form::Banner, level: None, stamp: &[], body: &[] };
    prefix::is_banner(line).then_some(banner)
}

#[cfg(test)]
mod tests {
    use jiff::tz::TimeZone;
    use proptest::prelude::*;

    use super::*;
    use crate::model::time::Time;

    fn parser() -> TimestampParser {
        TimestampParser::new(TimeZone::UTC, Time::from_secs(1_795_309_297))
    }

    #[test]
    fn each_form_is_told_from_the_others() {
        let message = "NOTICE[1] a.c: b";
        let located = "NOTICE[1]: a.c:7 f: b";
        for (line, form, stamp) in [
            (format!("[Nov 22 01:12:24] {message}"), Form::File, "Nov 22 01:12:24"),
            (format!("[2026-11-22 01:12:24] {located}"), Form::Plain, "2026-11-22 01:12:24"),
            (located.to_owned(), Form::Plain, ""),
            ("[2026-11-22 01:12:24] \x1b[1;33mNOTICE\x1b[0m[1]: a.c:7 f: b".to_owned(), Form::Plain, "2026-11-22 01:12:24"),
            (
                format!("Nov 22 01:12:25 pbx asterisk[5]: [Nov 22 01:12:24] {located}"),
                Form::Captured,
                "Nov 22 01:12:24",
            ),
            (
                format!("Nov 22 01:12:25 pbx asterisk[5]: {}", located.replace(" f: ", " in f: ")),
                Form::Syslog,
                "Nov 22 01:12:25",
            ),
            (
                format!(r#"{{"log":"[Nov 22 01:12:24] {located}\n","stream":"stdout","time":"x"}}"#),
                Form::Wrapped,
                "Nov 22 01:12:24",
            ),
            (
                r#"{"timestamp":"1795309297","logmsg":{"location":{"filename":"a.c"},"level":"NOTICE","message":"b"}}"#
                    .to_owned(),
                Form::Json,
                "1795309297",
            ),
            ("Nov 22 01:12:25 pbx kernel: [1.0] b".to_owned(), Form::Kernel, "Nov 22 01:12:25"),
            (
                "[Nov 22 01:12:24] Asterisk 20.1 built by root @ pbx on a x86_64".to_owned(),
                Form::Banner,
                "",
            ),
        ] {
            let mut scratch = Vec::new();
            let read = read(line.as_bytes(), &Tags::default(), &mut scratch);
            let read = read.unwrap_or_else(|| panic!("{line}"));
            assert_eq!((read.form, read.stamp), (form, stamp.as_bytes()), "{line}");
            if let Some(level) = read.level {
                assert_eq!((level, read.body), (Level::Report, &b"a.c: b"[..]), "{line}");
            }
        }
        assert_eq!(read(b"nobody's line", &Tags::default(), &mut Vec::new()), None);
    }

    #[test]
    fn each_date_format_is_told_from_the_others() {
        use DateForm::{
            Bracketed, Ctime, Default, German, Iso, Numbers, Rfc2822, Seconds, TimeFirst,
            Unreadable,
        };
        for (text, format) in [
            ("Nov 22 00:55:30", Default),
            ("2026-11-22 01:01:08.576", Iso),
            ("2026-11-22T01:01:13.492+0000", Iso),
            ("Sun 2026-11-22 10:00:00 CET", Iso),
            ("[2026-11-22] 01:01:57", Bracketed),
            ("2026/11/22 01:01:03", Iso),
            ("20261122 010103", Iso),
            ("11/22/2026 01:01:28 AM", Numbers),
            ("22-11-2026 01:01:28", Numbers),
            ("01:01:52 22.11.2026", TimeFirst),
            ("22.11.2026 01:01:33", German),
            ("Sun Nov 22 01:01:47 2026", Ctime),
            ("Sun, 22 Nov 2026 01:01:52 +0000", Rfc2822),
            ("22 Nov 2026 01:01:52", Rfc2822),
            ("1795309302.748", Seconds),
            ("yesterday", Unreadable),
            (" ", DateForm::None),
        ] {
            assert_eq!(DateForm::of(text.as_bytes(), &mut parser()), format, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(line: Vec<u8>) {
            let mut scratch = Vec::new();
            if let Some(form) = read(&line, &Tags::default(), &mut scratch) {
                DateForm::of(form.stamp, &mut parser());
            }
            DateForm::of(&line, &mut parser());
        }
    }
}
