//! Reads typed values from a parsed TOML file and notes every error at the bytes it is about.

use std::collections::HashSet;
use std::fmt::Display;
use std::ops::{Range, RangeInclusive};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde_spanned::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use super::diagnostic::{Diagnostic, nearest};
use super::duration::{self, DurationError};
use super::fail2ban;
use super::own_rules::PlacedText;
use super::spelling::{
    Beside, Edits, Fault, IN_QUOTES, Repaired, as_boolean, is_typographic, syntax, without_quotes,
};
use crate::model::listed::FileLine;
use crate::model::time::BanDuration;

/// A key and where it stands.
pub(super) type TomlKey<'i> = Spanned<DeString<'i>>;
/// A value and where it stands.
pub(super) type TomlValue<'i> = Spanned<DeValue<'i>>;

/// The kind of file that a path has to name; neither needs to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PathOf {
    /// A file: no slash at the end.
    File,
    /// A directory.
    Directory,
}

/// One file, and the errors found in it so far. Its methods answer `None` for a value that is
/// wrong, and have noted why.
pub(super) struct TomlReader {
    path: PathBuf,
    /// The text of the file.
    source: Arc<str>,
    /// The text that is read in its place, and what was changed in it.
    read: Arc<str>,
    edits: Edits,
    faults: Vec<Fault>,
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    is_half_understood: bool,
}

impl TomlReader {
    /// Parses a file, as far as it goes: the `source` of `path`, as it was `repaired`.
    pub fn parse<'i>(
        path: &Path,
        source: &str,
        repaired: &'i Repaired<'i>,
    ) -> (Self, Spanned<DeTable<'i>>) {
        let mut reader = Self {
            path: path.to_owned(),
            source: source.into(),
            read: repaired.text.as_ref().into(),
            edits: repaired.edits.clone(),
            faults: repaired.faults.clone(),
            errors: Vec::new(),
            warnings: Vec::new(),
            is_half_understood: repaired.hopeless,
        };
        let (table, errors) = DeTable::parse_recoverable(&repaired.text);
        let ends: Vec<_> = memchr::memchr_iter(b'\n', repaired.text.as_bytes()).collect();
        let mut lines = HashSet::new();
        for error in errors.into_iter().filter(|_| !repaired.hopeless) {
            let span = error.span().unwrap_or(0..0);
            // The others of a line follow from the first.
            if !lines.insert(ends.partition_point(|end| *end < span.start)) {
                continue;
            }
            let (message, help) =
                syntax(error.message(), repaired.text.get(span.clone()).unwrap_or(""));
            reader.is_half_understood = true;
            reader.note(span, message, help);
        }
        (reader, table)
    }

    /// Whether the file could be read in part only.
    pub fn is_half_understood(&self) -> bool {
        self.is_half_understood
    }

    /// The errors in the order of their places.
    pub fn into_errors(self) -> Vec<Diagnostic> {
        let Self { path, source, faults, mut errors, .. } = self;
        for Fault { span, whole, message, mut help, beside } in faults {
            match beside {
                Beside::Everything => {}
                Beside::Nothing => errors.retain(|other| !whole.contains(&other.span.start)),
                Beside::Value => {
                    let is_at = |other: &&mut Diagnostic, at| other.span.start == at;
                    if errors.iter_mut().any(|other| is_at(&other, whole.start)) {
                        continue;
                    }
                    if let Some(other) = errors.iter_mut().find(|other| is_at(other, span.start)) {
                        other.message = format!("{}, and {message}", other.message);
                        continue;
                    }
                    if errors.iter().any(|other| whole.contains(&other.span.start)) {
                        IN_QUOTES.clone_into(&mut help);
                    }
                }
            }
            let (path, source) = (path.clone(), Arc::clone(&source));
            errors.push(Diagnostic { path, source, span, message, help: Some(help) });
        }
        errors.sort_by_key(|error| error.span.start);
        errors
    }

    /// Notes an error.
    pub fn error(&mut self, span: Range<usize>, message: impl Display, help: impl Display) {
        // Only what is written here has several lines.
        let help = help.to_string().replace('\n', "\\n");
        self.note(span, message.to_string(), Some(help));
    }

    /// Notes what is accepted, and worth a second look.
    pub fn warning(&mut self, span: Range<usize>, message: impl Display, help: &str) {
        let warning = self.placed("", &span).problem(message.to_string(), Some(help));
        self.warnings.push(warning);
    }

    /// Returns what was accepted, and is worth a second look.
    pub fn take_warnings(&mut self) -> Vec<Diagnostic> {
        let mut warnings = std::mem::take(&mut self.warnings);
        warnings.sort_by_key(Diagnostic::position);
        warnings
    }

    /// Returns a text with the place of `span`.
    pub fn placed(&self, text: &str, span: &Range<usize>) -> PlacedText {
        let span = self.edits.place(&self.source, &self.read, span);
        PlacedText::new(text, self.path.clone(), Arc::clone(&self.source), span)
    }

    fn note(&mut self, span: Range<usize>, message: String, help: Option<String>) {
        let problem = self.placed("", &span).problem(message, None);
        self.errors.push(Diagnostic { help, ..problem });
    }

    /// Notes that a key is none of `known`.
    pub fn unknown_key(&mut self, key: &TomlKey, known: &[&str]) {
        let help = match fail2ban::advice(key.get_ref()) {
            Some(advice) => advice.to_owned(),
            None => did_you_mean(key.get_ref(), known, "known here"),
        };
        self.error(key.span(), format_args!("unknown key {:?}", key.get_ref()), help);
    }

    /// Whether a jail or port list may be called this; notes it if not.
    pub fn is_name(&mut self, key: &TomlKey) -> bool {
        let name = key.get_ref();
        let fine = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let good = (1..=64).contains(&name.len()) && name.bytes().all(fine);
        if !good {
            let help = "use letters, digits, - and _, at most 64 of them";
            self.error(key.span(), format_args!("{name:?} cannot be a name"), help);
        }
        good
    }

    /// A table.
    pub fn table<'v, 'i>(
        &mut self,
        value: &'v TomlValue<'i>,
        help: &str,
    ) -> Option<&'v DeTable<'i>> {
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => self.wrong_type(value, "a table", help),
        }
    }

    /// `true` or `false`.
    pub fn boolean(&mut self, value: &TomlValue) -> Option<bool> {
        match value.get_ref() {
            DeValue::Boolean(yes) => Some(*yes),
            DeValue::String(word) if as_boolean(word).is_some() => {
                let meant = as_boolean(word) == Some(true);
                self.wrong_type(value, "true or false", &format!("write {meant}, without quotes"))
            }
            DeValue::Integer(number) if ["0", "1"].contains(&number.as_str()) => {
                let meant = number.as_str() == "1";
                self.wrong_type(value, "true or false", &format!("write {meant}"))
            }
            _ => self.wrong_type(value, "true or false", "write true or false, without quotes"),
        }
    }

    /// A whole number within bounds.
    pub fn number<T>(
        &mut self,
        value: &TomlValue,
        bounds: RangeInclusive<T>,
        help: &str,
    ) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + Display,
    {
        let DeValue::Integer(digits) = value.get_ref() else {
            let DeValue::String(text) = value.get_ref() else {
                return self.wrong_type(value, "a whole number", help);
            };
            if fail2ban::is_variable(text) && !self.is_plain(text, value.span()) {
                return None;
            }
            let meant = without_quotes(text).parse::<i64>().ok();
            let meant = meant.and_then(|number| T::try_from(number).ok());
            return match meant.filter(|number| bounds.contains(number)) {
                Some(number) => {
                    let help = format!("write {number}, without quotes");
                    self.wrong_type(value, "a whole number", &help)
                }
                None => self.wrong_type(value, "a whole number", help),
            };
        };
        let number = i64::from_str_radix(digits.as_str(), digits.radix()).ok();
        let number =
            number.and_then(|number| T::try_from(number).ok()).filter(|n| bounds.contains(n));
        if number.is_none() {
            let (least, most) = (bounds.start(), bounds.end());
            self.error(
                value.span(),
                format_args!("{digits} is not between {least} and {most}"),
                help,
            );
        }
        number
    }

    /// A string.
    pub fn text<'v>(&mut self, value: &'v TomlValue, help: &str) -> Option<&'v str> {
        match value.get_ref() {
            DeValue::String(text) => self.is_plain(text, value.span()).then_some(text),
            _ => self.wrong_type(value, "a string", help),
        }
    }

    /// Whether a string is nothing but its text; notes it if it holds what other programs put there.
    fn is_plain(&mut self, text: &str, span: Range<usize>) -> bool {
        if fail2ban::is_variable(text) {
            let help =
                "write the value itself in quotes, or leave the line out to keep what is built in";
            self.error(span, "%(…)s is a variable of fail2ban: there are none here", help);
            return false;
        }
        if is_typographic(text) {
            let help = "leave them out: the straight quotes around them are enough";
            self.error(span, "there are typographic quotes in this text", help);
            return false;
        }
        true
    }

    /// A string, or an array of strings.
    pub fn texts<'v>(&mut self, value: &'v TomlValue, help: &str) -> Vec<(&'v str, Range<usize>)> {
        let items = match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            DeValue::String(_) => vec![value],
            _ => {
                self.wrong_type::<()>(value, "a string or an array of strings", help);
                Vec::new()
            }
        };
        items.into_iter().filter_map(|item| Some((self.text(item, help)?, item.span()))).collect()
    }

    /// The same, at least one; an empty list is an error.
    pub fn some_texts<'v>(
        &mut self,
        value: &'v TomlValue,
        help: &str,
    ) -> Vec<(&'v str, Range<usize>)> {
        if matches!(value.get_ref(), DeValue::Array(items) if items.is_empty()) {
            self.error(value.span(), "empty list", help);
        }
        self.texts(value, help)
    }

    /// An absolute path.
    pub fn absolute_path<'v>(
        &mut self,
        text: &'v str,
        span: &Range<usize>,
        of: PathOf,
        help: &str,
    ) -> Option<&'v Path> {
        let names_directory = text.ends_with('/');
        let (good, what) = match of {
            PathOf::File => (!names_directory, "the path of a file"),
            PathOf::Directory => (true, "an absolute path"),
        };
        if good && text.starts_with('/') && !text.contains('\0') {
            return Some(Path::new(text));
        }
        self.error(span.clone(), format_args!("{text:?} is not {what}"), help);
        None
    }

    /// One of several names.
    pub fn choice<T: Copy>(
        &mut self,
        value: &TomlValue,
        what: &str,
        names: &[(T, &str)],
    ) -> Option<T> {
        let known: Vec<_> = names.iter().map(|(_, name)| *name).collect();
        let text = self.text(value, &format!("write one of: {}", known.join(", ")))?;
        self.named(text, value.span(), what, names)
    }

    /// Returns the thing that `text` is the name of.
    pub fn named<T: Copy>(
        &mut self,
        text: &str,
        at: Range<usize>,
        what: &str,
        names: &[(T, &str)],
    ) -> Option<T> {
        let found = names.iter().find(|(_, name)| *name == text).map(|(meaning, _)| *meaning);
        if found.is_none() {
            let known: Vec<_> = names.iter().map(|(_, name)| *name).collect();
            let help = did_you_mean(text, &known, "known");
            self.error(at, format_args!("unknown {what} {text:?}"), help);
        }
        found
    }

    /// A duration.
    pub fn duration(&mut self, value: &TomlValue) -> Option<Duration> {
        let help = "write for example \"10m\", \"1d 12h\", or 3600 (seconds)";
        self.length(value, help, duration::parse, duration::seconds)
    }

    /// The duration of a ban.
    pub fn ban_duration(&mut self, value: &TomlValue, help: &str) -> Option<BanDuration> {
        self.length(value, help, duration::parse_ban_duration, duration::ban_duration_seconds)
    }

    fn length<T>(
        &mut self,
        value: &TomlValue,
        help: &str,
        from_text: fn(&str) -> Result<T, DurationError>,
        from_seconds: fn(i64) -> Result<T, DurationError>,
    ) -> Option<T> {
        let length = match value.get_ref() {
            DeValue::String(text) if !self.is_plain(text, value.span()) => return None,
            DeValue::String(text) => from_text(text),
            DeValue::Integer(digits) => {
                let number = i64::from_str_radix(digits.as_str(), digits.radix());
                number.map_err(|_| DurationError::TooLong).and_then(from_seconds)
            }
            _ => return self.wrong_type(value, "a duration", help),
        };
        length.map_err(|error| self.error(value.span(), error, help)).ok()
    }

    /// The file and line in which something stands.
    pub fn place(&self, span: &Range<usize>) -> FileLine {
        let before = self.read.get(..span.start).unwrap_or(&self.read);
        let line = memchr::memchr_iter(b'\n', before.as_bytes()).count() + 1;
        FileLine { file: self.path.to_string_lossy().into(), line }
    }

    /// Returns where `part`, a slice of the string `whole`, stands, if the string stands at `span`: exactly,
    /// unless the file spells the string with escapes.
    pub fn inside(&self, span: &Range<usize>, whole: &str, part: &str) -> Range<usize> {
        let text = self.read.get(span.clone()).and_then(|raw| raw.find(whole));
        let offset = (part.as_ptr() as usize).checked_sub(whole.as_ptr() as usize);
        match (text, offset) {
            (Some(text), Some(offset)) => {
                let start = span.start + text + offset;
                start..start + part.len()
            }
            _ => span.clone(),
        }
    }

    /// Notes that a value is of the wrong type.
    pub fn wrong_type<T>(&mut self, value: &TomlValue, expected: &str, help: &str) -> Option<T> {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a point",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "an array",
            DeValue::Table(_) => "a table",
        };
        self.error(value.span(), format_args!("expected {expected}, found {found}"), help);
        None
    }
}

/// Returns the name of a value in a table of names.
pub(super) fn name_of<T: PartialEq>(value: &T, names: &[(T, &'static str)]) -> &'static str {
    names.iter().find(|(known, _)| known == value).map_or("", |(_, name)| name)
}

/// `did you mean "this"?`, or all that is known.
pub(super) fn did_you_mean(word: &str, known: &[&str], introduction: &str) -> String {
    match nearest(word, known.iter().copied()) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("{introduction}: {}", known.join(", ")),
    }
}
