//! The failregexes in a jail's own table: texts and where they stand. Whether they are right is decided where rules are
//! read.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::fail2ban;
use super::toml_reader::{TomlReader, TomlValue};

/// The keys.
pub(super) const KEYS: [&str; 3] = ["failregex", "ignoreregex", "datepattern"];

/// Regexes of one key of a jail, at most.
const MOST: usize = 100;

const REGEX_HELP: &str =
    "write for example ['^\\s*door: <HOST> knocked$']; nothing in single quotes needs escaping";
const DATE_HELP: &str = "write for example '{^LN-BEG}%d\\.%m\\.%Y %H:%M:%S'";
const VARIABLE_HELP: &str = "write what it stands for; a failregex sees the whole line without its date. `asterguard import` puts \
                             variables in";

/// A text, and where it stands.
#[derive(Clone, Debug)]
pub struct PlacedText {
    /// The text.
    pub text: String,
    /// The file.
    pub path: PathBuf,
    source: Arc<str>,
    span: Range<usize>,
}

/// Two texts are equal wherever they are written.
impl PartialEq for PlacedText {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl PlacedText {
    pub(super) fn new(text: &str, path: PathBuf, source: Arc<str>, span: Range<usize>) -> Self {
        Self { text: text.to_owned(), path, source, span }
    }

    /// Returns what is wrong with it, or worth a second look, and what to do.
    #[must_use]
    pub fn problem(&self, message: impl Into<String>, help: Option<&str>) -> Diagnostic {
        Diagnostic {
            path: self.path.clone(),
            source: Arc::clone(&self.source),
            span: self.span.clone(),
            message: message.into(),
            help: help.map(str::to_owned),
        }
    }
}

/// What a jail's own table says of the lines that it counts, as a jail of fail2ban does. All of it may be wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OwnRules {
    /// The failregexes, at most 100.
    pub failregex: Vec<PlacedText>,
    /// The regexes of lines that they pass over, at most 100.
    pub ignoreregex: Vec<PlacedText>,
    /// Where they see dates.
    pub datepattern: Option<PlacedText>,
}

/// The keys of one section: what it leaves out is taken from the one below it.
#[derive(Clone, Default)]
pub(super) struct OwnKeys {
    failregex: Option<Vec<PlacedText>>,
    ignoreregex: Option<Vec<PlacedText>>,
    datepattern: Option<PlacedText>,
}

impl OwnKeys {
    /// Takes up the value of one of [`KEYS`].
    pub fn merge(&mut self, reader: &mut TomlReader, key: &str, value: &TomlValue) {
        match key {
            "failregex" => {
                let regexes = regexes(reader, value);
                if regexes.is_empty() {
                    reader.error(value.span(), "there is no failregex in it", REGEX_HELP);
                }
                self.failregex = Some(regexes);
            }
            "ignoreregex" => self.ignoreregex = Some(regexes(reader, value)),
            _ => {
                let DeValue::String(text) = value.get_ref() else {
                    reader.wrong_type::<()>(value, "a string", DATE_HELP);
                    return;
                };
                let is_there = !text.trim().is_empty() && is_whole(reader, text, value.span());
                self.datepattern = is_there.then(|| reader.placed(text, &value.span()));
            }
        }
    }

    /// Returns these laid over others.
    pub fn over(self, below: &Self) -> Self {
        Self {
            failregex: self.failregex.or_else(|| below.failregex.clone()),
            ignoreregex: self.ignoreregex.or_else(|| below.ignoreregex.clone()),
            datepattern: self.datepattern.or_else(|| below.datepattern.clone()),
        }
    }

    /// Whether there is something that the jail counts by itself.
    pub fn counts(&self) -> bool {
        self.failregex.is_some()
    }

    /// Returns what they come to.
    pub fn finish(self) -> OwnRules {
        OwnRules {
            failregex: self.failregex.unwrap_or_default(),
            ignoreregex: self.ignoreregex.unwrap_or_default(),
            datepattern: self.datepattern,
        }
    }

    /// Notes the keys that `[default]` cannot have.
    pub fn refuse(reader: &mut TomlReader, table: &DeTable) {
        for (key, _) in table.iter().filter(|(key, _)| KEYS.contains(&key.get_ref().as_ref())) {
            let message = format_args!("{:?} belongs to one jail", key.get_ref());
            let help = "write it below [jail.NAME], with the logpath of that jail: here, every jail would count these lines";
            reader.error(key.span(), message, help);
        }
    }
}

/// Reads regexes: one text or several, each of which may have several lines, as in fail2ban: one regex a line.
fn regexes(reader: &mut TomlReader, value: &TomlValue) -> Vec<PlacedText> {
    let items = match value.get_ref() {
        DeValue::Array(items) => items.iter().collect(),
        _ => vec![value],
    };
    let mut regexes = Vec::new();
    for item in items {
        let DeValue::String(text) = item.get_ref() else {
            reader.wrong_type::<()>(item, "a string", REGEX_HELP);
            continue;
        };
        if !is_whole(reader, text, item.span()) {
            continue;
        }
        for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let span = if line == text.as_ref() {
                item.span()
            } else {
                reader.inside(&item.span(), text, line)
            };
            if regexes.len() == MOST {
                reader.error(span, format_args!("more than {MOST} regexes"), "join some with |");
                return regexes;
            }
            regexes.push(reader.placed(line, &span));
        }
    }
    regexes
}

/// Whether a text is all there is of it; notes it if it holds a variable of fail2ban's.
fn is_whole(reader: &mut TomlReader, text: &str, span: Range<usize>) -> bool {
    let is_variable = fail2ban::is_variable(text);
    if is_variable {
        let message = "%(…)s is a variable of fail2ban: there are none here";
        reader.error(span, message, VARIABLE_HELP);
    }
    !is_variable
}
