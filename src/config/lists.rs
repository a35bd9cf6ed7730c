//! The section `[lists]`: what to let pass and what to block, and where that is written.

use std::ops::Range;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::countries::{Countries, CountriesSection};
use super::feeds::{FeedSections, Fetch, ListFile};
use super::network::network;
use super::ports;
use super::toml_reader::{PathOf, TomlReader, TomlValue};
use crate::model::hostname::HostName;
use crate::model::listed::ListedNetwork;
use crate::model::listed::unblockable;

const LISTS: [&str; 6] =
    ["allow", "block", "allowfiles", "blockfiles", "guardedports", "countries"];

const NETS_HELP: &str = "write for example [\"203.0.113.10\", \"2001:db8::/32\"]";
const PATHS_HELP: &str = "write absolute paths, for example \"/etc/asterguard/block.list\"";

/// The lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListConfig {
    /// Never banned, always let through.
    pub allow: Vec<ListedNetwork>,
    /// Always dropped, unless they are let through.
    pub block: Vec<ListedNetwork>,
    /// Files with more of the first.
    pub allowfiles: Vec<PathBuf>,
    /// Files with more of the second.
    pub blockfiles: Vec<PathBuf>,
    /// Ports of this machine that only hosts that are let through can reach: ranges, both ends
    /// included, in ascending order, not overlapping.
    pub guardedports: Vec<(u16, u16)>,
    /// The countries whose hosts may reach the SIP ports, or may not.
    pub countries: Option<Countries>,
    /// Lists that others make, by name.
    pub feeds: Vec<ListFile>,
}

impl ListConfig {
    /// Returns how the feed of this name is fetched, if it is.
    #[must_use]
    pub fn fetch(&self, feed: &str) -> Option<&Fetch> {
        self.feeds.iter().find(|file| file.name == feed)?.fetch.as_ref()
    }

    /// The same without what others make.
    #[must_use]
    pub fn own(&self) -> Self {
        Self { feeds: Vec::new(), ..self.clone() }
    }
}

/// The values so far; those of a file win over those of the files before it.
#[derive(Default)]
pub(super) struct ListSections {
    lists: ListConfig,
    /// The file (by its number) and place where ports are guarded.
    guarded: Option<(usize, Range<usize>)>,
    countries: CountriesSection,
    feeds: FeedSections,
}

impl ListSections {
    /// Merges in what the file of this number says.
    pub fn merge(&mut self, reader: &mut TomlReader, file: usize, table: &DeTable) {
        if let Some(value) = table.get("lists") {
            let help = "write [lists], and its keys below it";
            for (key, value) in reader.table(value, help).into_iter().flatten() {
                match key.get_ref().as_ref() {
                    "allow" => self.lists.allow = nets(reader, value, |_| None),
                    "block" => self.lists.block = nets(reader, value, unblockable),
                    "allowfiles" => self.lists.allowfiles = paths(reader, value),
                    "blockfiles" => self.lists.blockfiles = paths(reader, value),
                    "guardedports" => {
                        let none =
                            matches!(value.get_ref(), DeValue::Array(items) if items.is_empty());
                        self.lists.guardedports =
                            if none { Vec::new() } else { ports::ranges(reader, value) };
                        self.guarded = Some((file, value.span()));
                    }
                    "countries" => self.countries.merge(reader, file, value),
                    _ => reader.unknown_key(key, &LISTS),
                }
            }
        }
        self.feeds.merge(reader, file, table);
    }

    /// The lists; what is missing is noted.
    pub fn finish(self, readers: &mut [TomlReader]) -> ListConfig {
        let mut lists = self.lists;
        lists.countries = self.countries.finish(readers);
        let nobody = lists.allow.is_empty() && lists.allowfiles.is_empty();
        if let (false, true, Some((file, span))) =
            (lists.guardedports.is_empty(), nobody, self.guarded)
        {
            if let Some(reader) = readers.get_mut(file) {
                let message = "these ports would be closed to everybody";
                reader.error(span, message, "say in allow or allowfiles who may reach them");
            }
        }
        lists.feeds = self.feeds.finish(readers);
        lists
    }
}

fn nets(
    reader: &mut TomlReader,
    value: &TomlValue,
    check: fn(&IpNet) -> Option<&'static str>,
) -> Vec<ListedNetwork> {
    let mut nets = Vec::new();
    for (word, span) in words(reader, value, NETS_HELP) {
        let text = word.as_str();
        match network(text) {
            Ok(net) => match check(&net) {
                None => nets.push(ListedNetwork { net, place: reader.place(&span) }),
                Some(message) => reader.error(span, message, "leave it out"),
            },
            Err(_) if text.parse::<HostName>().is_ok() => {
                let message = format_args!("{text:?} is a name: lists have addresses only");
                reader.error(span, message, "write names into ignoreip: they are looked up there");
            }
            Err(help) => {
                reader.error(span, format_args!("{text:?} is not an address or network"), help);
            }
        }
    }
    nets
}

/// Returns the words of a value: a text may hold several, as in `ignoreip`.
pub(super) fn words(
    reader: &mut TomlReader,
    value: &TomlValue,
    help: &str,
) -> Vec<(String, Range<usize>)> {
    let mut words = Vec::new();
    for (text, span) in reader.texts(value, help) {
        let found =
            text.split(|c: char| c.is_whitespace() || c == ',').filter(|word| !word.is_empty());
        let before = words.len();
        words.extend(found.map(|word| (word.to_owned(), reader.inside(&span, text, word))));
        if words.len() == before {
            reader.error(span, format_args!("{text:?} is not an address or network"), help);
        }
    }
    words
}

fn paths(reader: &mut TomlReader, value: &TomlValue) -> Vec<PathBuf> {
    let texts = reader.texts(value, PATHS_HELP);
    texts.into_iter().filter_map(|(text, span)| path(reader, text, &span)).collect()
}

fn path(reader: &mut TomlReader, text: &str, span: &Range<usize>) -> Option<PathBuf> {
    reader.absolute_path(text, span, PathOf::File, PATHS_HELP).map(Path::to_owned)
}
