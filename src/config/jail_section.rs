//! The sections `[default]` and `[jail.NAME]`: the keys of a section and what their values mean.

use std::ops::Range;
use std::time::Duration;

use glob::Pattern;
use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::diagnostic::nearest;
use super::network::{ADDRESS_HELP, network};
use super::own_rules::{self, OwnKeys};
use super::toml_reader::{PathOf, TomlReader, TomlValue, did_you_mean};
use super::{BanTerms, Counting, Hearsay, Jail, Mode, answered, global};
use crate::model::event;
use crate::model::event::Class;
use crate::model::hostname::HostName;
use crate::model::remote_source::RemoteSource;
use crate::model::scope::Blocktype;
use crate::model::time::{BanDuration, BanTime};

/// The keys of a section.
pub(super) const KEYS: [&str; 24] = [
    "enabled",
    "mode",
    "filter",
    "failregex",
    "ignoreregex",
    "datepattern",
    "class",
    "logpath",
    "count",
    "maxretry",
    "findtime",
    "bantime",
    "port",
    "blocktype",
    "ignoreip",
    "ipv6prefix",
    "unverified",
    "hearsay",
    "renew",
    "knowngood",
    "maxunverified",
    "newnetworks",
    "tag",
    "logtimezone",
];

/// The keys that the jail [`RECIDIVE`](super::RECIDIVE) does not have: it reads nothing.
pub(super) const OF_READERS: [&str; 9] = [
    "filter",
    "failregex",
    "ignoreregex",
    "datepattern",
    "class",
    "logpath",
    "count",
    "hearsay",
    "unverified",
];

pub(super) const MODES: [(Mode, &str); 2] =
    [(Mode::Enforce, "enforce"), (Mode::Observe, "observe")];
pub(super) const BLOCKTYPES: [(Blocktype, &str); 3] =
    [(Blocktype::Drop, "drop"), (Blocktype::Reject, "reject"), (Blocktype::DropNew, "drop-new")];
pub(super) const COUNTINGS: [(Counting, &str); 2] =
    [(Counting::Attempts, "attempts"), (Counting::Accounts, "accounts")];
pub(super) const HEARSAY: [(Hearsay, &str); 2] =
    [(Hearsay::Ignore, "ignore"), (Hearsay::Count, "count")];

const BAN_HELP: &str = "write for example \"10m\", \"1d 12h\", 3600 (seconds) or \"permanent\"";
const INCREMENT_HELP: &str =
    "write for example \"1h\", \"permanent\", or { first = \"1h\", factor = 4, max = \"30d\" }";

/// The keys of a ban time.
const INCREMENT_KEYS: [&str; 6] = ["first", "factor", "max", "decay", "rndtime", "overalljails"];

const NAME_HELP: &str = "write an address such as \"203.0.113.10\", a network, \"203.0.113.0/24\", or a name, \"sip.example.com\"";

/// The names that a section can refer to.
#[derive(Clone, Copy)]
pub(super) struct KnownNames<'a> {
    /// The names of the rule files; `None` for what is built in, which names those that come with the program.
    pub filters: Option<&'a [String]>,
    /// The names of the port lists.
    pub ports: &'a [&'a str],
}

/// The values that a section gives; what it leaves out is taken from the one below it.
#[derive(Clone, Default)]
pub(super) struct Section {
    pub enabled: Option<bool>,
    pub mode: Option<Mode>,
    pub filter: Option<Vec<Pattern>>,
    pub own: OwnKeys,
    pub class: Option<Vec<Class>>,
    pub logpath: Option<Vec<String>>,
    pub count: Option<Counting>,
    pub maxretry: Option<u32>,
    pub findtime: Option<Duration>,
    pub bantime: BanTimeIncrement,
    pub port: Option<String>,
    pub blocktype: Option<Blocktype>,
    pub ignoreip: Option<IgnoreIp>,
    pub ipv6prefix: Option<u8>,
    pub unverified: UnverifiedOverrides,
    pub hearsay: Option<Hearsay>,
    pub renew: Option<bool>,
}

/// The entries of `ignoreip`.
#[derive(Clone, Default)]
pub(super) struct IgnoreIp {
    pub nets: Vec<IpNet>,
    pub names: Vec<HostName>,
}

/// The parts of a ban time.
#[derive(Clone, Copy, Default)]
pub(super) struct BanTimeIncrement {
    first: Option<BanDuration>,
    factor: Option<u32>,
    max: Option<BanDuration>,
    decay: Option<Duration>,
    rndtime: Option<Duration>,
    overalljails: Option<bool>,
}

/// The parts of `unverified`.
#[derive(Clone, Default)]
pub(super) struct UnverifiedOverrides {
    /// What is not said here is as for proven bans.
    as_proven: bool,
    bantime: BanTimeIncrement,
    port: Option<String>,
}

/// A section as the files say it, and as it is built in.
#[derive(Clone, Default)]
pub(super) struct Layers {
    pub written: Section,
    pub built_in: Section,
}

impl Layers {
    /// Returns the part of a layer.
    pub fn of(&mut self, layer: Layer) -> &mut Section {
        match layer {
            Layer::Written => &mut self.written,
            Layer::BuiltIn => &mut self.built_in,
        }
    }

    /// Returns the addresses that are ignored.
    pub fn ignoreip(&self) -> IgnoreIp {
        self.written.ignoreip.clone().or(self.built_in.ignoreip.clone()).unwrap_or_default()
    }

    /// Returns the bits of an IPv6 address that count.
    pub fn ipv6prefix(&self) -> Option<u8> {
        self.written.ipv6prefix.or(self.built_in.ipv6prefix)
    }

    /// Returns this section of a jail laid over `default`: what is written wins over what is built in. Only its filter
    /// belongs to a built-in jail itself; that of another service than Asterisk also has its own logs, and what goes with
    /// these.
    pub fn over(&self, default: &Self) -> Section {
        let is_built_in = self.built_in.filter.is_some();
        let filter = default.written.filter.clone().filter(|_| !is_built_in);
        let mut general = Section { filter, ..default.written.clone() };
        let mut built_in = self.built_in.clone();
        if self.is_of_service() {
            general.enabled = None;
            (general.class, general.logpath) = (None, None);
            general.unverified = UnverifiedOverrides::default();
        }
        // A jail of the same name that is all the administrator's.
        if self.written.filter.is_some() {
            built_in.enabled = None;
        }
        self.written.clone().over(&general).over(&built_in).over(&default.built_in)
    }

    /// Whether it is built in, for another service than Asterisk.
    fn is_of_service(&self) -> bool {
        self.built_in.logpath.is_some()
    }
}

/// The origin of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layer {
    /// A file of the administrator's.
    Written,
    /// This program.
    BuiltIn,
}

impl Section {
    /// Merges in what a table says; the table wins over what this section says so far.
    pub fn merge(&mut self, reader: &mut TomlReader, table: &DeTable, known: KnownNames) {
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "enabled" => set(&mut self.enabled, reader.boolean(value)),
                "mode" => set(&mut self.mode, reader.choice(value, "mode", &MODES)),
                "filter" => self.filter = Some(filter(reader, value, known.filters)),
                "class" => self.class = Some(classes(reader, value)),
                "logpath" => self.logpath = Some(paths(reader, value)),
                "count" => set(&mut self.count, reader.choice(value, "count", &COUNTINGS)),
                "maxretry" => {
                    let help = "write 1 to ban at the first offence, 3 to ban at the third";
                    set(&mut self.maxretry, reader.number(value, 1..=u32::MAX, help));
                }
                "findtime" => set(&mut self.findtime, reader.duration(value)),
                "bantime" => self.bantime.merge(reader, value),
                "port" => set(&mut self.port, port(reader, value, known.ports)),
                "blocktype" => {
                    set(&mut self.blocktype, reader.choice(value, "blocktype", &BLOCKTYPES));
                }
                "ignoreip" => self.ignoreip = Some(ignored(reader, value)),
                "ipv6prefix" => {
                    let help = "write 64: a host with one IPv6 address usually has its whole /64";
                    set(&mut self.ipv6prefix, reader.number(value, 1..=128, help));
                }
                "renew" => set(&mut self.renew, reader.boolean(value)),
                "unverified" => self.unverified.merge(reader, value, known.ports),
                "hearsay" => {
                    set(&mut self.hearsay, reader.choice(value, "hearsay value", &HEARSAY));
                }
                name if own_rules::KEYS.contains(&name) => self.own.merge(reader, name, value),
                // GlobalKeys::merge
                name if global::KEYS.contains(&name) => {}
                _ if answered::answer(reader, key, value) => {}
                _ => reader.unknown_key(key, &KEYS),
            }
        }
    }

    /// Returns this section laid over another one: what it leaves out is as there.
    fn over(self, below: &Self) -> Self {
        Self {
            enabled: self.enabled.or(below.enabled),
            mode: self.mode.or(below.mode),
            filter: self.filter.or_else(|| below.filter.clone()),
            own: self.own.over(&below.own),
            class: self.class.or_else(|| below.class.clone()),
            logpath: self.logpath.or_else(|| below.logpath.clone()),
            count: self.count.or(below.count),
            maxretry: self.maxretry.or(below.maxretry),
            findtime: self.findtime.or(below.findtime),
            bantime: self.bantime.over(below.bantime),
            port: self.port.or_else(|| below.port.clone()),
            blocktype: self.blocktype.or(below.blocktype),
            // These add up: see `Layers::ignoreip`.
            ignoreip: None,
            ipv6prefix: self.ipv6prefix.or(below.ipv6prefix),
            unverified: self.unverified.over(&below.unverified),
            hearsay: self.hearsay.or(below.hearsay),
            renew: self.renew.or(below.renew),
        }
    }

    /// Returns the jail that this section describes, which ignores `general` besides `own`.
    ///
    /// # Errors
    /// The key that it lacks.
    pub fn jail(self, name: &str, own: IgnoreIp, general: IgnoreIp) -> Result<Jail, &'static str> {
        let mut ignoreip = general.nets;
        ignoreip.extend(own.nets);
        ignoreip.sort_unstable();
        ignoreip.dedup();
        let port = self.port.ok_or("port")?;
        // What a jail counts by itself is enough.
        let filter = self.filter.or_else(|| self.own.counts().then(Vec::new));
        Ok(Jail {
            name: name.to_owned(),
            mode: self.mode.ok_or("mode")?,
            filter: filter.ok_or("filter")?,
            own: self.own.finish(),
            class: self.class.ok_or("class")?,
            logpath: self.logpath.ok_or("logpath")?,
            count: self.count.ok_or("count")?,
            maxretry: self.maxretry.ok_or("maxretry")?,
            findtime: self.findtime.ok_or("findtime")?,
            bantime: self.bantime.finish().ok_or("bantime")?,
            blocktype: self.blocktype.ok_or("blocktype")?,
            ignoreip,
            ignorenames: own.names,
            ipv6prefix: self.ipv6prefix.ok_or("ipv6prefix")?,
            unverified: self.unverified.finish(self.bantime, &port).ok_or("unverified")?,
            port,
            hearsay: self.hearsay.ok_or("hearsay")?,
            renew: self.renew.ok_or("renew")?,
        })
    }

    /// This section, for a jail that counts bans and reads nothing.
    pub fn of_bans(self) -> Self {
        let (filter, class, logpath) = (Some(Vec::new()), Some(Vec::new()), Some(Vec::new()));
        Self { filter, class, logpath, count: Some(Counting::Bans), ..self }
    }
}

impl BanTimeIncrement {
    fn merge(&mut self, reader: &mut TomlReader, value: &TomlValue) {
        let DeValue::Table(table) = value.get_ref() else {
            if let Some(length) = reader.ban_duration(value, INCREMENT_HELP) {
                *self = Self { first: Some(length), factor: Some(1), max: Some(length), ..*self };
            }
            return;
        };
        let mut own = Self::default();
        let mut longest = None;
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "first" => own.first = reader.ban_duration(value, BAN_HELP),
                "factor" => {
                    let help = "write 1 for bans of the same length, 2 for bans that double";
                    own.factor = reader.number(value, 1..=u32::MAX, help);
                }
                "max" => {
                    own.max = reader.ban_duration(value, BAN_HELP);
                    longest = Some(value.span());
                }
                "decay" => own.decay = reader.duration(value),
                "rndtime" => own.rndtime = reader.duration(value),
                "overalljails" => own.overalljails = reader.boolean(value),
                _ => reader.unknown_key(key, &INCREMENT_KEYS),
            }
        }
        if let (Some(first), Some(max), Some(span)) = (own.first, own.max, longest) {
            if longer(first, max) != max {
                reader.error(
                    span,
                    "shorter than the first ban",
                    format_args!("write at least \"{first}\""),
                );
            }
        }
        *self = own.over(*self);
    }

    fn over(self, below: Self) -> Self {
        Self {
            first: self.first.or(below.first),
            factor: self.factor.or(below.factor),
            max: self.max.or(below.max),
            decay: self.decay.or(below.decay),
            rndtime: self.rndtime.or(below.rndtime),
            overalljails: self.overalljails.or(below.overalljails),
        }
    }

    fn finish(self) -> Option<BanTime> {
        let first = self.first?;
        let max = longer(first, self.max?);
        let quiet = match max {
            BanDuration::For(max) => Some(max),
            BanDuration::Permanent => None,
        };
        Some(BanTime {
            first,
            factor: self.factor?,
            max,
            decay: self.decay.or(quiet),
            rndtime: self.rndtime.unwrap_or_default(),
            overalljails: self.overalljails.unwrap_or(false),
        })
    }
}

impl UnverifiedOverrides {
    fn merge(&mut self, reader: &mut TomlReader, value: &TomlValue, ports: &[&str]) {
        let help = "write for example { bantime = \"10m\", port = \"sip\" }, or \"as-proven\"";
        if matches!(value.get_ref(), DeValue::String(text) if text == "as-proven") {
            *self = Self { as_proven: true, ..Self::default() };
            return;
        }
        for (key, value) in reader.table(value, help).into_iter().flatten() {
            match key.get_ref().as_ref() {
                "bantime" => self.bantime.merge(reader, value),
                "port" => set(&mut self.port, port(reader, value, ports)),
                _ => reader.unknown_key(key, &["bantime", "port"]),
            }
        }
    }

    fn over(self, below: &Self) -> Self {
        if self.as_proven {
            return self;
        }
        Self {
            as_proven: below.as_proven,
            bantime: self.bantime.over(below.bantime),
            port: self.port.or_else(|| below.port.clone()),
        }
    }

    /// Returns the terms, beside those of proven bans.
    fn finish(self, proven: BanTimeIncrement, port: &str) -> Option<BanTerms> {
        let bantime = if self.as_proven { self.bantime.over(proven) } else { self.bantime };
        let port = self.port.or_else(|| self.as_proven.then(|| port.to_owned()))?;
        Some(BanTerms { bantime: bantime.finish()?, port })
    }
}

fn set<T>(slot: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *slot = value;
    }
}

fn longer(a: BanDuration, b: BanDuration) -> BanDuration {
    match (a, b) {
        (BanDuration::For(a), BanDuration::For(b)) => BanDuration::For(a.max(b)),
        _ => BanDuration::Permanent,
    }
}

fn filter(reader: &mut TomlReader, value: &TomlValue, known: Option<&[String]>) -> Vec<Pattern> {
    let mut patterns = Vec::new();
    for (text, span) in reader.some_texts(value, "write for example [\"asterisk-*\"]") {
        let Some(pattern) = glob(reader, text, span.clone()) else { continue };
        let Some(known) = known else {
            patterns.push(pattern);
            continue;
        };
        // The wire has rules, and no file of them.
        let mut known: Vec<_> = known.iter().map(String::as_str).collect();
        for name in event::wire_filters() {
            if !known.contains(&name) {
                known.push(name);
            }
        }
        if !known.iter().any(|name| pattern.matches(name)) {
            let help = if text.starts_with("aster")
                && text != "asterisk"
                && nearest(text, known.iter().copied()).is_none()
            {
                "did you mean \"asterisk-*\"?".to_owned()
            } else if text == "asterisk" {
                "leave it out where a jail is built in; for your own jail, write for example [\"asterisk-*\"]".to_owned()
            } else {
                did_you_mean(text, &known, "rule files")
            };
            reader.error(span, format_args!("no rule file is called {text:?}"), help);
        }
        patterns.push(pattern);
    }
    patterns
}

fn glob(reader: &mut TomlReader, text: &str, span: Range<usize>) -> Option<Pattern> {
    let help =
        "* stands for any characters, ? for one, [abc] for one of these; ** only between slashes";
    Pattern::new(text)
        .map_err(|error| reader.error(span, format_args!("not a pattern: {}", error.msg), help))
        .ok()
}

fn classes(reader: &mut TomlReader, value: &TomlValue) -> Vec<Class> {
    let mut classes = Vec::new();
    for (text, span) in reader.some_texts(value, "write for example [\"guess\", \"acl\"]") {
        if let Some(class) = reader.named(text, span, "class", &Class::ALL) {
            if !classes.contains(&class) {
                classes.push(class);
            }
        }
    }
    classes
}

fn paths(reader: &mut TomlReader, value: &TomlValue) -> Vec<String> {
    let help = "write absolute paths, for example \"/var/log/asterisk/messages\"";
    let mut paths = Vec::new();
    for (text, span) in reader.some_texts(value, help) {
        let source = match RemoteSource::named(text) {
            Ok(source) => source,
            Err(error) => {
                reader.error(span, format_args!("{text:?} names no part of the journal"), error);
                continue;
            }
        };
        if (source.is_some()
            || (reader.absolute_path(text, &span, PathOf::File, help).is_some()
                && glob(reader, text, span).is_some()))
            && !paths.iter().any(|path| path == text)
        {
            paths.push(text.to_owned());
        }
    }
    paths
}

fn port(reader: &mut TomlReader, value: &TomlValue, known: &[&str]) -> Option<String> {
    let text = reader.text(value, "write the name of a port list: all, sip or one from [ports]")?;
    if known.contains(&text) {
        return Some(text.to_owned());
    }
    let all = ["any", "anyport", "0:65535", "1:65535", "0-65535", "1-65535"];
    let help = if all.contains(&text) {
        "write \"all\"".to_owned()
    } else if text.starts_with(|c: char| c.is_ascii_digit()) {
        let ports = text.split([',', ' ']).filter(|part| !part.is_empty());
        let ports: Vec<_> = ports
            .map(|part| {
                if part.parse::<u16>().is_ok() {
                    part.to_owned()
                } else {
                    format!("{:?}", part.replace(':', "-"))
                }
            })
            .collect();
        format!(
            "name these ports below [ports], for example mine = [{}], and write port = \"mine\" here; the ports of SIP are \"sip\"",
            ports.join(", ")
        )
    } else {
        did_you_mean(text, known, "port lists")
    };
    reader.error(value.span(), format_args!("unknown port list {text:?}"), help);
    None
}

fn ignored(reader: &mut TomlReader, value: &TomlValue) -> IgnoreIp {
    let mut ignored = IgnoreIp::default();
    for (text, span) in
        reader.texts(value, "write for example [\"203.0.113.10\", \"2001:db8::/32\"]")
    {
        let words = text.split(|c: char| c.is_whitespace() || c == ',');
        for word in words.filter(|word| !word.is_empty()) {
            match (network(word), word.parse()) {
                (Ok(net), _) => ignored.nets.push(net),
                (Err(_), Ok(name)) => ignored.names.push(name),
                (Err(help), Err(_)) => {
                    let help = if help == ADDRESS_HELP { NAME_HELP } else { help };
                    let span = reader.inside(&span, text, word);
                    let message = format_args!("{word:?} is not an address, network or name");
                    reader.error(span, message, help);
                }
            }
        }
    }
    ignored.nets.sort_unstable();
    ignored.nets.dedup();
    ignored.names.sort_unstable();
    ignored.names.dedup();
    ignored
}
