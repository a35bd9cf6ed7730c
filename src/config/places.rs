//! Where each key is written: file and line, or that it is built in.

use std::collections::{BTreeMap, BTreeSet};

use toml::de::{DeTable, DeValue};

use super::diagnostic::Diagnostic;
use super::jail_section::{KEYS, Layer};
use super::toml_reader::TomlReader;
use crate::model::listed::FileLine;

/// The places of all keys, the last one where several files have the same key. Two configurations with the same
/// values are equal, wherever these are written.
#[derive(Clone, Debug, Default)]
pub struct Places {
    written: BTreeMap<String, FileLine>,
    /// The names of the jails that are built in.
    built_in: BTreeSet<String>,
    /// The jails that are switched off.
    pub(super) disabled: Vec<String>,
    /// What is accepted, and worth a second look.
    pub(super) notes: Vec<Diagnostic>,
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Places {
    /// Takes up what a file has.
    pub(super) fn merge(&mut self, reader: &TomlReader, layer: Layer, table: &DeTable) {
        match layer {
            Layer::Written => note(&mut self.written, reader, "", table),
            Layer::BuiltIn => {
                let jails = table.get("jail").and_then(|jails| jails.get_ref().as_table());
                let names = jails.into_iter().flatten().map(|(name, _)| name.get_ref().to_string());
                self.built_in.extend(names);
            }
        }
    }

    /// Returns where the value of a key is written that stands in no jail, such as `loglevel` or `wire.group`;
    /// `None` if it is built in.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&FileLine> {
        self.written.get(key)
    }

    /// Returns where the value of a jail's key is written: below its name or below `[default]`; `None` if it is
    /// built in.
    #[must_use]
    pub fn of_jail(&self, jail: &str, key: &str) -> Option<&FileLine> {
        let own = self.of(&format!("jail.{jail}.{key}"));
        own.or_else(|| self.of_default(key).filter(|_| key != "filter" || !self.is_built_in(jail)))
    }

    /// Returns where a key is written below `[default]`.
    #[must_use]
    pub fn of_default(&self, key: &str) -> Option<&FileLine> {
        self.of(&format!("default.{key}"))
    }

    /// Returns the names of the jails that are switched off.
    #[must_use]
    pub fn disabled(&self) -> &[String] {
        &self.disabled
    }

    /// Returns what was accepted and changes nothing, with the reason.
    #[must_use]
    pub fn notes(&self) -> &[Diagnostic] {
        &self.notes
    }

    /// Whether this jail is built in.
    #[must_use]
    pub fn is_built_in(&self, jail: &str) -> bool {
        self.built_in.contains(jail)
    }

    /// Returns the keys of jails that are written below `[default]`, and where.
    pub fn written_for_all(&self) -> impl Iterator<Item = (&'static str, &FileLine)> {
        KEYS.iter().filter_map(|key| Some((*key, self.of_default(key)?)))
    }

    /// Returns the keys that are written below a jail's name, and where.
    pub fn written_for(&self, jail: &str) -> impl Iterator<Item = (&'static str, &FileLine)> {
        KEYS.iter().filter_map(move |key| Some((*key, self.of(&format!("jail.{jail}.{key}"))?)))
    }
}

/// Notes the keys of a table, and of the sections in it.
fn note(
    places: &mut BTreeMap<String, FileLine>,
    reader: &TomlReader,
    before: &str,
    table: &DeTable,
) {
    for (key, value) in table {
        let name = format!("{before}{}", key.get_ref());
        let is_section =
            before.is_empty() || matches!(before, "jail." | "feed." | "notify." | "fleet.");
        if let DeValue::Table(inner) = value.get_ref() {
            if is_section {
                note(places, reader, &format!("{name}."), inner);
            }
        }
        places.insert(name, reader.place(&key.span()));
    }
}
