//! The keys of `[default]` about all jails together: which hosts are known good, which logins raise an alarm, how
//! many unverified bans there may be, by which tags Asterisk's lines are known, and in which zone logs are dated.

use std::time::Duration;

use toml::de::DeTable;

use super::toml_reader::{TomlReader, TomlValue};
use super::{KnownGood, LogTimeZone, NewNetworks, log_time_zone};

/// The keys.
pub(super) const KEYS: [&str; 5] =
    ["knowngood", "maxunverified", "newnetworks", "tag", "logtimezone"];

/// Stands for any container.
const CONTAINER: &str = "<CONTAINER>";

/// Bytes that a tag may have; there may be as many tags as are written.
const LONGEST_TAG: usize = 128;

const TAG_HELP: &str = "write the names before the brackets or the colon in the log, for example [\"asterisk\", \"pbx\"]; \"<CONTAINER>\" stands for any container";

const HELP: &str =
    "write for example { time = \"1d\", maxunknown = 3, findtime = \"10m\", maxrate = 30 }";

const NEW_NETWORKS_HELP: &str = "write for example { enabled = true, learn = \"1w\" }";

/// The values so far; those of a file win over those of the files before it.
#[derive(Default)]
pub(super) struct GlobalKeys {
    enabled: Option<bool>,
    time: Option<Duration>,
    maxunknown: Option<u32>,
    findtime: Option<Duration>,
    maxrate: Option<u32>,
    maxtries: Option<u32>,
    maxunverified: Option<u32>,
    new_networks: Option<bool>,
    learn: Option<Duration>,
    tag: Option<Vec<String>>,
    pub logtimezone: Option<LogTimeZone>,
}

impl GlobalKeys {
    /// Merges in what `[default]` says.
    pub fn merge(&mut self, reader: &mut TomlReader, table: &DeTable) {
        if let Some(value) = table.get("knowngood") {
            self.known_good(reader, value);
        }
        if let Some(value) = table.get("maxunverified") {
            let help = "write how many bans a minute may rest on packets that can be forged";
            self.maxunverified = reader.number(value, 1..=u32::MAX, help).or(self.maxunverified);
        }
        if let Some(value) = table.get("newnetworks") {
            self.new_networks(reader, value);
        }
        if let Some(value) = table.get("tag") {
            self.tags(reader, value);
        }
        if let Some(value) = table.get("logtimezone") {
            self.logtimezone = log_time_zone::read(reader, value).or(self.logtimezone.take());
        }
    }

    fn tags(&mut self, reader: &mut TomlReader, value: &TomlValue) {
        let mut tags = Vec::new();
        for (tag, span) in reader.some_texts(value, TAG_HELP) {
            let is_tag = |byte: u8| byte.is_ascii_graphic() && !b"[]:<>|\"".contains(&byte);
            if tag == CONTAINER
                || (!tag.is_empty() && tag.len() <= LONGEST_TAG && tag.bytes().all(is_tag))
            {
                tags.push(tag.to_owned());
            } else {
                reader.error(span, format_args!("{tag:?} is no tag"), TAG_HELP);
            }
        }
        if !tags.is_empty() {
            self.tag = Some(tags);
        }
    }

    fn new_networks(&mut self, reader: &mut TomlReader, value: &TomlValue) {
        for (key, value) in reader.table(value, NEW_NETWORKS_HELP).into_iter().flatten() {
            match key.get_ref().as_ref() {
                "enabled" => self.new_networks = reader.boolean(value).or(self.new_networks),
                "learn" => self.learn = reader.duration(value).or(self.learn),
                _ => reader.unknown_key(key, &["enabled", "learn"]),
            }
        }
    }

    fn known_good(&mut self, reader: &mut TomlReader, value: &TomlValue) {
        for (key, value) in reader.table(value, HELP).into_iter().flatten() {
            match key.get_ref().as_ref() {
                "enabled" => self.enabled = reader.boolean(value).or(self.enabled),
                "time" => self.time = reader.duration(value).or(self.time),
                "maxunknown" => {
                    let help = "write with how many other accounts that fail nothing is excused";
                    self.maxunknown = reader.number(value, 1..=u32::MAX, help).or(self.maxunknown);
                }
                "findtime" => self.findtime = reader.duration(value).or(self.findtime),
                "maxrate" => {
                    let help = "write after how many failures of one account in a minute nothing is excused";
                    self.maxrate = reader.number(value, 1..=u32::MAX, help).or(self.maxrate);
                }
                "maxtries" => {
                    let help = "write how often a day one other account may fail beside phones that are logged in";
                    self.maxtries = reader.number(value, 1..=u32::MAX, help).or(self.maxtries);
                }
                _ => reader.unknown_key(
                    key,
                    &["enabled", "time", "maxunknown", "findtime", "maxrate", "maxtries"],
                ),
            }
        }
    }

    /// Notes the keys that a jail cannot have.
    pub fn refuse(reader: &mut TomlReader, table: &DeTable) {
        for (key, _) in table.iter().filter(|(key, _)| KEYS.contains(&key.get_ref().as_ref())) {
            let message = format_args!("{:?} is about all jails together", key.get_ref());
            reader.error(key.span(), message, "write it below [default]");
        }
    }

    /// Returns what makes a host known good. (The built-in configuration says all of it; without that,
    /// there are no such hosts.)
    pub fn finish_known_good(&self) -> KnownGood {
        KnownGood {
            enabled: self.enabled.unwrap_or(false),
            time: self.time.unwrap_or_default(),
            maxunknown: self.maxunknown.unwrap_or(1),
            findtime: self.findtime.unwrap_or_default(),
            maxrate: self.maxrate.unwrap_or(1),
            maxtries: self.maxtries.unwrap_or(1),
        }
    }

    /// Returns what is said of logins from new networks: nothing, without the built-in configuration.
    pub fn finish_new_networks(&self) -> NewNetworks {
        NewNetworks {
            enabled: self.new_networks.unwrap_or(false),
            learn: self.learn.unwrap_or_default(),
        }
    }

    /// Returns the tags of Asterisk's lines in the logs of others.
    pub fn finish_tags(&self) -> Vec<String> {
        self.tag.clone().unwrap_or_default()
    }

    /// Unverified bans that may be a minute.
    pub fn finish_maxunverified(&self) -> u32 {
        self.maxunverified.unwrap_or(u32::MAX)
    }
}
