//! All values in force, as a configuration file would say them, and where each is written.

use std::fmt::Display;
use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::jail_section::{BLOCKTYPES, COUNTINGS, HEARSAY, MODES};
use super::load::{BUILT_IN_NAME, LOGLEVELS};
use super::sip_monitor::LIMITERS;
use super::toml_reader::name_of;
use super::{BanTerms, Config, Counting, Fetch, Fleet, Jail, Mode, PlacedText, RECIDIVE};
use crate::model::event::Class;
use crate::model::hostname::HostName;
use crate::model::listed::ListedNetwork;
use crate::model::scope::{Ports, toml_range as range};
use crate::model::subject::Subject;
use crate::model::time::{BanTime, HumanDuration};

/// A value in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Setting {
    /// The section that it stands in: `jail.NAME`, `default`, …; empty at the top of a file.
    pub section: String,
    /// Its key.
    pub key: String,
    /// The value, as TOML.
    pub value: String,
    /// `FILE:LINE`; `None` if it is built in.
    pub place: Option<String>,
}

impl Setting {
    /// Returns the place in words.
    #[must_use]
    pub fn origin(&self) -> &str {
        self.place.as_deref().unwrap_or(BUILT_IN_NAME)
    }
}

impl Config {
    /// Returns all values in force, section by section.
    #[must_use]
    pub fn settings(&self) -> Vec<Setting> {
        let mut settings = self.general();
        settings.extend(self.of_fleet());
        settings.extend(self.described().flat_map(|jail| self.jail_settings(jail)));
        settings.extend(self.places.disabled().iter().map(|name| Setting {
            section: format!("jail.{name}"),
            key: "enabled".to_owned(),
            value: "false".to_owned(),
            place: self.places.of_jail(name, "enabled").map(ToString::to_string),
        }));
        settings
    }

    /// Returns the jails that sections describe: all but [`MANUAL`](super::MANUAL) and [`FLEET`](super::FLEET).
    pub(crate) fn described(&self) -> impl Iterator<Item = &Jail> {
        self.jails.iter().filter(|jail| !jail.is_without_section())
    }

    /// Returns the values of a jail.
    #[must_use]
    pub fn jail_settings(&self, jail: &Jail) -> Vec<Setting> {
        let set = |key: &str, value: String| Setting {
            section: format!("jail.{}", jail.name),
            key: key.to_owned(),
            value,
            place: self.places.of_jail(&jail.name, key).map(ToString::to_string),
        };
        let mut settings =
            vec![set("enabled", "true".to_owned()), set("mode", named(&jail.mode, &MODES))];
        if jail.name != RECIDIVE {
            let classes = Class::ALL.iter().filter(|(class, _)| jail.class.contains(class));
            let filter = list(jail.filter.iter().map(|filter| quoted(filter.as_str())));
            settings.extend((!jail.filter.is_empty()).then(|| set("filter", filter)));
            let own = &jail.own;
            let texts =
                |texts: &[PlacedText]| list(texts.iter().map(|placed| quoted(&placed.text)));
            for (key, of_key) in [("failregex", &own.failregex), ("ignoreregex", &own.ignoreregex)]
            {
                settings.extend((!of_key.is_empty()).then(|| set(key, texts(of_key))));
            }
            settings.extend(
                own.datepattern.iter().map(|dates| set("datepattern", quoted(&dates.text))),
            );
            settings.extend([
                set("class", list(classes.map(|(_, name)| quoted(name)))),
                set("logpath", list(jail.logpath.iter().map(|path| quoted(path)))),
                set("count", named(&jail.count, &COUNTINGS)),
            ]);
        }
        settings.extend([
            set("maxretry", jail.maxretry.to_string()),
            set("findtime", length(jail.findtime)),
            set("bantime", ban_time(&jail.bantime)),
            set("port", quoted(&jail.port)),
            set("blocktype", named(&jail.blocktype, &BLOCKTYPES)),
            set("ignoreip", ignored(&jail.ignoreip, &jail.ignorenames)),
            set("ipv6prefix", jail.ipv6prefix.to_string()),
        ]);
        if jail.name != RECIDIVE {
            settings.extend([
                set("unverified", unverified(jail)),
                set("hearsay", named(&jail.hearsay, &HEARSAY)),
            ]);
        }
        settings.push(set("renew", jail.renew.to_string()));
        settings
    }

    /// Returns the values of the fleet.
    fn of_fleet(&self) -> Vec<Setting> {
        let all = self.fleet.iter().flat_map(Fleet::settings);
        let setting = |(key, value): (String, String)| {
            let place = self.places.of(&format!("fleet.{key}")).map(ToString::to_string);
            let (section, key) = match key.split_once('.') {
                Some((peers, name)) => (format!("fleet.{peers}"), name.to_owned()),
                None => ("fleet".to_owned(), key),
            };
            Setting { section, key, value, place }
        };
        all.map(setting).collect()
    }

    /// Returns the values outside the jails.
    fn general(&self) -> Vec<Setting> {
        let set = |section: &str, key: &str, value: String| {
            let name = if section.is_empty() { key.to_owned() } else { format!("{section}.{key}") };
            let place = self.places.of(&name).map(ToString::to_string);
            Setting { section: section.to_owned(), key: key.to_owned(), value, place }
        };
        let mut settings = vec![
            set("", "loglevel", named(&self.loglevel, &LOGLEVELS)),
            set("", "trunks", self.trunks.to_string()),
            set("", "asteriskconf", quoted(&self.asteriskconf.to_string_lossy())),
        ];
        for (name, ports) in &self.ports {
            if let Ports::Ranges(ranges) = ports {
                settings.push(set("ports", name, list(ranges.iter().copied().map(range))));
            }
        }
        let wire = &self.wire;
        settings.extend([
            set("wire", "enabled", wire.enabled.to_string()),
            set("wire", "group", wire.group.to_string()),
            set("wire", "snaplen", wire.snaplen.to_string()),
            set("wire", "forward", ignored(&wire.forward, &[])),
            set("wire", "limiter", named(&wire.limiter, &LIMITERS)),
            set("wire", "maxrefusals", wire.maxrefusals.to_string()),
            set("wire", "maxpackets", wire.maxpackets.to_string()),
        ]);
        if let Some(ami) = &self.ami {
            settings.extend([
                set("ami", "enabled", ami.enabled.to_string()),
                set("ami", "host", quoted(&ami.host)),
                set("ami", "port", ami.port().to_string()),
                set("ami", "tls", ami.tls.to_string()),
                set("ami", "cafile", quoted(&ami.cafile.to_string_lossy())),
                set("ami", "user", quoted(&ami.user)),
                set("ami", "secretfile", quoted(&ami.secretfile.to_string_lossy())),
            ]);
        }
        for notifier in &self.notify {
            let section = format!("notify.{}", notifier.name);
            let all = notifier.settings();
            settings.extend(all.into_iter().map(|(key, value)| set(&section, key, value)));
        }
        let nets = |nets: &[ListedNetwork]| {
            list(nets.iter().map(|listed| quoted(&Subject::from(listed.net).to_string())))
        };
        let files = |paths: &[std::path::PathBuf]| {
            list(paths.iter().map(|path| quoted(&path.to_string_lossy())))
        };
        if !self.geoip.files.is_empty() {
            settings.push(set("geoip", "files", files(&self.geoip.files)));
        }
        let lists = &self.lists;
        settings.extend([
            set("lists", "allow", nets(&lists.allow)),
            set("lists", "block", nets(&lists.block)),
            set("lists", "allowfiles", files(&lists.allowfiles)),
            set("lists", "blockfiles", files(&lists.blockfiles)),
            set("lists", "guardedports", list(lists.guardedports.iter().copied().map(range))),
        ]);
        if let Some(countries) = &lists.countries {
            settings.push(set("lists", "countries", countries.text()));
        }
        for feed in &lists.feeds {
            let section = format!("feed.{}", feed.name);
            settings.push(set(&section, "path", quoted(&feed.path.to_string_lossy())));
            let fetch = feed.fetch.iter().flat_map(Fetch::settings);
            settings.extend(fetch.map(|(key, value)| set(&section, key, value)));
        }
        let known = &self.knowngood;
        let knowngood = format!(
            "{{ enabled = {}, time = {}, maxunknown = {}, findtime = {}, maxrate = {}, maxtries = {} }}",
            known.enabled,
            length(known.time),
            known.maxunknown,
            length(known.findtime),
            known.maxrate,
            known.maxtries
        );
        let newnetworks = format!(
            "{{ enabled = {}, learn = {} }}",
            self.newnetworks.enabled,
            length(self.newnetworks.learn)
        );
        settings.extend([
            set("default", "ignoreip", ignored(&self.ignoreip, &self.ignorenames)),
            set("default", "ipv6prefix", self.ipv6prefix.to_string()),
            set("default", "maxunverified", self.maxunverified.to_string()),
            set("default", "knowngood", knowngood),
            set("default", "newnetworks", newnetworks),
            set("default", "tag", list(self.tag.iter().map(|tag| quoted(tag)))),
        ]);
        settings.extend(
            self.logtimezone.iter().map(|zone| set("default", "logtimezone", quoted(&zone.name))),
        );
        settings
    }
}

impl Jail {
    /// Returns in a few words when and for how long this jail bans, and what.
    #[must_use]
    pub fn terms(&self) -> String {
        let things = match self.count {
            Counting::Attempts => "",
            Counting::Accounts => " accounts",
            Counting::Bans => " bans",
        };
        let observed = if self.mode == Mode::Observe { ", observed only" } else { "" };
        let counted = format!("{}{things} in {}", self.maxretry, HumanDuration(self.findtime));
        let proven = format!("{}, {}", ban_words(&self.bantime), port_words(&self.port));
        if self.count == Counting::Bans {
            return format!("{counted} → {proven}{observed}");
        }
        let BanTerms { bantime, port } = &self.unverified;
        if *bantime == self.bantime && *port == self.port {
            return format!("{counted} → {proven}, also senders that may be forged{observed}");
        }
        let forged = format!("{}, {}", ban_words(bantime), port_words(port));
        format!("{counted} → {proven} · senders that may be forged: {forged}{observed}")
    }
}

fn port_words(port: &str) -> String {
    if port == "all" { "all ports".to_owned() } else { port.to_owned() }
}

/// Returns the length of bans for people: `10m`, or `10m ×4 up to 1d`.
fn ban_words(time: &BanTime) -> String {
    if time.factor == 1 || time.first == time.max {
        return time.first.to_string();
    }
    format!("{} ×{} up to {}", time.first, time.factor, time.max)
}

/// Returns the name of a value, as TOML.
fn named<T: PartialEq>(value: &T, names: &[(T, &'static str)]) -> String {
    quoted(name_of(value, names))
}

/// Returns a string as TOML: JSON's strings are such, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn list(items: impl Iterator<Item = String>) -> String {
    format!("[{}]", items.collect::<Vec<_>>().join(", "))
}

fn length(length: Duration) -> String {
    quoted(&HumanDuration(length).to_string())
}

fn ignored(nets: &[IpNet], names: &[HostName]) -> String {
    let nets = nets.iter().map(|net| quoted(&Subject::from(*net).to_string()));
    list(nets.chain(names.iter().map(|name| quoted(&name.to_string()))))
}

fn ban_time(time: &BanTime) -> String {
    let plain = BanTime::fixed(time.first);
    let decay = match time.max {
        crate::model::time::BanDuration::For(max) => Some(max),
        crate::model::time::BanDuration::Permanent => None,
    };
    if *time == (BanTime { decay: time.decay, ..plain })
        && (time.decay == decay || time.decay.is_none())
    {
        return quoted(&time.first.to_string());
    }
    let mut parts = vec![
        format!("first = {}", quoted(&time.first.to_string())),
        format!("factor = {}", time.factor),
        format!("max = {}", quoted(&time.max.to_string())),
    ];
    let part = |key: &str, value: &dyn Display| format!("{key} = {value}");
    if let Some(own) = time.decay.filter(|_| time.decay != decay) {
        parts.push(part("decay", &length(own)));
    }
    if time.rndtime != Duration::ZERO {
        parts.push(part("rndtime", &length(time.rndtime)));
    }
    if time.overalljails {
        parts.push(part("overalljails", &true));
    }
    format!("{{ {} }}", parts.join(", "))
}

fn unverified(jail: &Jail) -> String {
    let BanTerms { bantime, port } = &jail.unverified;
    if *bantime == jail.bantime && *port == jail.port {
        return quoted("as-proven");
    }
    format!("{{ bantime = {}, port = {} }}", ban_time(bantime), quoted(port))
}

/// Returns settings as a configuration file, the place of each behind it.
#[must_use]
pub fn as_file(settings: &[Setting]) -> Vec<String> {
    const WIDTH: usize = 48;
    let mut lines = Vec::new();
    let mut section = "";
    for setting in settings {
        if setting.section != section {
            section = &setting.section;
            lines.extend([String::new(), format!("[{section}]")]);
        }
        let assignment = format!("{} = {}", setting.key, setting.value);
        lines.push(format!("{assignment:<WIDTH$}  # {}", setting.origin()));
    }
    lines
}
