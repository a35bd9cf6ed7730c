//! Several files of fail2ban's as one: what a key is in a section, with every `%(…)s` in it replaced.

use std::collections::BTreeMap;

use thiserror::Error;

use super::ini::{Ini, Value};
use crate::config::diagnostic::Diagnostic;

/// How deep `%(…)s` may stand in the values of others, as in Python.
const DEEPEST: usize = 10;
/// Bytes that a value may have when everything in it is replaced.
pub const LONGEST_VALUE: usize = 256 << 10;

/// Names that may be replaced in one value, with those in the values that they stand for.
const MOST_NAMES: usize = 10_000;

/// Keys with their values.
pub type Keys = BTreeMap<String, Value>;
/// Values that come before those of files: options in brackets, and what fail2ban sets itself.
pub type Given = BTreeMap<String, String>;

/// Files put together: later ones win, key by key.
#[derive(Clone, Debug, Default)]
pub struct Merged {
    defaults: Keys,
    /// In the order in which their names first occur.
    sections: Vec<(String, Keys)>,
    /// The values that later files have replaced, by section: `%(known/KEY)s`.
    known: BTreeMap<String, Keys>,
}

/// The reason why a value cannot be had.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum Unresolved {
    /// A name that is nowhere.
    #[error("`%({0})s` is set nowhere")]
    Missing(String),
    /// It needs itself, or goes deeper than Python does.
    #[error("`%(…)s` stands in itself, or deeper than {DEEPEST} values")]
    TooDeep,
    /// It grows without end.
    #[error(
        "it has more than {LONGEST_VALUE} bytes, or {MOST_NAMES} names, when every `%(…)s` in it is replaced"
    )]
    TooLong,
    /// A percent sign alone.
    #[error("`%` alone: write `%%` for a percent sign")]
    LonePercent,
}

impl Merged {
    /// Puts another file over these.
    pub fn add(&mut self, ini: &Ini) {
        for section in &ini.sections {
            let keys = section.keys.iter().cloned();
            if section.name == "DEFAULT" {
                self.defaults.extend(keys);
                continue;
            }
            // `[Init?family=inet6]` holds values of [Init] for one family.
            let (name, family) = match section.name.find('?') {
                Some(at) if at > 0 => section.name.split_at(at),
                _ => (section.name.as_str(), ""),
            };
            let keys = keys.map(|(key, value)| (format!("{key}{family}"), value));
            if let Some((_, known)) = self.sections.iter_mut().find(|(known, _)| known == name) {
                let replaced = self.known.entry(name.to_owned()).or_default();
                for (key, value) in keys {
                    if let Some(before) = known.insert(key.clone(), value) {
                        replaced.insert(key, before);
                    }
                }
            } else {
                self.sections.push((name.to_owned(), keys.collect()));
            }
        }
    }

    /// Returns the names of the sections but `[DEFAULT]`, in the order in which they first occur.
    pub fn sections(&self) -> impl Iterator<Item = &str> {
        self.sections.iter().map(|(name, _)| name.as_str())
    }

    /// Returns the keys of `[DEFAULT]`.
    #[must_use]
    pub fn defaults(&self) -> &Keys {
        &self.defaults
    }

    /// Returns the keys that a section has itself; `None` if there is no such section.
    #[must_use]
    pub fn own(&self, section: &str) -> Option<&Keys> {
        self.sections.iter().find(|(name, _)| name == section).map(|(_, keys)| keys)
    }

    /// Returns the value of a key in a section as it is written there, or in `[DEFAULT]`.
    #[must_use]
    pub fn written(&self, section: &str, key: &str) -> Option<&Value> {
        self.own(section).and_then(|keys| keys.get(key)).or_else(|| self.defaults.get(key))
    }

    /// Returns the value of a key in a section with every `%(…)s` in it replaced; `None` if neither the section nor
    /// `[DEFAULT]` has it. `given` comes before both.
    ///
    /// # Errors
    /// When something in it is set nowhere, or stands in itself.
    pub fn get(
        &self,
        section: &str,
        key: &str,
        given: &Given,
    ) -> Result<Option<String>, Unresolved> {
        let Some(value) = self.written(section, key) else { return Ok(None) };
        self.interpolate(section, &value.text, given).map(Some)
    }

    /// Returns `text` with every `%(…)s` in it replaced, as it is in a section.
    ///
    /// # Errors
    /// See [`Merged::get`].
    pub fn interpolate(
        &self,
        section: &str,
        text: &str,
        given: &Given,
    ) -> Result<String, Unresolved> {
        let mut out = Replaced { text: String::new(), names: 0 };
        self.replace(section, text, given, 1, &mut out)?;
        Ok(out.text)
    }

    fn replace(
        &self,
        section: &str,
        text: &str,
        given: &Given,
        depth: usize,
        out: &mut Replaced,
    ) -> Result<(), Unresolved> {
        if depth > DEEPEST {
            return Err(Unresolved::TooDeep);
        }
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            out.text.push_str(before);
            rest = if let Some(rest) = after.strip_prefix('%') {
                out.text.push('%');
                rest
            } else if let Some((name, rest)) =
                after.strip_prefix('(').and_then(|name| name.split_once(")s"))
            {
                let name = name.to_lowercase();
                out.names += 1;
                let known;
                let value = if name == "__name__" {
                    section
                } else if let Some(value) = given.get(&name) {
                    value
                } else {
                    known = self.named(section, &name);
                    known.ok_or_else(|| Unresolved::Missing(name.clone()))?
                };
                if value.contains('%') && !given.contains_key(&name) {
                    self.replace(section, value, given, depth + 1, out)?;
                } else {
                    out.text.push_str(value);
                }
                rest
            } else {
                return Err(Unresolved::LonePercent);
            };
            out.check()?;
        }
        out.text.push_str(rest);
        out.check()
    }

    /// Returns the written value of what stands between `%(` and `)s`: a key, or `SECTION/KEY`.
    fn named(&self, section: &str, name: &str) -> Option<&str> {
        let plain = self.written(section, name);
        let value = plain.or_else(|| {
            let (other, key) = name.split_once('/')?;
            let default = || self.defaults.get(key);
            match other {
                "default" => default(),
                "known" => self.known.get(section).and_then(|keys| keys.get(key)).or_else(default),
                _ => self.own_of_any_case(other).and_then(|keys| keys.get(key)).or_else(default),
            }
        })?;
        Some(&value.text)
    }

    /// Returns the keys of a section whose name was written in small letters.
    fn own_of_any_case(&self, name: &str) -> Option<&Keys> {
        let exact = self.own(name);
        let any = || self.sections.iter().find(|(known, _)| known.to_lowercase() == name);
        exact.or_else(|| any().map(|(_, keys)| keys))
    }

    /// Returns the value of `SECTION/KEY` or `KEY` with everything in it replaced where it stands: what `<SECTION/KEY>`
    /// means in a filter.
    ///
    /// # Errors
    /// See [`Merged::get`].
    pub fn get_tag(
        &self,
        section: &str,
        name: &str,
        given: &Given,
    ) -> Result<Option<String>, Unresolved> {
        let Some((other, key)) = name.split_once('/') else {
            return self.get(section, name, given);
        };
        match other.to_lowercase().as_str() {
            "known" => {
                let known = self.known.get(section).and_then(|keys| keys.get(key));
                match known {
                    Some(value) => self.interpolate(section, &value.text, given).map(Some),
                    None => self.get(section, key, given),
                }
            }
            "default" => self.get("DEFAULT", key, given),
            _ if self.own(other).is_none() => Ok(None),
            _ => self.get(other, key, &Given::new()),
        }
    }
}

/// What has become of a value so far.
struct Replaced {
    text: String,
    names: usize,
}

impl Replaced {
    fn check(&self) -> Result<(), Unresolved> {
        let is_long = self.text.len() > LONGEST_VALUE || self.names > MOST_NAMES;
        if is_long { Err(Unresolved::TooLong) } else { Ok(()) }
    }
}

impl Unresolved {
    /// Returns what is wrong with the value, at its place.
    #[must_use]
    pub fn at(&self, value: &Value) -> Diagnostic {
        value.problem(self.to_string(), None)
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::fail2ban::ini;

    fn merged(texts: &[&str]) -> Merged {
        let mut merged = Merged::default();
        for text in texts {
            merged.add(&ini::parse(Path::new("x"), text));
        }
        merged
    }

    fn get(texts: &[&str], section: &str, key: &str) -> Result<Option<String>, Unresolved> {
        merged(texts).get(section, key, &Given::new())
    }

    fn good(texts: &[&str], section: &str, key: &str) -> String {
        get(texts, section, key).unwrap().unwrap()
    }

    #[test]
    fn names_are_looked_up_in_the_section_then_in_default() {
        let text = "[DEFAULT]\na = %(b)s\nb = 1\n[x]\nb = 2\nc = %(A)s%%\nn = %(__name__)s\n";
        assert_eq!(good(&[text], "x", "a"), "2");
        assert_eq!(good(&[text], "x", "c"), "2%");
        assert_eq!(good(&[text], "x", "n"), "x");
        assert_eq!(get(&[text], "x", "d").unwrap(), None);
        let given = Given::from([("b".to_owned(), "%3".to_owned())]);
        assert_eq!(merged(&[text]).get("x", "a", &given).unwrap().unwrap(), "%3");
    }

    #[test]
    fn other_sections_and_replaced_values_have_names() {
        let first = "[DEFAULT]\nz = 9\n[x]\na = 1\n[Y]\nb = %(a)s\n";
        let later = "[x]\na = %(known/a)s2\nq = %(default/z)s%(y/b)s%(known/z)s%(y/z)s\n";
        assert_eq!(good(&[first, later], "x", "a"), "12");
        // Of another section, it is the written value; its names are looked up here.
        assert_eq!(good(&[first, later], "x", "q"), "91299");
        assert_eq!(
            merged(&[first, later]).get_tag("x", "Y/z", &Given::new()),
            Ok(Some("9".into()))
        );
        assert_eq!(merged(&[first, later]).get_tag("x", "no/z", &Given::new()), Ok(None));
    }

    #[test]
    fn a_condition_goes_with_the_key() {
        let merged = merged(&["[Init]\na = 1\n", "[Init?family=inet6]\na = 2\n"]);
        let keys: Vec<_> = merged.own("Init").unwrap().keys().cloned().collect();
        assert_eq!(keys, ["a", "a?family=inet6"]);
    }

    #[test]
    fn what_cannot_be_resolved_says_why() {
        assert_eq!(get(&["[x]\na = %(b)s\n"], "x", "a"), Err(Unresolved::Missing("b".into())));
        assert_eq!(get(&["[x]\na = %(a)s\n"], "x", "a"), Err(Unresolved::TooDeep));
        assert_eq!(get(&["[x]\na = 5%\n"], "x", "a"), Err(Unresolved::LonePercent));
        let mut bomb = format!("[x]\na0 = {}%(b)s\nb=%%\n", "y".repeat(1000));
        for n in 1..9 {
            let before = format!("%(a{})s", n - 1);
            bomb += &["a", &n.to_string(), " = ", &before.repeat(10), "\n"].concat();
        }
        assert_eq!(get(&[&bomb], "x", "a8"), Err(Unresolved::TooLong));
        let empty = bomb.replace(&"y".repeat(1000), "");
        assert_eq!(get(&[&empty], "x", "a8"), Err(Unresolved::TooLong));
    }

    proptest! {
        #[test]
        fn any_value_ends(a in "[%()a-c s/]{0,40}", b in "[%()a-c s/]{0,40}", c in "[%()a-c s/]{0,40}") {
            let text = format!("[DEFAULT]\nc = {c}\n[x]\na = {a}\nb = {b}\n");
            let _ = get(&[&text, "[x]\na = %(known/a)s\n"], "x", "a");
        }
    }
}
