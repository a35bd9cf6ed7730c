//! Named port lists: `[ports]`.

use std::collections::BTreeMap;

use toml::de::DeValue;

use super::toml_reader::{TomlKey, TomlReader, TomlValue};
use crate::model::scope::{Ports, merged};

const HELP: &str = "write numbers from 1 to 65535 and ranges in quotes: [5060, \"5080-5089\"]";

/// The port lists by their names; `all` is always among them.
pub(super) struct PortLists(BTreeMap<String, Ports>);

impl Default for PortLists {
    fn default() -> Self {
        Self(BTreeMap::from([("all".to_owned(), Ports::All)]))
    }
}

impl PortLists {
    /// Merges in what `[ports]` says.
    pub fn merge(&mut self, reader: &mut TomlReader, value: &TomlValue) {
        let help = "write [ports], and below it for example: sip = [5060, \"5080-5089\"]";
        for (key, value) in reader.table(value, help).into_iter().flatten() {
            if key.get_ref() == "all" {
                let help = "it is built in and means every port: choose another name";
                reader.error(key.span(), "\"all\" cannot be defined", help);
            } else if reader.is_name(key) {
                self.insert(reader, key, value);
            }
        }
    }

    fn insert(&mut self, reader: &mut TomlReader, key: &TomlKey, value: &TomlValue) {
        let ranges = ranges(reader, value);
        self.0.insert(key.get_ref().to_string(), Ports::Ranges(ranges));
    }

    /// The names.
    pub fn names(&self) -> Vec<&str> {
        self.0.keys().map(String::as_str).collect()
    }

    /// The lists: `all` and `sip` first, then the others by name.
    pub fn finish(self) -> Vec<(String, Ports)> {
        let mut lists: Vec<_> = self.0.into_iter().collect();
        lists.sort_by_key(|(name, _)| (name != "all", name != "sip"));
        lists
    }
}

/// The ranges that a value lists, at least one.
pub(super) fn ranges(reader: &mut TomlReader, value: &TomlValue) -> Vec<(u16, u16)> {
    let items = match value.get_ref() {
        DeValue::Array(items) => items.iter().collect(),
        _ => vec![value],
    };
    if items.is_empty() {
        reader.error(value.span(), "empty list", HELP);
    }
    merged(items.into_iter().filter_map(|item| range(reader, item)))
}

fn range(reader: &mut TomlReader, value: &TomlValue) -> Option<(u16, u16)> {
    let DeValue::String(text) = value.get_ref() else {
        return reader.number(value, 1..=u16::MAX, HELP).map(|port| (port, port));
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let range = first.trim().parse().ok().zip(last.trim().parse().ok());
    let range = range.filter(|(first, last)| 0 < *first && first <= last);
    if range.is_none() {
        let parts = text.split([',', ' ']).filter(|part| !part.is_empty());
        let parts: Vec<_> = parts.map(|part| part.replace(':', "-")).collect();
        let are_ports = parts.iter().all(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            matches!((first.parse::<u16>(), last.parse::<u16>()), (Ok(first), Ok(last)) if 0 < first && first <= last)
        });
        let quoted =
            |part: &String| if part.contains('-') { format!("{part:?}") } else { part.clone() };
        let help = match parts.len() {
            0 => HELP.to_owned(),
            _ if !are_ports => HELP.to_owned(),
            _ => format!("write [{}]", parts.iter().map(quoted).collect::<Vec<_>>().join(", ")),
        };
        reader.error(value.span(), format_args!("{text:?} is not a range of ports"), help);
    }
    range
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_that_touch_become_one() {
        assert_eq!(
            merged(vec![
                (5060, 5061),
                (80, 80),
                (5062, 5062),
                (5050, 5060),
                (65535, 65535),
                (1, 9),
                (2, 3)
            ]),
            [(1, 9), (80, 80), (5050, 5062), (65535, 65535)]
        );
        assert_eq!(merged(vec![(65535, 65535), (65535, 65535)]), [(65535, 65535)]);
    }
}
