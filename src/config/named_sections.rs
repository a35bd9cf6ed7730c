//! Sections with names of their own, such as `[feed.NAME]`: merged key by key, with the places where they are written.

use std::collections::BTreeMap;
use std::ops::Range;

use super::toml_reader::{TomlKey, TomlReader, TomlValue};

/// The values of a section.
pub(super) trait Values: Default {
    /// How many sections there may be, and how one is written.
    const KIND: Kind;

    /// Takes up a key.
    fn merge(&mut self, reader: &mut TomlReader, key: &TomlKey, value: &TomlValue);

    /// Whether it is wanted, if it says so.
    fn enabled(&self) -> Option<bool>;
}

/// What all sections of a kind have in common.
pub(super) struct Kind {
    /// What they are.
    pub plural: &'static str,
    /// How many there may be.
    pub most: usize,
    /// What to do with more.
    pub with_more: &'static str,
    /// How one is written.
    pub help: &'static str,
}

/// A place: the file (by its number), and where in it.
type Place = (usize, Range<usize>);

/// The sections of a kind by their names; the values of a file win over those of the files before it.
#[derive(Default)]
pub(super) struct NamedSections<V>(BTreeMap<String, Section<V>>);

struct Section<V> {
    /// Where it is first named.
    start: Place,
    values: V,
    /// Where each key is written last.
    written: BTreeMap<String, Place>,
}

impl<V: Values> NamedSections<V> {
    /// Merges in the table of all sections of the file of this number.
    pub fn merge(&mut self, reader: &mut TomlReader, file: usize, value: &TomlValue) {
        let Kind { plural, most, with_more, help } = V::KIND;
        for (key, value) in reader.table(value, help).into_iter().flatten() {
            if !reader.is_name(key) {
                continue;
            }
            let Some(table) = reader.table(value, help) else { continue };
            let name = key.get_ref();
            if self.0.len() >= most && !self.0.contains_key(name.as_ref()) {
                reader.error(key.span(), format_args!("more than {most} {plural}"), with_more);
                return;
            }
            let section = self.0.entry(name.to_string()).or_insert_with(|| Section {
                start: (file, key.span()),
                values: V::default(),
                written: BTreeMap::new(),
            });
            for (key, value) in table {
                section.written.insert(key.get_ref().to_string(), (file, key.span()));
                section.values.merge(reader, key, value);
            }
        }
    }

    /// Returns what `finish` makes of the sections that are wanted and right, by name; it notes what is missing or does not
    /// fit together.
    pub fn finish<T>(
        self,
        readers: &mut [TomlReader],
        finish: impl Fn(V, &mut Notes<'_>) -> Option<T>,
    ) -> Vec<T> {
        let finished = self.0.into_iter().filter_map(|(name, section)| {
            let Section { start, values, written } = section;
            let is_enabled = values.enabled().unwrap_or(true);
            let mut notes = Notes { name: &name, start, written, readers, wrong: false };
            let finished = finish(values, &mut notes);
            finished.filter(|_| is_enabled && !notes.wrong)
        });
        finished.collect()
    }
}

/// Notes what is wrong with a section as a whole.
pub(super) struct Notes<'a> {
    /// The name of the section.
    pub name: &'a str,
    start: Place,
    written: BTreeMap<String, Place>,
    readers: &'a mut [TomlReader],
    wrong: bool,
}

impl Notes<'_> {
    /// Whether a key is written, be its value right or wrong.
    pub fn is_written(&self, key: &str) -> bool {
        self.written.contains_key(key)
    }

    /// Returns the keys that are written.
    pub fn written(&self) -> Vec<String> {
        self.written.keys().cloned().collect()
    }

    /// Whether something was noted.
    pub fn are_there(&self) -> bool {
        self.wrong
    }

    /// Notes an error where a key is written; if it is not, where the section begins.
    pub fn note(&mut self, key: &str, message: &str, help: &str) {
        let (file, span) = self.written.get(key).unwrap_or(&self.start).clone();
        if let Some(reader) = self.readers.get_mut(file) {
            reader.error(span, message, help);
        }
        self.wrong = true;
    }
}
